"""One answer as people see it: streamed, by edits of a placeholder, or only when it is whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import structlog

from slack_mcp.bot.messages import Content, TurnMessages
from slack_mcp.bot.progress import Progress
from slack_mcp.bot.stream import StreamLostError, StreamWriter
from slack_mcp.cache import TtlCache
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import RateLimitedError, SlackApiError, SlackUnavailableError
from slack_mcp.core.ids import ConnectionId, TeamId
from slack_mcp.core.model import Connection, Turn
from slack_mcp.ports.agent import AgentTask
from slack_mcp.ports.slack import SlackApi
from slack_mcp.protocol.markdown import render_mrkdwn
from slack_mcp.protocol.mrkdwn import escape
from slack_mcp.protocol.pieces import Pieces

REFUSALS_TTL_S: Final = 600.0
MAX_REFUSALS: Final = 10_000
TROUBLE_PAUSE_S: Final = 5.0
STATUS_LIFE_S: Final = 100.0  # Slack takes a status away after two minutes

Block = Mapping[str, Any]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long an answer stands as it is before it shows more, in seconds.

    Slack takes about 100 appends and 50 edits in a minute, of all answers of a workspace together; the budget that they
    share is kept elsewhere, and what it does not leave for this answer is shown later.
    Source: https://docs.slack.dev/apis/web-api/rate-limits, and the pages of the methods.
    """

    stream_s: float = 0.7
    edit_s: float = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerButtons:
    """What stands below an answer, in each language; nothing by default.

    Attributes:
        stop: while it is written.
        rate: when it is whole.
    """

    stop: Mapping[str, Block] = field(default_factory=dict)
    rate: Mapping[str, Block] = field(default_factory=dict)


class StreamRefusals:
    """Where Slack does not stream, as far as that was met lately; such as in GovSlack."""

    def __init__(self, *, clock: Clock) -> None:
        self._refused: TtlCache[ConnectionId, str] = TtlCache(clock=clock, max_entries=MAX_REFUSALS)

    def has(self, connection_id: ConnectionId) -> bool:
        """Tell whether a stream was refused."""
        return self._refused.get(connection_id) is not None

    def add(self, connection_id: ConnectionId) -> None:
        """Try no stream for a while."""
        self._refused.put(connection_id, "refused", ttl_s=REFUSALS_TTL_S)


class Presenter:
    """Shows one answer.

    Args:
        connection: whose bot answers.
        turn: the turn.
        language: of the bot's own sentences.
        api: the Web API of the connection.
        drafts_api: the same for what may wait.
        messages: finds and posts the turn's messages.
        drafts: the same for what is shown on the way, which may have to wait for what others need.
        progress: stores which messages there are.
        team_id: the workspace of whoever asked.
        buttons: what stands below.
        refusals: where no stream is to be tried.
        is_resumed: an earlier run has shown something: nothing is streamed beside it.
        pace: how fast it changes.
        clock: for pauses and ages.
        on_text: called whenever some of the answer's own text has come to stand in Slack.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        turn: Turn,
        language: str,
        api: SlackApi,
        drafts_api: SlackApi,
        messages: TurnMessages,
        drafts: TurnMessages,
        progress: Progress,
        team_id: TeamId | None,
        buttons: AnswerButtons,
        refusals: StreamRefusals,
        is_resumed: bool,
        pace: Pace,
        clock: Clock,
        on_text: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_text = on_text
        self._connection = connection
        self._turn = turn
        self._language = language
        self._api = api
        self._messages = messages
        self._drafts = drafts
        self._progress = progress
        self._buttons = buttons
        self._refusals = refusals
        self._is_resumed = is_resumed
        self._pace = pace
        self._clock = clock
        self._shown: list[Content] = []
        self._status_at_s: float | None = None
        self._not_before_s = 0.0
        self._task: AgentTask | None = None
        streams = connection.settings.streaming and not is_resumed and not refusals.has(connection.connection_id)
        self._stream: StreamWriter | None = None
        if streams:
            self._stream = StreamWriter(
                api=api,
                drafts=drafts_api,
                turn=turn,
                team_id=team_id,
                messages=messages,
                progress=progress,
                render=lambda shown, is_last: self._render(shown, self._buttons.rate if is_last else {}),
                clock=clock,
            )

    @property
    def pause_s(self) -> float:
        """Seconds that have to pass between two changes."""
        return self._pace.edit_s if self._stream is None else self._pace.stream_s

    @property
    def is_certain(self) -> bool:
        """Whether there is no message of the turn's but those that its progress names."""
        return self._messages.is_certain and self._drafts.is_certain and self._progress.opening is None

    @property
    def is_visible(self) -> bool:
        """Whether people see something of the answer."""
        return bool(self._progress.parts)

    async def begin(self) -> None:
        """Post the placeholder, unless a status will show that somebody is at work, or something stands there already.

        Raises:
            SlackApiError: one of its classes.
            StoreError: one of its classes.
        """
        if self._stream is not None or not self._connection.settings.show_thinking_message:
            return
        await self._adopt()
        if not self._progress.parts:
            await self._draft([self._render_sentence(Sentence.THINKING, {}, self._buttons.stop)], self._messages)

    async def refresh(self) -> None:
        """Set the status again, which Slack takes away after a while; where it shows none, nothing is lost."""
        now_s = self._clock.monotonic_s()
        if self._stream is None or self.is_visible or not self._connection.settings.show_thinking_message:
            return
        if self._status_at_s is not None and now_s - self._status_at_s < STATUS_LIFE_S:
            return
        self._status_at_s = now_s
        status = render_sentence(self._language, Sentence.STATUS_THINKING)
        try:
            await self._api.set_status(self._turn.channel_id, self._turn.thread_ts, status)
        except SlackApiError as error:
            _log.info("status.refused", connection_id=self._connection.connection_id, code=error.slack_error)

    async def write(self, pieces: Pieces, tasks: Sequence[AgentTask]) -> bool:
        """Show what is there so far, and return whether it was shown; with False, the same tasks are to come again.

        Raises:
            AnswerStoppedError: nobody wants it.
            SlackApiError: nothing can be shown in this place.
            StoreError: one of its classes.
        """
        if self._stream is not None:
            try:
                is_shown = await self._stream.write(pieces, tasks)
            except StreamLostError as lost:
                self._lose_stream(lost)
            else:
                self._tell_of_text(pieces, is_shown=is_shown)
                return is_shown
        for task in tasks:
            self._task = task
        # What an earlier run has shown may be longer than what is there by now: it stands until the answer is whole.
        is_hidden = self._is_resumed or not self._connection.settings.streaming
        if is_hidden or self._clock.monotonic_s() < self._not_before_s:
            return True
        try:
            await self._draft(self._render_draft(pieces), self._drafts)
            self._tell_of_text(pieces)
        except RateLimitedError as error:
            self._not_before_s = self._clock.monotonic_s() + error.retry_after_s
        except SlackUnavailableError:  # a draft is no reason to lose what the agent is saying
            self._messages.expect_more()
            self._not_before_s = self._clock.monotonic_s() + TROUBLE_PAUSE_S
        return True

    async def finish(self, pieces: Pieces) -> None:
        """Show the whole answer, in as many messages as it has pieces, and nothing else.

        Raises:
            AnswerStoppedError: nobody wants it.
            SlackApiError: one of its classes; the turn may be run again.
            StoreError: one of its classes.
        """
        if self._stream is not None and self._stream.is_open:
            try:
                await self._stream.finish(pieces)
            except StreamLostError as lost:
                self._lose_stream(lost)
            else:
                self._tell_of_text(pieces)
                return
        last = len(pieces.closed) - 1
        await self.show(
            [
                self._render(piece.shown, self._buttons.rate if part == last else {})
                for part, piece in enumerate(pieces.closed)
            ]
        )
        self._tell_of_text(pieces)

    async def show(self, contents: Sequence[Content]) -> None:
        """Make the turn's messages show exactly this; raises what `finish` raises."""
        await self._adopt()
        for part, content in enumerate(contents):
            if self._progress.digests[part : part + 1] == (content.digest,):
                continue
            known = self._progress.parts[part] if part < len(self._progress.parts) else None
            ts = await self._messages.show(part, content, known, is_streaming=self._progress.is_streaming(part))
            self._progress.keep(part, ts, content.digest)
        for ts in self._progress.parts[len(contents) :]:
            await self._messages.remove(ts)
        if self._turn.answer is None:  # an earlier run may have shown more of another answer, and not noted it
            for ts in await self._messages.find_beyond(len(contents)):
                await self._messages.remove(ts)
        self._progress.end(len(contents))

    async def say(self, sentence: Sentence, **values: str) -> None:
        """Show a sentence of the bot's own where the answer would stand; raises what `finish` raises."""
        await self.show([self._render_sentence(sentence, values)])

    async def clear_status(self) -> None:
        """Take the status away where nothing was posted, which else does it."""
        if self._status_at_s is None or self.is_visible:
            return
        try:
            await self._api.set_status(self._turn.channel_id, self._turn.thread_ts, "")
        except SlackApiError as error:
            _log.info("status.refused", connection_id=self._connection.connection_id, code=error.slack_error)

    def _tell_of_text(self, pieces: Pieces, *, is_shown: bool = True) -> None:
        if is_shown and (pieces.closed or pieces.open.strip()):
            self._on_text()

    def _lose_stream(self, lost: StreamLostError) -> None:
        self._stream = None
        if lost.is_refused:
            self._refusals.add(self._connection.connection_id)

    async def _adopt(self) -> None:
        """Take over a stream that was opened, and of which nobody could note any more that it was."""
        if self._progress.opening is None:
            return
        opened = await self._messages.find_opened(self._progress.opening, self._progress.parts)
        self._progress.opening = None  # looked for once
        if opened is not None:
            await self._progress.note_part(len(self._progress.parts), opened, is_streaming=True)

    async def _draft(self, contents: Sequence[Content], messages: TurnMessages) -> None:
        """Show what is not the whole answer yet, and store where."""
        await self._adopt()
        for part, content in enumerate(contents):
            if self._shown[part : part + 1] == [content]:
                continue
            known = self._progress.parts[part] if part < len(self._progress.parts) else None
            ts = await messages.show(part, content, known, is_streaming=self._progress.is_streaming(part))
            self._shown[part : part + 1] = [content]
            await self._progress.note_part(part, ts)

    def _render_draft(self, pieces: Pieces) -> Sequence[Content]:
        contents = [self._render(piece.shown, {}) for piece in pieces.closed]
        if pieces.open.strip():
            return [*contents, self._render(pieces.open, self._buttons.stop)]
        if contents:
            return contents
        sentence, values = Sentence.THINKING, dict[str, str]()
        if self._task is not None:
            sentence, values = Sentence.WORKING, {"task": escape(self._task.title)}
        return [self._render_sentence(sentence, values, self._buttons.stop)]

    def _render(self, shown: str, below: Mapping[str, Block]) -> Content:
        return Content(
            text=render_mrkdwn(shown, allow_people=self._connection.settings.allow_mentions),
            blocks=({"type": "markdown", "text": shown}, *self._get_below(below)),
        )

    def _render_sentence(
        self, sentence: Sentence, values: Mapping[str, str], below: Mapping[str, Block] = MappingProxyType({})
    ) -> Content:
        text = render_sentence(self._language, sentence, **values)
        blocks = self._get_below(below)
        section = {"type": "section", "text": {"type": "mrkdwn", "text": text}}
        return Content(text=text, blocks=(section, *blocks) if blocks else ())

    def _get_below(self, below: Mapping[str, Block]) -> Sequence[Block]:
        block = below.get(self._language)
        return () if block is None else (block,)
