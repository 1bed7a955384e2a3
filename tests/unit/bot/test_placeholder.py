import json
from dataclasses import replace
from typing import Any

import anyio
import pytest
from bot_fakes import (
    CHANNEL,
    ROOT,
    FakeSlack,
    FakeTurns,
    PodDied,
    make_claim,
    make_connection,
    make_event,
    make_payload,
)

from slack_mcp.bot.addressed import SkipReason, decide, find_reason_to_skip
from slack_mcp.bot.placeholder import PlaceholderLender
from slack_mcp.core.errors import MalformedBodyError, MissingScopeError, SlackUnavailableError, TriggerUnavailableError
from slack_mcp.core.ids import EventId, Ts
from slack_mcp.core.model import ConnectionSettings, JournalledEvent, TurnState
from slack_mcp.protocol.events import EventCallback, parse_envelope

pytestmark = pytest.mark.anyio
CONNECTION = make_connection(settings=ConnectionSettings(trigger_only=True))
THINKING = "_Thinking…_"


def render(**changes: Any) -> bytes:
    return json.dumps(make_payload(**changes)).encode()


def read(**changes: Any) -> EventCallback:
    event = parse_envelope(render(**changes))
    assert isinstance(event, EventCallback)
    return event


def make_delivery(receiver: str = "trg_1", *, redone: bool = False) -> JournalledEvent:
    return replace(make_event(redone=redone), event_id=EventId(f"Ev1:{receiver}"))


class World:
    def __init__(self) -> None:
        self.turns = FakeTurns()
        self.slack = FakeSlack(self.turns.effects)
        self.lender = PlaceholderLender(turns=self.turns, slack=self.slack, patience_s=0.05, pause_s=0)

    async def place(self, event: JournalledEvent | None = None, **changes: Any) -> str | None:
        return await self.lender.place(CONNECTION, event or make_delivery(), render(**changes), make_claim())


async def test_a_message_for_the_bot_gets_a_placeholder_in_its_thread() -> None:
    world = World()
    ts = await world.place()
    assert world.slack.texts == [THINKING]
    assert world.slack.threads == {ts: ROOT}
    (turn,) = world.turns.turns.values()
    assert (turn.answer_ts, turn.state, turn.event_id) == (ts, TurnState.PLACED, "Ev1:trg_1")


async def test_all_receivers_of_a_message_share_one_placeholder() -> None:
    world = World()
    placed: list[str | None] = []

    async def place(receiver: str) -> None:
        placed.append(await world.place(make_delivery(receiver)))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for receiver in ("trg_1", "trg_2", "mesh"):
                tasks.start_soon(place, receiver)
    assert len(placed) == 3
    assert len(set(placed)) == 1
    assert world.slack.texts == [THINKING]


async def test_a_repeated_delivery_finds_the_placeholder() -> None:
    world = World()
    assert await world.place() == await world.place(make_delivery(redone=True))
    assert world.slack.texts == [THINKING]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("place", range(3))
async def test_wherever_a_pod_dies_there_is_one_placeholder_in_the_end(place: int, when: Any) -> None:
    world = World()
    world.turns.effects.die_at = place, when
    with pytest.raises(PodDied):
        await world.place()
    world.turns.effects.die_at = None
    assert await world.place(make_delivery(redone=True)) is not None
    assert world.slack.texts == [THINKING]


async def test_a_receiver_does_not_wait_for_ever_for_the_one_that_posts() -> None:
    world = World()
    world.turns.effects.die_at = 1, "before"
    with pytest.raises(PodDied):
        await world.place()
    world.turns.effects.die_at = None
    with anyio.fail_after(5), pytest.raises(TriggerUnavailableError):
        await world.place(make_delivery("trg_2"))
    assert world.slack.texts == []


async def test_where_slack_takes_no_placeholder_everybody_goes_on_without() -> None:
    world = World()
    world.slack.fail = lambda _method: MissingScopeError("chat.postMessage", "chat:write")
    assert await world.place() is None
    assert await world.place(make_delivery("trg_2")) is None
    assert await world.place(make_delivery(redone=True)) is None


async def test_where_slack_does_not_answer_it_is_tried_again() -> None:
    world = World()
    world.slack.fail = lambda _method: SlackUnavailableError("chat.postMessage", "timeout")
    with pytest.raises(SlackUnavailableError):
        await world.place()
    world.slack.fail = lambda _method: None
    assert await world.place(make_delivery(redone=True)) is not None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"type": "message", "channel_type": "channel", "text": "among people"}, id="among people"),
        pytest.param({"user": "UBOT"}, id="the bot's own"),
    ],
)
async def test_what_is_not_for_the_bot_gets_none(changes: dict[str, Any]) -> None:
    world = World()
    assert await world.place(**changes) is None
    assert not await world.lender.is_asked(CONNECTION, render(**changes))
    assert world.slack.texts == []
    assert not world.turns.turns


async def test_the_bots_own_answer_is_lent_to_nobody() -> None:
    world = World()
    event = make_event()
    lent = World()
    await lent.place()
    (turn,) = lent.turns.turns.values()
    await world.turns.begin_turn(replace(turn, event_id=event.event_id, notice=None))
    assert await world.place() is None


async def test_a_reply_in_a_thread_with_a_placeholder_is_for_the_bot() -> None:
    world = World()
    await world.place()
    reply = {"type": "message", "channel_type": "channel", "ts": "1700000000.000900", "thread_ts": ROOT, "text": "and?"}
    assert await world.lender.is_asked(CONNECTION, render(**reply))


async def withdraw(world: World, event: JournalledEvent, *, may_speak: bool) -> None:
    await world.lender.withdraw(CONNECTION, event, render(), make_claim(), may_speak=may_speak)


async def test_a_placeholder_that_nobody_will_fill_says_so_once() -> None:
    world = World()
    await world.place()
    for _ in range(2):
        await withdraw(world, make_delivery(), may_speak=True)
    assert "Ev1:trg_1" in world.slack.texts[0]
    assert len(world.slack.texts) == 1


async def test_an_answer_that_a_receiver_gave_before_it_failed_stays() -> None:
    world = World()
    ts = await world.place()
    assert ts is not None
    await world.slack.update_message(CHANNEL, Ts(ts), "the answer")
    await withdraw(world, make_delivery(), may_speak=True)
    assert world.slack.texts == ["the answer"]


async def test_a_placeholder_that_another_receiver_may_fill_is_left_alone() -> None:
    world = World()
    await world.place()
    await withdraw(world, make_delivery("trg_2"), may_speak=False)
    assert world.slack.texts == [THINKING]


async def test_nobody_waits_for_a_receiver_that_was_given_up_before_it_posted() -> None:
    world = World()
    world.slack.fail = lambda _method: SlackUnavailableError("chat.postMessage", "timeout")
    with pytest.raises(SlackUnavailableError):
        await world.place()
    await withdraw(world, make_delivery(), may_speak=False)
    assert await world.place(make_delivery("trg_2")) is None


async def test_what_is_no_event_is_for_nobody() -> None:
    with pytest.raises(MalformedBodyError):
        await World().lender.is_asked(CONNECTION, b'{"type":"url_verification","challenge":"x"}')


async def test_with_trigger_only_the_bot_answers_nothing_and_says_why() -> None:
    assert find_reason_to_skip(CONNECTION, read()) is SkipReason.TRIGGER_ONLY
    assert await decide(CONNECTION, read(), FakeTurns()) is SkipReason.TRIGGER_ONLY
    assert find_reason_to_skip(CONNECTION, read(user="UBOT")) is SkipReason.OWN_MESSAGE
    assert find_reason_to_skip(CONNECTION, read(channel=CHANNEL, type="reaction_added")) is SkipReason.EVENT_TYPE
