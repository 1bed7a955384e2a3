"""A Slack workspace in a process, for `slack-mcp demo` and the tests.

Web API, signed event deliveries with Slack's retries, faults on demand, and a record of everything that happened.
"""

from slack_mcp.simulator.faults import Fault
from slack_mcp.simulator.limits import Limits, StreamRules
from slack_mcp.simulator.server import Address, build_app, serve
from slack_mcp.simulator.signing import sign
from slack_mcp.simulator.simulator import Simulator
from slack_mcp.simulator.workspace import Posted, Workspace

__all__ = [
    "Address",
    "Fault",
    "Limits",
    "Posted",
    "Simulator",
    "StreamRules",
    "Workspace",
    "build_app",
    "serve",
    "sign",
]
