"""Running the service: one process or several on one port, from the first log line to the orderly end."""

import gc
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import structlog

from slack_mcp import __version__
from slack_mcp.app.compose import migrations
from slack_mcp.app.metrics import make_shared_directory
from slack_mcp.app.pod import open_pod
from slack_mcp.app.server import bind, render_url
from slack_mcp.app.supervise import supervise
from slack_mcp.app.valkey import check_valkey_client
from slack_mcp.core.errors import SettingsError
from slack_mcp.settings import Settings
from slack_mcp.telemetry import configure_logging

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

SWITCH_INTERVAL_S: Final = 0.001
# What a process opens beside the connections of callers: to Slack, to agents, to the database, and files.
OTHER_FILES: Final = 1_024

_log = structlog.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends at once what the first one asked to finish.

    Raises:
        SettingsError: the address cannot be listened on, or an extra that the settings want is not installed.
        SlackMcpError: the database cannot be reached or migrated.
    """
    configure_logging(level=settings.log_level, log_format=settings.log_format, keeps_loggers=True)
    check_valkey_client(settings)
    for notice in settings.notices:
        _log.warning("settings.notice", notice=notice)
    with listen(settings.host, settings.port) as listener:
        if settings.workers == 1:
            _run(settings, listener, STOP_SIGNALS)
            return
        # Once for all, so that what is wrong is told once and not by every worker.
        anyio.run(migrations(settings).up)
        with make_shared_directory() as figures:
            supervise(settings.workers, partial(_run, settings, listener, (signal.SIGTERM,), figures))


def _run(
    settings: Settings, listener: socket.socket, stop_signals: Sequence[signal.Signals], figures: Path | None = None
) -> None:
    raise_file_limit(settings.max_connections + OTHER_FILES)
    anyio.run(serve_on, settings, listener, stop_signals, figures, backend_options={"use_uvloop": True})


def raise_file_limit(files: int) -> None:
    """Let the process open so many files, as far as the system lets it; many systems begin with 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < files:
        _log.warning("files.limited", limit=wanted, wanted=files)


def _tune_interpreter(settings: Settings) -> None:
    """Let the interpreter do what a server needs.

    The garbage collector need not walk through everything that was imported, again and again under load: what is there
    now stays, what comes with requests is freed by counting, and cycles among it are few. A full collection otherwise
    stops the event loop for a tenth of a second. And SQLite's thread, which lets go of the interpreter for every
    statement, would wait 5 ms to get it back from a busy event loop.
    """
    if settings.database.dialect == "sqlite":
        sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises SettingsError."""
    try:
        return bind(host, port)
    except OSError as error:
        raise SettingsError([f"HOST and PORT: {host}:{port} cannot be listened on ({error.strerror})."]) from error


async def serve_on(
    settings: Settings, listener: socket.socket, stop_signals: Sequence[signal.Signals], figures: Path | None = None
) -> None:
    """Serve on a socket until one of the signals comes; `figures` is where several processes share their metrics."""
    stop = anyio.Event()
    with anyio.open_signal_receiver(*stop_signals) as signals:
        async with open_pod(settings, figures=figures) as pod, anyio.create_task_group() as tasks:

            async def heed_signals() -> None:
                async for number in signals:
                    if stop.is_set():
                        _log.warning("pod.stopped_at_once", signal=signal.Signals(number).name)
                        tasks.cancel_scope.cancel()
                        return
                    _log.info("pod.stopping", signal=signal.Signals(number).name)
                    stop.set()

            tasks.start_soon(heed_signals, name="signals")
            _tune_interpreter(settings)
            _log.info(
                "pod.starting",
                version=__version__,
                url=render_url(listener),
                database=settings.database.describe(),
                pod_id=pod.pod_id,
            )
            await pod.run(listener, stop)
            tasks.cancel_scope.cancel()
    _log.info("pod.stopped")
