"""Workers as real processes. Each test runs a script, because a process with threads must not be forked."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PREAMBLE = """
import os, signal, sys, time
from slack_mcp.app.supervise import supervise
from slack_mcp.core.errors import SettingsError, SlackMcpError, StoreUnavailableError
from slack_mcp.telemetry import configure_logging

configure_logging(level="info", log_format="json")

def tell(word):
    os.write(1, f"{word} {os.getpid()}\\n".encode())

def obey():
    tell("up")
    signal.pause()
"""


class Service:
    """The script's process; each worker writes lines of a word and its process id."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def read(self, word: str) -> int:
        """Return the process id in the next line, which starts with a word."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.split()[:1] == [word], line
        return int(line.split()[1])

    def finish(self, number: signal.Signals | None = None) -> tuple[int, str]:
        """Send a signal, and return the exit code and the log."""
        if number is not None:
            self.process.send_signal(number)
        _, log = self.process.communicate(timeout=20)
        return self.process.returncode, log


@contextmanager
def run(script: str, directory: Path) -> Iterator[Service]:
    file = directory / "script.py"
    file.write_text(PREAMBLE + script)
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield Service(process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Tell whether a process is there and is more than a name that nobody has asked for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_and_the_exit_is_clean(number: signal.Signals, tmp_path: Path) -> None:
    with run("supervise(3, obey)", tmp_path) as service:
        pids = [service.read("up") for _ in range(3)]
        code, log = service.finish(number)
    assert code == 0, log
    assert len(set(pids)) == 3
    assert not any(is_running(pid) for pid in pids)
    assert "worker.died" not in log
    assert "worker.killed" not in log


def test_a_signal_from_the_terminal_to_all_of_them_leaves_the_end_to_the_service(tmp_path: Path) -> None:
    script = """
def work():
    signal.signal(signal.SIGTERM, lambda *_: (tell("told"), sys.exit(0)))
    obey()
supervise(2, work)
"""
    with run(script, tmp_path) as service:
        pids = {service.read("up") for _ in range(2)}
        os.killpg(service.process.pid, signal.SIGINT)
        assert {service.read("told") for _ in range(2)} == pids
        code, log = service.finish()
    assert code == 0, log


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with run("supervise(2, obey, restart_pause_s=0.01)", tmp_path) as service:
        first, second = service.read("up"), service.read("up")
        os.kill(first, signal.SIGKILL)
        third = service.read("up")
        assert len({first, second, third}) == 3
        code, log = service.finish(signal.SIGTERM)
    assert code == 0, log
    assert f'"pid": {first}, "exit_code": -9' in log
    assert not any(is_running(pid) for pid in (second, third))


def test_a_worker_that_fails_is_one_line_and_is_replaced(tmp_path: Path) -> None:
    script = f"""
def work():
    if not os.path.exists("{tmp_path}/failed"):
        open("{tmp_path}/failed", "w").close()
        raise StoreUnavailableError("The database is not available.")
    obey()
supervise(1, work, restart_pause_s=0.01)
"""
    with run(script, tmp_path) as service:
        service.read("up")
        code, log = service.finish(signal.SIGTERM)
    assert code == 0, log
    assert '"code": "store_unavailable"' in log
    assert '"exit_code": 1' in log
    assert "Traceback" not in log


def test_a_mistake_in_the_settings_ends_the_service(tmp_path: Path) -> None:
    script = """
def work():
    try:
        os.mkdir("mistaken")
    except FileExistsError:
        signal.pause()
    raise SettingsError(["DEFAULT_AGENT: no."])
os.chdir(os.path.dirname(__file__))
try:
    supervise(3, work)
except SettingsError:
    sys.exit(2)
"""
    with run(script, tmp_path) as service:
        code, log = service.finish()
    assert code == 2, log
    assert "DEFAULT_AGENT: no." in log
    assert "Traceback" not in log


def test_a_worker_that_ignores_the_signal_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    script = """
def work():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    obey()
    while True:
        signal.pause()
supervise(2, work, worker_exit_s=0.2)
"""
    with run(script, tmp_path) as service:
        pids = [service.read("up") for _ in range(2)]
        code, log = service.finish(signal.SIGTERM)
    assert code == 0, log
    assert all(f'"pid": {pid}, "event": "worker.killed"' in log for pid in pids)
    assert not any(is_running(pid) for pid in pids)


def test_a_second_signal_reaches_the_workers_too(tmp_path: Path) -> None:
    script = """
told = []
def work():
    def note(*_):
        told.append(1)
        tell("told")
        if len(told) == 2:
            sys.exit(0)
    signal.signal(signal.SIGTERM, note)
    tell("up")
    while True:
        signal.pause()
supervise(1, work)
"""
    with run(script, tmp_path) as service:
        service.read("up")
        service.process.send_signal(signal.SIGTERM)
        service.read("told")
        service.process.send_signal(signal.SIGTERM)
        service.read("told")
        code, log = service.finish()
    assert code == 0, log
    assert "worker.killed" not in log


def test_the_workers_end_when_the_service_is_killed(tmp_path: Path) -> None:
    script = """
def work():
    signal.signal(signal.SIGTERM, lambda *_: (tell("told"), sys.exit(0)))
    obey()
supervise(3, work)
"""
    with run(script, tmp_path) as service:
        pids = {service.read("up") for _ in range(3)}
        service.process.kill()
        assert {service.read("told") for _ in range(3)} == pids
