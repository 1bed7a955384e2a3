"""What the tools may write without asking, and the click that everything else waits for.

Where a connection's policy says so, a tool writes freely only into a thread that the bot is answering in; that is what
the person who asked sees. For all else a person is asked in that thread. Nobody tells which turn a call belongs to, so
as long as the bot answers in several threads the call waits: a question in the wrong one would show people what was
said in another, and ask somebody who knows nothing of it.

The same call finds its own question again, also from the thread's next turn, so that whoever calls may stop waiting and
come back. A click is good for one execution.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import anyio
import structlog

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import ApprovalPendingError, ForbiddenError
from slack_mcp.core.ids import Ts
from slack_mcp.core.model import Connection, Turn
from slack_mcp.ports.audit import AuditLog
from slack_mcp.ports.names import Names
from slack_mcp.ports.questions import Question, QuestionRequest, Questions, QuestionState
from slack_mcp.ports.slack import SlackWeb
from slack_mcp.ports.threads import ThreadMemory
from slack_mcp.protocol.mrkdwn import clean, escape

WAIT_S: Final = 50.0
"""How long a call waits, for the thread and the click together: a call may take 120 s, and an agent may be silent so
long."""
POLL_S: Final = 0.5
ANSWER_TIMEOUT_S: Final = 3_600.0
APPROVAL_LIFETIME_S: Final = 900.0
MAX_ASKED: Final = 20
"""How often the same call may be asked about in one thread on one day."""

_MAX_GIST_CHARS: Final = 2_400  # of the 3 000 that a section takes, after escaping
_MAX_VALUE_CHARS: Final = 1_200
_LINE: Final = "│ "
_MS: Final = 1000
_POSTS: Final = frozenset(
    {"chat.postMessage", "chat.postEphemeral", "chat.scheduleMessage", "files.completeUploadExternal"}
)
_CHANGES: Final[Mapping[str, str]] = {
    "chat.update": "ts",
    "chat.delete": "ts",
    "reactions.add": "timestamp",
    "reactions.remove": "timestamp",
}
_IS_USER: Final = re.compile(r"[UW][A-Z0-9]{5,}")
_IS_CHANNEL: Final = re.compile(r"[CGD][A-Z0-9]{5,}")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write of one call.

    Attributes:
        actor: who calls.
        tool: its name.
        given: the call's arguments; what is approved is the call with them, whatever it writes then.
        shown: those of them that differ from the defaults.
        method, target: the Web API call, and its arguments.
    """

    connection: Connection
    actor: str
    tool: str
    given: Mapping[str, Any]
    shown: Mapping[str, Any]
    method: str
    target: Mapping[str, Any]


class Approvals:
    """Lets a write pass, or not.

    Args:
        threads: tells where the bot is answering.
        questions: asks people.
        names: of channels and people, for the question.
        audit: is told who was asked, and what he said.
        clock: for how long a click is good.
        wait_s: seconds that a call waits.
    """

    def __init__(
        self,
        *,
        threads: ThreadMemory,
        questions: Questions,
        names: Names,
        audit: AuditLog,
        clock: Clock,
        wait_s: float = WAIT_S,
    ) -> None:
        self._threads = threads
        self._questions = questions
        self._names = names
        self._audit = audit
        self._clock = clock
        self._wait_s = wait_s

    async def require(self, write: Write, *, web: SlackWeb) -> bool:
        """Return once the write may be done: False when it needs no approval, True when the whole call has one.

        Args:
            write: what is to be done.
            web: the bot's Web API, which asks and looks without any policy.

        Raises:
            ApprovalPendingError: nobody has clicked yet; the same call again goes on.
            ForbiddenError: a person said no, or there is nobody to ask.
            SlackApiError, StoreError: it could not be found out.
        """
        connection = write.connection
        answering = await self._threads.load_answering(connection.connection_id)
        if await _is_inside(write, answering, web):
            return False
        until_s = anyio.current_time() + self._wait_s
        turn = await self._choose_turn(connection, answering, until_s)
        request = await self._make_request(write, turn)
        for number in range(MAX_ASKED):
            question = await self._ask(write, request, number, web)
            if question.state is QuestionState.OPEN:
                left_s = max(0.0, until_s - anyio.current_time())
                question = await self._questions.fetch(connection, question.question_id, wait_s=left_s)
            if question.state is QuestionState.OPEN:
                raise ApprovalPendingError(
                    f"{write.tool} writes outside of the thread that the bot is answering in: it waits until somebody "
                    "approves it there with a click."
                )
            if await self._is_approved(write, question, turn):
                return True
        raise ForbiddenError(f"{write.tool} was asked for too often in this thread today with the same arguments.")

    async def _choose_turn(self, connection: Connection, answering: Sequence[Turn], until_s: float) -> Turn:
        """Return the turn that the call belongs to."""
        while len(_find_places(answering)) > 1:
            if anyio.current_time() >= until_s:
                raise ApprovalPendingError(
                    "The bot is answering in several threads at the moment, and nobody can tell to which of them this "
                    "call belongs: it cannot be asked yet whether it may write outside of them."
                )
            await anyio.sleep(POLL_S)
            answering = await self._threads.load_answering(connection.connection_id)
        if not answering:
            raise ForbiddenError(
                "This connection's policy lets tools write only what somebody approves in the thread that the bot is "
                "answering in, and it is answering nowhere: ask the bot in Slack to do it."
            )
        return answering[0]

    async def _make_request(self, write: Write, turn: Turn) -> QuestionRequest:
        """Return what is asked. Its request id is the same for the same call, in the thread, on this day."""
        language = write.connection.settings.language
        text = "\n".join(
            [render_sentence(language, Sentence.APPROVAL_ASKED, tool=write.tool), await self._render(write)]
        )
        options = tuple(render_sentence(language, each) for each in (Sentence.APPROVE, Sentence.REJECT))
        today = datetime.fromtimestamp(self._clock.now_s(), UTC).date().isoformat()
        call = [write.tool, write.given, text, options, turn.channel_id, turn.thread_ts, turn.user_id, today]
        digest = sha256(json.dumps(call, sort_keys=True).encode("ascii")).hexdigest()
        return QuestionRequest(
            channel_id=turn.channel_id,
            thread_ts=turn.thread_ts,
            text=text,
            options=options,
            # A turn that nobody began, such as another app's, is anybody's who sees it.
            answerers=() if turn.user_id is None else (turn.user_id,),
            timeout_s=ANSWER_TIMEOUT_S,
            request_id=digest,
            asked_by=write.actor,
        )

    async def _ask(self, write: Write, request: QuestionRequest, number: int, web: SlackWeb) -> Question:
        """Return the question, as it was asked now or before."""
        began_ms = int(self._clock.now_s() * _MS)
        numbered = replace(request, request_id=f"{request.request_id}-{number}")
        question = await self._questions.ask(write.connection, numbered, through=web)
        if question.created_at_ms >= began_ms and not question.answers:
            await self._note(write, question, actor=write.actor, result="approval_asked")
        return question

    async def _is_approved(self, write: Write, question: Question, turn: Turn) -> bool:
        """Tell whether a closed question lets the call pass; a refusal holds for the turn in which it was given."""
        if question.state is not QuestionState.ANSWERED or not question.answers:
            return False
        answer = question.answers[-1]
        is_yes = answer.answer == question.options[0]
        if is_yes and self._clock.now_s() - answer.answered_at_ms / _MS > APPROVAL_LIFETIME_S:
            return False
        if not is_yes and answer.answered_at_ms / _MS < float(turn.message_ts):
            return False
        is_first = await self._questions.use_answer(write.connection, question.question_id)
        if is_first:
            result = "approved" if is_yes else "rejected"
            await self._note(write, question, actor=f"slack:{answer.user_id}", result=result)
        if not is_yes:
            raise ForbiddenError(f"A person has rejected this call of {write.tool}.")
        return is_first

    async def _note(self, write: Write, question: Question, *, actor: str, result: str) -> None:
        connection_id = write.connection.connection_id
        entry_id = await self._audit.begin(connection_id, actor=actor, tool=write.tool)
        target = "/".join(filter(None, (question.channel_id, question.message_ts)))
        await self._audit.finish(connection_id, entry_id, target=target, result=result)
        _log.info("approval.noted", connection_id=connection_id, question_id=question.question_id, result=result)

    async def _render(self, write: Write) -> str:
        """Return what the call would do: where, by name, and its arguments; as data, and not longer than is read."""
        channel = write.target.get("channel") or write.target.get("channel_id")
        ids = [channel, *write.shown.values()]
        users, channels = _pick(ids, _IS_USER), _pick(ids, _IS_CHANNEL)
        names = {
            **{user: f"@{name}" for user, name in (await self._names.find_user_names(write.connection, users)).items()},
            **{
                place: f"#{name}"
                for place, name in (await self._names.find_channel_names(write.connection, channels)).items()
            },
        }
        lines = [_render_value("→", channel, names)] if isinstance(channel, str) else []
        lines += [_render_value(name, value, names) for name, value in write.shown.items()]
        return _cut_escaped("\n".join(lines), _MAX_GIST_CHARS)


async def _is_inside(write: Write, answering: Sequence[Turn], web: SlackWeb) -> bool:
    """Tell whether only a thread is touched that the bot is answering in."""
    channel = write.target.get("channel") or write.target.get("channel_id")
    here = [turn for turn in answering if turn.channel_id == channel]
    if not here:
        return False
    roots = {turn.thread_ts for turn in here}
    if write.method in _POSTS:
        return write.target.get("thread_ts") in roots and not write.target.get("reply_broadcast")
    ts = write.target.get(_CHANGES.get(write.method, ""))
    if not isinstance(ts, str):
        return False
    known = {ts for turn in here for ts in (turn.thread_ts, turn.message_ts, turn.answer_ts, *turn.parts)}
    return ts in known or await _find_root(web, channel, ts) in roots


async def _find_root(web: SlackWeb, channel: object, ts: str) -> str | None:
    """Return the root of the thread that a message is a reply in, which its link names; None when it is none.

    Source: https://docs.slack.dev/reference/methods/chat.getPermalink.
    """
    answer = await web.read("chat.getPermalink", channel=channel, message_ts=ts)
    return parse_qs(urlsplit(str(answer.get("permalink"))).query).get("thread_ts", [None])[0]


def _find_places(answering: Sequence[Turn]) -> set[tuple[str, Ts]]:
    return {(turn.channel_id, turn.thread_ts) for turn in answering}


def _pick(values: Collection[object], pattern: re.Pattern[str]) -> set[str]:
    """Return the ids among the values, and in the lists among them."""
    flat = [each for value in values for each in (value if isinstance(value, list | tuple) else [value])]
    return {each for each in flat if isinstance(each, str) and pattern.fullmatch(each)}


def _render_value(name: str, value: object, names: Mapping[str, str]) -> str:
    """Return one argument; every line of it but the first is marked, so that it cannot pass for another argument."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        text = ", ".join(_render_id(each, names) for each in value)
    elif isinstance(value, str):
        text = _render_id(value, names)
    else:
        text = json.dumps(value, ensure_ascii=False)
    if len(text) > _MAX_VALUE_CHARS:
        text = f"{text[:_MAX_VALUE_CHARS]}… ({len(text)})"
    first, *rest = clean(text).splitlines() or [""]
    lines = [first] if not rest else ["", *(f"{_LINE}{line}" for line in (first, *rest))]
    return f"{name}: " + "\n".join("".join(c if c.isprintable() else "�" for c in line) for line in lines)


def _render_id(text: str, names: Mapping[str, str]) -> str:
    return f"{names[text]} ({text})" if text in names else text


def _cut_escaped(text: str, limit: int) -> str:
    """Return as much of the text as takes `limit` characters once it is escaped."""
    used = 0
    for number, char in enumerate(text):
        used += len(escape(char))
        if used > limit:
            return f"{text[:number]}…"
    return text
