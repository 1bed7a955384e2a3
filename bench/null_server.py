"""The least that answers HTTP, a process of its own: tells how much the load generator could send at best."""

import asyncio
from typing import cast

import anyio
import httptools

from bench.processes import announce, bind

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 0\r\n\r\n"


class Responder(asyncio.Protocol):
    """Says 200 to every request, whatever it is."""

    def __init__(self) -> None:
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
            self._transport.write(ANSWER)


async def run() -> None:
    """Serve until the process is ended."""
    with bind() as listener:
        server = await asyncio.get_running_loop().create_server(Responder, sock=listener)
        announce(listener)
        await server.serve_forever()


if __name__ == "__main__":
    anyio.run(run, backend_options={"use_uvloop": True})
