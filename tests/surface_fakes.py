"""What stands around the assistant's surfaces, importable from everywhere below tests/."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepping_clock import SteppingClock
from tool_fakes import FakeWeb

from slack_mcp.core.errors import AgentNotConfiguredError, SlackMcpError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, Ts, UserId
from slack_mcp.core.model import AgentBackend, Connection, Delivery, JournalledEvent
from slack_mcp.interactions.marks import find_marked
from slack_mcp.interactions.route import InteractionRouter
from slack_mcp.interactions.shortcuts import ShortcutHandler
from slack_mcp.ports.agent import Agent, AgentEvent, AgentRequest
from slack_mcp.ports.surfaces import Rating
from slack_mcp.surfaces.clicks import AnswerClicks
from slack_mcp.surfaces.greeting import Greeter
from slack_mcp.surfaces.handler import SurfaceHandler
from slack_mcp.surfaces.home import HomeTab
from slack_mcp.surfaces.pane import AssistantPane
from slack_mcp.surfaces.prompts import Prompts
from slack_mcp.surfaces.stops import Stops


class ConnectionLanguages:
    """Everybody speaks the connection's language, or what `by_user` says."""

    def __init__(self, **by_user: str) -> None:
        self.by_user = by_user

    async def find_language(self, connection: Connection, user_id: UserId | None) -> str:
        return self.by_user.get(user_id or "", connection.settings.language)


class FailingWeb(FakeWeb):
    """Raises what `errors` has for a method, as often as it has something for it."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, list[SlackMcpError]] = {}

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        found = await super().read(method, **arguments)
        if self.errors.get(method):
            raise self.errors[method].pop(0)
        return found

    def list_calls(self, method: str) -> list[dict[str, Any]]:
        """Return what the method was called with, without what was left out."""
        return [
            {name: value for name, value in arguments.items() if value is not None}
            for called, arguments in self.calls
            if called == method
        ]


class FakeAssistantMemory:
    """`ports.surfaces.AssistantMemory`, and the errors of the next writes."""

    def __init__(self) -> None:
        self.viewed: dict[tuple[str, str, str], str | None] = {}
        self.greeted: set[tuple[str, str, str | None]] = set()
        self.errors: list[SlackMcpError] = []

    async def save_viewed_channel(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, viewed_channel_id: ChannelId | None
    ) -> None:
        self.viewed[connection_id, channel_id, thread_ts] = viewed_channel_id

    async def is_greeted(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts | None) -> bool:
        where = (connection_id, channel_id)
        return any(each[:2] == where and thread_ts in (None, each[2]) for each in self.greeted)

    async def save_greeted(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts | None) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.greeted.add((connection_id, channel_id, thread_ts))


@dataclass
class FakeStops:
    """`ports.surfaces.StopRequests`: `running` are the ts at which there is something to stop."""

    running: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    error: SlackMcpError | None = None

    async def request_stop(self, connection_id: ConnectionId, channel_id: ChannelId, ts: Ts) -> bool:
        if self.error is not None:
            raise self.error
        self.asked.append((connection_id, channel_id, ts))
        return ts in self.running


@dataclass
class FakeRatings:
    """`ports.surfaces.Ratings`: `answers` are the ts that show an answer."""

    answers: set[str] = field(default_factory=set)
    kept: dict[tuple[str, str, str, str], Rating] = field(default_factory=dict)

    async def save_rating(
        self,
        connection_id: ConnectionId,
        channel_id: ChannelId,
        thread_ts: Ts,
        ts: Ts,
        *,
        user_id: UserId,
        rating: Rating,
    ) -> bool:
        if ts not in self.answers:
            return False
        self.kept[connection_id, channel_id, ts, user_id] = rating
        return True

    async def count_ratings(self, connection_id: ConnectionId | None, *, since_s: float) -> Mapping[Rating, int]:
        raise AssertionError("nobody counts here")


class SuggestingAgents:
    """Chooses an agent that completes every text with `said`, or raises it."""

    def __init__(self) -> None:
        self.said: str | SlackMcpError = ""
        self.is_configured = True
        self.asked: list[tuple[str, str]] = []

    def choose(self, connection: Connection) -> Agent:
        if not self.is_configured:
            raise AgentNotConfiguredError("No agent.")
        return self

    async def complete(self, connection: Connection, *, task_id: str, instructions: str, text: str) -> str:
        self.asked.append((task_id, text))
        if isinstance(self.said, SlackMcpError):
            raise self.said
        return self.said

    def stream_answer(self, connection: Connection, request: AgentRequest) -> AsyncIterator[AgentEvent]:
        raise AssertionError("nobody asks here")

    async def cancel(self, connection: Connection, request: AgentRequest) -> None:
        raise AssertionError("nobody asks here")


@dataclass(kw_only=True)
class Surfaces:
    """The handler with fakes around it."""

    web: FailingWeb = field(default_factory=FailingWeb)
    memory: FakeAssistantMemory = field(default_factory=FakeAssistantMemory)
    stops: FakeStops = field(default_factory=FakeStops)
    agents: SuggestingAgents = field(default_factory=SuggestingAgents)
    languages: ConnectionLanguages = field(default_factory=ConnectionLanguages)
    clock: SteppingClock = field(default_factory=SteppingClock)

    def __post_init__(self) -> None:
        self.handler = SurfaceHandler(
            pane=AssistantPane(
                slack=self.web,
                memory=self.memory,
                greeter=Greeter(slack=self.web, memory=self.memory, find_marked=find_marked),
                prompts=Prompts(agents=self.agents, clock=self.clock),
                languages=self.languages,
            ),
            home=HomeTab(slack=self.web, agents=self.agents, default_agent=AgentBackend.ECHO, languages=self.languages),
            stops=Stops(requests=self.stops, slack=self.web, clock=self.clock),
        )


def make_journalled(
    connection: Connection, payload: bytes, *, event_type: str, redone: bool = False, received_at_s: float = 0.0
) -> JournalledEvent:
    """Return an event as the journal gives it out."""
    return JournalledEvent(
        id=1,
        connection_id=connection.connection_id,
        event_id=EventId("EvSURFACE"),
        event_time=1_800_000_000,
        lane="-",
        event_type=event_type,
        payload=payload,
        attempts=int(redone),
        received_at_ms=int(received_at_s * 1000),
        redone=redone,
    )


@dataclass
class FakeJournal:
    """Takes what is appended; nothing of it is worked on."""

    taken: list[Delivery] = field(default_factory=list)

    async def append(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        known = {each.event_id for each in self.taken}
        new = [each for each in deliveries if each.event_id not in known]
        self.taken += new
        return [each in new for each in deliveries]

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nobody needs {name} here")


@dataclass
class FakeReplies:
    """`ports.interactions.PersonalReplies`: (person, text, thread) of what was told."""

    told: list[tuple[str, str, str | None]] = field(default_factory=list)

    async def tell(
        self,
        connection: Connection,
        event: JournalledEvent,
        text: str,
        *,
        user_id: UserId,
        channel_id: ChannelId | None,
        response_url: str | None,
        thread_ts: Ts | None = None,
    ) -> None:
        self.told.append((user_id, text, thread_ts))


@dataclass(kw_only=True)
class ClickDesk:
    """The router of interactions with the buttons and the shortcut behind it, and fakes around them."""

    web: FailingWeb = field(default_factory=FailingWeb)
    journal: FakeJournal = field(default_factory=FakeJournal)
    stops: FakeStops = field(default_factory=FakeStops)
    ratings: FakeRatings = field(default_factory=FakeRatings)
    replies: FakeReplies = field(default_factory=FakeReplies)
    languages: ConnectionLanguages = field(default_factory=ConnectionLanguages)
    woken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.web.answers["conversations.info"] = {"ok": True, "channel": {"is_ext_shared": False}}
        self.web.answers["chat.postMessage"] = {"ok": True, "ts": "1700000300.000100"}
        self.clicks = AnswerClicks(
            stops=self.stops, ratings=self.ratings, replies=self.replies, languages=self.languages
        )
        self.shortcuts = ShortcutHandler(
            slack=self.web,
            forms=self.web,
            journal=self.journal,
            wake=lambda: self.woken.append("woken"),
            replies=self.replies,
            languages=self.languages,
        )
        self.router = InteractionRouter([self.clicks, self.shortcuts])

    def read_asked(self) -> dict[str, Any] | None:
        """Return the text, the place and the attachments of the mention that was journalled last."""
        if not self.journal.taken:
            return None
        event = json.loads(self.journal.taken[-1].payload)["event"]
        return {name: event.get(name) for name in ("channel", "thread_ts", "ts", "user", "text", "attachments")}
