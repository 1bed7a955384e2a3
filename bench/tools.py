"""The MCP face: how fast tools are called and listed in both eras of the protocol, beside fastmcp, in turn."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import anyio
import httpx2

from bench.errors import BenchError
from bench.mcp_requests import CALL, LIST, PATH, TRIVIAL, VERSIONS, McpRequest, make_headers, make_message
from bench.processes import HOST, Child, run_child
from bench.report import Row
from bench.runs import Run, make_row, measure_job, render_connections
from bench.stats import get_median_ratio
from bench.world import Deployment, World, get_connection_id
from slack_mcp.app import open_admin
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.model import Access
from slack_mcp.identity.api_keys import make_key

# More than either server here answers: a run ends by the clock.
MOST_PER_SECOND: Final = 10_000
WARM_UP_S: Final = 0.7
# About what the service answers.
ANSWER_BYTES: Final = {CALL: 6_000, LIST: 57_000}
# Requests are counted, as always, and never too many: at the default a run would be over within a second.
LIMIT_PER_MIN: Final = "1000000"
OK: Final = 200
UNAUTHORIZED: Final = 401

TRIVIAL_CALL: Final = McpRequest(method=CALL, tool=TRIVIAL, version=VERSIONS[0])
# A tool for the caller's connection, which the tools for apps are not: policy and scopes are looked at, and the
# database is asked. It asks Slack nothing.
CONNECTION_CALL: Final = McpRequest(
    method=CALL,
    tool="SLACK_GET_THREAD_INFO",
    arguments={"channel": "C0BENCH", "thread_identifier": "1700000000.000100"},
    version=VERSIONS[0],
)
TOOL_LIST: Final = McpRequest(method=LIST, version=VERSIONS[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPlan:
    """How much is measured.

    Attributes:
        connections: of the load generator.
        rounds: of service and peer, in each era.
        seconds: of one run.
    """

    connections: int
    rounds: int
    seconds: float


@dataclass(slots=True, kw_only=True)
class McpTarget:
    """Where the load goes.

    Attributes:
        keys: API keys of the callers, who take turns; None is a caller without one.
        deployment: what its pods run on; None for what has no database.
        tools: how many it lists.
        called: how many calls of tools it has answered so far.
    """

    name: str
    child: Child
    deployment: Deployment | None = None
    tools: int = 0
    keys: list[str | None] = field(default_factory=lambda: [None])
    called: int = 0


def measure_tools(world: World, plan: ToolPlan) -> list[Row]:
    """Return the load generator's ceiling, then rows of calls and lists for service and peer in both eras."""
    with ExitStack() as stack:
        service = stack.enter_context(run_service(world))
        shown = list_tools(service)
        peer = stack.enter_context(run_fastmcp(world, shown))
        rows = []
        for version in VERSIONS:
            check_key(service, version)
            check_peer(service, peer, version)
            for request in (TRIVIAL_CALL, TOOL_LIST):
                asked = replace(request, version=version)
                ceiling = measure_ceiling(world, plan, asked)
                rows += measure_rounds(service, peer, plan, asked, ceiling)
            asked = replace(CONNECTION_CALL, version=version)
            warm_up(service, plan, asked)
            runs = [measure(service, plan, asked) for _ in range(plan.rounds)]
            rows.append(make_row(f"tools.query.{version}", render_name("tools/call with a query", plan, version), runs))
        return rows


def measure_rounds(service: McpTarget, peer: McpTarget, plan: ToolPlan, request: McpRequest, ceiling: Run) -> list[Row]:
    """Return a row for each of the two; the runs alternate, and are compared pair by pair."""
    for target in (service, peer):
        warm_up(target, plan, request)
    runs: dict[str, list[Run]] = {service.name: [], peer.name: []}
    for _ in range(plan.rounds):
        for target in (service, peer):
            runs[target.name].append(measure(target, plan, request))
    own, others = runs[service.name], runs[peer.name]
    ratio = get_median_ratio([run.rate for run in own], [run.rate for run in others])
    key = f"tools.{request.method.rpartition('/')[2]}"
    label = f"{request.method} of {peer.tools}" if request.method == LIST else request.method
    return [
        make_row(
            f"{key}.{request.version}",
            render_name(label, plan, request.version),
            own,
            ratios={peer.name: ratio},
            ceiling=ceiling.rate,
        ),
        make_row(
            f"{key}-{peer.name}.{request.version}", render_name(f"{label}, {peer.name}", plan, request.version), others
        ),
    ]


def render_name(name: str, plan: ToolPlan, version: str) -> str:
    """Return a row's name."""
    return f"{name}, {version}, {render_connections(plan.connections)}"


def measure_ceiling(world: World, plan: ToolPlan, request: McpRequest) -> Run:
    """Return what the load generator gets out of a server that answers at once, with as much to read."""
    arguments = [
        "-m",
        "bench.null_server",
        "--beginning",
        request.expected,
        "--bytes",
        str(ANSWER_BYTES[request.method]),
    ]
    with run_child("null server", arguments, log=world.make_log("null")) as child:
        child.url = child.wait_for("url")
        return measure(McpTarget(name="null server", child=child), replace(plan, seconds=WARM_UP_S), request)


def warm_up(target: McpTarget, plan: ToolPlan, request: McpRequest) -> None:
    """Let a server come to its speed."""
    measure(target, replace(plan, seconds=WARM_UP_S), request)


def measure(target: McpTarget, plan: ToolPlan, request: McpRequest) -> Run:
    """Return one run; raises BenchError unless every answer was a 200 with what was asked for in it."""
    job = {
        "host": HOST,
        "port": target.child.port,
        "mcp": asdict(request),
        "keys": target.keys,
        "expected": request.expected,
        "count": int(MOST_PER_SECOND * plan.seconds),
        "connections": plan.connections,
        "seconds": plan.seconds,
    }
    result, run = measure_job(job, target.child, target.deployment)
    if result["lost"] or result["unexpected"] or set(result["statuses"]) != {str(OK)}:
        raise BenchError(
            f"{target.name}: answers {result['statuses']} to {request.method}, {result['unexpected']} without what was "
            f"asked for, and {result['lost']} connections lost."
        )
    if request.method == CALL:
        target.called += result["answers"]
    return run


@contextmanager
def run_service(world: World) -> Iterator[McpTarget]:
    """Yield a pod on PostgreSQL, with a key for each tenant.

    Raises:
        BenchError: at the end its log does not have one line for each call.
    """
    deployment = world.deploy("postgresql", name="tools", environment={"MCP_RATE_LIMIT_PER_MIN": LIMIT_PER_MIN})
    keys = anyio.run(add_keys, world, deployment)
    with world.serve(deployment) as pod:
        target = McpTarget(name="slack-mcp", child=pod, keys=list(keys), deployment=deployment)
        yield target
    logged = sum(line.get("event") == "tool.finished" and line["outcome"] == "ok" for line in pod.read_lines())
    if logged != target.called:
        raise BenchError(f"{target.name}: {target.called} calls, and {logged} lines in its log.")


async def add_keys(world: World, deployment: Deployment) -> list[str]:
    """Return a new API key of each tenant."""
    keys = [
        make_key(get_connection_id(tenant), name="bench", access=Access.READ, expires_in_s=None, clock=SystemClock())
        for tenant in world.tenants
    ]
    async with open_admin(deployment.get_settings()) as admin:
        for key in keys:
            await admin.keys.add_key(key.kept)
    return [key.shown.reveal() for key in keys]


@contextmanager
def run_fastmcp(world: World, shown: Sequence[dict[str, Any]]) -> Iterator[McpTarget]:
    """Yield fastmcp with these tools; raises BenchError when it does not list them all."""
    tools = world.directory / "tools.json"
    tools.write_text(json.dumps(shown), encoding="utf-8")
    arguments = ["-m", "bench.fastmcp_peer", "--tools", str(tools)]
    with run_child("fastmcp", arguments, log=world.make_log("fastmcp")) as child:
        child.url = child.wait_for("url")
        target = McpTarget(name="fastmcp", child=child, tools=len(shown))
        # The trivial one is for apps, and the service shows it to no other caller.
        if {tool["name"] for tool in list_tools(target)} != {TRIVIAL, *(tool["name"] for tool in shown)}:
            raise BenchError(f"{target.name} does not list the tools that it was given.")
        yield target


def check_key(service: McpTarget, version: str) -> None:
    """Raise BenchError unless a wrong key is refused."""
    answer = post(service, replace(TRIVIAL_CALL, version=version), key=f"{service.keys[0]}x")
    if answer.status_code != UNAUTHORIZED:
        raise BenchError(f"{service.name}: {answer.status_code} and not {UNAUTHORIZED} for a wrong key.")


def check_peer(service: McpTarget, peer: McpTarget, version: str) -> None:
    """Raise BenchError unless the trivial tool returns the same in both."""
    request = replace(TRIVIAL_CALL, version=version)
    own, other = (
        post(target, request, key=target.keys[0]).json()["result"]["structuredContent"] for target in (service, peer)
    )
    service.called += 1
    if own != other:
        raise BenchError(f"{peer.name}: the tool does not return what it returns in {service.name}.")


def list_tools(target: McpTarget) -> list[dict[str, Any]]:
    """Return the tools that a caller is shown."""
    result = post(target, TOOL_LIST, key=target.keys[0]).json()["result"]
    tools: list[dict[str, Any]] = result["tools"]
    return tools


def post(target: McpTarget, request: McpRequest, *, key: str | None) -> httpx2.Response:
    """Return the answer to one request."""
    return httpx2.post(
        f"{target.child.url}{PATH}",
        json=make_message(request, 0),
        headers=make_headers(request, key=key),
        trust_env=False,
    )
