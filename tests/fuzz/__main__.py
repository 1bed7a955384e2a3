"""`python -m fuzz --inputs 1000000`: sends them, prints what became of them, and fails when something must not be."""

import argparse
import io
import logging
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import anyio

from fuzz.campaign import MAX_GROWTH_BYTES, Report, run_campaign
from fuzz.mutate import CANARY
from fuzz.service import open_service
from slack_mcp.telemetry import configure_logging

_NAMED = re.compile(r'"(?:api_app_id|connection_id|event_type|event_id|kind|method|tool)": "(?:[^"\\]|\\.)*"')


class Watched(io.StringIO):
    """A log of which nothing is kept but what must not be in it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0
        self.bad: list[str] = []

    def write(self, text: str) -> int:
        """Look at a line, and forget it."""
        self.lines += 1
        # What something is called is said; what it says is not.
        shown = _NAMED.sub("", text)
        if (CANARY in shown or "Traceback" in text or "crashed" in text) and len(self.bad) < 20:
            self.bad.append(text)
        return len(text)


async def run(inputs: int, seed: int) -> Report:
    """Fuzz a service of one's own."""
    # In memory, where there is such a place: it is not the disk that is looked at.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - the directory below has a random name
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=place) as directory:
        async with open_service(Path(directory)) as service:
            return await run_campaign(service, inputs=inputs, seed=seed, tell=lambda line: print(line, flush=True))


def main() -> int:
    """Read the command line, fuzz, and print the report."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**12, help="of the first input")
    chosen = parser.parse_args()
    log = Watched()
    configure_logging(level="debug", log_format="json", stream=log)
    print(f"{chosen.inputs} inputs from seed {chosen.seed}")
    report = anyio.run(run, chosen.inputs, chosen.seed, backend_options={"use_uvloop": True})
    logging.getLogger().handlers.clear()
    for (door, status), count in sorted(report.statuses.items()):
        print(f"  {door:<16} {status:>4} {count:>9}")
    growth = report.growth_bytes
    print(
        f"{chosen.inputs / report.took_s:.0f} inputs/s, slowest answer {report.slowest_s * 1000:.0f} ms, memory "
        f"{growth / 1024**2:+.1f} MiB after the first tenth, {log.lines} log lines"
    )
    problems = [*(f"in the log: {line[:600]}" for line in log.bad)]
    if growth > MAX_GROWTH_BYTES:
        problems.append(f"the process grew by {growth} bytes")
    for problem in problems:
        print(problem)
    return 1 if problems or report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
