"""Listing, showing and deleting files."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from toolbox import ANN, BOT, GENERAL, RANDOM, SECRET_CHANNEL, Toolbox, open_toolbox, parse_text

from slack_mcp.simulator.artifacts import File
from slack_mcp.tools.files import TOOLS

pytestmark = pytest.mark.anyio

LIST, INFO, DELETE = "SLACK_LIST_FILES", "SLACK_GET_FILE_INFO", "SLACK_DELETE_FILE"


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox(TOOLS) as toolbox:
        yield toolbox


def share(box: Toolbox, name: str, *, created_s: int = 1_700_000_000, channel: str = GENERAL) -> File:
    """Let Ann share a file, as of some time."""
    workspace = box.workspace()
    workspace.share_file(ANN, channel, name, b"content", text="look")
    file = list(workspace.shelf.files.values())[-1]
    file.created_s = created_s
    return file


async def test_a_file_is_one_line_with_names_beside_ids(box: Toolbox) -> None:
    file = share(box, "report.csv")
    text = await box.text(LIST)
    assert text == f"- {file.file_id} report.csv (text/csv, 7 B) by ann 2023-11-14 22:13Z in #general ({GENERAL})"
    assert file.file_id in await box.text(LIST, {"format": "csv"})
    told = await box.ok(LIST)
    assert parse_text(await box.text(LIST, {"format": "json"})) == told
    assert told["files"][0]["shares"][0]["ts"] == file.shares[0].ts
    assert "permalink" not in told["files"][0]
    assert "https://" in await box.text(LIST, {"include_permalinks": True})
    assert await box.text(LIST, {"channel": "#random"}) == "No files."


async def test_files_are_found_by_channel_person_kind_and_time(box: Toolbox) -> None:
    old = share(box, "old.png", created_s=1_600_000_000)
    new = share(box, "new.pdf", created_s=1_700_000_000, channel=RANDOM)
    share(box, "hidden.txt", channel=SECRET_CHANNEL)
    for arguments, expected in (
        ({}, [new, old]),
        ({"channel": "#general"}, [old]),
        ({"user_id": "@ann", "types": ["images", "pdfs"]}, [new, old]),
        ({"types": ["images"]}, [old]),
        ({"oldest": "2023-01-01"}, [new]),
        ({"latest": "2023-01-01"}, [old]),
        ({"user_id": BOT}, []),
    ):
        found = await box.ok(LIST, arguments)
        assert [each["id"] for each in found["files"]] == [each.file_id for each in expected], arguments


async def test_pages_stay_as_they_were_when_files_are_added(box: Toolbox) -> None:
    made = [share(box, f"{number}.txt", created_s=1_700_000_000 + number) for number in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    for number in range(3):
        # A limit of a later call does not move the pages either.
        page = await box.ok(LIST, {"limit": 2 if number == 0 else 50} | ({"cursor": cursor} if cursor else {}))
        seen += [each["id"] for each in page["files"]]
        share(box, f"late-{number}.txt", created_s=1_700_001_000 + number)
        cursor = page.get("next_cursor")
    assert cursor is None
    assert seen == [each.file_id for each in reversed(made)]


async def test_a_page_ends_where_the_tokens_do(box: Toolbox) -> None:
    for number in range(12):
        share(box, f"{'long-' * 20}{number}.txt", created_s=1_700_000_000 + number)
    first = await box.ok(LIST, {"max_tokens": 200, "limit": 10})
    assert 0 < len(first["files"]) < 10
    seen = len(first["files"])
    cursor = first["next_cursor"]
    while cursor:
        page = await box.ok(LIST, {"max_tokens": 200, "limit": 10, "cursor": cursor})
        seen += len(page["files"])
        cursor = page.get("next_cursor")
    assert seen == 12


async def test_bad_arguments_are_named(box: Toolbox) -> None:
    for cursor in ("x", "WyIxIiwwXQ", "WyI5OTk5OTo5Ojk5OTk5OTk5OTk5OTk5OTk5IiwwXQ", "WzEsMF0"):
        assert "next_cursor" in await box.error(LIST, {"cursor": cursor})
    bad: list[dict[str, Any]] = [{"limit": "5"}, {"limit": 0}, {"limit": 201}, {"types": []}, {"types": ["all"]}]
    for arguments in [*bad, {"channel": ""}, {"oldest": "soon"}]:
        assert next(iter(arguments)) in await box.error(LIST, arguments)
    assert box.methods() == []


async def test_a_files_data_says_which_messages_show_it(box: Toolbox) -> None:
    file = share(box, "a b.txt")
    told = (await box.ok(INFO, {"file_id": file.file_id}))["file"]
    assert told["name"] == "a b.txt"
    assert told["shares"] == [{"channel": GENERAL, "channel_name": "general", "ts": file.shares[0].ts}]
    assert f"shown by {file.shares[0].ts} in {GENERAL}" in await box.text(INFO, {"file_id": file.file_id})
    link = f"https://simulated.slack.com/files/{ANN}/{file.file_id}/a_b.txt"
    linked = (await box.ok(INFO, {"file_id": link, "include_permalink": True}))["file"]
    assert linked["id"] == file.file_id
    assert "permalink" in linked
    assert "no such file" in await box.error(INFO, {"file_id": "F0000000"})


async def test_a_file_of_the_bots_own_is_deleted_once(box: Toolbox) -> None:
    shelf = box.workspace().shelf
    own = shelf.add(name="own.txt", content=b"x", user_id=BOT, created_s=1)
    assert await box.ok(DELETE, {"file_id": own.file_id}) == {"file_id": own.file_id, "changed": True}
    assert own.file_id not in shelf.files
    assert (await box.ok(DELETE, {"file_id": own.file_id}))["changed"] is False
    assert (await box.audited())[0].target == own.file_id
    foreign = share(box, "anns.txt")
    assert "only delete files that it uploaded" in await box.error(DELETE, {"file_id": foreign.file_id})
    assert foreign.file_id in shelf.files
    assert (await box.audited())[0].result == "slack_refused"
