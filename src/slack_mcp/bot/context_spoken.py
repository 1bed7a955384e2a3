"""Lines as they are told to a model: names in place of ids, and marked as what somebody said."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from slack_mcp.bot.context_lines import Line, read_ms
from slack_mcp.core.ids import Ts
from slack_mcp.core.model import Connection
from slack_mcp.ports.agent import AgentMessage
from slack_mcp.ports.names import Names
from slack_mcp.protocol.marked import Marker
from slack_mcp.protocol.message_text import find_ids, name_ids

MAX_TOLD_CHARS: Final = 200_000
"""What is told of a conversation at most; what was said first is left out first."""

YOU: Final = "you"
_MS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One thing said, in plain words.

    Attributes:
        by: name and id of whoever said it, `you` for the agent itself.
        at: when, for people.
    """

    ts: Ts
    role: Literal["user", "assistant"]
    by: str
    at: str
    text: str

    def mark(self, marker: Marker) -> str:
        """Return it as a block."""
        return marker.mark("said", self.text, by=self.by, at=self.at)

    def render(self, marker: Marker) -> AgentMessage:
        """Return it for an agent: its own words as they are, everything else as a block."""
        return AgentMessage(role=self.role, text=self.text if self.role == "assistant" else self.mark(marker))


class Naming:
    """The names that a request needs; made by `find_naming`."""

    def __init__(self, users: Mapping[str, str], channels: Mapping[str, str]) -> None:
        self._users = users
        self._channels = channels

    def read(self, markup: str) -> str:
        """Return a text of Slack in plain words."""
        return name_ids(markup, self._users, self._channels)

    def name_user(self, user_id: str | None, shown: str | None = None) -> str:
        """Return name and id of a person or bot.

        Args:
            user_id: None when nobody knows.
            shown: what a bot called itself.
        """
        name = shown or self._users.get(user_id or "")
        if name is None or user_id is None:
            return name or user_id or "unknown"
        return f"{name} ({user_id})"

    def name_channel(self, channel_id: str) -> str:
        """Return name and id of a channel."""
        name = self._channels.get(channel_id)
        return channel_id if name is None else f"#{name} ({channel_id})"

    def speak(self, line: Line, *, as_assistant: bool) -> Spoken:
        """Return a line in plain words.

        Args:
            line: the line.
            as_assistant: whether the bot's own words are the agent's, or only something that was said.
        """
        return Spoken(
            ts=line.ts,
            role="assistant" if line.is_own and as_assistant else "user",
            by=YOU if line.is_own else self.name_user(line.speaker, line.name),
            at=render_time(line.ts),
            text=self.read(line.text) if line.is_markup else line.text,
        )


async def find_naming(
    names: Names,
    connection: Connection,
    lines: Iterable[Line],
    *,
    texts: Iterable[str] = (),
    users: Iterable[str] = (),
    channels: Iterable[str] = (),
) -> Naming:
    """Return the names of all that speak or are spoken of, as far as they could be found.

    Args:
        names: finds them.
        connection: whose workspace it is.
        lines: what was said.
        texts: further texts in Slack's markup.
        users: ids of others.
        channels: the same.
    """
    said = list(lines)
    ids = [find_ids(each) for each in [*texts, *(line.text for line in said if line.is_markup)]]
    speakers = {line.speaker for line in said if line.speaker is not None and line.name is None}
    return Naming(
        await names.find_user_names(connection, speakers.union(users, *(each.users for each in ids))),
        await names.find_channel_names(connection, {*channels}.union(*(each.channels for each in ids))),
    )


def drop_oldest(spoken: Sequence[Spoken], *, max_chars: int) -> Sequence[Spoken]:
    """Return the last of what was said that is `max_chars` characters long at most."""
    left = max_chars
    for kept, each in enumerate(reversed(spoken)):
        left -= len(each.text)
        if left < 0:
            return spoken[len(spoken) - kept :]
    return spoken


def render_time(ts: str) -> str:
    """Return when a message was written, in UTC."""
    try:
        return datetime.fromtimestamp(read_ms(ts) / _MS, UTC).strftime("%Y-%m-%d %H:%MZ")
    except (ValueError, OverflowError, OSError):
        return ""
