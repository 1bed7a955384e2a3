from collections.abc import Awaitable, Callable

import anyio
import pytest
from configuration_fakes import make_claims
from directory_fake import FakeDirectory
from identity_fakes import FakeIdentities, make_known_caller
from mcp import Client, MCPError, types
from structlog.testing import capture_logs
from tool_fakes import make_services

from slack_mcp.core.errors import (
    ForbiddenError,
    InvalidInputError,
    MeshUnavailableError,
    RateLimitedError,
    SettingsError,
    SlackMcpError,
    SlackRefusedError,
    StoreUnavailableError,
    TokenRevokedError,
)
from slack_mcp.core.secret import Secret
from slack_mcp.ports.identity import Credentials, PrincipalKind
from slack_mcp.tools.caller import Caller, current_caller
from slack_mcp.tools.prompt_texts import FIND_CHANNELS, PERMALINK, REPLIES, SEND
from slack_mcp.tools.prompts import PROMPTS
from slack_mcp.tools.registry import TOOLS
from slack_mcp.tools.requests import Requests
from slack_mcp.tools.resources import KINDS
from slack_mcp.tools.server import build_server

pytestmark = pytest.mark.anyio


def make_requests(*, timeout_s: float = 5.0) -> Requests:
    current_caller.set(make_known_caller())
    return Requests(make_services(), (), timeout_s=timeout_s)


async def fail(work: Callable[[], Awaitable[object]], **options: float) -> MCPError:
    with pytest.raises(MCPError) as caught:
        await make_requests(**options).answer("resources/read", work)
    assert caught.value.__context__ is None, "what went wrong within goes no further"
    return caught.value


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InvalidInputError("No such day."), types.INVALID_PARAMS, "No such day. Correct the arguments"),
        (ForbiddenError("Not this."), types.INVALID_REQUEST, "Not this."),
        (SlackRefusedError("files.info", "file_deleted"), types.INVALID_REQUEST, "Slack answered file_deleted"),
        (TokenRevokedError("auth.test", "token_revoked"), types.INTERNAL_ERROR, "Reinstall the Slack app"),
        (RateLimitedError("users.list", 7.0), types.INTERNAL_ERROR, "7 s"),
        (StoreUnavailableError("postgresql://user:canary@db"), types.INTERNAL_ERROR, "The database cannot be reached."),
        (MeshUnavailableError("canary"), types.INTERNAL_ERROR, "Mesh cannot be reached."),
        (SettingsError(["canary"]), types.INTERNAL_ERROR, "The service is not set up correctly."),
    ],
)
async def test_errors_of_the_rooms_are_told_with_what_to_do(error: SlackMcpError, code: int, words: str) -> None:
    async def work() -> object:
        raise error

    with capture_logs() as lines:
        told = await fail(work)
    assert told.code == code
    assert words in told.message
    assert "canary" not in repr(told.error)
    (line,) = lines
    assert (line["event"], line["method"], line["outcome"]) == ("request.finished", "resources/read", error.code)
    assert (line["connection_id"], line["actor"]) == ("conn_a", "key:0123456789abcdef")


async def test_a_token_of_another_organization_is_told_nothing_of_the_connection_that_it_names() -> None:
    claims = make_claims("conn_a", organization_id="org2")
    current_caller.set(make_known_caller(kind=PrincipalKind.MESH, claims=claims))
    requests = Requests(make_services(), TOOLS, timeout_s=5.0)
    for ask in (requests.identify, requests.find_visitor):
        with pytest.raises(ForbiddenError, match="another organization"):
            await ask()
    assert all(tool.is_for_apps for tool in await requests.find_tools())


async def test_a_crash_is_told_by_a_reference_that_the_log_has() -> None:
    async def work() -> object:
        raise TimeoutError("canary")

    with capture_logs() as lines:
        told = await fail(work)
    crash, finished = lines
    assert told.code == types.INTERNAL_ERROR
    assert crash["reference"] in told.message
    assert "canary" not in repr(told.error)
    assert crash["exc_info"]
    assert finished["outcome"] == "crash"


async def test_a_request_that_does_not_end_is_given_up() -> None:
    with capture_logs() as lines:
        told = await fail(anyio.sleep_forever, timeout_s=0.01)
    assert (told.code, told.message) == (
        types.INTERNAL_ERROR,
        "The answer did not come within 0 s. Try again in a moment.",
    )
    assert [line["outcome"] for line in lines] == ["timeout"]


async def test_what_is_no_error_is_returned() -> None:
    async def work() -> str:
        return "answer"

    assert await make_requests().answer("prompts/list", work) == "answer"


async def test_a_connection_that_is_not_configured_has_no_resources_and_no_prompts() -> None:
    current_caller.set(make_known_caller())
    services = make_services(directory=FakeDirectory())
    async with Client(build_server(services, TOOLS), mode="legacy") as client:
        assert (await client.list_resources()).resources == []
        assert (await client.list_resource_templates()).resource_templates == []
        assert (await client.list_prompts()).prompts == []
        with pytest.raises(MCPError, match="not configured yet"):
            await client.get_prompt("catch_me_up")


async def test_while_mesh_cannot_be_asked_prompts_are_listed_and_a_teams_resources_are_not() -> None:
    identities = FakeIdentities()
    identities.error = MeshUnavailableError("canary")
    current_caller.set(Caller(identities=identities, credentials=Credentials(mesh_token=Secret("token"))))
    async with Client(build_server(make_services(), TOOLS), mode="legacy") as client:
        assert len((await client.list_prompts()).prompts) == len(PROMPTS)
        with pytest.raises(MCPError) as caught:
            await client.list_resources()
    assert (caught.value.code, caught.value.message) == (
        types.INTERNAL_ERROR,
        "Mesh cannot be reached. Try again in a moment.",
    )


def test_resources_and_prompts_name_tools_that_there_are() -> None:
    reading = {tool.name for tool in TOOLS if tool.is_read_only and not tool.is_for_apps}
    assert {kind.tool for kind in KINDS} <= reading
    assert {tool for prompt in PROMPTS for group in prompt.needs for tool in group} <= reading
    assert {REPLIES, FIND_CHANNELS, PERMALINK} <= reading
    assert SEND in {tool.name for tool in TOOLS}
