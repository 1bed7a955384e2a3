"""One turn: a sign of life, the agent, the answer. Each step is stored before the next one relies on it.

    STARTED   the turn's row exists
    PLACED    something of the turn stands in the thread: the placeholder, or the beginning of the answer
    ANSWERED  the agent has ended, and its answer is stored
    FINISHED  the whole answer, or a notice, is in the thread

Whatever step a pod dies at, the next run goes on from the stored state and looks in Slack for what was done but not
stored. What stands there already is completed in place.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from typing import Any, Final

import anyio
import structlog

from slack_mcp.bot.ask import Asked
from slack_mcp.bot.draft import Draft
from slack_mcp.bot.messages import Content
from slack_mcp.bot.present import Presenter
from slack_mcp.bot.progress import Progress
from slack_mcp.bot.stream import AnswerStoppedError
from slack_mcp.bot.trace import UPLOAD, Trace
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import (
    AgentError,
    AgentNotConfiguredError,
    AgentStreamBrokenError,
    AgentTimeoutError,
    SlackApiError,
    SlackMcpError,
    StoreError,
    StoreUnavailableError,
)
from slack_mcp.core.model import Claim, Connection, EventState, Outcome, Turn, TurnState
from slack_mcp.ports.agent import Agent, AgentEvent, AgentFile, AgentRequest, Agents, AgentText
from slack_mcp.ports.attachments import Remember
from slack_mcp.ports.store import TurnStore
from slack_mcp.protocol.mrkdwn import escape, unescape

ANSWERED: Final = "answered"
STOPPED: Final = "stopped"
AGENT_NOT_CONFIGURED: Final = "agent_not_configured"
NOTHING_TO_READ: Final = "nothing_to_read"
NO_ANSWER: Final = "no_answer"

WATCH_S: Final = 1.0
CANCEL_TIMEOUT_S: Final = 5.0
PATIENCE_S: Final = 0.5

_log = structlog.get_logger(__name__)


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
        language: of the bot's own sentences.
        make_presenter: makes what shows the answer, given where it stands.
        make_request: makes what the agent is asked.
        deliver: shows the files that the agent made, remembers which they are, and returns notes for people.
        trace: what was done, which is stored with each step.
        turns: keeps the turn.
        agents: chooses who answers.
        turn_timeout_s: the longest time the agent may take.
        listening: returns what is to be around listening to the agent.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        turn: Turn,
        claim: Claim,
        language: str,
        make_presenter: Callable[[Turn, Progress], Presenter],
        make_request: Callable[[Turn], Awaitable[Asked]],
        deliver: Callable[[Turn, Sequence[AgentFile], Remember], Awaitable[Sequence[str]]],
        trace: Trace,
        turns: TurnStore,
        agents: Agents,
        turn_timeout_s: float,
        listening: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._listening = listening
        self._connection = connection
        self._turn = turn
        self._claim = claim
        self._language = language
        self._make_request = make_request
        self._deliver = deliver
        self._trace = trace
        self._turns = turns
        self._agents = agents
        self._turn_timeout_s = turn_timeout_s
        self._progress = Progress(turn, save=self._save_progress)
        self._presenter = make_presenter(turn, self._progress)

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
        if self._turn.is_settled:  # from here on nobody knows what Slack shows, should this pod die
            await self._save(is_settled=False)
        try:
            return await self._answer()
        except (SlackApiError, AgentError):
            if self._presenter.is_certain:
                with suppress(StoreError):  # then the next run looks in Slack, and this error is the one to be told
                    await self._save(**self._progress.changes, is_settled=True)
            raise
        finally:
            await self._presenter.clear_status()

    async def _answer(self) -> Outcome:
        """Ask, unless that was done, and show the answer."""
        if self._turn.answer is not None:
            draft = Draft(self._connection, text=self._turn.answer)
        else:
            answered = await self._ask()
            if isinstance(answered, Outcome):
                return answered
            draft = answered
        with suppress(AnswerStoppedError):  # then it stays as Slack shows it
            await self._presenter.finish(draft.finish())
        await self._finish()
        return Outcome(state=EventState.DONE, reason=self._turn.notice or ANSWERED)

    async def give_up(self, *, may_speak: bool) -> None:
        """Say that no answer will come, and finish the turn.

        Args:
            may_speak: False when Slack would refuse whatever is said.

        Raises:
            SlackApiError: one of its classes.
            StoreError: one of its classes.
        """
        if self._turn.is_settled:
            await self._save(is_settled=False)
        # With an answer, some of it may be in the thread already, and must not be taken away.
        if may_speak and self._turn.answer is None:
            await self._presenter.say(Sentence.NO_ANSWER, reference=escape(self._turn.event_id))
        await self._finish(notice=NO_ANSWER)

    async def _ask(self) -> Draft | Outcome:
        """Return what the agent answers, stored; or how the turn ended without it."""
        try:
            agent = self._agents.choose(self._connection)
            await self._presenter.begin()
            asked = await self._prepare()
            request = asked.request
            if request is None:
                return await self._tell_nothing_to_read(asked)
            self._trace.note("agent", backend=type(agent).__name__)
            draft = await self._listen(agent, request)
        except AgentNotConfiguredError:
            return await self._explain_configuration()
        if draft.is_stopped:
            return await self._stop(agent, request, draft)
        if not draft.text.strip():
            if not draft.files:
                raise AgentStreamBrokenError("The agent's answer was empty.")
            draft.add(render_sentence(self._language, Sentence.FILES_ONLY))
        notes = [*asked.notes]
        if draft.files:
            notes += await self._deliver(self._turn, draft.files, self._remember_uploads)
        for note in notes:
            draft.add_note(f"_{unescape(note)}_")
        # Stored before all of it is seen: a second run would else ask again, and show another text.
        await self._save(state=TurnState.ANSWERED, answer=draft.text)
        return draft

    async def _prepare(self) -> Asked:
        """Return what the agent is asked; while files are read, people see that somebody is at work."""
        asked: Asked | SlackMcpError
        async with anyio.create_task_group() as helpers:
            helpers.start_soon(self._show_patience, name="show patience")
            try:
                asked = await self._make_request(self._turn)
            except SlackMcpError as error:
                asked = error
            helpers.cancel_scope.cancel()
        if isinstance(asked, SlackMcpError):
            raise asked
        return asked

    async def _show_patience(self) -> None:
        await anyio.sleep(PATIENCE_S)
        await self._presenter.refresh()

    async def _listen(self, agent: Agent, request: AgentRequest) -> Draft:
        """Return what the agent says, which is shown while it speaks."""
        draft = Draft(self._connection)
        hearing = _Hearing()
        async with anyio.create_task_group() as helpers:
            helpers.start_soon(self._show_forever, draft, hearing, name="show answer")
            helpers.start_soon(self._watch_for_stop, draft, hearing, name="watch for stop")
            try:
                with hearing.scope, anyio.fail_after(self._turn_timeout_s), self._listening():
                    await self._hear(agent.stream_answer(self._connection, request), draft, hearing)
            except SlackMcpError as error:
                hearing.failure = error
            except TimeoutError:
                hearing.failure = AgentTimeoutError(f"The agent did not finish within {self._turn_timeout_s:g} s.")
            finally:
                hearing.end()
        if hearing.failure is not None and not draft.is_stopped:
            self._trace.note("failed", code=hearing.failure.code)
            raise hearing.failure
        self._trace.note("answered", chars=len(draft.text))
        return draft

    async def _hear(self, stream: AsyncIterator[AgentEvent], draft: Draft, hearing: "_Hearing") -> None:
        try:
            async for event in stream:
                if isinstance(event, AgentText):
                    draft.feed(event.text)
                elif isinstance(event, AgentFile):
                    draft.files.append(event)
                else:
                    draft.tasks.append(event)
                if draft.is_full:
                    draft.add_note(render_sentence(self._language, Sentence.ANSWER_CUT))
                    break
                hearing.tell()
        finally:
            await _close(stream)

    async def _show_forever(self, draft: Draft, hearing: "_Hearing") -> None:
        """Show what is new, with a pause after each time; an error ends the hearing."""
        try:
            if not hearing.is_over:
                await self._presenter.refresh()
            while await hearing.wait_for_news(WATCH_S):
                if draft.has_news:
                    tasks = draft.take_tasks()
                    if not await self._presenter.write(draft.pieces, tasks):
                        draft.put_back(tasks)
                    await hearing.wait_for_end(self._presenter.pause_s)
                else:
                    await self._presenter.refresh()
        except AnswerStoppedError:
            draft.is_stopped = True
            hearing.scope.cancel()
        except SlackMcpError as error:
            hearing.failure = error
            hearing.scope.cancel()

    async def _watch_for_stop(self, draft: Draft, hearing: "_Hearing") -> None:
        turn = self._turn
        while not await hearing.wait_for_end(WATCH_S):
            try:
                if await self._turns.is_stop_requested(turn.connection_id, turn.channel_id, turn.message_ts):
                    draft.is_stopped = True
                    hearing.scope.cancel()
                    return
            except StoreUnavailableError as error:
                _log.info("stop.not_asked", connection_id=turn.connection_id, code=error.code)

    async def _stop(self, agent: Agent, request: AgentRequest, draft: Draft) -> Draft:
        """Let the agent rest, and return what it has said so far, stored."""
        try:
            with anyio.move_on_after(CANCEL_TIMEOUT_S):
                await agent.cancel(self._connection, request)
        except AgentError as error:
            _log.info("agent.not_cancelled", connection_id=self._turn.connection_id, code=error.code)
        draft.add_note(render_sentence(self._language, Sentence.ANSWER_STOPPED))
        await self._save(state=TurnState.ANSWERED, answer=draft.text, notice=STOPPED)
        return draft

    async def _remember_uploads(self, file_ids: Sequence[str]) -> None:
        """Store what is about to be shown: a second run shows it, and sends it no second time."""
        for file_id in file_ids:
            self._trace.note(UPLOAD, file=file_id)
        await self._save()

    async def _tell_nothing_to_read(self, asked: Asked) -> Outcome:
        """Say which files cannot be read, or that there is nothing."""
        if not asked.notes:
            return await self._end_with(Sentence.NOTHING_TO_READ, notice=NOTHING_TO_READ)
        await self._presenter.show([Content(text="\n".join(asked.notes))])
        await self._finish(notice=NOTHING_TO_READ)
        return Outcome(state=EventState.DONE, reason=NOTHING_TO_READ)

    async def _explain_configuration(self) -> Outcome:
        """Say what to configure, once in a thread."""
        turn = self._turn
        if turn.answer_ts is None and await self._turns.has_notice_in_thread(
            turn.connection_id, turn.channel_id, turn.thread_ts, AGENT_NOT_CONFIGURED
        ):
            await self._finish(notice=AGENT_NOT_CONFIGURED)
            return Outcome(state=EventState.SKIPPED, reason=AGENT_NOT_CONFIGURED)
        return await self._end_with(
            Sentence.AGENT_NOT_CONFIGURED,
            notice=AGENT_NOT_CONFIGURED,
            connection_id=escape(self._connection.connection_id),
        )

    async def _end_with(self, sentence: Sentence, *, notice: str, **values: str) -> Outcome:
        """Put a sentence where the answer would stand."""
        await self._presenter.say(sentence, **values)
        await self._finish(notice=notice)
        return Outcome(state=EventState.DONE, reason=notice)

    async def _finish(self, **changes: Any) -> None:
        await self._save(state=TurnState.FINISHED, opening=None, **self._progress.changes, **changes)

    async def _save_progress(self, **changes: Any) -> None:
        state = TurnState.PLACED if self._turn.state is TurnState.STARTED else self._turn.state
        await self._save(state=state, **changes)

    async def _save(self, **changes: Any) -> None:
        turn = replace(self._turn, trace=self._trace.steps, **changes)
        await self._turns.save_turn(turn, self._claim)
        self._turn = turn


class _Hearing:
    """What the one who listens to the agent and the one who shows what it says tell each other."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.failure: SlackMcpError | None = None
        self._news = anyio.Event()
        self._end = anyio.Event()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self._end.is_set()

    def tell(self) -> None:
        """Say that there is something to show."""
        self._news.set()

    def end(self) -> None:
        """Say that nothing more will come."""
        self._end.set()
        self._news.set()

    async def wait_for_news(self, timeout_s: float) -> bool:
        """Return after news or the time-out; False when nothing more will come."""
        with anyio.move_on_after(timeout_s):
            await self._news.wait()
        if not self._end.is_set():
            self._news = anyio.Event()
        return not self._end.is_set()

    async def wait_for_end(self, timeout_s: float) -> bool:
        """Return after the end or the time-out; True when nothing more will come."""
        with anyio.move_on_after(timeout_s):
            await self._end.wait()
        return self._end.is_set()


async def _close(stream: AsyncIterator[AgentEvent]) -> None:
    """Let a stream that was left early end here, and not whenever its memory is reclaimed."""
    if isinstance(stream, AsyncGenerator):
        await stream.aclose()
