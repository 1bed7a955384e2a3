"""`slack-mcp demo`: the service on SQLite beside a simulated Slack workspace, in one process."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio

from slack_mcp.app import open_admin, open_pod
from slack_mcp.app.serve import STOP_SIGNALS, listen
from slack_mcp.app.server import render_url
from slack_mcp.catalogue import ENGLISH, Sentence, render_sentence
from slack_mcp.core.errors import AgentTimeoutError, SettingsError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import AgentBackend, Connection
from slack_mcp.core.secret import Secret
from slack_mcp.protocol.mrkdwn import unescape
from slack_mcp.settings import Settings
from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.model import Message
from slack_mcp.simulator.page import link_mentions
from slack_mcp.telemetry import configure_logging

HOST: Final = "127.0.0.1"  # nobody else's business: the page asks for no password
DATABASE: Final = "demo.db"
CONNECTION_ID: Final = ConnectionId("conn_demo")
TEAM, CHANNEL, BOT, PERSON = "TDEMO", "CGENERAL", "UBOT", "UANN"
ANSWER_TIMEOUT_S: Final = 120.0
THINKING: Final = render_sentence(ENGLISH, Sentence.THINKING)

Echo = Callable[[str], None]


def run(settings: Settings, *, port: int | None, say: str | None, echo: Echo) -> None:
    """Run until a signal; with `say`, say it in a channel, print the thread once it is answered, and return.

    Args:
        settings: the operator's; database, Slack and address are the demo's own.
        port: of the page; None takes `PORT`.
        say: what a person says to the bot.
        echo: prints a line for the user.

    Raises:
        SettingsError: the port is taken.
        AgentTimeoutError: `say` was not answered.
    """
    # The lines of a run that ends by itself would only hide what it prints.
    level = "warning" if say is not None and settings.log_level == "info" else settings.log_level
    configure_logging(level=level, log_format=settings.log_format, keeps_loggers=True)
    if say is None:
        anyio.run(_run, settings, settings.port if port is None else port, echo, backend_options={"use_uvloop": True})
    else:
        anyio.run(_say, settings, say, echo, backend_options={"use_uvloop": True})


async def _run(settings: Settings, port: int, echo: Echo) -> None:
    with anyio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async with _open_demo(settings, port, settings.data_dir) as (_, page_url, service_url):
            echo(f"Simulated Slack workspace: {page_url}")
            echo(f"The service itself:        {service_url}/health")
            echo("Ctrl+C ends both. Nothing here reaches the real Slack.")
            async for number in signals:
                echo(f"{signal.Signals(number).name}: stopping.")
                break


async def _say(settings: Settings, text: str, echo: Echo) -> None:
    # With a database of its own, so that it neither meets a demo that is running nor leaves anything behind.
    with TemporaryDirectory(prefix="slack-mcp-demo-") as directory:
        await _say_in(settings, Path(directory), text, echo)


async def _say_in(settings: Settings, directory: Path, text: str, echo: Echo) -> None:
    async with _open_demo(settings, 0, directory) as (simulator, _, _):
        workspace = simulator.workspaces[TEAM]
        linked = link_mentions(text, workspace)
        if f"<@{BOT}>" not in linked:
            linked = f"<@{BOT}> {linked}"
        root = simulator.say(TEAM, PERSON, CHANNEL, linked).message

        def is_answered() -> bool:
            # What is whole carries the bot's mark; a placeholder, that it has not become an answer.
            thread = workspace.thread(CHANNEL, root.ts)
            return any(each.bot_id and each.metadata and each.text != THINKING for each in thread)

        try:
            await simulator.changes.wait_until(is_answered, timeout_s=ANSWER_TIMEOUT_S)
        except TimeoutError:
            raise AgentTimeoutError(f"The bot did not answer within {ANSWER_TIMEOUT_S:.0f} s.") from None
    # The service has come to its end: a long answer's last part is there too.
    for message in workspace.thread(CHANNEL, root.ts):
        echo(_render(message, workspace))


@asynccontextmanager
async def _open_demo(settings: Settings, port: int, directory: Path) -> AsyncIterator[tuple[Simulator, str, str]]:
    """Yield the running simulator, the address of its page and that of the service, which ends in good order.

    Args:
        settings: the operator's.
        port: of the page.
        directory: for the database.

    Raises:
        SettingsError: the port is taken, or another demo has the database.
    """
    workspace = make_workspace()
    simulator = Simulator(workspace)
    with listen(HOST, 0) as listener:
        simulator.deliverer.targets = [render_url(listener)]
        async with _serve_simulator(simulator, port) as (page_url, api_url):
            own = make_settings(settings, api_url=api_url, directory=directory)
            async with open_admin(own) as admin:
                await admin.saver.save(make_connection(workspace))
            stop = anyio.Event()
            async with open_pod(own) as pod, anyio.create_task_group() as tasks:
                tasks.start_soon(pod.run, listener, stop)
                try:
                    yield simulator, page_url, render_url(listener)
                finally:
                    stop.set()


@asynccontextmanager
async def _serve_simulator(simulator: Simulator, port: int) -> AsyncIterator[tuple[str, str]]:
    async with AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(serve(simulator, host=HOST, port=port))
        except OSError as error:
            raise SettingsError(
                [f"Port {port} cannot be listened on ({error.strerror}): give another with --port or PORT, or 0."]
            ) from error
        yield address.base_url, address.api_url


def make_workspace() -> Workspace:
    """Return a workspace with a few people, a few channels and the bot."""
    workspace = Workspace(
        team_id=TEAM,
        team_name="Demo",
        bot_token="xoxb-simulated-demo",  # noqa: S106 - good for the simulator alone
        signing_secret="simulated-signing-secret",  # noqa: S106 - the same
        app_id="ADEMO",
        bot_user_id=BOT,
        connection_id=CONNECTION_ID,
    )
    for user_id, name in ((PERSON, "ann"), ("UBEN", "ben")):
        workspace.add_user(user_id, name)
    workspace.add_channel(CHANNEL, "general")
    workspace.add_channel("CRANDOM", "random")
    workspace.open_im(PERSON)
    return workspace


def make_connection(workspace: Workspace) -> Connection:
    """Return the connection of the simulated workspace."""
    return Connection(
        connection_id=CONNECTION_ID,
        organization_id="",
        mesh_url="",
        bot_token=Secret(workspace.bot_token),
        signing_secret=Secret(workspace.signing_secret),
        connection_name="Demo",
    )


def make_settings(settings: Settings, *, api_url: str, directory: Path) -> Settings:
    """Return the demo's settings: its own database, key and Slack; the operator's agent, or the echo."""
    return settings.model_copy(
        update={
            "database_url": Secret(f"sqlite:{directory / DATABASE}"),
            "database_listen_url": None,
            # The key file beside the database: the operator's keys may be others than those of the last demo.
            "encryption_keys": None,
            "slack_api_url": api_url,
            "default_agent": settings.default_agent or AgentBackend.ECHO,
        }
    )


def _render(message: Message, workspace: Workspace) -> str:
    """Return a message as a line of a conversation."""
    text = message.text
    for user in workspace.users.values():
        text = text.replace(f"<@{user.user_id}>", f"@{user.name}")
    return f"{workspace.users[message.user_id].name}: {unescape(text)}"
