"""What to fetch of a file, by what Slack says of it.

Source: https://docs.slack.dev/reference/objects/file-object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from slack_mcp.attachments.outcomes import Reason
from slack_mcp.protocol.answers import integer, text
from slack_mcp.protocol.file_names import clean_file_name

# Largest first.
_THUMBNAILS: Final = ("thumb_1024", "thumb_960", "thumb_800", "thumb_720", "thumb_480", "thumb_360")
_CANVAS: Final = frozenset({"quip", "canvas"})
_GONE: Final = frozenset({"tombstone", "hidden_by_limit"})
# Models take these as they are; of others (HEIC, TIFF, Photoshop) Slack makes a thumbnail that they take.
_IMAGE_TYPES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_UNSEEN: Final = "check_file_info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that may be fetched.

    Attributes:
        mimetype: as Slack says, which is a hint and no more.
    """

    name: str
    url: str
    mimetype: str
    is_canvas: bool


def find_name(file: Mapping[str, Any]) -> str:
    """Return the name to show."""
    return clean_file_name(text(file, "name") or text(file, "title"))


def must_be_asked_for(file: Mapping[str, Any]) -> bool:
    """Tell whether the event holds too little of a file of another workspace, and files.info has more.

    Source: https://docs.slack.dev/apis/slack-connect/using-slack-connect-api#files.
    """
    return text(file, "file_access") == _UNSEEN


def find_source(file: Mapping[str, Any], *, max_bytes: int) -> Source | Reason:
    """Return what to fetch, or why nothing can be.

    Args:
        file: as Slack sent it.
        max_bytes: a file that is larger by its own word is not even begun; of an image there may be a thumbnail.
    """
    mode, kind, mimetype = text(file, "mode"), text(file, "filetype"), text(file, "mimetype")
    if mode in _GONE:
        return Reason.NOT_GIVEN
    if file.get("is_external") is True or "list" in {mode, kind}:
        return Reason.UNKNOWN_KIND
    url = text(file, "url_private_download") or text(file, "url_private")
    is_large = (integer(file.get("size")) or 0) > max_bytes
    if mimetype.startswith("image/") and (is_large or mimetype not in _IMAGE_TYPES):
        thumbnail = next((each for name in _THUMBNAILS if (each := text(file, name))), None)
        if thumbnail is not None:
            url, is_large = thumbnail, False
    if is_large:
        return Reason.TOO_LARGE
    if not url:
        return Reason.NOT_GIVEN
    return Source(name=find_name(file), url=url, mimetype=mimetype, is_canvas=bool(_CANVAS.intersection((mode, kind))))
