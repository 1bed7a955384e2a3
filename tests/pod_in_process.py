"""A whole pod in the test's own process, between a simulated Slack and a fake model, with every log line kept."""

import io
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
from fake_openai import FakeOpenAi
from kept_logs import putting_logs_back

from slack_mcp.app import open_admin, open_pod
from slack_mcp.app.compose import Admin
from slack_mcp.app.server import bind, render_url
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection, ConnectionSettings, Speaking
from slack_mcp.core.secret import Secret
from slack_mcp.settings import Settings
from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.model import Message
from slack_mcp.simulator.server import serve_app
from slack_mcp.telemetry import configure_logging

TEAM, CHANNEL, PERSON, BOT = "T1", "C1", "UANN", "UBOT"
CONNECTION_ID = ConnectionId("conn_1")
MENTION = f"<@{BOT}>"
# How answers stream is told elsewhere; and the person of these tests asks more than people do.
NOT_STREAMED = ConnectionSettings(streaming=False, speaking=Speaking(user_per_min=0, channel_per_min=0))
CLOSING = "and now?"
WAIT_S = 20

# Every answer quotes its question, so that this word gives away the one as well as the other.
SAID = "canary-said"
TOKEN = "xoxb-canary-token"
SIGNING_SECRET = "canary-signing-secret"
NEW_SIGNING_SECRET = "canary-new-signing-secret"
MODEL_KEY = "sk-canary-key-0123456789"
CANARIES = (SAID, TOKEN, SIGNING_SECRET, NEW_SIGNING_SECRET, MODEL_KEY)


class Log(io.StringIO):
    """The log; `on_line` is called after each line."""

    on_line: Callable[[], None] = staticmethod(lambda: None)

    def write(self, text: str) -> int:
        written = super().write(text)
        self.on_line()
        return written

    def select(self, event: str, **values: Any) -> list[dict[str, Any]]:
        """Return the lines of one event that have these values."""
        lines = [json.loads(line) for line in self.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event and values.items() <= line.items()]


@dataclass(kw_only=True)
class PodInProcess:
    """The pod's surroundings, and what became of it all."""

    simulator: Simulator
    workspace: Workspace
    model: FakeOpenAi
    admin: Admin
    log: Log
    database: Path
    sent: set[str] = field(default_factory=set)

    def ask(self, text: str = SAID, *, thread_ts: str | None = None) -> Message:
        """Let a person mention the bot; Slack sends it as app_mention and as message."""
        return self.say(f"{MENTION} {text}", thread_ts=thread_ts)

    def say(self, text: str, *, channel: str = CHANNEL, thread_ts: str | None = None) -> Message:
        """Let a person say something; its events are on their way when this returns."""
        posted = self.simulator.say(TEAM, PERSON, channel, text, thread_ts)
        self.sent.update(envelope["event_id"] for envelope in posted.envelopes)
        return posted.message

    async def wait_until(self, is_true: Callable[[], bool]) -> None:
        await self.simulator.changes.wait_until(is_true, timeout_s=WAIT_S)

    async def wait_for_line(self, event: str, **values: Any) -> None:
        await self.wait_until(lambda: bool(self.log.select(event, **values)))

    async def wait_for_deliveries(self) -> None:
        """Return when everything that people said has arrived, or was given up."""
        deliveries = self.simulator.deliverer.deliveries
        await self.wait_until(lambda: self.sent <= {each.event_id for each in deliveries if each.is_over})

    async def wait_for_own_messages(self, count: int) -> None:
        """Return when so many events of the bot's own posts and edits have arrived."""
        deliveries = self.simulator.deliverer.deliveries
        await self.wait_until(
            lambda: sum(each.is_over and each.event_id not in self.sent for each in deliveries) >= count
        )

    async def wait_for_outcome(self, state: str, reason: str, *, count: int = 1) -> None:
        """Return when the journal has so many events that ended so; what is skipped is told nowhere else."""
        await _look_until(lambda: self.list_events().count((state, reason)) >= count)

    async def wait_for_model(self) -> None:
        """Return when the model was asked: the placeholder is stored by then."""
        await _look_until(lambda: bool(self.model.requests))

    async def close_thread(self, root: Message) -> None:
        """Ask once more in the thread and wait for the answer: all that came before in it is over then.

        A thread is one lane, worked on in the order of the journal. Whatever went wrong before, this has to go well.
        """
        await self.wait_for_deliveries()
        self.ask(CLOSING, thread_ts=root.ts)
        await self.simulator.wait_for_answer(TEAM, CHANNEL, root.ts, text=f"Answer to: {CLOSING}", timeout_s=WAIT_S)

    def list_answers(self, root: Message) -> list[list[str]]:
        """Return each of the bot's messages in the thread with the different texts that it showed, in order.

        The answer to the closing question is left out.
        """
        return [
            list(dict.fromkeys(revision.text for revision in message.revisions))
            for message in self.workspace.thread(CHANNEL, root.ts)
            if message.bot_id and message.text != f"Answer to: {CLOSING}"
        ]

    async def change_connection(self, **changes: Any) -> None:
        """Save the connection as another process would."""
        connection = await self.admin.connections.load_connection(CONNECTION_ID)
        assert connection is not None
        await self.admin.saver.save(replace(connection, **changes))

    def list_events(self, event_type: str | None = None) -> Sequence[tuple[str, str | None]]:
        """Return (state, reason) of the journal's events, in the order in which they came."""
        with closing(sqlite3.connect(self.database)) as database:
            rows = database.execute("SELECT event_type, state, reason FROM slack_events ORDER BY id").fetchall()
        return [(state, reason) for kind, state, reason in rows if event_type in (None, kind)]


@asynccontextmanager
async def run_pod(
    directory: Path, *, settings: ConnectionSettings | None = None, **environ: str
) -> AsyncIterator[PodInProcess]:
    """Yield a running pod on a SQLite file, and let it come to an orderly end; then look through its log.

    Args:
        directory: for the database.
        settings: the connection's.
        environ: settings of the service, beside those that a test always wants.
    """
    log = Log()
    workspace = make_workspace()
    simulator = Simulator(workspace, time_scale=0.001)
    model = FakeOpenAi()
    with _logging_to(log), bind("127.0.0.1", 0) as listener:
        simulator.deliverer.targets = [render_url(listener)]
        async with serve(simulator) as address, serve_app(model.app) as model_url:
            own = {
                "DATABASE_URL": f"sqlite:{directory / 'pod.db'}",
                "SLACK_API_URL": address.api_url,
                "DEFAULT_AGENT": "openai",
                "OPENAI_BASE_URL": f"{model_url}/v1",
                "OPENAI_API_KEY": MODEL_KEY,
                "OPENAI_MODEL": "m",
                "SLACK_BUDGET": "false",
                "SLACK_MCP_RETRY_BASE_S": "0.01",
                "SLACK_MCP_RETRY_MAX_ATTEMPTS": "3",
                "SLACK_MCP_POLL_S": "0.02",
                # A change that another process makes is then seen by the very next event.
                "SLACK_MCP_DIRECTORY_TTL_S": "0.001",
            }
            pod_settings = Settings.from_env({k: v for k, v in (own | environ).items() if v}, dotenv=None)
            async with open_admin(pod_settings) as admin:
                await admin.saver.save(make_connection(workspace, settings or NOT_STREAMED))
                simulator.calls.clear()
                log.on_line = simulator.changes.notify
                stop = anyio.Event()
                async with open_pod(pod_settings) as pod, anyio.create_task_group() as tasks:
                    tasks.start_soon(pod.run, listener, stop)
                    try:
                        yield PodInProcess(
                            simulator=simulator,
                            workspace=workspace,
                            model=model,
                            admin=admin,
                            log=log,
                            database=directory / "pod.db",
                        )
                    finally:
                        stop.set()
    check_log(log)


async def _look_until(is_true: Callable[[], bool]) -> None:
    """Return when it is true, for what rings no bell: everybody else has a turn between two looks."""
    with anyio.fail_after(WAIT_S):
        while not is_true():
            await anyio.lowlevel.checkpoint()


def check_log(log: Log) -> None:
    """Find no secret and nothing that was said in any line, and no bug."""
    text = log.getvalue()
    assert log.select("pod.listening")
    found = [word for word in CANARIES if word in text]
    assert not found, f"in the log: {found}"
    assert log.select("event.crashed") == []


def make_workspace() -> Workspace:
    workspace = Workspace(
        team_id=TEAM,
        bot_token=TOKEN,
        signing_secret=SIGNING_SECRET,
        app_id="A1",
        bot_user_id=BOT,
        connection_id=CONNECTION_ID,
    )
    workspace.add_user(PERSON, "ann")
    workspace.add_channel(CHANNEL, "general")
    return workspace


def make_connection(workspace: Workspace, settings: ConnectionSettings) -> Connection:
    return Connection(
        connection_id=CONNECTION_ID,
        organization_id="org",
        mesh_url="",
        bot_token=Secret(workspace.bot_token),
        signing_secret=Secret(workspace.signing_secret),
        settings=settings,
    )


@contextmanager
def _logging_to(log: Log) -> Iterator[None]:
    """Write every line of the process, ours and the libraries', to the log as the service would, at debug."""
    with putting_logs_back():
        configure_logging(level="debug", log_format="json", stream=log)
        yield
