"""Links to messages. Source: https://docs.slack.dev/reference/methods/chat.getPermalink."""

import re
from typing import Final, NamedTuple

from slack_mcp.core.ids import ChannelId, Ts

# https://example.slack.com/archives/C1/p1700000000000100?thread_ts=1699999999.000100&cid=C1
_LINK: Final = re.compile(
    r"https://[a-z0-9.-]+\.slack\.com/archives/([A-Z0-9]+)/p([0-9]{9,11})([0-9]{6})(?:\?(?:[^#]*&)?thread_ts=([0-9.]+))?"
)
_TS: Final = re.compile(r"[0-9]{1,12}\.[0-9]{6}")


class MessagePlace(NamedTuple):
    """Where a message is; `thread_ts` is the thread's root when the link names it."""

    channel_id: ChannelId
    ts: Ts
    thread_ts: Ts | None


def parse_permalink(text: str) -> MessagePlace | None:
    """Return the place of the message that a link leads to, None when it is no link to a message."""
    found = _LINK.match(text.strip("<> "))
    if found is None:
        return None
    channel, seconds, micros, root = found.groups()
    thread_ts = Ts(root) if root and _TS.fullmatch(root) else None
    return MessagePlace(ChannelId(channel), Ts(f"{seconds}.{micros}"), thread_ts)
