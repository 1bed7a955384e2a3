"""Who is told what happens, to count it. Nobody is told of a tenant, a person or a message; nothing waits or raises."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeAlias

NoteAnswer: TypeAlias = Callable[[str, float], None]
"""Takes the outcome of a request to the webhook (a constant word, or an error's code) and the seconds until it."""

NoteCall: TypeAlias = Callable[[str, str, float], None]
"""Takes a method of Slack's Web API, `ok` or an error's code, and the seconds that the call took."""


class TurnMeter(Protocol):
    """Hears of the bot's turns. All seconds are counted from the moment at which the question was journalled."""

    def note_first_text(self, seconds: float) -> None:
        """Hear that the first text of an answer stands in Slack."""
        ...

    def note_turn(self, outcome: str, seconds: float) -> None:
        """Hear that a turn has ended: `answered`, or another of the words for how it can."""
        ...

    def note_agent_error(self, code: str) -> None:
        """Hear that a run of a turn ended with an error of the agent."""
        ...

    def listening(self) -> AbstractContextManager[object]:
        """Return what is to be around listening to the agent."""
        ...


class Unmetered:
    """A `TurnMeter` that counts nothing; its functions are a `NoteAnswer` and a `NoteCall` that do the same."""

    def note_first_text(self, seconds: float) -> None:
        """Do nothing."""

    def note_turn(self, outcome: str, seconds: float) -> None:
        """Do nothing."""

    def note_agent_error(self, code: str) -> None:
        """Do nothing."""

    def listening(self) -> AbstractContextManager[object]:
        """Return what does nothing."""
        return nullcontext()


def ignore_answer(outcome: str, seconds: float) -> None:
    """Do nothing."""


def ignore_call(method: str, outcome: str, seconds: float) -> None:
    """Do nothing."""
