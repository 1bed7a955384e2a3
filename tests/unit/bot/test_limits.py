import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from bot_fakes import CHANNEL, ROOT, FakeTurns, make_connection, make_payload, make_turn
from hypothesis import given
from hypothesis import strategies as st
from stepping_clock import SteppingClock
from structlog.testing import capture_logs
from tool_fakes import FakeWeb

from slack_mcp.bot.addressed import Addressed, SkipReason, decide
from slack_mcp.bot.limits import SpeakingLimits
from slack_mcp.core.errors import SlackRefusedError, StoreUnavailableError
from slack_mcp.core.ids import ConnectionId, UserId
from slack_mcp.core.model import Connection, ConnectionSettings, Speaking
from slack_mcp.ports.budget import Lease, LeaseRequest
from slack_mcp.protocol.events import EventCallback, parse_envelope

pytestmark = pytest.mark.anyio
DIRECT: dict[str, Any] = {"type": "message", "channel_type": "im", "channel": "D1", "text": "what is up?"}
BOT: dict[str, Any] = {"bot_id": "B9", "app_id": "A9", "user": "UB9"}


class FakeBuckets:
    """Token buckets in memory, for one process."""

    def __init__(self, clock: SteppingClock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[ConnectionId, str], tuple[float, float]] = {}
        self.is_reachable = True

    @property
    def names(self) -> set[str]:
        return {bucket for _, bucket in self._buckets}

    async def take(
        self, connection_id: ConnectionId, bucket: str, *, capacity: float, per_s: float, cost: float = 1.0
    ) -> float:
        if not self.is_reachable:
            raise StoreUnavailableError("The database is gone.")
        tokens, at_s = self._buckets.get((connection_id, bucket), (capacity, self._clock.now_s()))
        tokens = min(capacity, tokens + (self._clock.now_s() - at_s) * per_s)
        wait_s = max(0.0, (cost - tokens) / per_s)
        self._buckets[connection_id, bucket] = (tokens if wait_s else tokens - cost, self._clock.now_s())
        return wait_s

    async def lease(self, requests: Sequence[LeaseRequest]) -> Sequence[Lease]:
        raise NotImplementedError

    async def block(self, connection_id: ConnectionId, bucket: str, *, for_s: float) -> None:
        raise NotImplementedError

    async def delete_idle(self, *, before_s: float, limit: int) -> int:
        raise NotImplementedError


class RefusingWeb(FakeWeb):
    async def write(self, method: str, **arguments: Any) -> Any:
        raise SlackRefusedError(method, "not_in_channel")


async def find_language(connection: Connection, user_id: UserId) -> str:
    return "pt-BR" if user_id == "UBOB" else connection.settings.language


@dataclass(kw_only=True)
class World:
    clock: SteppingClock = field(default_factory=SteppingClock)
    turns: FakeTurns = field(default_factory=FakeTurns)
    web: FakeWeb = field(default_factory=FakeWeb)
    speaking: Speaking = field(default_factory=lambda: Speaking(user_per_min=2, channel_per_min=3))

    def __post_init__(self) -> None:
        self.buckets = FakeBuckets(self.clock)
        self.limits = SpeakingLimits(
            buckets=self.buckets, turns=self.turns, slack=self.web, find_language=find_language
        )
        self.asked = 0

    async def ask(self, *, connection_id: str = "conn_1", is_redone: bool = False, **changes: Any) -> SkipReason | None:
        """Ask a new question, or the one with the `ts` that is given."""
        self.asked += 1
        connection = make_connection(connection_id=connection_id, settings=ConnectionSettings(speaking=self.speaking))
        event = read({"ts": f"1700000001.{self.asked:06}"} | changes)
        addressed = await decide(connection, event, self.turns)
        assert isinstance(addressed, Addressed)
        return await self.limits.admit(connection, addressed, event, is_redone=is_redone)

    @property
    def notices(self) -> list[dict[str, Any]]:
        return [arguments for method, arguments in self.web.calls if method == "chat.postEphemeral"]


def read(changes: dict[str, Any]) -> EventCallback:
    event = parse_envelope(json.dumps(make_payload(**changes)).encode())
    assert isinstance(event, EventCallback)
    return event


async def test_a_person_is_answered_as_often_as_is_allowed_and_again_when_time_has_passed() -> None:
    world = World()
    assert [await world.ask() for _ in range(3)] == [None, None, SkipReason.RATE_LIMITED_USER]
    assert await world.ask(user="UBOB") is None
    world.clock.time_s += 30
    assert await world.ask() is None
    assert await world.ask() is SkipReason.RATE_LIMITED_USER


async def test_a_channel_is_limited_for_all_its_people_together_and_no_other_one() -> None:
    world = World()
    people = ["UANN", "UBOB", "UCYD", "UDAN"]
    assert [await world.ask(user=user) for user in people] == [None, None, None, SkipReason.RATE_LIMITED_CHANNEL]
    assert await world.ask(user="UDAN", channel="C2") is None


async def test_a_person_who_asks_too_much_takes_nothing_from_the_channel() -> None:
    world = World()
    for _ in range(10):
        await world.ask()
    assert await world.ask(user="UBOB") is None


async def test_a_direct_message_is_limited_by_the_person_alone() -> None:
    world = World(speaking=Speaking(user_per_min=2, channel_per_min=1))
    assert [await world.ask(**DIRECT) for _ in range(3)] == [None, None, SkipReason.RATE_LIMITED_USER]
    assert not any(name.startswith("ask:channel") for name in world.buckets.names)


async def test_tenants_do_not_share_a_limit() -> None:
    world = World()
    for _ in range(3):
        await world.ask()
    assert await world.ask(connection_id="conn_2") is None


async def test_without_limits_nothing_is_counted() -> None:
    world = World(speaking=Speaking(user_per_min=0, channel_per_min=0))
    assert [await world.ask() for _ in range(100)] == [None] * 100
    assert world.buckets.names == set()


async def test_a_message_without_an_author_counts_for_the_channel() -> None:
    world = World()
    assert [await world.ask(user=None) for _ in range(4)] == [None] * 3 + [SkipReason.RATE_LIMITED_CHANNEL]
    assert world.notices == []


async def test_a_question_whose_turn_was_begun_never_pays_again() -> None:
    world = World()
    await world.turns.begin_turn(make_turn(message_ts=ROOT, channel_id=CHANNEL))
    twins = [await world.ask(ts=ROOT, type=kind) for kind in ["message", "app_mention"] * 5]
    assert twins == [None] * 10
    assert world.buckets.names == set()


async def test_an_event_that_was_worked_on_before_is_let_in() -> None:
    world = World()
    for _ in range(3):
        await world.ask()
    assert await world.ask(is_redone=True) is None


async def test_a_database_that_is_gone_lets_nobody_in() -> None:
    world = World()
    world.buckets.is_reachable = False
    with pytest.raises(StoreUnavailableError):
        await world.ask()


async def test_who_is_refused_is_told_once_a_minute_and_alone() -> None:
    world = World()
    for _ in range(5):
        await world.ask()
    (notice,) = world.notices
    assert (notice["channel"], notice["user"], notice["thread_ts"]) == (CHANNEL, "UANN", None)
    assert "again in 30 seconds" in notice["text"]
    world.clock.time_s += 60
    for _ in range(3):
        await world.ask()
    assert len(world.notices) == 2


async def test_the_notice_stands_in_the_thread_and_in_the_persons_language() -> None:
    world = World()
    await world.turns.begin_turn(make_turn(message_ts=ROOT, thread_ts=ROOT))
    for _ in range(3):
        await world.ask(user="UBOB", thread_ts=ROOT)
    (notice,) = world.notices
    assert notice["thread_ts"] == ROOT
    assert notice["text"].endswith("pergunte de novo em 30 segundos.")


async def test_a_notice_that_slack_refuses_changes_nothing() -> None:
    world = World(web=RefusingWeb())
    with capture_logs() as logs:
        assert [await world.ask() for _ in range(3)][-1] is SkipReason.RATE_LIMITED_USER
    assert [line["event"] for line in logs] == ["question.refused", "question.refusal_not_told"]
    assert {line["connection_id"] for line in logs} == {"conn_1"}


async def test_two_bots_that_answer_each_other_stop_and_are_told_nothing() -> None:
    world = World(speaking=Speaking(allow_bots=True))
    await world.turns.begin_turn(make_turn(message_ts=ROOT, thread_ts=ROOT))
    answers = [await world.ask(**BOT, thread_ts=ROOT) for _ in range(5)]
    assert answers == [None] * 3 + [SkipReason.RATE_LIMITED_BOT] * 2
    assert await world.ask(user="UANN", thread_ts=ROOT) is None
    assert world.notices == []


async def test_a_bot_that_begins_a_new_thread_each_time_is_stopped_too() -> None:
    world = World(speaking=Speaking(allow_bots=True, channel_per_min=0))
    answers = [await world.ask(**BOT) for _ in range(22)]
    assert answers == [None] * 20 + [SkipReason.RATE_LIMITED_BOT] * 2
    assert await world.ask(**BOT | {"bot_id": "B8"}) is None
    world.clock.time_s += 180
    assert await world.ask(**BOT) is None


@given(
    steps=st.lists(st.tuples(st.sampled_from(["UANN", "UBOB", "UCYD"]), st.floats(0, 40)), max_size=30),
    user_per_min=st.integers(1, 4),
    channel_per_min=st.integers(1, 6),
)
def test_no_window_holds_more_questions_than_the_limits(
    steps: list[tuple[str, float]], user_per_min: int, channel_per_min: int
) -> None:
    world = World(speaking=Speaking(user_per_min=user_per_min, channel_per_min=channel_per_min))
    admitted: list[tuple[float, str]] = []

    async def run() -> None:
        for user, pause_s in steps:
            world.clock.time_s += pause_s
            if await world.ask(user=user) is None:
                admitted.append((world.clock.time_s, user))

    anyio.run(run)
    for place, (since_s, _) in enumerate(admitted):
        for until_s, _ in admitted[place:]:
            inside = [user for at_s, user in admitted if since_s <= at_s <= until_s]
            minutes = (until_s - since_s) / 60 + 1e-6
            assert len(inside) <= channel_per_min * (1 + minutes)
            assert all(inside.count(user) <= user_per_min * (1 + minutes) for user in inside)
