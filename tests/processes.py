"""The service as real processes, for end-to-end tests: started, killed, started again on the same port."""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import anyio
import asyncpg
import httpx2
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from slack_mcp.app import open_admin
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection, ConnectionSettings, Distribution, Speaking
from slack_mcp.core.secret import Secret
from slack_mcp.settings import Settings
from slack_mcp.simulator import Workspace
from slack_mcp.simulator.model import Message

START_TIMEOUT_S = 120
THINKING = render_sentence("en", Sentence.THINKING)
STOP_TIMEOUT_S = 25
MESH_SECRET = "mesh-secret-mesh-secret-mesh-secret"


class PodProcess:
    """`slack-mcp serve`, and every line that it has logged so far."""

    def __init__(self, name: str, environ: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self.lines: list[dict[str, Any]] = []
        self.raw = ""
        self.url = ""
        self._environ = dict(environ)
        self._directory = directory
        self._process: Process | None = None
        self._changed = anyio.Event()

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, tasks: anyio.abc.TaskGroup) -> None:
        """Start, and return when it listens; again on the port of the first time."""
        before = len(self.lines)
        self._process = await anyio.open_process(
            [sys.executable, "-m", "slack_mcp", "serve"],
            env=self._environ,
            cwd=self._directory,
            stdout=DEVNULL,
            stderr=PIPE,
        )
        tasks.start_soon(self._read_log, self._process)
        with anyio.fail_after(START_TIMEOUT_S):
            await self.wait_until(lambda: bool(self.find("pod.listening", before)) or not self.is_alive)
        assert self.is_alive, self.raw[-2000:]
        self.url = self.find("pod.listening", before)[0]["url"]
        self._environ["PORT"] = self.url.rpartition(":")[2]

    def find(self, event: str, start: int = 0) -> Sequence[dict[str, Any]]:
        """Return the log lines of one event."""
        return [line for line in self.lines[start:] if line.get("event") == event]

    async def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Return when it is so; looked at with every log line and at the process's end."""
        while not is_so():
            await self._changed.wait()

    async def kill(self) -> None:
        """Kill -9, and return when it is gone."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        self.process.terminate()
        with anyio.fail_after(STOP_TIMEOUT_S):
            return await self.process.wait()

    async def _read_log(self, process: Process) -> None:
        assert process.stderr is not None
        rest = ""
        async for text in TextReceiveStream(process.stderr, errors="replace"):
            self.raw += text
            *lines, rest = (rest + text).split("\n")
            self.lines += [parse_line(line) for line in lines if line]
            self._notify()
        await process.wait()
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def parse_line(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:
        return {"event": line}


def get_time_s(line: Mapping[str, Any]) -> float:
    """Return when a line was logged, in unix seconds."""
    return datetime.fromisoformat(str(line["timestamp"])).timestamp()


class Fleet:
    """Pods on one database, and what tests ask of them together."""

    def __init__(self, environ: Mapping[str, str], directory: Path, tasks: anyio.abc.TaskGroup) -> None:
        self.environ = environ
        self.pods: list[PodProcess] = []
        self._directory = directory
        self._tasks = tasks

    @property
    def urls(self) -> list[str]:
        return [pod.url for pod in self.pods]

    @property
    def settings(self) -> Settings:
        return Settings.from_env(self.environ, dotenv=None)

    async def add(self, count: int = 1, **changes: str) -> list[PodProcess]:
        """Start some more pods, side by side as a deployment does."""
        environ = {**os.environ, **self.environ, **changes}
        added = [PodProcess(f"pod-{len(self.pods) + number}", environ, self._directory) for number in range(count)]
        self.pods += added
        async with anyio.create_task_group() as starting:
            for pod in added:
                starting.start_soon(pod.start, self._tasks)
        return added

    async def restart(self, pod: PodProcess) -> None:
        await pod.start(self._tasks)

    async def connect(self, workspace: Workspace, *, distribution: Distribution | None = None) -> Connection:
        """Save the connection of a simulated workspace, as `slack-mcp connections add` does."""
        connection = make_connection(workspace)
        settings = replace(connection.settings, distribution=distribution)
        async with open_admin(self.settings) as admin:
            return await admin.saver.save(replace(connection, settings=settings))

    async def fetch(self, statement: str) -> Sequence[asyncpg.Record]:
        """Return the rows of a statement; PostgreSQL only."""
        connection = await asyncpg.connect(self.environ["DATABASE_URL"])
        try:
            rows: Sequence[asyncpg.Record] = await connection.fetch(statement)
            return rows
        finally:
            await connection.close()

    async def execute(self, statement: str, *values: object) -> None:
        """Run a statement; PostgreSQL only."""
        connection = await asyncpg.connect(self.environ["DATABASE_URL"])
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()

    def find(self, event: str) -> Sequence[dict[str, Any]]:
        return [line for pod in self.pods for line in pod.find(event)]


@asynccontextmanager
async def open_fleet(directory: Path, *, database_url: str, slack_api_url: str, **environ: str) -> AsyncIterator[Fleet]:
    """Yield a fleet without pods; whatever it still runs at the end is killed."""
    own = {
        "DATABASE_URL": database_url,
        "SLACK_API_URL": slack_api_url,
        "PORT": "0",
        "LOG_FORMAT": "json",
        "DEFAULT_AGENT": "echo",
        "MESH_JWT_SECRET": MESH_SECRET,
        "DATA_DIR": str(directory / "data"),
        # Slack would let them wait; that it does is told in stories of its own.
        "SLACK_BUDGET": "false",
        **environ,
    }
    async with anyio.create_task_group() as tasks:
        fleet = Fleet(own, directory, tasks)
        try:
            yield fleet
        finally:
            with anyio.CancelScope(shield=True):
                for pod in fleet.pods:
                    if pod.is_alive:
                        await pod.kill()


def make_connection(workspace: Workspace) -> Connection:
    """Return the connection of a simulated workspace, as a user would enter it."""
    assert workspace.connection_id is not None
    return Connection(
        connection_id=ConnectionId(workspace.connection_id),
        organization_id="",
        mesh_url="",
        bot_token=Secret(workspace.bot_token),
        signing_secret=Secret(workspace.signing_secret),
        # The people of a story ask more than people do.
        settings=ConnectionSettings(speaking=Speaking(user_per_min=0, channel_per_min=0)),
    )


def make_workspace(number: int = 1, *, people: int = 1) -> Workspace:
    """Return a workspace with people, a channel that all of them and the bot are in, and a direct message for each.

    Channels and people have the same ids in every workspace: only tokens and secrets tell them apart.
    """
    workspace = Workspace(
        team_id=f"T{number}",
        bot_token=f"xoxb-canary-token-{number}",
        signing_secret=f"canary-signing-secret-{number}",
        app_id=f"A{number}",
        bot_user_id="UBOT",
        bot_id=f"B{number}",
        connection_id=f"conn_{number}",
    )
    for person in range(people):
        workspace.add_user(f"U{person}", f"person{person}")
    workspace.add_channel("C1", "general")
    for person in range(people):
        workspace.open_im(f"U{person}")
    return workspace


class AnswerCount:
    """How many answers of the bot are whole, counted as it happens."""

    def __init__(self, *workspaces: Workspace) -> None:
        self.answered: set[tuple[str, str, str]] = set()
        for workspace in workspaces:
            workspace.on_change.append(partial(self._note, workspace.team_id))

    def __len__(self) -> int:
        return len(self.answered)

    def _note(self, team_id: str, action: str, message: Message) -> None:
        # A placeholder is no answer yet, nor is what still streams.
        is_whole = message.metadata is not None and message.text != THINKING
        if action in {"posted", "updated"} and message.bot_id and is_whole:
            self.answered.add((team_id, message.channel_id, message.ts))


@asynccontextmanager
async def open_http() -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client that asks no proxy."""
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
        yield http
