"""What was said in threads, in the database, sealed; see `ports.transcript`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts, UserId
from slack_mcp.ports.transcript import Thread, ThreadAnswer, ThreadMessage
from slack_mcp.sealing import ConnectionSealer, Sealer
from slack_mcp.store.data_keys import get_data_keys
from slack_mcp.store.database import Database
from slack_mcp.store.schema import messages, threads
from slack_mcp.store.transcript_rounds import TranscriptRounds, Wanted, render_ts
from slack_mcp.store.turns import is_thread, pass_over_destroyed, read_parts

_MS: Final = 1000
_CONTENT: Final = "message_content"
_SUMMARY: Final = "thread_summary"
_MESSAGE_KEY: Final = (messages.c.connection_id, messages.c.channel_id, messages.c.message_ts)
_THREAD_KEY: Final = (threads.c.connection_id, threads.c.channel_id, threads.c.thread_ts)


class _Content(msgspec.Struct):
    """What is sealed of a message."""

    text: str
    name: str | None = None
    is_own: bool = False


class SqlTranscript:
    """Two ports: `Transcript` and `TranscriptArchive`."""

    def __init__(self, database: Database, sealer: Sealer, *, clock: Clock) -> None:
        self._database = database
        self._keys = get_data_keys(database, sealer)
        self._rounds = TranscriptRounds(database)
        self._clock = clock

    async def add_message(self, connection_id: ConnectionId, channel_id: ChannelId, message: ThreadMessage) -> None:
        """Insert the message, unless there is one with its ts."""
        sealer = await self._keys.of(connection_id)
        await self._rounds.add(_render_message(sealer, connection_id, channel_id, message, self._now_ms()))

    async def replace_text(self, connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts, text: str) -> bool:
        """Change what a message says, and forget a summary that tells of it; False when it is not kept."""
        where = _is_message(connection_id, channel_id, message_ts)
        async with self._database.transaction() as database:
            locked = select(messages.c.thread_ts, messages.c.content).where(*where).with_for_update()
            row = (await database.execute(locked)).first()
            if row is None:
                return False
            sealer = await self._keys.of(connection_id, row.content, session=database)
            content = _open(sealer, row.content)
            if content.text != text:
                content.text = text
                sealed = _seal(sealer, content)
                await database.execute(update(messages).where(*where).values(content=sealed))
                tells_of_it = threads.c.summarized_until_ts >= message_ts
                await database.execute(
                    update(threads)
                    .where(*is_thread(connection_id, channel_id, row.thread_ts), tells_of_it)
                    .values(summary=None, summarized_until_ts=None)
                )
        return True

    async def load_thread(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, *, before_ts: Ts, limit: int
    ) -> Thread:
        """Return what was said in the thread before a message, since the thread was last reset."""
        wanted = Wanted(connection_id, channel_id, thread_ts, before_ts, limit)
        state, spoken, answers = await self._rounds.load(wanted)
        sealer = await self._keys.of(
            connection_id,
            None if state is None else state["summary"],
            *(row["content"] for row in spoken),
            *(row[name] for row in answers for name in ("question", "answer")),
        )
        return Thread(
            messages=tuple(pass_over_destroyed(_read_message, sealer, spoken)),
            answers=tuple(pass_over_destroyed(_read_answer, sealer, answers)),
            **_read_state(sealer, state),
        )

    async def fill_thread(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, messages: Sequence[ThreadMessage]
    ) -> None:
        """Insert what Slack had of the thread since it was last reset, and note that this was done."""
        now_ms = self._now_ms()
        statement = (
            self._database.insert(threads)
            .values(
                connection_id=connection_id,
                channel_id=channel_id,
                thread_ts=thread_ts,
                generation=0,
                reset_at_ms=0,
                filled_at_ms=now_ms,
                updated_at_ms=now_ms,
            )
            .on_conflict_do_update(
                index_elements=list(threads.primary_key),
                set_={"filled_at_ms": now_ms, "summary": None, "summarized_until_ts": None, "updated_at_ms": now_ms},
            )
            .returning(threads.c.reset_at_ms)
        )
        async with self._database.transaction() as database:
            reset_ts = render_ts((await database.execute(statement)).scalar_one())
            since = [each for each in messages if each.message_ts > reset_ts]
            if since:
                await self._insert(database, connection_id, channel_id, since)

    async def save_summary(
        self,
        connection_id: ConnectionId,
        channel_id: ChannelId,
        thread_ts: Ts,
        *,
        summary: str,
        until_ts: Ts,
        generation: int,
    ) -> None:
        """Store the summary, unless the thread was reset since its messages were loaded."""
        sealer = await self._keys.of(connection_id)
        values = {
            "summary": sealer.seal(_SUMMARY, summary),
            "summarized_until_ts": until_ts,
            "updated_at_ms": self._now_ms(),
        }
        statement = (
            self._database.insert(threads)
            .values(
                connection_id=connection_id,
                channel_id=channel_id,
                thread_ts=thread_ts,
                generation=generation,
                reset_at_ms=0,
                **values,
            )
            .on_conflict_do_update(
                index_elements=list(threads.primary_key), set_=values, where=threads.c.generation == generation
            )
        )
        async with self._database.transaction() as database:
            await database.execute(statement)

    async def delete_messages(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` old messages; returns how many."""
        old = (
            select(*_MESSAGE_KEY)
            .where(messages.c.created_at_ms <= self._now_ms() - int(before_s * _MS))
            .order_by(messages.c.created_at_ms)
            .limit(limit)
        )
        async with self._database.transaction() as database:
            return int((await database.execute(delete(messages).where(tuple_(*_MESSAGE_KEY).in_(old)))).rowcount)

    async def delete_threads(self, *, before_s: float, limit: int) -> int:
        """Forget the summaries of up to `limit` quiet threads, and whatever was never reset; returns how many."""
        cutoff_ms = self._now_ms() - int(before_s * _MS)
        old = (
            select(*_THREAD_KEY, threads.c.generation)
            .where(threads.c.updated_at_ms <= cutoff_ms)
            .order_by(threads.c.updated_at_ms)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        async with self._database.transaction() as database:
            rows = (await database.execute(old)).all()
            for is_reset in (False, True):
                keys = [tuple(row[:3]) for row in rows if bool(row.generation) is is_reset]
                if keys:
                    among = tuple_(*_THREAD_KEY).in_(keys)
                    nothing = {"summary": None, "summarized_until_ts": None, "updated_at_ms": None}
                    await database.execute(
                        update(threads).where(among).values(**nothing) if is_reset else delete(threads).where(among)
                    )
        return len(rows)

    async def _insert(
        self,
        database: AsyncConnection,
        connection_id: ConnectionId,
        channel_id: ChannelId,
        said: Sequence[ThreadMessage],
    ) -> None:
        now_ms = self._now_ms()
        sealer = await self._keys.of(connection_id, session=database)
        rows = [_render_message(sealer, connection_id, channel_id, each, now_ms) for each in said]
        statement = self._database.insert(messages).on_conflict_do_nothing(index_elements=list(messages.primary_key))
        await database.execute(statement, rows)

    def _now_ms(self) -> int:
        return int(self._clock.now_s() * _MS)


def _render_message(
    sealer: ConnectionSealer, connection_id: ConnectionId, channel_id: ChannelId, message: ThreadMessage, now_ms: int
) -> dict[str, Any]:
    """Return a message's row."""
    return {
        "connection_id": connection_id,
        "channel_id": channel_id,
        "message_ts": message.message_ts,
        "thread_ts": message.thread_ts,
        "user_id": message.user_id,
        "bot_id": message.bot_id,
        "content": _seal(sealer, _Content(text=message.text, name=message.name, is_own=message.is_own)),
        "created_at_ms": now_ms,
    }


def _seal(sealer: ConnectionSealer, content: _Content) -> str:
    return sealer.seal(_CONTENT, msgspec.json.encode(content).decode())


def _open(sealer: ConnectionSealer, stored: str) -> _Content:
    return msgspec.json.decode(sealer.open(_CONTENT, stored), type=_Content)


def _read_message(sealer: ConnectionSealer, row: Mapping[Any, Any]) -> ThreadMessage:
    content = _open(sealer, row["content"])
    return ThreadMessage(
        message_ts=Ts(row["message_ts"]),
        thread_ts=Ts(row["thread_ts"]),
        user_id=None if row["user_id"] is None else UserId(row["user_id"]),
        bot_id=row["bot_id"],
        text=content.text,
        name=content.name,
        is_own=content.is_own,
    )


def _read_answer(sealer: ConnectionSealer, row: Mapping[Any, Any]) -> ThreadAnswer:
    answer = row["answer"]
    shown = {row["answer_ts"], *(ts for ts, _ in read_parts(row["parts"]))} - {None}
    return ThreadAnswer(
        message_ts=Ts(row["message_ts"]),
        user_id=None if row["user_id"] is None else UserId(row["user_id"]),
        question=sealer.open("question", row["question"]),
        answer=None if answer is None else sealer.open("answer", answer),
        parts=tuple(map(Ts, sorted(shown))),
        ended_at_ms=row["updated_at_ms"],
    )


def _read_state(sealer: ConnectionSealer, row: Mapping[Any, Any] | None) -> dict[str, Any]:
    if row is None:
        return {}
    summary = row["summary"]
    return {
        "generation": row["generation"],
        "is_filled": row["filled_at_ms"] is not None,
        "summary": None if summary is None else sealer.open(_SUMMARY, summary),
        "summarized_until_ts": row["summarized_until_ts"],
        "viewed_channel_id": row["viewed_channel_id"],
    }


def _is_message(connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts) -> tuple[Any, ...]:
    return (
        messages.c.connection_id == connection_id,
        messages.c.channel_id == channel_id,
        messages.c.message_ts == message_ts,
    )
