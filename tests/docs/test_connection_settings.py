import json
from typing import Any

import pytest
from doc_pages import load_page, read_tables

from slack_mcp.bot.limits import BOT, BOT_IN_THREAD
from slack_mcp.connections.choices import render_choices
from slack_mcp.connections.form import render_choices_schema
from slack_mcp.core.model import ConnectionSettings

PAGE = load_page("docs/connections.md")
DEFAULTS = render_choices(ConnectionSettings())


def list_defaults() -> dict[str, Any]:
    """Return the default of every key, those of a section among them."""
    flat: dict[str, Any] = {}
    for key, value in DEFAULTS.items():
        flat |= value if isinstance(value, dict) else {key: value}
    return flat


def render_default(value: Any) -> str:
    if value is None:
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def test_every_key_is_told_with_its_default() -> None:
    told = {cells[0].strip("`"): cells[2] for cells in read_tables(PAGE.get_section("Sections"))}
    assert told == {key: render_default(value) for key, value in list_defaults().items()}


@pytest.mark.parametrize("section", [key for key, value in DEFAULTS.items() if isinstance(value, dict)])
def test_every_section_is_introduced(section: str) -> None:
    assert f"`{section}`: " in PAGE.prose
    assert section in render_choices_schema()


def test_how_often_bots_are_answered_is_what_the_page_says() -> None:
    assert f"{BOT_IN_THREAD.capacity} times in a thread and {BOT.capacity} times in\n  all within an hour" in PAGE.prose
    assert all(rate.capacity == pytest.approx(rate.per_s * 3600) for rate in (BOT, BOT_IN_THREAD))
