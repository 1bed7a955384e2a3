from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from bot_fakes import make_claim, make_connection
from stepping_clock import SteppingClock
from surface_fakes import ConnectionLanguages
from tool_fakes import FakeWeb

from slack_mcp.core.errors import MissingScopeError, SlackRefusedError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, UserId
from slack_mcp.core.model import Connection, ConnectionSettings, Delivery, JournalledEvent, Outcome, Speaking
from slack_mcp.interactions.commands import CommandHandler
from slack_mcp.interactions.replies import Replies

pytestmark = pytest.mark.anyio


@dataclass
class FakeJournal:
    taken: list[Delivery] = field(default_factory=list)

    async def append(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        self.taken += deliveries
        return [True] * len(deliveries)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a command does not need {name}")


class NoMemory:
    async def reset_channel(self, connection_id: ConnectionId, channel_id: ChannelId) -> int:
        raise AssertionError("nothing is to be forgotten")


class FakeResponseUrls:
    def __init__(self) -> None:
        self.told: list[str] = []

    async def post(self, connection: Connection, url: str, body: Mapping[str, Any]) -> None:
        self.told.append(body["text"])


@dataclass
class Slack(FakeWeb):
    """Answers conversations.info with a channel, or with an error."""

    channel: Any = field(default_factory=dict)
    error: Exception | None = None

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        await super().read(method, **arguments)
        if method == "conversations.info":
            if self.error:
                raise self.error
            return {"ok": True, "channel": self.channel}
        return {"ok": True, "ts": "1700000000.000100"}

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.calls]


@dataclass(kw_only=True)
class World:
    slack: Slack = field(default_factory=Slack)
    journal: FakeJournal = field(default_factory=FakeJournal)
    urls: FakeResponseUrls = field(default_factory=FakeResponseUrls)
    settings: ConnectionSettings = field(default_factory=ConnectionSettings)

    async def ask(self, *, channel: str = "C1", user: str = "UANN") -> Outcome:
        """Return how `ask` ended."""
        handler = CommandHandler(
            slack=self.slack,
            journal=self.journal,
            wake=lambda: None,
            memory=NoMemory(),
            replies=Replies(response_urls=self.urls, slack=self.slack, clock=SteppingClock()),
            languages=ConnectionLanguages(),
            default_agent=None,
            version="0",
        )
        form = {
            "team_id": "T1",
            "command": "/bot",
            "text": "ask how?",
            "channel_id": channel,
            "user_id": user,
            "response_url": "https://hooks.slack.com/commands/1",
        }
        event = JournalledEvent(
            id=1,
            connection_id=ConnectionId("conn_1"),
            event_id=EventId("cmd-1"),
            event_time=1_800_000_000,
            lane="C1",
            event_type="slash_command",
            payload=urlencode(form).encode(),
            attempts=0,
            received_at_ms=round(SteppingClock().now_s() * 1000),
            redone=False,
        )
        return await handler.handle(make_connection(team_id="T1", settings=self.settings), event, make_claim())


async def test_a_question_becomes_a_mention() -> None:
    world = World()
    assert (await world.ask()).reason == "command_ask"
    assert world.slack.methods == ["conversations.info", "chat.postMessage"]
    assert [each.event_type for each in world.journal.taken] == ["app_mention"]
    assert world.urls.told == []


@pytest.mark.parametrize(
    ("settings", "asked", "reason", "sentence"),
    [
        (ConnectionSettings(allowed_channels=(ChannelId("C2"),)), {}, "channel_not_allowed", "in this channel"),
        (ConnectionSettings(speaking=Speaking(denied_users=(UserId("UANN"),))), {}, "user_not_allowed", "answer you"),
        (
            ConnectionSettings(speaking=Speaking(allowed_users=(UserId("UBOB"),))),
            {"channel": "D1"},
            "user_not_allowed",
            "answer you",
        ),
    ],
)
async def test_what_the_rules_refuse_begins_no_thread_and_asks_slack_nothing(
    settings: ConnectionSettings, asked: dict[str, str], reason: str, sentence: str
) -> None:
    world = World(settings=settings)
    assert (await world.ask(**asked)).reason == reason
    assert (world.slack.methods, world.journal.taken) == ([], [])
    assert sentence in world.urls.told[0]


@pytest.mark.parametrize("channel", [{"is_ext_shared": True}, {"is_ext_shared": "yes"}, None])
async def test_what_another_organization_would_hear_is_not_asked(channel: Any) -> None:
    world = World(slack=Slack(channel=channel))
    assert (await world.ask()).reason == "external_not_allowed"
    assert world.slack.methods == ["conversations.info"]
    assert "shared with another organization" in world.urls.told[0]


async def test_where_nobody_can_say_who_would_hear_it_the_missing_scope_is_named() -> None:
    world = World(slack=Slack(error=MissingScopeError("conversations.info", "channels:read")))
    assert (await world.ask()).reason == "external_not_allowed"
    assert world.journal.taken == []
    assert "scopes: channels:read" in world.urls.told[0]


async def test_a_channel_that_the_bot_does_not_see_is_left_to_the_attempt_to_write_there() -> None:
    world = World(slack=Slack(error=SlackRefusedError("conversations.info", "channel_not_found")))
    assert (await world.ask()).reason == "command_ask"
    with pytest.raises(SlackRefusedError):
        await World(slack=Slack(error=SlackRefusedError("conversations.info", "access_denied"))).ask()


@pytest.mark.parametrize(
    ("settings", "channel"),
    [(ConnectionSettings(speaking=Speaking(allow_external=True)), "C1"), (ConnectionSettings(), "D1")],
)
async def test_slack_is_asked_only_where_the_answer_matters(settings: ConnectionSettings, channel: str) -> None:
    world = World(settings=settings)
    assert (await world.ask(channel=channel)).reason == "command_ask"
    assert world.slack.methods == ["chat.postMessage"]
