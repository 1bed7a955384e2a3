"""Which surface an event is for."""

from typing import Final

from slack_mcp.core.errors import MalformedBodyError, SlackMcpError
from slack_mcp.core.model import Claim, Connection, EventState, JournalledEvent, Outcome
from slack_mcp.protocol.events import PANE_EVENTS, STOP_EVENTS, EventCallback, parse_envelope
from slack_mcp.protocol.places import is_elsewhere
from slack_mcp.protocol.speaking import may_ask
from slack_mcp.surfaces.home import HomeTab
from slack_mcp.surfaces.pane import AssistantPane
from slack_mcp.surfaces.stops import Stops

HOME_OPENED: Final = "app_home_opened"
CONTEXT_CHANGED: Final = "app_context_changed"
SURFACE_EVENTS: Final = STOP_EVENTS | PANE_EVENTS | {HOME_OPENED, CONTEXT_CHANGED}
"""The events that `SurfaceHandler` works on: https://docs.slack.dev/reference/events."""
HOME: Final = "home"
MESSAGES: Final = "messages"
_DONE: Final = frozenset(
    {"assistant_started", "context_noted", "assistant_greeted", "prompts_offered", "home_published", "stop_requested"}
)


def find_reason_to_skip(connection: Connection, event: EventCallback) -> str | None:
    """Return why there is nothing to do for one of `SURFACE_EVENTS`, when connection and event alone say so.

    People who may not ask see their home tab, and may stop what they see.
    """
    if is_elsewhere(connection, event.team_id, event.enterprise_id):
        return "other_workspace"
    if event.event_type in STOP_EVENTS or (event.event_type == HOME_OPENED and event.tab == HOME):
        return None
    if event.event_type == HOME_OPENED and event.tab != MESSAGES:
        return "unknown_tab"
    if connection.settings.trigger_only:
        return "trigger_only"
    return None if may_ask(connection, event.user_id) else "user_not_allowed"


class SurfaceHandler:
    """Works on `SURFACE_EVENTS`; see `ports.handler.EventHandler`.

    Args:
        pane: receives people who come to the assistant.
        home: shows the home tab.
        stops: stops answers.
    """

    def __init__(self, *, pane: AssistantPane, home: HomeTab, stops: Stops) -> None:
        self._pane = pane
        self._home = home
        self._stops = stops

    async def handle(self, connection: Connection, event: JournalledEvent, _claim: Claim) -> Outcome:
        """Do what the event asks for and return how it ended.

        Raises:
            SlackMcpError: it may work later.
        """
        try:
            envelope = parse_envelope(event.payload)
        except MalformedBodyError as error:
            return Outcome(state=EventState.SKIPPED, reason=error.code)
        if not isinstance(envelope, EventCallback):
            return Outcome(state=EventState.SKIPPED, reason="event_type")
        reason = find_reason_to_skip(connection, envelope) or await self._work(connection, event, envelope)
        return Outcome(state=EventState.DONE if reason in _DONE else EventState.SKIPPED, reason=reason)

    async def give_up(self, connection: Connection, event: JournalledEvent, claim: Claim, error: SlackMcpError) -> None:
        """Do nothing: nobody asked for it, and nobody waits."""

    async def _work(self, connection: Connection, event: JournalledEvent, envelope: EventCallback) -> str:
        match envelope.event_type:
            case "assistant_thread_started":
                return await self._pane.begin_thread(connection, event, envelope)
            case "assistant_thread_context_changed":
                return await self._pane.change_context(connection, envelope)
            case "app_context_changed":
                return await self._pane.change_app_context(connection, envelope)
            case "app_home_opened" if envelope.tab == HOME:
                return await self._home.open(connection, event, envelope)
            case "app_home_opened":
                return await self._pane.open_messages(connection, event, envelope)
            case _:
                return await self._stops.stop(connection, event, envelope)
