"""Questions and answers in the database, their texts sealed; see `ports.questions.QuestionStore`.

`due_at_ms` is when the sweep has to look at a question: at its end while it is open, a moment after it was closed in
case nobody came to show it, and never once its message shows how it ended.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
from sqlalchemy import case, delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import SealingError
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts, UserId
from slack_mcp.ports.questions import Answer, Question, QuestionState, Recorded
from slack_mcp.sealing import ConnectionSealer, Sealer
from slack_mcp.store.data_keys import get_data_keys
from slack_mcp.store.database import Database
from slack_mcp.store.schema import answers, questions

SHOW_LEASE_S: Final = 20.0
_CONTENT: Final = "question_content"
_ANSWER: Final = "question_answer"
_MS: Final = 1000
_OPEN: Final = QuestionState.OPEN.value
_KEY: Final = (questions.c.connection_id, questions.c.question_id)

_log = structlog.get_logger(__name__)


class _Content(msgspec.Struct):
    """What is sealed of a question."""

    text: str
    options: tuple[str, ...]
    has_form: bool


class SqlQuestionStore:
    """`ports.questions.QuestionStore`."""

    def __init__(self, database: Database, sealer: Sealer, *, clock: Clock) -> None:
        self._database = database
        self._keys = get_data_keys(database, sealer)
        self._clock = clock

    async def add_question(self, question: Question) -> Question | None:
        """Insert the question; returns the one that stands when there is one already, else None."""
        content = _Content(text=question.text, options=question.options, has_form=question.has_form)
        now_ms = self._now_ms()
        sealer = await self._keys.of(question.connection_id)
        statement = (
            self._database.insert(questions)
            .values(
                connection_id=question.connection_id,
                question_id=question.question_id,
                channel_id=question.channel_id,
                thread_ts=question.thread_ts,
                message_ts=question.message_ts,
                asked_by=question.asked_by,
                content=sealer.seal(_CONTENT, msgspec.json.encode(content).decode()),
                answerers=msgspec.json.encode(question.answerers).decode(),
                quorum=question.quorum,
                state=question.state.value,
                expires_at_ms=question.expires_at_ms,
                due_at_ms=question.expires_at_ms,
                created_at_ms=question.created_at_ms,
                updated_at_ms=now_ms,
            )
            .on_conflict_do_nothing(index_elements=list(questions.primary_key))
            .returning(questions.c.question_id)
        )
        async with self._database.transaction() as database:
            if (await database.execute(statement)).first() is not None:
                return None
            return await self._load(database, question.connection_id, question.question_id)

    async def load_question(self, connection_id: ConnectionId, question_id: str) -> Question | None:
        """Return the question with its answers, or None."""
        async with self._database.reading() as database:
            return await self._load(database, connection_id, question_id)

    async def claim_posting(self, connection_id: ConnectionId, question_id: str, *, lease_s: float) -> bool:
        """Tell whether the caller is to post the question: whoever began to has had `lease_s` seconds."""
        now_ms = self._now_ms()
        statement = (
            update(questions)
            .where(
                *_is(connection_id, question_id),
                questions.c.message_ts.is_(None),
                questions.c.updated_at_ms <= now_ms - int(lease_s * _MS),
            )
            .values(updated_at_ms=now_ms)
        )
        return await self._change(statement)

    async def save_posted(self, connection_id: ConnectionId, question_id: str, message_ts: Ts) -> None:
        """Store the question's message, unless it is known."""
        statement = update(questions).where(*_is(connection_id, question_id), questions.c.message_ts.is_(None))
        await self._change(statement.values(message_ts=message_ts, updated_at_ms=self._now_ms()))

    async def cancel_question(self, connection_id: ConnectionId, question_id: str) -> None:
        """Close the question, if it is open."""
        statement = update(questions).where(*_is(connection_id, question_id), questions.c.state == _OPEN)
        state = QuestionState.CANCELLED.value
        await self._change(statement.values(state=state, due_at_ms=None, updated_at_ms=self._now_ms()))

    async def remove_question(self, connection_id: ConnectionId, question_id: str) -> None:
        """Delete a question that nobody has seen."""
        await self._change(delete(questions).where(*_is(connection_id, question_id), questions.c.message_ts.is_(None)))

    async def add_answer(
        self, connection_id: ConnectionId, question_id: str, user_id: UserId, answer: str
    ) -> Recorded | None:
        """Record the answer, and close the question when the quorum is reached; see the port."""
        now_ms = self._now_ms()
        async with self._database.transaction() as database:
            # The row is locked, so that two people who answer at once are counted one after the other.
            locked = select(questions.c.question_id).where(*_is(connection_id, question_id)).with_for_update()
            if (await database.execute(locked)).first() is None:
                return None
            question = await self._load(database, connection_id, question_id)
            if question is None:
                return None
            if question.state is not QuestionState.OPEN or question.expires_at_ms <= now_ms:
                is_known = any((each.user_id, each.answer) == (user_id, answer) for each in question.answers)
                return Recorded(question=question, is_taken=is_known)
            await self._write_answer(database, question, Answer(user_id=user_id, answer=answer, answered_at_ms=now_ms))
            people = {each.user_id for each in question.answers} | {user_id}
            values: dict[str, Any] = {"updated_at_ms": now_ms}
            if len(people) >= question.quorum:
                values |= {"state": QuestionState.ANSWERED.value, "due_at_ms": now_ms + int(SHOW_LEASE_S * _MS)}
            await database.execute(update(questions).where(*_is(connection_id, question_id)).values(**values))
            standing = await self._load(database, connection_id, question_id)
        return None if standing is None else Recorded(question=standing, is_taken=True)

    async def use_answer(self, connection_id: ConnectionId, question_id: str) -> bool:
        """Tell whether the caller is to act upon the answer: the first who asks is."""
        statement = update(questions).where(
            *_is(connection_id, question_id),
            questions.c.state == QuestionState.ANSWERED.value,
            questions.c.used_at_ms.is_(None),
        )
        return await self._change(statement.values(used_at_ms=self._now_ms()))

    async def claim_due(self, *, lease_s: float, limit: int) -> Sequence[Question]:
        """Expire what is over, and return what is closed and not shown as closed yet."""
        now_ms = self._now_ms()
        due = (
            select(*_KEY)
            .where(questions.c.due_at_ms <= now_ms)
            .order_by(questions.c.due_at_ms)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = (
            update(questions)
            .where(tuple_(*_KEY).in_(due))
            .values(
                state=case((questions.c.state == _OPEN, QuestionState.EXPIRED.value), else_=questions.c.state),
                due_at_ms=now_ms + int(lease_s * _MS),
                updated_at_ms=case((questions.c.state == _OPEN, now_ms), else_=questions.c.updated_at_ms),
            )
            .returning(*_KEY)
        )
        async with self._database.transaction() as database:
            keys = [(row.connection_id, row.question_id) for row in await database.execute(statement)]
            found = [await self._load_readable(database, ConnectionId(owner), name) for owner, name in keys]
        return [question for question in found if question is not None]

    async def expire_question(self, connection_id: ConnectionId, question_id: str) -> Question | None:
        """Expire the question if its time is over; returns it as it stands."""
        now_ms = self._now_ms()
        statement = (
            update(questions)
            .where(*_is(connection_id, question_id), questions.c.state == _OPEN, questions.c.expires_at_ms <= now_ms)
            .values(
                state=QuestionState.EXPIRED.value,
                due_at_ms=now_ms + int(SHOW_LEASE_S * _MS),
                updated_at_ms=now_ms,
            )
        )
        await self._change(statement)
        return await self.load_question(connection_id, question_id)

    async def save_shown(self, connection_id: ConnectionId, question_id: str) -> None:
        """Note that the question's message shows how it ended."""
        statement = update(questions).where(*_is(connection_id, question_id), questions.c.state != _OPEN)
        await self._change(statement.values(due_at_ms=None))

    async def delete_questions(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` closed questions with their answers; returns how many."""
        oldest_ms = self._now_ms() - int(before_s * _MS)
        old = (
            select(*_KEY)
            .where(questions.c.updated_at_ms <= oldest_ms, questions.c.state != _OPEN)
            .order_by(questions.c.updated_at_ms)
            .limit(limit)
        )
        async with self._database.transaction() as database:
            keys = [tuple(row) for row in await database.execute(old)]
            if keys:
                await database.execute(delete(answers).where(_belongs_to(answers, keys)))
                await database.execute(delete(questions).where(_belongs_to(questions, keys)))
        return len(keys)

    async def _write_answer(self, database: AsyncConnection, question: Question, answer: Answer) -> None:
        sealer = await self._keys.of(question.connection_id, session=database)
        values = {
            "answer": sealer.seal(_ANSWER, answer.answer),
            "answered_at_ms": answer.answered_at_ms,
        }
        statement = self._database.insert(answers).values(
            connection_id=question.connection_id, question_id=question.question_id, user_id=answer.user_id, **values
        )
        await database.execute(statement.on_conflict_do_update(index_elements=list(answers.primary_key), set_=values))

    async def _load(self, database: AsyncConnection, connection_id: ConnectionId, question_id: str) -> Question | None:
        row = (
            (await database.execute(select(questions).where(*_is(connection_id, question_id)))).mappings().one_or_none()
        )
        if row is None:
            return None
        given = (
            select(answers)
            .where(answers.c.connection_id == connection_id, answers.c.question_id == question_id)
            .order_by(answers.c.answered_at_ms, answers.c.user_id)
        )
        answered = (await database.execute(given)).mappings().all()
        stored = (row["content"], *(each["answer"] for each in answered))
        return _open(await self._keys.of(connection_id, *stored, session=database), row, answered)

    async def _load_readable(
        self, database: AsyncConnection, connection_id: ConnectionId, question_id: str
    ) -> Question | None:
        """Return the question, None when its texts do not open: that is no reason to keep the others waiting."""
        try:
            return await self._load(database, connection_id, question_id)
        except SealingError as error:
            _log.error("question.unreadable", connection_id=connection_id, question_id=question_id, error=str(error))
            return None

    async def _change(self, statement: Any) -> bool:
        async with self._database.transaction() as database:
            return bool((await database.execute(statement)).rowcount)

    def _now_ms(self) -> int:
        return int(self._clock.now_s() * _MS)


def _open(sealer: ConnectionSealer, row: Mapping[Any, Any], given: Sequence[Mapping[Any, Any]]) -> Question:
    connection_id = ConnectionId(row["connection_id"])
    content = msgspec.json.decode(sealer.open(_CONTENT, row["content"]), type=_Content)
    return Question(
        connection_id=connection_id,
        question_id=row["question_id"],
        channel_id=ChannelId(row["channel_id"]),
        thread_ts=None if row["thread_ts"] is None else Ts(row["thread_ts"]),
        message_ts=None if row["message_ts"] is None else Ts(row["message_ts"]),
        asked_by=row["asked_by"],
        text=content.text,
        options=content.options,
        has_form=content.has_form,
        answerers=tuple(UserId(each) for each in msgspec.json.decode(row["answerers"], type=list[str])),
        quorum=row["quorum"],
        state=QuestionState(row["state"]),
        expires_at_ms=row["expires_at_ms"],
        created_at_ms=row["created_at_ms"],
        answers=tuple(
            Answer(
                user_id=UserId(each["user_id"]),
                answer=sealer.open(_ANSWER, each["answer"]),
                answered_at_ms=each["answered_at_ms"],
            )
            for each in given
        ),
        is_used=row["used_at_ms"] is not None,
    )


def _is(connection_id: ConnectionId, question_id: str) -> tuple[Any, ...]:
    return questions.c.connection_id == connection_id, questions.c.question_id == question_id


def _belongs_to(table: Any, keys: Sequence[tuple[Any, ...]]) -> Any:
    return tuple_(table.c.connection_id, table.c.question_id).in_(keys)
