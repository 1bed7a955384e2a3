from dataclasses import replace
from typing import Any

import pytest
from configuration_fakes import make_claims
from directory_fake import make_connection

from slack_mcp.core.errors import ForbiddenError, MissingScopeError, SlackMcpError, UserTokenMissingError
from slack_mcp.core.ids import ChannelId, ConnectionId
from slack_mcp.core.model import Access, Connection, ConnectionSettings, ToolPolicy
from slack_mcp.ports.identity import Principal, PrincipalKind
from slack_mcp.tools.admission import admit, find_tools
from slack_mcp.tools.needs import CHANNELS_HISTORY, Needs
from slack_mcp.tools.policy import check_write
from slack_mcp.tools.tool import Arguments, Result, Tool

CONN = ConnectionId("conn_a")


class Nothing(Arguments):
    pass


class Empty(Result):
    pass


async def run(*_: Any) -> Empty:
    return Empty()


def make_tool(name: str = "SLACK_X", **changes: Any) -> Tool[Nothing, Empty]:
    return Tool(name=name, title="X", description="X.", arguments=Nothing, result=Empty, run=run, **changes)


def make(policy: ToolPolicy | None = None, **changes: Any) -> Connection:
    base = make_connection(CONN)
    return replace(base, settings=ConnectionSettings(tools=policy or ToolPolicy()), **changes)


def caller(access: Access = Access.ADMIN, kind: PrincipalKind = PrincipalKind.API_KEY) -> Principal:
    return Principal(kind=kind, connection_id=CONN, subject="key:k", access=access)


READ, WRITE = make_tool("SLACK_READ"), make_tool("SLACK_WRITE", access=Access.WRITE)
USER_ONLY = make_tool("SLACK_SEARCH", needs=Needs(bot=None, user=("search:read",)))
EITHER = make_tool("SLACK_EITHER", needs=Needs(bot=("a:read",), user=("b:read",)))
HISTORY = make_tool("SLACK_HISTORY", needs=Needs(bot=(CHANNELS_HISTORY,)))
FOR_MESH = make_tool("MESH", is_for_apps=True)


@pytest.mark.parametrize(
    ("tool", "connection", "principal", "error"),
    [
        (READ, make(), caller(Access.READ), None),
        (WRITE, make(), caller(Access.READ), ForbiddenError),
        (WRITE, make(), caller(Access.WRITE), None),
        (READ, make(disabled=True), caller(), ForbiddenError),
        (WRITE, make(ToolPolicy(is_read_only=True)), caller(), ForbiddenError),
        (READ, make(ToolPolicy(is_read_only=True)), caller(), None),
        (READ, make(ToolPolicy(denied_tools=("SLACK_READ",))), caller(), ForbiddenError),
        (READ, make(ToolPolicy(allowed_tools=("SLACK_WRITE",))), caller(), ForbiddenError),
        (READ, make(ToolPolicy(allowed_tools=("SLACK_READ",), denied_tools=("SLACK_READ",))), caller(), ForbiddenError),
        (READ, make(ToolPolicy(allowed_tools=("SLACK_READ",))), caller(), None),
        (USER_ONLY, make(), caller(), UserTokenMissingError),
        (USER_ONLY, make(user_token="xoxp"), caller(), None),
        (USER_ONLY, make(user_token="xoxp", user_scopes=frozenset({"search:read"})), caller(), None),
        (USER_ONLY, make(user_token="xoxp", user_scopes=frozenset({"users:read"})), caller(), MissingScopeError),
        (EITHER, make(bot_scopes=frozenset({"a:read"})), caller(), None),
        (EITHER, make(bot_scopes=frozenset(), user_token="x", user_scopes=frozenset({"b:read"})), caller(), None),
        (EITHER, make(bot_scopes=frozenset()), caller(), MissingScopeError),
        (HISTORY, make(bot_scopes=frozenset({"im:history"})), caller(), None),
        (HISTORY, make(bot_scopes=frozenset({"im:read"})), caller(), MissingScopeError),
        (HISTORY, make(bot_scopes=None), caller(), None),
    ],
)
def test_a_call_is_let_through_or_told_why_not(
    tool: Tool[Any, Any], connection: Connection, principal: Principal, error: type[SlackMcpError] | None
) -> None:
    listed = find_tools([tool], principal, connection)
    if error is None:
        admit(tool, principal, connection)
        assert listed == (tool,)
        return
    with pytest.raises(error):
        admit(tool, principal, connection)
    assert listed == ()


def test_missing_scopes_are_named_with_their_alternatives() -> None:
    with pytest.raises(MissingScopeError, match="channels:history or groups:history or im:history or mpim:history"):
        admit(HISTORY, caller(), make(bot_scopes=frozenset()))
    with pytest.raises(UserTokenMissingError, match=r"user token .* with the scope search:read"):
        admit(USER_ONLY, caller(), make())


def test_a_connection_that_mesh_refuses_says_what_enables_it() -> None:
    admit(READ, caller(), make(mesh_refused_since_ms=1))
    with pytest.raises(ForbiddenError, match="save its configuration in Mesh"):
        admit(READ, caller(), make(mesh_refused_since_ms=1, disabled=True))


def test_tools_of_the_protocol_are_for_mesh_alone() -> None:
    tools = [READ, FOR_MESH]
    assert find_tools(tools, caller(kind=PrincipalKind.MESH), make()) == (READ, FOR_MESH)
    assert find_tools(tools, caller(), make()) == (READ,)
    assert find_tools(tools, caller(kind=PrincipalKind.MESH), None) == (FOR_MESH,)


def test_a_token_of_another_organization_opens_no_connection_that_it_names() -> None:
    theirs, ours = (replace(make_claims(CONN), organization_id=each) for each in ("org2", make().organization_id))
    stranger = replace(caller(kind=PrincipalKind.MESH), claims=theirs)
    assert find_tools([READ, FOR_MESH], stranger, make()) == (FOR_MESH,)
    with pytest.raises(ForbiddenError, match="another organization"):
        admit(READ, stranger, make())
    admit(READ, replace(stranger, claims=ours), make())


C1, C2 = ChannelId("C1"), ChannelId("C2")


@pytest.mark.parametrize(
    ("policy", "arguments", "may"),
    [
        (ToolPolicy(), {"channel": "C1"}, True),
        (ToolPolicy(), {}, True),
        (ToolPolicy(write_channels=(C1,)), {"channel": "C1"}, True),
        (ToolPolicy(write_channels=(C1,)), {"channel_id": "C1"}, True),
        (ToolPolicy(write_channels=(C1,)), {"channel": "C2"}, False),
        (ToolPolicy(write_channels=(C1,)), {"channel": "c1"}, False),
        (ToolPolicy(write_channels=(C1,)), {"usergroup": "S1"}, False),
        (ToolPolicy(denied_write_channels=(C2,)), {"channel": "C2"}, False),
        (ToolPolicy(denied_write_channels=(C2,)), {"channel": "C1"}, True),
        (ToolPolicy(denied_write_channels=(C2,)), {"file": "F1"}, True),
        (ToolPolicy(denied_write_channels=(C2,)), {"channel": "C1", "channel_id": "C2"}, False),
        (ToolPolicy(denied_write_channels=(C2,)), {"channel_ids": ["C1", "C2"]}, False),
        (ToolPolicy(denied_write_channels=(C2,)), {"channel": "C1", "channel_ids": ["C2"]}, False),
        (ToolPolicy(denied_write_channels=(C2,)), {"usergroup": "S1", "channels": "C1,C2"}, False),
        (ToolPolicy(denied_write_channels=(C2,)), {"usergroup": "S1", "channels": "C1"}, True),
        (ToolPolicy(write_channels=(C1,)), {"usergroup": "S1", "channels": "C1"}, False),
        (ToolPolicy(write_channels=(C2,), denied_write_channels=(C2,)), {"channel": "C2"}, False),
    ],
)
def test_a_write_goes_only_where_the_policy_lets_it(policy: ToolPolicy, arguments: dict[str, Any], may: bool) -> None:
    if may:
        check_write(policy, arguments)
        return
    with pytest.raises(ForbiddenError, match="policy does not let tools write to"):
        check_write(policy, arguments)
