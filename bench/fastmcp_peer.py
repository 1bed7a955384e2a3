"""The peer: a fastmcp server with one tool, a process of its own, stateless and with JSON answers as the service is.

The tool is called and answers as the service's own that is measured; the server runs on uvicorn with the event loop
and the parser that the service has. It asks nobody for a key: https://gofastmcp.com/deployment/http.
"""

import asyncio
from typing import Any

import uvicorn
import uvloop
from fastmcp import FastMCP

from bench.mcp_requests import PATH, TRIVIAL
from bench.processes import announce, bind
from slack_mcp.triggers.kinds import KINDS


async def list_triggers() -> dict[str, Any]:
    """Return what the service's tool of this name returns, made anew for each call as there."""
    return {
        "triggers": [
            {
                "type": kind.name,
                "description": kind.description,
                "paramsSchema": {
                    name: {"type": "string", "description": each.description}
                    | ({"enum": list(each.values)} if each.values else {})
                    for name, each in kind.filters.items()
                },
            }
            for kind in KINDS.values()
        ]
    }


def main() -> None:
    """Serve until SIGTERM."""
    server: FastMCP[Any] = FastMCP("peer")
    server.tool(name=TRIVIAL)(list_triggers)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    config = uvicorn.Config(
        server.http_app(path=PATH, stateless_http=True, json_response=True),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,
    )
    with bind() as listener:
        announce(listener)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
