"""Somebody removes the app in Slack: what belonged to the installation is gone, and a new one begins afresh."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from pod_in_process import CHANNEL, CONNECTION_ID, PERSON, SAID, TEAM, PodInProcess, run_pod

from slack_mcp.core.secret import Secret

pytestmark = pytest.mark.anyio

NEW_TOKEN = "xoxb-canary-token-of-a-new-installation"
TABLES = ("slack_turns", "slack_messages", "slack_threads", "slack_questions", "slack_temp_files", "slack_ratings")


def fetch(pod: PodInProcess, statement: str) -> Sequence[tuple[object, ...]]:
    with closing(sqlite3.connect(pod.database)) as database:
        return database.execute(statement).fetchall()


async def wait_until_idle(pod: PodInProcess) -> None:
    """Return when everything journalled has ended, the events of the bot's own posts too."""
    await pod.wait_for_deliveries()
    await pod.wait_for_own_messages(2)
    while fetch(pod, "SELECT 1 FROM slack_events WHERE finished_at_ms IS NULL"):
        await anyio.lowlevel.checkpoint()


def get_key_id(pod: PodInProcess) -> object:
    ((key_id,),) = fetch(pod, "SELECT key_id FROM slack_data_keys")
    return key_id


async def uninstall(pod: PodInProcess, *, backwards: bool) -> None:
    """Let somebody remove the app; Slack tells it in any order, and both deliveries are answered with 200."""
    envelopes = pod.workspace.uninstall()
    for envelope in envelopes[::-1] if backwards else envelopes:
        delivery = await pod.simulator.deliver(TEAM, envelope)
        assert delivery.is_accepted
        assert len(delivery.attempts) == 1


@pytest.mark.parametrize("backwards", [False, True])
async def test_an_uninstalled_app_leaves_nothing_that_opens_and_can_be_installed_again(
    tmp_path: Path, backwards: bool
) -> None:
    async with run_pod(tmp_path) as pod:
        with anyio.fail_after(60):
            root = pod.ask()
            await pod.simulator.wait_for_answer(TEAM, CHANNEL, root.ts, text=f"Answer to: {SAID}")
            await wait_until_idle(pod)
            old_key = get_key_id(pod)
            await uninstall(pod, backwards=backwards)
            await pod.wait_for_outcome("done", "disconnected")
            left = await pod.admin.connections.load_connection(CONNECTION_ID)
            assert left is not None
            assert left.is_disconnected
            assert [fetch(pod, f"SELECT count(*) FROM {table}") for table in TABLES] == [[(0,)]] * len(TABLES)  # noqa: S608
            assert get_key_id(pod) != old_key
            assert len(pod.log.select("connection.disconnected")) == 1
            (entry,) = await pod.admin.audit.list_entries(CONNECTION_ID)
            assert (entry.actor, entry.result) == ("slack", "ok")
            # Slack sends nothing any more; what is late is taken, and answered by nobody.
            late = pod.ask("too late")
            await pod.wait_for_deliveries()
            await pod.wait_for_outcome("skipped", "connection_disabled")

            pod.simulator.rotate_token(TEAM, NEW_TOKEN)
            pod.workspace.is_revoked = False
            await pod.change_connection(bot_token=Secret(NEW_TOKEN), disabled=False)
            again = pod.ask("again")
            await pod.simulator.wait_for_answer(TEAM, CHANNEL, again.ts, text="Answer to: again")
            # News of the installation before is of no account.
            delivery = await pod.simulator.deliver(TEAM, pod.workspace.wrap({"type": "app_uninstalled"}))
            assert delivery.is_accepted
            await pod.wait_for_outcome("skipped", "token_still_valid")
            assert pod.list_answers(late) == []
    assert "event.failed" not in {line["event"] for line in pod.log.select("event.failed")}


async def test_a_user_token_that_is_taken_back_is_forgotten_alone(tmp_path: Path) -> None:
    async with run_pod(tmp_path) as pod:
        with anyio.fail_after(60):
            pod.workspace.add_user_token(PERSON, "xoxp-canary-token")
            await pod.change_connection(user_token=Secret("xoxp-canary-token"))
            (envelope,) = pod.workspace.revoke_user_token("xoxp-canary-token")
            assert (await pod.simulator.deliver(TEAM, envelope)).is_accepted
            await pod.wait_for_outcome("done", "user_token_forgotten")
            connection = await pod.admin.connections.load_connection(CONNECTION_ID)
            assert connection is not None
            assert (connection.user_token, connection.is_disconnected, connection.disabled) == (None, False, False)
            root = pod.ask()
            await pod.simulator.wait_for_answer(TEAM, CHANNEL, root.ts, text=f"Answer to: {SAID}")
