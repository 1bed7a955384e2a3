"""Uploading files."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from toolbox import ANN, BOT, GENERAL, SECRET_CHANNEL, Toolbox, open_toolbox

from slack_mcp.simulator.faults import Fault
from slack_mcp.simulator.model import Message
from slack_mcp.tools.uploads import TOOLS

pytestmark = pytest.mark.anyio

UPLOAD = "SLACK_UPLOAD_FILE"
TEXT: dict[str, Any] = {"filename": "a.txt", "content": "héllo"}


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox(TOOLS) as toolbox:
        yield toolbox


def posted(box: Toolbox, channel: str = GENERAL) -> list[Message]:
    return list(box.workspace().channels[channel].messages.values())


async def test_a_text_is_shown_in_a_channel_with_a_comment(box: Toolbox) -> None:
    told = await box.ok(UPLOAD, TEXT | {"channel": "#general", "initial_comment": "*look*", "title": "Title"})
    (message,) = posted(box)
    assert told == {"file_id": message.files[0]["id"], "channel": GENERAL, "ts": message.ts}
    assert (message.text, message.user_id) == ("*look*", BOT)
    file = box.workspace().shelf.files[told["file_id"]]
    assert (file.content, file.name, file.title) == ("héllo".encode(), "a.txt", "Title")
    entry = (await box.audited())[0]
    assert (entry.target, entry.result) == (f"{told['file_id']} {GENERAL}", "ok")
    assert "llo" not in str(entry)


async def test_bytes_are_shown_in_a_thread(box: Toolbox) -> None:
    root = box.workspace().say(ANN, GENERAL, "root").message
    content = bytes(range(256))
    encoded = base64.encodebytes(content).decode()  # with line ends, as many tools write it
    told = await box.ok(
        UPLOAD,
        {
            "filename": "a.bin",
            "content_base64": encoded,
            "channel": GENERAL,
            "thread_ts": root.ts,
            "alt_text": "noise",
        },
    )
    assert posted(box)[-1].thread_ts == root.ts
    file = box.workspace().shelf.files[told["file_id"]]
    assert (file.content, file.alt_txt) == (content, "noise")


async def test_a_person_is_shown_it_in_their_direct_message(box: Toolbox) -> None:
    told = await box.ok(UPLOAD, TEXT | {"channel": "@ann"})
    assert told["channel"].startswith("D")
    assert len(posted(box, told["channel"])) == 1


async def test_without_a_channel_it_is_the_bots_alone(box: Toolbox) -> None:
    told = await box.ok(UPLOAD, TEXT)
    assert set(told) == {"file_id"}
    assert box.workspace().shelf.files[told["file_id"]].shares == []


async def test_a_syntax_makes_a_snippet_and_one_that_slack_does_not_know_makes_a_file(box: Toolbox) -> None:
    snippet = await box.ok(UPLOAD, TEXT | {"filetype": "python"})
    assert box.workspace().shelf.files[snippet["file_id"]].mode == "snippet"
    box.simulator.faults.add(Fault(method="files.getUploadURLExternal", error="unknown_snippet_type"))
    file = await box.ok(UPLOAD, TEXT | {"filetype": "txt"})
    assert box.workspace().shelf.files[file["file_id"]].mode == "hosted"
    large = await box.ok(UPLOAD, {"filename": "a.sql", "content": "x" * 1_100_000, "filetype": "sql"})
    assert box.workspace().shelf.files[large["file_id"]].mode == "hosted"


@pytest.mark.parametrize("error", ["missing_scope", "file_not_found", "internal_error"])
async def test_the_ts_is_left_out_where_slack_does_not_tell_it(box: Toolbox, error: str) -> None:
    box.simulator.faults.add(Fault(method="files.info", error=error))
    assert set(await box.ok(UPLOAD, TEXT | {"channel": GENERAL})) == {"file_id", "channel"}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"filename": "a.txt"}, "either content"),
    (TEXT | {"content_base64": "YQ=="}, "either content"),
    ({"filename": "a.txt", "content": ""}, "content"),
    ({"filename": "a.txt", "content_base64": "not base64!"}, "not base64"),
    ({"filename": "a.txt", "content_base64": "  "}, "no empty file"),
    ({"filename": "a.bin", "content_base64": "YQ==", "filetype": "python"}, "filetype"),
    ({"content": "a"}, "filename is required"),
    ({"filename": "../etc/passwd", "content": "a"}, "filename"),
    ({"filename": "a\nb", "content": "a"}, "filename"),
    ({"filename": "x" * 256, "content": "a"}, "filename"),
    ({"filename": 1, "content": "a"}, "filename"),
    (TEXT | {"initial_comment": "hi"}, "need a channel"),
    (TEXT | {"thread_ts": "1700000000.000100"}, "need a channel"),
    (TEXT | {"channel": GENERAL, "thread_ts": "yesterday"}, "thread_ts"),
    (TEXT | {"channel": "#nowhere"}, "no channel '#nowhere'"),
    (TEXT | {"channel": GENERAL, "initial_comment": "<!channel> look"}, "allow_broadcast"),
    (TEXT | {"channel": GENERAL, "initial_comment": "see https://x.example/?q=secret"}, "unfurl_links"),
    (TEXT | {"channel": GENERAL, "initial_comment": "see x.example/?q=secret"}, "unfurl_links"),
    (TEXT | {"channel": GENERAL, "initial_comment": "<http://x.example|here>"}, "unfurl_links"),
]


async def test_bad_arguments_are_named_and_nothing_is_sent(box: Toolbox) -> None:
    for arguments, expected in BAD:
        assert expected in await box.error(UPLOAD, arguments), arguments
    assert not box.workspace().shelf.files
    assert set(box.methods()) <= {"conversations.list"}
    assert all(entry.target is None for entry in await box.audited())


async def test_broadcasts_and_links_are_let_through_when_they_are_meant(box: Toolbox) -> None:
    comment = {"initial_comment": "<!here> https://x.example", "allow_broadcast": True, "unfurl_links": True}
    await box.ok(UPLOAD, TEXT | {"channel": GENERAL} | comment)
    for harmless in ("see README.md, v1.2/beta and/or e.g./i.e.", "done.", "what.is this?"):
        await box.ok(UPLOAD, TEXT | {"channel": GENERAL, "initial_comment": harmless})
    assert len(posted(box)) == 4


async def test_a_channel_without_the_bot_is_refused_with_what_to_do(box: Toolbox) -> None:
    text = await box.error(UPLOAD, TEXT | {"channel": SECRET_CHANNEL})
    assert "SLACK_LIST_CHANNELS" in text
    assert not box.workspace().shelf.files
    assert (await box.audited())[0].result == "slack_refused"


async def test_what_slack_does_not_take_is_an_error(box: Toolbox) -> None:
    box.simulator.faults.add(Fault(method="files.getUploadURLExternal", error="file_uploads_disabled"))
    assert "takes no files" in await box.error(UPLOAD, TEXT)
    box.simulator.faults.add(Fault(method="files.completeUploadExternal", status=503))
    assert "Whether the call took effect is unknown" in await box.error(UPLOAD, TEXT)
    # The file may be there: its id is in the audit.
    assert (await box.audited())[0].target.startswith("F")  # type: ignore[union-attr]
