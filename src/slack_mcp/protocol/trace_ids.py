"""The ids under which an event is traced: made from the event's own, so that every pod knows them without being told.

Source of their shape: https://www.w3.org/TR/trace-context/#trace-id.
"""

from hashlib import sha256
from typing import NamedTuple

from slack_mcp.core.ids import ConnectionId, EventId

TRACE_BYTES = 16
SPAN_BYTES = 8


class TraceIds(NamedTuple):
    """A trace, and the span in it that everything else of the event stands below; lower-case hexadecimal digits."""

    trace_id: str
    root_span_id: str


def make_trace_ids(connection_id: ConnectionId, event_id: EventId) -> TraceIds:
    """Return the ids of an event of a connection."""
    digest = sha256(f"{connection_id}\0{event_id}".encode()).digest()
    return TraceIds(digest[:TRACE_BYTES].hex(), digest[TRACE_BYTES : TRACE_BYTES + SPAN_BYTES].hex())
