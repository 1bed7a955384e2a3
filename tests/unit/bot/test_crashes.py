"""A pod may die before or after each thing it does: the next run ends in exactly one answer."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
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
    make_handler,
)

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import AgentNotConfiguredError, AgentRefusedError, SlackRefusedError
from slack_mcp.core.model import ConnectionSettings, TurnState
from slack_mcp.ports.agent import AgentEvent, AgentRequest, AgentText

pytestmark = pytest.mark.anyio
THINKING = render_sentence("en", Sentence.THINKING)
WHENS: tuple[When, ...] = ("before", "after")
WORDS = "words " * 550
STREAM = ConnectionSettings()
EDIT = ConnectionSettings(streaming=False)
QUIET = ConnectionSettings(streaming=False, show_thinking_message=False)
STREAMED = ["save_turn", "start_stream", "save_turn"]
# The settings, the words of each text that the agent says while somebody looks, and what is done.
RUNS = {
    "streamed": (
        STREAM,
        ["a", " b", " c"],
        [
            *("begin_turn", "set_status", *STREAMED, "append_stream", "append_stream"),
            *("save_turn", "stop_stream", "save_turn"),
        ],
    ),
    "streamed in three": (
        STREAM,
        [f"{WORDS}\n\n", f"{WORDS}\n\n", "end"],
        [
            *("begin_turn", "set_status", *STREAMED, "stop_stream", *STREAMED, "stop_stream", *STREAMED),
            *("save_turn", "stop_stream", "save_turn"),
        ],
    ),
    "at once": (STREAM, None, ["begin_turn", "save_turn", "post_message", "save_turn"]),
    "placeholder": (
        EDIT,
        None,
        ["begin_turn", "post_message", "save_turn", "save_turn", "update_message", "save_turn"],
    ),
    "no sign of life": (QUIET, None, ["begin_turn", "save_turn", "post_message", "save_turn"]),
}


class Pods:
    """Pods that share a database and a workspace. An agent never gives the same answer twice."""

    def __init__(self, settings: ConnectionSettings, says: list[str] | None, *, no_agent: bool = False) -> None:
        self.effects = Effects()
        self.turns = FakeTurns(self.effects)
        self.slack = FakeSlack(self.effects)
        self.asked = 0
        self.connection = replace(make_connection(), settings=settings)
        script = AgentNotConfiguredError("none") if no_agent else self._script(says)
        self.handler = make_handler(self.turns, self.slack, ScriptedAgents(script))

    def _script(self, says: list[str] | None) -> Script:
        async def script(request: AgentRequest) -> AsyncIterator[AgentEvent]:
            self.asked += 1
            yield AgentText(text=f"answer {self.asked} ")
            if says is None:
                yield AgentText(text=f"and {self.asked}")
                return
            for text in says:
                before = len(self.effects.done)
                yield AgentText(text=text)
                if not request.is_repeated:  # a second run shows nothing before the end
                    await self.slack.wait_for(lambda before=before: len(self.effects.done) > before)  # type: ignore[misc]
                    await anyio.wait_all_tasks_blocked()

        return script

    async def run(self, *, redone: bool, die_at: tuple[int, When] | None = None) -> bool:
        """Handle the event; False when the pod died at it."""
        self.effects.die_at = die_at and (len(self.effects.done) + die_at[0], die_at[1])
        died = False
        try:
            await self.handler.handle(self.connection, make_event(redone=redone), make_claim())
        except* PodDied:
            died = True
        return not died

    def check(self) -> None:
        """All of one answer is shown once, and nothing else."""
        (turn,) = self.turns.turns.values()
        assert turn.state is TurnState.FINISHED
        assert turn.parts == tuple(self.slack.shown)
        assert turn.answer_ts == turn.parts[0]
        assert turn.opening is None
        assert not self.slack.streaming
        if turn.answer is not None:
            assert " ".join(self.slack.texts).split() == turn.answer.split()
        for part, ts in enumerate(turn.parts):
            metadata = self.slack.metadata[ts]
            assert metadata is not None
            assert metadata["event_payload"].get("part", 0) == part


SCENARIOS = [
    pytest.param(name, place, when, id=f"{name}, died {when} {place} {effects[place]}")
    for name, (_, _, effects) in RUNS.items()
    for place, when in itertools.product(range(len(effects)), WHENS)
]


@pytest.mark.parametrize("name", RUNS)
async def test_the_effects_of_a_run_are_those_that_a_pod_may_die_at(name: str) -> None:
    settings, says, effects = RUNS[name]
    pods = Pods(settings, says)
    assert await pods.run(redone=False)
    assert pods.effects.done == effects
    pods.check()


@pytest.mark.parametrize(("name", "place", "when"), SCENARIOS)
async def test_a_turn_that_a_pod_died_at_ends_in_one_answer(name: str, place: int, when: When) -> None:
    settings, says, _ = RUNS[name]
    pods = Pods(settings, says)
    assert not await pods.run(redone=False, die_at=(place, when))
    assert await pods.run(redone=True)
    pods.check()


@pytest.mark.parametrize(("name", "place", "when"), SCENARIOS)
async def test_a_second_pod_that_dies_changes_nothing(name: str, place: int, when: When) -> None:
    settings, says, _ = RUNS[name]
    for second in itertools.product((0, 1, 3, 5), WHENS):
        pods = Pods(settings, says)
        await pods.run(redone=False, die_at=(place, when))
        await pods.run(redone=True, die_at=second)
        assert await pods.run(redone=True)
        pods.check()


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("place", range(4))
async def test_a_deleted_placeholder_is_posted_anew_once(place: int, when: When) -> None:
    pods = Pods(EDIT, None)
    assert not await pods.run(redone=False, die_at=(3, "after"))  # answered, and not shown yet
    (placeholder,) = pods.slack.shown
    pods.slack.delete(placeholder)
    await pods.run(redone=True, die_at=(place, when))
    assert await pods.run(redone=True)
    pods.check()
    assert len(pods.slack.metadata) == 2


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("place", range(8))
async def test_an_answer_that_comes_too_late_for_an_edit_is_posted_beside_the_placeholder_once(
    place: int, when: When
) -> None:
    pods = Pods(EDIT, None)
    closed = SlackRefusedError("chat.update", "edit_window_closed")
    pods.slack.fail = lambda method: closed if method == "update_message" else None
    await pods.run(redone=False, die_at=(place, when))
    assert await pods.run(redone=True)
    (turn,) = pods.turns.turns.values()
    assert turn.state is TurnState.FINISHED
    thinking, answer = pods.slack.texts
    assert turn.answer is not None
    assert (thinking, answer.split()) == (THINKING, turn.answer.split())
    assert turn.answer_ts == list(pods.slack.shown)[1]


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("place", range(5))
async def test_a_notice_is_said_once(place: int, when: When) -> None:
    pods = Pods(STREAM, None, no_agent=True)
    await pods.run(redone=False, die_at=(place, when))
    assert await pods.run(redone=True)
    assert pods.slack.texts == [render_sentence("en", Sentence.AGENT_NOT_CONFIGURED, connection_id="conn_1")]
    pods.check()


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("first", [(0, "after"), (1, "after"), (2, "after")])
@pytest.mark.parametrize("name", ["streamed", "placeholder"])
async def test_giving_up_is_said_once(name: str, first: tuple[int, When], place: int, when: When) -> None:
    settings, says, _ = RUNS[name]
    pods = Pods(settings, says)
    await pods.run(redone=False, die_at=first)
    pods.effects.die_at = (len(pods.effects.done) + place, when)
    for _ in range(2):
        try:
            await pods.handler.give_up(pods.connection, make_event(), make_claim(), AgentRefusedError("no"))
        except PodDied:
            pods.effects.die_at = None
    assert pods.slack.texts == [render_sentence("en", Sentence.NO_ANSWER, reference="Ev1")]
    pods.check()
