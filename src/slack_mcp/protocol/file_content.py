"""What the bytes of a file are: a text, an image that models can look at, a recording, or none of these."""

import codecs
from types import MappingProxyType
from typing import Final

# The image formats that models take, by the bytes they begin with.
_IMAGES: Final = MappingProxyType(
    {
        b"\x89PNG\r\n\x1a\n": "image/png",
        b"\xff\xd8\xff": "image/jpeg",
        b"GIF87a": "image/gif",
        b"GIF89a": "image/gif",
    }
)
_WEBP: Final = (b"RIFF", b"WEBP")
# https://mimesniff.spec.whatwg.org/#matching-an-audio-or-video-type-pattern and the formats' own specifications.
_RECORDINGS: Final = MappingProxyType(
    {
        b"ID3": "audio/mpeg",
        b"\xff\xfb": "audio/mpeg",
        b"\xff\xf3": "audio/mpeg",
        b"\xff\xf2": "audio/mpeg",
        b"\xff\xf1": "audio/aac",
        b"\xff\xf9": "audio/aac",
        b"OggS": "audio/ogg",
        b"fLaC": "audio/flac",
        b"\x1a\x45\xdf\xa3": "audio/webm",
    }
)
_WAVE: Final = (b"RIFF", b"WAVE")
# What an MP4 file with sound is not: these brands are pictures. https://mp4ra.org/registered-types/brands.
_PICTURE_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"}
)
_SOUND_BRANDS: Final = frozenset({b"M4A ", b"M4B "})
# A PDF may be all ASCII and is still nothing to read.
_NO_TEXT: Final = b"%PDF-"


def find_image_type(content: bytes) -> str | None:
    """Return the MIME type of an image, None for what is none; what the file calls itself does not count."""
    if content[:4] == _WEBP[0] and content[8:12] == _WEBP[1]:
        return "image/webp"
    return next((mimetype for magic, mimetype in _IMAGES.items() if content.startswith(magic)), None)


def find_recording_type(content: bytes) -> str | None:
    """Return the MIME type of a file with sound, None for what has none; what the file calls itself does not count."""
    if content[:4] == _WAVE[0] and content[8:12] == _WAVE[1]:
        return "audio/wav"
    if content[4:8] == b"ftyp":
        brand = content[8:12]
        if brand in _PICTURE_BRANDS:
            return None
        return "audio/mp4" if brand in _SOUND_BRANDS else "video/mp4"
    return next((mimetype for magic, mimetype in _RECORDINGS.items() if content.startswith(magic)), None)


def decode_text(content: bytes, mimetype: str) -> str | None:
    """Return the text of a file, None when it is no text.

    Args:
        content: the whole file.
        mimetype: what Slack says it is; bytes that are no UTF-8 are taken for text only when this says so.
    """
    if content.startswith(_NO_TEXT):
        return None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace") if mimetype.startswith("text/") else None
