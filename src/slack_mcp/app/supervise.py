"""Several processes on one socket: started, replaced when they die, and ended together."""

import multiprocessing
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from typing import Final

import structlog

LOOK_S: Final = 1.0
RESTART_PAUSE_S: Final = 1.0
# Kubernetes kills after 30 s; a worker that hangs must not keep the others from a clean end.
WORKER_EXIT_S: Final = 25.0

_log = structlog.get_logger(__name__)


def supervise(count: int, work: Callable[[], None]) -> None:
    """Keep `count` processes at `work` until SIGTERM or SIGINT, and return when all have ended.

    Call it before anything but the socket is open: the processes are forks of this one. Each is told to stop by
    SIGTERM; a SIGINT, which a terminal sends to all of them, is for this process to pass on.
    """
    supervisor = _Supervisor(work)
    for _ in range(count):
        supervisor.start_worker()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.stop)
    supervisor.watch()


class _Supervisor:
    def __init__(self, work: Callable[[], None]) -> None:
        self._fork = multiprocessing.get_context("fork")
        self._work = work
        self._workers: set[ForkProcess] = set()
        self._is_stopping = False

    def start_worker(self) -> None:
        worker = self._fork.Process(target=self._run)
        worker.start()
        self._workers.add(worker)

    def _run(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._work()

    def stop(self, number: int, _frame: object) -> None:
        self._is_stopping = True
        _log.info("service.stopping", signal=signal.Signals(number).name)
        for worker in self._workers:
            worker.terminate()

    def watch(self) -> None:
        while not self._is_stopping:
            wait([worker.sentinel for worker in self._workers], timeout=LOOK_S)
            for worker in [each for each in self._workers if not each.is_alive()]:
                self._replace(worker)
        deadline_s = time.monotonic() + WORKER_EXIT_S
        for worker in self._workers:
            worker.join(max(0.0, deadline_s - time.monotonic()))
            if worker.is_alive():
                _log.error("worker.killed", pid=worker.pid)
                worker.kill()
                worker.join()

    def _replace(self, worker: ForkProcess) -> None:
        if self._is_stopping:
            return
        _log.error("worker.died", pid=worker.pid, exit_code=worker.exitcode)
        self._workers.discard(worker)
        time.sleep(RESTART_PAUSE_S)
        if not self._is_stopping:
            self.start_worker()
