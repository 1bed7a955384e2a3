"""The assistant's surfaces in a whole pod, from what people do in Slack to what they see."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pod_in_process import CHANNEL, PERSON, SAID, TEAM, PodInProcess, run_pod

from slack_mcp.core.model import ConnectionSettings
from slack_mcp.interactions.about import CALLBACK
from slack_mcp.surfaces.buttons import FEEDBACK_ACTION

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pod(tmp_path: Path, anyio_backend: str) -> AsyncIterator[PodInProcess]:
    async with run_pod(tmp_path) as pod:
        yield pod


def list_own(pod: PodInProcess, channel: str) -> list[Any]:
    return [each for each in pod.workspace.find_channel(channel).messages.values() if each.bot_id]


def list_actions(message: Any) -> set[str]:
    blocks = message.blocks or []
    return {each.get("action_id") for block in blocks for each in block.get("elements", ())} - {None}


async def test_a_conversation_in_the_pane_is_greeted_offered_prompts_answered_and_named(pod: PodInProcess) -> None:
    opened = pod.simulator.gestures.open_assistant(TEAM, PERSON, CHANNEL)
    where = (opened.channel_id, opened.thread_ts)
    await pod.wait_until(lambda: where in pod.workspace.thread_prompts)
    greeting = list_own(pod, opened.channel_id)[-1]
    assert (greeting.thread_ts, greeting.text) == (opened.thread_ts, "Hello! What can I do for you?")
    pod.say(SAID, channel=opened.channel_id, thread_ts=opened.thread_ts)
    await pod.simulator.wait_for_answer(TEAM, *where, text=f"Answer to: {SAID}", timeout_s=20)
    await pod.wait_until(lambda: where in pod.workspace.thread_titles)
    assert pod.workspace.thread_titles[where] == SAID


async def test_the_newer_pane_greets_a_person_once(pod: PodInProcess) -> None:
    pod.workspace.has_agent_view = True
    place = pod.workspace.open_im(PERSON).channel_id
    for reason in ("assistant_greeted", "greeted_before"):
        pod.simulator.gestures.open_home(TEAM, PERSON, "messages")
        await pod.wait_for_outcome("done" if reason == "assistant_greeted" else "skipped", reason)
    assert [each.text for each in list_own(pod, place)] == ["Hello! What can I do for you?"]


async def test_the_home_tab_is_published_once_until_it_changes(pod: PodInProcess) -> None:
    pod.simulator.gestures.open_home(TEAM, PERSON)
    await pod.wait_for_outcome("done", "home_published")
    view = pod.workspace.views.home[PERSON]
    assert "How I am set up" in str(view.content)
    pod.simulator.gestures.open_home(TEAM, PERSON)
    await pod.wait_for_outcome("skipped", "home_unchanged")
    await pod.change_connection(connection_name="Support", settings=ConnectionSettings(language="pt-BR"))
    pod.simulator.gestures.open_home(TEAM, PERSON)
    await pod.wait_for_outcome("done", "home_published", count=2)
    assert "Conexão: Support" in str(pod.workspace.views.home[PERSON].content)


async def test_a_message_is_asked_about_in_its_own_thread(pod: PodInProcess) -> None:
    message = pod.say("Deploys are frozen <!here>")
    opened = await pod.simulator.gestures.message_shortcut(TEAM, PERSON, CHANNEL, message.ts, CALLBACK)
    assert opened.status == 200
    ((view_id, _view),) = pod.workspace.views.modals.items()
    sent = await pod.simulator.gestures.submit(TEAM, view_id, {"text": SAID})
    assert (sent.status, sent.body) == (200, b"")
    await pod.simulator.wait_for_answer(TEAM, CHANNEL, message.ts, text=f"Answer to: {SAID}", timeout_s=20)
    texts = [each.text for each in pod.workspace.thread(CHANNEL, message.ts)]
    assert texts[1] == f"<@{PERSON}> asks: {SAID}"
    asked = str(pod.model.requests[-1])
    assert "Deploys are frozen @here" in asked


async def test_an_answer_is_rated_and_the_person_alone_is_thanked(pod: PodInProcess) -> None:
    root = pod.ask()
    await pod.simulator.wait_for_answer(TEAM, CHANNEL, root.ts, text=f"Answer to: {SAID}", timeout_s=20)
    await pod.wait_for_line("turn.finished")
    answer = list_own(pod, CHANNEL)[-1]
    assert list_actions(answer) == {FEEDBACK_ACTION}
    for rating in ("good", "bad"):
        await pod.simulator.gestures.click(TEAM, PERSON, CHANNEL, answer.ts, FEEDBACK_ACTION, value=rating)
        await pod.wait_for_line("answer.rated", rating=rating)
    await pod.wait_until(lambda: len(pod.workspace.ephemerals) == 2)
    assert {(each.user_id, each.thread_ts) for each in pod.workspace.ephemerals} == {(PERSON, root.ts)}
