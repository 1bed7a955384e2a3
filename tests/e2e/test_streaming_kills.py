"""A pod is killed with -9 at one point after another of an answer that streams: the thread has all of it, once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from fake_openai import FakeOpenAi
from processes import Fleet, PodProcess, make_workspace, open_fleet

from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.faults import Fault
from slack_mcp.simulator.model import Message
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio

TIME_SCALE = 0.02
LEASE_S = 3
TIMEOUT_S = 40


@dataclass(frozen=True, kw_only=True)
class Point:
    """When the pod is killed: at the call of this method, before Slack takes it or when its answer is on the way.

    Attributes:
        count: at the first call, or at a later one.
        script: what the model does: `words` is a short answer in many pieces, `chapters` one of several messages.
        streams: whether Slack streams here.
    """

    method: str
    is_late: bool
    count: int = 1
    script: str = "words"
    streams: bool = True


POINTS = {
    "before anything was shown": Point(method="assistant.threads.setStatus", is_late=False),
    "before the stream begins": Point(method="chat.startStream", is_late=False),
    "when the stream has begun and nobody knows": Point(method="chat.startStream", is_late=True),
    "before the first append": Point(method="chat.appendStream", is_late=False),
    "when an append was taken and nobody knows": Point(method="chat.appendStream", is_late=True),
    "in the middle of the stream": Point(method="chat.appendStream", is_late=True, count=3),
    "before the stream ends": Point(method="chat.stopStream", is_late=False),
    "when the stream has ended and nobody knows": Point(method="chat.stopStream", is_late=True),
    "between two messages": Point(method="chat.stopStream", is_late=True, script="chapters"),
    "when the second message has begun": Point(method="chat.startStream", is_late=True, count=2, script="chapters"),
    "before the last message ends": Point(method="chat.stopStream", is_late=False, count=3, script="chapters"),
    "when the placeholder was posted and nobody knows": Point(method="chat.postMessage", is_late=True, streams=False),
    "before an edit": Point(method="chat.update", is_late=False, count=2, streams=False),
    "when an edit was taken and nobody knows": Point(method="chat.update", is_late=True, count=2, streams=False),
}


class Story:
    """One workspace, a model, and the pods that answer with it."""

    def __init__(self, simulator: Simulator, workspace: Workspace, fleet: Fleet, model: FakeOpenAi) -> None:
        self._simulator = simulator
        self._workspace = workspace
        self._fleet = fleet
        self._model = model

    async def tell(self, number: int, point: Point) -> list[Message]:
        """Ask, kill the pod that answers at the point, and return the thread's answers when the last one is whole."""
        faults = self._simulator.faults
        if not point.streams:
            faults.add(Fault(method="chat.startStream", error="unknown_method", times=None))
        fault = self._arm(point)
        person, channel = "U0", self._workspace.open_im("U0").channel_id
        posted = self._workspace.say(person, channel, f"[[{point.script}]] question {number}")
        (envelope,) = posted.envelopes
        await self._simulator.deliver(self._workspace.team_id, envelope)
        await self._simulator.changes.wait_until(lambda: fault.hits > 0, timeout_s=TIMEOUT_S)
        victim = await self._find_holder()
        await victim.kill()
        faults.clear()
        if not point.streams:
            faults.add(Fault(method="chat.startStream", error="unknown_method", times=None))
        await self._fleet.restart(victim)
        self._simulator.deliverer.targets = self._fleet.urls
        root = posted.message.ts
        expected = self._model.make_answer(point.script, f"question {number}")

        def is_answered() -> bool:
            return " ".join(each.text for each in self._answers(channel, root)).split() == expected.split()

        await self._simulator.changes.wait_until(is_answered, timeout_s=TIMEOUT_S)
        await self._wait_until_done(posted.envelopes[0]["event_id"])
        faults.clear()
        assert is_answered()
        return self._answers(channel, root)

    def _arm(self, point: Point) -> Fault:
        seen = [0]

        def is_meant(_call: object) -> bool:
            seen[0] += 1
            return seen[0] == point.count

        return self._simulator.faults.add(Fault(method=point.method, is_late=point.is_late, when=is_meant))

    def _answers(self, channel: str, root: str) -> list[Message]:
        return [message for message in self._workspace.thread(channel, root) if message.bot_id]

    async def _find_holder(self) -> PodProcess:
        """Return the pod that holds the one lane that is in work."""
        if len(self._fleet.pods) == 1:
            return self._fleet.pods[0]
        rows = await self._fleet.fetch("SELECT holder FROM slack_lanes WHERE holder IS NOT NULL")
        (holder,) = {row["holder"] for row in rows}
        return next(pod for pod in self._fleet.pods if pod.find("pod.listening")[-1]["pod_id"] == holder)

    async def _wait_until_done(self, event_id: str) -> None:
        """Return when a pod has said that the turn is finished."""
        with anyio.fail_after(TIMEOUT_S):
            while not any(line["event_id"] == event_id for line in self._fleet.find("turn.finished")):
                async with anyio.create_task_group() as tasks:
                    for pod in self._fleet.pods:
                        tasks.start_soon(self._wake_at_next_line, pod, tasks)

    async def _wake_at_next_line(self, pod: PodProcess, tasks: anyio.abc.TaskGroup) -> None:
        count = len(pod.lines)
        await pod.wait_until(lambda: len(pod.lines) > count)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_story(kind: str, database_url: str, directory: Path) -> AsyncIterator[Story]:
    workspace, model = make_workspace(), FakeOpenAi()
    simulator = Simulator(workspace, time_scale=TIME_SCALE)
    async with (
        serve(simulator) as address,
        serve_app(model.app, port=0) as model_url,
        open_fleet(
            directory,
            database_url=database_url,
            slack_api_url=address.api_url,
            DEFAULT_AGENT="openai",
            OPENAI_BASE_URL=f"{model_url}/v1",
            OPENAI_MODEL="m",
            SLACK_MCP_LEASE_S=str(LEASE_S),
            SLACK_MCP_LEASE_RENEW_S="1",
            SLACK_BUDGET="false",
        ) as fleet,
    ):
        await fleet.connect(workspace)
        await fleet.add(2 if kind == "postgresql" else 1)
        simulator.deliverer.targets = fleet.urls
        yield Story(simulator, workspace, fleet, model)


async def test_wherever_a_pod_is_killed_the_thread_has_the_answer_once(
    kind: str, database_url: str, tmp_path: Path
) -> None:
    with anyio.fail_after(500):
        async with open_story(kind, database_url, tmp_path) as story:
            # What SQLite's one process finds when it starts again, PostgreSQL's other pods find too.
            points = list(POINTS.items())[:: 1 if kind == "postgresql" else 3]
            for number, (name, point) in enumerate(points):
                answers = await story.tell(number, point)
                assert len(answers) == (3 if point.script == "chapters" else 1), name
                print(f"{kind}: {name}: {len(answers)} messages")
