"""Traces, where they are wanted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from slack_mcp import __version__
from slack_mcp.core.errors import SettingsError
from slack_mcp.core.ids import PodId
from slack_mcp.ports.tracing import Tracing, Untraced
from slack_mcp.settings import Settings


@asynccontextmanager
async def open_tracing(settings: Settings, pod_id: PodId) -> AsyncIterator[Tracing]:
    """Yield what traces; without a collector, what does nothing.

    Raises:
        SettingsError: a collector is named, and the extra is not installed.
    """
    if settings.otel_exporter_otlp_endpoint is None:
        yield Untraced()
        return
    try:
        from slack_mcp.tracing.export import Export, open_spans  # noqa: PLC0415 - an extra that need not be installed
    except ImportError as error:
        problem = "OTEL_EXPORTER_OTLP_ENDPOINT needs slack-mcp[otel]: install that extra, or unset it."
        raise SettingsError([problem]) from error
    export = Export(
        endpoint=settings.otel_exporter_otlp_endpoint,
        headers=settings.otel_header_values,
        ratio=settings.otel_traces_sampler_arg,
        resource={
            "service.name": settings.otel_service_name,
            "service.version": __version__,
            "service.instance.id": pod_id,
        },
    )
    async with open_spans(export) as spans:
        yield spans
