"""A question that is asked on one pod, answered on another and fetched on a third."""

import anyio
import pytest
from interactivity_pods import ANN, BOB, CHANNEL, TEAM, World, open_world
from postgres import make_url

from slack_mcp.ports.questions import Question, QuestionState

pytestmark = pytest.mark.anyio

YES, NO = "slack_mcp_answer_0", "slack_mcp_answer_1"


async def click(world: World, question: Question, action: str, user: str) -> None:
    answer = await world.simulator.gestures.click(TEAM, user, CHANNEL, str(question.message_ts), action)
    assert answer.status == 200


async def test_whoever_waits_on_a_third_pod_hears_of_it_within_two_seconds(postgres_url: str) -> None:
    async with open_world(make_url(postgres_url), pods=3) as world:
        asking, clicked, waiting = world.pods
        question = await asking.ask()
        world.aim_at(clicked)
        found: list[Question] = []

        async def wait() -> None:
            found.append(await waiting.fetch(question, wait_s=50))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                await click(world, question, NO, ANN)
                started_s = anyio.current_time()
        assert anyio.current_time() - started_s < 2
        assert found[0].state is QuestionState.ANSWERED
        assert [each.answer for each in found[0].answers] == ["No"]


async def test_people_who_click_on_different_pods_close_it_together(postgres_url: str) -> None:
    async with open_world(make_url(postgres_url), pods=3) as world:
        question = await world.pods[0].ask(quorum=2)
        for pod, user, action in zip(world.pods, (ANN, BOB), (YES, NO), strict=False):
            world.aim_at(pod)
            await click(world, question, action, user)
        await world.settled()
        found = await world.pods[2].fetch(question)
        assert found.state is QuestionState.ANSWERED
        assert {(each.user_id, each.answer) for each in found.answers} == {(ANN, "Yes"), (BOB, "No")}


async def test_sweeps_on_all_pods_show_each_end_once(postgres_url: str) -> None:
    async with open_world(make_url(postgres_url), pods=3) as world:
        questions = [await world.pods[0].ask(f"Ship {number}?", timeout_s=60) for number in range(20)]
        world.clock.ahead_s = 61
        world.simulator.calls.clear()
        async with anyio.create_task_group() as tasks:
            for pod in world.pods:
                tasks.start_soon(pod.interactivity.sweeper.run)
            await world.until(lambda: all("over" in str(world.message(each).blocks) for each in questions))
            tasks.cancel_scope.cancel()
        assert len(world.simulator.calls.select("chat.update")) == len(questions)
