import ast
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from doc_pages import ROOT, load_page, load_pages, read_tables

from slack_mcp.bot.addressed import SkipReason
from slack_mcp.bot.turn import AGENT_NOT_CONFIGURED, ANSWERED, NOTHING_TO_READ, STOPPED
from slack_mcp.cli.reasons import DONE, SKIPPED, Reason
from slack_mcp.connections.revoked import DISCONNECTED, USER_TOKEN_FORGOTTEN
from slack_mcp.core import errors
from slack_mcp.core.errors import DeliveryError, SlackMcpError
from slack_mcp.ports.operations import DISCARDED
from slack_mcp.store.migrate import Migrations
from slack_mcp.store.url import parse_database_url
from slack_mcp.surfaces.stops import NOTHING_TO_STOP
from slack_mcp.surfaces.stops import STOPPED as STOPPED_BY_CLICK
from slack_mcp.triggers.deliver import DELIVERED
from slack_mcp.web.problems import get_status

SOURCES = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "src/slack_mcp").rglob("*.py"))]


def list_classes(root: type[SlackMcpError] = SlackMcpError) -> Iterator[type[SlackMcpError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from list_classes(kind)


def list_raised() -> set[str]:
    """Return the names of the classes that the code makes, wherever it does."""
    calls = (node for source in SOURCES for node in ast.walk(source) if isinstance(node, ast.Call))
    return {call.func.id for call in calls if isinstance(call.func, ast.Name)}


def list_codes() -> set[str]:
    raised = list_raised()
    return {kind.code for kind in list_classes() if not kind.__subclasses__() or kind.__name__ in raised}


CLASSES = {kind.code: kind for kind in list_classes()}


def read_codes(section: str) -> dict[str, list[str]]:
    """Return the other cells of a table's rows by the code in the first."""
    rows = read_tables(load_page("docs/troubleshooting.md").get_section(section))
    return {cells[0].strip("`"): cells[1:] for cells in rows}


@pytest.mark.parametrize("code", sorted(list_codes()))
def test_every_error_code_has_its_line(code: str) -> None:
    assert f"| `{code}` |" in load_page("docs/troubleshooting.md").prose


def test_every_refusal_of_a_delivery_is_told_with_its_status() -> None:
    table = read_codes("Refused deliveries")
    assert {kind.code for kind in list_classes(DeliveryError)} < set(table)
    statuses = {code: int(cells[0]) for code, cells in table.items() if code != "method_not_allowed"}
    assert statuses == {code: get_status(CLASSES[code].__new__(CLASSES[code])) for code in statuses}


def test_whether_a_code_is_tried_again_is_what_the_class_says() -> None:
    table = read_codes("Waiting and dead events")
    told = {code: cells[0] == "yes" for code, cells in table.items() if code != errors.LeaseLostError.code}
    assert told == {code: CLASSES[code].retryable for code in told}
    kinds = (errors.SlackApiError, errors.AgentError, errors.StoreError)
    starting = {errors.MigrationFailedError.code}
    assert {each.code for kind in kinds for each in list_classes(kind)} - starting <= set(table)


def list_skip_reasons() -> set[str]:
    """Return the members of SkipReason, and the constants that the code makes outcomes of."""
    reasons = {str(reason) for reason in SkipReason} | {"same_message", DISCARDED}
    for node in (each for source in SOURCES for each in ast.walk(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Outcome"):
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        state, reason = given.get("state"), given.get("reason")
        if isinstance(state, ast.Attribute) and state.attr == "SKIPPED" and isinstance(reason, ast.Constant):
            reasons.add(str(reason.value))
    return reasons


def test_every_reason_to_skip_has_its_line() -> None:
    reasons = list_skip_reasons() - (read_words_of_forms_and_surfaces() - set(read_codes("Skipped events")))
    assert {"connection_removed", "connection_disabled"} <= reasons
    assert set(read_codes("Skipped events")) == reasons | {AGENT_NOT_CONFIGURED, errors.MalformedBodyError.code}


def read_words_of_forms_and_surfaces() -> set[str]:
    """Return the words for what became of commands, clicks, and the events of the assistant's surfaces."""
    sections = (
        load_page("docs/interactivity.md").get_section("How a request is taken"),
        load_page("docs/bot.md").get_section("The assistant's surfaces"),
    )
    rows = [cells for section in sections for cells in read_tables(section) if cells[0] in {"done", "skipped"}]
    return {word for _, words, _ in rows for word in re.findall(r"`(\w+)`", words)}


def list_words_of_forms_and_surfaces() -> set[str]:
    """Return the words that these rooms end their work with."""
    files = (file for room in ("interactions", "surfaces") for file in (ROOT / "src/slack_mcp" / room).glob("*.py"))
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    words = {word for node in nodes for word in read_word(node)}
    return words | {STOPPED_BY_CLICK, NOTHING_TO_STOP, *(f"command_{verb}" for verb in ("status", "reset"))}


def read_word(node: ast.AST) -> Iterator[str]:
    """Yield the word of an outcome, if the node makes one."""
    found: list[ast.expr | None] = []
    if isinstance(node, ast.Return):
        found = [node.value]
    elif isinstance(node, ast.Call):
        found = [each.value for each in node.keywords if each.arg in {"reason", "skip_reason"}]
        if isinstance(node.func, ast.Name) and node.func.id == "_skip":
            found += node.args
    for each in found:
        if (
            isinstance(each, ast.Constant)
            and isinstance(each.value, str)
            and re.fullmatch(r"[a-z]+_[a-z_]+", each.value)
        ):
            yield each.value


def test_every_word_for_forms_and_surfaces_is_told() -> None:
    words = list_words_of_forms_and_surfaces()
    assert {"form_opened", "home_published", "asked_about_message"} <= words
    assert words - read_words_of_forms_and_surfaces() - set(SKIPPED) == set()


def test_every_way_to_be_done_has_its_line() -> None:
    ways = {ANSWERED, STOPPED, AGENT_NOT_CONFIGURED, NOTHING_TO_READ, DELIVERED, DISCONNECTED, USER_TOKEN_FORGOTTEN}
    assert set(read_codes("Done events")) == ways


@pytest.mark.parametrize(("section", "reasons"), [("Skipped events", SKIPPED), ("Done events", DONE)])
def test_the_page_and_the_command_explain_a_word_alike(section: str, reasons: Mapping[str, Reason]) -> None:
    told = {word: Reason(*map(strip_links, cells)) for word, cells in read_codes(section).items()}
    assert told == reasons


def strip_links(cell: str) -> str:
    """Return what a cell says without saying where more is said."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cell)


def list_log_events() -> set[str]:
    texts = (node.value for source in SOURCES for node in ast.walk(source) if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str) and re.fullmatch(r"[a-z]+\.[a-z_]+", text)}


def test_every_log_line_that_a_page_names_is_written() -> None:
    nouns = {event.partition(".")[0] for event in list_log_events()} - {"chat", "message", "auth", "slack"}
    named = {
        span
        for page in load_pages()
        for span in page.spans
        if re.fullmatch(r"[a-z]+\.[a-z_]+", span) and span.partition(".")[0] in nouns and not span.endswith(".py")
    }
    assert {"delivery.refused", "lane.lost", "turn.finished"} <= named
    assert named - list_log_events() == set()


@pytest.mark.anyio
async def test_every_query_that_a_page_shows_runs(tmp_path: Path) -> None:
    path = tmp_path / "slack.db"
    await Migrations(parse_database_url(f"sqlite:{path}", data_dir=tmp_path)).up()
    queries = [block.text for page in load_pages() for block in page.blocks if block.language == "sql"]
    assert queries
    connection = sqlite3.connect(path)
    try:
        for query in queries:
            assert connection.execute(query).fetchall() == []
    finally:
        connection.close()
