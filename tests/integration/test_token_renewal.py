"""Slack's way to replace tokens that expire, against a simulated Slack that keeps its rules."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from pod_in_process import TEAM, make_workspace
from pod_in_process import make_connection as make_pod_connection

from slack_mcp.core.errors import SlackApiError, TokenRevokedError
from slack_mcp.core.model import Connection, ConnectionSettings
from slack_mcp.core.secret import Secret
from slack_mcp.simulator import Simulator, serve
from slack_mcp.simulator.faults import Fault
from slack_mcp.slack.client import SlackWebApis, open_slack_apis

pytestmark = pytest.mark.anyio

FIRST = "xoxe-1-canary-first"
SECRET = "canary-client-secret"


@asynccontextmanager
async def open_slack(lifetime_s: float = 43_200) -> AsyncIterator[tuple[Simulator, SlackWebApis, Connection]]:
    workspace = make_workspace()
    workspace.let_tokens_expire(client_id="1.2", client_secret=SECRET, refresh_token=FIRST, lifetime_s=lifetime_s)
    simulator = Simulator(workspace)
    connection = replace(
        make_pod_connection(workspace, ConnectionSettings()),
        refresh_token=Secret(FIRST),
        client_id="1.2",
        client_secret=Secret(SECRET),
    )
    async with serve(simulator) as address, open_slack_apis(base_url=address.api_url) as slack:
        yield simulator, slack, connection


async def test_new_tokens_take_the_place_of_the_old_ones() -> None:
    async with open_slack() as (simulator, slack, connection):
        renewed = await slack.open_tokens(client_id=None, client_secret=None).renew(connection)
        assert renewed is not None
        assert renewed.expires_in_s == 43_200
        assert simulator.workspaces[TEAM].bot_token == renewed.bot_token.reveal()
        assert (await slack.open(replace(connection, bot_token=renewed.bot_token)).fetch_identity()).team_id == TEAM
        with pytest.raises(TokenRevokedError):
            await slack.open(connection).fetch_identity()
        # The refresh token is used up; the new one is good for the next time.
        api = slack.open_tokens(client_id=None, client_secret=None)
        assert await api.renew(connection) is None
        assert await api.renew(replace(connection, refresh_token=renewed.refresh_token)) is not None


async def test_the_apps_credentials_may_be_those_of_the_service() -> None:
    async with open_slack() as (_, slack, connection):
        bare = replace(connection, client_id=None, client_secret=None)
        with pytest.raises(SlackApiError, match="SLACK_CLIENT_ID"):
            await slack.open_tokens(client_id=None, client_secret=None).renew(bare)
        assert await slack.open_tokens(client_id="1.2", client_secret=Secret(SECRET)).renew(bare) is not None


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"client_id": "9.9"}, "invalid_client_id"), ({"client_secret": Secret("x")}, "bad_client_secret")],
)
async def test_wrong_credentials_use_nothing_up(changes: dict[str, object], error: str) -> None:
    async with open_slack() as (simulator, slack, connection):
        api = slack.open_tokens(client_id=None, client_secret=None)
        with pytest.raises(SlackApiError) as caught:
            await api.renew(replace(connection, **changes))  # type: ignore[arg-type]
        assert caught.value.slack_error == error
        assert "canary" not in str(caught.value)
        assert caught.value.__context__ is None
        assert await api.renew(connection) is not None
        assert simulator.calls.counts["oauth.v2.access"] == 2


@pytest.mark.parametrize("fault", [Fault(method="oauth.v2.access", status=503)])
async def test_when_slack_is_down_the_refresh_token_may_still_be_good(fault: Fault) -> None:
    async with open_slack() as (simulator, slack, connection):
        simulator.faults.add(fault)
        api = slack.open_tokens(client_id=None, client_secret=None)
        with pytest.raises(SlackApiError) as caught:
            await api.renew(connection)
        assert caught.value.retryable
        assert await api.renew(connection) is not None


async def test_an_expired_token_is_refused_with_slacks_word() -> None:
    async with open_slack(lifetime_s=-1) as (_, slack, connection):
        with pytest.raises(TokenRevokedError) as caught:
            await slack.open(connection).fetch_identity()
        assert caught.value.slack_error == "token_expired"
