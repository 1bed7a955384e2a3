"""What has been kept for long enough is deleted, and nothing else."""

import pytest
from stepping_clock import SteppingClock

from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, PodId, Ts
from slack_mcp.core.model import Delivery, EventState, Outcome, Settlement, Turn, TurnState
from slack_mcp.inbox.prune import BATCH, prune
from slack_mcp.ports.store import Journal
from slack_mcp.sealing import Sealer
from slack_mcp.store.database import Database
from slack_mcp.store.open import open_journal
from slack_mcp.store.turns import SqlTurnStore

pytestmark = pytest.mark.anyio

CONNECTION, CHANNEL = ConnectionId("conn_1"), ChannelId("C1")


async def test_turns_and_finished_events_go_when_their_time_is_over(database: Database) -> None:
    clock = SteppingClock()
    journal = open_journal(database, Sealer(None), PodId("pod-a"), clock=clock)
    turns = SqlTurnStore(database, Sealer(None), clock=clock)
    events = [
        Delivery(
            connection_id=CONNECTION,
            event_id=EventId(f"Ev{n}"),
            event_time=1_800_000_000,
            lane=f"C1:{n}",
            event_type="message",
            payload=b"{}",
        )
        for n in range(2)
    ]
    await journal.append(events)
    claims = await journal.claim(PodId("pod-a"), max_lanes=1, lanes_per_connection=9, lease_s=60, events_per_lane=9)
    outcome = Outcome(state=EventState.DONE, reason="answered")
    await journal.settle(
        [Settlement(claim=claims[0], outcomes=((claims[0].events[0], outcome),))], lease_s=60, events_per_lane=9
    )
    for number in range(3):
        await turns.begin_turn(make_turn(number))
        clock.time_s += 100
    await delete_old(journal, turns, events_s=3600, turns_s=150)
    assert await turns.count_turns() == 1
    assert (await journal.load_backlog()).unfinished == 1
    # PostgreSQL has a clock of its own, so that only "at once" can be asked of both.
    await delete_old(journal, turns, events_s=0, turns_s=150)
    assert await journal.delete_finished(done_before_s=0, dead_before_s=0, limit=10) == 0
    assert (await journal.load_backlog()).unfinished == 1


async def delete_old(journal: Journal, turns: SqlTurnStore, *, events_s: float, turns_s: float) -> None:
    await prune(
        [
            lambda limit: journal.delete_finished(done_before_s=events_s, dead_before_s=events_s, limit=limit),
            lambda limit: turns.delete_turns(before_s=turns_s, limit=limit),
        ]
    )


async def test_pruning_goes_on_batch_by_batch_until_one_is_not_full() -> None:
    left = [2 * BATCH + 1]

    async def delete(limit: int) -> int:
        taken = min(limit, left[0])
        left[0] -= taken
        return taken

    await prune([delete])
    assert left == [0]


def make_turn(number: int) -> Turn:
    return Turn(
        connection_id=CONNECTION,
        channel_id=CHANNEL,
        message_ts=Ts(f"{number}.0"),
        thread_ts=Ts("0.0"),
        event_id=EventId(f"Ev{number}"),
        user_id=None,
        state=TurnState.STARTED,
        question="?",
    )
