"""Putting events back to be worked on again, and ending them: what an operator may do, batch by batch.

A command that was interrupted can be started again: what is put back is unfinished from that moment on and is left
alone, and what was asked again and is answered already is known by when it was put back.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from slack_mcp.core.errors import SealingError
from slack_mcp.core.ids import ChannelId, ConnectionId
from slack_mcp.core.model import Delivery, EventState, Turn, TurnState
from slack_mcp.ports.audit import AuditLog
from slack_mcp.ports.operations import Deliveries, Ending, EventFilter, JournalOperations, KeptEvent, PutBack
from slack_mcp.protocol.events import MESSAGE_TYPES
from slack_mcp.protocol.shadow import make_shadow

BATCH: Final = 100
MAX_TARGET_CHARS: Final = 2_000
SAME_MESSAGE: Final = "same_message"
_UNFINISHED: Final = frozenset({EventState.RECEIVED, EventState.WAITING})


class Verdict(StrEnum):
    """What becomes of an event that is to be replayed."""

    PUT_BACK = "put_back"
    ASKED_AGAIN = "asked_again"
    UNFINISHED = "unfinished"
    ANSWERED = "answered"
    DONE = "done"
    SAME_MESSAGE = "same_message"
    LATELY = "replayed_lately"
    CHANGED = "changed"
    SHADOWED = "shadowed"
    NO_MESSAGE = "no_message"
    UNREADABLE = "unreadable"
    IN_SHADOW = "in_shadow"

    @property
    def is_worked_on(self) -> bool:
        """Whether the event is worked on again; otherwise it is left as it is."""
        return self in {Verdict.PUT_BACK, Verdict.ASKED_AGAIN, Verdict.SHADOWED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a replay may do.

    Attributes:
        again: what is done is done again: another answer takes the place of the one that stands in the thread.
        lately_ms: what was done again this long ago is left alone.
    """

    again: bool = False
    lately_ms: int = 0


def judge(event: KeptEvent, turn: Turn | None, rules: Rules, *, now_ms: int) -> Verdict:
    """Return what a replay would do with an event.

    Args:
        event: as the journal has it.
        turn: of the message that it is about, if there is one.
        rules: what may be done.
        now_ms: the database's time.
    """
    if event.state in _UNFINISHED:
        return Verdict.UNFINISHED
    own = _find_own(event, turn)
    if own is None and event.reason == SAME_MESSAGE:
        return Verdict.SAME_MESSAGE
    if rules.again and own is not None and own.answer is not None:
        agreed = Verdict.ASKED_AGAIN
    elif rules.again or not _is_whole(event, own):
        agreed = Verdict.PUT_BACK
    else:
        return Verdict.DONE if own is None else Verdict.ANSWERED
    is_late = event.replayed_at_ms is not None and now_ms - event.replayed_at_ms < rules.lately_ms
    return Verdict.LATELY if is_late and event.state is EventState.DONE else agreed


def judge_shadow(event: KeptEvent) -> Verdict:
    """Return what a replay into another channel would do with an event; whether it is for the bot is found out then."""
    if event.event_type not in MESSAGE_TYPES:
        return Verdict.NO_MESSAGE
    if event.state in _UNFINISHED:
        return Verdict.UNFINISHED
    return Verdict.SAME_MESSAGE if event.reason == SAME_MESSAGE else Verdict.SHADOWED


def _find_own(event: KeptEvent, turn: Turn | None) -> Turn | None:
    """Return the turn, if it is this event that is answered there, and not another one about the same message."""
    return turn if turn is not None and turn.event_id == event.event_id else None


def _is_whole(event: KeptEvent, own: Turn | None) -> bool:
    """Tell whether all is done that the event asked for. A sentence in an answer's place is not."""
    if own is None:
        return event.state is EventState.DONE
    return own.state is TurnState.FINISHED and own.answer is not None and event.state is not EventState.DEAD


class Operator:
    """Works through the events that are chosen, the oldest first.

    Args:
        operations: the journal.
        journal: takes what is made for another channel.
        audit: every batch is in it before anything is changed.
        actor: who does it.
    """

    def __init__(self, *, operations: JournalOperations, journal: Deliveries, audit: AuditLog, actor: str) -> None:
        self._operations = operations
        self._journal = journal
        self._audit = audit
        self._actor = actor

    async def replay(
        self, chosen: EventFilter, rules: Rules, *, limit: int | None = None, dry_run: bool = False
    ) -> AsyncGenerator[Sequence[tuple[KeptEvent, Verdict]], None]:
        """Yield what became of each event, a batch at a time, each after its commit.

        Args:
            chosen: which events.
            rules: what may be done.
            limit: how many events are looked at.
            dry_run: nothing is changed, and yielded what would be.

        Raises:
            StoreUnavailableError: what was yielded before is done.
        """
        async for batch in self._walk(chosen, limit):
            turns = await self._operations.load_turns(batch)
            now_ms = await self._operations.now_ms()
            verdicts = {each.id: judge(each, turns.get(each.id), rules, now_ms=now_ms) for each in batch}
            if not dry_run:
                verdicts |= await self._put_back(batch, turns, verdicts)
            yield [(each, verdicts[each.id]) for each in batch]

    async def shadow(
        self, chosen: EventFilter, channel_id: ChannelId, *, limit: int | None = None, dry_run: bool = False
    ) -> AsyncGenerator[Sequence[tuple[KeptEvent, Verdict]], None]:
        """Have messages answered in another channel of their workspace; yields as `replay` does.

        Nothing changes where they were asked. What was put there before is left alone.
        """
        async for batch in self._walk(chosen, limit):
            verdicts = {each.id: judge_shadow(each) for each in batch}
            if not dry_run:
                verdicts |= await self._copy([each for each in batch if verdicts[each.id].is_worked_on], channel_id)
            yield [(each, verdicts[each.id]) for each in batch]

    async def discard(
        self, chosen: EventFilter, *, detail: str | None, limit: int | None = None, dry_run: bool = False
    ) -> AsyncGenerator[Sequence[tuple[KeptEvent, Ending]], None]:
        """Yield what became of each event, as `replay` does.

        Args:
            chosen: which events; those that are done or skipped need no end.
            detail: what the operator says about it.
            limit: how many events are looked at.
            dry_run: nothing is changed, and yielded what would be, but for what a pod works on at that moment.
        """
        async for batch in self._walk(chosen, limit):
            if dry_run:
                yield [(each, Ending.DISCARDED) for each in batch]
                continue
            entries = await self._begin("events discard", batch)
            endings = await self._operations.discard(batch, detail=detail)
            await self._finish(entries, [each for each in batch if endings[each.id] is Ending.DISCARDED])
            yield [(each, endings[each.id]) for each in batch]

    async def _walk(self, chosen: EventFilter, limit: int | None) -> AsyncIterator[Sequence[KeptEvent]]:
        last, left = 0, limit
        while left is None or left > 0:
            size = BATCH if left is None else min(BATCH, left)
            batch = await self._operations.list_events(chosen, after_id=last, limit=size)
            if batch:
                yield batch
            if len(batch) < size:
                return
            last = batch[-1].id
            left = None if left is None else left - len(batch)

    async def _put_back(
        self, batch: Sequence[KeptEvent], turns: Mapping[int, Turn], verdicts: Mapping[int, Verdict]
    ) -> Mapping[int, Verdict]:
        """Put back what is to be, and return what came of it otherwise than was meant."""
        wanted = [each for each in batch if verdicts[each.id].is_worked_on]
        if not wanted:
            return {}
        entries = await self._begin("events replay", wanted)
        done = await self._operations.put_back(
            [PutBack(event=each, turn=_find_reopened(each, turns.get(each.id), verdicts[each.id])) for each in wanted]
        )
        await self._finish(entries, [each for each in wanted if each.id in done])
        return {each.id: Verdict.CHANGED for each in wanted if each.id not in done}

    async def _copy(self, wanted: Sequence[KeptEvent], channel_id: ChannelId) -> Mapping[int, Verdict]:
        """Journal what is answered in the channel, and return what came of it."""
        verdicts = dict.fromkeys((each.id for each in wanted), Verdict.SHADOWED)
        copies: dict[int, Delivery] = {}
        for each in wanted:
            try:
                payload = await self._operations.load_payload(each.connection_id, each.id)
            except SealingError:
                payload = None
            if payload is None:
                verdicts[each.id] = Verdict.UNREADABLE
            else:
                copies[each.id] = make_shadow(
                    each.connection_id,
                    each.event_id,
                    event_time=each.event_time,
                    lane=each.lane,
                    payload=payload,
                    channel_id=channel_id,
                )
        if copies:
            entries = await self._begin(
                "events replay --shadow-channel", [each for each in wanted if each.id in copies]
            )
            new = await self._journal.append(list(copies.values()))
            verdicts |= {number: Verdict.IN_SHADOW for number, is_new in zip(copies, new, strict=True) if not is_new}
            await self._finish(entries, [each for each in wanted if verdicts[each.id] is Verdict.SHADOWED])
            await self._journal.notify_work()
        return verdicts

    async def _begin(self, what: str, batch: Sequence[KeptEvent]) -> Mapping[ConnectionId, int]:
        """Write into the audit of each connection what is about to be done."""
        connections = dict.fromkeys(each.connection_id for each in batch)
        return {each: await self._audit.begin(each, actor=self._actor, tool=what) for each in connections}

    async def _finish(self, entries: Mapping[ConnectionId, int], done: Sequence[KeptEvent]) -> None:
        """Write with which events it was done."""
        for connection_id, entry in entries.items():
            ids = " ".join(each.event_id for each in done if each.connection_id == connection_id)
            await self._audit.finish(connection_id, entry, target=ids[:MAX_TARGET_CHARS] or None, result="ok")


def _find_reopened(event: KeptEvent, turn: Turn | None, verdict: Verdict) -> Turn | None:
    """Return the event's turn, if what it came to must not be the last word."""
    own = _find_own(event, turn)
    if own is None:
        return None
    is_sentence = own.state is TurnState.FINISHED and own.answer is None
    return own if is_sentence or verdict is Verdict.ASKED_AGAIN else None
