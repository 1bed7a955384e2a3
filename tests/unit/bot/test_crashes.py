"""A pod may die before or after each thing it does: the next run ends in exactly one answer."""

import itertools
from collections.abc import AsyncIterator

import pytest
from bot_fakes import (
    Effects,
    FakeSlack,
    FakeTurns,
    PodDied,
    Script,
    ScriptedAgents,
    When,
    make_claim,
    make_connection,
    make_event,
)
from stepping_clock import SteppingClock

from slack_mcp.bot.handler import BotHandler
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import AgentNotConfiguredError, AgentRefusedError, SlackRefusedError
from slack_mcp.core.model import TurnState
from slack_mcp.ports.agent import AgentRequest

pytestmark = pytest.mark.anyio
THINKING = render_sentence("en", Sentence.THINKING)
SHORT = ["begin_turn", "post_message", "save_turn", "save_turn", "update_message", "save_turn"]
LONG = [*SHORT[:-1], "post_message", "post_message", "save_turn"]
NOTICE = ["begin_turn", "post_message", "save_turn"]
WHENS: tuple[When, ...] = ("before", "after")


class Pods:
    """Pods that share a database and a workspace. An agent never gives the same answer twice."""

    def __init__(self, paragraphs: int | None) -> None:
        self.effects = Effects()
        self.turns = FakeTurns(self.effects)
        self.slack = FakeSlack(self.effects)
        self.asked = 0
        script = AgentNotConfiguredError("none") if paragraphs is None else self._script(paragraphs)
        self.handler = BotHandler(
            turns=self.turns,
            slack=self.slack,
            agents=ScriptedAgents(script),
            clock=SteppingClock(),
            turn_timeout_s=60,
        )

    def _script(self, paragraphs: int) -> Script:
        async def script(_request: AgentRequest) -> AsyncIterator[str]:
            self.asked += 1
            for number in range(paragraphs):
                yield f"{self.asked}.{number} " + "words " * 500 + "\n\n"

        return script

    async def run(self, *, redone: bool, die_at: tuple[int, When] | None = None) -> bool:
        """Handle the event; False when the pod died at it."""
        self.effects.die_at = die_at and (len(self.effects.done) + die_at[0], die_at[1])
        try:
            await self.handler.handle(make_connection(), make_event(redone=redone), make_claim())
        except PodDied:
            return False
        return True

    def check(self, messages: int) -> None:
        """One message for each piece, all of one answer, of which nobody ever saw another version."""
        (turn,) = self.turns.turns.values()
        assert turn.state is TurnState.FINISHED
        assert len(self.slack.metadata) == len(self.slack.shown) == messages
        if turn.answer is not None:
            assert "".join(self.slack.texts) == turn.answer
        for texts in self.slack.shown.values():
            assert len(set(texts) - {THINKING}) == 1
            assert texts[0] == THINKING or len(texts) == 1 or len(set(texts)) == 1


SCENARIOS = [
    pytest.param(paragraphs, messages, place, when, id=f"{name}, died {when} {place} {effects[place]}")
    for name, paragraphs, messages, effects in (
        ("short", 1, 1, SHORT),
        ("long", 3, 3, LONG),
        ("no agent", None, 1, NOTICE),
    )
    for place, when in itertools.product(range(len(effects)), WHENS)
]


@pytest.mark.parametrize(("paragraphs", "effects"), [(1, SHORT), (3, LONG), (None, NOTICE)])
async def test_the_effects_of_a_run_are_those_that_a_pod_may_die_at(paragraphs: int | None, effects: list[str]) -> None:
    pods = Pods(paragraphs)
    assert await pods.run(redone=False)
    assert pods.effects.done == effects


@pytest.mark.parametrize(("paragraphs", "messages", "place", "when"), SCENARIOS)
async def test_a_turn_that_a_pod_died_at_ends_in_one_answer(
    paragraphs: int | None, messages: int, place: int, when: When
) -> None:
    pods = Pods(paragraphs)
    assert not await pods.run(redone=False, die_at=(place, when))
    assert await pods.run(redone=True)
    pods.check(messages)


@pytest.mark.parametrize(("paragraphs", "messages", "place", "when"), SCENARIOS)
async def test_a_second_pod_that_dies_changes_nothing(
    paragraphs: int | None, messages: int, place: int, when: When
) -> None:
    for second in itertools.product(range(len(LONG) + 2), WHENS):
        pods = Pods(paragraphs)
        await pods.run(redone=False, die_at=(place, when))
        await pods.run(redone=True, die_at=second)
        assert await pods.run(redone=True)
        pods.check(messages)


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("place", range(4))
async def test_a_deleted_placeholder_is_posted_anew_once(place: int, when: When) -> None:
    pods = Pods(1)
    assert not await pods.run(redone=False, die_at=(3, "after"))  # answered, and not shown yet
    (placeholder,) = pods.slack.shown
    pods.slack.delete(placeholder)
    await pods.run(redone=True, die_at=(place, when))
    assert await pods.run(redone=True)
    (turn,) = pods.turns.turns.values()
    assert pods.slack.texts == [turn.answer]
    assert len(pods.slack.metadata) == 2


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("place", range(len(SHORT) + 2))
async def test_an_answer_that_comes_too_late_for_an_edit_is_posted_beside_the_placeholder_once(
    place: int, when: When
) -> None:
    pods = Pods(1)
    closed = SlackRefusedError("chat.update", "edit_window_closed")
    pods.slack.fail = lambda method: closed if method == "update_message" else None
    await pods.run(redone=False, die_at=(place, when))
    assert await pods.run(redone=True)
    (turn,) = pods.turns.turns.values()
    assert turn.state is TurnState.FINISHED
    assert pods.slack.texts == [THINKING, turn.answer]
    assert turn.answer_ts == list(pods.slack.shown)[1]


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("first", [(0, "after"), (1, "after"), (2, "after")])
async def test_giving_up_is_said_once(first: tuple[int, When], place: int, when: When) -> None:
    pods = Pods(1)
    await pods.run(redone=False, die_at=first)
    pods.effects.die_at = (len(pods.effects.done) + place, when)
    for _ in range(2):
        try:
            await pods.handler.give_up(make_connection(), make_event(), make_claim(), AgentRefusedError("no"))
        except PodDied:
            pods.effects.die_at = None
    assert pods.slack.texts == [render_sentence("en", Sentence.NO_ANSWER, reference="Ev1")]
    pods.check(1)
