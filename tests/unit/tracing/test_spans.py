import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from store_samples import make_connection

from slack_mcp.core.errors import AgentRefusedError, SlackMcpError
from slack_mcp.core.ids import ConnectionId, EventId
from slack_mcp.core.model import Claim, Connection, Delivery, EventState, JournalledEvent, Outcome
from slack_mcp.ports.metrics import Unmetered, ignore_call
from slack_mcp.protocol.trace_ids import make_trace_ids
from slack_mcp.tracing.spans import EventIds, Spans

pytestmark = pytest.mark.anyio

CONN = ConnectionId("conn_1")


class Pod:
    """One process with spans of its own."""

    def __init__(self, *, ratio: float = 1.0) -> None:
        ids = EventIds()
        provider = TracerProvider(sampler=TraceIdRatioBased(ratio), id_generator=ids, shutdown_on_exit=False)
        self.exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Spans(provider.get_tracer("test"), ids)

    def find(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    async def journal(self, *event_ids: str, known: bool = False) -> None:
        async def append(deliveries: object) -> list[bool]:
            return [not known for _ in event_ids]

        await self.tracing.trace_append(append)([make_delivery(each) for each in event_ids])

    async def work(self, event_id: str, *, error: Exception | None = None) -> None:
        pod = self

        class Handler:
            async def handle(self, connection: Connection, event: JournalledEvent, claim: Claim) -> Outcome:
                with pod.tracing.trace_turns(Unmetered()).listening():
                    pass
                pod.tracing.trace_calls(ignore_call)("chat.postMessage", "ok", 0.25)
                if error is not None:
                    raise error
                return Outcome(state=EventState.DONE, reason="answered")

            async def give_up(self, *_event: object) -> None:
                """Do nothing."""

        event = make_event(event_id)
        await self.tracing.trace_handler(Handler()).handle(make_connection(CONN), event, make_claim(event))


def make_delivery(event_id: str) -> Delivery:
    return Delivery(
        connection_id=CONN,
        event_id=EventId(event_id),
        event_time=1_800_000_000,
        lane="C1:1",
        event_type="message",
        payload=b"canary",
    )


def make_event(event_id: str) -> JournalledEvent:
    return JournalledEvent(
        id=1,
        connection_id=CONN,
        event_id=EventId(event_id),
        event_time=1_800_000_000,
        lane="C1:1",
        event_type="message",
        payload=b"canary",
        attempts=0,
        received_at_ms=0,
        redone=False,
    )


def make_claim(event: JournalledEvent) -> Claim:
    return Claim(lane_id=1, fence=1, connection_id=CONN, lane="C1:1", takeovers=0, events=(event,))


async def test_the_work_of_another_pod_stands_in_the_trace_that_the_webhook_began() -> None:
    receiving, working = Pod(), Pod()
    await receiving.journal("Ev1", "Ev2")
    await working.work("Ev2")
    roots = {
        span.attributes["slack_mcp.event_id"]: span for span in receiving.find("journal delivery") if span.attributes
    }
    (work,) = working.find("work on event")
    root = roots["Ev2"].context
    assert work.context.trace_id == root.trace_id != roots["Ev1"].context.trace_id
    assert work.parent is not None
    assert work.parent.span_id == root.span_id
    assert roots["Ev2"].parent is None
    for name in ("agent answers", "slack chat.postMessage"):
        (span,) = working.find(name)
        assert span.context.trace_id == root.trace_id
        assert span.parent is not None
        assert span.parent.span_id == work.context.span_id
    assert f"{root.trace_id:032x}" == make_trace_ids(CONN, EventId("Ev2")).trace_id


async def test_a_call_lasts_as_long_as_it_took() -> None:
    pod = Pod()
    await pod.work("Ev1")
    (call,) = pod.find("slack chat.postMessage")
    assert call.start_time is not None
    assert call.end_time is not None
    assert call.end_time - call.start_time == 250_000_000


async def test_what_is_known_already_begins_no_trace_and_a_call_of_no_event_is_in_none() -> None:
    pod = Pod()
    await pod.journal("Ev1", known=True)
    pod.tracing.trace_calls(ignore_call)("auth.test", "ok", 0.1)
    assert pod.exporter.get_finished_spans() == ()


@pytest.mark.parametrize("error", [AgentRefusedError("canary"), RuntimeError("canary")])
async def test_an_error_is_told_by_its_code_and_never_in_its_words(error: Exception) -> None:
    pod = Pod()
    with pytest.raises(type(error)):
        await pod.work("Ev1", error=error)
    (work,) = pod.find("work on event")
    assert work.events == ()
    assert work.status.description == (error.code if isinstance(error, SlackMcpError) else None)
    assert "canary" not in work.to_json()


async def test_pods_choose_the_same_events_when_only_some_are_traced() -> None:
    receiving, working = Pod(ratio=0.5), Pod(ratio=0.5)
    names = [f"Ev{number}" for number in range(200)]
    await receiving.journal(*names)
    for name in names:
        await working.work(name)
    traced = {span.context.trace_id for span in receiving.find("journal delivery")}
    assert {span.context.trace_id for span in working.find("work on event")} == traced
    assert 50 < len(traced) < 150


def test_ids_differ_by_connection_and_event_and_have_the_shape_of_w3c() -> None:
    ids = {make_trace_ids(ConnectionId(a), EventId(b)) for a, b in (("a", "bc"), ("ab", "c"), ("a", "b"), ("b", "b"))}
    assert len({each.trace_id for each in ids}) == len({each.root_span_id for each in ids}) == 4
    assert all(len(each.trace_id) == 32 and len(each.root_span_id) == 16 for each in ids)
    assert all(int(part, 16) for each in ids for part in each)
