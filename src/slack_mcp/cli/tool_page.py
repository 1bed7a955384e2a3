"""docs/tools.md, out of the registry."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from slack_mcp.tools.registry import TOOLS
from slack_mcp.tools.tool import Tool

INTRODUCTION: Final = """\
# Tools

<!-- Made by `make docs`; a test compares it with the code. -->

Every tool of the MCP server, in the order of `tools/list`. A connection lists those that its tokens' scopes and its
policy allow, and a caller those that its access allows. Channels may be given as an id, `#name` or a link, people as an
id, `@name` or an e-mail. *Reads* changes nothing; *writes* adds something; *destructive* cannot be taken back.
"""


def render_tools_page() -> str:
    """Return docs/tools.md."""
    lines = [INTRODUCTION, "| Tool | Kind | Needs |", "|---|---|---|"]
    lines += [
        f"| [`{tool.name}`](#{tool.name.lower()}) | {_render_kind(tool)} | {_render_needs(tool)} |" for tool in TOOLS
    ]
    return "\n".join([*lines, "", *(line for tool in TOOLS for line in _section(tool))])


def _section(tool: Tool[Any, Any]) -> Iterator[str]:
    schema = tool.describe().input_schema
    yield f"## {tool.name}\n"
    yield f"{tool.title}. {_escape(tool.description)}\n"
    properties: Mapping[str, Any] = schema.get("properties", {})
    if properties:
        yield "| Argument | Type | Default | Meaning |"
        yield "|---|---|---|---|"
        required = schema.get("required", ())
        for name, field in properties.items():
            default = "required" if name in required else _render_default(field.get("default"))
            meaning = _escape(str(field.get("description", ""))).replace("|", "&#124;")
            yield f"| `{name}` | {_render_type(field)} | {default} | {meaning} |"
        yield ""


def _render_kind(tool: Tool[Any, Any]) -> str:
    if tool.is_for_apps:
        return "for Mesh"
    if tool.is_read_only:
        return "reads"
    return "destructive" if tool.is_destructive else "writes"


def _render_needs(tool: Tool[Any, Any]) -> str:
    sides = [
        (label, needed)
        for label, needed in (("", tool.needs.bot), (" (user token)", tool.needs.user))
        if needed is not None
    ]
    texts = [
        ", ".join(f"`{each}`" if isinstance(each, str) else " or ".join(f"`{one}`" for one in each) for each in needed)
        + label
        for label, needed in sides
        if needed
    ]
    return "; or ".join(texts) or "any token"


def _render_type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(_render_type(each) for each in field["anyOf"] if each.get("type") != "null")
    if field.get("type") == "array":
        return f"list of {_render_type(field.get('items', {}))}"
    return str(field.get("type", "object"))


def _render_default(value: object) -> str:
    if value is None:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _escape(text: str) -> str:
    """Return text whose brackets make no link of the page."""
    return text.replace("](", "]\\(")
