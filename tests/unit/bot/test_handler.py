import math
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anyio
import pytest
import structlog
from bot_fakes import (
    CHANNEL,
    ROOT,
    FakeSlack,
    FakeTurns,
    Script,
    ScriptedAgents,
    make_claim,
    make_connection,
    make_event,
    make_handler,
    make_turn,
    says,
)

from slack_mcp.bot.draft import MAX_ANSWER_CHARS
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import (
    AgentError,
    AgentNotConfiguredError,
    AgentRateLimitedError,
    AgentRefusedError,
    AgentStreamBrokenError,
    AgentTimeoutError,
    AgentUnavailableError,
    LeaseLostError,
    MissingScopeError,
    RateLimitedError,
    SlackMcpError,
    SlackRefusedError,
    SlackUnavailableError,
    TokenRevokedError,
)
from slack_mcp.core.model import ConnectionSettings, EventState, Outcome, TurnState
from slack_mcp.ports.agent import AgentEvent, AgentRequest, AgentText
from slack_mcp.ports.operations import ASKED_AGAIN

pytestmark = pytest.mark.anyio
THINKING = render_sentence("en", Sentence.THINKING)
NO_ANSWER = render_sentence("en", Sentence.NO_ANSWER, reference="Ev1")
NOT_CONFIGURED = render_sentence("en", Sentence.AGENT_NOT_CONFIGURED, connection_id="conn_1")
ANSWERED = Outcome(state=EventState.DONE, reason="answered")
CLAIM = make_claim()
# How answers are streamed is told in test_streaming.py.
CONNECTION = make_connection(settings=ConnectionSettings(streaming=False))


class Bot:
    """A handler with its fakes."""

    def __init__(self, script: Script | Exception, *, turn_timeout_s: float = math.inf) -> None:
        self.turns = FakeTurns()
        self.slack = FakeSlack()
        self.agents = ScriptedAgents(script)
        self.handler = make_handler(self.turns, self.slack, self.agents, turn_timeout_s=turn_timeout_s)

    async def handle(self, **changes: Any) -> Outcome:
        return await self.handler.handle(CONNECTION, make_event(**changes), CLAIM)

    async def give_up(self, error: SlackMcpError, **changes: Any) -> None:
        await self.handler.give_up(CONNECTION, make_event(**changes), CLAIM, error)


async def test_a_mention_is_answered_in_its_thread() -> None:
    bot = Bot(says("Not ", "much."))
    assert await bot.handle() == ANSWERED
    ((ts, texts),) = bot.slack.shown.items()
    assert texts == [THINKING, "Not much."]
    assert bot.slack.threads[ts] == ROOT
    metadata = bot.slack.metadata[ts]
    assert metadata is not None
    assert (metadata["event_type"], metadata["event_payload"]["event_id"]) == ("slack_mcp_answer", "Ev1")
    (turn,) = bot.turns.turns.values()
    assert replace(turn, trace=(), digests=()) == make_turn(
        user_id="UANN", state=TurnState.FINISHED, answer_ts=ts, answer="Not much.", parts=(ts,)
    )
    assert [step["step"] for step in turn.trace] == ["run", "agent", "answered"]
    (request,) = bot.agents.requests
    assert request == AgentRequest(
        event_id=turn.event_id, channel_id=CHANNEL, thread_ts=ROOT, user_id=turn.user_id, question="what is up?"
    )
    assert "fetch_own_replies" not in bot.slack.effects.done  # nothing to look for on a first run
    assert set(bot.slack.opened_for) == {"conn_1"}


async def test_the_answer_is_stored_before_it_is_shown() -> None:
    bot = Bot(says("Not much."))

    def check(method: str) -> None:
        if method == "update_message":
            (turn,) = bot.turns.turns.values()
            assert (turn.state, turn.answer) == (TurnState.ANSWERED, "Not much.")

    bot.slack.fail = check
    assert await bot.handle() == ANSWERED


async def test_what_a_model_writes_mentions_nobody() -> None:
    bot = Bot(says("<!channel> <@UANN> R&D \0\ud83d"))
    await bot.handle()
    assert bot.slack.texts == ["&lt;\u2060!channel&gt; &lt;\u2060@UANN&gt; R&amp;D ?"]
    (turn,) = bot.turns.turns.values()
    assert turn.answer == "<!channel> <@UANN> R&D ?"


async def test_mention_and_message_of_one_ts_are_one_turn() -> None:
    bot = Bot(says("Not much."))
    await bot.handle()
    twin = await bot.handle(event_id="Ev2", type="message", channel_type="channel")
    assert twin == Outcome(state=EventState.SKIPPED, reason="same_message")
    assert bot.slack.texts == ["Not much."]


async def test_an_answered_event_that_comes_again_is_done_at_once() -> None:
    bot = Bot(says("Not much."))
    await bot.handle()
    done = list(bot.slack.effects.done)
    assert await bot.handle(redone=True) == ANSWERED
    assert bot.slack.effects.done == done


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "malformed_body"),
        (b'{"type":"url_verification","challenge":"x"}', "event_type"),
        (b'{"type":"event_callback","event_id":"Ev1","event":{"type":"team_join"}}', "event_type"),
    ],
)
async def test_what_is_no_message_is_skipped(payload: bytes, reason: str) -> None:
    bot = Bot(says("Not much."))
    event = replace(make_event(), payload=payload)
    outcome = await bot.handler.handle(CONNECTION, event, CLAIM)
    assert outcome == Outcome(state=EventState.SKIPPED, reason=reason)
    assert type(outcome.reason) is str
    await bot.handler.give_up(CONNECTION, event, CLAIM, AgentTimeoutError("late"))
    assert bot.slack.effects.done == []
    assert bot.turns.turns == {}


async def test_a_file_without_words_and_without_anything_to_read_is_answered_so() -> None:
    bot = Bot(says("Not much."))
    direct = {"type": "message", "channel_type": "im", "subtype": "file_share", "text": ""}
    assert await bot.handle(**direct) == Outcome(state=EventState.DONE, reason="nothing_to_read")
    assert bot.slack.texts == [render_sentence("en", Sentence.NOTHING_TO_READ)]
    assert bot.agents.requests == []
    assert (await bot.handle(**direct, redone=True)).reason == "nothing_to_read"
    assert len(bot.slack.shown) == 1


# Long answers


async def test_a_long_answer_becomes_several_messages_in_order() -> None:
    paragraphs = [letter * 3000 for letter in "abc"]
    bot = Bot(says(*(f"{each}\n\n" for each in paragraphs)))
    await bot.handle()
    assert bot.slack.texts == paragraphs
    payloads = [dict(each or {})["event_payload"] for each in bot.slack.metadata.values()]
    assert [payload.get("part", 0) for payload in payloads] == [0, 1, 2]
    assert set(bot.slack.threads.values()) == {ROOT}


async def test_messages_of_nothing_but_blanks_are_left_out() -> None:
    bot = Bot(says("a", "\n" * 9000, "b"))
    await bot.handle()
    assert [text.strip() for text in bot.slack.texts] == ["a", "b"]


async def test_an_answer_without_an_end_is_cut_off_and_its_stream_closed() -> None:
    closed = anyio.Event()

    async def endless(_request: AgentRequest) -> AsyncIterator[AgentEvent]:
        try:
            while True:
                yield AgentText(text="word " * 1000)
        finally:
            closed.set()

    bot = Bot(endless)
    assert await bot.handle() == ANSWERED
    assert closed.is_set()
    assert bot.slack.texts[-1].endswith(render_sentence("en", Sentence.ANSWER_CUT))
    assert MAX_ANSWER_CHARS - 100 <= sum(len(text) for text in bot.slack.texts) < MAX_ANSWER_CHARS + 100


# Agents that fail


async def hang(_request: AgentRequest) -> AsyncIterator[AgentEvent]:
    yield AgentText(text="One ")
    await anyio.sleep_forever()


@pytest.mark.parametrize(
    ("script", "error"),
    [
        pytest.param(says(), AgentStreamBrokenError, id="says nothing"),
        pytest.param(says(" \n", "\0"), AgentStreamBrokenError, id="says blanks"),
        pytest.param(says("Not ", then=AgentStreamBrokenError("cut")), AgentStreamBrokenError, id="dies mid-stream"),
        pytest.param(says(then=AgentRefusedError("no")), AgentRefusedError, id="refuses"),
        pytest.param(says(then=AgentRateLimitedError(7)), AgentRateLimitedError, id="asks to wait"),
        pytest.param(says(then=AgentUnavailableError("down")), AgentUnavailableError, id="is down"),
        pytest.param(hang, AgentTimeoutError, id="hangs"),
    ],
)
async def test_a_failing_agent_leaves_the_placeholder_and_is_asked_again(
    script: Script, error: type[AgentError]
) -> None:
    bot = Bot(script, turn_timeout_s=0.01 if script is hang else math.inf)
    with pytest.raises(error), anyio.fail_after(5):
        await bot.handle()
    assert bot.slack.texts == [THINKING]
    (turn,) = bot.turns.turns.values()
    assert (turn.state, turn.answer) == (TurnState.PLACED, None)
    bot.agents.script = says("Not much.")
    assert await bot.handle(redone=True) == ANSWERED
    assert bot.slack.texts == ["Not much."]


async def test_cancellation_is_passed_on() -> None:
    bot = Bot(hang)
    with anyio.move_on_after(0.01) as scope:
        await bot.handle()
    assert scope.cancelled_caught
    assert bot.slack.texts == [THINKING]


@pytest.mark.parametrize("script", [AgentNotConfiguredError("none"), says(then=AgentNotConfiguredError("no model"))])
async def test_without_an_agent_the_bot_says_once_in_a_thread_what_to_configure(script: Script | Exception) -> None:
    bot = Bot(script)
    assert await bot.handle() == Outcome(state=EventState.DONE, reason="agent_not_configured")
    (turn,) = bot.turns.turns.values()
    assert (turn.state, turn.answer, turn.notice) == (TurnState.FINISHED, None, "agent_not_configured")
    assert bot.slack.texts == [NOT_CONFIGURED]
    assert (await bot.handle(redone=True)).reason == "agent_not_configured"
    assert bot.slack.texts == [NOT_CONFIGURED]


async def test_without_an_agent_later_messages_of_the_thread_are_skipped_until_there_is_one() -> None:
    bot = Bot(AgentNotConfiguredError("none"))
    await bot.handle()
    later = {"type": "message", "channel_type": "channel", "thread_ts": ROOT, "text": "hello?"}
    outcome = await bot.handle(event_id="Ev2", ts="1700000000.000200", **later)
    assert outcome == Outcome(state=EventState.SKIPPED, reason="agent_not_configured")
    assert bot.slack.texts == [NOT_CONFIGURED]
    bot.agents.script = says("Here I am.")
    assert await bot.handle(event_id="Ev3", ts="1700000000.000300", **later) == ANSWERED
    assert bot.slack.texts == [NOT_CONFIGURED, "Here I am."]
    assert bot.agents.requests[0].history == ()


async def test_the_bot_speaks_the_connections_language() -> None:
    bot = Bot(AgentNotConfiguredError("none"))
    settings = ConnectionSettings(language="pt-BR", streaming=False)
    brazilian = make_connection(settings=settings, connection_id="conn_<br>")
    await bot.handler.handle(brazilian, make_event(), CLAIM)
    assert bot.slack.texts == [
        render_sentence("pt-BR", Sentence.AGENT_NOT_CONFIGURED, connection_id="conn_&lt;br&gt;"),
    ]
    bot.agents.script = says("Oi.")
    await bot.handler.handle(brazilian, make_event(event_id="Ev2", ts="1700000000.000200"), CLAIM)
    assert list(bot.slack.shown.values())[1] == [render_sentence("pt-BR", Sentence.THINKING), "Oi."]


# Slack that fails


@pytest.mark.parametrize("method", ["post_message", "update_message"])
@pytest.mark.parametrize(
    "error",
    [
        RateLimitedError("chat.update", 3),
        SlackUnavailableError("chat.update", "timeout"),
        SlackRefusedError("chat.update", "is_archived"),
        TokenRevokedError("chat.update", "token_revoked"),
    ],
)
async def test_slacks_errors_reach_the_dispatcher_and_the_turn_goes_on_later(method: str, error: SlackMcpError) -> None:
    bot = Bot(says("Not much."))
    bot.slack.fail = lambda called: error if called == method else None
    with pytest.raises(type(error)):
        await bot.handle()
    bot.slack.fail = lambda _called: None
    assert await bot.handle(redone=True) == ANSWERED
    assert bot.slack.texts == ["Not much."]
    assert len(bot.agents.requests) == 1


async def test_a_placeholder_that_somebody_deleted_is_replaced_by_a_new_message() -> None:
    bot = Bot(says("Not much."))

    def delete_placeholder(method: str) -> None:
        if method == "update_message" and len(bot.slack.metadata) == 1:
            bot.slack.shown.clear()

    bot.slack.fail = delete_placeholder
    assert await bot.handle() == ANSWERED
    ((ts, texts),) = bot.slack.shown.items()
    assert texts == ["Not much."]
    (turn,) = bot.turns.turns.values()
    assert turn.answer_ts == ts


async def test_a_lost_lease_ends_the_run() -> None:
    bot = Bot(says("Not much."))
    bot.turns.fence = 2
    with pytest.raises(LeaseLostError):
        await bot.handle()
    assert await bot.handler.handle(CONNECTION, make_event(redone=True), make_claim(fence=2)) == ANSWERED
    assert bot.slack.texts == ["Not much."]


async def test_messages_of_other_turns_and_apps_are_not_taken_for_ours() -> None:
    bot = Bot(says("Not much."))
    for metadata in (
        None,
        {"event_type": "other", "event_payload": {"event_id": "Ev1"}},
        {"event_type": "slack_mcp_answer", "event_payload": {"event_id": "Ev0"}},
        {"event_type": "slack_mcp_answer", "event_payload": {"event_id": "Ev1", "part": "x"}},
        {"event_type": "slack_mcp_answer"},
    ):
        await bot.slack.post_message(CHANNEL, "other", thread_ts=ROOT, metadata=metadata)
    assert await bot.handle(redone=True) == ANSWERED
    assert bot.slack.texts == ["other"] * 5 + ["Not much."]


# Giving up


async def test_giving_up_replaces_the_placeholder() -> None:
    bot = Bot(says(then=AgentUnavailableError("down")))
    with pytest.raises(AgentUnavailableError):
        await bot.handle()
    await bot.give_up(AgentUnavailableError("down"), redone=True)
    assert bot.slack.texts == [NO_ANSWER]
    (turn,) = bot.turns.turns.values()
    assert (turn.state, turn.notice, turn.answer) == (TurnState.FINISHED, "no_answer", None)
    await bot.give_up(AgentUnavailableError("down"), redone=True)
    assert list(bot.slack.shown.values()) == [[THINKING, NO_ANSWER]]


async def test_giving_up_without_a_placeholder_posts_the_sentence_once() -> None:
    bot = Bot(says("Not much."))
    bot.turns.fence = 2
    with pytest.raises(LeaseLostError):
        await bot.give_up(AgentUnavailableError("down"))
    await bot.handler.give_up(CONNECTION, make_event(), make_claim(fence=2), AgentUnavailableError("down"))
    assert bot.slack.texts == [NO_ANSWER]


@pytest.mark.parametrize(
    "error",
    [
        TokenRevokedError("chat.postMessage", "token_revoked"),
        MissingScopeError("chat.postMessage", "chat:write"),
        SlackRefusedError("chat.postMessage", "is_archived"),
    ],
)
async def test_nothing_is_said_where_slack_would_refuse_it(error: SlackMcpError) -> None:
    bot = Bot(says("Not much."))
    await bot.give_up(error)
    assert bot.slack.effects.done == []
    (turn,) = bot.turns.turns.values()
    assert (turn.state, turn.notice) == (TurnState.FINISHED, "no_answer")


async def test_giving_up_leaves_an_answer_that_may_be_seen_alone() -> None:
    bot = Bot(says("a" * 3000, "\n\n", "b" * 3000))
    error = SlackUnavailableError("chat.postMessage", "timeout")
    # The placeholder can be posted; the answer's second message, which comes after the update, cannot.
    bot.slack.fail = lambda method: (
        error if method == "post_message" and "update_message" in bot.slack.effects.done else None
    )
    with pytest.raises(SlackUnavailableError):
        await bot.handle()
    bot.slack.fail = lambda _method: None
    await bot.give_up(error, redone=True)
    assert bot.slack.texts == ["a" * 3000]
    (turn,) = bot.turns.turns.values()
    assert (turn.state, turn.notice) == (TurnState.FINISHED, "no_answer")


async def test_giving_up_what_is_not_for_the_bot_does_nothing() -> None:
    bot = Bot(says("Not much."))
    await bot.give_up(AgentUnavailableError("down"), user="UBOT")
    assert bot.slack.effects.done == []


@pytest.mark.parametrize("is_answered", [False, True])
async def test_a_replayed_dead_event_is_answered_after_all(*, is_answered: bool) -> None:
    bot = Bot(says("Not much.") if is_answered else says(then=AgentRefusedError("no")))
    bot.slack.fail = lambda method: SlackUnavailableError(method, "timeout") if method == "update_message" else None
    with pytest.raises(SlackMcpError):
        await bot.handle()
    bot.slack.fail = lambda _method: None
    await bot.give_up(AgentRefusedError("no"), redone=True)
    bot.agents.script = says("Not much.")
    assert await bot.handle(redone=True) == ANSWERED
    assert bot.slack.texts == ["Not much."]
    (turn,) = bot.turns.turns.values()
    assert (turn.state, turn.notice) == (TurnState.FINISHED, None)


async def test_a_turn_that_is_asked_again_shows_another_answer_where_the_old_one_stands() -> None:
    bot = Bot(says("Not much."))
    await bot.handle()
    ((key, whole),) = bot.turns.turns.items()
    step: dict[str, str | int] = {"at_ms": 1, "step": ASKED_AGAIN}
    bot.turns.turns[key] = replace(whole, state=TurnState.PLACED, answer=None, trace=(*whole.trace, step))
    bot.agents.script = says("A lot.")
    assert await bot.handle(redone=True) == ANSWERED
    assert bot.slack.texts == ["A lot."]
    # An agent that remembers its questions would give the old answer.
    assert [request.event_id for request in bot.agents.requests] == ["Ev1", "Ev1again1"]


async def test_one_line_per_turn_tells_how_it_went_and_nothing_of_what_was_said() -> None:
    bot = Bot(says("canary answer"))
    with structlog.testing.capture_logs() as lines:
        await bot.handle(text="<@UBOT> canary question", attempts=2, redone=True)
    assert lines == [
        {
            "event": "turn.finished",
            "log_level": "info",
            "connection_id": "conn_1",
            "event_id": "Ev1",
            "outcome": "answered",
            "redone": True,
            "attempts": 2,
            "answer_chars": 13,
            "duration_ms": 0,
        }
    ]
