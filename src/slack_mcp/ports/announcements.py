"""What pods tell each other, how it is written, and who is told."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import ConnectionChange
from slack_mcp.ports.budget import BucketBlock
from slack_mcp.ports.directory import ReadPoint
from slack_mcp.ports.names import NameChange, NameKind

BUDGET_CHANNEL: Final = "slack_mcp_budget"
CONNECTIONS_CHANNEL: Final = "slack_mcp_connections"
NAMES_CHANNEL: Final = "slack_mcp_names"
WORK_CHANNEL: Final = "slack_mcp_work"
CHANNELS: Final = (CONNECTIONS_CHANNEL, WORK_CHANNEL, NAMES_CHANNEL, BUDGET_CHANNEL)


class Announcer(Protocol):
    """Tells the other pods beside the database. Each method returns at once, and never fails: news may be lost."""

    def tell_change(self, change: ConnectionChange) -> None:
        """A connection was changed; its transaction is committed."""
        ...

    def tell_names(self, change: NameChange) -> None:
        """Names, or all that is cached of a connection, are not to be believed any more."""
        ...

    def tell_block(self, block: BucketBlock) -> None:
        """Nobody gets anything of a bucket for a time."""
        ...

    def tell_work(self) -> None:
        """There is more due than this pod can take."""
        ...


def _pass_over(_news: NameChange | BucketBlock | ReadPoint | float) -> None:
    """Do nothing: for those who keep nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribers:
    """Who is told; each is called in the event loop and must not wait.

    Attributes:
        on_change: a connection changed, here or on another pod.
        on_work: another pod has more due than it can take.
        on_listening: True once everything from now on will be heard, False as soon as something may be missed.
        on_names: names, or all that is cached of a connection, are not to be believed any more.
        on_block: nobody gets anything of a bucket for a time.
        on_lag: how many seconds ago the change was made that `on_change` was just told of; by the database alone.
        on_clock: how many seconds the database's clock is ahead of this process's, each time it was asked.
        on_point: whatever is committed after this will be heard; told before `on_listening`, by the database alone.
    """

    on_change: Callable[[ConnectionChange], None]
    on_work: Callable[[], None]
    on_listening: Callable[[bool], None]
    on_names: Callable[[NameChange], None] = _pass_over
    on_block: Callable[[BucketBlock], None] = _pass_over
    on_lag: Callable[[float], None] = _pass_over
    on_clock: Callable[[float], None] = _pass_over
    on_point: Callable[[ReadPoint], None] = _pass_over


def render_change(change: ConnectionChange) -> str:
    """Return a change as it is announced."""
    return json.dumps({"connection_id": change.connection_id, "version": change.version})


def render_names(change: NameChange) -> str:
    """Return what is not to be believed any more as it is announced."""
    return json.dumps({"connection_id": change.connection_id, "kind": change.kind, "id": change.id})


def render_block(block: BucketBlock) -> str:
    """Return a block as it is announced."""
    return json.dumps({"connection_id": block.connection_id, "bucket": block.bucket, "for_s": block.for_s})


def pass_on(subscribers: Subscribers, channel: str, payload: str) -> bool:
    """Tell those whom an announcement concerns; False when it cannot be read.

    Anybody with access to the server can send one, and a newer version may say what this one does not know.
    """
    try:
        news = _PARSERS[channel](payload)
    except (ValueError, KeyError, TypeError):
        return False
    if isinstance(news, ConnectionChange):
        subscribers.on_change(news)
    elif isinstance(news, NameChange):
        subscribers.on_names(news)
    elif isinstance(news, BucketBlock):
        subscribers.on_block(news)
    else:
        subscribers.on_work()
    return True


def _parse_change(payload: str) -> ConnectionChange:
    body = json.loads(payload)
    return ConnectionChange(connection_id=ConnectionId(body["connection_id"]), version=body["version"])


def _parse_names(payload: str) -> NameChange:
    body = json.loads(payload)
    return NameChange(connection_id=ConnectionId(body["connection_id"]), kind=NameKind(body["kind"]), id=body["id"])


def _parse_block(payload: str) -> BucketBlock:
    body = json.loads(payload)
    return BucketBlock(
        connection_id=ConnectionId(body["connection_id"]), bucket=body["bucket"], for_s=float(body["for_s"])
    )


_PARSERS: Final[Mapping[str, Callable[[str], ConnectionChange | NameChange | BucketBlock | None]]] = {
    CONNECTIONS_CHANNEL: _parse_change,
    NAMES_CHANNEL: _parse_names,
    BUDGET_CHANNEL: _parse_block,
    WORK_CHANNEL: lambda _payload: None,
}
