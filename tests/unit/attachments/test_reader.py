"""What can be told of a file without opening it."""

from typing import Any

import anyio
import pytest
from attachment_fakes import MP3, FakeTranscriber, FakeWeb, attach
from directory_fake import make_connection
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.attachments.reader import MAX_FILES, MAX_TEXT_BYTES, FileReader
from slack_mcp.attachments.sandbox import Sandbox
from slack_mcp.core.errors import (
    AgentNotConfiguredError,
    AgentUnavailableError,
    InvalidInputError,
    MeshUnavailableError,
    SlackMcpError,
    SlackRefusedError,
    StoreUnavailableError,
    TokenRevokedError,
)
from slack_mcp.ports.attachments import FileKind, ReadFiles, Transcriber
from slack_mcp.ports.slack import SlackFile

CONNECTION = make_connection()
MAX_BYTES = 3_000_000


def make_reader(web: FakeWeb, *transcribers: Transcriber, timeout_s: float = 60.0) -> FileReader:
    return FileReader(
        webs=web, sandbox=Sandbox(), transcribers=transcribers, max_file_bytes=MAX_BYTES, timeout_s=timeout_s
    )


async def read(web: FakeWeb, *files: dict[str, Any], language: str = "en") -> ReadFiles:
    return await make_reader(web).read(CONNECTION, files, language=language)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("content", "mimetype", "text"),
    [
        (b"canary", "text/plain", "canary"),
        ("ação".encode(), "", "ação"),
        ("ação".encode("utf-16"), "", "ação"),
        ("ação".encode("cp1252"), "text/plain", "ação"),
        (b"\xef\xbb\xbfx = 1\n", "text/x-python", "x = 1\n"),
        (b"a = '%PDF-'", "", "a = '%PDF-'"),
    ],
)
async def test_a_text_is_read_in_whatever_encoding_it_has(content: bytes, mimetype: str, text: str) -> None:
    web = FakeWeb()
    found = await read(web, attach(web, content, name="a.txt", mimetype=mimetype))
    assert found.notes == ()
    (said,) = found.texts
    assert (said.name, said.kind, said.text, said.is_cut) == ("a.txt", FileKind.TEXT, text, False)


@pytest.mark.anyio
@pytest.mark.parametrize("content", [b"\0\1\2\3" * 50, b"\xff\xfa\x80 " * 20, b"\x01\x02\x03\x04 text" * 20])
async def test_what_is_no_text_and_nothing_else_is_refused_in_one_line(content: bytes) -> None:
    web = FakeWeb()
    found = await read(web, attach(web, content, name="core"))
    assert found.texts == ()
    assert found.notes == ("I cannot read `core`: I do not know this kind of file.",)


@pytest.mark.anyio
async def test_an_empty_file_is_said_to_be_empty() -> None:
    web = FakeWeb()
    found = await read(web, attach(web, b"", name="a.txt"), language="pt-BR")
    assert found.notes == ("Não há nada em `a.txt` que eu consiga ler.",)


@pytest.mark.anyio
async def test_all_texts_together_have_one_limit_and_are_cut_with_a_note() -> None:
    web = FakeWeb()
    files = [attach(web, b"a" * 400_000, name="a"), attach(web, "é".encode() * 400_000, name="b"), attach(web, b"c")]
    found = await read(web, *files)
    assert [(len(each.text.encode()), each.is_cut) for each in found.texts] == [(400_000, False), (100_000, True)]
    assert set(found.texts[1].text) == {"é"}
    assert found.notes == ("I read only a part of `b`.", "I read only a part of `a.bin`.")


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_a_long_text_is_cut_between_characters(encoding: str) -> None:
    web = FakeWeb()
    found = await read(web, attach(web, ("x" + "汉" * 700_000).encode(encoding)))
    (said,) = found.texts
    assert said.is_cut
    assert MAX_TEXT_BYTES - 3 < len(said.text.encode()) <= MAX_TEXT_BYTES
    assert set(said.text) == {"x", "汉"}


@pytest.mark.anyio
async def test_what_is_too_large_by_its_own_word_is_not_even_fetched() -> None:
    web = FakeWeb()
    found = await read(web, attach(web, b"a", name="film.mkv", size=2_000_000_000))
    assert found.notes == ("I cannot read `film.mkv`: it is too large for me.",)
    assert web.calls == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"mode": "tombstone"}, "does not let me fetch"),
        ({"mode": "hidden_by_limit"}, "does not let me fetch"),
        ({"url_private": ""}, "does not let me fetch"),
        ({"url_private": 7, "name": None, "mimetype": [], "size": "x"}, "`file`: Slack does not let me"),
        ({"is_external": True}, "do not know this kind"),
        ({"mode": "list"}, "do not know this kind"),
    ],
)
async def test_what_cannot_be_fetched_is_said_without_a_call(fields: dict[str, Any], note: str) -> None:
    web = FakeWeb()
    found = await read(web, attach(web, b"a", name="a") | fields)
    assert web.calls == []
    assert note in found.notes[0]


@pytest.mark.anyio
@pytest.mark.parametrize("error", [InvalidInputError("another host"), SlackRefusedError("files.download", "no")])
async def test_what_slack_does_not_give_stops_no_other_file(error: SlackMcpError) -> None:
    web = FakeWeb()
    bad, good = attach(web, b"", name="bad"), attach(web, b"canary", name="good")
    web.refusals[bad["url_private"]] = error
    found = await read(web, bad, good)
    assert [each.text for each in found.texts] == ["canary"]
    assert len(found.notes) == 1
    assert found.notes[0].startswith("I cannot read `bad`: Slack does not let me fetch it.")


@pytest.mark.anyio
async def test_a_revoked_token_ends_the_reading() -> None:
    web = FakeWeb()
    file = attach(web, b"a")
    web.refusals[file["url_private"]] = TokenRevokedError("files.download", "token_revoked")
    with pytest.raises(TokenRevokedError):
        await read(web, file)


@pytest.mark.anyio
async def test_a_page_in_place_of_a_file_is_no_file_and_a_page_that_is_attached_is_one() -> None:
    web = FakeWeb()
    wrong = attach(web, b"<html>Please log in", name="a.pdf", mimetype="application/pdf", served_as="text/html")
    right = attach(web, b"<html>canary", name="a.html", mimetype="text/html")
    found = await read(web, wrong, right)
    assert [each.text for each in found.texts] == ["<html>canary"]
    assert "`a.pdf`: Slack does not let me fetch it" in found.notes[0]


@pytest.mark.anyio
async def test_a_file_of_another_workspace_is_looked_up_first() -> None:
    web = FakeWeb()
    web.infos["F1"] = attach(web, b"canary")
    found = await read(web, {"id": "F1", "file_access": "check_file_info"})
    assert found.texts[0].text == "canary"


@pytest.mark.anyio
async def test_files_beyond_the_limit_are_left_and_named_in_one_note() -> None:
    web = FakeWeb()
    found = await read(web, *(attach(web, b"a") for _ in range(MAX_FILES + 3)))
    assert len(found.texts) == MAX_FILES
    assert found.notes == (f"I read only the first {MAX_FILES} files of a message.",)


@pytest.mark.anyio
async def test_time_that_is_over_ends_the_reading_with_a_note_on_each_file_that_is_left() -> None:
    web = FakeWeb(on_download=anyio.sleep_forever)
    files = [attach(web, b"a", name="a"), attach(web, b"b", name="b")]
    found = await make_reader(web, timeout_s=0.05).read(CONNECTION, files, language="en")
    assert [note.partition("`: ")[0] for note in found.notes] == ["I cannot read `a", "I cannot read `b"]
    assert web.count(files[1]["url_private"]) == 0


@pytest.mark.anyio
async def test_a_recording_is_written_down_by_the_first_who_serves_the_connection() -> None:
    web, absent, present = FakeWeb(), FakeTranscriber(is_there=False), FakeTranscriber()
    file = attach(web, MP3, name="note.txt", mimetype="text/plain", subtype="slack_audio")
    found = await make_reader(web, absent, present).read(CONNECTION, [file], language="en")
    (said,) = found.texts
    assert (said.kind, said.text) == (FileKind.AUDIO, "canary words")
    assert absent.heard == []
    assert [(each.mimetype, each.content) for each in present.heard] == [("audio/mpeg", MP3)]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("transcriber", "note"),
    [
        (FakeTranscriber(is_there=False), "nothing is set up"),
        (FakeTranscriber(error=AgentNotConfiguredError("PUBLIC_URL")), "has to set `PUBLIC_URL`"),
        (FakeTranscriber(error=AgentUnavailableError("down")), "could not listen to `a.mp3` just now"),
        (FakeTranscriber(error=MeshUnavailableError("down")), "could not listen to `a.mp3` just now"),
        (FakeTranscriber(error=StoreUnavailableError("down")), "could not listen to `a.mp3` just now"),
        (FakeTranscriber(text=" \n"), "nothing in `a.mp3`"),
    ],
)
async def test_a_recording_that_is_not_heard_is_one_line(transcriber: FakeTranscriber, note: str) -> None:
    web = FakeWeb()
    found = await make_reader(web, transcriber).read(CONNECTION, [attach(web, MP3, name="a.mp3")], language="en")
    assert found.texts == ()
    assert len(found.notes) == 1
    assert note in found.notes[0]


@pytest.mark.anyio
async def test_an_image_that_models_do_not_take_is_fetched_as_the_thumbnail_that_slack_made() -> None:
    web = FakeWeb()
    web.files["https://files.slack.com/thumb"] = SlackFile(content=b"words", mimetype="text/plain")
    fields = {"thumb_360": "https://files.slack.com/small", "thumb_1024": "https://files.slack.com/thumb"}
    found = await read(web, attach(web, b"", name="a.heic", mimetype="image/heic", size=90_000_000, **fields))
    assert [each.text for each in found.texts] == ["words"]


@given(name=st.text(max_size=300) | st.sampled_from(["`*<!channel>", "a\r\nSet-Cookie: x", "<@U1>", "\u202egpj.exe"]))
def test_no_name_of_a_file_puts_markup_or_a_line_into_a_note(name: str) -> None:
    async def run() -> None:
        web = FakeWeb()
        for language in ("en", "pt-BR"):
            found = await read(web, {"name": name, "mode": "tombstone"}, language=language)
            (note,) = found.notes
            plain = await read(web, {"name": "x", "mode": "tombstone"}, language=language)
            before, after = plain.notes[0].split("`x`")
            assert note.startswith(before + "`")
            assert note.endswith("`" + after)
            shown = note[len(before) + 1 : len(note) - len(after) - 1]
            assert shown
            assert not set("<>`\r\n\0\u2028\u202e") & set(shown)
            assert shown.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").count("&") == 0

    anyio.run(run)
