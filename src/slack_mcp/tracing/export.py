"""Spans on their way to a collector, over OTLP and HTTP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from slack_mcp.tracing.spans import EventIds, Spans

PATH: Final = "/v1/traces"
QUEUE: Final = 4096
BATCH: Final = 512
DELAY_MS: Final = 2_000
TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Where the spans go.

    Attributes:
        endpoint: the collector, without a path of its own.
        headers: what it wants to see.
        ratio: the part of the events that is traced, the same ones on every pod.
        resource: what is told of this process.
    """

    endpoint: str
    headers: Mapping[str, str]
    ratio: float
    resource: Mapping[str, str]


@asynccontextmanager
async def open_spans(export: Export) -> AsyncIterator[Spans]:
    """Yield what traces; what is not sent yet is sent at the end, for some seconds at most.

    A collector that is gone costs nothing but its spans: beyond the queue they are dropped.
    """
    ids = EventIds()
    provider = TracerProvider(
        sampler=TraceIdRatioBased(export.ratio),
        resource=Resource(dict(export.resource)),
        id_generator=ids,
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=export.endpoint + PATH, headers=dict(export.headers), timeout=TIMEOUT_S)
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=QUEUE,
            schedule_delay_millis=DELAY_MS,
            max_export_batch_size=BATCH,
            export_timeout_millis=TIMEOUT_S * 1000,
        )
    )
    try:
        yield Spans(provider.get_tracer("slack_mcp"), ids)
    finally:
        with anyio.move_on_after(TIMEOUT_S, shield=True):
            await anyio.to_thread.run_sync(provider.shutdown, abandon_on_cancel=True)
