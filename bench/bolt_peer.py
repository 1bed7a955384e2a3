"""The peer: a Bolt for Python app with one listener that does nothing, a process of its own.

`stock` is what `AsyncApp.start()` runs, aiohttp on asyncio's own event loop; `tuned` is Bolt's ASGI adapter on uvicorn
with the event loop and the parser that the service has: https://docs.slack.dev/tools/bolt-python/concepts/async and
https://docs.slack.dev/tools/bolt-python/concepts/adapters. At its end it prints how often the listener ran.
"""

import argparse
import asyncio
import json
import signal
import socket
from typing import Any, Final

import uvicorn
import uvloop
from aiohttp import web
from slack_bolt.adapter.asgi.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bench.processes import announce, bind

PATH: Final = "/slack/events"
SERVERS: Final = ("stock", "tuned")


class Handled:
    """How often the listener ran."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, event: dict[str, Any]) -> None:  # noqa: ARG002 - Bolt passes arguments by name
        """Count one event."""
        self.count += 1


def make_app(*, signing_secret: str, token: str, api_url: str, handled: Handled) -> AsyncApp:
    """Return the app. Its only call to Slack, one auth.test for its first request, goes to `api_url`."""
    app = AsyncApp(
        signing_secret=signing_secret, client=AsyncWebClient(token=token, base_url=api_url, trust_env_in_session=False)
    )

    async def handle_message(event: dict[str, Any]) -> None:
        await handled(event)

    app.event("message")(handle_message)
    return app


def serve(app: AsyncApp, server: str, listener: socket.socket) -> None:
    """Serve until SIGTERM."""
    if server == "stock":
        web.run_app(app.web_app(path=PATH), sock=listener, print=None, access_log=None)
        return
    config = uvicorn.Config(
        AsyncSlackRequestHandler(app, path=PATH),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,
    )
    uvicorn.Server(config).run(sockets=[listener])


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m bench.bolt_peer", description=__doc__)
    parser.add_argument("--server", choices=SERVERS, required=True)
    parser.add_argument("--signing-secret", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--api-url", required=True)
    options = parser.parse_args()
    # uvicorn sends itself the signal again when it has stopped.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    if options.server == "tuned":
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    handled = Handled()
    app = make_app(signing_secret=options.signing_secret, token=options.token, api_url=options.api_url, handled=handled)
    with bind() as listener:
        announce(listener)
        serve(app, options.server, listener)
    print(json.dumps({"handled": handled.count}), flush=True)


if __name__ == "__main__":
    main()
