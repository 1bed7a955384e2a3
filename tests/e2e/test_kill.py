"""Pods are killed with -9 in the middle of their work: every event is answered once, in order, and soon."""

import random
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import pytest
from processes import AnswerCount, Fleet, get_time_s, make_workspace, open_fleet

from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.model import Json, Message

pytestmark = pytest.mark.anyio

KILLS = 5
TAKE_OVER_S = 20
# Slack's second and third retry come after 1.2 s and 6 s, so that a pod has the time to start again.
TIME_SCALE = 0.02
DELAYED_ATTEMPTS = 5


class Story:
    """Conversations: in each lane one thread of a direct message, its questions delivered one after the other."""

    def __init__(self, simulator: Simulator, workspace: Workspace, *, lanes: int, questions: int) -> None:
        self._simulator = simulator
        self._workspace = workspace
        self._people = [user_id for user_id in workspace.users if user_id != workspace.install.bot_user_id]
        self._lanes = lanes
        self._questions = questions
        self._answers = AnswerCount(workspace)
        self.threads: dict[int, tuple[str, str]] = {}

    @property
    def total(self) -> int:
        return self._lanes * self._questions

    async def tell(self) -> None:
        async with anyio.create_task_group() as tasks:
            for lane in range(self._lanes):
                tasks.start_soon(self._tell_lane, lane)

    async def _tell_lane(self, lane: int) -> None:
        person = self._people[lane % len(self._people)]
        channel = self._workspace.open_im(person).channel_id
        root: str | None = None
        for number in range(self._questions):
            posted = self._workspace.say(person, channel, render_question(lane, number), root)
            if root is None:
                root = posted.message.ts
                self.threads[lane] = channel, root
            (envelope,) = posted.envelopes
            await self._deliver(envelope)

    async def _deliver(self, envelope: Json) -> None:
        """Deliver until it is accepted: kills can meet all of Slack's first four attempts, and it comes back later.

        https://docs.slack.dev/apis/events-api/#delayed-events
        """
        for _ in range(DELAYED_ATTEMPTS):
            delivery = await self._simulator.deliver(self._workspace.team_id, envelope)
            if delivery.is_accepted:
                return
        raise AssertionError(delivery.attempts)

    def get_answers(self, lane: int) -> Sequence[Message]:
        channel, root = self.threads[lane]
        return [message for message in self._workspace.thread(channel, root) if message.bot_id]

    async def wait_for(self, count: int) -> None:
        await self._simulator.changes.wait_until(lambda: len(self._answers) >= count)

    def check(self) -> None:
        """Each question has one answer, the answers stand in the questions' order, and nothing else was ever shown."""
        for lane in range(self._lanes):
            answers = self.get_answers(lane)
            assert [answer.text for answer in answers] == [
                render_question(lane, number) for number in range(self._questions)
            ]
            for answer in answers:
                shown = [revision.text for revision in answer.revisions]
                assert len(set(shown)) <= 2, shown
        assert all(not channel.deleted for channel in self._workspace.channels.values())


def render_question(lane: int, number: int) -> str:
    return f"lane {lane} question {number}"


async def kill_at_random(
    fleet: Fleet, story: Story, chance: random.Random, kill_times: list[float], now_s: Callable[[], float]
) -> None:
    """Kill a pod whenever one of five random numbers of answers is reached, and start it again."""
    for count in sorted(chance.sample(range(story.total // 50, story.total * 3 // 4), KILLS)):
        await story.wait_for(count)
        pod = chance.choice(fleet.pods)
        await pod.kill()
        kill_times.append(now_s())
        await fleet.restart(pod)


async def test_every_event_is_done_exactly_once_while_pods_are_killed(
    kind: str, database_url: str, tmp_path: Path
) -> None:
    pods = 3 if kind == "postgresql" else 1
    workspace = make_workspace(people=20)
    simulator = Simulator(workspace, time_scale=TIME_SCALE, concurrency=200)
    story = Story(simulator, workspace, lanes=200, questions=10)
    seed = random.randrange(10**6)  # noqa: S311 - printed, so that a run can be repeated
    chance = random.Random(seed)  # noqa: S311
    kill_times: list[float] = []
    with anyio.fail_after(400):
        async with (
            serve(simulator) as address,
            open_fleet(tmp_path, database_url=database_url, slack_api_url=address.api_url) as fleet,
        ):
            await fleet.connect(workspace)
            await fleet.add(pods)
            simulator.deliverer.targets = fleet.urls
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(story.tell)
                tasks.start_soon(kill_at_random, fleet, story, chance, kill_times, simulator.clock.now_s)
                await story.wait_for(story.total)
            done_s = simulator.clock.now_s()
            for pod in fleet.pods:
                assert await pod.stop() == 0
            if kind == "postgresql":
                rows = await fleet.fetch("SELECT state, count(*) FROM slack_events GROUP BY state")
                states = {row["state"]: row["count"] for row in rows}
                assert states["done"] == story.total
                assert set(states) <= {"done", "skipped"}, states
    story.check()
    taken_over = [get_time_s(line) for line in fleet.find("lane.taken_over")]
    delays = [at_s - max(kill for kill in kill_times if kill <= at_s) for at_s in taken_over]
    print(
        f"\n{kind}: seed {seed}, {story.total} events, {KILLS} kills, {len(delays)} lanes taken over, at most "
        f"{max(delays, default=0):.1f} s after a kill; all done {done_s - kill_times[-1]:.1f} s after the last one"
    )
    assert delays, "no lane was in work when its pod was killed"
    if kind == "postgresql":  # on SQLite it takes as long as a process takes to start
        # Not the longest: a lane that may be taken waits until a pod has room, and on a busy machine that is long.
        assert statistics.median(delays) <= TAKE_OVER_S
