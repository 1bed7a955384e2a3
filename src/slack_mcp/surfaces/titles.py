"""The names of the assistant's threads, by which people find them again.

Source: https://docs.slack.dev/reference/methods/assistant.threads.setTitle.
"""

import re
from typing import Final

import structlog

from slack_mcp.cache import TtlCache
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import MissingScopeError, SlackMcpError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection, Turn
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.threads import ThreadMemory
from slack_mcp.protocol.authors import is_direct_channel
from slack_mcp.protocol.mrkdwn import clean

MAX_TITLE_CHARS: Final = 80  # of the 200 that Slack takes
SCOPE: Final = "assistant:write"
REFUSED_TTL_S: Final = 3_600.0
MAX_REFUSED: Final = 10_000
_LINK: Final = re.compile(r"<(?:[^<>|]*\|)?([^<>|]*)>")
_STYLE: Final = re.compile(r"[*~`]+|(?<!\w)_+|_+(?!\w)|^\s*[>#]+", re.MULTILINE)

_log = structlog.get_logger(__name__)


class AssistantTitles:
    """`ports.surfaces.ThreadTitles`.

    Args:
        slack: makes the Web API of a connection.
        threads: know whether anything was answered in a thread.
        clock: for how long a missing scope is believed.
    """

    def __init__(self, *, slack: SlackWebs, threads: ThreadMemory, clock: Clock) -> None:
        self._slack = slack
        self._threads = threads
        self._refused: TtlCache[ConnectionId, str] = TtlCache(clock=clock, max_entries=MAX_REFUSED)

    async def name(self, connection: Connection, turn: Turn) -> None:
        """Let a thread of a direct message be called by its first question; what fails is logged."""
        title = shorten(turn.question)
        if not title or not self._has_titles(connection, turn):
            return
        try:
            if not await self._is_first(turn):
                return
            await self._slack.open(connection).write(
                "assistant.threads.setTitle", channel_id=turn.channel_id, thread_ts=turn.thread_ts, title=title
            )
        except SlackMcpError as error:
            if isinstance(error, MissingScopeError):
                self._refused.put(connection.connection_id, error.code, ttl_s=REFUSED_TTL_S)
            _log.info("title.not_set", connection_id=connection.connection_id, code=error.code)

    async def _is_first(self, turn: Turn) -> bool:
        """Tell whether nothing was answered in the thread before. In the older pane its root is no question."""
        if turn.thread_ts == turn.message_ts:
            return True
        remembered = await self._threads.load_summary(turn.connection_id, turn.channel_id, turn.thread_ts)
        return remembered is None or not remembered.turns

    def _has_titles(self, connection: Connection, turn: Turn) -> bool:
        """Tell whether the thread may be one of the assistant's."""
        if connection.bot_scopes is not None and SCOPE not in connection.bot_scopes:
            return False
        return is_direct_channel(turn.channel_id) and not self._is_refused(connection.connection_id)

    def _is_refused(self, connection_id: ConnectionId) -> bool:
        return self._refused.get(connection_id) is not None


def shorten(question: str) -> str:
    """Return the first words of a question without any markup, empty when it has none."""
    plain = _STYLE.sub("", _LINK.sub(r"\1", clean(question)))
    words = " ".join(plain.split())
    if len(words) <= MAX_TITLE_CHARS:
        return words
    cut = words[:MAX_TITLE_CHARS]
    return f"{cut.rsplit(' ', 1)[0]}…"
