"""Questions that nobody could answer are replayed when it is mended: each thread has the right answer, once."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from fake_openai import FakeOpenAi
from processes import Fleet, make_workspace, open_fleet

from slack_mcp.app import open_admin
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import AgentBackend, Connection, EventState
from slack_mcp.ports.operations import EventFilter, KeptEvent
from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio

MANY = 6
TIMEOUT_S = 240


class Story:
    """One workspace with a bot that cannot answer yet, and the operator's commands."""

    def __init__(
        self, simulator: Simulator, workspace: Workspace, fleet: Fleet, model: FakeOpenAi, directory: Path
    ) -> None:
        self.simulator = simulator
        self.workspace = workspace
        self.fleet = fleet
        self.model = model
        self._directory = directory
        self._connection: Connection | None = None

    async def choose(self, agent: AgentBackend) -> None:
        """Let this one answer from now on."""
        connection = self._connection or await self.fleet.connect(self.workspace)
        settings = replace(connection.settings, agent=agent)
        async with open_admin(self.fleet.settings) as admin:
            self._connection = await admin.connections.save_connection(replace(connection, settings=settings))

    async def ask(self, text: str) -> str:
        """Ask in the channel, and return the thread's root."""
        posted = self.workspace.say("U0", "C1", f"<@UBOT> {text}")
        for envelope in posted.envelopes:
            await self.simulator.deliver("T1", envelope)
        return posted.message.ts

    def shown(self, root: str) -> list[str]:
        return [message.text for message in self.workspace.thread("C1", root) if message.bot_id]

    async def wait_for(self, root: str, text: str) -> None:
        await self.simulator.changes.wait_until(lambda: self.shown(root) == [text], timeout_s=60)

    async def wait_until_finished(self) -> list[KeptEvent]:
        """Return all events when none is unfinished."""
        async with open_admin(self.fleet.settings) as admin:
            unfinished = EventFilter(states=(EventState.RECEIVED, EventState.WAITING))
            while await admin.operations.list_events(unfinished, limit=1):
                await anyio.lowlevel.checkpoint()
            return list(await admin.operations.list_events(EventFilter(), after_id=0, limit=1000))

    async def command(self, *arguments: str, code: int = 0) -> Any:
        """Run `slack-mcp … --json` and return what it prints."""
        done = await anyio.run_process(
            [sys.executable, "-m", "slack_mcp", *arguments, "--json"],
            env={**os.environ, **self.fleet.environ},
            cwd=self._directory,
            check=False,
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        assert b"canary" not in done.stdout + done.stderr
        return json.loads(done.stdout)


@asynccontextmanager
async def open_story(directory: Path, database_url: str, *, pods: int, **environ: str) -> AsyncIterator[Story]:
    workspace = make_workspace()
    simulator = Simulator(workspace, time_scale=0.02)
    model = FakeOpenAi()
    async with (
        serve_app(model.app) as model_url,
        serve(simulator) as address,
        open_fleet(
            directory,
            database_url=database_url,
            slack_api_url=address.api_url,
            OPENAI_BASE_URL=f"{model_url}/v1",
            OPENAI_MODEL="model",
            OPENAI_API_KEY="key",
            **environ,
        ) as fleet,
    ):
        await fleet.add(pods)
        simulator.deliverer.targets = fleet.urls
        story = Story(simulator, workspace, fleet, model, directory)
        await story.choose(AgentBackend.OPENAI)
        yield story


async def test_a_question_that_died_is_answered_by_the_present_agent_once(
    kind: str, database_url: str, tmp_path: Path
) -> None:
    with anyio.fail_after(TIMEOUT_S):
        async with open_story(tmp_path, database_url, pods=1 if kind == "sqlite" else 2) as story:
            root = await story.ask("[[401]] canary, who is there?")
            await story.wait_until_finished()
            (apology,) = story.shown(root)
            assert "canary" not in apology
            (dead,) = await story.command("events", "list", "--state", "dead")
            assert (dead["reason"], dead["connection_id"]) == ("agent_refused", "conn_1")

            await story.choose(AgentBackend.ECHO)
            planned = await story.command("events", "replay", "--dry-run")
            assert (planned["counts"], planned["dry_run"]) == ({"put_back": 1}, True)
            assert story.shown(root) == [apology]
            done = await story.command("events", "replay", "--yes", "--since", "1h", "--code", "agent_refused")
            assert done["counts"] == {"put_back": 1}
            await story.wait_for(root, "[[401]] canary, who is there?")
            ids = [each.event_id for each in await story.wait_until_finished() if each.reason != "own_message"]
            assert len(story.shown(root)) == 1

            # Neither of the message's two events is answered a second time by accident.
            left = await story.command("events", "replay", *ids, code=3)
            assert left["counts"] == {"answered": 1, "same_message": 1}
            async with open_admin(story.fleet.settings) as admin:
                written = await admin.audit.list_entries(ConnectionId("conn_1"))
            targets = [(each.tool, each.target, each.result) for each in written]
            assert targets == [("events replay", dead["event_id"], "ok")]


async def test_another_answer_is_shown_in_a_shadow_channel_and_then_takes_the_place_of_the_first(
    tmp_path: Path,
) -> None:
    with anyio.fail_after(TIMEOUT_S):
        async with open_story(tmp_path, f"sqlite:{tmp_path}/slack.db", pods=1) as story:
            root = await story.ask("[[chapters]] how does it go?")
            events = await story.wait_until_finished()
            assert len(story.shown(root)) > 1
            (answered,) = [each.event_id for each in events if each.state is EventState.DONE]
            await story.choose(AgentBackend.ECHO)

            standing = story.shown(root)
            story.workspace.add_channel("C2", "shadow")
            shadow = ("--connection", "conn_1", "--shadow-channel", "C2")
            assert (await story.command("events", "replay", answered, *shadow))["counts"] == {"shadowed": 1}
            await story.wait_until_finished()
            top, answer = [message for message in story.workspace.channels["C2"].messages.values() if message.bot_id]
            assert (answer.text, answer.thread_ts) == ("[[chapters]] how does it go?", top.ts)
            assert root.replace(".", "") in top.text
            repeated = await story.command("events", "replay", answered, *shadow, code=3)
            assert repeated["counts"] == {"in_shadow": 1}
            assert story.shown(root) == standing

            done = await story.command("events", "replay", answered, "--again")
            assert done["counts"] == {"asked_again": 1}
            await story.wait_for(root, "[[chapters]] how does it go?")
            await story.wait_until_finished()
            assert story.shown(root) == ["[[chapters]] how does it go?"]


async def test_pods_that_die_during_a_replay_double_nothing(postgres_url: str, tmp_path: Path) -> None:
    lease = {"SLACK_MCP_LEASE_S": "3", "SLACK_MCP_LEASE_RENEW_S": "1"}
    with anyio.fail_after(TIMEOUT_S):
        async with open_story(tmp_path, postgres_url, pods=2, **lease) as story:
            story.model.scripts.extend(["401"] * MANY)
            roots = [await story.ask(f"question {number}") for number in range(MANY)]
            await story.wait_until_finished()
            story.model.scripts.extend(["words"] * MANY)  # which take their time

            def count() -> int:
                """Return how many threads have one message, the whole answer to their question."""
                answers = [
                    [story.model.make_answer(script, f"question {number}") for script in ("ok", "words")]
                    for number in range(MANY)
                ]
                shown = map(story.shown, roots)
                return sum(len(each) == 1 and each[0] in wanted for each, wanted in zip(shown, answers, strict=True))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(story.command, "events", "replay", "--yes")
                while len(story.model.requests) < MANY + MANY // 2:
                    await anyio.lowlevel.checkpoint()
                for pod in story.fleet.pods:
                    await pod.kill()
            killed_at = count()
            assert killed_at < MANY
            for pod in story.fleet.pods:
                await story.fleet.restart(pod)
            await story.simulator.changes.wait_until(lambda: count() == MANY, timeout_s=60)
            await story.wait_until_finished()
            assert count() == MANY
            print(f"\n{killed_at} of {MANY} replayed questions were answered when all pods were killed")
            nothing = await story.command("events", "replay", "--yes", code=1)
            assert nothing["counts"] == {}
