"""The bot, put together."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from slack_mcp.bot.ask import Questions
from slack_mcp.bot.context import ContextBuilder
from slack_mcp.bot.context_notes import ThreadNotes
from slack_mcp.bot.handler import BotHandler
from slack_mcp.bot.limits import SpeakingLimits
from slack_mcp.bot.present import AnswerButtons, Pace
from slack_mcp.bot.shadow import Shadows
from slack_mcp.catalogue import CATALOGUE
from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import PodId
from slack_mcp.core.model import AgentBackend, Connection
from slack_mcp.ports.agent import Agents
from slack_mcp.ports.attachments import Attachments
from slack_mcp.ports.budget import Buckets
from slack_mcp.ports.metrics import TurnMeter
from slack_mcp.ports.names import Names
from slack_mcp.ports.store import TurnStore
from slack_mcp.ports.surfaces import Languages, ThreadTitles
from slack_mcp.ports.transcript import Transcript
from slack_mcp.settings import Settings
from slack_mcp.slack.client import SlackWebApis
from slack_mcp.surfaces.buttons import render_feedback_block, render_stop_button

# What cannot be shown at once is shown with what comes next.
DRAFT_WAIT_S: Final = 0.3


def make_bot(
    settings: Settings,
    *,
    turns: TurnStore,
    transcript: Transcript,
    buckets: Buckets,
    slack: SlackWebApis,
    agents: Agents,
    names: Names,
    attachments: Attachments,
    languages: Languages,
    titles: ThreadTitles,
    clock: Clock,
    pod_id: PodId,
    meter: TurnMeter,
) -> BotHandler:
    """Return what answers the events."""

    def keeps_history(connection: Connection) -> bool:
        """Tell whether the connection's agent remembers its threads by itself."""
        return (connection.settings.agent or settings.default_agent) is AgentBackend.MESH

    contexts = ContextBuilder(
        transcript=transcript, agents=agents, names=names, slack=slack, clock=clock, keeps_history=keeps_history
    )
    return BotHandler(
        turns=turns,
        slack=slack,
        drafts=slack.for_batch(max_wait_s=DRAFT_WAIT_S),
        agents=agents,
        requests=Questions(contexts=contexts, attachments=attachments),
        notes=ThreadNotes(transcript=transcript, turns=turns),
        shadows=Shadows(turns=turns, slack=slack),
        limits=SpeakingLimits(buckets=buckets, turns=turns, slack=slack, find_language=languages.find_language),
        files=attachments,
        titles=titles,
        find_language=languages.find_language,
        buttons=AnswerButtons(stop=_render_all(render_stop_button), rate=_render_all(render_feedback_block)),
        pace=Pace(),
        pod_id=pod_id,
        clock=clock,
        turn_timeout_s=settings.turn_timeout_s,
        meter=meter,
    )


def _render_all(render: Callable[[str], Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """Return a block in each language."""
    return {language: render(language) for language in CATALOGUE}
