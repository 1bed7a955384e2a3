"""Reading files."""

import base64
from collections.abc import AsyncIterator

import pytest
from mcp import types
from toolbox import ANN, BOT, GENERAL, SECRET_CHANNEL, Toolbox, open_toolbox

from slack_mcp.simulator.artifacts import File
from slack_mcp.tools.downloads import MAX_BINARY_BYTES, MAX_IMAGE_BYTES, TOOLS

pytestmark = pytest.mark.anyio

DOWNLOAD = "SLACK_DOWNLOAD_FILE"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox(TOOLS) as toolbox:
        yield toolbox


def share(box: Toolbox, name: str, content: bytes, *, mimetype: str = "", channel: str = GENERAL) -> File:
    workspace = box.workspace()
    workspace.share_file(ANN, channel, name, content, mimetype=mimetype)
    return list(workspace.shelf.files.values())[-1]


async def test_a_text_is_read_as_text(box: Toolbox) -> None:
    file = share(box, "a.txt", "héllo\nworld".encode())
    told = await box.ok(DOWNLOAD, {"file_id": file.file_id})
    assert told == {
        "file_id": file.file_id,
        "name": "a.txt",
        "mimetype": "text/plain",
        "size": 12,
        "kind": "text",
        "text": "héllo\nworld",
    }
    assert await box.text(DOWNLOAD, {"file_id": file.file_id}) == "a.txt (text/plain, 12 B)\n\nhéllo\nworld"
    assert box.methods() == ["files.info", "files.info"]


async def test_a_long_text_is_read_page_by_page_and_nothing_twice(box: Toolbox) -> None:
    text = "\n".join(f"line {number} ü" for number in range(500))
    file = share(box, "a.txt", text.encode())
    read, cursor, pages = "", None, 0
    while cursor is not None or pages == 0:
        page = await box.ok(
            DOWNLOAD, {"file_id": file.file_id, "max_tokens": 500} | ({"cursor": cursor} if cursor else {})
        )
        assert len(page["text"].encode()) <= 2_000
        assert page["text"].endswith("\n") or "next_cursor" not in page
        read, cursor, pages = read + page["text"], page.get("next_cursor"), pages + 1
    assert read == text
    assert pages > 2


async def test_a_text_without_lines_is_cut_between_characters(box: Toolbox) -> None:
    text = "ü" * 1_500
    file = share(box, "a.txt", text.encode())
    first = await box.ok(DOWNLOAD, {"file_id": file.file_id, "max_tokens": 250})
    rest = await box.ok(DOWNLOAD, {"file_id": file.file_id, "cursor": first["next_cursor"]})
    assert first["text"] + rest["text"] == text


async def test_a_cursor_is_no_good_once_the_text_has_changed(box: Toolbox) -> None:
    file = share(box, "a.txt", b"x\n" * 1_000)
    cursor = (await box.ok(DOWNLOAD, {"file_id": file.file_id, "max_tokens": 200}))["next_cursor"]
    file.content = b"y" + file.content
    for bad in (cursor, "x", "W251bGwsNV0"):
        text = await box.error(DOWNLOAD, {"file_id": file.file_id, "cursor": bad})
        assert "begin" in text


async def test_an_image_is_shown_as_one(box: Toolbox) -> None:
    # What it calls itself does not count.
    file = share(box, "photo.jpg", PNG)
    result = await box.call(DOWNLOAD, {"file_id": file.file_id})
    text, image = result.content
    assert isinstance(text, types.TextContent)
    assert text.text == "photo.jpg (image/png, 108 B)"
    assert isinstance(image, types.ImageContent)
    assert (base64.b64decode(image.data), image.mime_type) == (PNG, "image/png")
    assert result.structured_content is not None
    assert set(result.structured_content) == {"file_id", "name", "mimetype", "size", "kind"}


async def test_what_only_calls_itself_an_image_is_none(box: Toolbox) -> None:
    file = share(box, "photo.png", b"<svg></svg>", mimetype="image/png")
    assert (await box.ok(DOWNLOAD, {"file_id": file.file_id}))["kind"] == "text"


async def test_other_files_come_as_bytes_when_they_are_small(box: Toolbox) -> None:
    file = share(box, "a.zip", b"PK\0\3")
    text, blob = (await box.call(DOWNLOAD, {"file_id": file.file_id})).content
    assert isinstance(text, types.TextContent)
    assert isinstance(blob, types.EmbeddedResource)
    assert isinstance(blob.resource, types.BlobResourceContents)
    assert base64.b64decode(blob.resource.blob) == b"PK\0\3"
    assert str(blob.resource.uri) == f"slack://T_conn_acme/file/{file.file_id}"
    assert blob.resource.mime_type == "application/zip"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\0" * (MAX_BINARY_BYTES + 1), "1000000 of its kind"),
        (PNG + b"0" * MAX_IMAGE_BYTES, "3500000 of its kind"),
        (b"x" * 10_000_001, "at most 10000000"),
    ],
)
async def test_what_is_too_large_is_refused(box: Toolbox, content: bytes, expected: str) -> None:
    file = share(box, "a.bin", content)
    assert expected in await box.error(DOWNLOAD, {"file_id": file.file_id})


async def test_a_canvas_is_read_as_markdown(box: Toolbox) -> None:
    file = box.workspace().shelf.add(
        name="Plan",
        content=b"<h1 id='temp:C:1'>Plan</h1><ul id='temp:C:2'><li>a &amp; b</li></ul>",
        user_id=BOT,
        created_s=1,
        mimetype="application/vnd.slack-docs",
        filetype="quip",
    )
    told = await box.ok(DOWNLOAD, {"file_id": file.file_id})
    assert (told["text"], told["mimetype"]) == ("# Plan\n\n- a & b", "text/markdown")


async def test_what_cannot_be_read_says_what_to_do_instead(box: Toolbox) -> None:
    table = box.workspace().shelf.add(name="t", content=b"", user_id=BOT, created_s=1, filetype="list")
    assert "SLACK_LIST_LIST_ITEMS" in await box.error(DOWNLOAD, {"file_id": table.file_id})
    assert "no such file" in await box.error(DOWNLOAD, {"file_id": "F0000000"})
    hidden = share(box, "a.txt", b"x", channel=SECRET_CHANNEL)
    assert "no such file" in await box.error(DOWNLOAD, {"file_id": hidden.file_id})


async def test_a_page_that_asks_to_sign_in_is_no_file(box: Toolbox) -> None:
    file = share(box, "a.txt", b"x")
    file.redirect_to = "/files-pri/unknown/a.txt"
    assert "files:read" in await box.error(DOWNLOAD, {"file_id": file.file_id})
    file.redirect_to = "https://evil.example/steal"
    assert "kept by Slack" in await box.error(DOWNLOAD, {"file_id": file.file_id})


async def test_a_page_in_place_of_a_file_that_is_none_is_no_file(box: Toolbox) -> None:
    page = share(box, "page.html", b"<!DOCTYPE html><p>Our page")
    assert (await box.ok(DOWNLOAD, {"file_id": page.file_id}))["text"] == "<!DOCTYPE html><p>Our page"
    file = share(box, "a.csv", b"x")
    file.redirect_to = f"/files-pri/T_conn_acme-{page.file_id}/page.html"
    assert "sign in" in await box.error(DOWNLOAD, {"file_id": file.file_id})
