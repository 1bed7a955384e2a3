"""What `ports.explain.Explainer` finds, on every database."""

import json
from dataclasses import replace

import pytest
from stepping_clock import SteppingClock
from store_samples import CHANNEL, ROOT, make_turn

from slack_mcp.core.ids import ConnectionId, EventId, PodId, Ts
from slack_mcp.core.model import Claim, Delivery, EventState, Outcome, Settlement, TurnState
from slack_mcp.ports.store import Journal
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.database import Database
from slack_mcp.store.explain import SqlExplainer
from slack_mcp.store.open import open_journal
from slack_mcp.store.turns import SqlTurnStore

pytestmark = pytest.mark.anyio
SEALER = Sealer(KeyRing.generate("k1"))
POD = PodId("pod-a")


def make_delivery(event_id: str, ts: Ts, *, connection_id: str = "conn_1", thread_ts: Ts | None = None) -> Delivery:
    event = {"type": "message", "channel": CHANNEL, "ts": ts, "thread_ts": thread_ts, "user": "UANN", "text": "hi"}
    body = {"type": "event_callback", "team_id": "T1", "event_id": event_id, "event": event}
    return Delivery(
        connection_id=ConnectionId(connection_id),
        event_id=EventId(event_id),
        event_time=1_800_000_000,
        lane=f"{CHANNEL}:{thread_ts or ts}",
        event_type="message",
        payload=json.dumps(body).encode(),
    )


@pytest.fixture
def journal(database: Database) -> Journal:
    return open_journal(database, SEALER, POD, clock=SteppingClock())


@pytest.fixture
def explainer(database: Database) -> SqlExplainer:
    return SqlExplainer(database, SEALER, clock=SteppingClock())


async def claim(journal: Journal) -> Claim:
    (found,) = await journal.claim(POD, max_lanes=1, lanes_per_connection=1, lease_s=60, events_per_lane=10)
    return found


async def test_an_event_in_work_is_told_with_its_lane_and_its_turn(
    database: Database, journal: Journal, explainer: SqlExplainer
) -> None:
    await journal.append([make_delivery("Ev1", ROOT)])
    held = await claim(journal)
    turns = SqlTurnStore(database, SEALER, clock=SteppingClock())
    turn = await turns.begin_turn(make_turn())
    step: dict[str, str | int] = {"step": "run", "at_ms": 1, "pod": "pod-a"}
    trace = (step,)
    await turns.save_turn(replace(turn, state=TurnState.PLACED, parts=(Ts("1700000001.000100"),), trace=trace), held)
    (found,) = await explainer.explain_event(EventId("Ev1"))
    assert (found.state, found.received_by, found.message_ts) == (EventState.RECEIVED, POD, ROOT)
    assert found.standing is not None
    assert (found.standing.holder, found.standing.fence) == (POD, 1)
    assert found.turn is not None
    assert (found.turn.state, found.turn.trace) == (TurnState.PLACED, trace)


async def test_a_message_of_a_thread_is_found_by_its_link(journal: Journal, explainer: SqlExplainer) -> None:
    reply = Ts("1700000005.000100")
    await journal.append([make_delivery("Ev1", ROOT), make_delivery("Ev2", reply, thread_ts=ROOT)])
    held = await claim(journal)
    outcome = Outcome(state=EventState.SKIPPED, reason="not_for_us")
    settlement = Settlement(claim=held, outcomes=tuple((event, outcome) for event in held.events))
    await journal.settle([settlement], lease_s=60, events_per_lane=10)
    (found,) = await explainer.explain_message(CHANNEL, reply, ROOT)
    assert (found.event_id, found.state, found.reason) == ("Ev2", EventState.SKIPPED, "not_for_us")
    assert found.standing is None
    assert found.finished_at_ms is not None
    assert [each.event_id for each in await explainer.explain_message(CHANNEL, ROOT, None)] == ["Ev1"]


async def test_a_message_of_the_bot_leads_to_the_question_that_it_answers(
    database: Database, journal: Journal, explainer: SqlExplainer
) -> None:
    await journal.append([make_delivery("Ev1", ROOT)])
    held = await claim(journal)
    turns = SqlTurnStore(database, SEALER, clock=SteppingClock())
    parts = (Ts("1700000001.000100"), Ts("1700000002.000100"))
    await turns.save_turn(replace(await turns.begin_turn(make_turn()), parts=parts, answer_ts=parts[0]), held)
    for part in parts:
        assert [each.event_id for each in await explainer.explain_message(CHANNEL, part, ROOT)] == ["Ev1"]
    assert await explainer.explain_message(CHANNEL, Ts("1700000003.000100"), ROOT) == []


async def test_each_connection_that_heard_of_it_is_told(journal: Journal, explainer: SqlExplainer) -> None:
    await journal.append([make_delivery("Ev1", ROOT), make_delivery("Ev1", ROOT, connection_id="conn_2")])
    found = await explainer.explain_message(CHANNEL, ROOT, None)
    assert sorted(each.connection_id for each in found) == ["conn_1", "conn_2"]
    assert all(each.turn is None for each in found)


async def test_a_payload_that_does_not_open_is_told_without_its_message(database: Database, journal: Journal) -> None:
    await journal.append([make_delivery("Ev1", ROOT)])
    stranger = SqlExplainer(database, Sealer(KeyRing.generate("k2")), clock=SteppingClock())
    (found,) = await stranger.explain_event(EventId("Ev1"))
    assert (found.message_ts, found.turn) == (None, None)
