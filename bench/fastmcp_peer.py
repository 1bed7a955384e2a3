"""The peer: a fastmcp server, a process of its own, stateless and with JSON answers as the service is.

It lists the tools that the service lists. The one that is measured is called and answers as the service's own; the
others are there to be listed. The server runs on uvicorn with the event loop and the parser that the service has. It
asks nobody for a key: https://gofastmcp.com/deployment/http.
"""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from fastmcp import FastMCP
from fastmcp.tools import Tool

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


def make_tool(shown: dict[str, Any]) -> Tool:
    """Return a tool that is listed as another server showed it."""
    return Tool(
        name=shown["name"],
        title=shown.get("title"),
        description=shown.get("description"),
        parameters=shown["inputSchema"],
        output_schema=shown.get("outputSchema"),
        annotations=shown.get("annotations"),
    )


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.fastmcp_peer", description=__doc__)
    parser.add_argument("--tools", type=Path, required=True, help="a file with the tools as tools/list shows them")
    shown = json.loads(parser.parse_args().tools.read_text(encoding="utf-8"))
    server: FastMCP[Any] = FastMCP("peer")
    server.tool(name=TRIVIAL)(list_triggers)
    for each in shown:
        if each["name"] != TRIVIAL:
            server.add_tool(make_tool(each))
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
