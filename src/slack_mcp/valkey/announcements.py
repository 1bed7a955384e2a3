"""Pub/sub: how pods hear of each other beside NOTIFY, or where LISTEN is not available."""

from typing import Any, Final

import anyio
import structlog
from redis.asyncio import Connection

from slack_mcp.core.model import ConnectionChange
from slack_mcp.hearing import HEARTBEAT_S, HEARTBEAT_TIMEOUT_S, Hearing, LogLines
from slack_mcp.ports.announcements import (
    BUDGET_CHANNEL,
    CHANNELS,
    CONNECTIONS_CHANNEL,
    NAMES_CHANNEL,
    WORK_CHANNEL,
    Subscribers,
    pass_on,
    render_block,
    render_change,
    render_names,
)
from slack_mcp.ports.budget import BucketBlock
from slack_mcp.ports.names import NameChange
from slack_mcp.valkey.client import LOST, Valkey
from slack_mcp.valkey.outbox import Outbox

# Whoever lost the server, too, believes nothing until it is back; whoever did not may wait for this.
NEWS_S: Final = 10.0

_log = structlog.get_logger(__name__)
_LINES: Final = LogLines(listening="subscription.listening", deaf="subscription.deaf", lost="subscription.lost")


class ValkeyAnnouncer:
    """`ports.announcements.Announcer`.

    Args:
        outbox: sends what is told.
        prefix: what the channels begin with.
    """

    def __init__(self, outbox: Outbox, *, prefix: str) -> None:
        self._outbox = outbox
        self._prefix = prefix

    def tell_change(self, change: ConnectionChange) -> None:
        """Publish that a connection was changed."""
        self._publish(CONNECTIONS_CHANNEL, render_change(change))

    def tell_names(self, change: NameChange) -> None:
        """Publish what is not to be believed any more."""
        self._publish(NAMES_CHANNEL, render_names(change))

    def tell_block(self, block: BucketBlock) -> None:
        """Publish that nobody gets anything of a bucket."""
        self._publish(BUDGET_CHANNEL, render_block(block))

    def tell_work(self) -> None:
        """Publish that there is more due than this pod can take."""
        self._publish(WORK_CHANNEL, "")

    def _publish(self, channel: str, payload: str) -> None:
        name = f"{self._prefix}:{channel}"
        self._outbox.post(lambda redis: redis.publish(name, payload), good_for_s=NEWS_S)


class Subscription:
    """Hears what is published on a connection of its own, and connects again for as long as it runs.

    Args:
        valkey: where it is published.
        subscribers: who is told.
        heartbeat_s: time between two questions to the server whether it is still there.
        heartbeat_timeout_s: longest wait for its answer.
    """

    def __init__(
        self,
        valkey: Valkey,
        *,
        subscribers: Subscribers,
        heartbeat_s: float = HEARTBEAT_S,
        heartbeat_timeout_s: float = HEARTBEAT_TIMEOUT_S,
    ) -> None:
        self._valkey = valkey
        self._subscribers = subscribers
        self._heartbeat_s = heartbeat_s
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._channels = {f"{valkey.prefix}:{channel}".encode(): channel for channel in CHANNELS}
        self._hearing = Hearing(_LINES, tell=subscribers.on_listening)

    @property
    def listening(self) -> bool:
        """Whether announcements are heard now."""
        return self._hearing.is_listening

    async def run(self) -> None:
        """Listen until cancelled."""
        await self._hearing.run(self._listen, lost=LOST)

    async def _listen(self) -> None:
        """Listen until the connection is lost; raises what the client does."""
        # Not the client's own subscriber, which connects again in silence: what is said meanwhile would be missed.
        connection = self._valkey.make_connection()
        try:
            with anyio.fail_after(self._heartbeat_timeout_s):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("SUBSCRIBE", *self._channels)
                for _ in self._channels:
                    await connection.read_response()
            self._hearing.begin()
            while True:
                if not await self._hear(connection, self._heartbeat_s):
                    # A connection that died without a word is found out only by asking.
                    await connection.send_command("PING")
                    if not await self._hear(connection, self._heartbeat_timeout_s):
                        raise TimeoutError
        finally:
            # Closing in good order would wait for a server that may not answer.
            with anyio.CancelScope(shield=True):
                await connection.disconnect(nowait=True)

    async def _hear(self, connection: Connection, timeout_s: float) -> bool:
        """Wait for the next message and pass it on; False when none comes."""
        answer: Any = await connection.read_response(timeout=timeout_s)
        if answer is None:
            return False
        if answer[0] == b"message" and not pass_on(
            self._subscribers, self._channels.get(answer[1], ""), answer[2].decode("utf-8", "replace")
        ):
            _log.warning("subscription.unreadable")  # anybody with access to the server can send one
        return True
