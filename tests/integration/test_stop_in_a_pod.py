"""Somebody wants no more of an answer that a whole pod is writing."""

from dataclasses import replace
from pathlib import Path

import pytest
from pod_in_process import CHANNEL, NOT_STREAMED, PERSON, TEAM, PodInProcess, run_pod

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.simulator.model import Message

pytestmark = pytest.mark.anyio
STREAMED = replace(NOT_STREAMED, streaming=True)
STOPPED = render_sentence("en", Sentence.ANSWER_STOPPED).strip("*")


async def wait_for_words(pod: PodInProcess, root: Message) -> Message:
    """Return the bot's message as soon as it shows some of the answer."""
    return await pod.simulator.wait_for_answer(TEAM, CHANNEL, root.ts, text="word1 ", timeout_s=20)


async def test_slacks_own_stop_button_ends_the_answer_where_it_stands(tmp_path: Path) -> None:
    async with run_pod(tmp_path, settings=STREAMED) as pod:
        root = pod.ask("[[words]] question")
        answer = await wait_for_words(pod, root)
        pod.simulator.gestures.stop(TEAM, PERSON, CHANNEL, root.ts)
        shown = answer.text
        await pod.wait_for_line("turn.finished", outcome="stopped")
        (message,) = [each for each in pod.workspace.thread(CHANNEL, root.ts) if each.bot_id]
        assert message.text == shown
        assert "word39" not in message.text
        # The conversation goes on.
        await pod.close_thread(root)


async def test_our_stop_button_ends_an_answer_that_is_edited(tmp_path: Path) -> None:
    async with run_pod(tmp_path, settings=STREAMED) as pod:
        pod.workspace.limits = None
        pod.simulator.faults.add_parsed({"method": "chat.startStream", "error": "unknown_method", "times": None})
        root = pod.ask("[[words]] question")
        answer = await wait_for_words(pod, root)
        await pod.simulator.gestures.click(TEAM, PERSON, CHANNEL, answer.ts, "slack_mcp_stop")
        await pod.wait_for_line("turn.finished", outcome="stopped")
        (message,) = [each for each in pod.workspace.thread(CHANNEL, root.ts) if each.bot_id]
        assert STOPPED in message.text
        assert "word39" not in message.text
        await pod.close_thread(root)
