"""What is counted where it happens; see `ports.metrics`."""

from contextlib import AbstractContextManager, nullcontext

from slack_mcp.metrics import catalogue
from slack_mcp.metrics.values import Values
from slack_mcp.ports.metrics import NoteAnswer, NoteCall


def make_door_meter(values: Values, door: str) -> NoteAnswer:
    """Return what notes the answers of one of the webhook's doors. It is called for every delivery."""
    add, observe = values.counter(catalogue.DELIVERIES).add, values.histogram(catalogue.ACK_SECONDS).observe

    def note(outcome: str, seconds: float) -> None:
        add(door, outcome)
        observe(seconds, door)

    return note


def make_call_meter(values: Values) -> NoteCall:
    """Return what notes the calls of Slack's Web API."""
    add, observe = values.counter(catalogue.SLACK_CALLS).add, values.histogram(catalogue.SLACK_CALL_SECONDS).observe

    def note(method: str, outcome: str, seconds: float) -> None:
        add(method, outcome)
        observe(seconds)

    return note


class CountedTurns:
    """`ports.metrics.TurnMeter`."""

    def __init__(self, values: Values) -> None:
        self._turns = values.histogram(catalogue.TURN_SECONDS)
        self._first_texts = values.histogram(catalogue.FIRST_TEXT_SECONDS)
        self._errors = values.counter(catalogue.AGENT_ERRORS)

    def note_first_text(self, seconds: float) -> None:
        """Count it."""
        self._first_texts.observe(seconds)

    def note_turn(self, outcome: str, seconds: float) -> None:
        """Count it."""
        self._turns.observe(seconds, outcome)

    def note_agent_error(self, code: str) -> None:
        """Count it."""
        self._errors.add(code)

    def listening(self) -> AbstractContextManager[object]:
        """Return what does nothing."""
        return nullcontext()
