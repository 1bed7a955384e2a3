"""The placeholder that the bot posts for somebody else, who then edits it into the answer."""

from dataclasses import replace
from typing import Final

import anyio
import structlog

from slack_mcp.bot.addressed import Addressed, find_addressed
from slack_mcp.bot.messages import Content, TurnMessages
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import MalformedBodyError, SlackApiError, TriggerUnavailableError
from slack_mcp.core.ids import EventId, Ts
from slack_mcp.core.model import Claim, Connection, JournalledEvent, Turn, TurnState
from slack_mcp.ports.slack import SlackApis
from slack_mcp.ports.store import TurnStore
from slack_mcp.protocol.events import EventCallback, parse_envelope
from slack_mcp.protocol.mrkdwn import escape

LENT: Final = "trigger"
"""The notice of a turn whose placeholder belongs to a trigger's receiver."""

_log = structlog.get_logger(__name__)


class PlaceholderLender:
    """Lends the bot's placeholder to the triggers; see `ports.triggers.AnsweringBot`.

    The event that comes first for a message owns its turn and posts; the others wait for what it stores.

    Args:
        turns: keeps which placeholder stands under which message.
        slack: makes the Web API of the event's connection.
        patience_s: how long an event waits for the one that posts.
        pause_s: seconds between two looks.
    """

    def __init__(self, *, turns: TurnStore, slack: SlackApis, patience_s: float = 5.0, pause_s: float = 0.05) -> None:
        self._turns = turns
        self._slack = slack
        self._patience_s = patience_s
        self._pause_s = pause_s

    async def is_asked(self, connection: Connection, envelope: bytes) -> bool:
        """Tell whether the message is for the bot."""
        return isinstance(await find_addressed(connection, _read(envelope), self._turns), Addressed)

    async def place(self, connection: Connection, event: JournalledEvent, envelope: bytes, claim: Claim) -> Ts | None:
        """Return the ts of the placeholder, posted unless it stands already."""
        begun = await self._begin(connection, envelope, event.event_id, TurnState.STARTED)
        if begun is None or begun.notice != LENT:  # the bot itself answers, or did before it was told not to
            return None
        if begun.event_id != event.event_id:
            return await self._wait_for(begun)
        if begun.answer_ts is not None or begun.state is TurnState.FINISHED:
            return begun.answer_ts
        messages = TurnMessages(api=self._slack.open(connection), turn=begun, may_exist=event.redone)
        try:
            thinking = Content(text=render_sentence(connection.settings.language, Sentence.THINKING))
            ts = await messages.show(0, thinking, None)
        except SlackApiError as error:
            if error.retryable:
                raise
            # Whoever is told can still answer; only nothing can be shown until then.
            _log.info("placeholder.refused", connection_id=connection.connection_id, code=error.code)
            await self._turns.save_turn(replace(begun, state=TurnState.FINISHED), claim)
            return None
        await self._turns.save_turn(replace(begun, state=TurnState.PLACED, answer_ts=ts), claim)
        return ts

    async def withdraw(
        self, connection: Connection, event: JournalledEvent, envelope: bytes, claim: Claim, *, may_speak: bool
    ) -> None:
        """Say in the message's placeholder, if it has one, that no answer will come, and let nobody wait for it."""
        turn = await self._begin(connection, envelope, event.event_id, TurnState.FINISHED)
        if turn is None or turn.notice != LENT or turn.state is TurnState.FINISHED:
            return
        if turn.answer_ts is None:
            if turn.event_id == event.event_id:
                await self._turns.save_turn(replace(turn, state=TurnState.FINISHED), claim)
        elif may_speak and await self._is_untouched(connection, turn):
            sentence = render_sentence(
                connection.settings.language, Sentence.NO_ANSWER, reference=escape(event.event_id)
            )
            messages = TurnMessages(api=self._slack.open(connection), turn=turn, may_exist=True)
            ts = await messages.show(0, Content(text=sentence), turn.answer_ts)
            await self._turns.save_turn(replace(turn, state=TurnState.FINISHED, answer_ts=ts), claim)

    async def _is_untouched(self, connection: Connection, turn: Turn) -> bool:
        """Tell whether the placeholder stands as it was posted: a receiver that seemed to fail may have answered."""
        thinking = render_sentence(connection.settings.language, Sentence.THINKING)
        own = await self._slack.open(connection).fetch_own_replies(
            turn.channel_id, turn.thread_ts, oldest=turn.message_ts
        )
        return any(each.ts == turn.answer_ts and each.text == thinking for each in own)

    async def _begin(self, connection: Connection, envelope: bytes, event_id: EventId, state: TurnState) -> Turn | None:
        """Return the message's turn as the store has it, None when the message is not for the bot."""
        decision = await find_addressed(connection, _read(envelope), self._turns)
        if not isinstance(decision, Addressed):
            return None
        return await self._turns.begin_turn(
            Turn(
                connection_id=connection.connection_id,
                channel_id=decision.channel_id,
                message_ts=decision.message_ts,
                thread_ts=decision.thread_ts,
                event_id=event_id,
                user_id=decision.user_id,
                state=state,
                question=decision.question,
                notice=LENT,
            )
        )

    async def _wait_for(self, turn: Turn) -> Ts | None:
        """Return what the turn's owner posts; raises TriggerUnavailableError when it takes too long."""
        standing = turn
        with anyio.move_on_after(self._patience_s):
            while standing.answer_ts is None and standing.state is not TurnState.FINISHED:
                await anyio.sleep(self._pause_s)
                standing = await self._turns.begin_turn(turn)
        if standing.answer_ts is None and standing.state is not TurnState.FINISHED:
            raise TriggerUnavailableError("Another delivery of the same message is about to post its placeholder.")
        return standing.answer_ts


def _read(envelope: bytes) -> EventCallback:
    """Return the event of an envelope; raises MalformedBodyError."""
    event = parse_envelope(envelope)
    if not isinstance(event, EventCallback):
        raise MalformedBodyError("The envelope holds no event.")
    return event
