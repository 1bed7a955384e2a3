"""A collector for OpenTelemetry that keeps the spans that it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass(frozen=True, slots=True)
class SentSpan:
    """One span, its ids as hexadecimal digits."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: tuple[str, ...]


@dataclass
class FakeCollector:
    """Takes everything."""

    spans: list[SentSpan] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: bytes = b""

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/traces", self._take, methods=["POST"])])

    def find(self, name: str) -> Sequence[SentSpan]:
        return [span for span in self.spans if span.name == name]

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        self.raw += body
        self.headers.append(dict(request.headers))
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _read(resource_spans.resource.attributes)
            for scope in resource_spans.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        SentSpan(
                            name=span.name,
                            trace_id=span.trace_id.hex(),
                            span_id=span.span_id.hex(),
                            parent_id=span.parent_span_id.hex(),
                            attributes=_read(span.attributes),
                            resource=resource,
                            events=tuple(event.name for event in span.events),
                        )
                    )
        return Response(b"", media_type="application/x-protobuf")


def _read(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
