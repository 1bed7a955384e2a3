import json
from dataclasses import replace

import pytest
from bot_fakes import (
    CHANNEL,
    ROOT,
    FakeSlack,
    FakeTurns,
    ScriptedAgents,
    make_claim,
    make_connection,
    make_handler,
    says,
)
from bot_fakes import make_event as make_journalled

from slack_mcp.core.errors import SlackUnavailableError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId
from slack_mcp.core.model import ConnectionSettings, EventState, JournalledEvent, Outcome, TurnState
from slack_mcp.protocol.shadow import SHADOW, make_shadow

pytestmark = pytest.mark.anyio

ELSEWHERE = ChannelId("CSHADOW")
ANSWERED = Outcome(state=EventState.DONE, reason="answered")


def make_event(**changes: object) -> JournalledEvent:
    """Return an event that has the sample message answered elsewhere."""
    sample = make_journalled()
    copy = make_shadow(
        ConnectionId("conn_1"),
        sample.event_id,
        event_time=sample.event_time,
        lane=sample.lane,
        payload=sample.payload,
        channel_id=ELSEWHERE,
    )
    event = replace(sample, event_id=copy.event_id, event_type=SHADOW, payload=copy.payload, lane=copy.lane)
    return replace(event, **changes)  # type: ignore[arg-type]


class Bot:
    def __init__(self) -> None:
        self.turns, self.slack, self.agents = FakeTurns(), FakeSlack(), ScriptedAgents(says("Not much."))
        self.handler = make_handler(self.turns, self.slack, self.agents)
        self.connection = make_connection()

    async def handle(self, event: JournalledEvent) -> Outcome:
        return await self.handler.handle(self.connection, event, make_claim())


async def test_the_answer_stands_below_a_link_in_the_other_channel() -> None:
    bot = Bot()
    assert await bot.handle(make_event()) == ANSWERED
    link, answer = bot.slack.texts
    assert link == f"Replayed here: <https://acme.example/{CHANNEL}/{ROOT}|#{ROOT}>"
    assert answer == "Not much."
    top, below = bot.slack.shown
    assert (bot.slack.threads[top], bot.slack.threads[below]) == (None, top)
    (turn,) = bot.turns.turns.values()
    assert (turn.channel_id, turn.thread_ts, turn.message_ts) == (ELSEWHERE, top, ROOT)
    # As a question of a thread that the agent does not know.
    (request,) = bot.agents.requests
    assert (request.channel_id, request.thread_ts, request.event_id) == (ELSEWHERE, top, "Ev1:shadow:CSHADOW")


async def test_the_message_itself_is_answered_in_its_own_thread_all_the_same() -> None:
    bot = Bot()
    await bot.handle(make_event())
    assert await bot.handle(make_journalled()) == ANSWERED
    assert {turn.channel_id: turn.state for turn in bot.turns.turns.values()} == {
        ELSEWHERE: TurnState.FINISHED,
        CHANNEL: TurnState.FINISHED,
    }


async def test_a_run_that_comes_later_goes_on_below_the_link_that_stands() -> None:
    bot = Bot()
    posted = 0

    def fail(method: str) -> Exception | None:
        """Let Slack take the first message, and nothing after it."""
        nonlocal posted
        posted += 1
        return None if posted == 1 else SlackUnavailableError(method, "timeout")

    bot.slack.fail = fail
    with pytest.raises(SlackUnavailableError):
        await bot.handle(make_event())
    bot.turns.turns.clear()  # the pod died before it could note the thread
    bot.slack.fail = lambda _method: None
    assert await bot.handle(make_event(redone=True)) == ANSWERED
    link, answer = bot.slack.texts
    assert (link.startswith("Replayed here"), answer) == (True, "Not much.")


async def test_what_is_not_for_the_bot_with_the_present_settings_opens_no_thread() -> None:
    bot = Bot()
    bot.connection = make_connection(settings=ConnectionSettings(allowed_channels=(ChannelId("C9"),)))
    assert await bot.handle(make_event()) == Outcome(state=EventState.SKIPPED, reason="channel_not_allowed")
    assert bot.slack.texts == []


async def test_two_events_about_one_message_are_answered_once() -> None:
    bot = Bot()
    await bot.handle(make_event())
    twin = make_event(event_id=EventId("Ev2:shadow:CSHADOW"))
    assert await bot.handle(twin) == Outcome(state=EventState.SKIPPED, reason="same_message")
    assert len(bot.slack.texts) == 2


@pytest.mark.parametrize("payload", [b"", b"{}", json.dumps({"channel_id": "C1", "body": {}}).encode()])
async def test_what_cannot_be_read_is_skipped(payload: bytes) -> None:
    outcome = await Bot().handle(make_event(payload=payload))
    assert (outcome.state, outcome.reason) == (EventState.SKIPPED, "malformed_body")
