"""An answer that is shown while it is written, in messages that Slack streams.

A stream may be refused, run too long, be stopped by a person, or lose an answer of Slack's, after which nobody knows
what it shows. Whatever was shown is never sent again: what goes on after a stream that was lost replaces its whole
text.

Sources: https://docs.slack.dev/reference/methods/chat.startStream and its neighbours. That a stream ends by itself
after about five minutes is not documented: https://github.com/slackapi/python-slack-sdk/issues/1859.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from slack_mcp.bot.messages import Content, TurnMessages
from slack_mcp.bot.progress import Progress
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import MissingScopeError, RateLimitedError, SlackRefusedError, SlackUnavailableError
from slack_mcp.core.ids import TeamId, Ts
from slack_mcp.core.model import Turn
from slack_mcp.ports.agent import AgentTask
from slack_mcp.ports.slack import SlackApi
from slack_mcp.protocol.pieces import Pieces

MAX_AGE_S: Final = 240.0
STOPPED: Final = "stopped_by_user"
ENDED: Final = frozenset({STOPPED, "message_not_in_streaming_state", "message_not_found"})
"""There is nothing that streams. Source: https://docs.slack.dev/reference/methods/chat.appendStream, `Errors`."""
UNAVAILABLE: Final = frozenset(
    {
        "access_denied",
        "feature_not_enabled",
        "method_deprecated",
        "not_allowed",
        "not_allowed_token_type",
        "unknown_method",
    }
)
"""Slack does not stream for this app or workspace; any other refusal is of one place, or of who asked."""

_log = structlog.get_logger(__name__)


class StreamLostError(Exception):
    """The stream cannot be gone on with: the answer is to be shown by edits. Never leaves the bot.

    Attributes:
        is_refused: Slack does not stream here at all.
    """

    def __init__(self, *, is_refused: bool) -> None:
        super().__init__()
        self.is_refused = is_refused


class AnswerStoppedError(Exception):
    """A person wants no more of the answer. Never leaves the bot."""


class StreamWriter:
    """Streams the pieces of one answer, each in a message of its own.

    Args:
        api: the Web API of the turn's connection.
        drafts: the same for what may wait: whatever does not end a message.
        turn: tells the channel, the thread and who asked.
        team_id: the workspace of whoever asked.
        messages: makes the marks.
        progress: stores which messages there are.
        render: makes of a piece what its message shows when it is whole, told whether it is the last one.
        clock: tells how old a stream is.
    """

    def __init__(
        self,
        *,
        api: SlackApi,
        drafts: SlackApi,
        turn: Turn,
        team_id: TeamId | None,
        messages: TurnMessages,
        progress: Progress,
        render: Callable[[str, bool], Content],
        clock: Clock,
    ) -> None:
        self._api = api
        self._drafts = drafts
        self._turn = turn
        self._team_id = team_id
        self._messages = messages
        self._progress = progress
        self._render = render
        self._clock = clock
        self._part = 0
        self._ts: Ts | None = None
        self._sent = ""
        self._started_s = 0.0
        self._not_before_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is a message, or there was one."""
        return self._ts is not None or self._part > 0

    async def write(self, pieces: Pieces, tasks: Sequence[AgentTask]) -> bool:
        """Show what is new, and return whether it was shown: Slack may want a pause.

        Raises:
            StreamLostError: it has to be shown otherwise.
            AnswerStoppedError: nobody wants it.
            SlackApiError: nothing can be shown in this place.
            StoreError: one of its classes.
        """
        if self._clock.monotonic_s() < self._not_before_s:
            return False
        is_old = self._ts is not None and self._clock.monotonic_s() - self._started_s > MAX_AGE_S
        if is_old and self._part == len(pieces.closed):  # else it was cut already, and only could not be ended yet
            pieces.cut()
        try:
            while self._part < len(pieces.closed):
                await self._close(pieces.closed[self._part].shown, is_last=False)
            await self._append(pieces.open, tasks)
        except RateLimitedError as error:
            self._not_before_s = self._clock.monotonic_s() + error.retry_after_s
            return False
        return True

    async def finish(self, pieces: Pieces) -> None:
        """Show all of the pieces, the last of which is closed too; raises what `write` raises, and RateLimitedError."""
        while self._part < len(pieces.closed):
            await self._close(pieces.closed[self._part].shown, is_last=self._part == len(pieces.closed) - 1)

    async def _append(self, shown: str, tasks: Sequence[AgentTask]) -> None:
        chunks = [*map(_render_task, tasks), *_render_text(shown[len(self._sent) :])]
        if not chunks:
            return
        if self._ts is None:
            await self._start(shown, chunks)
        else:
            await self._call(lambda ts: self._drafts.append_stream(self._turn.channel_id, ts, chunks))
        self._sent = shown

    async def _start(self, shown: str, chunks: Sequence[Mapping[str, Any]]) -> None:
        await self._progress.note_opening(shown)
        try:
            ts = await self._api.start_stream(
                self._turn.channel_id,
                chunks,
                thread_ts=self._turn.thread_ts,
                recipient_user_id=self._turn.user_id,
                recipient_team_id=self._team_id,
            )
        except RateLimitedError:
            # Streams may be opened less often than messages posted: no reason to keep somebody waiting.
            self._progress.opening = None
            raise StreamLostError(is_refused=False) from None
        except SlackUnavailableError:
            self._messages.expect_more()
            raise StreamLostError(is_refused=False) from None
        except (SlackRefusedError, MissingScopeError) as error:
            self._progress.opening = None
            _log.info("stream.refused", connection_id=self._turn.connection_id, error=error.slack_error)
            is_refused = isinstance(error, MissingScopeError) or error.slack_error in UNAVAILABLE
            raise StreamLostError(is_refused=is_refused) from None
        self._ts, self._started_s = ts, self._clock.monotonic_s()
        await self._progress.note_part(self._part, ts, is_streaming=True)

    async def _close(self, shown: str, *, is_last: bool) -> None:
        """End the message of a piece that is whole, with what it does not show yet."""
        if self._ts is None:
            await self._append(shown, ())
        content = self._render(shown, is_last)
        chunks = _render_text(shown[len(self._sent) :])
        below = [block for block in content.blocks if block.get("type") != "markdown"]
        metadata = self._messages.render_metadata(self._part, content)
        await self._call(
            lambda ts: self._api.stop_stream(self._turn.channel_id, ts, chunks=chunks, blocks=below, metadata=metadata)
        )
        if self._ts is not None:
            self._progress.keep(self._part, self._ts, content.digest)
        self._part, self._ts, self._sent = self._part + 1, None, ""

    async def _call(self, call: Callable[[Ts], Any]) -> None:
        if self._ts is None:
            raise StreamLostError(is_refused=False)
        try:
            await call(self._ts)
        except SlackUnavailableError:
            raise StreamLostError(is_refused=False) from None
        except SlackRefusedError as error:
            if error.slack_error in ENDED:
                self._progress.keep(self._part, self._ts, "")
            if error.slack_error == STOPPED:
                raise AnswerStoppedError from None
            _log.info("stream.lost", connection_id=self._turn.connection_id, error=error.slack_error)
            raise StreamLostError(is_refused=False) from None


def _render_text(text: str) -> list[Mapping[str, Any]]:
    return [{"type": "markdown_text", "text": text}] if text else []


def _render_task(task: AgentTask) -> Mapping[str, Any]:
    """Return a chunk. Source: https://docs.slack.dev/reference/methods/chat.appendStream, `chunks`."""
    return {"type": "task_update", "id": task.task_id, "title": task.title, "status": task.state.value}
