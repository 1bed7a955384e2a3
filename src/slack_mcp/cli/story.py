"""The story of an event, for people and as plain data: nothing of what anybody wrote is in it."""

from collections.abc import Iterator, Mapping
from typing import Any

from slack_mcp.cli.reasons import find_reason
from slack_mcp.cli.render import render_time
from slack_mcp.core.model import EventState
from slack_mcp.ports.explain import ExplainedEvent


def tell_story(event: ExplainedEvent) -> Iterator[str]:
    """Yield the story, a line for each step."""
    yield f"{event.event_id}  {event.event_type}  connection {event.connection_id}"
    retry = f", Slack's retry {event.retry_num} after {event.retry_reason}" if event.retry_num else ""
    received = render_time(event.received_at_ms)
    yield f"  {received}  received and journalled by {event.received_by}, signature proved{retry}"
    if event.replayed_at_ms is not None:
        yield f"  {render_time(event.replayed_at_ms)}  put back by an operator"
    yield from _tell_lane(event)
    for step in () if event.turn is None else event.turn.trace:
        yield f"  {render_time(int(step['at_ms']))}  {_tell_step(step)}"
    yield from _tell_end(event)


def _tell_lane(event: ExplainedEvent) -> Iterator[str]:
    standing = event.standing
    yield f"  lane {event.lane}"
    if standing is None or event.state not in {EventState.RECEIVED, EventState.WAITING}:
        return
    if standing.holder is not None and standing.lease_until_ms is not None:
        until = render_time(standing.lease_until_ms)
        yield f"  held by {standing.holder} until {until}, claim {standing.fence}, {standing.takeovers} take-overs"
    else:
        yield f"  free, may be claimed from {render_time(standing.ready_at_ms)} on"


def _tell_step(step: Mapping[str, str | int]) -> str:
    details = ", ".join(f"{key} {value}" for key, value in step.items() if key not in {"at_ms", "step"})
    return f"{step['step']}: {details}" if details else str(step["step"])


def _tell_end(event: ExplainedEvent) -> Iterator[str]:
    when = "" if event.finished_at_ms is None else f"{render_time(event.finished_at_ms)}  "
    # The attempt that ended well is counted too.
    failed = event.attempts - (event.state in {EventState.DONE, EventState.SKIPPED})
    attempts = f" after {failed} failed attempts" if failed > 0 else ""
    yield f"  {when}{event.state.value}{f' ({event.reason})' if event.reason else ''}{attempts}"
    if event.detail:
        yield f"  {event.detail}"
    if event.next_attempt_at_ms is not None and event.state is EventState.WAITING:
        yield f"  next attempt at {render_time(event.next_attempt_at_ms)}"
    if event.turn is not None and event.turn.parts:
        yield f"  the answer stands in {', '.join(event.turn.parts)}"
    reason = find_reason(event.state, event.reason)
    if reason is not None:
        yield f"  {reason.meaning}" + (f" {reason.remedy}" if reason.remedy else "")


def render_story(event: ExplainedEvent) -> Mapping[str, Any]:
    """Return it as plain data; nothing of what anybody wrote is in it."""
    turn, standing = event.turn, event.standing
    return {
        "connection_id": event.connection_id,
        "event_id": event.event_id,
        "event_type": event.event_type,
        "message_ts": event.message_ts,
        "lane": event.lane,
        "state": event.state.value,
        "reason": event.reason,
        "detail": event.detail,
        "attempts": event.attempts,
        "retry_num": event.retry_num,
        "retry_reason": event.retry_reason,
        "received_by": event.received_by,
        "received_at": render_time(event.received_at_ms),
        "replayed_at": None if event.replayed_at_ms is None else render_time(event.replayed_at_ms),
        "finished_at": None if event.finished_at_ms is None else render_time(event.finished_at_ms),
        "next_attempt_at": None if event.next_attempt_at_ms is None else render_time(event.next_attempt_at_ms),
        "lane_holder": None if standing is None else standing.holder,
        "lane_claims": None if standing is None else standing.fence,
        "turn": None
        if turn is None
        else {
            "state": turn.state.value,
            "notice": turn.notice,
            "thread_ts": turn.thread_ts,
            "parts": list(turn.parts),
            "answer_chars": None if turn.answer is None else len(turn.answer),
            "steps": [{**step, "at": render_time(int(step["at_ms"]))} for step in turn.trace],
        },
    }
