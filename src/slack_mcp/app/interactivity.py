"""Everything that answers commands, clicks and forms, put together."""

from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from slack_mcp import __version__
from slack_mcp.core.clock import Clock
from slack_mcp.core.model import AgentBackend, Delivery
from slack_mcp.inbox.forms import COMMAND, INTERACTION, FormReceiver
from slack_mcp.inbox.repeat import Repeater
from slack_mcp.inbox.verify import Verifier
from slack_mcp.interactions.clicks import ClickHandler
from slack_mcp.interactions.commands import CommandHandler
from slack_mcp.interactions.desk import QuestionDesk
from slack_mcp.interactions.replies import Replies
from slack_mcp.interactions.route import InteractionRouter
from slack_mcp.interactions.shortcuts import ShortcutHandler
from slack_mcp.interactions.sweep import INTERVAL_S, QuestionSweeper
from slack_mcp.ports.directory import Directory
from slack_mcp.ports.handler import EventHandler
from slack_mcp.ports.metrics import NoteCall
from slack_mcp.ports.questions import Questions
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.store import Journal
from slack_mcp.ports.surfaces import Languages, Ratings
from slack_mcp.sealing import Sealer
from slack_mcp.slack.client import open_slack_apis
from slack_mcp.slack.response_url import open_response_urls
from slack_mcp.store.database import Database
from slack_mcp.store.questions import SqlQuestionStore
from slack_mcp.store.turns import SqlTurnStore
from slack_mcp.surfaces.clicks import AnswerClicks

# A form has to be open 3 s after the click, with time left for the journal. It has sockets of its own, so that no
# upload keeps it waiting.
FORM_TIMEOUT_S: Final = 1.3
FORM_SOCKETS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Interactivity:
    """What the pod takes of it.

    Attributes:
        receiver: takes the forms.
        questions: for the tools.
        handlers: by event type, for the dispatcher.
        sweeper: a duty to run.
        prune: deletes up to so many old questions, and returns how many.
    """

    receiver: FormReceiver
    questions: Questions
    handlers: Mapping[str, EventHandler]
    sweeper: Repeater
    prune: Callable[[int], Awaitable[int]]


@asynccontextmanager
async def open_interactivity(
    *,
    database: Database,
    sealer: Sealer,
    directory: Directory,
    slack: SlackWebs,
    slack_api_url: str,
    languages: Languages,
    ratings: Ratings,
    note_call: NoteCall,
    verifier: Verifier,
    journal: Journal,
    submit: Callable[[Delivery], Future[bool]],
    wake: Callable[[], None],
    clock: Clock,
    default_agent: AgentBackend | None,
    keep_questions_s: float,
) -> AsyncIterator[Interactivity]:
    """Yield it, with the sockets that are its own.

    `journal` is for what a command makes, `submit` puts a delivery into the next commit of the webhook's journal, and
    `wake` wakes the dispatcher; closed questions are deleted after `keep_questions_s` seconds.
    """
    store = SqlQuestionStore(database, sealer, clock=clock)
    turns = SqlTurnStore(database, sealer, clock=clock)
    desk = QuestionDesk(store=store, slack=slack, clock=clock)
    async with (
        open_response_urls(base_url=slack_api_url) as response_urls,
        open_slack_apis(
            base_url=slack_api_url, call_timeout_s=FORM_TIMEOUT_S, max_sockets=FORM_SOCKETS, note_call=note_call
        ) as forms,
    ):
        replies = Replies(response_urls=response_urls, slack=slack, clock=clock)
        interactions = InteractionRouter(
            [
                ClickHandler(desk=desk, store=store, replies=replies, languages=languages, forms=forms),
                AnswerClicks(stops=turns, ratings=ratings, replies=replies, languages=languages),
                ShortcutHandler(
                    slack=slack, forms=forms, journal=journal, wake=wake, replies=replies, languages=languages
                ),
            ]
        )
        commands = CommandHandler(
            slack=slack,
            journal=journal,
            wake=wake,
            memory=turns,
            replies=replies,
            languages=languages,
            default_agent=default_agent,
            version=__version__,
        )
        sweeper = QuestionSweeper(store=store, desk=desk, directory=directory)
        yield Interactivity(
            receiver=FormReceiver(verifier=verifier, journal=submit, wake=wake, answer_now=interactions.answer_now),
            questions=desk,
            handlers={COMMAND: commands, INTERACTION: interactions},
            sweeper=Repeater("questions", sweeper.sweep, interval_s=INTERVAL_S),
            prune=lambda limit: store.delete_questions(before_s=keep_questions_s, limit=limit),
        )
