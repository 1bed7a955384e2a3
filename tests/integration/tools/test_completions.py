from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from mcp import Client, MCPError, types
from toolbox import ACME, ANN, GENERAL, GLOBEX, Toolbox, open_toolbox

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access, ToolPolicy
from slack_mcp.ports.names import NameChange, NameKind
from slack_mcp.simulator.faults import Fault
from slack_mcp.tools import channels, downloads, history, users
from slack_mcp.tools.caller import Caller, current_caller
from slack_mcp.tools.server import build_server

pytestmark = pytest.mark.anyio

TOOLS = (*channels.TOOLS, *users.TOOLS, *history.TOOLS, *downloads.TOOLS)
SUMMARIZE = types.PromptReference(name="summarize_channel")
CATCH_UP = types.PromptReference(name="catch_me_up")
CHANNEL = types.ResourceTemplateReference(uri="slack://{team}/channel/{id}")
THREAD = types.ResourceTemplateReference(uri="slack://{team}/channel/{id}/thread/{ts}")
FILE = types.ResourceTemplateReference(uri="slack://{team}/file/{id}")

Ref = types.PromptReference | types.ResourceTemplateReference


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox(TOOLS) as toolbox:
        yield toolbox


async def complete(
    box: Toolbox,
    ref: Ref,
    name: str,
    value: str,
    *,
    connection_id: ConnectionId = ACME,
    access: Access = Access.READ,
    mode: Literal["legacy", "2026-07-28"] = "legacy",
) -> types.Completion:
    async with box.connect(connection_id, access, mode) as client:
        return (await client.complete(ref, {"name": name, "value": value})).completion


async def fail(box: Toolbox, ref: Ref, name: str, value: str = "") -> types.ErrorData:
    async with box.connect() as client:
        with pytest.raises(MCPError) as caught:
            await client.complete(ref, {"name": name, "value": value})
    assert "canary" not in repr(caught.value.error)
    return caught.value.error


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_names_that_begin_with_what_was_typed_come_before_those_that_hold_it(
    box: Toolbox, mode: Literal["legacy", "2026-07-28"]
) -> None:
    box.workspace().add_channel("C0REGEN", "re-gen")
    box.workspace().add_channel("C0GENESIS", "Genesis")
    for typed in ("gen", "#GEN", " gen"):
        found = await complete(box, SUMMARIZE, "channel", typed, mode=mode)
        assert (found.values, found.total, found.has_more) == (["#general", "#Genesis", "#re-gen"], 3, False)
    assert (await complete(box, SUMMARIZE, "channel", "nothing", mode=mode)).values == []


async def test_people_are_found_by_any_of_their_names(box: Toolbox) -> None:
    for typed in ("an", "@Ann", "Ann of conn"):
        assert (await complete(box, CATCH_UP, "user", typed)).values == ["@ann"]
    everybody = await complete(box, CATCH_UP, "user", "")
    assert {"@ann", "@ben", "@cat"} <= set(everybody.values)


async def test_of_people_with_one_name_the_ids_are_given(box: Toolbox) -> None:
    box.workspace().add_user("U0ANN02", "ann2", display_name="ann")
    assert (await complete(box, CATCH_UP, "user", "ann")).values == [ANN, "U0ANN02"]


async def test_what_is_gone_is_not_suggested(box: Toolbox) -> None:
    workspace = box.workspace()
    workspace.add_channel("C0OLD000", "general-old")
    workspace.archive_channel(ANN, "C0OLD000")
    workspace.change_user(ANN, is_deleted=True)
    assert (await complete(box, SUMMARIZE, "channel", "general")).values == ["#general"]
    assert (await complete(box, CATCH_UP, "user", "ann")).values == []


@pytest.mark.parametrize("ref", [CHANNEL, THREAD])
async def test_the_variables_of_templates_are_completed_with_what_can_be_read(
    box: Toolbox, ref: types.ResourceTemplateReference
) -> None:
    assert (await complete(box, ref, "team", "t_")).values == [f"T_{ACME}"]
    assert (await complete(box, ref, "team", "X")).values == []
    (name,) = (await complete(box, ref, "id", "gene")).values
    assert name == "general"
    async with box.connect() as client:
        assert (await client.read_resource(f"slack://T_{ACME}/channel/{name}")).contents


async def test_what_has_no_names_is_not_completed(box: Toolbox) -> None:
    for ref, name in ((SUMMARIZE, "since"), (FILE, "id"), (THREAD, "ts")):
        found = await complete(box, ref, name, "1")
        assert (found.values, found.total, found.has_more) == ([], 0, False)
    assert (await complete(box, SUMMARIZE, "channel", "x" * 301)).values == []
    assert box.methods() == []


async def test_the_list_is_read_once_for_many_keystrokes(box: Toolbox) -> None:
    for typed in ("g", "ge", "gen", "r", ""):
        await complete(box, SUMMARIZE, "channel", typed)
    assert box.methods() == ["conversations.list"]
    # What was seen on the way answers the tools too.
    await box.names.resolve_channel(await box.directory.load(ACME), "#random")
    assert box.methods() == ["conversations.list"]
    box.names.forget(NameChange(connection_id=ACME, kind=NameKind.CONNECTION))
    await complete(box, SUMMARIZE, "channel", "g")
    assert box.methods() == ["conversations.list"] * 2


async def test_a_channel_that_was_renamed_is_not_suggested_by_its_old_name(box: Toolbox) -> None:
    await complete(box, SUMMARIZE, "channel", "")
    box.workspace().rename_channel(GENERAL, "lobby")
    box.names.forget(NameChange(connection_id=ACME, kind=NameKind.CHANNEL, id=GENERAL))
    assert (await complete(box, SUMMARIZE, "channel", "general")).values == []


async def test_at_most_a_hundred_are_given_and_told_how_many_there_are(box: Toolbox) -> None:
    for number in range(150):
        box.workspace().add_channel(f"C0TEAM{number:03}", f"team-{number:03}")
    found = await complete(box, SUMMARIZE, "channel", "team")
    assert (len(found.values), found.total, found.has_more) == (100, 150, True)
    assert found.values[0] == "#team-000"
    exact = await complete(box, SUMMARIZE, "channel", "team-14")
    assert (len(exact.values), exact.total, exact.has_more) == (10, 10, False)


async def test_who_may_not_list_names_is_told_none(box: Toolbox) -> None:
    await box.set_policy(ToolPolicy(denied_tools=("SLACK_LIST_CHANNELS",)))
    assert (await complete(box, SUMMARIZE, "channel", "g")).values == []
    await box.set_policy(ToolPolicy(denied_tools=("SLACK_GET_CHANNEL_HISTORY",)))
    assert "no such prompt" in (await fail(box, SUMMARIZE, "channel")).message
    assert "no such template" in (await fail(box, CHANNEL, "id")).message
    assert box.methods() == []


async def test_nobody_unknown_is_told_a_name(box: Toolbox) -> None:
    current_caller.set(Caller())
    async with Client(build_server(box.services, TOOLS), mode="legacy") as client:
        with pytest.raises(MCPError) as caught:
            await client.complete(SUMMARIZE, {"name": "channel", "value": ""})
    assert caught.value.code == types.INVALID_REQUEST
    assert box.methods() == []


@pytest.mark.parametrize(
    ("ref", "name", "words"),
    [
        (types.PromptReference(name="canary"), "channel", "There is no such prompt"),
        (SUMMARIZE, "canary", "There is no such argument: it takes channel, since."),
        (types.ResourceTemplateReference(uri="slack://canary"), "id", "There is no such template"),
        (CHANNEL, "canary", "There is no such argument: it takes team, id."),
    ],
)
async def test_what_there_is_not_cannot_be_completed(box: Toolbox, ref: Any, name: str, words: str) -> None:
    error = await fail(box, ref, name)
    assert error.code == types.INVALID_PARAMS
    assert words in error.message


async def test_slacks_refusals_are_told_and_not_kept(box: Toolbox) -> None:
    box.simulator.faults.add(Fault(method="conversations.list", error="token_revoked"))
    error = await fail(box, SUMMARIZE, "channel")
    assert error.code == types.INTERNAL_ERROR
    assert "Reinstall" in error.message
    assert (await complete(box, SUMMARIZE, "channel", "gen")).values == ["#general"]


async def test_two_tenants_are_told_their_own_names(box: Toolbox) -> None:
    for connection_id in (ACME, GLOBEX):
        box.workspace(connection_id).add_channel("C0ONLY00", f"only-{connection_id}")
    for connection_id in (ACME, GLOBEX, ACME):
        found = await complete(box, SUMMARIZE, "channel", "only", connection_id=connection_id)
        assert found.values == [f"#only-{connection_id}"]
    assert box.methods(ACME) == box.methods(GLOBEX) == ["conversations.list"]
