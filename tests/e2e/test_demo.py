"""`slack-mcp demo` as a process: the page, the thread, and the end."""

import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from processes import open_http

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "slack_mcp", "demo")
SETTINGS = {"DATA_DIR": "data", "LOG_FORMAT": "json", "DEFAULT_AGENT": "", "ENCRYPTION_KEYS": ""}


@asynccontextmanager
async def run_demo(directory: Path) -> AsyncIterator[tuple[Process, str, str]]:
    """Yield a demo on free ports with the addresses that it prints: of its page, and of the service."""
    process = await anyio.open_process(
        [*COMMAND, "--port", "0"], cwd=directory, env={**os.environ, **SETTINGS}, stdout=PIPE, stderr=PIPE
    )
    async with process, anyio.create_task_group() as tasks:
        assert process.stderr is not None
        assert process.stdout is not None
        tasks.start_soon(drain, TextReceiveStream(process.stderr))
        printed = ""
        stdout = TextReceiveStream(process.stdout)
        try:
            with anyio.fail_after(60):
                while "Ctrl+C" not in printed:
                    printed += await stdout.receive()
            page, service = re.findall(r"http://127\.0\.0\.1:\d+", printed)
            yield process, page, service
        finally:
            if process.returncode is None:
                process.kill()


async def drain(stream: TextReceiveStream) -> None:
    async for _ in stream:
        pass


async def test_say_prints_the_thread_and_ends(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        done = await anyio.run_process(
            [*COMMAND, "--say", "hello"], cwd=tmp_path, env={**os.environ, **SETTINGS}, check=False
        )
    assert (done.returncode, done.stdout.decode()) == (0, "ann: @bot hello\nbot: hello\n"), done.stderr.decode()
    assert done.stderr == b""
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing to wait for


async def test_a_page_is_served_and_what_is_said_on_it_is_answered(tmp_path: Path) -> None:
    async with run_demo(tmp_path) as (process, page, service), open_http() as http:
        shown = await http.get(page)
        assert shown.status_code == 200
        policy = shown.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy)
        assert "unsafe" not in shown.headers["content-security-policy"]
        assert (await http.get(f"{service}/health")).status_code == 200
        texts = []
        with anyio.fail_after(60):
            async with http.stream("GET", f"{page}/demo/stream") as stream:
                lines = stream.aiter_lines()
                async for line in lines:
                    if line == "event: ready":
                        break
                said = await http.post(f"{page}/demo/say", json={"channel": "CGENERAL", "text": "@bot hello"})
                assert said.status_code == 200
                async for line in lines:
                    if line.startswith("data: {") and len(line) > len("data: {}"):
                        change = json.loads(line.removeprefix("data: "))
                        texts.append((change["action"], change["message"]["text"]))
                        if texts[-1] == ("posted", "hello"):
                            break
        assert texts[0][1] == "<@UBOT> hello"
        process.send_signal(signal.SIGINT)
        with anyio.fail_after(10):
            assert await process.wait() == 0


async def test_a_demo_that_is_running_keeps_its_database_and_lets_others_say_something(tmp_path: Path) -> None:
    async with run_demo(tmp_path) as (process, page, _):
        environ = {**os.environ, **SETTINGS}
        with anyio.fail_after(60):
            said = await anyio.run_process([*COMMAND, "--say", "hi"], cwd=tmp_path, env=environ, check=False)
            assert said.returncode == 0, said.stderr
            second = await anyio.run_process([*COMMAND, "--port", "0"], cwd=tmp_path, env=environ, check=False)
            assert second.returncode == 2
            assert b"Another process serves data/demo.db" in second.stderr
            elsewhere = await anyio.run_process(
                [*COMMAND, "--port", page.rpartition(":")[2]], cwd=tmp_path, env=environ, check=False
            )
            assert elsewhere.returncode == 2
            assert b"give another with --port or PORT, or 0" in elsewhere.stderr
            assert b"Traceback" not in second.stderr + elsewhere.stderr
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(10):
            assert await process.wait() == 0
    # The next demo starts on what the last one left.
    async with run_demo(tmp_path) as (process, _, _):
        process.send_signal(signal.SIGINT)
        with anyio.fail_after(10):
            assert await process.wait() == 0


async def test_make_run_is_this_command() -> None:
    recipes = (ROOT / "Makefile").read_text().splitlines()
    start = next(number for number, line in enumerate(recipes) if line.startswith("run:"))
    assert recipes[start + 1].strip().lstrip("@") == "$(BIN)/slack-mcp demo $(ARGS)"
