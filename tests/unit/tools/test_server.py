import json
import re
from pathlib import Path
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
from directory_fake import FakeDirectory
from identity_fakes import FakeIdentities, make_known_caller
from mcp import Client, MCPError, types
from structlog.testing import capture_logs
from tool_fakes import FakeAudit, FakeWeb, make_services

from slack_mcp.core.errors import MeshUnavailableError, StoreUnavailableError, TokenRevokedError
from slack_mcp.core.model import Access
from slack_mcp.core.secret import Secret
from slack_mcp.ports.identity import Credentials
from slack_mcp.tools import admission
from slack_mcp.tools.call import Call, Services
from slack_mcp.tools.caller import Caller, current_caller
from slack_mcp.tools.registry import TOOLS
from slack_mcp.tools.server import build_server
from slack_mcp.tools.tool import Arguments, Result, Tool

pytestmark = pytest.mark.anyio


class NumberArguments(Arguments):
    number: int


class NumberResult(Result):
    number: int


def make_tool(run: Any, **changes: Any) -> Tool[NumberArguments, NumberResult]:
    return Tool(
        name="NUMBER",
        title="Number",
        description="Returns the number.",
        arguments=NumberArguments,
        result=NumberResult,
        run=run,
        **changes,
    )


async def return_number(_call: Call, arguments: NumberArguments) -> NumberResult:
    return NumberResult(number=arguments.number)


@pytest.fixture
def as_anonymous() -> Caller:
    return Caller()


@pytest.fixture
def as_connection_a(tokens: FakeTokens) -> Caller:
    return as_mesh(tokens)


def as_mesh(tokens: FakeTokens) -> Caller:
    return Caller(identities=FakeIdentities(tokens=tokens), credentials=Credentials(mesh_token=Secret("token-a")))


async def call(
    services: Services, caller: Caller, name: str, arguments: dict[str, Any], *, tools: Any = TOOLS, **options: Any
) -> types.CallToolResult:
    current_caller.set(caller)  # for this test's own context alone
    async with Client(build_server(services, tools, **options), mode="legacy") as client:
        result = await client.call_tool(name, arguments)
    assert isinstance(result, types.CallToolResult)
    return result


def get_tool(name: str) -> Tool[Any, Any]:
    return next(tool for tool in TOOLS if tool.name == name)


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
    hidden = [tool.name for tool in TOOLS if tool.describe().meta == {"ui": {"visibility": ["app"]}}]
    assert {"MCP_CONFIGURATION", "ON_MCP_CONFIGURATION"} <= set(hidden)
    assert hidden == [tool.name for tool in TOOLS][-len(hidden) :]  # Mesh shows a model the first few names
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
    output_schema = get_tool("MCP_CONFIGURATION").describe().output_schema
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
    output_schema = get_tool("ON_MCP_CONFIGURATION").describe().output_schema
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
        ({}, "state is required. scopes is required."),
        ({"state": "xoxb-canary", "scopes": []}, "state: Input should be a valid dictionary."),
        ({"state": {}, "scopes": ["a", 1]}, "scopes.1: Input should be a valid string."),
    ],
)
async def test_arguments_are_checked_against_the_schema(
    services: Services, as_connection_a: Caller, arguments: dict[str, Any], sentence: str
) -> None:
    result = await call(services, as_connection_a, "ON_MCP_CONFIGURATION", arguments)
    assert result.is_error
    assert get_text(result) == (
        f"{sentence} The arguments of ON_MCP_CONFIGURATION: state, scopes, firstRun, vault. Correct the arguments and "
        "call again."
    )


@pytest.mark.parametrize("arguments", [{"number": "1"}, {"number": True}, {"number": 1, "other": 2}])
async def test_arguments_are_neither_converted_nor_read_over(services: Services, arguments: dict[str, Any]) -> None:
    tool = make_tool(return_number)
    assert (await call(services, make_known_caller(), "NUMBER", arguments, tools=[tool])).is_error
    result = await call(services, make_known_caller(), "NUMBER", {"number": 1}, tools=[tool])
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
    text = get_text(await call(services, as_mesh(tokens), "ON_MCP_CONFIGURATION", arguments))
    assert text == "Mesh cannot be reached. Try again in a moment."


async def test_a_crash_is_told_by_a_reference_that_the_log_has(services: Services) -> None:
    async def run(_call: Call, _arguments: NumberArguments) -> NumberResult:
        raise TimeoutError("canary")

    with capture_logs() as lines:
        result = await call(services, make_known_caller(), "NUMBER", {"number": 1}, tools=[make_tool(run)])
    assert result.is_error
    (crash,) = [line for line in lines if line["event"] == "tool.crashed"]
    assert crash["exc_info"]
    assert crash["reference"] in get_text(result)
    assert "canary" not in get_text(result)
    assert [line["outcome"] for line in lines if line["event"] == "tool.finished"] == ["crash"]


async def test_a_call_that_does_not_end_is_given_up(services: Services) -> None:
    async def run(_call: Call, _arguments: NumberArguments) -> NumberResult:
        await anyio.sleep_forever()
        raise AssertionError

    with capture_logs() as lines:
        result = await call(
            services, make_known_caller(), "NUMBER", {"number": 1}, tools=[make_tool(run)], call_timeout_s=0.01
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
    caller = as_mesh(tokens)
    assert caller.known is None
    assert await caller.fetch_claims() == await caller.fetch_claims()
    assert tokens.verified == ["token-a"]


async def list_names(services: Services, caller: Caller, tools: Any) -> list[str]:
    current_caller.set(caller)
    async with Client(build_server(services, tools), mode="legacy") as client:
        return [tool.name for tool in (await client.list_tools()).tools]


READ, WRITE = make_tool(return_number), make_tool(return_number, access=Access.WRITE)


async def test_everybody_may_see_which_tools_there_are_and_nobody_unknown_calls_one(
    services: Services, as_anonymous: Caller
) -> None:
    assert await list_names(services, as_anonymous, [WRITE]) == ["NUMBER"]
    result = await call(services, as_anonymous, "NUMBER", {"number": 1}, tools=[WRITE])
    assert result.is_error


async def test_a_caller_sees_what_it_may_call(services: Services) -> None:
    assert await list_names(services, make_known_caller(access=Access.READ), [WRITE]) == []
    assert await list_names(services, make_known_caller(access=Access.READ), [READ]) == ["NUMBER"]
    refused = await call(services, make_known_caller(access=Access.READ), "NUMBER", {"number": 1}, tools=[WRITE])
    assert "needs a caller with write access" in get_text(refused)


async def test_while_mesh_cannot_be_asked_all_tools_are_listed(services: Services, tokens: FakeTokens) -> None:
    tokens.error = MeshUnavailableError("canary")
    assert await list_names(services, as_mesh(tokens), [WRITE]) == ["NUMBER"]


async def test_a_connection_that_is_not_configured_lists_the_tools_of_the_protocol_alone(tokens: FakeTokens) -> None:
    names = await list_names(make_services(directory=FakeDirectory()), as_mesh(tokens), TOOLS)
    assert "MCP_CONFIGURATION" in names
    assert not [name for name in names if name.startswith("SLACK_")]


async def test_a_call_for_a_connection_that_is_not_configured_says_so() -> None:
    result = await call(
        make_services(directory=FakeDirectory()), make_known_caller(), "NUMBER", {"number": 1}, tools=[READ]
    )
    assert "not configured yet" in get_text(result)


async def test_a_write_is_in_the_audit_before_it_begins_and_after_it_ended() -> None:
    audit, web = FakeAudit(), FakeWeb()
    seen = []

    async def run(tool_call: Call, _arguments: NumberArguments) -> NumberResult:
        seen.append(audit.entries[0].result)
        await tool_call.bot.write("chat.update", channel="C1", ts="1.0", text="canary")
        return NumberResult(number=1)

    services = make_services(audit=audit, slack=web)
    await call(services, make_known_caller(), "NUMBER", {"number": 1}, tools=[make_tool(run, access=Access.WRITE)])
    (entry,) = audit.entries
    assert seen == ["begun"]
    assert (entry.connection_id, entry.actor, entry.tool) == ("conn_a", "key:0123456789abcdef", "NUMBER")
    assert (entry.target, entry.result) == ("C1/1.0", "ok")
    assert "canary" not in repr(audit.entries)


async def test_a_write_that_fails_is_audited_with_the_errors_code() -> None:
    audit = FakeAudit()

    async def run(_call: Call, _arguments: NumberArguments) -> NumberResult:
        raise TokenRevokedError("chat.postMessage", "invalid_auth")

    await call(
        make_services(audit=audit),
        make_known_caller(),
        "NUMBER",
        {"number": 1},
        tools=[make_tool(run, access=Access.WRITE)],
    )
    assert [entry.result for entry in audit.entries] == ["slack_token_revoked"]


@pytest.mark.parametrize(
    ("caller", "arguments", "result"),
    [
        (make_known_caller(access=Access.READ), {"number": 1}, "forbidden"),
        (make_known_caller(), {"number": "1"}, "invalid_input"),
        (make_known_caller(), {"number": 1, "canary": "canary"}, "invalid_input"),
    ],
)
async def test_a_write_that_is_refused_is_audited_too(caller: Caller, arguments: dict[str, Any], result: str) -> None:
    audit = FakeAudit()
    assert (await call(make_services(audit=audit), caller, "NUMBER", arguments, tools=[WRITE])).is_error
    (entry,) = audit.entries
    assert (entry.connection_id, entry.tool, entry.target, entry.result) == ("conn_a", "NUMBER", None, result)
    assert "canary" not in repr(entry)


async def test_what_mesh_saves_is_audited_and_what_it_only_asks_is_not(tokens: FakeTokens) -> None:
    audit = FakeAudit()
    services = make_services(audit=audit)
    tampered = {"state": make_state(LANGUAGE="pt-BR"), "scopes": []}
    for name, arguments in (("MCP_CONFIGURATION", {}), ("TRIGGER_LIST", {}), ("ON_MCP_CONFIGURATION", tampered)):
        await call(services, as_mesh(tokens), name, arguments)
    (entry,) = audit.entries
    assert (entry.connection_id, entry.actor.partition(":")[0]) == ("conn_a", "mesh")
    assert (entry.tool, entry.result) == ("ON_MCP_CONFIGURATION", "forbidden")  # nobody configures these services


async def test_nothing_is_written_that_cannot_be_audited() -> None:
    audit, web = FakeAudit(error="begin"), FakeWeb()

    async def run(tool_call: Call, _arguments: NumberArguments) -> NumberResult:
        await tool_call.bot.write("chat.postMessage", channel="C1")
        raise AssertionError

    result = await call(
        make_services(audit=audit, slack=web),
        make_known_caller(),
        "NUMBER",
        {"number": 1},
        tools=[make_tool(run, access=Access.WRITE)],
    )
    assert get_text(result) == "The database cannot be reached. Try again in a moment."
    assert web.calls == []


async def test_a_write_whose_end_cannot_be_audited_was_done_all_the_same() -> None:
    audit = FakeAudit(error="finish")
    result = await call(make_services(audit=audit), make_known_caller(), "NUMBER", {"number": 1}, tools=[WRITE])
    assert not result.is_error
    assert [entry.result for entry in audit.entries] == ["begun"]


async def test_a_tool_that_says_it_reads_cannot_write() -> None:
    web = FakeWeb()

    async def run(tool_call: Call, _arguments: NumberArguments) -> NumberResult:
        await tool_call.bot.write("chat.postMessage", channel="C1")
        raise AssertionError

    result = await call(make_services(slack=web), make_known_caller(), "NUMBER", {"number": 1}, tools=[make_tool(run)])
    assert result.is_error
    assert web.calls == []


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if not tool.is_for_apps], ids=lambda tool: tool.name)
def test_every_slack_tool_says_what_it_does_to_slack(tool: Tool[Any, Any]) -> None:
    annotations = tool.describe().annotations
    assert annotations is not None
    assert annotations.read_only_hint is (tool.access is Access.READ)
    assert not (annotations.read_only_hint and annotations.destructive_hint)
    schema = tool.describe().input_schema
    assert schema["additionalProperties"] is False


ORIGINAL = [
    "SLACK_SEND_MESSAGE",
    "SLACK_REPLY_IN_THREAD",
    "SLACK_EDIT_MESSAGE",
    "SLACK_DELETE_MESSAGE",
    "SLACK_SCHEDULE_MESSAGE",
    "SLACK_DELETE_SCHEDULED_MESSAGE",
    "SLACK_PIN_MESSAGE",
    "SLACK_UNPIN_MESSAGE",
    "SLACK_GET_CHANNEL_HISTORY",
    "SLACK_GET_THREAD_REPLIES",
    "SLACK_SEARCH_MESSAGES",
    "SLACK_LIST_CHANNELS",
    "SLACK_LIST_DMS",
    "SLACK_GET_CHANNEL_INFO",
    "SLACK_GET_CHANNEL_MEMBERS",
    "SLACK_JOIN_CHANNEL",
    "SLACK_OPEN_DM",
    "SLACK_INVITE_TO_CHANNEL",
    "SLACK_GET_USER_INFO",
    "SLACK_LIST_USERS",
    "SLACK_GET_BOT_INFO",
    "SLACK_GET_BOT_STATUS",
    "SLACK_ADD_REACTION",
    "SLACK_REMOVE_REACTION",
    "SLACK_UPLOAD_FILE",
    "SLACK_GET_THREAD_INFO",
    "SLACK_GET_THREAD_HISTORY",
    "SLACK_RESET_THREAD",
    "SYNC_CONFIG_CACHE",
    "MCP_CONFIGURATION",
    "ON_MCP_CONFIGURATION",
    "TRIGGER_LIST",
    "TRIGGER_CONFIGURE",
]


def test_the_names_that_existing_agents_know_are_there() -> None:
    assert set(ORIGINAL) <= {tool.name for tool in TOOLS}


def test_every_tool_that_a_text_of_the_tools_names_exists() -> None:
    names = {tool.name for tool in TOOLS}
    sources = Path(admission.__file__).parent.glob("*.py")
    named = {word for each in sources for word in re.findall(r"\bSLACK_[A-Z]+_[A-Z_]+\b", each.read_text("utf-8"))}
    assert named <= names


def test_the_tools_cost_a_model_little() -> None:
    shown = [(tool.name, tool.description, tool.describe().input_schema) for tool in TOOLS if not tool.is_for_apps]
    assert len(json.dumps(shown)) / len(shown) < 1_000
