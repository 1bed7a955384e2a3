"""Works on the journalled events: what is for the bot becomes a turn."""

import structlog

from slack_mcp.bot.addressed import Addressed, SkipReason, decide
from slack_mcp.bot.messages import TurnMessages
from slack_mcp.bot.turn import ANSWERED, NO_ANSWER, TurnRun, reopen
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import (
    MalformedBodyError,
    MissingScopeError,
    SlackMcpError,
    SlackRefusedError,
    TokenRevokedError,
)
from slack_mcp.core.model import Claim, Connection, EventState, JournalledEvent, Outcome, Turn, TurnState
from slack_mcp.ports.agent import Agents
from slack_mcp.ports.slack import SlackApis
from slack_mcp.ports.store import TurnStore
from slack_mcp.protocol.events import EventCallback, parse_envelope

_log = structlog.get_logger(__name__)


class BotHandler:
    """Answers what people ask the bot; see `ports.handler.EventHandler`.

    Args:
        turns: keeps the turns.
        slack: makes the Web API of the event's connection.
        agents: chooses who answers.
        clock: for the durations in the log.
        turn_timeout_s: the longest time an agent may take for one answer.
    """

    def __init__(
        self, *, turns: TurnStore, slack: SlackApis, agents: Agents, clock: Clock, turn_timeout_s: float
    ) -> None:
        self._turns = turns
        self._slack = slack
        self._agents = agents
        self._clock = clock
        self._turn_timeout_s = turn_timeout_s

    async def handle(self, connection: Connection, event: JournalledEvent, claim: Claim) -> Outcome:
        """Answer the event and return DONE, or SKIPPED and why it is not answered.

        Raises:
            SlackMcpError: the turn stands where it was stored, and may be run again.
        """
        started_s = self._clock.monotonic_s()
        begun = await self._begin(connection, event)
        if isinstance(begun, str):
            return Outcome(state=EventState.SKIPPED, reason=str(begun))
        turn = begun
        if turn.state is TurnState.FINISHED:
            if turn.notice != NO_ANSWER:
                return Outcome(state=EventState.DONE, reason=turn.notice or ANSWERED)
            turn = reopen(turn)  # it was given up, and then somebody had the dead event replayed
        run = self._make_run(connection, turn, claim, may_exist=event.redone or begun.state is not TurnState.STARTED)
        outcome = await run.run()
        _log.info(
            "turn.finished",
            connection_id=connection.connection_id,
            event_id=event.event_id,
            outcome=outcome.reason,
            redone=event.redone,
            attempts=event.attempts,
            answer_chars=len(run.turn.answer or ""),
            duration_ms=round(1000 * (self._clock.monotonic_s() - started_s)),
        )
        return outcome

    async def give_up(self, connection: Connection, event: JournalledEvent, claim: Claim, error: SlackMcpError) -> None:
        """Replace the placeholder by the sentence that no answer will come, where Slack still lets us speak.

        Raises:
            SlackMcpError: it could not be said, or not be stored.
        """
        turn = await self._begin(connection, event)
        if isinstance(turn, str) or turn.state is TurnState.FINISHED:
            return
        run = self._make_run(connection, turn, claim, may_exist=True)
        await run.give_up(may_speak=not isinstance(error, TokenRevokedError | MissingScopeError | SlackRefusedError))
        _log.info(
            "turn.given_up", connection_id=connection.connection_id, event_id=event.event_id, error_code=error.code
        )

    async def _begin(self, connection: Connection, event: JournalledEvent) -> Turn | str:
        """Return the event's turn as the store has it, or the word why it has none."""
        try:
            envelope = parse_envelope(event.payload)
        except MalformedBodyError as error:
            return error.code
        if not isinstance(envelope, EventCallback):
            return SkipReason.EVENT_TYPE
        decision = await decide(connection, envelope, self._turns)
        if not isinstance(decision, Addressed):
            return decision
        turn = await self._turns.begin_turn(
            Turn(
                connection_id=connection.connection_id,
                channel_id=decision.channel_id,
                message_ts=decision.message_ts,
                thread_ts=decision.thread_ts,
                event_id=event.event_id,
                user_id=decision.user_id,
                state=TurnState.STARTED,
                question=decision.question,
            )
        )
        # Slack sends a mention as app_mention and as message, with two event ids: whoever came first answers.
        return turn if turn.event_id == event.event_id else "same_message"

    def _make_run(self, connection: Connection, turn: Turn, claim: Claim, *, may_exist: bool) -> TurnRun:
        return TurnRun(
            connection=connection,
            turn=turn,
            claim=claim,
            messages=TurnMessages(api=self._slack.open(connection), turn=turn, may_exist=may_exist),
            turns=self._turns,
            agents=self._agents,
            turn_timeout_s=self._turn_timeout_s,
        )
