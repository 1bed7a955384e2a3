"""What people see of an answer while it is written."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import anyio
import pytest
from bot_fakes import (
    FakeFiles,
    FakeSlack,
    FakeTurns,
    ScriptedAgents,
    make_claim,
    make_connection,
    make_event,
    make_handler,
)

from slack_mcp.bot.present import AnswerButtons
from slack_mcp.bot.stream import MAX_AGE_S
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import (
    AgentStreamBrokenError,
    RateLimitedError,
    SlackApiError,
    SlackRefusedError,
    SlackUnavailableError,
)
from slack_mcp.core.model import ConnectionSettings, EventState, Outcome, Turn, TurnState
from slack_mcp.ports.agent import AgentEvent, AgentFile, AgentRequest, AgentTask, AgentText, TaskState

pytestmark = pytest.mark.anyio
THINKING = render_sentence("en", Sentence.THINKING)
STOPPED = render_sentence("en", Sentence.ANSWER_STOPPED)
CLAIM = make_claim()
STOP = {"type": "actions", "block_id": "stop"}
RATE = {"type": "context_actions", "block_id": "rate"}
ANSWERED = Outcome(state=EventState.DONE, reason="answered")


class Bot:
    """A handler and its agent, which goes on when the test has seen what it said."""

    def __init__(self, *, streaming: bool = True, show_thinking_message: bool = True) -> None:
        self.turns = FakeTurns()
        self.slack = FakeSlack()
        self.agents = ScriptedAgents(self._script)
        self.files = FakeFiles()
        self.handler = make_handler(
            self.turns,
            self.slack,
            self.agents,
            files=self.files,
            buttons=AnswerButtons(stop={"en": STOP}, rate={"en": RATE}),
        )
        self.connection = make_connection(
            settings=ConnectionSettings(streaming=streaming, show_thinking_message=show_thinking_message)
        )
        self.says: list[tuple[AgentEvent, Callable[[], bool]]] = []

    async def _script(self, _request: AgentRequest) -> AsyncIterator[AgentEvent]:
        for event, is_seen in self.says:
            yield event
            await self.slack.wait_for(is_seen)

    def say(self, event: AgentEvent | str, is_seen: Callable[[], bool] = lambda: True) -> None:
        self.says.append((AgentText(text=event) if isinstance(event, str) else event, is_seen))

    async def handle(self, *, redone: bool = False) -> Outcome:
        with anyio.fail_after(10):
            return await self.handler.handle(self.connection, make_event(redone=redone), CLAIM)

    @property
    def turn(self) -> Turn:
        (turn,) = self.turns.turns.values()
        return turn

    def shows(self, *texts: str) -> Callable[[], bool]:
        """The last messages show these texts."""
        return lambda: self.slack.texts[-len(texts) :] == list(texts)

    def fail(self, method: str, error: SlackApiError, *, times: int = 1) -> None:
        left = [times]

        def fail(called: str) -> SlackApiError | None:
            if called != method or not left[0]:
                return None
            left[0] -= 1
            return error

        self.slack.fail = fail


async def test_an_answer_grows_in_one_message_and_ends_with_the_buttons_for_a_rating() -> None:
    bot = Bot()
    bot.say("One", bot.shows("One"))
    bot.say(" two", bot.shows("One two"))
    bot.say(" three")
    assert await bot.handle() == ANSWERED
    ((ts, texts),) = bot.slack.shown.items()
    assert texts == ["", "One", "One two", "One two three"]
    assert bot.slack.blocks[ts] == [RATE]
    assert bot.slack.statuses == [render_sentence("en", Sentence.STATUS_THINKING)]
    assert bot.turn.parts == (ts,)


async def test_the_tools_that_the_agent_uses_are_shown_as_tasks() -> None:
    bot = Bot()
    task = AgentTask(task_id="t1", title="search", state=TaskState.IN_PROGRESS)
    bot.say(task, lambda: bool(bot.slack.tasks))
    bot.say(replace(task, state=TaskState.COMPLETE), lambda: len(next(iter(bot.slack.tasks.values()))) > 1)
    bot.say("Found.")
    assert await bot.handle() == ANSWERED
    (tasks,) = bot.slack.tasks.values()
    assert tasks == [
        {"type": "task_update", "id": "t1", "title": "search", "status": "in_progress"},
        {"type": "task_update", "id": "t1", "title": "search", "status": "complete"},
    ]
    assert bot.slack.texts == ["Found."]


async def test_a_mention_that_is_cut_in_two_mentions_nobody() -> None:
    bot = Bot()
    bot.say("Hi <", bot.shows("Hi"))
    bot.say("!chan")
    bot.say("nel> @he")
    bot.say("re")
    await bot.handle()
    assert bot.slack.texts == ["Hi <\u2060!channel> @\u2060here"]


async def test_where_slack_does_not_stream_the_answer_is_edited_and_no_stream_is_tried_again() -> None:
    bot = Bot()
    bot.fail("start_stream", SlackRefusedError("chat.startStream", "unknown_method"))
    bot.say("One", bot.shows("One"))
    bot.say(" two")
    assert await bot.handle() == ANSWERED
    assert list(bot.slack.shown.values()) == [["One", "One two"]]
    assert "fetch_own_replies" not in bot.slack.effects.done
    bot.turns.turns.clear()
    await bot.handle()
    assert bot.slack.effects.done.count("start_stream") == 1
    assert list(bot.slack.shown.values())[1] == [THINKING, "One", "One two"]


async def test_a_placeholder_says_which_tool_is_used_and_can_be_stopped() -> None:
    bot = Bot()
    bot.fail("start_stream", SlackRefusedError("chat.startStream", "unknown_method"))
    bot.say("One", bot.shows("One"))
    await bot.handle()
    bot.turns.turns.clear()
    bot.says.clear()
    working = render_sentence("en", Sentence.WORKING, task="search &amp; find")
    bot.say(
        AgentTask(task_id="t1", title="search & find", state=TaskState.IN_PROGRESS), lambda: working in bot.slack.texts
    )
    bot.say("Two", lambda: "Two" in bot.slack.texts and bot.slack.blocks[max(bot.slack.shown)][-1] == STOP)
    await bot.handle()
    assert list(bot.slack.shown.values())[1] == [THINKING, working, "Two", "Two"]
    assert bot.slack.blocks[max(bot.slack.shown)] == ({"type": "markdown", "text": "Two"}, RATE)


@pytest.mark.parametrize("error", ["message_not_in_streaming_state", "message_not_owned_by_app"])
async def test_a_stream_that_ended_by_itself_is_completed_in_place(error: str) -> None:
    bot = Bot()
    bot.say("One", bot.shows("One"))

    def end_stream() -> bool:
        bot.slack.streaming.clear()
        bot.fail("append_stream", SlackRefusedError("chat.appendStream", error))
        return True

    bot.say("", end_stream)
    bot.say(" two", bot.shows("One two"))
    bot.say(" three")
    assert await bot.handle() == ANSWERED
    assert bot.slack.texts == ["One two three"]


@pytest.mark.parametrize("is_applied", [False, True])
async def test_an_append_whose_answer_was_lost_is_not_sent_again(*, is_applied: bool) -> None:
    bot = Bot()
    bot.say("One", bot.shows("One"))

    def lose_answer(method: str) -> SlackApiError | None:
        if method != "append_stream":
            return None
        if is_applied:
            (texts,) = bot.slack.shown.values()
            texts.append("One two")
        bot.slack.fail = lambda _method: None
        return SlackUnavailableError("chat.appendStream", "timeout")

    def arm() -> bool:
        bot.slack.fail = lose_answer
        return True

    bot.say("", arm)
    bot.say(" two", bot.shows("One two"))
    bot.say(" three")
    assert await bot.handle() == ANSWERED
    assert bot.slack.texts == ["One two three"]
    assert (bot.slack.streaming, bot.slack.conflicts) == (set(), 0)


@pytest.mark.parametrize("is_applied", [False, True])
async def test_a_start_whose_answer_was_lost_leaves_one_message(*, is_applied: bool) -> None:
    bot = Bot()

    def lose_answer(method: str) -> SlackApiError | None:
        if method != "start_stream":
            return None
        if is_applied:
            bot.slack.streaming.add(bot.slack._add("One", "1700000000.000100", None))  # type: ignore[arg-type]
        return SlackUnavailableError("chat.startStream", "timeout")

    bot.slack.fail = lose_answer
    bot.say("One", lambda: "start_stream" in bot.slack.effects.done)
    bot.say(" two")
    assert await bot.handle() == ANSWERED
    assert bot.slack.texts == ["One two"]
    assert not bot.slack.streaming
    assert bot.turn.opening is None


async def test_a_stream_that_had_to_wait_for_its_end_is_ended_before_it_is_edited() -> None:
    bot = Bot()
    bot.say("One", bot.shows("One"))

    def arm() -> bool:
        bot.fail("stop_stream", RateLimitedError("chat.stopStream", 30))
        return True

    bot.say(" two", arm)
    with pytest.raises(RateLimitedError):
        await bot.handle()
    assert bot.slack.streaming
    assert await bot.handle(redone=True) == ANSWERED
    assert bot.slack.texts == ["One two"]
    assert (bot.slack.streaming, bot.slack.conflicts) == (set(), 0)
    assert bot.slack.effects.done[-2:] == ["stop_stream", "update_message"]


async def test_a_stream_that_somebody_deleted_is_posted_anew() -> None:
    bot = Bot()

    def delete() -> bool:
        bot.slack.shown.clear()
        return True

    bot.say("One", bot.shows("One"))
    bot.say("", delete)
    bot.say(" two", bot.shows("One two"))
    assert await bot.handle() == ANSWERED
    assert bot.slack.texts == ["One two"]


async def test_what_slack_has_no_room_for_is_shown_later() -> None:
    bot = Bot()
    bot.say("One", bot.shows("One"))

    def arm() -> bool:
        bot.fail("append_stream", RateLimitedError("chat.appendStream", 30), times=100)
        return True

    bot.say("", arm)
    bot.say(" two")
    bot.say(" three")
    assert await bot.handle() == ANSWERED
    assert bot.slack.texts == ["One two three"]
    assert bot.slack.effects.done.count("append_stream") <= 1


async def test_a_workspace_that_has_too_many_streams_gets_the_answer_by_edits() -> None:
    bot = Bot()
    bot.fail("start_stream", RateLimitedError("chat.startStream", 30))
    bot.say("One", bot.shows("One"))
    bot.say(" two")
    assert await bot.handle() == ANSWERED
    assert bot.slack.texts == ["One two"]
    bot.turns.turns.clear()
    await bot.handle()
    assert bot.slack.effects.done.count("start_stream") == 2  # it was no refusal


async def test_a_long_stream_goes_on_in_a_next_message_before_slack_ends_it() -> None:
    bot = Bot()
    clock = bot.handler._clock

    def wait_long() -> bool:
        clock.time_s += MAX_AGE_S + 1  # type: ignore[attr-defined]
        return True

    bot.say("First part.", bot.shows("First part."))
    bot.say("", wait_long)
    bot.say(" And more.", bot.shows("First part. And more."))
    bot.say(" Second", bot.shows("Second"))
    bot.say(" part.")
    assert await bot.handle() == ANSWERED
    assert bot.slack.texts == ["First part. And more.", "Second part."]
    assert bot.turn.parts == tuple(bot.slack.shown)
    assert bot.turn.answer == "First part. And more. Second part."


async def test_who_presses_stop_in_slack_gets_no_more() -> None:
    bot = Bot()
    bot.say("One", bot.shows("One"))

    def stop() -> bool:
        bot.slack.streaming.clear()
        bot.slack.fail = lambda method: (
            SlackRefusedError(method, "stopped_by_user") if method in {"append_stream", "stop_stream"} else None
        )
        return True

    bot.say("", stop)
    bot.say(" two", lambda: False)
    assert await bot.handle() == Outcome(state=EventState.DONE, reason="stopped")
    assert bot.slack.texts == ["One"]
    assert len(bot.agents.cancelled) == 1
    assert (bot.turn.state, bot.turn.notice) == (TurnState.FINISHED, "stopped")
    assert await bot.handle(redone=True) == Outcome(state=EventState.DONE, reason="stopped")


@pytest.mark.parametrize("streaming", [False, True])
async def test_who_asks_for_a_stop_elsewhere_sees_that_it_was_stopped(*, streaming: bool) -> None:
    bot = Bot(streaming=streaming)

    def stop() -> bool:
        bot.turns.stops.add(("conn_1", "C1", "1700000000.000100"))
        return False

    bot.say("One", stop)
    assert (await bot.handle()).reason == "stopped"
    assert bot.slack.texts == [f"One\n\n{STOPPED}"] or bot.slack.texts == ["One\n\n*Stopped.*".replace("*", "_")]
    assert len(bot.agents.cancelled) == 1


async def test_an_agent_that_fails_in_the_middle_is_asked_again_and_its_message_completed() -> None:
    bot = Bot()

    async def fail(_request: AgentRequest) -> AsyncIterator[AgentEvent]:
        yield AgentText(text="Hel")
        await bot.slack.wait_for(bot.shows("Hel"))
        raise AgentStreamBrokenError("cut")

    bot.agents.script = fail
    with pytest.raises(AgentStreamBrokenError):
        await bot.handle()
    bot.agents.script = bot._script
    bot.say("Hello again")
    assert await bot.handle(redone=True) == ANSWERED
    assert bot.slack.texts == ["Hello again"]


@pytest.mark.parametrize("error", ["is_archived", "channel_not_found"])
async def test_in_a_channel_that_is_gone_the_turn_ends(error: str) -> None:
    bot = Bot()
    bot.say("One")
    bot.slack.fail = lambda method: SlackRefusedError(method, error)
    with pytest.raises(SlackRefusedError):
        await bot.handle()


async def test_files_that_the_agent_made_are_posted_and_need_no_words() -> None:
    bot = Bot()
    made = AgentFile(name="a.txt", mimetype="text/plain", content=b"x")
    bot.say(made)
    assert await bot.handle() == ANSWERED
    assert bot.files.shown == [made]
    assert bot.slack.texts == [render_sentence("en", Sentence.FILES_ONLY)]


async def test_which_files_were_sent_is_known_to_the_next_run_and_what_went_wrong_is_said() -> None:
    bot = Bot()
    bot.say("Here.")
    bot.say(AgentFile(name="a.txt", mimetype="text/plain", content=b"x"))
    bot.files.error = SlackUnavailableError("files.completeUploadExternal", "timeout")
    with pytest.raises(SlackUnavailableError):
        await bot.handle()
    bot.files.error, bot.files.notes = None, ["a &amp; b is too large."]
    assert await bot.handle(redone=True) == ANSWERED
    assert bot.files.earlier == [(), ("F0",)]
    assert bot.slack.texts == ["Here.\n\n_a &amp; b is too large._"]


async def test_blocks_that_slack_refuses_are_left_out() -> None:
    bot = Bot(streaming=False, show_thinking_message=False)
    bot.fail("post_message", SlackRefusedError("chat.postMessage", "invalid_blocks"))
    bot.say("**One**")
    assert await bot.handle() == ANSWERED
    assert bot.slack.texts == ["*One*"]


async def test_trouble_with_a_draft_does_not_interrupt_the_agent() -> None:
    bot = Bot()
    bot.fail("start_stream", SlackRefusedError("chat.startStream", "unknown_method"))
    bot.say("One", bot.shows("One"))

    def arm() -> bool:
        bot.fail("update_message", SlackUnavailableError("chat.update", "timeout"))
        return True

    bot.say("", arm)
    bot.say(" two", lambda: bot.slack.effects.done.count("update_message") > 0)
    bot.say(" three")
    assert await bot.handle() == ANSWERED
    assert bot.slack.texts == ["One two three"]
    assert len(bot.agents.requests) == 1


async def test_a_refusal_that_is_of_one_place_alone_leaves_the_others_their_streams() -> None:
    bot = Bot()
    bot.fail("start_stream", SlackRefusedError("chat.startStream", "missing_recipient_user_id"))
    bot.say("One", bot.shows("One"))
    assert await bot.handle() == ANSWERED
    bot.turns.turns.clear()
    bot.says.clear()
    bot.say("Two", bot.shows("Two"))
    await bot.handle()
    assert bot.slack.effects.done.count("start_stream") == 2


async def test_what_was_begun_for_a_question_that_is_deleted_is_taken_back() -> None:
    bot = Bot(streaming=False)

    async def fail(_request: AgentRequest) -> AsyncIterator[AgentEvent]:
        yield AgentText(text="")
        raise AgentStreamBrokenError("cut")

    bot.agents.script = fail
    with pytest.raises(AgentStreamBrokenError):
        await bot.handle()
    assert bot.slack.texts == [THINKING]
    asked = make_event(redone=True)
    deleted = make_event(
        "Ev2",
        type="message",
        subtype="message_deleted",
        deleted_ts="1700000000.000100",
        previous_message={"ts": "1700000000.000100", "user": "UANN", "text": "<@UBOT> what is up?"},
        ts="1700000009.000100",
    )
    claim = replace(CLAIM, events=(asked, replace(deleted, id=2)))
    outcome = await bot.handler.handle(bot.connection, asked, claim)
    assert outcome == Outcome(state=EventState.SKIPPED, reason="deleted")
    assert bot.slack.texts == []
    assert (bot.turn.state, bot.turn.notice) == (TurnState.FINISHED, "deleted")


async def test_a_shorter_answer_leaves_nothing_of_a_longer_one_that_was_not_noted() -> None:
    bot = Bot(streaming=False)
    marked = {"event_type": "slack_mcp_answer", "event_payload": {"event_id": "Ev1", "part": 1}}
    await bot.slack.post_message("C1", "old end", thread_ts="1700000000.000100", metadata=marked)  # type: ignore[arg-type]
    bot.say("Short")
    assert await bot.handle(redone=True) == ANSWERED
    assert bot.slack.texts == ["Short"]
