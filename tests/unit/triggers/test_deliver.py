import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from bot_fakes import make_claim, make_connection, make_event, make_payload
from stepping_clock import SteppingClock
from trigger_fakes import (
    FakeBot,
    FakeNames,
    FakeTriggers,
    FakeWeb,
    journal,
    make_mesh_trigger,
    make_sender,
    make_trigger,
)

from slack_mcp.core.errors import (
    MissingScopeError,
    RateLimitedError,
    TriggerRefusedError,
    TriggerUnavailableError,
)
from slack_mcp.core.ids import TeamId
from slack_mcp.core.model import Connection, ConnectionSettings, EventState, Outcome
from slack_mcp.core.secret import Secret
from slack_mcp.triggers.deliver import TriggerHandler

pytestmark = pytest.mark.anyio
MESSAGE = {"type": "message", "channel_type": "channel", "text": "hello"}
IN_THREAD = MESSAGE | {"ts": "1700000000.000200", "thread_ts": "1700000000.000100"}
TRIGGER_ONLY = ConnectionSettings(trigger_only=True)


class World:
    """A handler with everything around it; `told` has what the receivers were sent."""

    def __init__(self, connection: Connection, *, bot: FakeBot | None = None, web: FakeWeb | None = None) -> None:
        self.rows = {connection.connection_id: connection}
        self.bot = bot or FakeBot()
        self.web = web or FakeWeb()
        self.told: list[dict[str, Any]] = []
        self.requests: list[httpx2.Request] = []
        self.status = 202
        self.on_request: Callable[[], None] = lambda: None

    @property
    def connection(self) -> Connection:
        (connection,) = self.rows.values()
        return connection

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        self.told.append(json.loads(request.content))
        self.on_request()
        return httpx2.Response(self.status)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[TriggerHandler]:
        async with make_sender(self.answer) as sender:
            yield TriggerHandler(
                triggers=FakeTriggers(self.rows),
                sender=sender,
                bot=self.bot,
                names=FakeNames(UANN="Ann"),
                slack=self.web,
                clock=SteppingClock(),
            )

    async def deliver(self, payload: dict[str, Any]) -> list[Outcome]:
        async with self.open() as handler:
            return [
                await handler.handle(self.connection, event, make_claim())
                for event in journal(self.connection, payload)
            ]


async def test_a_message_is_told_with_the_keys_that_automations_know() -> None:
    world = World(make_connection(triggers=(make_mesh_trigger(),)))
    (outcome,) = await world.deliver(make_payload(**MESSAGE))
    assert outcome == Outcome(state=EventState.DONE, reason="delivered")
    assert world.told == [
        {
            "type": "slack.message.received",
            "data": {
                "event": "slack.message.received",
                "event_id": "Ev1",
                "connection_id": "conn_1",
                "team_id": "T1",
                "channel_id": "C1",
                "user_id": "UANN",
                "user_name": "Ann",
                "text": "hello",
                "ts": "1700000000.000100",
                "reply_in_thread_ts": "1700000000.000100",
                "reply_instruction": 'To respond, call SLACK_REPLY_IN_THREAD with channel="C1" and '
                'thread_ts="1700000000.000100". Never post at the top of the channel: each subject stays in its own '
                "thread.",
                "has_files": False,
                "is_dm": False,
                "channel_type": "channel",
                "timestamp": "2023-11-14T22:13:20.250Z",
            },
        }
    ]
    assert world.web.calls == []


async def test_a_subscriber_knows_a_repeated_delivery_by_its_id() -> None:
    world = World(make_connection(triggers=(make_trigger(),)))
    payload = make_payload(**MESSAGE)
    await world.deliver(payload)
    await world.deliver(payload)
    assert [request.headers["webhook-id"] for request in world.requests] == ["Ev1:trg_1"] * 2
    assert world.told[0] == world.told[1]


async def test_a_mention_with_a_file_in_a_direct_thread_is_told_with_the_thread() -> None:
    replies = [
        {"ts": "1700000000.000100", "user": "UANN", "text": "first"},
        {"ts": "1700000000.000150", "user": "UBOT", "bot_id": "BBOT", "text": "answer"},
        "what",
    ]
    world = World(
        make_connection(triggers=(make_mesh_trigger("slack.app_mention"),)),
        web=FakeWeb({"ok": True, "messages": replies, "has_more": True}),
    )
    changes: dict[str, Any] = IN_THREAD | {"type": "app_mention", "files": [{"id": "F1"}], "user": "UBEN"}
    await world.deliver(make_payload(**changes))
    data = world.told[0]["data"]
    assert data["has_files"] is True
    assert data["reply_in_thread_ts"] == data["thread_ts"] == "1700000000.000100"
    assert data["thread_messages"] == [
        {"ts": "1700000000.000100", "user": "UANN", "text": "first", "is_bot": False},
        {"ts": "1700000000.000150", "user": "UBOT", "text": "answer", "is_bot": True},
    ]
    assert data["thread_has_more"] is True
    assert "is_dm" not in data
    assert "user_name" not in data
    assert world.web.calls[0][0] == "conversations.replies"


@pytest.mark.parametrize(
    "error", [MissingScopeError("conversations.replies", "channels:history"), RateLimitedError("x", 60)]
)
async def test_a_thread_that_cannot_be_read_is_left_out(error: Exception) -> None:
    world = World(make_connection(triggers=(make_mesh_trigger(),)), web=FakeWeb(error))
    await world.deliver(make_payload(**IN_THREAD))
    assert "thread_messages" not in world.told[0]["data"]


async def test_a_long_thread_is_cut_to_what_a_receiver_takes() -> None:
    replies = [{"ts": f"1.{number:06}", "user": "U1", "text": "x" * 40_000} for number in range(100)]
    world = World(make_connection(triggers=(make_mesh_trigger(),)), web=FakeWeb({"messages": replies}))
    await world.deliver(make_payload(**IN_THREAD))
    data = world.told[0]["data"]
    assert len(world.requests[0].content) < 1_000_000
    assert data["thread_messages"][-1]["ts"] == "1.000099"
    assert data["thread_has_more"] is True


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        pytest.param(
            {"type": "reaction_added", "reaction": "eyes", "item": {"type": "message", "channel": "C1", "ts": "1.1"}}
            | {"channel": None, "ts": None, "text": None},
            {"channel_id": "C1", "user_id": "UANN", "reaction": "eyes", "item_ts": "1.1"},
            id="slack.reaction.added",
        ),
        pytest.param(
            {"type": "channel_created", "channel": {"id": "C9", "name": "new"}, "user": None, "text": None},
            {"channel_id": "C9", "channel_name": "new"},
            id="slack.channel.created",
        ),
        pytest.param(
            {"type": "member_joined_channel", "text": None},
            {"channel_id": "C1", "user_id": "UANN"},
            id="slack.member.joined",
        ),
    ],
)
async def test_what_is_no_message_is_told_in_few_words(
    payload: dict[str, Any], told: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.id
    world = World(make_connection(triggers=(make_mesh_trigger(kind),)))
    await world.deliver(make_payload(**payload))
    common = {"event": kind, "event_id": "Ev1", "connection_id": "conn_1", "team_id": "T1"}
    assert world.told == [{"type": kind, "data": common | told | {"timestamp": "2023-11-14T22:13:20.250Z"}}]


async def test_with_trigger_only_the_placeholder_is_named_and_how_to_fill_it() -> None:
    world = World(
        make_connection(triggers=(make_mesh_trigger(),), settings=TRIGGER_ONLY), bot=FakeBot(ts="1700000009.000001")
    )
    await world.deliver(make_payload(**MESSAGE))
    data = world.told[0]["data"]
    assert data["thinking_message_ts"] == "1700000009.000001"
    assert "SLACK_EDIT_MESSAGE" in data["reply_instruction"]
    assert "answered_by_bot" not in data


async def test_no_placeholder_is_asked_for_where_nobody_wants_one() -> None:
    settings = replace(TRIGGER_ONLY, show_thinking_message=False)
    world = World(make_connection(triggers=(make_mesh_trigger(),), settings=settings), bot=FakeBot(ts="1.1"))
    await world.deliver(make_payload(**MESSAGE))
    assert "thinking_message_ts" not in world.told[0]["data"]


async def test_what_the_bot_answers_itself_is_not_to_be_answered_by_others() -> None:
    world = World(make_connection(triggers=(make_mesh_trigger(),)), bot=FakeBot(asked=True))
    await world.deliver(make_payload(**MESSAGE))
    data = world.told[0]["data"]
    assert data["answered_by_bot"] is True
    assert "do not reply" in data["reply_instruction"]


async def test_an_event_whose_trigger_was_removed_is_skipped() -> None:
    world = World(make_connection(triggers=(make_trigger(),)))
    (event,) = journal(world.connection, make_payload(**MESSAGE))
    async with world.open() as handler:
        outcome = await handler.handle(make_connection(), event, make_claim())
    assert outcome == Outcome(state=EventState.SKIPPED, reason="trigger_removed")
    assert not world.requests


async def test_an_event_is_sent_to_where_its_trigger_points_now() -> None:
    world = World(make_connection(triggers=(make_mesh_trigger(),)))
    (event,) = journal(world.connection, make_payload(**MESSAGE))
    renewed = make_mesh_trigger(url="https://mesh.example/new", secret=Secret("new-token"))
    async with world.open() as handler:
        await handler.handle(make_connection(triggers=(renewed,)), event, make_claim())
    assert str(world.requests[0].url) == "https://mesh.example/new"
    assert world.requests[0].headers["Authorization"] == "Bearer new-token"


async def test_a_token_that_mesh_does_not_know_ends_all_triggers_of_mesh_and_no_others() -> None:
    mesh = (make_mesh_trigger(), make_mesh_trigger("slack.app_mention"))
    world = World(make_connection(triggers=(*mesh, make_trigger())))
    world.status = 401
    event = journal(world.connection, make_payload(**MESSAGE))[0]
    async with world.open() as handler:
        with pytest.raises(TriggerRefusedError):
            await handler.handle(world.connection, event, make_claim())
        assert {each.trigger_id: each.refused_at_ms is not None for each in world.connection.triggers} == {
            "mesh.slack.message.received": True,
            "mesh.slack.app_mention": True,
            "trg_1": False,
        }
        with pytest.raises(TriggerRefusedError, match="configure"):
            await handler.handle(world.connection, event, make_claim())
    assert len(world.requests) == 1
    assert [each.event_id for each in journal(world.connection, make_payload(**MESSAGE))] == ["Ev1:trg_1"]


async def test_a_token_that_was_renewed_while_the_old_one_was_refused_stays() -> None:
    world = World(make_connection(triggers=(make_mesh_trigger(),)))
    world.status = 401
    renewed = make_mesh_trigger(secret=Secret("new-token"))

    def renew() -> None:
        world.rows = {"conn_1": replace(world.connection, triggers=(renewed,))}  # type: ignore[dict-item]
        triggers.rows = world.rows

    triggers = FakeTriggers(world.rows)
    (event,) = journal(world.connection, make_payload(**MESSAGE))
    world.on_request = renew
    async with world.open() as handler:
        handler._triggers = triggers
        with pytest.raises(TriggerUnavailableError, match="anew"):
            await handler.handle(world.connection, event, make_claim())
    assert world.connection.triggers == (renewed,)


async def test_a_subscriber_that_is_gone_ends_its_own_trigger_alone() -> None:
    world = World(make_connection(triggers=(make_trigger("trg_1"), make_trigger("trg_2"))))
    world.status = 410
    event = journal(world.connection, make_payload(**MESSAGE))[0]
    async with world.open() as handler:
        with pytest.raises(TriggerRefusedError):
            await handler.handle(world.connection, event, make_claim())
    assert [each.refused_at_ms is None for each in world.connection.triggers] == [False, True]


async def test_what_is_no_event_of_a_trigger_is_skipped() -> None:
    world = World(make_connection())
    body = b'{"trigger_id":"a","type":"b","body":{"type":"url_verification","challenge":"x"}}'
    async with world.open() as handler:
        for event in (make_event(), replace(make_event(), payload=body)):
            outcome = await handler.handle(world.connection, event, make_claim())
            assert outcome == Outcome(state=EventState.SKIPPED, reason="malformed_body")


async def test_the_last_receiver_that_is_given_up_withdraws_the_placeholder() -> None:
    one = World(make_connection(triggers=(make_trigger(),), settings=TRIGGER_ONLY))
    two = World(make_connection(triggers=(make_trigger(), make_trigger("trg_2")), settings=TRIGGER_ONLY))
    normal = World(make_connection(triggers=(make_trigger(),)))
    for world in (one, two, normal):
        event = journal(world.connection, make_payload(**MESSAGE))[0]
        async with world.open() as handler:
            await handler.give_up(world.connection, event, make_claim(), TriggerRefusedError("no"))
    assert one.bot.withdrawn == [("Ev1:trg_1", True)]
    assert two.bot.withdrawn == [("Ev1:trg_1", False)]
    assert normal.bot.withdrawn == []


async def test_an_organizations_event_without_a_workspace_has_no_team() -> None:
    world = World(make_connection(triggers=(make_mesh_trigger(),), team_id=TeamId("T1")))
    payload = make_payload(**MESSAGE)
    del payload["team_id"]
    await world.deliver(payload)
    assert "team_id" not in world.told[0]["data"]
