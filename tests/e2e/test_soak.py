"""Thousands of answers of every kind against a Slack that keeps its limits: all are there, and no limit is ever met.

`SOAK_TURNS` says how many; a short soak is part of the tests.
"""

import os
import time
from collections import Counter
from pathlib import Path

import anyio
import pytest
from fake_openai import FakeOpenAi
from processes import make_workspace, open_fleet

from slack_mcp.core.model import Distribution
from slack_mcp.protocol.mentions import WORD_JOINER
from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.limits import Limits
from slack_mcp.simulator.model import Message
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio

TURNS = int(os.environ.get("SOAK_TURNS", "150"))
PEOPLE = 10
TURNS_PER_WORKSPACE = 40
SCRIPTS = ("ok", "quick", "words", "markdown", "chapters", "novel")
ALLOWED_ERRORS = {"missing_scope"}
# A workspace takes about three hundred messages in a minute, and a novel is ten of them.
TIMEOUT_S = 120 + TURNS / 4


class Soak:
    """Questions to the bots of many workspaces, and what came of them."""

    def __init__(self, workspaces: list[Workspace], simulator: Simulator, model: FakeOpenAi) -> None:
        self._workspaces = workspaces
        self._simulator = simulator
        self._model = model
        self._asked: list[tuple[Workspace, str, str, str]] = []

    async def ask(self) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(TURNS):
                workspace = self._workspaces[number % len(self._workspaces)]
                script = SCRIPTS[number // len(self._workspaces) % len(SCRIPTS)]
                channel = workspace.open_im(f"U{number % PEOPLE}").channel_id
                posted = workspace.say(f"U{number % PEOPLE}", channel, f"[[{script}]] question {number}")
                answer = self._model.make_answer(script, f"question {number}")
                self._asked.append((workspace, channel, posted.message.ts, answer))
                (envelope,) = posted.envelopes
                tasks.start_soon(self._simulator.deliver, workspace.team_id, envelope)

    async def wait(self) -> None:
        """Return when every answer is whole; those that were are not looked at again."""
        left = list(self._asked)

        def is_over() -> bool:
            while left and self._is_answered(*left[-1]):
                left.pop()
            return not left

        try:
            await self._simulator.changes.wait_until(is_over, timeout_s=TIMEOUT_S)
        except TimeoutError:
            sizes = Counter(len(asked[-1]) // 100 * 100 for asked in self._asked if not self._is_answered(*asked))
            errors = self._simulator.calls.errors
            raise AssertionError(f"{sizes.total()} answers are missing, by size {sizes}; errors: {errors}") from None

    def check(self) -> None:
        for asked in self._asked:
            assert self._is_answered(*asked)

    def _is_answered(self, workspace: Workspace, channel: str, root: str, answer: str) -> bool:
        messages = [message for message in workspace.thread(channel, root) if message.bot_id]
        return " ".join(map(read_shown, messages)).split() == read_words(answer).split()


def read_shown(message: Message) -> str:
    """Return the Markdown that a message shows."""
    blocks = [block["text"] for block in message.blocks or () if block["type"] == "markdown"]
    return read_words("\n".join(blocks) or message.text)


def read_words(markdown: str) -> str:
    """Return Markdown without fences: code that goes on in a next message has more of them."""
    lines = [line for line in markdown.replace(WORD_JOINER, "").split("\n") if not line.startswith("```")]
    return "\n".join(lines)


async def test_no_limit_of_slack_is_met(postgres_url: str, tmp_path: Path) -> None:
    count = max(1, TURNS // TURNS_PER_WORKSPACE)
    workspaces = [make_workspace(number, people=PEOPLE) for number in range(count)]
    for workspace in workspaces:
        workspace.limits = Limits(distribution="unlisted")
    model = FakeOpenAi()
    simulator = Simulator(*workspaces, concurrency=50)
    started_s = time.monotonic()
    with anyio.fail_after(TIMEOUT_S + 120):
        async with (
            serve(simulator) as address,
            serve_app(model.app, port=0) as model_url,
            open_fleet(
                tmp_path,
                database_url=postgres_url,
                slack_api_url=address.api_url,
                DEFAULT_AGENT="openai",
                OPENAI_BASE_URL=f"{model_url}/v1",
                OPENAI_MODEL="m",
                SLACK_BUDGET="true",
                SLACK_MCP_RETRY_MAX_AGE_S="7200",
            ) as fleet,
        ):
            for workspace in workspaces:
                await fleet.connect(workspace, distribution=Distribution.UNLISTED)
            await fleet.add(2)
            simulator.deliverer.targets = fleet.urls
            soak = Soak(workspaces, simulator, model)
            await soak.ask()
            await soak.wait()
            for pod in fleet.pods:
                assert await pod.stop() == 0
            soak.check()
            errors = {error: number for error, number in simulator.calls.errors.items() if error not in ALLOWED_ERRORS}
            assert errors == {}, errors
    print(
        f"\n{TURNS} answers in {count} workspaces within {time.monotonic() - started_s:.0f} s: "
        f"{sum(simulator.calls.counts.values())} calls, {dict(simulator.calls.counts)}"
    )
