"""Works on the journalled events: what is for the bot becomes a turn."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import structlog

from slack_mcp.bot.addressed import Addressed, SkipReason, decide
from slack_mcp.bot.ask import Asked
from slack_mcp.bot.context_notes import correct
from slack_mcp.bot.messages import TurnMessages
from slack_mcp.bot.present import AnswerButtons, Pace, Presenter, StreamRefusals
from slack_mcp.bot.progress import Progress
from slack_mcp.bot.shadow import Shadows
from slack_mcp.bot.trace import Trace
from slack_mcp.bot.turn import ANSWERED, NO_ANSWER, TurnRun, reopen
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import (
    AgentError,
    MalformedBodyError,
    MissingScopeError,
    SlackMcpError,
    SlackRefusedError,
    TokenRevokedError,
)
from slack_mcp.core.ids import ChannelId, EventId, PodId, UserId
from slack_mcp.core.model import Claim, Connection, EventState, JournalledEvent, Outcome, Turn, TurnState
from slack_mcp.ports.agent import AgentFile, Agents
from slack_mcp.ports.attachments import AttachmentDelivery, Remember
from slack_mcp.ports.metrics import TurnMeter, Unmetered
from slack_mcp.ports.slack import SlackApis
from slack_mcp.ports.store import TurnStore
from slack_mcp.ports.surfaces import ThreadTitles
from slack_mcp.protocol.events import EventCallback, parse_envelope, read_event
from slack_mcp.protocol.shadow import parse_shadow

SAME_MESSAGE: Final = "same_message"

_MS: Final = 1000

_log = structlog.get_logger(__name__)


class Limits(Protocol):
    """Decides whether somebody asks too much."""

    async def admit(
        self, connection: Connection, addressed: Addressed, event: EventCallback, *, is_redone: bool
    ) -> SkipReason | None:
        """Return why a question is not answered now, None when it is; raises SlackMcpError."""
        ...


class Requests(Protocol):
    """Makes what an agent is asked."""

    async def build(
        self,
        connection: Connection,
        turn: Turn,
        message: Mapping[str, Any],
        *,
        language: str,
        is_repeated: bool,
        is_elsewhere: bool = False,
    ) -> Asked:
        """Return the request; raises SlackMcpError."""
        ...


class Notes(Protocol):
    """Remembers what is said."""

    async def hear(
        self, connection: Connection, event: EventCallback, message: Mapping[str, Any], decision: Addressed | SkipReason
    ) -> None:
        """Note a message, or the edit of one, if it belongs to a conversation of the bot's; raises SlackMcpError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """A message that is to be answered.

    Attributes:
        origin: where it was asked, when it is answered somewhere else.
    """

    turn: Turn
    event: JournalledEvent
    envelope: EventCallback
    message: Mapping[str, Any]
    claim: Claim
    origin: Addressed | None = None


class BotHandler:
    """Answers what people ask the bot; see `ports.handler.EventHandler`.

    Args:
        turns: keeps the turns.
        slack: makes the Web API of the event's connection.
        drafts: the same for what is shown on the way to an answer, which may wait for what is more urgent.
        agents: chooses who answers.
        requests: makes what they are asked.
        notes: remembers what is said.
        shadows: begins the turns that are answered in another channel.
        limits: who asks too much.
        files: shows the files that an agent made.
        titles: gives a name to a new conversation.
        find_language: of the bot's own sentences to a person.
        buttons: what stands below the answers.
        pace: how fast an answer that is written changes.
        pod_id: this process, for the traces.
        clock: for durations and times.
        turn_timeout_s: the longest time an agent may take for one answer.
        meter: hears how the turns go.
    """

    def __init__(
        self,
        *,
        turns: TurnStore,
        slack: SlackApis,
        drafts: SlackApis,
        agents: Agents,
        requests: Requests,
        notes: Notes,
        shadows: Shadows,
        limits: Limits,
        files: AttachmentDelivery,
        titles: ThreadTitles,
        find_language: Callable[[Connection, UserId | None], Awaitable[str]],
        buttons: AnswerButtons,
        pace: Pace,
        pod_id: PodId,
        clock: Clock,
        turn_timeout_s: float,
        meter: TurnMeter | None = None,
    ) -> None:
        self._meter = meter or Unmetered()
        self._turns = turns
        self._slack = slack
        self._drafts = drafts
        self._agents = agents
        self._requests = requests
        self._notes = notes
        self._shadows = shadows
        self._limits = limits
        self._files = files
        self._titles = titles
        self._find_language = find_language
        self._buttons = buttons
        self._pace = pace
        self._pod_id = pod_id
        self._clock = clock
        self._turn_timeout_s = turn_timeout_s
        self._refusals = StreamRefusals(clock=clock)

    async def handle(self, connection: Connection, event: JournalledEvent, claim: Claim) -> Outcome:
        """Answer the event and return DONE, or SKIPPED and why it is not answered.

        Raises:
            SlackMcpError: the turn stands where it was stored, and may be run again.
        """
        started_s = self._clock.monotonic_s()
        heard = await self._hear(connection, event, claim)
        if isinstance(heard, str):
            if event.redone:
                await self._withdraw(connection, event, claim, notice=str(heard))
            return Outcome(state=EventState.SKIPPED, reason=str(heard))
        turn = heard.turn
        is_resumed = event.redone or turn.state is not TurnState.STARTED
        if turn.state is TurnState.FINISHED:
            if turn.notice != NO_ANSWER:
                return Outcome(state=EventState.DONE, reason=turn.notice or ANSWERED)
            heard = replace(heard, turn=reopen(turn))  # it was given up, and then somebody had the event replayed
        run = await self._make_run(connection, heard, is_resumed=is_resumed)
        try:
            outcome = await run.run()
        except AgentError as error:
            self._meter.note_agent_error(error.code)
            raise
        self._meter.note_turn(outcome.reason, self._get_age_s(event))
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

    def _get_age_s(self, event: JournalledEvent) -> float:
        return max(0.0, self._clock.now_s() - event.received_at_ms / _MS)

    async def give_up(self, connection: Connection, event: JournalledEvent, claim: Claim, error: SlackMcpError) -> None:
        """Replace the placeholder by the sentence that no answer will come, where Slack still lets us speak.

        Raises:
            SlackMcpError: it could not be said, or not be stored.
        """
        heard = await self._hear(connection, event, claim)
        if isinstance(heard, str) or heard.turn.state is TurnState.FINISHED:
            return
        run = await self._make_run(connection, heard, is_resumed=True)
        await run.give_up(may_speak=not isinstance(error, TokenRevokedError | MissingScopeError | SlackRefusedError))
        _log.info(
            "turn.given_up", connection_id=connection.connection_id, event_id=event.event_id, error_code=error.code
        )

    async def _withdraw(self, connection: Connection, event: JournalledEvent, claim: Claim, *, notice: str) -> None:
        """Take back what an earlier run has begun to show of a turn that is not to be answered any more."""
        try:
            envelope = parse_envelope(event.payload)
        except MalformedBodyError:
            return
        if not isinstance(envelope, EventCallback) or envelope.channel_id is None or envelope.ts is None:
            return
        turn = await self._turns.load_turn(connection.connection_id, envelope.channel_id, envelope.ts)
        if turn is None or turn.event_id != event.event_id or turn.state is TurnState.FINISHED:
            return
        messages = TurnMessages(api=self._slack.open(connection), turn=turn, may_exist=True)
        for ts in turn.parts:
            await messages.remove(ts)
        await self._turns.save_turn(replace(turn, state=TurnState.FINISHED, parts=(), notice=notice), claim)

    async def _hear(self, connection: Connection, event: JournalledEvent, claim: Claim) -> _Heard | str:
        """Return the event's turn as the store has it, or the word why it has none."""
        read = _read(event, claim)
        if isinstance(read, str):
            return read
        elsewhere, envelope, message = read
        decision = await decide(connection, envelope, self._turns)
        origin, begun = None, await self._begin(connection, event, envelope, decision, elsewhere)
        if elsewhere is None:
            await self._notes.hear(connection, envelope, message, decision)
        elif isinstance(decision, Addressed):
            origin = decision
        if isinstance(begun, str):
            return begun
        # Slack sends a mention as app_mention and as message, with two event ids: whoever came first answers.
        if begun.event_id != event.event_id:
            return SAME_MESSAGE
        return _Heard(turn=begun, event=event, envelope=envelope, message=message, claim=claim, origin=origin)

    async def _begin(
        self,
        connection: Connection,
        event: JournalledEvent,
        envelope: EventCallback,
        decision: Addressed | SkipReason,
        elsewhere: ChannelId | None,
    ) -> Turn | str:
        """Return the turn of the message, whosever event it is, or the word why it has none."""
        if not isinstance(decision, Addressed):
            return decision
        if elsewhere is not None:
            return await self._shadows.begin(connection, event, decision, elsewhere)
        refusal = await self._limits.admit(connection, decision, envelope, is_redone=event.redone)
        if refusal is not None:
            return refusal
        return await self._turns.begin_turn(
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

    async def _make_run(self, connection: Connection, heard: _Heard, *, is_resumed: bool) -> TurnRun:
        turn, event = heard.turn, heard.event
        language = await self._find_language(connection, turn.user_id)
        trace = Trace(turn.trace, clock=self._clock)
        trace.note("run", pod=self._pod_id, attempts=event.attempts, takeovers=heard.claim.takeovers)
        api = self._slack.open(connection, observe=trace.note_call)
        drafts = self._drafts.open(connection, observe=trace.note_call)
        has_text = is_resumed  # the first of it may have been shown by an earlier run

        def note_text() -> None:
            nonlocal has_text
            if not has_text:
                has_text = True
                self._meter.note_first_text(self._get_age_s(event))

        def make_presenter(turn: Turn, progress: Progress) -> Presenter:
            return Presenter(
                connection=connection,
                turn=turn,
                language=language,
                api=api,
                drafts_api=drafts,
                messages=TurnMessages(api=api, turn=turn, may_exist=is_resumed and not turn.is_settled),
                drafts=TurnMessages(api=drafts, turn=turn, may_exist=False),
                progress=progress,
                team_id=heard.envelope.user_team_id or heard.envelope.team_id,
                buttons=self._buttons,
                refusals=self._refusals,
                is_resumed=is_resumed,
                pace=self._pace,
                clock=self._clock,
                on_text=note_text,
            )

        async def make_request(turn: Turn) -> Asked:
            origin = heard.origin
            if origin is None and not is_resumed:
                await self._titles.name(connection, turn)
            asked = await self._requests.build(
                connection,
                turn if origin is None else replace(turn, channel_id=origin.channel_id, thread_ts=origin.thread_ts),
                heard.message,
                language=language,
                is_repeated=is_resumed,
                is_elsewhere=origin is not None,
            )
            return _address(asked, turn, trace.times_asked_again)

        async def deliver(turn: Turn, files: Sequence[AgentFile], remember: Remember) -> Sequence[str]:
            return await self._files.deliver(
                connection,
                turn.channel_id,
                turn.thread_ts,
                files,
                earlier=trace.uploads,
                remember=remember,
                language=language,
            )

        return TurnRun(
            connection=connection,
            turn=turn,
            claim=heard.claim,
            language=language,
            make_presenter=make_presenter,
            make_request=make_request,
            deliver=deliver,
            trace=trace,
            turns=self._turns,
            agents=self._agents,
            turn_timeout_s=self._turn_timeout_s,
            listening=self._meter.listening,
        )


def _read(event: JournalledEvent, claim: Claim) -> tuple[ChannelId | None, EventCallback, Mapping[str, Any]] | str:
    """Return (where it is to be answered if not in its place, event, message as Slack sent it), or a word why not."""
    try:
        elsewhere, body = parse_shadow(event.event_type, event.payload)
        envelope = parse_envelope(body)
    except MalformedBodyError as error:
        return error.code
    if not isinstance(envelope, EventCallback):
        return SkipReason.EVENT_TYPE
    corrected = correct(event, envelope, read_event(body), claim)
    return SkipReason.DELETED if corrected is None else (elsewhere, *corrected)


def _address(asked: Asked, turn: Turn, times: int) -> Asked:
    """Return the request as one of the thread that is answered in, and that no agent has heard: it might remember.

    Args:
        asked: the request, with what was said where it was asked.
        turn: says where the answer will stand.
        times: how often it was answered before, and is asked once more.
    """
    if asked.request is None:
        return asked
    event_id = EventId(f"{turn.event_id}again{times}") if times else turn.event_id
    request = replace(asked.request, event_id=event_id, channel_id=turn.channel_id, thread_ts=turn.thread_ts)
    return replace(asked, request=request)
