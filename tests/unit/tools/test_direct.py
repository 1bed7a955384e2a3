"""What is answered without the SDK's session is answered as the SDK answers it."""

import json
from collections.abc import Mapping
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_fakes import make_known_caller
from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError, NoBackChannelError
from starlette.datastructures import Headers
from structlog.testing import capture_logs
from tool_fakes import make_services

from slack_mcp.tools.call import Call
from slack_mcp.tools.caller import current_caller
from slack_mcp.tools.direct import answer_request
from slack_mcp.tools.refusal import read_message
from slack_mcp.tools.server import build_server
from slack_mcp.tools.tool import Arguments, Result, Tool

pytestmark = pytest.mark.anyio

VERSION = "2025-11-25"
HEADERS = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": VERSION,
}


class EchoArguments(Arguments):
    text: str = ""
    number: int | None = None


class EchoResult(Result):
    text: str
    number: int | None = None
    connection_id: str


async def echo(call: Call, arguments: EchoArguments) -> EchoResult:
    return EchoResult(text=arguments.text, number=arguments.number, connection_id=call.connection.connection_id)


ECHO = Tool(name="ECHO", title="Echo", description="Echoes.", arguments=EchoArguments, result=EchoResult, run=echo)


def make_server() -> Server[Any]:
    return build_server(make_services(), (ECHO,))


def make_raw_server(call_tool: Any) -> Server[Any]:
    return Server("raw", on_call_tool=call_tool)


def encode(message: Any) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message).encode()


def make_call(params: Any = None, **changes: Any) -> dict[str, Any]:
    given = {"name": "ECHO", "arguments": {"text": "x"}} if params is None else params
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": given} | changes


async def ask_directly(
    message: Any, headers: Mapping[str, str] = HEADERS, server: Server[Any] | None = None
) -> tuple[int, Any] | None:
    """Return the answer, None when it is left to the SDK."""
    token = current_caller.set(make_known_caller("conn_a"))
    try:
        answer = await answer_request(server or make_server(), Headers(headers), read_message(encode(message)))
    finally:
        current_caller.reset(token)
    if answer is None:
        return None
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, json.loads(bytes(answer.body))


async def ask_sdk(
    message: Any, headers: Mapping[str, str] = HEADERS, server: Server[Any] | None = None
) -> tuple[int, Any]:
    """Return what the SDK's stateless session answers."""
    manager = StreamableHTTPSessionManager(server or make_server(), json_response=True, stateless=True)
    token = current_caller.set(make_known_caller("conn_a"))
    try:
        async with manager.run():
            transport = httpx2.ASGITransport(app=manager.handle_request)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
                answer = await http.post("/mcp", content=encode(message), headers=dict(headers))
    finally:
        current_caller.reset(token)
    assert answer.status_code != 200 or answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json() if answer.content else None


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", VERSION, None])
@pytest.mark.parametrize(
    "message",
    [
        make_call(),
        make_call(id="a string"),
        make_call(id="7"),
        make_call(id=""),
        make_call(id="x" * 100_000),
        make_call(id=-1),
        make_call(id=10**40),
        make_call({"name": "ECHO"}),
        make_call({"name": "ECHO", "arguments": None}),
        make_call({"name": "ECHO", "arguments": {"number": 10**40}}),
        make_call({"name": "ECHO", "arguments": {"text": "\u20ac \U0001f600 \x00"}}),
        make_call({"name": "ECHO", "arguments": {}, "_meta": {"progressToken": 5}}),
        make_call({"name": "ECHO", "arguments": {}, "_meta": {"traceparent": "nonsense", "anything": [1]}}),
        make_call({"name": "ECHO", "arguments": {}, "_meta": 7}),
        make_call({"name": "ECHO", "arguments": {}, "task": {"ttl": 5}}),
        make_call({"name": "ECHO", "arguments": {"text": 1, "more": 2}}),
        make_call({"name": "ECHO", "arguments": []}),
        make_call({"name": "NONE", "arguments": {}}),
        make_call({"name": 5}),
        make_call({}),
        make_call(params={}, extra="member"),
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call"},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": None},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": 5}},
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1, "method": "resources/list"},
        {"jsonrpc": "2.0", "id": 1, "method": "server/discover"},
        {"jsonrpc": "2.0", "id": 1, "method": "no/such"},
        b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping","method":"tools/list","params":{"a":1,"a":2}}',
    ],
)
async def test_a_request_gets_the_sdks_answer(message: Any, version: str | None) -> None:
    headers = HEADERS | {"mcp-protocol-version": version} if version else _without(HEADERS, "mcp-protocol-version")

    answer = await ask_directly(message, headers)

    assert answer is not None
    assert answer == await ask_sdk(message, headers)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"\xff",
        b"null",
        b'"tools/call"',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\xff"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\ud800"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":NaN}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        [make_call()],
        make_call(jsonrpc="1.0"),
        make_call(id=None),
        make_call(id=1.0),
        make_call(id=True),
        make_call(id=[1]),
        make_call(method=""),
        make_call(method=5),
        make_call(params=[1]),
        make_call(params="x"),
        make_call(result={}),
        make_call(error={"code": 1, "message": "x"}),
        {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "ECHO"}},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}},
    ],
)
async def test_whatever_is_no_plain_request_is_left_to_the_sdk(message: Any) -> None:
    assert await ask_directly(message) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"mcp-protocol-version": "2026-07-28"},
        {"mcp-protocol-version": "2031-01-01"},
        {"mcp-protocol-version": ""},
        {"content-type": "text/plain"},
        {"content-type": ""},
    ],
)
async def test_other_protocols_and_types_are_left_to_the_sdk(changed: dict[str, str]) -> None:
    assert await ask_directly(make_call(), HEADERS | changed) is None


async def test_a_type_with_a_charset_is_json_too() -> None:
    headers = HEADERS | {"content-type": "application/json; charset=utf-8"}

    assert await ask_directly(make_call(), headers) == await ask_sdk(make_call(), headers)


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_JSON = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
_ARGUMENTS = st.fixed_dictionaries({}, optional={"text": _SCALARS, "number": _SCALARS, "more": _JSON})
_PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["ECHO", "NONE"]) | _JSON,
        "arguments": _ARGUMENTS | _JSON,
        "_meta": st.fixed_dictionaries({}, optional={"progressToken": _SCALARS, "x": _JSON}) | _JSON,
        "cursor": _SCALARS,
    },
)
_MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | _SCALARS,
        "id": st.integers() | st.text() | _SCALARS,
        "method": st.sampled_from(["tools/call", "tools/list", "ping", "prompts/get"]) | _SCALARS,
        "params": _PARAMS | _JSON,
        "result": _JSON,
        "error": st.fixed_dictionaries({"code": st.integers(), "message": st.text()}) | _JSON,
        "more": _JSON,
    },
)
_REQUESTS = st.fixed_dictionaries(
    {
        "jsonrpc": st.just("2.0"),
        "id": st.integers() | st.text(),
        "method": st.just("tools/call"),
        "params": _PARAMS,
    }
)


@given(_REQUESTS | _MESSAGES)
async def test_no_message_gets_another_answer_than_the_sdks(message: dict[str, Any]) -> None:
    answer = await ask_directly(message)

    assert answer is None or answer == await ask_sdk(message)


async def test_an_error_of_the_protocol_is_told_with_its_data() -> None:
    async def call_tool(_ctx: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
        raise MCPError(-32042, "Go there.", None if params.name == "bare" else {"url": "https://slack.example"})

    for name in ("bare", "with data"):
        message = make_call({"name": name})
        answer = await ask_directly(message, server=make_raw_server(call_tool))
        assert answer == await ask_sdk(message, server=make_raw_server(call_tool))


async def test_a_crash_tells_the_caller_nothing_and_the_log_all() -> None:
    async def call_tool(_ctx: ServerRequestContext[Any], _params: types.CallToolRequestParams) -> types.CallToolResult:
        raise RuntimeError("canary")

    with capture_logs() as logs:
        answer = await ask_directly(make_call(), server=make_raw_server(call_tool))

    error = {"code": types.INTERNAL_ERROR, "message": "Internal server error"}
    assert answer == (200, {"jsonrpc": "2.0", "id": 1, "error": error})
    assert [(line["event"], line["exc_info"]) for line in logs] == [("mcp.crashed", True)]


async def test_half_of_a_surrogate_pair_is_answered() -> None:
    async def call_tool(_ctx: ServerRequestContext[Any], _params: types.CallToolRequestParams) -> types.CallToolResult:
        return types.CallToolResult(content=[], structured_content={"text": "\ud83d"})

    answer = await ask_directly(make_call(), server=make_raw_server(call_tool))

    assert answer is not None
    assert answer[1]["result"]["structuredContent"] == {"text": "\ud83d"}


async def test_a_handler_asks_the_client_nothing_and_what_it_tells_on_the_way_is_dropped() -> None:
    asked: list[str] = []

    async def call_tool(ctx: ServerRequestContext[Any], _params: types.CallToolRequestParams) -> types.CallToolResult:
        await ctx.session.report_progress(0.5)
        await ctx.session.send_tool_list_changed()
        try:
            await ctx.session.send_ping()
        except NoBackChannelError as error:
            asked.append(error.method)
        return types.CallToolResult(content=[])

    message = make_call({"name": "ECHO", "_meta": {"progressToken": 1}})
    answer = await ask_directly(message, server=make_raw_server(call_tool))

    assert answer == await ask_sdk(message, server=make_raw_server(call_tool))
    assert asked == ["ping", "ping"]


async def test_a_cancelled_request_ends_the_call() -> None:
    began, ended = anyio.Event(), anyio.Event()

    async def call_tool(_ctx: ServerRequestContext[Any], _params: types.CallToolRequestParams) -> types.CallToolResult:
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        raise AssertionError("unreachable")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: ask_directly(make_call(), server=make_raw_server(call_tool)))
            await began.wait()
            tasks.cancel_scope.cancel()
    assert ended.is_set()


def _without(headers: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}
