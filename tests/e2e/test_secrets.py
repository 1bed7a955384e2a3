"""Keys and tokens are replaced under running pods: nothing is lost, nothing is asked twice."""

import base64
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
import pytest
from people import People
from processes import AnswerCount, Fleet, make_connection, make_workspace, open_fleet

from slack_mcp.app import open_admin
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.secret import Secret
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.settings import Settings
from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.faults import Fault

pytestmark = pytest.mark.anyio

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()
PEOPLE = 6
OLD_EVENTS = 2_000
RENEW = "oauth.v2.access"
REFRESH_TOKEN = "xoxe-1-canary"

OLD_EVENT = """
INSERT INTO slack_events (connection_id, event_id, lane, event_type, payload, state, received_by, received_at_ms,
                          finished_at_ms, event_time)
SELECT $1, 'EvOld' || n, 'C1:' || n, 'message', $2, 'done', 'pod-0', t, t, t / 1000
FROM generate_series(1, $3::int) n, (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS t) now
"""
BY_DATA_KEYS = "SELECT count(*) AS n FROM slack_events WHERE substr(payload, 1, 4) = '\\x00736c02'::bytea"


async def run_secrets(environ: Mapping[str, str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code of a command beside the pods, and what it printed as JSON."""
    command = [sys.executable, "-m", "slack_mcp", "secrets", *arguments, "--json"]
    done = await anyio.run_process(command, env={**os.environ, **environ}, check=False)
    assert done.returncode in (0, 1), done.stderr.decode()
    return done.returncode, json.loads(done.stdout)


async def rotate_and_be_killed(fleet: Fleet) -> int:
    """Begin to seal everything anew, and end with -9 in the middle; returns how many events were done by then."""
    command = [sys.executable, "-m", "slack_mcp", "secrets", "rotate"]
    async with await anyio.open_process(
        command, env={**os.environ, **fleet.environ}, stdout=PIPE, stderr=PIPE
    ) as process:
        done = 0
        while done < OLD_EVENTS // 10:
            (row,) = await fleet.fetch(BY_DATA_KEYS)
            done = int(row["n"])
        process.kill()
        await process.wait()
    return done


async def prepare_as_before(fleet: Fleet, workspace: Workspace) -> None:
    """Make the database as the version before left it: everything sealed by the ring alone, under the old key."""
    settings = Settings.from_env({**fleet.environ, "ENCRYPTION_KEYS": OLD}, dotenv=None)
    connection = make_connection(workspace)
    async with open_admin(settings) as admin:
        await admin.saver.save(connection)
        await admin.secrets.drop_data_keys(lambda _table, _count: None)
    payload = Sealer(KeyRing.parse(OLD)).seal_bytes(connection.connection_id, "payload", b"{}")
    await fleet.execute(OLD_EVENT, connection.connection_id, payload, OLD_EVENTS)


async def test_everything_is_sealed_anew_under_load_also_after_a_run_that_was_killed(
    postgres_url: str, tmp_path: Path
) -> None:
    workspace = make_workspace(people=PEOPLE)
    simulator = Simulator(workspace, time_scale=0.02, concurrency=100)
    answers = AnswerCount(workspace)
    people = People(simulator, workspace)
    with anyio.fail_after(400):
        async with (
            serve(simulator) as address,
            open_fleet(
                tmp_path, database_url=postgres_url, slack_api_url=address.api_url, ENCRYPTION_KEYS=f"{NEW},{OLD}"
            ) as fleet,
        ):
            await prepare_as_before(fleet, workspace)
            await fleet.add(3)
            simulator.deliverer.targets = fleet.urls
            code, before = await run_secrets(fleet.environ, "status")
            assert code == 1
            assert before["left"] >= OLD_EVENTS
            async with anyio.create_task_group() as tasks:
                for person in range(PEOPLE):
                    tasks.start_soon(people.ask, f"U{person}")
                await simulator.changes.wait_until(lambda: len(answers) >= PEOPLE)
                done_when_killed = await rotate_and_be_killed(fleet)
                assert done_when_killed < OLD_EVENTS
                answered_before = len(answers)
                code, rotated = await run_secrets(fleet.environ, "rotate")
                answered_meanwhile = len(answers) - answered_before
                people.is_enough = True
            if code:  # a pod sealed something before it heard of the connection's key
                code, _ = await run_secrets(fleet.environ, "rotate")
            assert code == 0
            for pod in fleet.pods:
                assert await pod.stop() == 0
            # Nothing hangs on the old key any more.
            code, after = await run_secrets({**fleet.environ, "ENCRYPTION_KEYS": NEW}, "status")
            assert (code, after["keys"], after["left"]) == (0, ["new"], 0)
            rows = await fleet.fetch("SELECT state, count(*) AS n FROM slack_events GROUP BY state")
            states = {row["state"]: row["n"] for row in rows}
            failed = fleet.find("event.failed")
    assert set(states) <= {"done", "skipped"}, states
    assert failed == []
    assert len(answers) == people.asked
    assert answered_meanwhile > 0
    print(
        f"\n{before['left']} values were to be sealed anew; killed when {done_when_killed} events were done; the next "
        f"run did {rotated['values']}, while {answered_meanwhile} answers were given; at the end {states}"
    )


async def connect_expiring(fleet: Fleet, workspace: Workspace) -> None:
    """Save a connection whose bot token expires within the hour."""
    workspace.let_tokens_expire(
        client_id="1.2", client_secret="canary-client-secret", refresh_token=REFRESH_TOKEN, lifetime_s=43_200
    )
    async with open_admin(fleet.settings) as admin:
        saved = await admin.saver.save(
            replace(make_connection(workspace), refresh_token=Secret(REFRESH_TOKEN), token_expires_at_s=0.0)
        )
        assert saved.refresh_token is not None


async def test_three_pods_at_once_replace_a_token_with_one_call_to_slack(postgres_url: str, tmp_path: Path) -> None:
    workspace = make_workspace()
    simulator = Simulator(workspace, time_scale=0.02)
    first_token = workspace.bot_token
    # Slack takes its time, so that all three are at it.
    simulator.faults.add(Fault(method=RENEW, hang_s=1.0))
    with anyio.fail_after(120):
        async with (
            serve(simulator) as address,
            open_fleet(
                tmp_path,
                database_url=postgres_url,
                slack_api_url=address.api_url,
                ENCRYPTION_KEYS=NEW,
                SLACK_CLIENT_ID="1.2",
                SLACK_CLIENT_SECRET="canary-client-secret",
            ) as fleet,
        ):
            await connect_expiring(fleet, workspace)
            await fleet.add(3)
            simulator.deliverer.targets = fleet.urls
            await simulator.changes.wait_until(lambda: workspace.bot_token != first_token)
            posted = simulator.say(workspace.team_id, "U0", workspace.open_im("U0").channel_id, "hello")
            await simulator.wait_for_answer(
                workspace.team_id, posted.message.channel_id, posted.message.ts, text="hello"
            )
            for pod in fleet.pods:
                assert await pod.stop() == 0
    assert simulator.calls.counts[RENEW] == 1
    assert len(fleet.find("token.renewed")) == 1
    assert fleet.find("event.failed") == []
    logs = "".join(pod.raw for pod in fleet.pods)
    assert "xoxe" not in logs
    assert "canary" not in logs


async def test_a_pod_that_dies_with_slacks_answer_loses_the_refresh_token_and_says_so(
    postgres_url: str, tmp_path: Path
) -> None:
    workspace = make_workspace()
    simulator = Simulator(workspace, time_scale=0.02)
    simulator.faults.add(Fault(method=RENEW, is_late=True))  # done, and the answer never comes
    with anyio.fail_after(120):
        async with (
            serve(simulator) as address,
            open_fleet(
                tmp_path,
                database_url=postgres_url,
                slack_api_url=address.api_url,
                ENCRYPTION_KEYS=NEW,
                SLACK_CLIENT_ID="1.2",
                SLACK_CLIENT_SECRET="canary-client-secret",
            ) as fleet,
        ):
            await connect_expiring(fleet, workspace)
            (pod,) = await fleet.add(1)
            await simulator.changes.wait_until(lambda: simulator.calls.counts[RENEW] == 1)
            await pod.kill()
            (other,) = await fleet.add(1)
            await other.wait_until(lambda: bool(other.find("token.lost")))
            assert await other.stop() == 0
            async with open_admin(fleet.settings) as admin:
                left = await admin.connections.load_connection(ConnectionId("conn_1"))
    assert left is not None
    assert (left.refresh_token, left.token_expires_at_s) == (None, 0.0)
    assert simulator.calls.counts[RENEW] == 2
