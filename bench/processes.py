"""Child processes: started, waited for, and always ended."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil

from bench.errors import BenchError

ROOT: Final = Path(__file__).resolve().parents[1]
HOST: Final = "127.0.0.1"
BACKLOG: Final = 2048
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 20.0
LOOK_S: Final = 0.01


@dataclass(slots=True, kw_only=True)
class Child:
    """A process, and what it has written to standard output and error, one JSON document a line."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    url: str = field(default="")

    @property
    def port(self) -> int:
        """The port of its URL."""
        return urlsplit(self.url).port or 0

    def read_lines(self) -> list[dict[str, Any]]:
        """Return the lines so far that are JSON objects."""
        found = []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                document = json.loads(line)
            except ValueError:
                continue
            if isinstance(document, dict):
                found.append(document)
        return found

    def wait_for(self, key: str, *, event: str | None = None, count: int = 1) -> str:
        """Return the value of `key` in the first line that has it (and is this event), once there are `count` of them.

        Raises:
            BenchError: they do not come.
        """
        end_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end_s:
            found = [line[key] for line in self.read_lines() if key in line and event in (None, line.get("event"))]
            if len(found) >= count:
                return str(found[0])
            if self.process.poll() is not None:
                break
            time.sleep(LOOK_S)
        raise BenchError(f"{self.name} did not start: {self.log.read_text(errors='replace')[-2000:]}")

    def list_processes(self) -> list[int]:
        """Return the ids of the process and of all that it has started."""
        return [self.process.pid, *(each.pid for each in psutil.Process(self.process.pid).children(recursive=True))]

    def get_memory_mb(self) -> float:
        """Return the resident memory of all of them, in 10^6 bytes."""
        return float(sum(psutil.Process(pid).memory_info().rss for pid in self.list_processes())) / 1e6

    def stop(self) -> None:
        """End the process in good order, or else at once."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


@contextmanager
def run_child(
    name: str,
    arguments: Sequence[str],
    *,
    log: Path,
    program: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> Iterator[Child]:
    """Yield a running process; it has ended when the context has.

    Args:
        name: for people.
        arguments: after the program.
        program: None is the Python that runs this.
        log: the file for its standard output and error.
        env: the whole environment; None inherits it.
        cwd: where it runs.
    """
    with log.open("wb") as output:
        # In a session of its own: a Ctrl+C on the terminal is for the benchmark, which then ends its children.
        process = subprocess.Popen(  # noqa: S603 - our own modules and peers
            [program or sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    child = Child(name=name, process=process, log=log)
    try:
        yield child
    finally:
        child.stop()


def bind() -> socket.socket:
    """Return a socket that listens on a free port of loopback, set up as the service sets up its own."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind((HOST, 0))
    listener.listen(BACKLOG)
    return listener


def announce(listener: socket.socket) -> None:
    """Print the line with the URL that `Child.wait_for` looks for."""
    print(json.dumps({"url": f"http://{HOST}:{listener.getsockname()[1]}"}), flush=True)
