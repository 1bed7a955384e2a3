"""Several processes on one socket: started, replaced when they die, and ended together."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from typing import Final

import structlog

from slack_mcp.core.errors import SettingsError, SlackMcpError

LOOK_S: Final = 1.0
RESTART_PAUSE_S: Final = 1.0
# Kubernetes kills after 30 s; a worker that hangs must not keep the others from a clean end.
WORKER_EXIT_S: Final = 25.0
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
EXIT_FAILED: Final = 1
EXIT_SETTINGS: Final = 2

_log = structlog.get_logger(__name__)


def supervise(
    count: int,
    work: Callable[[], None],
    *,
    restart_pause_s: float = RESTART_PAUSE_S,
    worker_exit_s: float = WORKER_EXIT_S,
) -> None:
    """Keep `count` processes at `work` until SIGTERM or SIGINT, and return when all have ended.

    Call it before anything but the socket is open: the processes are forks of this one. Each is told to stop by
    SIGTERM; a SIGINT, which a terminal sends to all of them, is for this process to pass on. They end with this
    process, however it ends.

    Args:
        count: how many.
        work: what each of them does; SIGTERM has its default effect when it is called.
        restart_pause_s: how long to wait before those that died are replaced.
        worker_exit_s: how long they may take to end; then they are killed.

    Raises:
        SettingsError: a worker found a mistake in the settings: its replacement would find it again.
    """
    supervisor = _Supervisor(work, restart_pause_s=restart_pause_s, worker_exit_s=worker_exit_s)
    # First, so that there is no moment in which a signal would end this process and leave the workers behind.
    for number in STOP_SIGNALS:
        signal.signal(number, supervisor.stop)
    supervisor.start_workers(count)
    supervisor.watch()
    supervisor.finish()


class _Supervisor:
    def __init__(self, work: Callable[[], None], *, restart_pause_s: float, worker_exit_s: float) -> None:
        self._fork = multiprocessing.get_context("fork")
        self._work = work
        self._restart_pause_s = restart_pause_s
        self._worker_exit_s = worker_exit_s
        self._workers: set[ForkProcess] = set()
        self._is_stopping = False
        self._has_wrong_settings = False

    def start_workers(self, count: int) -> None:
        for _ in range(count):
            # A signal waits until the worker is noted here, and there until it is no longer this process's to handle.
            with _signals_held():
                if self._is_stopping:
                    return
                worker = self._fork.Process(target=self._run)
                worker.start()
                self._workers.add(worker)

    def _run(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
        try:
            self._work()
        except SlackMcpError as error:
            _log.error("worker.failed", code=error.code, error=str(error))
            sys.exit(EXIT_SETTINGS if isinstance(error, SettingsError) else EXIT_FAILED)

    def stop(self, number: int, _frame: object) -> None:
        _log.info("service.stopping", signal=signal.Signals(number).name)
        self._end_workers()

    def _end_workers(self) -> None:
        self._is_stopping = True
        for worker in self._workers:
            worker.terminate()

    def watch(self) -> None:
        while not self._is_stopping:
            wait([worker.sentinel for worker in self._workers], timeout=LOOK_S)
            dead = [worker for worker in self._workers if not worker.is_alive()]
            if dead and not self._is_stopping:
                self._replace(dead)

    def _replace(self, dead: list[ForkProcess]) -> None:
        for worker in dead:
            _log.error("worker.died", pid=worker.pid, exit_code=worker.exitcode)
        self._workers.difference_update(dead)
        if any(worker.exitcode == EXIT_SETTINGS for worker in dead):
            self._has_wrong_settings = True
            self._end_workers()
            return
        time.sleep(self._restart_pause_s)
        self.start_workers(len(dead))

    def finish(self) -> None:
        deadline_s = time.monotonic() + self._worker_exit_s
        for worker in self._workers:
            worker.join(max(0.0, deadline_s - time.monotonic()))
            if worker.is_alive():
                _log.error("worker.killed", pid=worker.pid)
                worker.kill()
                worker.join()
        if self._has_wrong_settings:
            raise SettingsError(["A worker cannot run with these settings: its line `worker.failed` says why."])


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let the signals that stop this process wait."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _end_with_parent() -> None:
    """Tell this worker to end when the process that started it is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
