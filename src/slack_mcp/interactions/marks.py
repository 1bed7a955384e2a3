"""Finding a message of ours again, by the metadata that it was posted with."""

from typing import Any, Final

from slack_mcp.core.ids import ChannelId, Ts
from slack_mcp.core.model import Connection
from slack_mcp.ports.slack import SlackWeb
from slack_mcp.protocol.answers import get_cursor

PAGE: Final = 200
MAX_PAGES: Final = 5
# The clock that noted the time and the one that made the ts are not the same.
CLOCK_SKEW_S: Final = 120


async def find_marked(
    web: SlackWeb,
    connection: Connection,
    channel_id: ChannelId,
    mark: tuple[str, str, str],
    *,
    thread_ts: Ts | None,
    since_s: float,
) -> Ts | None:
    """Return the ts of the bot's own message that carries the mark, None when there is none among the first thousand.

    Args:
        web: of the connection.
        connection: whose bot posted it.
        channel_id: where.
        mark: the metadata's event_type, a key of its event_payload, and the value.
        thread_ts: the thread to look in, None for the channel itself.
        since_s: unix seconds before which it was not posted.

    Raises:
        SlackApiError: nobody could look.
    """
    where: dict[str, Any] = {
        "channel": channel_id,
        "oldest": f"{max(0.0, since_s - CLOCK_SKEW_S):.6f}",
        "limit": PAGE,
        "include_all_metadata": True,
    }
    if thread_ts is not None:
        where["ts"] = thread_ts
    cursor = None
    for _ in range(MAX_PAGES):
        answer = await web.read(
            "conversations.history" if thread_ts is None else "conversations.replies", cursor=cursor, **where
        )
        messages = answer.get("messages")
        for message in messages if isinstance(messages, list) else ():
            if isinstance(message, dict) and _is_own(connection, message) and _is_marked(message, mark):
                return Ts(str(message.get("ts")))
        cursor = get_cursor(answer)
        if cursor is None:
            return None
    return None


def _is_own(connection: Connection, message: dict[str, Any]) -> bool:
    """Tell whether the bot wrote it: other apps can write the same metadata."""
    known = {connection.bot_user_id, connection.bot_id} - {None}
    return message.get("user") in known or message.get("bot_id") in known


def _is_marked(message: dict[str, Any], mark: tuple[str, str, str]) -> bool:
    event_type, key, value = mark
    metadata = message.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("event_type") != event_type:
        return False
    payload = metadata.get("event_payload")
    return isinstance(payload, dict) and payload.get(key) == value
