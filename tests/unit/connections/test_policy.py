import pytest

from slack_mcp.connections.policy import check_tool_names
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.model import ToolPolicy

KNOWN = {"SLACK_SEND_MESSAGE", "SLACK_DELETE_MESSAGE"}


def test_a_policy_may_name_the_tools_there_are() -> None:
    check_tool_names(ToolPolicy(allowed_tools=("SLACK_SEND_MESSAGE",), denied_tools=("SLACK_DELETE_MESSAGE",)), KNOWN)
    check_tool_names(ToolPolicy(), KNOWN)


def test_a_misspelt_denial_is_refused_with_what_was_meant() -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_tool_names(ToolPolicy(allowed_tools=("zzz",), denied_tools=("SLACK_DELETE_MESAGE",)), KNOWN)
    assert str(caught.value) == (
        "Nothing was saved. There is no tool 'zzz'. There is no tool 'SLACK_DELETE_MESAGE'; SLACK_DELETE_MESSAGE may "
        "be meant."
    )
