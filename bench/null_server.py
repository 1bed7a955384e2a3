"""The least that answers HTTP, a process of its own: tells how much the load generator could send at best."""

import argparse
import asyncio
from typing import cast

import anyio
import httptools

from bench.processes import announce, bind


class Responder(asyncio.Protocol):
    """Says 200 to every request, whatever it is, and the same each time."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Called by the parser at the end of a request."""
        if self._transport is not None:
            self._transport.write(self._answer)


def make_answer(body: bytes) -> bytes:
    """Return a whole HTTP answer."""
    return f"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def run(body: bytes) -> None:
    """Serve until the process is ended."""
    answer = make_answer(body)
    with bind() as listener:
        server = await asyncio.get_running_loop().create_server(lambda: Responder(answer), sock=listener)
        announce(listener)
        await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m bench.null_server", description=__doc__)
    parser.add_argument("--beginning", default="", help="with which the body of each answer begins")
    parser.add_argument("--bytes", type=int, default=0, help="how long it is, at least")
    options = parser.parse_args()
    body = options.beginning.encode().ljust(options.bytes, b" ")
    anyio.run(run, body, backend_options={"use_uvloop": True})


if __name__ == "__main__":
    main()
