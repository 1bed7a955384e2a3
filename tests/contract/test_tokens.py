"""A token that expires is replaced by one of all processes, and what Slack gave is stored before anybody uses it."""

from dataclasses import replace
from typing import Any

import anyio
import pytest
from sealing_process import ONE, TWO, Process, fetch
from store_samples import make_connection

from slack_mcp.core.errors import SlackUnavailableError
from slack_mcp.core.model import Connection, ConnectionChange
from slack_mcp.core.secret import Secret
from slack_mcp.ports.tokens import RenewedToken
from slack_mcp.store.database import Database
from slack_mcp.store.schema import connections
from slack_mcp.store.tokens import SqlTokenStore

pytestmark = pytest.mark.anyio

DUE_S = 1_800_000_100.5  # of the sample
RENEWED = RenewedToken(
    bot_token=Secret("xoxe.xoxb-1-canary"), refresh_token=Secret("xoxe-1-canary"), expires_in_s=43_200
)


class Slack:
    """Gives new tokens, and notes for what; holds its answer back until `may_answer`."""

    def __init__(self, answer: RenewedToken | Exception | None = RENEWED) -> None:
        self.answer = answer
        self.asked: list[Connection] = []
        self.was_asked = anyio.Event()
        self.may_answer = anyio.Event()
        self.may_answer.set()

    async def renew(self, connection: Connection) -> RenewedToken | None:
        self.asked.append(connection)
        self.was_asked.set()
        await self.may_answer.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Pod(Process):
    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.heard: list[ConnectionChange] = []
        self.tokens = SqlTokenStore(database, self.sealer, clock=self.clock, announce=self.heard.append)

    async def save(self, connection_id: str = ONE, **changes: Any) -> Connection:
        changes = {"disabled": False, "mesh_refused_since_ms": None} | changes
        return await self.connections.save_connection(make_connection(connection_id, **changes))

    async def load(self) -> Connection:
        connection = await self.connections.load_connection(ONE)
        assert connection is not None
        return connection


@pytest.fixture
def pod(database: Database) -> Pod:
    return Pod(database)


@pytest.fixture
def other(other_database: Database) -> Pod:
    return Pod(other_database)


async def test_tokens_that_are_due_are_listed_soonest_first(pod: Pod) -> None:
    await pod.save(ONE)
    await pod.save(TWO, token_expires_at_s=DUE_S - 1)
    await pod.save("conn_later", token_expires_at_s=DUE_S + 1)
    await pod.save("conn_lasting", token_expires_at_s=None)
    await pod.save("conn_lost", refresh_token=None)
    await pod.save("conn_disabled", disabled=True)
    assert await pod.tokens.list_expiring(before_s=DUE_S, limit=10) == [TWO, ONE]
    assert await pod.tokens.list_expiring(before_s=DUE_S, limit=1) == [TWO]


async def test_new_tokens_are_stored_and_announced_and_nothing_else_changes(pod: Pod) -> None:
    before = await pod.save()
    await pod.save(TWO)
    slack = Slack()
    assert await pod.tokens.renew_token(ONE, slack.renew, before_s=DUE_S) is True
    assert slack.asked == [replace(before, triggers=())]
    after = await pod.load()
    assert after == replace(
        before,
        bot_token=RENEWED.bot_token,
        refresh_token=RENEWED.refresh_token,
        token_expires_at_s=pod.clock.now_s() + RENEWED.expires_in_s,
        version=before.version + 1,
    )
    assert pod.heard == [ConnectionChange(connection_id=ONE, version=after.version)]
    assert "canary" not in repr(await fetch(pod.database, connections))
    # It is not due any more.
    assert await pod.tokens.renew_token(ONE, slack.renew, before_s=DUE_S) is None
    assert len(slack.asked) == 1


async def test_a_refresh_token_that_slack_does_not_take_is_tried_once(pod: Pod) -> None:
    before = await pod.save()
    slack = Slack(None)
    assert await pod.tokens.renew_token(ONE, slack.renew, before_s=DUE_S) is False
    after = await pod.load()
    assert (after.refresh_token, after.bot_token, after.token_expires_at_s) == (None, before.bot_token, DUE_S)
    assert await pod.tokens.renew_token(ONE, slack.renew, before_s=DUE_S) is None
    assert len(slack.asked) == 1


async def test_when_slack_does_not_answer_everything_stays(pod: Pod) -> None:
    before = await pod.save()
    slack = Slack(SlackUnavailableError("oauth.v2.access", "timeout"))
    with pytest.raises(SlackUnavailableError):
        await pod.tokens.renew_token(ONE, slack.renew, before_s=DUE_S)
    assert await pod.load() == before
    slack.answer = RENEWED
    assert await pod.tokens.renew_token(ONE, slack.renew, before_s=DUE_S) is True


async def test_two_processes_at_once_ask_slack_once(pod: Pod, other: Pod) -> None:
    if pod.database is other.database or pod.database.dialect == "sqlite":
        pytest.skip("SQLite has one process")
    await pod.save()
    slack = Slack()
    slack.may_answer = anyio.Event()
    results: list[bool | None] = []

    async def renew(each: Pod) -> None:
        results.append(await each.tokens.renew_token(ONE, slack.renew, before_s=DUE_S))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(renew, pod)
            await slack.was_asked.wait()
            await renew(other)  # does not wait for the first one
            assert results == [None]
            slack.may_answer.set()
    assert results == [None, True]
    assert len(slack.asked) == 1
    assert await other.tokens.renew_token(ONE, slack.renew, before_s=DUE_S) is None


async def test_tasks_of_one_process_at_once_ask_slack_once(pod: Pod) -> None:
    await pod.save()
    slack = Slack()
    results: list[bool | None] = []

    async def renew() -> None:
        results.append(await pod.tokens.renew_token(ONE, slack.renew, before_s=DUE_S))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(renew)
    assert sorted(results, key=str) == [None, None, True]
    assert len(slack.asked) == 1


async def test_what_slack_has_given_is_stored_also_when_the_process_is_being_stopped(pod: Pod) -> None:
    await pod.save()
    slack = Slack()
    slack.may_answer = anyio.Event()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:

            async def stop() -> None:
                await slack.was_asked.wait()
                tasks.cancel_scope.cancel()
                slack.may_answer.set()

            tasks.start_soon(stop)
            await pod.tokens.renew_token(ONE, slack.renew, before_s=DUE_S)
    assert (await pod.load()).bot_token == RENEWED.bot_token


async def test_tokens_that_were_saved_meanwhile_stand(pod: Pod) -> None:
    if pod.database.dialect == "postgresql":
        pytest.skip("the row is locked there, and a save waits")
    await pod.save()
    slack = Slack()
    slack.may_answer = anyio.Event()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: pod.tokens.renew_token(ONE, slack.renew, before_s=DUE_S))
            await slack.was_asked.wait()
            saved = await pod.save(refresh_token=Secret("xoxe-1-new"), bot_token=Secret("xoxe.xoxb-new"))
            slack.may_answer.set()
    assert await pod.load() == saved
