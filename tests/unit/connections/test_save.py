from dataclasses import replace
from typing import Any

import pytest
from configuration_fakes import IDENTITY, FakeConnectionStore, FakeSlack
from stepping_clock import SteppingClock
from structlog.testing import capture_logs

from slack_mcp.connections.save import ConnectionSaver
from slack_mcp.connections.scopes import REQUIRED_SCOPES
from slack_mcp.core.errors import SlackUnavailableError, TokenRevokedError
from slack_mcp.core.ids import ConnectionId, TeamId, UserId
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret

pytestmark = pytest.mark.anyio

OVERLAP_S = 3600.0


def make_connection(signed_with: str = "first") -> Connection:
    return Connection(
        connection_id=ConnectionId("conn_a"),
        organization_id="org1",
        mesh_url="",
        bot_token=Secret("xoxb-1"),
        signing_secret=Secret(signed_with),
    )


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def saver(store: FakeConnectionStore, slack: FakeSlack, clock: SteppingClock) -> ConnectionSaver:
    return ConnectionSaver(store=store, slack=slack, clock=clock, signing_secret_overlap_s=OVERLAP_S)


async def test_slack_fills_in_whose_the_token_is(
    saver: ConnectionSaver, store: FakeConnectionStore, slack: FakeSlack
) -> None:
    saved = await saver.save(make_connection())
    assert (saved.team_id, saved.team_name, saved.bot_user_id, saved.bot_id, saved.api_app_id) == (
        "T1",
        "Acme",
        "UBOT",
        "B1",
        "A1",
    )
    assert store.rows[saved.connection_id] == saved
    assert slack.tokens == ["xoxb-1"]
    assert saved.previous_signing_secret is None


@pytest.mark.parametrize(
    "error", [TokenRevokedError("auth.test", "invalid_auth"), SlackUnavailableError("auth.test", "timeout")]
)
async def test_nothing_is_stored_when_slack_does_not_confirm_the_token(
    saver: ConnectionSaver, store: FakeConnectionStore, slack: FakeSlack, error: Exception
) -> None:
    slack.error = error
    with pytest.raises(type(error)):
        await saver.save(make_connection())
    assert store.rows == {}


async def test_a_replaced_signing_secret_stays_valid_for_the_overlap(
    saver: ConnectionSaver, clock: SteppingClock
) -> None:
    await saver.save(make_connection("first"))
    saved = await saver.save(make_connection("second"))
    assert saved.previous_signing_secret == Secret("first")
    assert saved.previous_signing_secret_until_s == clock.time_s + OVERLAP_S


async def test_another_save_with_the_same_secret_keeps_the_previous_one_until_its_time_is_over(
    saver: ConnectionSaver, clock: SteppingClock
) -> None:
    until_s = clock.time_s + OVERLAP_S
    await saver.save(make_connection("first"))
    await saver.save(make_connection("second"))
    clock.time_s += OVERLAP_S - 1
    kept = await saver.save(make_connection("second"))
    assert (kept.previous_signing_secret, kept.previous_signing_secret_until_s) == (Secret("first"), until_s)
    clock.time_s += 1
    dropped = await saver.save(make_connection("second"))
    assert (dropped.previous_signing_secret, dropped.previous_signing_secret_until_s) == (None, None)


async def test_without_an_overlap_a_replaced_secret_is_refused_at_once(
    store: FakeConnectionStore, slack: FakeSlack, clock: SteppingClock
) -> None:
    saver = ConnectionSaver(store=store, slack=slack, clock=clock, signing_secret_overlap_s=0)
    await saver.save(make_connection("first"))
    saved = await saver.save(make_connection("second"))
    assert (saved.previous_signing_secret, saved.previous_signing_secret_until_s) == (None, None)


@pytest.mark.parametrize("change", [{"team_id": TeamId("T2")}, {"api_app_id": "A2"}])
async def test_the_secret_of_another_app_is_no_rotated_one(
    saver: ConnectionSaver, slack: FakeSlack, change: dict[str, Any]
) -> None:
    await saver.save(make_connection("first"))
    slack.identity = replace(IDENTITY, **change)
    saved = await saver.save(make_connection("second"))
    assert saved.previous_signing_secret is None


async def test_a_token_that_may_not_tell_its_app_keeps_the_app_of_the_same_bot(
    saver: ConnectionSaver, slack: FakeSlack
) -> None:
    saved = await saver.save(make_connection())
    slack.identity = replace(IDENTITY, api_app_id=None)
    assert (await saver.save(saved)).api_app_id == "A1"
    slack.identity = replace(IDENTITY, api_app_id=None, bot_user_id=UserId("UOTHER"))
    assert (await saver.save(saved)).api_app_id is None


async def test_missing_scopes_are_logged_and_the_connection_is_saved(saver: ConnectionSaver, slack: FakeSlack) -> None:
    slack.identity = replace(IDENTITY, scopes=frozenset(REQUIRED_SCOPES) - {"chat:write"})
    with capture_logs() as lines:
        await saver.save(make_connection())
    assert [line["missing"] for line in lines if line["event"] == "connection.scopes_missing"] == [("chat:write",)]
    assert "xoxb" not in repr(lines)
    assert "first" not in repr(lines)
