import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.protocol.file_content import decode_text, find_image_type, find_recording_type


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff\xe0...", "image/jpeg"),
        (b"GIF89a...", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"<!DOCTYPE html>", None),
        (b"", None),
    ],
)
def test_an_image_is_known_by_its_bytes(content: bytes, expected: str | None) -> None:
    assert find_image_type(content) == expected


@pytest.mark.parametrize(
    ("content", "mimetype", "expected"),
    [
        ("a ü".encode(), "application/octet-stream", "a ü"),
        ("\ufeffa".encode(), "text/plain", "a"),
        ("a ü".encode("utf-16"), "text/plain", "a ü"),
        ("ü".encode("cp1252"), "text/plain", "ü"),
        ("ü".encode("cp1252"), "application/zip", None),
        (b"a\0b", "text/plain", None),
        (b"%PDF-1.4 all ascii", "application/pdf", None),
        (b"", "text/plain", ""),
    ],
)
def test_text_is_told_from_bytes(content: bytes, mimetype: str, expected: str | None) -> None:
    assert decode_text(content, mimetype) == expected


@given(st.text())
def test_every_text_in_utf_8_without_nul_comes_back(text: str) -> None:
    text = text.replace("\0", "").removeprefix("\ufeff")
    if not text.startswith("%PDF-"):
        assert decode_text(text.encode(), "text/plain") == text


@given(st.binary(max_size=64), st.sampled_from(["text/plain", "image/png", ""]))
def test_no_bytes_make_it_raise(content: bytes, mimetype: str) -> None:
    decode_text(content, mimetype)
    find_image_type(content)


@pytest.mark.parametrize(
    ("content", "mimetype"),
    [
        (b"ID3\x04", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio/mpeg"),
        (b"OggS", "audio/ogg"),
        (b"RIFF0000WAVEfmt ", "audio/wav"),
        (b"\x00\x00\x00\x20ftypM4A ", "audio/mp4"),
        (b"\x00\x00\x00\x20ftypisom", "video/mp4"),
        (b"\x00\x00\x00\x20ftypqt  ", "video/mp4"),
        (b"\x1a\x45\xdf\xa3", "audio/webm"),
        (b"fLaC", "audio/flac"),
        (b"\xff\xf1", "audio/aac"),
        (b"\x00\x00\x00\x20ftypheic", None),
        (b"\x00\x00\x00\x20ftypavif", None),
        (b"RIFF0000WEBP", None),
        (b"\xff\xfea\0", None),
        (b"\xff\xd8\xff", None),
        (b"words", None),
        (b"", None),
    ],
)
def test_a_recording_is_known_by_its_bytes(content: bytes, mimetype: str | None) -> None:
    assert find_recording_type(content) == mimetype
