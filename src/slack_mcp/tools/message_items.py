"""Messages as lists show them: the text as a person reads it, names beside ids, few tokens."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import Field

from slack_mcp.protocol.answers import string
from slack_mcp.protocol.message_text import find_ids, name_ids, read_text
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import render_time
from slack_mcp.tools.listing import Item

_INDENT: Final = "\n  "


class MessageItem(Item):
    """One message."""

    ts: str
    user: str | None = Field(default=None, description="Id of a person (U…) or a bot (B…).")
    user_name: str | None = None
    text: str
    thread_ts: str | None = None
    reply_count: int | None = None
    reactions: dict[str, int] | None = Field(default=None, description="How many of each.")
    edited: bool | None = None

    def render_line(self) -> str:
        """Return it as Markdown. Further lines are indented, so that no text can pass for a message of its own."""
        return f"- {self._render_said()}"

    def _render_said(self) -> str:
        """Return when who said what. A bot may call itself anything."""
        who = " ".join((self.user_name or self.user or "unknown").split())
        return f"{self.ts} {render_time(self.ts)} {who}: {indent(self.text)}{self._render_marks()}"

    def _render_marks(self) -> str:
        marks = [f"{self.reply_count} {'reply' if self.reply_count == 1 else 'replies'}"] if self.reply_count else []
        if self.thread_ts is not None and self.thread_ts != self.ts:
            marks.append(f"in thread {self.thread_ts}")
        marks += [f":{name}: {count}" for name, count in (self.reactions or {}).items()]
        marks += ["edited"] if self.edited else []
        return f" ({', '.join(marks)})" if marks else ""


def indent(text: str) -> str:
    """Return a text whose further lines are indented."""
    return _INDENT.join(text.splitlines())


async def describe_messages(call: Call, messages: Sequence[Mapping[str, Any]]) -> Sequence[MessageItem]:
    """Return the messages as items, one for each and in order; the names cost at most one batch."""
    texts = [read_text(each) for each in messages]
    authors = [_get_author(each) for each in messages]
    users, channels = await find_names(call, texts, authors)
    return [
        MessageItem(
            ts=string(message.get("ts")),
            user=author or None,
            user_name=users.get(author) or _get_shown_name(message) or None,
            text=name_ids(text, users, channels),
            **_read_marks(message),
        )
        for message, text, author in zip(messages, texts, authors, strict=True)
    ]


async def find_names(
    call: Call, texts: Iterable[str] = (), users: Iterable[str] = (), channels: Iterable[str] = ()
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return (names of people, names of channels) by id: of those that the texts name, and of the ids given."""
    ids = [find_ids(text) for text in texts]
    names = call.services.names
    return (
        await names.find_user_names(call.connection, set(users).union(*(each.users for each in ids)) - {""}),
        await names.find_channel_names(call.connection, set(channels).union(*(each.channels for each in ids)) - {""}),
    )


def _read_marks(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the further fields of an item, as far as the message has them."""
    count, listed = message.get("reply_count"), message.get("reactions")
    reactions = {
        string(each.get("name")): each["count"]
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, Mapping) and isinstance(each.get("count"), int)
    }
    return {
        "thread_ts": string(message.get("thread_ts")) or None,
        "reply_count": count if isinstance(count, int) and count else None,
        "reactions": reactions or None,
        "edited": True if message.get("edited") else None,
    }


def _get_author(message: Mapping[str, Any]) -> str:
    return string(message.get("user")) or string(message.get("bot_id"))


def _get_shown_name(message: Mapping[str, Any]) -> str:
    """Return the name under which a bot wrote. https://docs.slack.dev/reference/events/message/bot_message."""
    profile = message.get("bot_profile")
    return string(message.get("username")) or (string(profile.get("name")) if isinstance(profile, Mapping) else "")
