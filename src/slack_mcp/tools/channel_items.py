"""Channels and direct messages, as the tools show them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import Field

from slack_mcp.protocol.answers import number, text
from slack_mcp.tools.call import Call
from slack_mcp.tools.listing import Item

MAX_NOTE_CHARS: Final = 300


class ChannelItem(Item):
    """A conversation."""

    id: str
    name: str = Field(description="Of a direct message, the person's.")
    is_private: bool
    is_archived: bool
    is_member: bool = Field(description="Whether the bot is in it.")
    num_members: int | None = None
    topic: str | None = None
    purpose: str | None = None
    user: str | None = Field(default=None, description="Of a direct message, the person.")

    def render_line(self) -> str:
        """Return it as one line."""
        marks = [
            "private" if self.is_private else "",
            "archived" if self.is_archived else "",
            "bot is in it" if self.is_member else "",
            f"{self.num_members} members" if self.num_members is not None else "",
        ]
        name = f"@{self.name}" if self.user else f"#{self.name}"
        note = self.topic or self.purpose
        return f"- {name} ({', '.join([self.id, *filter(None, marks)])})" + (f": {shorten(note)}" if note else "")


async def describe_channels(
    call: Call, channels: Sequence[Mapping[str, Any]], *, is_member: bool | None = None
) -> Sequence[ChannelItem]:
    """Return the channels as items, in order; persons of direct messages by name.

    Args:
        call: whose connection's names are looked up.
        channels: conversation objects.
        is_member: whether the bot is in all of them, where Slack does not say it of each.
    """
    people = [text(each, "user") for each in channels if each.get("is_im")]
    names = await call.services.names.find_user_names(call.connection, people) if people else {}
    return [_read_channel(each, names, is_member=is_member) for each in channels]


def _read_channel(
    channel: Mapping[str, Any], names: Mapping[str, str], *, is_member: bool | None = None
) -> ChannelItem:
    user = text(channel, "user") if channel.get("is_im") else ""
    return ChannelItem(
        id=text(channel, "id"),
        name=text(channel, "name") or names.get(user, user),
        is_private=channel.get("is_private") is True or bool(user),
        is_archived=channel.get("is_archived") is True,
        is_member=is_member if is_member is not None else channel.get("is_member") is True or bool(user),
        num_members=number(channel, "num_members"),
        topic=text(channel.get("topic"), "value") or None,
        purpose=text(channel.get("purpose"), "value") or None,
        user=user or None,
    )


def shorten(note: str) -> str:
    """Return what people wrote on one line, not too long."""
    line = " ".join(note.split())
    return line if len(line) <= MAX_NOTE_CHARS else f"{line[: MAX_NOTE_CHARS - 1]}…"
