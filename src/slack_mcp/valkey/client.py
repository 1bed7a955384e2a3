"""One process's way to Valkey: short deadlines, and silence for a moment after each failure.

Nothing waits for a server that is gone: after a failure everybody is told so at once until `PAUSE_S` have passed, and
then one asks whether it is back.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import anyio
import structlog
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.valkey.url import ValkeyUrl

MAX_CONNECTIONS: Final = 8
TIMEOUT_S: Final = 0.5
PAUSE_S: Final = 1.0
CLOSE_TIMEOUT_S: Final = 1.0

LOST: Final = (RedisError, OSError, TimeoutError)

Result = TypeVar("Result")

_log = structlog.get_logger(__name__)


class Valkey:
    """Runs commands while the server answers. Made by `open_valkey`.

    Args:
        redis: the client, with its pool.
        clock: its monotonic time says when to try again.
        prefix: what all keys and channels begin with.
    """

    def __init__(self, redis: Redis, *, clock: Clock, prefix: str) -> None:
        self._redis = redis
        self._now_s = clock.monotonic_s
        self._is_lost = False
        self._ask_again_s = float("-inf")
        self.prefix = prefix

    async def run(self, work: Callable[[Redis], Awaitable[Result]]) -> Result:
        """Return what the commands give.

        Raises:
            StoreUnavailableError: the server does not answer, or did not a moment ago.
            NoScriptError: it has not the script that was named.
        """
        if self._is_lost:
            if self._now_s() < self._ask_again_s:
                raise StoreUnavailableError("Valkey did not answer a moment ago.")
            self._ask_again_s = self._now_s() + PAUSE_S  # one asks, and the others do not wait with it
        try:
            with anyio.fail_after(TIMEOUT_S):
                result = await work(self._redis)
        except NoScriptError:
            self._find_answering()
            raise
        except LOST as error:
            self._find_lost(error)
            raise StoreUnavailableError(f"Valkey is not available ({type(error).__name__}).") from error
        self._find_answering()
        return result

    def make_connection(self) -> Connection:
        """Return a connection of one's own, not open yet, outside of the pool."""
        connection: Connection = self._redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    def _find_answering(self) -> None:
        if self._is_lost:
            self._is_lost = False
            _log.info("valkey.back")

    def _find_lost(self, error: Exception) -> None:
        self._ask_again_s = self._now_s() + PAUSE_S
        if not self._is_lost:
            self._is_lost = True
            # Only the kind: the client's own words may name a user.
            _log.warning("valkey.lost", error=type(error).__name__)


@asynccontextmanager
async def open_valkey(url: ValkeyUrl, *, clock: Clock, prefix: str) -> AsyncIterator[Valkey]:
    """Yield the way to a server, and close its connections at the end. Nothing connects before the first command."""
    pool = BlockingConnectionPool(
        max_connections=MAX_CONNECTIONS,
        timeout=TIMEOUT_S,
        connection_class=SSLConnection if url.is_encrypted else Connection,
        **_render_arguments(url),
    )
    redis = Redis(connection_pool=pool)
    try:
        yield Valkey(redis, clock=clock, prefix=prefix)
    finally:
        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await redis.aclose()
            await pool.disconnect()


def _render_arguments(url: ValkeyUrl) -> dict[str, Any]:
    """Return what a connection is made with."""
    arguments: dict[str, Any] = {
        "host": url.host,
        "port": url.port,
        "db": url.database,
        "username": url.username,
        "password": url.password,
        "protocol": 2,  # announcements are plain answers, and not pushed between others
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": TIMEOUT_S,
        "socket_keepalive": True,
        # A script that was run twice would take tokens twice: whoever asks decides what to do.
        "retry": Retry(NoBackoff(), 0),
    }
    if url.is_encrypted:
        arguments |= {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
            "ssl_ca_certs": url.ssl_ca_certs,
            "ssl_certfile": url.ssl_certfile,
            "ssl_keyfile": url.ssl_keyfile,
        }
    return arguments
