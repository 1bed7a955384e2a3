import json
from typing import Any

import anyio
import jsonschema
import pytest
from configuration_fakes import (
    BOT_TOKEN,
    SIGNING_SECRET,
    FakeConnectionStore,
    FakeSlack,
    FakeTokens,
    make_claims,
    make_state,
)
from mcp import Client, MCPError, types
from structlog.testing import capture_logs

from slack_mcp.core.errors import MeshUnavailableError, StoreUnavailableError, TokenRevokedError
from slack_mcp.core.secret import Secret
from slack_mcp.tools.caller import Caller, current_caller
from slack_mcp.tools.registry import TOOLS
from slack_mcp.tools.server import build_server
from slack_mcp.tools.tool import Arguments, Result, Services, Tool

pytestmark = pytest.mark.anyio

ANNOTATIONS = types.ToolAnnotations(read_only_hint=True)


class NumberArguments(Arguments):
    number: int


class NumberResult(Result):
    number: int


def make_tool(run: Any) -> Tool[NumberArguments, NumberResult]:
    return Tool(
        name="NUMBER",
        title="Number",
        description="Returns the number.",
        arguments=NumberArguments,
        result=NumberResult,
        annotations=ANNOTATIONS,
        run=run,
    )


@pytest.fixture
def as_anonymous(tokens: FakeTokens) -> Caller:
    return Caller(tokens=tokens, mesh_token=None)


@pytest.fixture
def as_connection_a(tokens: FakeTokens) -> Caller:
    return Caller(tokens=tokens, mesh_token=Secret("token-a"))


async def call(
    services: Services, caller: Caller, name: str, arguments: dict[str, Any], *, tools: Any = TOOLS, **options: Any
) -> types.CallToolResult:
    current_caller.set(caller)  # for this test's own context alone
    async with Client(build_server(services, tools, **options), mode="legacy") as client:
        result = await client.call_tool(name, arguments)
    assert isinstance(result, types.CallToolResult)
    return result


def get_text(result: types.CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return content.text


def test_every_tool_is_described_completely_and_in_valid_schemas() -> None:
    for tool in TOOLS:
        described = tool.describe()
        assert described.title
        assert described.description
        assert described.annotations is not None
        assert described.annotations.read_only_hint is not None
        assert described.output_schema is not None
        for schema in (described.input_schema, described.output_schema):
            jsonschema.Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"
    assert len({tool.name for tool in TOOLS}) == len(TOOLS)


def test_the_tools_of_the_protocol_are_hidden_from_the_model_and_others_are_not() -> None:
    for tool in TOOLS:
        assert tool.describe().model_dump(by_alias=True)["_meta"] == {"ui": {"visibility": ["app"]}}
    assert make_tool(None).describe().meta is None


async def test_the_form_is_shown_to_anybody_as_structure_and_as_text(
    services: Services, as_anonymous: Caller, tokens: FakeTokens
) -> None:
    result = await call(services, as_anonymous, "MCP_CONFIGURATION", {})
    assert result.is_error is False
    assert json.loads(get_text(result)) == result.structured_content
    assert result.structured_content["scopes"] == []
    form = result.structured_content["stateSchema"]
    jsonschema.Draft202012Validator.check_schema(form)
    assert form["properties"]["WEBHOOK_URL"]["default"] == "https://slack.example/slack/events/{connectionId}"
    output_schema = TOOLS[0].describe().output_schema
    assert output_schema is not None
    jsonschema.validate(result.structured_content, output_schema)
    assert tokens.verified == []


async def test_a_configuration_is_saved_for_the_connection_of_the_token(
    services: Services, as_connection_a: Caller, store: FakeConnectionStore
) -> None:
    with capture_logs() as lines:
        result = await call(
            services,
            as_connection_a,
            "ON_MCP_CONFIGURATION",
            {"state": make_state(), "scopes": [], "firstRun": True, "later": 1},
        )
    assert (result.is_error, result.structured_content, get_text(result)) == (False, {}, "{}")
    assert list(store.rows) == ["conn_a"]
    output_schema = TOOLS[1].describe().output_schema
    assert output_schema is not None
    jsonschema.validate(result.structured_content, output_schema)
    (line,) = [line for line in lines if line["event"] == "tool.finished"]
    assert (line["tool"], line["outcome"], line["connection_id"]) == ("ON_MCP_CONFIGURATION", "ok", "conn_a")
    for secret in (BOT_TOKEN, SIGNING_SECRET, "token-a"):
        assert secret not in repr(lines)


async def test_a_configuration_without_a_mesh_token_is_refused(
    services: Services, as_anonymous: Caller, store: FakeConnectionStore
) -> None:
    result = await call(services, as_anonymous, "ON_MCP_CONFIGURATION", {"state": make_state(), "scopes": []})
    assert result.is_error
    assert "call it through Mesh" in get_text(result)
    assert (store.rows, store.loads) == ({}, 0)


async def test_the_token_of_a_cannot_configure_b(
    services: Services, as_connection_a: Caller, tokens: FakeTokens, store: FakeConnectionStore
) -> None:
    tokens.claims["token-b"] = make_claims("conn_b", state=make_state(CONNECTION_NAME="b"))
    arguments = {"state": make_state(CONNECTION_NAME="b"), "scopes": [], "connectionId": "conn_b"}
    result = await call(services, as_connection_a, "ON_MCP_CONFIGURATION", arguments)
    assert result.is_error
    assert "state, connectionId is not what the connection's Mesh token says" in get_text(result)
    assert store.rows == {}


async def test_invented_arguments_are_refused_without_repeating_them(
    services: Services, as_connection_a: Caller, slack: FakeSlack
) -> None:
    evil = {"SLACK_CREDENTIALS": {"BOT_TOKEN": "xoxb-evil", "SIGNING_SECRET": "evil"}}
    result = await call(services, as_connection_a, "ON_MCP_CONFIGURATION", {"state": evil, "scopes": []})
    assert result.is_error
    assert "evil" not in get_text(result)
    assert slack.tokens == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "state: Field required. scopes: Field required."),
        ({"state": "xoxb-canary", "scopes": []}, "state: Input should be a valid dictionary."),
        ({"state": {}, "scopes": ["a", 1]}, "scopes.1: Input should be a valid string."),
    ],
)
async def test_arguments_are_checked_against_the_schema(
    services: Services, as_connection_a: Caller, arguments: dict[str, Any], sentence: str
) -> None:
    result = await call(services, as_connection_a, "ON_MCP_CONFIGURATION", arguments)
    assert result.is_error
    assert get_text(result) == f"{sentence} Correct the arguments and call again."


@pytest.mark.parametrize("arguments", [{"number": "1"}, {"number": True}, {"number": 1, "other": 2}])
async def test_arguments_are_neither_converted_nor_read_over(
    services: Services, as_anonymous: Caller, arguments: dict[str, Any]
) -> None:
    async def run(_services: Services, _caller: Caller, arguments: NumberArguments) -> NumberResult:
        return NumberResult(number=arguments.number)

    tool = make_tool(run)
    assert (await call(services, as_anonymous, "NUMBER", arguments, tools=[tool])).is_error
    result = await call(services, as_anonymous, "NUMBER", {"number": 1}, tools=[tool])
    assert result.structured_content == {"number": 1}


async def test_mistakes_in_the_form_can_be_read_in_the_log(
    services: Services, as_connection_a: Caller, tokens: FakeTokens
) -> None:
    state = make_state(LANGUAGE="klingon")
    tokens.claims["token-a"] = make_claims(state=state)
    with capture_logs() as lines:
        await call(services, as_connection_a, "ON_MCP_CONFIGURATION", {"state": state, "scopes": []})
    (line,) = [line for line in lines if line["event"] == "tool.finished"]
    assert (line["outcome"], line["connection_id"]) == ("invalid_input", "conn_a")
    assert line["detail"] == "Nothing was saved. LANGUAGE must be one of en, pt-BR."


async def test_errors_of_the_rooms_are_told_with_what_to_do(
    services: Services, as_connection_a: Caller, slack: FakeSlack, store: FakeConnectionStore, tokens: FakeTokens
) -> None:
    arguments = {"state": make_state(), "scopes": []}
    slack.error = TokenRevokedError("auth.test", "invalid_auth")
    text = get_text(await call(services, as_connection_a, "ON_MCP_CONFIGURATION", arguments))
    assert text.startswith("Slack answered invalid_auth to auth.test. Reinstall the Slack app")
    store.error = StoreUnavailableError("postgresql://user:canary@db")
    text = get_text(await call(services, as_connection_a, "ON_MCP_CONFIGURATION", arguments))
    assert text == "The database cannot be reached. Try again in a moment."
    tokens.error = MeshUnavailableError("canary")
    fresh = Caller(tokens=tokens, mesh_token=Secret("token-a"))
    text = get_text(await call(services, fresh, "ON_MCP_CONFIGURATION", arguments))
    assert text == "Mesh cannot be reached. Try again in a moment."


async def test_a_crash_is_told_by_a_reference_that_the_log_has(services: Services, as_anonymous: Caller) -> None:
    async def run(_services: Services, _caller: Caller, _arguments: NumberArguments) -> NumberResult:
        raise TimeoutError("canary")

    with capture_logs() as lines:
        result = await call(services, as_anonymous, "NUMBER", {"number": 1}, tools=[make_tool(run)])
    assert result.is_error
    (crash,) = [line for line in lines if line["event"] == "tool.crashed"]
    assert crash["exc_info"]
    assert crash["reference"] in get_text(result)
    assert "canary" not in get_text(result)
    assert [line["outcome"] for line in lines if line["event"] == "tool.finished"] == ["crash"]


async def test_a_call_that_does_not_end_is_given_up(services: Services, as_anonymous: Caller) -> None:
    async def run(_services: Services, _caller: Caller, _arguments: NumberArguments) -> NumberResult:
        await anyio.sleep_forever()
        raise AssertionError

    with capture_logs() as lines:
        result = await call(
            services, as_anonymous, "NUMBER", {"number": 1}, tools=[make_tool(run)], call_timeout_s=0.01
        )
    assert result.is_error
    assert "did not finish" in get_text(result)
    assert [line["outcome"] for line in lines if line["event"] == "tool.finished"] == ["timeout"]


async def test_an_unknown_tool_is_a_protocol_error(services: Services, as_anonymous: Caller) -> None:
    current_caller.set(as_anonymous)
    async with Client(build_server(services, TOOLS), mode="legacy") as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("NOPE", {})
    assert caught.value.code == types.INVALID_PARAMS


async def test_a_token_is_verified_once_per_request(tokens: FakeTokens) -> None:
    caller = Caller(tokens=tokens, mesh_token=Secret("token-a"))
    assert caller.verified is None
    assert await caller.fetch_claims() == await caller.fetch_claims()
    assert tokens.verified == ["token-a"]
