"""`python -m slack_mcp.simulator --spec spec.json [--port 0]`: a simulator as its own process.

Prints one JSON line with its addresses once it listens, and runs until SIGTERM or SIGINT.
"""

import argparse
import json
import signal
from pathlib import Path

import anyio

from slack_mcp.simulator.server import serve
from slack_mcp.simulator.spec import build_simulator


async def run(spec_path: Path, host: str, port: int) -> None:
    """Serve the simulator of a spec file until a signal comes."""
    simulator = build_simulator(json.loads(await anyio.Path(spec_path).read_text()))
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with serve(simulator, host=host, port=port) as address:
            print(json.dumps({"base_url": address.base_url, "api_url": address.api_url}), flush=True)
            async for _ in signals:
                break


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m slack_mcp.simulator", description=__doc__)
    parser.add_argument("--spec", type=Path, required=True, help="JSON file that describes the workspaces")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    arguments = parser.parse_args()
    anyio.run(run, arguments.spec, arguments.host, arguments.port)


if __name__ == "__main__":
    main()
