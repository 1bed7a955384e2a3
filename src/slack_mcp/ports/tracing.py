"""Whoever traces events puts itself around what works on them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from slack_mcp.core.model import Delivery
from slack_mcp.ports.handler import EventHandler
from slack_mcp.ports.metrics import NoteCall, TurnMeter

Append: TypeAlias = Callable[[Sequence[Delivery]], Awaitable[Sequence[bool]]]
"""`Journal.append`."""


class Tracing(Protocol):
    """Each method returns what does the same as what it is given, and is traced. No text and no secret is told."""

    def trace_append(self, append: Append) -> Append:
        """Begin a trace for each event that is new to the journal."""
        ...

    def trace_handler(self, handler: EventHandler) -> EventHandler:
        """Trace the work on an event, on whatever pod, within the event's trace."""
        ...

    def trace_calls(self, note: NoteCall) -> NoteCall:
        """Trace the calls to Slack that belong to the work on an event."""
        ...

    def trace_turns(self, meter: TurnMeter) -> TurnMeter:
        """Trace what the agent does, and when its first text is seen."""
        ...


class Untraced:
    """A `Tracing` that traces nothing."""

    def trace_append(self, append: Append) -> Append:
        """Return the same."""
        return append

    def trace_handler(self, handler: EventHandler) -> EventHandler:
        """Return the same."""
        return handler

    def trace_calls(self, note: NoteCall) -> NoteCall:
        """Return the same."""
        return note

    def trace_turns(self, meter: TurnMeter) -> TurnMeter:
        """Return the same."""
        return meter
