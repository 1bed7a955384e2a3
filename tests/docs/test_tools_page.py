from doc_pages import ROOT

from slack_mcp.cli.tool_page import render_tools_page
from slack_mcp.tools.registry import TOOLS


def test_the_page_of_tools_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "tools.md").read_text(encoding="utf-8") == render_tools_page(), "run `make docs`"


def test_every_tool_has_its_section() -> None:
    page = render_tools_page()
    assert [tool.name for tool in TOOLS if f"\n## {tool.name}\n" not in page] == []
