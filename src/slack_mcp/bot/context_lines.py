"""A thread as lines: what people said, what the bot answered, in the order in which it was said."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from slack_mcp.core.ids import Ts, UserId
from slack_mcp.core.model import Connection
from slack_mcp.ports.transcript import Thread, ThreadAnswer, ThreadMessage
from slack_mcp.protocol.answers import string, text
from slack_mcp.protocol.authors import BOT_SUBTYPE, SPOKEN_SUBTYPES
from slack_mcp.protocol.message_text import read_text
from slack_mcp.protocol.mrkdwn import clean

MAX_MESSAGE_CHARS: Final = 40_000
"""Slack cuts a message there: https://docs.slack.dev/changelog/2018/04/truncating-really-long-messages."""

KEPT_SUBTYPES: Final = SPOKEN_SUBTYPES | {BOT_SUBTYPE}
_MS: Final = 1000
_MS_DIGITS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing said.

    Attributes:
        ts: where it stands in the thread.
        until_ms: unix milliseconds of its end: an answer may take its time.
        speaker: id of the person or bot, None for the connection's own bot and where nobody knows.
        name: what a bot called itself.
        is_own: the connection's bot said it.
        is_answer: it is the answer to a question that an agent was asked.
        is_markup: the text is in Slack's markup, and names people by id.
        text: what was said.
    """

    ts: Ts
    until_ms: int
    speaker: str | None
    name: str | None = None
    is_own: bool = False
    is_answer: bool = False
    is_markup: bool = True
    text: str


def read_message(connection: Connection, raw: Mapping[str, Any], *, thread_ts: Ts) -> ThreadMessage | None:
    """Return a message as it is kept, None for what nobody said, such as a join.

    Args:
        connection: whose bot it is.
        raw: the message as Slack's event or conversations.replies has it.
        thread_ts: the root of its thread.
    """
    ts, user_id, bot_id = (string(raw.get(name)) for name in ("ts", "user", "bot_id"))
    said = clean(read_text(raw))[:MAX_MESSAGE_CHARS]
    if not ts or not said or (text(raw, "subtype") or None) not in KEPT_SUBTYPES:
        return None
    name = string(raw.get("username")) or text(raw.get("bot_profile"), "name")
    return ThreadMessage(
        message_ts=Ts(ts),
        thread_ts=thread_ts,
        user_id=UserId(user_id) if user_id else None,
        bot_id=bot_id or None,
        name=clean(name) if name and bot_id else None,
        text=said,
        is_own=_is_own(connection, user_id=user_id, bot_id=bot_id, app_id=string(raw.get("app_id"))),
    )


def list_lines(thread: Thread) -> list[Line]:
    """Return the thread's lines in order.

    The bot's words are those of its turns, which are whole, and not what Slack shows of them; of its other messages,
    such as what a tool posted, it is what Slack shows. A question that was noted is told as it was edited since.
    """
    of_turns = {part for answer in thread.answers for part in answer.parts}
    noted = {message.message_ts for message in thread.messages if not message.is_own}
    asked = {answer.message_ts for answer in thread.answers}
    lines = [
        _make_line(message)
        for message in thread.messages
        if message.text and not (message.is_own and message.message_ts in of_turns | asked)
    ]
    for answer in thread.answers:
        lines += _list_answer(answer, is_noted=answer.message_ts in noted)
    # An answer that stands nowhere has its question's ts, and comes behind it.
    return sorted(lines, key=lambda line: (line.ts, line.is_answer))


def cut_at_silence(lines: Sequence[Line], *, question_ts: Ts, timeout_s: float) -> Sequence[Line]:
    """Return the lines of the conversation that a question belongs to.

    A conversation with the bot ends with a silence that is longer than `timeout_s`. What people say among themselves
    does not: who asks the bot about what was said this morning means just that.
    """
    parts: list[list[Line]] = [[]]
    heard_ms: int | None = None
    for line in lines:
        if heard_ms is not None and read_ms(line.ts) - heard_ms > timeout_s * _MS:
            parts.append([])
        parts[-1].append(line)
        heard_ms = max(heard_ms or 0, line.until_ms)
    if heard_ms is not None and read_ms(question_ts) - heard_ms > timeout_s * _MS:
        parts.append([])
    conversation = parts.pop()
    while parts and not any(line.is_answer for line in parts[-1]):
        conversation = parts.pop() + conversation
    return conversation


def list_unheard(lines: Iterable[Line], answers: Sequence[ThreadAnswer]) -> list[Line]:
    """Return the lines that an agent which keeps its own history was not told: those since it was asked last."""
    heard = {answer.message_ts for answer in answers if answer.answer is not None}
    since = max(heard, default=Ts(""))
    return [line for line in lines if not line.is_answer and line.ts > since and line.ts not in heard]


def read_ms(ts: str) -> int:
    """Return the unix milliseconds of a message's ts, 0 for what is none."""
    seconds, _, fraction = ts.partition(".")
    if not (seconds.isascii() and seconds.isdigit()):
        return 0
    digits = fraction[:_MS_DIGITS].ljust(_MS_DIGITS, "0")
    return int(seconds) * _MS + (int(digits) if digits.isascii() and digits.isdigit() else 0)


def _make_line(message: ThreadMessage) -> Line:
    return Line(
        ts=message.message_ts,
        until_ms=read_ms(message.message_ts),
        speaker=None if message.is_own else message.user_id or message.bot_id,
        name=message.name,
        is_own=message.is_own,
        text=message.text,
    )


def _list_answer(answer: ThreadAnswer, *, is_noted: bool) -> Iterable[Line]:
    """Return what was asked, where no message of the thread says it, and what was answered."""
    if answer.answer is None:
        return
    if not is_noted and answer.question:
        yield Line(
            ts=answer.message_ts,
            until_ms=read_ms(answer.message_ts),
            speaker=answer.user_id,
            is_markup=False,
            text=answer.question,
        )
    if answer.answer:
        yield Line(
            ts=min(answer.parts, default=answer.message_ts),
            until_ms=answer.ended_at_ms,
            speaker=None,
            is_own=True,
            is_answer=True,
            is_markup=False,
            text=answer.answer,
        )


def _is_own(connection: Connection, *, user_id: str, bot_id: str, app_id: str) -> bool:
    known = {connection.bot_user_id, connection.bot_id, connection.api_app_id}
    return any(each in known for each in (user_id, bot_id, app_id) if each)
