"""Files as lists show them: what, whose and where, names beside ids."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import Field

from slack_mcp.protocol.answers import integer, string
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import render_time
from slack_mcp.tools.file_fields import find_shares
from slack_mcp.tools.listing import Item
from slack_mcp.tools.message_items import find_names
from slack_mcp.tools.tool import Result

_KB: Final = 1_000
_MB: Final = 1_000_000


class Share(Result):
    """A place where a file shows."""

    channel: str
    channel_name: str | None = None
    ts: str | None = Field(default=None, description="Of the message that shows it.")
    thread_ts: str | None = None


class FileItem(Item):
    """One file."""

    id: str
    name: str
    title: str | None = None
    mimetype: str | None = None
    filetype: str | None = Field(default=None, description="Slack's word; quip is a canvas, list a list.")
    size: int | None = Field(default=None, description="Bytes.")
    user: str | None = None
    user_name: str | None = None
    created: int | None = Field(default=None, description="Unix seconds.")
    external_type: str | None = Field(default=None, description="Who keeps it, when that is not Slack.")
    shares: Sequence[Share] = ()
    permalink: str | None = None

    def render_line(self) -> str:
        """Return it as Markdown."""
        kind = ", ".join(filter(None, (self.mimetype or self.filetype, render_size(self.size))))
        parts = [f"- {self.id} {flatten(self.name)}"]
        parts += [f'"{flatten(self.title)}"'] if self.title else []
        parts += [f"({kind})"] if kind else []
        parts += [f"kept by {self.external_type}"] if self.external_type else []
        parts += [f"by {self.user_name or self.user}"] if self.user else []
        parts += [render_time(str(self.created))] if self.created else []
        places = dict.fromkeys(_render_place(each) for each in self.shares)
        parts += [f"in {', '.join(places)}"] if places else []
        parts += [self.permalink] if self.permalink else []
        return " ".join(parts)


async def describe_files(call: Call, files: Sequence[Mapping[str, Any]], *, with_permalink: bool) -> Sequence[FileItem]:
    """Return the files as items, one for each and in order; the names cost at most one batch."""
    shares = [list(find_shares(each)) for each in files]
    users, channels = await find_names(
        call,
        users=[string(each.get("user")) for each in files],
        channels=[channel_id for each in shares for channel_id, _ in each],
    )
    return [
        FileItem(
            id=string(file.get("id")),
            name=string(file.get("name")) or string(file.get("title")) or "unnamed",
            title=_find_title(file),
            mimetype=string(file.get("mimetype")) or None,
            filetype=string(file.get("filetype")) or None,
            size=integer(file.get("size")),
            user=string(file.get("user")) or None,
            user_name=users.get(string(file.get("user"))),
            created=integer(file.get("created")),
            external_type=string(file.get("external_type")) or None,
            shares=[_make_share(channel_id, message, channels) for channel_id, message in places],
            permalink=string(file.get("permalink")) or None if with_permalink else None,
        )
        for file, places in zip(files, shares, strict=True)
    ]


def render_size(size: int | None) -> str:
    """Return how large a file is, for people; nothing when that is not known."""
    if size is None:
        return ""
    if size < _KB:
        return f"{size} B"
    return f"{size / _KB:.0f} kB" if size < _MB else f"{size / _MB:.1f} MB"


def flatten(text: str) -> str:
    """Return a text in one line."""
    return " ".join(text.split())


def _find_title(file: Mapping[str, Any]) -> str | None:
    title = string(file.get("title"))
    return title if title and title != file.get("name") else None


def _make_share(channel_id: str, message: Mapping[str, Any] | None, channels: Mapping[str, str]) -> Share:
    told = message or {}
    return Share(
        channel=channel_id,
        channel_name=channels.get(channel_id),
        ts=string(told.get("ts")) or None,
        thread_ts=string(told.get("thread_ts")) or None,
    )


def _render_place(share: Share) -> str:
    return f"#{share.channel_name} ({share.channel})" if share.channel_name else share.channel
