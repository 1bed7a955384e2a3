"""`slack-mcp docs …`: pages that are made from the code."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

cli = typer.Typer(help="Print documentation that is made from the code.", no_args_is_help=True)

INTRODUCTION = """\
# Settings

<!-- Made by `make docs`; a test compares it with the code. -->

Settings come from the environment, and from a `.env` file in the working directory for what the environment does not
set. An empty value counts as unset. All mistakes are reported at once, with exit code 2; `slack-mcp check-settings`
looks without starting anything.

A setting marked *secret* may also be given as `NAME_FILE`, the path of a file that holds it (one line break at its end
is cut). Giving both is a mistake, and so is a `SLACK_MCP_…` name that is not in this list. Secrets are never printed.
"""


@cli.callback()
def root() -> None:
    """Print documentation that is made from the code."""


@cli.command()
def settings() -> None:
    """Print docs/settings.md."""
    typer.echo(render_settings_page(), nl=False)


@cli.command()
def tools() -> None:
    """Print docs/tools.md."""
    from slack_mcp.cli.tool_page import render_tools_page

    typer.echo(render_tools_page(), nl=False)


def render_settings_page() -> str:
    """Return docs/settings.md."""
    from slack_mcp.settings import Settings
    from slack_mcp.settings.kinds import get_extra

    sections: dict[str, list[FieldInfo]] = {}
    for field in Settings.model_fields.values():
        sections.setdefault(str(get_extra(field)["section"]), []).append(field)
    return "\n".join([INTRODUCTION, *(line for title, fields in sections.items() for line in _section(title, fields))])


def _section(title: str, fields: list["FieldInfo"]) -> Iterator[str]:
    """Yield the lines of one table."""
    yield f"## {title}\n"
    yield "| Name | Default | Unit | Must be | What it does |"
    yield "|---|---|---|---|---|"
    yield from (_row(field) for field in fields)
    yield ""


def _row(field: "FieldInfo") -> str:
    """Return one setting's line."""
    from slack_mcp.settings.kinds import get_extra, get_name, is_secret, render_expected

    description = str(field.description) + (" *Secret.*" if is_secret(field) else "")
    cells = (
        f"`{get_name(field)}`",
        _render_default(field.default),
        str(get_extra(field)["unit"]),
        render_expected(field),
        description,
    )
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _render_default(value: object) -> str:
    """Return a default as one would write it."""
    if value is None or value == ():
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`" if value < 1e6 else f"`{value:.0f}`"  # noqa: PLR2004 - where %g turns to exponents
    return f"`{value}`"
