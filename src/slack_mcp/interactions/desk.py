"""Asks people on behalf of the tools, and keeps each question's message up to date."""

import secrets
from dataclasses import replace
from hashlib import sha256
from typing import Final

import anyio
import structlog

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import ConflictError, InvalidInputError, RateLimitedError, SlackApiError, SlackMcpError
from slack_mcp.core.ids import ConnectionId, Ts
from slack_mcp.core.model import Connection
from slack_mcp.interactions.cards import METADATA_TYPE, check_texts, render_message, render_metadata
from slack_mcp.interactions.marks import find_marked
from slack_mcp.ports.questions import Question, QuestionRequest, QuestionState, QuestionStore
from slack_mcp.ports.slack import SlackWeb, SlackWebs
from slack_mcp.protocol.authors import is_direct_channel
from slack_mcp.protocol.mrkdwn import clean

MAX_TIMEOUT_S: Final = 7 * 86_400.0
MAX_ANSWERERS: Final = 50
POLL_S: Final = 1.0
MAX_WAITING: Final = 32
"""Callers of one connection that wait on one pod; whoever is more gets the state at once."""
# Longer than a look into the channel and a post together may take.
POST_LEASE_S: Final = 15.0

_log = structlog.get_logger(__name__)


class QuestionDesk:
    """`ports.questions.Questions`.

    Args:
        store: keeps the questions.
        slack: makes the Web API of a connection.
        clock: for the ends of questions.
        poll_s: how often whoever waits looks for an answer, which may come to any pod.
    """

    def __init__(self, *, store: QuestionStore, slack: SlackWebs, clock: Clock, poll_s: float = POLL_S) -> None:
        self._store = store
        self._slack = slack
        self._clock = clock
        self._poll_s = poll_s
        self._waiting: dict[ConnectionId, set[object]] = {}

    async def ask(self, connection: Connection, request: QuestionRequest, *, through: SlackWeb) -> Question:
        """Post the question and return it; see the port."""
        request = replace(
            request, text=clean(request.text), options=tuple(clean(each).strip() for each in request.options)
        )
        _check(request)
        question = self._make(connection, request)
        standing = await self._store.add_question(question)
        if standing is None:
            return await self._post(connection, through, question, is_repeatable=request.request_id is not None)
        if not _is_same(standing, question):
            raise ConflictError("request_id: another question was asked with it. Choose a new one for a new question.")
        return await self._see_posted(connection, through, standing)

    async def fetch(self, connection: Connection, question_id: str, *, wait_s: float) -> Question:
        """Return the question, once it is closed or the time has passed; see the port."""
        # Each who waits asks the database each second.
        waiting = self._waiting.setdefault(connection.connection_id, set())
        if len(waiting) >= MAX_WAITING:
            return await self._wait(connection, question_id, 0.0)
        ticket = object()
        waiting.add(ticket)
        try:
            return await self._wait(connection, question_id, wait_s)
        finally:
            waiting.discard(ticket)
            if not waiting:
                self._waiting.pop(connection.connection_id, None)

    async def use_answer(self, connection: Connection, question_id: str) -> bool:
        """Tell whether the caller is to act upon the answer; see the port."""
        return await self._store.use_answer(connection.connection_id, question_id)

    async def _wait(self, connection: Connection, question_id: str, wait_s: float) -> Question:
        until_s = anyio.current_time() + wait_s
        while True:
            question = await self.load(connection, question_id)
            if question is None:
                raise InvalidInputError("question_id: this connection has asked no such question, or long ago.")
            left_s = until_s - anyio.current_time()
            if question.state is not QuestionState.OPEN or left_s <= 0:
                return question
            await anyio.sleep(min(self._poll_s, left_s))

    async def load(self, connection: Connection, question_id: str) -> Question | None:
        """Return the question; one whose time is over is expired, and shown so."""
        question = await self._store.load_question(connection.connection_id, question_id)
        if question is None or question.state is not QuestionState.OPEN:
            return question
        if question.expires_at_ms > self._clock.now_s() * 1000:
            return question
        question = await self._store.expire_question(connection.connection_id, question_id)
        if question is not None:
            await self.show(connection, question)
        return question

    async def show(self, connection: Connection, question: Question) -> None:
        """Let the question's message show how it stands. What fails now is left to the sweep."""
        try:
            if question.message_ts is not None:
                await self._slack.open(connection).write(
                    "chat.update",
                    channel=question.channel_id,
                    ts=question.message_ts,
                    **render_message(question, connection.settings.language),
                )
        except SlackApiError as error:
            _log.warning(
                "question.not_shown",
                connection_id=connection.connection_id,
                question_id=question.question_id,
                code=error.code,
                error=error.slack_error,
            )
            if error.retryable:
                return
        if question.state is not QuestionState.OPEN:
            await self._store.save_shown(connection.connection_id, question.question_id)

    def _make(self, connection: Connection, request: QuestionRequest) -> Question:
        now_s = self._clock.now_s()
        if request.request_id is None:
            question_id = f"Q{secrets.token_hex(12)}"
        else:
            # Whoever calls chooses its own words for a request: two callers with the same word ask two questions.
            named = f"{request.asked_by}\x00{request.request_id}"
            question_id = f"Q{sha256(named.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"
        return Question(
            connection_id=connection.connection_id,
            question_id=question_id,
            channel_id=request.channel_id,
            thread_ts=request.thread_ts,
            message_ts=None,
            asked_by=request.asked_by,
            text=request.text,
            options=request.options,
            has_form=request.has_form or not request.options,
            answerers=tuple(dict.fromkeys(request.answerers)),
            quorum=request.quorum,
            state=QuestionState.OPEN,
            expires_at_ms=int((now_s + request.timeout_s) * 1000),
            created_at_ms=int(now_s * 1000),
        )

    async def _post(
        self, connection: Connection, web: SlackWeb, question: Question, *, is_repeatable: bool
    ) -> Question:
        """Post and return the question. What Slack refuses leaves nothing behind."""
        try:
            answer = await web.write(
                "chat.postMessage",
                channel=question.channel_id,
                thread_ts=question.thread_ts,
                metadata=dict(render_metadata(question)),
                unfurl_links=False,
                unfurl_media=False,
                **render_message(question, connection.settings.language),
            )
        except SlackMcpError as error:
            if isinstance(error, RateLimitedError) or not error.retryable:
                await self._store.remove_question(question.connection_id, question.question_id)
            elif not is_repeatable:  # it may stand there, and nobody will ever fetch what people answer
                await self._store.cancel_question(question.connection_id, question.question_id)
            raise
        _log.info("question.asked", connection_id=question.connection_id, question_id=question.question_id)
        return await self._save_posted(question, Ts(str(answer.get("ts"))))

    async def _save_posted(self, question: Question, message_ts: Ts) -> Question:
        await self._store.save_posted(question.connection_id, question.question_id, message_ts)
        return replace(question, message_ts=message_ts)

    async def _see_posted(self, connection: Connection, web: SlackWeb, question: Question) -> Question:
        """Return the question of an earlier request, which is posted by whoever began to, or else here."""
        for _ in range(int(POST_LEASE_S / self._poll_s) + 1):
            standing = await self._store.load_question(question.connection_id, question.question_id)
            if standing is None:
                raise ConflictError("The first request with this request_id failed: send it again.")
            if standing.message_ts is not None or standing.state is not QuestionState.OPEN:
                return standing
            if await self._store.claim_posting(question.connection_id, question.question_id, lease_s=POST_LEASE_S):
                mark = (METADATA_TYPE, "question_id", question.question_id)
                found = await find_marked(
                    web,
                    connection,
                    question.channel_id,
                    mark,
                    thread_ts=question.thread_ts,
                    since_s=question.created_at_ms / 1000,
                )
                if found is not None:
                    return await self._save_posted(standing, found)
                return await self._post(connection, web, standing, is_repeatable=True)
            await anyio.sleep(self._poll_s)
        raise ConflictError("An earlier request with this request_id is still being posted: send it again.")


def _check(request: QuestionRequest) -> None:
    """Raise InvalidInputError for what cannot be asked."""
    check_texts(request.text, request.options)
    if not 0 < request.timeout_s <= MAX_TIMEOUT_S:
        raise InvalidInputError(f"timeout_s: between 1 and {MAX_TIMEOUT_S:.0f} seconds (7 days).")
    if len(request.answerers) > MAX_ANSWERERS:
        raise InvalidInputError(f"answerers: at most {MAX_ANSWERERS}.")
    if request.quorum < 1 or (request.answerers and request.quorum > len(set(request.answerers))):
        raise InvalidInputError("quorum: at least 1, and not more than there are answerers.")
    if request.quorum > 1 and is_direct_channel(request.channel_id):
        raise InvalidInputError("quorum: one person answers in a direct message; ask in a channel for more.")


def _is_same(standing: Question, question: Question) -> bool:
    """Tell whether a repeated request asks what the first one did. Its time goes on running."""
    return all(
        getattr(standing, name) == getattr(question, name)
        for name in ("channel_id", "thread_ts", "text", "options", "has_form", "answerers", "quorum")
    )
