"""Clicks on the buttons below an answer."""

from typing import Final

import anyio
import structlog

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.model import Connection, EventState, JournalledEvent, Outcome
from slack_mcp.ports.interactions import InstantAnswer, PersonalReplies
from slack_mcp.ports.surfaces import Languages, Ratings, StopRequests
from slack_mcp.protocol.interactions import BLOCK_ACTIONS, Interaction
from slack_mcp.surfaces.buttons import FEEDBACK_ACTION, STOP_ACTION, read_rating
from slack_mcp.surfaces.stops import NOTHING_TO_STOP, STOPPED

# Of the 3 s in which Slack wants to hear that the click has arrived, which has yet to be journalled.
STOP_TIMEOUT_S: Final = 0.7

_log = structlog.get_logger(__name__)


class AnswerClicks:
    """Stops and rates answers; see `interactions.route.InteractionHandler`.

    A click says in which message it was made, and that is believed: a message shows an answer of this connection, or
    the click changes nothing.

    Args:
        stops: takes word of a stop.
        ratings: keeps what people think.
        replies: thanks them.
        languages: in which language.
    """

    def __init__(
        self, *, stops: StopRequests, ratings: Ratings, replies: PersonalReplies, languages: Languages
    ) -> None:
        self._stops = stops
        self._ratings = ratings
        self._replies = replies
        self._languages = languages

    def takes(self, interaction: Interaction) -> bool:
        """Tell whether it is a click on one of these buttons."""
        return interaction.kind == BLOCK_ACTIONS and interaction.action_id in {STOP_ACTION, FEEDBACK_ACTION}

    async def answer_now(self, connection: Connection, interaction: Interaction) -> InstantAnswer:
        """Stop at once: in the journal a stop could come behind other work. A rating has time."""
        if interaction.action_id == STOP_ACTION:
            try:
                with anyio.move_on_after(STOP_TIMEOUT_S):
                    return InstantAnswer(skip_reason=await self._stop(connection, interaction))
            except StoreUnavailableError as error:
                _log.info("stop.later", connection_id=connection.connection_id, code=error.code)
        return InstantAnswer()

    async def handle(self, connection: Connection, event: JournalledEvent, click: Interaction) -> Outcome:
        """Keep the rating, or stop what could not be stopped at once; returns how it ended.

        Raises:
            StoreUnavailableError: it may be done later.
            SlackApiError: the thanks may be said later.
        """
        if click.action_id == STOP_ACTION:
            reason = await self._stop(connection, click)
            return Outcome(state=EventState.DONE, reason=reason) if reason == STOPPED else _skip(reason)
        return await self._rate(connection, event, click)

    async def give_up(self, connection: Connection, event: JournalledEvent, click: Interaction) -> None:
        """Do nothing: the buttons are there to be clicked again."""

    async def _stop(self, connection: Connection, click: Interaction) -> str:
        if click.channel_id is None or click.message_ts is None:
            return NOTHING_TO_STOP
        is_stopped = await self._stops.request_stop(connection.connection_id, click.channel_id, click.message_ts)
        return STOPPED if is_stopped else NOTHING_TO_STOP

    async def _rate(self, connection: Connection, event: JournalledEvent, click: Interaction) -> Outcome:
        rating = read_rating(click.value)
        if rating is None or click.channel_id is None or click.message_ts is None:
            return _skip("unknown_rating")
        thread_ts = click.thread_ts or click.message_ts
        is_kept = await self._ratings.save_rating(
            connection.connection_id,
            click.channel_id,
            thread_ts,
            click.message_ts,
            user_id=click.user_id,
            rating=rating,
        )
        if not is_kept:
            return _skip("unknown_answer")
        _log.info("answer.rated", connection_id=connection.connection_id, rating=rating.value)
        language = await self._languages.find_language(connection, click.user_id)
        await self._replies.tell(
            connection,
            event,
            render_sentence(language, Sentence.RATED),
            user_id=click.user_id,
            channel_id=click.channel_id,
            response_url=click.response_url,
            thread_ts=thread_ts,
        )
        return Outcome(state=EventState.DONE, reason="rated")


def _skip(reason: str) -> Outcome:
    return Outcome(state=EventState.SKIPPED, reason=reason)
