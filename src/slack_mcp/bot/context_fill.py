"""Reads a thread that the bot joins in the middle, once."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import anyio
import structlog

from slack_mcp.bot.context_lines import read_message
from slack_mcp.core.errors import SlackApiError
from slack_mcp.core.model import Connection, Distribution, Turn
from slack_mcp.ports.slack import SlackWeb, SlackWebs
from slack_mcp.ports.transcript import Thread, Transcript
from slack_mcp.protocol.answers import get_cursor, mappings, string

FILL_TIMEOUT_S: Final = 10.0
PAGE_SIZE: Final = 200
MAX_PAGES: Final = 5

STRICT_PAGE_SIZE: Final = 15
"""What a call returns at most, beside the thread's root, and once a minute, to apps that Slack holds back.

Source: https://docs.slack.dev/changelog/2025/05/29/rate-limit-changes-for-non-marketplace-apps.
"""

_log = structlog.get_logger(__name__)


def needs_filling(thread: Thread, turn: Turn, *, limit: int) -> bool:
    """Tell whether there is more of the thread in Slack than is kept of it: its beginning is not known.

    Args:
        thread: what is kept, loaded with a limit.
        turn: of a question in the thread.
        limit: of the messages; when so many are kept, no more would be told.
    """
    if thread.is_filled or turn.message_ts == turn.thread_ts or len(thread.messages) >= limit:
        return False
    known = {message.message_ts for message in thread.messages} | {answer.message_ts for answer in thread.answers}
    return turn.thread_ts not in known


class ThreadFiller:
    """Keeps what Slack has of a thread.

    Args:
        slack: makes the Web API of each connection.
        transcript: keeps the messages.
    """

    def __init__(self, *, slack: SlackWebs, transcript: Transcript) -> None:
        self._slack = slack
        self._transcript = transcript

    async def fill(self, connection: Connection, turn: Turn) -> bool:
        """Keep what was said in the turn's thread before its question; False when Slack did not let us read it.

        Of a long thread it is the beginning and the last messages, as far as a few calls reach them.

        Raises:
            StoreUnavailableError: it could not be kept.
        """
        raw = await self._fetch(connection, turn)
        if raw is None:
            return False
        read = (read_message(connection, each, thread_ts=turn.thread_ts) for each in raw)
        # The root heads every page.
        known = {each.message_ts: each for each in read if each is not None and each.message_ts < turn.message_ts}
        ordered = [known[ts] for ts in sorted(known)]
        last = max(1, connection.settings.context.max_fetched - 1)
        await self._transcript.fill_thread(
            connection.connection_id, turn.channel_id, turn.thread_ts, ordered[:1] + ordered[1:][-last:]
        )
        _log.info("thread.filled", connection_id=connection.connection_id, messages=len(ordered))
        return True

    async def _fetch(self, connection: Connection, turn: Turn) -> Sequence[Mapping[str, Any]] | None:
        """Return the messages of as many pages as could be read, None without the first."""
        found: list[Mapping[str, Any]] = []
        pages = 0
        error_code = "timeout"
        try:
            with anyio.move_on_after(FILL_TIMEOUT_S):
                cursor: str | None = None
                while pages < MAX_PAGES and (pages == 0 or cursor is not None):
                    messages, cursor = await _fetch_page(self._slack.open(connection), turn, cursor)
                    found += messages
                    pages += 1
                    if _is_held_back(connection, messages):
                        break
        except SlackApiError as error:
            error_code = error.code
        if pages:
            return found
        _log.info("thread.not_filled", connection_id=connection.connection_id, code=error_code)
        return None


async def _fetch_page(web: SlackWeb, turn: Turn, cursor: str | None) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    """Return a page, oldest first, and where the next one begins.

    Source: https://docs.slack.dev/reference/methods/conversations.replies.
    """
    answer = await web.read(
        "conversations.replies",
        channel=turn.channel_id,
        ts=turn.thread_ts,
        latest=turn.message_ts,
        limit=PAGE_SIZE,
        cursor=cursor,
    )
    return [each for each in mappings(answer.get("messages")) if string(each.get("ts"))], get_cursor(answer)


def _is_held_back(connection: Connection, page: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether Slack lets the app read once a minute only: as configured, or by a page shorter than asked for."""
    return connection.settings.distribution is Distribution.UNLISTED or len(page) <= STRICT_PAGE_SIZE + 1
