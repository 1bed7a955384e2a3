import base64
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from mcp import Client, MCPError, types
from toolbox import ACME, ANN, BEN, GENERAL, GLOBEX, RANDOM, SECRET_CHANNEL, Toolbox, open_toolbox

from slack_mcp.core.model import Access, ToolPolicy
from slack_mcp.simulator.faults import Fault
from slack_mcp.tools import channels, downloads, history, users
from slack_mcp.tools.caller import Caller, current_caller
from slack_mcp.tools.server import build_server

pytestmark = pytest.mark.anyio

TOOLS = (*channels.TOOLS, *users.TOOLS, *history.TOOLS, *downloads.TOOLS)
TEAM = f"T_{ACME}"
ROOT = f"slack://{TEAM}"
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox(TOOLS) as toolbox:
        yield toolbox


async def read(box: Toolbox, uri: str, access: Access = Access.ADMIN) -> str:
    async with box.connect(access=access) as client:
        (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, types.TextResourceContents)
    assert content.uri == uri
    return content.text


async def fail(box: Toolbox, uri: str, access: Access = Access.ADMIN) -> types.ErrorData:
    async with box.connect(access=access) as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
    assert "canary" not in repr(caught.value.error)
    return caught.value.error


async def list_all(box: Toolbox, access: Access = Access.ADMIN) -> tuple[list[str], list[str]]:
    async with box.connect(access=access) as client:
        resources = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
    return [each.uri for each in resources], [each.uri_template for each in templates]


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_the_lists_of_the_callers_team_are_resources_and_the_rest_are_templates(
    box: Toolbox, mode: Literal["legacy", "2026-07-28"]
) -> None:
    async with box.connect(mode=mode) as client:
        resources = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
    assert [(each.uri, each.title, each.mime_type) for each in resources] == [
        (f"{ROOT}/channels", "Channels of Simulated", "text/markdown"),
        (f"{ROOT}/users", "People of Simulated", "text/markdown"),
    ]
    assert [each.uri_template for each in templates] == [
        "slack://{team}/channel/{id}",
        "slack://{team}/channel/{id}/thread/{ts}",
        "slack://{team}/file/{id}",
    ]


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
def test_nothing_is_promised_to_be_told_of(version: str) -> None:
    services: Any = None  # is not asked for anything
    capabilities = build_server(services, TOOLS).get_capabilities(protocol_version=version)
    assert capabilities.completions is not None
    assert capabilities.prompts is not None
    assert capabilities.resources is not None
    assert not capabilities.resources.subscribe
    assert not capabilities.resources.list_changed
    assert not capabilities.prompts.list_changed


async def test_each_connection_is_shown_its_own_team(box: Toolbox) -> None:
    async with box.connect(GLOBEX) as client:
        resources = (await client.list_resources()).resources
    assert {each.uri for each in resources} == {f"slack://T_{GLOBEX}/channels", f"slack://T_{GLOBEX}/users"}


async def test_without_credentials_there_are_templates_and_no_resources(box: Toolbox) -> None:
    current_caller.set(Caller())
    async with Client(build_server(box.services, TOOLS), mode="legacy") as client:
        assert (await client.list_resources()).resources == []
        assert len((await client.list_resource_templates()).resource_templates) == 3
        with pytest.raises(MCPError) as caught:
            await client.read_resource(f"{ROOT}/channels")
    assert caught.value.code == types.INVALID_REQUEST
    assert box.methods() == []


async def test_a_resource_reads_as_its_tool_does(box: Toolbox) -> None:
    workspace = box.workspace()
    first = workspace.say(ANN, GENERAL, f"hello <@{BEN}>").message.ts
    workspace.say(BEN, GENERAL, "reply", first)
    for uri, tool, arguments in (
        (f"{ROOT}/channels", "SLACK_LIST_CHANNELS", {"limit": 200}),
        (f"{ROOT}/users", "SLACK_LIST_USERS", {"limit": 200}),
        (f"{ROOT}/channel/{GENERAL}", "SLACK_GET_CHANNEL_HISTORY", {"channel": GENERAL}),
        (
            f"{ROOT}/channel/{GENERAL}/thread/{first}",
            "SLACK_GET_THREAD_REPLIES",
            {"channel": GENERAL, "thread_ts": first},
        ),
    ):
        assert await read(box, uri) == await box.text(tool, arguments)
    assert "ann: hello @ben" in await read(box, f"{ROOT}/channel/{GENERAL}")
    assert "ben: reply" in await read(box, f"{ROOT}/channel/{GENERAL}/thread/{first}")


@pytest.mark.parametrize("name", ["general", "%23general"])
async def test_a_channel_may_be_given_by_its_name(box: Toolbox, name: str) -> None:
    box.workspace().say(ANN, GENERAL, "hello")
    assert "ann: hello" in await read(box, f"{ROOT}/channel/{name}")


async def test_the_team_may_have_been_written_in_lower_case(box: Toolbox) -> None:
    box.workspace().say(ANN, GENERAL, "hello")
    assert "hello" in await read(box, f"slack://{TEAM.lower()}/channel/{GENERAL}")


async def test_a_long_resource_says_how_to_go_on(box: Toolbox) -> None:
    for number in range(60):
        box.workspace().say(ANN, GENERAL, f"message {number}")
    text = await read(box, f"{ROOT}/channel/{GENERAL}")
    assert text.count("message") == 50
    *_, foot, blank, further = text.split("\n")
    assert (blank, further) == (
        "",
        f"To go on: SLACK_GET_CHANNEL_HISTORY with channel {GENERAL}, limit 50 and this cursor.",
    )
    cursor = foot.removeprefix("next_cursor: ")
    rest = await box.text("SLACK_GET_CHANNEL_HISTORY", {"channel": GENERAL, "limit": 50, "cursor": cursor})
    assert rest.count("message") == 10


async def test_a_file_is_text_or_bytes(box: Toolbox) -> None:
    workspace = box.workspace()
    workspace.share_file(ANN, GENERAL, "notes.txt", b"one\ntwo")
    workspace.share_file(ANN, GENERAL, "dot.png", PNG)
    workspace.share_file(ANN, GENERAL, "blob.bin", b"\x00\xff\x01")
    text, image, blob = workspace.shelf.files
    assert (await read(box, f"{ROOT}/file/{text}")).endswith("one\ntwo")
    async with box.connect() as client:
        for file_id, content, mime_type in (
            (image, PNG, "image/png"),
            (blob, b"\x00\xff\x01", "application/octet-stream"),
        ):
            (found,) = (await client.read_resource(f"{ROOT}/file/{file_id}")).contents
            assert isinstance(found, types.BlobResourceContents)
            assert (found.uri, found.mime_type) == (f"{ROOT}/file/{file_id}", mime_type)
            assert base64.b64decode(found.blob) == content


NOWHERE = (
    f"slack://T_{GLOBEX}/channels",
    f"slack://T_{GLOBEX}/channel/{GENERAL}",
    "slack://T_NOBODY/channels",
    "slack:///channels",
    f"{ROOT}/nothing",
    f"{ROOT}/channels/",
    f"{ROOT}/channel/",
    f"{ROOT}/channel/{ANN}",
    f"{ROOT}/channel/@ann",
    f"{ROOT}/channel/%40ann",
    f"{ROOT}/channel/ann%40example.com",
    f"{ROOT}/channel/{GENERAL}%2Fthread",
    f"{ROOT}/channel/{GENERAL}/thread/now",
    f"{ROOT}/channel/{GENERAL}/thread/1700000000.000100%0A",
    f"{ROOT}/file/..%2F..",
    f"{ROOT}/file/{GENERAL}",
    "https://example.com/channels",
    "channels",
    "",
    f"{ROOT}/channel/{'x' * 100_000}",
)


async def test_what_there_is_not_is_not_found_like_what_belongs_to_another_team(box: Toolbox) -> None:
    for uri in NOWHERE:
        error = await fail(box, uri)
        assert (error.code, error.data) == (types.INVALID_PARAMS, {"uri": uri[:500]})
        assert error.message == (
            "There is no such resource: resources/list and resources/templates/list show what there is."
        )
    assert box.methods() == box.methods(GLOBEX) == []


GONE = (
    ("channel/C0NOWHERE", "SLACK_LIST_CHANNELS"),
    ("channel/nowhere", "no channel 'nowhere'"),
    (f"channel/{SECRET_CHANNEL}", "channel_not_found"),
    (f"channel/{GENERAL}/thread/1700000000.000100", "thread_not_found"),
    ("file/F0NOWHERE", "file_not_found"),
)


async def test_what_slack_does_not_know_is_not_found(box: Toolbox) -> None:
    for path, words in GONE:
        error = await fail(box, f"{ROOT}/{path}")
        assert (error.code, error.data) == (types.INVALID_PARAMS, {"uri": f"{ROOT}/{path}"})
        assert words in error.message
    assert box.methods(GLOBEX) == []


async def test_what_the_policy_denies_is_no_resource(box: Toolbox) -> None:
    await box.set_policy(ToolPolicy(denied_tools=("SLACK_LIST_USERS", "SLACK_GET_CHANNEL_HISTORY")))
    resources, templates = await list_all(box)
    assert resources == [f"{ROOT}/channels"]
    assert templates == ["slack://{team}/channel/{id}/thread/{ts}", "slack://{team}/file/{id}"]
    for path in ("users", f"channel/{GENERAL}"):
        error = await fail(box, f"{ROOT}/{path}")
        assert error.code == types.INVALID_REQUEST
        assert "policy" in error.message
    assert box.methods() == []


async def test_what_the_tokens_scopes_do_not_allow_is_no_resource(box: Toolbox) -> None:
    await box.change(bot_scopes=frozenset({"channels:read"}))
    assert await list_all(box) == ([f"{ROOT}/channels"], [])
    error = await fail(box, f"{ROOT}/users")
    assert error.code == types.INVALID_REQUEST
    assert "users:read" in error.message
    assert box.methods() == []


async def test_resources_are_there_for_those_who_may_only_read_and_not_for_a_connection_switched_off(
    box: Toolbox,
) -> None:
    await box.set_policy(ToolPolicy(is_read_only=True))
    assert len((await list_all(box, access=Access.READ))[0]) == 2
    assert "#random" in await read(box, f"{ROOT}/channels", access=Access.READ)
    await box.change(disabled=True)
    assert await list_all(box) == ([], [])
    assert "switched off" in (await fail(box, f"{ROOT}/channels")).message


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (Fault(method="conversations.history", error="not_in_channel"), types.INVALID_REQUEST, "SLACK_JOIN_CHANNEL"),
        (Fault(method="conversations.history", error="token_revoked"), types.INTERNAL_ERROR, "Reinstall"),
        (Fault(method="conversations.history", status=429, retry_after_s=30), types.INTERNAL_ERROR, "30 s"),
        (Fault(method="conversations.history", status=503, times=None), types.INTERNAL_ERROR, "Slack did not answer."),
    ],
)
async def test_slacks_refusals_are_told_with_what_to_do(box: Toolbox, fault: Fault, code: int, words: str) -> None:
    box.simulator.faults.add(fault)
    error = await fail(box, f"{ROOT}/channel/{RANDOM}")
    assert error.code == code
    assert words in error.message
    assert error.data is None


async def test_reading_writes_nothing_and_is_not_audited(box: Toolbox) -> None:
    await read(box, f"{ROOT}/channels")
    await read(box, f"{ROOT}/channel/{GENERAL}")
    assert set(box.methods()) == {"conversations.list", "conversations.history"}
    assert await box.audited() == []


async def test_two_tenants_never_read_each_others_channels(box: Toolbox) -> None:
    for connection_id in (ACME, GLOBEX):
        box.workspace(connection_id).say(ANN, GENERAL, f"only in {connection_id}")
    for connection_id, other in ((ACME, GLOBEX), (GLOBEX, ACME)):
        async with box.connect(connection_id) as client:
            (content,) = (await client.read_resource(f"slack://T_{connection_id}/channel/general")).contents
            with pytest.raises(MCPError, match="no such resource"):
                await client.read_resource(f"slack://T_{other}/channel/general")
        assert isinstance(content, types.TextResourceContents)
        assert f"only in {connection_id}" in content.text
        assert f"only in {other}" not in content.text
