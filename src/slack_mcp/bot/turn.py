"""One turn: placeholder, agent, answer. Each step is stored before the next one relies on it.

    STARTED   the turn's row exists
    PLACED    the placeholder stands in the thread, and its ts is stored
    ANSWERED  the agent has ended, and its answer is stored; nobody has seen it yet
    FINISHED  the answer, or a notice, is in the thread

Whatever step a pod dies at, the next run goes on from the stored state and looks in Slack for what was done but not
stored.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Any, Final

import anyio

from slack_mcp.bot.messages import TurnMessages
from slack_mcp.bot.split import split_answer
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import AgentNotConfiguredError, AgentStreamBrokenError, AgentTimeoutError
from slack_mcp.core.model import Claim, Connection, EventState, Outcome, Turn, TurnState
from slack_mcp.ports.agent import Agent, AgentMessage, AgentRequest, Agents
from slack_mcp.ports.store import TurnStore
from slack_mcp.protocol.mrkdwn import clean, escape

ANSWERED: Final = "answered"
AGENT_NOT_CONFIGURED: Final = "agent_not_configured"
UNSUPPORTED_MESSAGE: Final = "unsupported_message"
NO_ANSWER: Final = "no_answer"

HISTORY_TURNS: Final = 20
MAX_ANSWER_CHARS: Final = 40_000  # about eleven messages; an agent without an end would fill the pod's memory


def reopen(turn: Turn) -> Turn:
    """Return a turn that was given up, at the step from which it can be tried again."""
    state = TurnState.PLACED if turn.answer_ts is not None else TurnState.STARTED
    return replace(turn, state=state if turn.answer is None else TurnState.ANSWERED, notice=None)


class TurnRun:
    """One run of one turn, under a claim on its lane.

    Args:
        connection: whose bot answers.
        turn: as the store has it.
        claim: every write to the store is made under it.
        messages: the turn's messages in Slack.
        turns: keeps the turn.
        agents: chooses who answers.
        turn_timeout_s: the longest time the agent may take.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        turn: Turn,
        claim: Claim,
        messages: TurnMessages,
        turns: TurnStore,
        agents: Agents,
        turn_timeout_s: float,
    ) -> None:
        self._connection = connection
        self._turn = turn
        self._claim = claim
        self._messages = messages
        self._turns = turns
        self._agents = agents
        self._turn_timeout_s = turn_timeout_s

    @property
    def turn(self) -> Turn:
        """The turn as it was last stored."""
        return self._turn

    async def run(self) -> Outcome:
        """Bring the answer, or a notice in its place, into the thread and return how it ended.

        Raises:
            SlackApiError: one of its classes; the turn may be run again.
            AgentError: the same.
            StoreError: the same, but for LeaseLostError: another pod runs it now.
        """
        if not self._turn.question:
            await self._finish_with(Sentence.UNSUPPORTED_MESSAGE, notice=UNSUPPORTED_MESSAGE)
            return Outcome(state=EventState.DONE, reason=UNSUPPORTED_MESSAGE)
        answer = self._turn.answer
        if answer is None:
            try:
                answer = await self._fetch_answer()
            except AgentNotConfiguredError:
                return await self._explain_configuration()
            # Stored before anybody sees it: a second run would else ask again, and show another text.
            await self._save(state=TurnState.ANSWERED, answer=answer)
        await self._show(answer)
        await self._save(state=TurnState.FINISHED)
        return Outcome(state=EventState.DONE, reason=ANSWERED)

    async def give_up(self, *, may_speak: bool) -> None:
        """Say that no answer will come, and finish the turn.

        Args:
            may_speak: False when Slack would refuse whatever is said.

        Raises:
            SlackApiError: one of its classes.
            StoreError: one of its classes.
        """
        # With an answer, some of it may be in the thread already, and must not be taken away.
        if may_speak and self._turn.answer is None:
            await self._finish_with(Sentence.NO_ANSWER, notice=NO_ANSWER, reference=escape(self._turn.event_id))
        else:
            await self._save(state=TurnState.FINISHED, notice=NO_ANSWER)

    async def _fetch_answer(self) -> str:
        """Place the placeholder and return what the agent answers."""
        agent = self._agents.choose(self._connection)
        if self._turn.answer_ts is None:
            ts = await self._messages.post_once(0, self._render(Sentence.THINKING))
            await self._save(state=TurnState.PLACED, answer_ts=ts)
        request = await self._load_request()
        answer: str | None = None
        with anyio.move_on_after(self._turn_timeout_s):
            answer = await self._collect(agent, request)
        if answer is None:
            raise AgentTimeoutError(f"The agent did not finish within {self._turn_timeout_s:g} s.")
        if not answer.strip():
            raise AgentStreamBrokenError("The agent's answer was empty.")
        return answer

    async def _load_request(self) -> AgentRequest:
        turn = self._turn
        past = await self._turns.load_history(
            turn.connection_id,
            turn.channel_id,
            turn.thread_ts,
            limit=HISTORY_TURNS,
            max_age_s=60.0 * self._connection.settings.thread_timeout_min,
        )
        history: list[AgentMessage] = []
        for each in past:
            if each.answer is not None:
                history.append(AgentMessage(role="user", text=each.question))
                history.append(AgentMessage(role="assistant", text=each.answer))
        return AgentRequest(
            event_id=turn.event_id,
            channel_id=turn.channel_id,
            thread_ts=turn.thread_ts,
            user_id=turn.user_id,
            question=turn.question,
            history=tuple(history),
            generation=await self._turns.load_generation(turn.connection_id, turn.channel_id, turn.thread_ts),
        )

    async def _collect(self, agent: Agent, request: AgentRequest) -> str:
        """Return the whole answer, cut off where it is longer than anybody reads."""
        pieces: list[str] = []
        chars = 0
        stream = agent.stream_answer(self._connection, request)
        try:
            async for piece in stream:
                pieces.append(piece)
                chars += len(piece)
                if chars > MAX_ANSWER_CHARS:
                    break
        finally:
            await _close(stream)
        answer = clean("".join(pieces))
        if chars > MAX_ANSWER_CHARS:
            return f"{answer[:MAX_ANSWER_CHARS]}\n\n{self._render(Sentence.ANSWER_CUT)}"
        return answer

    async def _show(self, answer: str) -> None:
        # Slack refuses a message of nothing but blanks.
        first, *others = [piece for piece in split_answer(escape(answer)) if piece.strip()]
        ts = await self._messages.show(first, self._turn.answer_ts)
        if ts != self._turn.answer_ts:
            await self._save(answer_ts=ts)
        for part, piece in enumerate(others, start=1):
            await self._messages.post_once(part, piece)

    async def _explain_configuration(self) -> Outcome:
        """Say what to configure, once in a thread."""
        turn = self._turn
        if turn.answer_ts is None and await self._turns.has_notice_in_thread(
            turn.connection_id, turn.channel_id, turn.thread_ts, AGENT_NOT_CONFIGURED
        ):
            await self._save(state=TurnState.FINISHED, notice=AGENT_NOT_CONFIGURED)
            return Outcome(state=EventState.SKIPPED, reason=AGENT_NOT_CONFIGURED)
        await self._finish_with(
            Sentence.AGENT_NOT_CONFIGURED,
            notice=AGENT_NOT_CONFIGURED,
            connection_id=escape(self._connection.connection_id),
        )
        return Outcome(state=EventState.DONE, reason=AGENT_NOT_CONFIGURED)

    async def _finish_with(self, sentence: Sentence, *, notice: str, **values: str) -> None:
        """Put a sentence where the answer would stand."""
        ts = await self._messages.show(self._render(sentence, **values), self._turn.answer_ts)
        await self._save(state=TurnState.FINISHED, answer_ts=ts, notice=notice)

    async def _save(self, **changes: Any) -> None:
        turn = replace(self._turn, **changes)
        await self._turns.save_turn(turn, self._claim)
        self._turn = turn

    def _render(self, sentence: Sentence, **values: str) -> str:
        return render_sentence(self._connection.settings.language, sentence, **values)


async def _close(stream: AsyncIterator[str]) -> None:
    """Let a stream that was left early end here, and not whenever its memory is reclaimed."""
    if isinstance(stream, AsyncGenerator):
        await stream.aclose()
