"""An answered event, as `ports.explain.Explainer` tells it."""

from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, Ts
from slack_mcp.core.model import EventState, Turn, TurnState
from slack_mcp.ports.explain import ExplainedEvent

AT_MS = 1_700_000_000_000
TURN = Turn(
    connection_id=ConnectionId("conn_1"),
    channel_id=ChannelId("C1"),
    message_ts=Ts("1700000000.000100"),
    thread_ts=Ts("1700000000.000100"),
    event_id=EventId("Ev1"),
    user_id=None,
    state=TurnState.FINISHED,
    question="canary",
    answer="canary answer",
    parts=(Ts("1700000001.000100"),),
    trace=({"at_ms": AT_MS + 1000, "step": "slack", "method": "chat.startStream", "error": "ratelimited"},),
)
EVENT = ExplainedEvent(
    id=1,
    connection_id=ConnectionId("conn_1"),
    event_id=EventId("Ev1"),
    event_type="app_mention",
    lane="C1:1700000000.000100",
    state=EventState.DONE,
    reason="answered",
    detail=None,
    attempts=2,
    retry_num=2,
    retry_reason="http_timeout",
    received_by="pod-a",
    received_at_ms=AT_MS,
    next_attempt_at_ms=None,
    finished_at_ms=AT_MS + 2000,
    message_ts=Ts("1700000000.000100"),
    standing=None,
    turn=TURN,
)
