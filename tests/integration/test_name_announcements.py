"""Names that one pod heard news of are dropped on the others, over NOTIFY on a real PostgreSQL."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
import structlog
from names_fakes import ListingSlack
from postgres import make_url
from stepping_clock import SteppingClock
from store_samples import make_connection

from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ConnectionId, EventId
from slack_mcp.core.model import Claim, JournalledEvent
from slack_mcp.names.feed import NameFeed
from slack_mcp.names.resolve import CachedNames
from slack_mcp.ports.announcements import NAMES_CHANNEL, Subscribers
from slack_mcp.ports.names import NameChange, NameKind
from slack_mcp.store.announcements import Listener, SqlNameAnnouncer
from slack_mcp.store.database import Database, open_database

pytestmark = pytest.mark.anyio

A, B = ConnectionId("conn_a"), ConnectionId("conn_b")
GENERAL, ANN = "C00GENERAL", "U00ANN"
RENAMED = {"type": "event_callback", "event": {"type": "channel_rename", "channel": {"id": GENERAL, "name": "all"}}}


class Pod:
    """One pod's names, and what it hears from the others."""

    def __init__(self, slack: ListingSlack, database: Database) -> None:
        self.names = CachedNames(slack=slack, clock=SteppingClock())
        self.announcer = SqlNameAnnouncer(database, tell=self.on_names)
        self.heard: list[NameChange] = []
        self.has_heard = anyio.Event()

    def on_names(self, change: NameChange) -> None:
        self.heard.append(change)
        self.names.forget(change)
        self.has_heard.set()

    @asynccontextmanager
    async def listen(self, url: str) -> AsyncIterator[None]:
        dsn = make_url(url).dsn
        assert dsn is not None
        is_listening = anyio.Event()
        subscribers = Subscribers(
            on_change=lambda _change: None,
            on_work=lambda: None,
            on_listening=lambda yes: is_listening.set() if yes else None,
            on_names=self.on_names,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Listener(dsn, subscribers=subscribers).run)
            with anyio.fail_after(10):
                await is_listening.wait()
            yield
            tasks.cancel_scope.cancel()


@pytest.fixture
async def database(postgres_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with open_database(make_url(postgres_url)) as database:
        yield database


@pytest.fixture
def slack() -> ListingSlack:
    slack = ListingSlack()
    for connection_id in (A, B):
        slack.add_channel(connection_id, GENERAL, "general")
        slack.add_person(connection_id, ANN, "ann")
    return slack


async def test_rename_that_one_pod_works_on_is_known_to_the_other_within_a_second(
    postgres_url: str, database: Database, slack: ListingSlack
) -> None:
    acme, globex = make_connection(A), make_connection(B)
    first, second = Pod(slack, database), Pod(slack, database)
    async with second.listen(postgres_url):
        for connection in (acme, globex):
            assert await second.names.resolve_channel(connection, "general") == GENERAL
        slack.add_channel(A, GENERAL, "all")
        slack.calls.clear()
        event = JournalledEvent(
            id=1,
            connection_id=A,
            event_id=EventId("Ev1"),
            event_time=1_800_000_000,
            lane="-:channel_rename",
            event_type="channel_rename",
            payload=json.dumps(RENAMED).encode(),
            attempts=0,
            received_at_ms=0,
            redone=False,
        )
        claim = Claim(lane_id=1, fence=1, connection_id=A, lane=event.lane, takeovers=0, events=(event,))
        with anyio.fail_after(1):
            await NameFeed(announcer=first.announcer).handle(acme, event, claim)
            await second.has_heard.wait()
        assert first.heard == second.heard == [NameChange(connection_id=A, kind=NameKind.CHANNEL, id=GENERAL)]
        assert await second.names.resolve_channel(acme, "all") == GENERAL
        assert await second.names.find_channel_names(globex, [GENERAL]) == {GENERAL: "general"}
        assert [owner for owner, _ in slack.calls] == [A]


async def test_all_of_a_connection_is_forgotten_on_both_and_nothing_of_another(
    postgres_url: str, database: Database, slack: ListingSlack
) -> None:
    acme, globex = make_connection(A), make_connection(B)
    first, second = Pod(slack, database), Pod(slack, database)
    async with second.listen(postgres_url):
        for pod in (first, second):
            for connection in (acme, globex):
                await pod.names.resolve_user(connection, "ann")
        with anyio.fail_after(1):
            await first.announcer.announce(NameChange(connection_id=A, kind=NameKind.CONNECTION))
            await second.has_heard.wait()
        slack.calls.clear()
        for pod in (first, second):
            for connection in (acme, globex):
                await pod.names.resolve_user(connection, "ann")
        assert slack.calls == [(A, "users.list")] * 2


@pytest.mark.parametrize("payload", ["", "[]", '{"connection_id":"a","kind":"planet","id":"x"}', '{"kind":"user"}'])
async def test_announcement_that_cannot_be_read_is_passed_over(
    postgres_url: str, database: Database, slack: ListingSlack, payload: str
) -> None:
    pod = Pod(slack, database)
    with structlog.testing.capture_logs() as lines:
        async with pod.listen(postgres_url):
            async with database.driver() as connection:
                await connection.execute("SELECT pg_notify($1, $2)", NAMES_CHANNEL, payload)
            await pod.announcer.announce(NameChange(connection_id=A, kind=NameKind.USER, id=ANN))
            with anyio.fail_after(5):
                while len(pod.heard) < 2:  # once told by itself, once heard
                    pod.has_heard = anyio.Event()
                    await pod.has_heard.wait()
    assert "listener.unreadable" in [line["event"] for line in lines]


async def test_longest_ids_can_be_announced(postgres_url: str, database: Database, slack: ListingSlack) -> None:
    change = NameChange(connection_id=ConnectionId("ü" * 255), kind=NameKind.USER, id="U" * 64)
    first, second = Pod(slack, database), Pod(slack, database)
    async with second.listen(postgres_url):
        with anyio.fail_after(5):
            await first.announcer.announce(change)
            await second.has_heard.wait()
    assert second.heard == [change]


async def test_sqlite_has_no_other_pods_to_tell(slack: ListingSlack) -> None:
    async with open_database(make_url(":memory:")) as database:
        pod = Pod(slack, database)
        await pod.announcer.announce(NameChange(connection_id=A, kind=NameKind.USER, id=ANN))
        assert [each.id for each in pod.heard] == [ANN]


async def test_lost_database_is_told_to_whoever_announces(slack: ListingSlack) -> None:
    async with open_database(make_url("postgresql://postgres@127.0.0.1:1/nowhere")) as database:
        pod = Pod(slack, database)
        with pytest.raises(StoreUnavailableError):
            await pod.announcer.announce(NameChange(connection_id=A, kind=NameKind.USER, id=ANN))
        assert [each.id for each in pod.heard] == [ANN]
