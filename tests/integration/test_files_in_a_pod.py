"""Files that people attach, read by a whole pod; one that is hostile ends in one line, and the next one is read."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pod_in_process import CHANNEL, MENTION, PERSON, SAID, TEAM, PodInProcess, run_pod

from slack_mcp.catalogue import Sentence, render_sentence

pytestmark = pytest.mark.anyio
MEBI = 1024 * 1024


def make_zip_bomb() -> bytes:
    """Return a document of a few kilobytes that unpacks to half a gigabyte."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open("word/document.xml", "w", force_zip64=True) as document:
            for _ in range(512):
                document.write(bytes(MEBI))
    return packed.getvalue()


async def ask_about(pod: PodInProcess, name: str, content: bytes, **serving: Any) -> list[str]:
    """Let a person share a file with a question, and return the texts of the bot's messages below it."""
    posted = pod.simulator.gestures.share(TEAM, PERSON, CHANNEL, name, content, text=f"{MENTION} {SAID}", **serving)
    await pod.simulator.wait_for_answer(TEAM, CHANNEL, posted.message.ts, text=SAID, timeout_s=60)
    return [message.text for message in pod.workspace.thread(CHANNEL, posted.message.ts) if message.bot_id]


@pytest.mark.parametrize(
    ("name", "content", "serving", "sentence"),
    [
        ("bomb.docx", make_zip_bomb(), {}, None),
        ("broken.docx", b"PK\x03\x04 and nothing more", {}, Sentence.FILE_BROKEN),
        ("large.pdf", b"%PDF-1.7", {"declared_bytes": 2_000_000_000}, Sentence.FILE_TOO_LARGE),
        ("page.txt", b"words", {"is_login_page": True}, Sentence.FILE_NOT_GIVEN),
        ("away.txt", b"words", {"redirect_to": "http://127.0.0.1:9/elsewhere"}, Sentence.FILE_NOT_GIVEN),
    ],
)
async def test_a_hostile_file_ends_in_one_line_below_the_answer(
    tmp_path: Path, name: str, content: bytes, serving: dict[str, Any], sentence: Sentence | None
) -> None:
    async with run_pod(tmp_path) as pod:
        (answer,) = await ask_about(pod, name, content, **serving)
        assert answer.startswith(f"Answer to: {SAID}")
        note = answer.splitlines()[-1]
        assert note.startswith("_I ")
        assert f"`{name}`" in note
        if sentence is not None:
            assert note == f"_{render_sentence('en', sentence, name=name)}_"
        (good,) = await ask_about(pod, "notes.txt", b"The release is on Thursday.")
        assert not good.splitlines()[-1].startswith("_I ")
    asked = str(pod.model.requests[-1][2]["messages"])
    assert "The release is on Thursday." in asked
