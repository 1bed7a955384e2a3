from contextlib import aclosing
from dataclasses import replace

import pytest
from operation_fakes import NOW_MS, FakeDeliveries, FakeOperations, make_event
from store_samples import make_turn
from tool_fakes import FakeAudit

from slack_mcp.core.ids import ChannelId, EventId, Ts
from slack_mcp.core.model import EventState, Turn, TurnState
from slack_mcp.inbox.operate import BATCH, Operator, Rules, Verdict, judge
from slack_mcp.ports.operations import Ending, EventFilter
from slack_mcp.protocol.shadow import SHADOW, parse_shadow

pytestmark = pytest.mark.anyio

AGAIN = Rules(again=True, lately_ms=60_000)
WHOLE = make_turn(state=TurnState.FINISHED, answer="yes", answer_ts=Ts("2.0"))
SENTENCE = make_turn(state=TurnState.FINISHED, notice="no_answer", answer_ts=Ts("2.0"))
UNSHOWN = make_turn(state=TurnState.ANSWERED, answer="yes")
BEGUN = make_turn(state=TurnState.PLACED, answer_ts=Ts("2.0"))
OF_OTHER = make_turn(state=TurnState.FINISHED, answer="yes", event_id=EventId("EvOther"))


@pytest.mark.parametrize(
    ("state", "reason", "turn", "plain", "again"),
    [
        (EventState.RECEIVED, None, None, Verdict.UNFINISHED, Verdict.UNFINISHED),
        (EventState.WAITING, "x", WHOLE, Verdict.UNFINISHED, Verdict.UNFINISHED),
        (EventState.DONE, "answered", WHOLE, Verdict.ANSWERED, Verdict.ASKED_AGAIN),
        (EventState.DONE, "agent_not_configured", SENTENCE, Verdict.PUT_BACK, Verdict.PUT_BACK),
        (EventState.DONE, "delivered", None, Verdict.DONE, Verdict.PUT_BACK),
        (EventState.DEAD, "x", None, Verdict.PUT_BACK, Verdict.PUT_BACK),
        (EventState.DEAD, "x", SENTENCE, Verdict.PUT_BACK, Verdict.PUT_BACK),
        (EventState.DEAD, "x", BEGUN, Verdict.PUT_BACK, Verdict.PUT_BACK),
        (EventState.DEAD, "x", UNSHOWN, Verdict.PUT_BACK, Verdict.ASKED_AGAIN),
        # Given up with half of its answer in the thread.
        (EventState.DEAD, "x", WHOLE, Verdict.PUT_BACK, Verdict.ASKED_AGAIN),
        (EventState.SKIPPED, "channel_not_allowed", None, Verdict.PUT_BACK, Verdict.PUT_BACK),
        (EventState.SKIPPED, "same_message", OF_OTHER, Verdict.SAME_MESSAGE, Verdict.SAME_MESSAGE),
        # Such as the edit of a question that is answered.
        (EventState.DEAD, "x", OF_OTHER, Verdict.PUT_BACK, Verdict.PUT_BACK),
        (EventState.SKIPPED, "noise_subtype", OF_OTHER, Verdict.PUT_BACK, Verdict.PUT_BACK),
    ],
)
async def test_what_is_whole_is_left_alone_unless_it_is_to_be_done_again(
    state: EventState, reason: str | None, turn: Turn | None, plain: Verdict, again: Verdict
) -> None:
    event = make_event(state=state, reason=reason)
    assert judge(event, turn, Rules(), now_ms=NOW_MS) is plain
    assert judge(event, turn, AGAIN, now_ms=NOW_MS) is again


async def test_what_was_done_again_lately_is_left_alone_and_what_died_again_is_not() -> None:
    for age_ms, verdict in ((59_999, Verdict.LATELY), (60_000, Verdict.ASKED_AGAIN)):
        event = make_event(state=EventState.DONE, replayed_at_ms=NOW_MS - age_ms)
        assert judge(event, WHOLE, AGAIN, now_ms=NOW_MS) is verdict
    dead = make_event(state=EventState.DEAD, replayed_at_ms=NOW_MS - 1)
    assert judge(dead, WHOLE, AGAIN, now_ms=NOW_MS) is Verdict.ASKED_AGAIN


def make_operator(journal: FakeOperations, audit: FakeAudit, deliveries: FakeDeliveries | None = None) -> Operator:
    return Operator(operations=journal, journal=deliveries or FakeDeliveries(), audit=audit, actor="cli:ann")


async def test_a_replay_that_was_interrupted_goes_on_when_it_is_started_again() -> None:
    journal = FakeOperations([make_event(number) for number in range(1, 2 * BATCH + 51)])
    operator = make_operator(journal, FakeAudit())
    async with aclosing(operator.replay(EventFilter(), Rules())) as batches:
        assert len(await anext(batches)) == BATCH
    assert len(journal.put) == BATCH
    rest = [len(batch) async for batch in operator.replay(EventFilter(), Rules())]
    assert rest == [BATCH, 50]
    assert [each.event.id for each in journal.put] == list(range(1, 2 * BATCH + 51))
    assert [batch async for batch in operator.replay(EventFilter(), Rules())] == []


async def test_a_limit_ends_the_walk() -> None:
    journal = FakeOperations([make_event(number) for number in range(1, 301)])
    sizes = [
        len(batch) async for batch in make_operator(journal, FakeAudit()).replay(EventFilter(), Rules(), limit=150)
    ]
    assert sizes == [BATCH, 50]


async def test_a_dry_run_changes_nothing_and_says_the_same() -> None:
    journal = FakeOperations([make_event(1), make_event(2, state=EventState.DONE)], {2: OF_OTHER})
    audit = FakeAudit()
    operator = make_operator(journal, audit)
    ((planned),) = [batch async for batch in operator.replay(EventFilter(), Rules(), dry_run=True)]
    assert [verdict for _, verdict in planned] == [Verdict.PUT_BACK, Verdict.DONE]
    ended = [batch async for batch in operator.discard(EventFilter(), detail="x", dry_run=True)]
    assert [end for _, end in ended[0]] == [Ending.DISCARDED] * 2
    assert (journal.put, journal.said, audit.entries) == ([], [], [])


async def test_only_a_turn_of_its_own_that_is_over_is_reopened() -> None:
    cases = {
        1: (make_event(1), SENTENCE, True),
        2: (make_event(2), make_turn(state=TurnState.PLACED, event_id=EventId("Ev2")), False),
        3: (make_event(3), OF_OTHER, False),
        4: (make_event(4), make_turn(state=TurnState.FINISHED, answer="half", event_id=EventId("Ev4")), False),
    }
    journal = FakeOperations(
        [event for event, _, _ in cases.values()], {key: turn for key, (_, turn, _) in cases.items()}
    )
    async for _ in make_operator(journal, FakeAudit()).replay(EventFilter(), Rules()):
        pass
    assert {each.event.id: each.turn is not None for each in journal.put} == {
        key: is_reopened for key, (_, _, is_reopened) in cases.items()
    }


async def test_every_batch_is_in_the_audit_of_each_connection_with_what_was_done() -> None:
    journal = FakeOperations([make_event(1), make_event(2), make_event(3, connection="conn_2")])
    journal.refuses = {2, 3}
    audit = FakeAudit()
    operator = make_operator(journal, audit)
    ((found),) = [batch async for batch in operator.replay(EventFilter(), Rules())]
    assert [verdict for _, verdict in found] == [Verdict.PUT_BACK, Verdict.CHANGED, Verdict.CHANGED]
    assert [(each.connection_id, each.actor, each.tool, each.target, each.result) for each in audit.entries] == [
        ("conn_1", "cli:ann", "events replay", "Ev1", "ok"),
        ("conn_2", "cli:ann", "events replay", None, "ok"),
    ]


async def test_what_is_discarded_is_in_the_audit_and_what_is_in_work_is_not() -> None:
    journal = FakeOperations([make_event(2), make_event(3)])
    journal.refuses = {3}
    audit = FakeAudit()
    ((found),) = [batch async for batch in make_operator(journal, audit).discard(EventFilter(), detail="old")]
    assert [end for _, end in found] == [Ending.DISCARDED, Ending.IN_WORK]
    assert journal.said == ["old"]
    assert [(each.tool, each.target) for each in audit.entries] == [("events discard", "Ev2")]


async def test_messages_are_copied_for_another_channel_once_and_everything_else_is_left_alone() -> None:
    events = [
        make_event(1, state=EventState.DONE),
        make_event(2),
        make_event(3, state=EventState.SKIPPED, reason="same_message"),
        make_event(4, state=EventState.WAITING),
        replace(make_event(5), event_type="trigger.delivery"),
    ]
    journal, deliveries, audit = FakeOperations(events), FakeDeliveries(), FakeAudit()
    operator = make_operator(journal, audit, deliveries)
    channel = ChannelId("CSHADOW")
    ((planned),) = [batch async for batch in operator.shadow(EventFilter(), channel, dry_run=True)]
    assert (deliveries.taken, audit.entries) == ({}, [])
    ((found),) = [batch async for batch in operator.shadow(EventFilter(), channel)]
    assert found == planned
    assert [verdict for _, verdict in found] == [
        Verdict.SHADOWED,
        Verdict.SHADOWED,
        Verdict.SAME_MESSAGE,
        Verdict.UNFINISHED,
        Verdict.NO_MESSAGE,
    ]
    assert list(deliveries.taken) == ["Ev1:shadow:CSHADOW", "Ev2:shadow:CSHADOW"]
    assert deliveries.woken == 1
    copy = deliveries.taken["Ev1:shadow:CSHADOW"]
    assert (copy.lane, copy.event_type) == ("shadow:CSHADOW:C1:1", SHADOW)
    assert parse_shadow(copy.event_type, copy.payload) == (channel, b"{}")
    ((again),) = [batch async for batch in operator.shadow(EventFilter(), channel)]
    assert [verdict for _, verdict in again][:2] == [Verdict.IN_SHADOW] * 2
    assert [each.target for each in audit.entries] == ["Ev1 Ev2", None]
    assert journal.put == []


async def test_what_nobody_can_open_is_not_copied() -> None:
    journal, deliveries = FakeOperations([make_event(1)]), FakeDeliveries()
    journal.payload = None
    operator = make_operator(journal, FakeAudit(), deliveries)
    ((found),) = [batch async for batch in operator.shadow(EventFilter(), ChannelId("CSHADOW"))]
    assert [verdict for _, verdict in found] == [Verdict.UNREADABLE]
    assert deliveries.taken == {}
