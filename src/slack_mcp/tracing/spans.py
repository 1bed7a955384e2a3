"""One trace for each event: from the webhook's journal over the work on it, on whatever pod, to the calls to Slack.

An attribute holds an id, a constant word or a number; never text, a token, or the words of an exception.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer

from slack_mcp.core.errors import SlackMcpError
from slack_mcp.core.model import Claim, Connection, Delivery, JournalledEvent, Outcome
from slack_mcp.ports.handler import EventHandler
from slack_mcp.ports.metrics import NoteCall, TurnMeter
from slack_mcp.ports.tracing import Append
from slack_mcp.protocol.trace_ids import TraceIds, make_trace_ids

PREFIX: Final = "slack_mcp."
NS_PER_S: Final = 1_000_000_000

Attributes = Mapping[str, str | int | bool]


class EventIds(IdGenerator):
    """Gives the next span the ids that were chosen for it, and all others random ones."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._chosen: TraceIds | None = None

    @contextmanager
    def choose(self, ids: TraceIds) -> Iterator[None]:
        """Let the span that is started within, which has no parent, be the root of the trace; nothing else may run."""
        self._chosen = ids
        try:
            yield
        finally:
            self._chosen = None

    def generate_trace_id(self) -> int:
        """Return it."""
        return self._random.generate_trace_id() if self._chosen is None else int(self._chosen.trace_id, 16)

    def generate_span_id(self) -> int:
        """Return it."""
        return self._random.generate_span_id() if self._chosen is None else int(self._chosen.root_span_id, 16)


class Spans:
    """`ports.tracing.Tracing`.

    Args:
        tracer: makes the spans.
        ids: the tracer's.
    """

    def __init__(self, tracer: Tracer, ids: EventIds) -> None:
        self._tracer = tracer
        self._ids = ids

    def trace_append(self, append: Append) -> Append:
        """Begin a trace for each event that is new to the journal."""

        async def traced(deliveries: Sequence[Delivery]) -> Sequence[bool]:
            begun_ns = time.time_ns()
            news = await append(deliveries)
            for delivery, is_new in zip(deliveries, news, strict=True):
                if is_new:
                    self._note_delivery(delivery, begun_ns)
            return news

        return traced

    def trace_handler(self, handler: EventHandler) -> EventHandler:
        """Trace the work on an event within the event's trace."""
        return _TracedHandler(handler, self)

    def trace_calls(self, note: NoteCall) -> NoteCall:
        """Trace the calls to Slack that belong to the work on an event."""

        def traced(method: str, outcome: str, seconds: float) -> None:
            note(method, outcome, seconds)
            if not trace.get_current_span().get_span_context().is_valid:
                return  # a tool's, or a command's
            now_ns = time.time_ns()
            span = self._tracer.start_span(
                f"slack {method}",
                kind=SpanKind.CLIENT,
                start_time=now_ns - int(seconds * NS_PER_S),
                attributes={f"{PREFIX}method": method, f"{PREFIX}outcome": outcome},
            )
            if outcome != "ok":
                span.set_status(Status(StatusCode.ERROR, outcome))
            span.end(now_ns)

        return traced

    def trace_turns(self, meter: TurnMeter) -> TurnMeter:
        """Trace what the agent does, and when its first text is seen."""
        return _TracedTurns(meter, self._tracer)

    @contextmanager
    def work(self, name: str, event: JournalledEvent) -> Iterator[Span]:
        """Yield a span of the event's trace, which is the current one within."""
        ids = make_trace_ids(event.connection_id, event.event_id)
        root = SpanContext(
            int(ids.trace_id, 16), int(ids.root_span_id, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
        )
        with self._tracer.start_as_current_span(
            name,
            context=trace.set_span_in_context(NonRecordingSpan(root)),
            kind=SpanKind.CONSUMER,
            attributes={
                f"{PREFIX}connection_id": event.connection_id,
                f"{PREFIX}event_id": event.event_id,
                f"{PREFIX}event_type": event.event_type,
                f"{PREFIX}attempts": event.attempts,
                f"{PREFIX}redone": event.redone,
            },
            record_exception=False,  # its words may be anybody's
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except SlackMcpError as error:
                span.set_status(Status(StatusCode.ERROR, error.code))
                raise

    def _note_delivery(self, delivery: Delivery, begun_ns: int) -> None:
        attributes: dict[str, str | int | bool] = {
            f"{PREFIX}connection_id": delivery.connection_id,
            f"{PREFIX}event_id": delivery.event_id,
            f"{PREFIX}event_type": delivery.event_type,
            f"{PREFIX}retry_num": delivery.retry_num,
        }
        if delivery.skip_reason is not None:
            attributes[f"{PREFIX}skip_reason"] = delivery.skip_reason
        with self._ids.choose(make_trace_ids(delivery.connection_id, delivery.event_id)):
            span = self._tracer.start_span(
                "journal delivery",
                context=trace.set_span_in_context(trace.INVALID_SPAN),
                kind=SpanKind.SERVER,
                start_time=begun_ns,
                attributes=attributes,
            )
        span.end()


class _TracedHandler:
    """An `EventHandler` whose work is a span."""

    def __init__(self, handler: EventHandler, spans: Spans) -> None:
        self._handler = handler
        self._spans = spans

    async def handle(self, connection: Connection, event: JournalledEvent, claim: Claim) -> Outcome:
        """See `ports.handler.EventHandler`."""
        with self._spans.work("work on event", event) as span:
            outcome = await self._handler.handle(connection, event, claim)
            span.set_attributes({f"{PREFIX}state": outcome.state.value, f"{PREFIX}reason": outcome.reason})
            return outcome

    async def give_up(self, connection: Connection, event: JournalledEvent, claim: Claim, error: SlackMcpError) -> None:
        """See `ports.handler.EventHandler`."""
        with self._spans.work("give up event", event) as span:
            span.set_attribute(f"{PREFIX}code", error.code)
            await self._handler.give_up(connection, event, claim, error)


class _TracedTurns:
    """A `TurnMeter` that tells the span of the work on the event, too."""

    def __init__(self, meter: TurnMeter, tracer: Tracer) -> None:
        self._meter = meter
        self._tracer = tracer

    def note_first_text(self, seconds: float) -> None:
        """See `ports.metrics.TurnMeter`."""
        trace.get_current_span().add_event("first text")
        self._meter.note_first_text(seconds)

    def note_turn(self, outcome: str, seconds: float) -> None:
        """See `ports.metrics.TurnMeter`."""
        self._meter.note_turn(outcome, seconds)

    def note_agent_error(self, code: str) -> None:
        """See `ports.metrics.TurnMeter`."""
        self._meter.note_agent_error(code)

    def listening(self) -> AbstractContextManager[object]:
        """See `ports.metrics.TurnMeter`."""
        return self._tracer.start_as_current_span(
            "agent answers", kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
        )
