"""GET /health for people and monitors, /livez and /readyz for whoever starts, stops and balances the pods."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import anyio
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from slack_mcp import __version__
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import SlackMcpError, StoreUnavailableError
from slack_mcp.ports.directory import Directory
from slack_mcp.ports.store import ConnectionStore, Journal, StoreCondition, StoreHealth, TurnArchive
from slack_mcp.ports.surfaces import Ratings

DATABASE_TIMEOUT_S: Final = 1.0
READ_ONLY: Final = "read_only"
# Further away from the database's clock, this one is told to be wrong: Slack's signatures are good for five minutes.
CLOCK_TOLERANCE_S: Final = 60.0
# Counting costs the database something, and anybody may ask: within this time all get the same counts.
COUNTS_TTL_S: Final = 2.0
# What people thought of the answers lately.
RATED_S: Final = 86_400.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class PodState:
    """What this process is doing with itself.

    Attributes:
        is_draining: it is on its way out and wants no new requests.
        failing_duties: names the background work that has failed several times in a row.
    """

    is_draining: bool = False
    failing_duties: Callable[[], list[str]] = field(default=list)


class Health:
    """The three end points.

    Args:
        seals: whether secrets are sealed at rest.
        valkey: how it stands with Valkey, where there is one; whatever it is, the service goes on.
    """

    def __init__(
        self,
        *,
        store: StoreHealth,
        connections: ConnectionStore,
        journal: Journal,
        turns: TurnArchive,
        ratings: Ratings,
        directory: Directory,
        pod: PodState,
        clock: Clock,
        seals: bool,
        valkey: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self._store = store
        self._connections = connections
        self._journal = journal
        self._turns = turns
        self._ratings = ratings
        self._directory = directory
        self._pod = pod
        self._clock = clock
        self._seals = seals
        self._valkey = valkey
        self._started_s = clock.monotonic_s()
        self._counting = anyio.Lock()
        self._counts: dict[str, Any] = {}
        self._is_clock_told = False
        self._counted_s = -math.inf

    def routes(self) -> list[Route]:
        """Return the routes of the end points."""
        return [
            Route("/health", self.health, methods=["GET"]),
            Route("/livez", self.livez, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
        ]

    async def livez(self, _request: Request) -> Response:
        """200 as long as the event loop turns."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        """200 when requests are welcome, else 503; `checks` says what is missing.

        A clock that differs from the database's is told, and nothing more: were it the database's that is wrong, no pod
        at all would be left.
        """
        checks = {"draining": "yes" if self._pod.is_draining else "no", "database": "ok", "migrations": "ok"}
        checks["clock"] = "ok"
        try:
            with anyio.fail_after(DATABASE_TIMEOUT_S):
                condition = await self._store.load_condition()
                if condition.is_read_only:
                    checks["database"] = READ_ONLY
                checks["clock"] = self._check_clock(condition)
                revision = await self._store.load_schema_revision()
            if revision["current"] != revision["head"]:
                checks["migrations"] = f"at {revision['current']}, needs {revision['head']}"
        except (SlackMcpError, TimeoutError) as error:
            checks["database"] = _get_code(error)
        checks["listener"] = "ok" if self._store.listening else "not listening"
        checks["duties"] = ", ".join(self._pod.failing_duties()) or "ok"
        is_ready = not self._pod.is_draining and all(
            checks[name] == "ok" for name in ("database", "migrations", "listener", "duties")
        )
        return JSONResponse(
            {"status": "ready" if is_ready else "not ready", "checks": checks}, status_code=200 if is_ready else 503
        )

    async def health(self, _request: Request) -> Response:
        """200 `ok`, or 503 `degraded` when the database does not answer within a second, or takes no writes."""
        stats = self._directory.get_stats()
        body: dict[str, Any] = {
            "status": "ok",
            "version": __version__,
            "timestamp": datetime.fromtimestamp(self._clock.now_s(), UTC).isoformat(),
            "uptime": round(self._clock.monotonic_s() - self._started_s, 3),
            "database": {"connected": False, "type": self._store.dialect, "connectionsCount": None, "readOnly": None},
            "metrics": {"apiKeysCount": None, "kvStoreSize": None, "configCacheSize": stats.size, "ratings": None},
            "journal": {"backlog": None, "oldestAgeSeconds": None, "dead": None},
            "cache": {
                "hits": stats.hits,
                "misses": stats.misses,
                "loads": stats.loads,
                "invalidations": stats.invalidations,
                "size": stats.size,
            },
            "secretsSealed": self._seals,
            "valkey": self._valkey() if self._valkey else None,
        }
        try:
            with anyio.fail_after(DATABASE_TIMEOUT_S):
                condition = await self._store.load_condition()
                body["database"]["readOnly"] = condition.is_read_only
                if condition.is_read_only:
                    body["status"] = "degraded"
                for part, counts in (await self._count()).items():
                    body[part] |= counts
        except (SlackMcpError, TimeoutError) as error:
            body["status"] = "degraded"
            _log.warning("health.degraded", code=_get_code(error))
        return JSONResponse(body, status_code=200 if body["status"] == "ok" else 503)

    def _check_clock(self, condition: StoreCondition) -> str:
        """Return `ok`, or how far this clock is from the database's; the log has it once."""
        ahead_s = 0.0 if condition.now_s is None else self._clock.now_s() - condition.now_s
        is_wrong = abs(ahead_s) > CLOCK_TOLERANCE_S
        if is_wrong and not self._is_clock_told:
            _log.warning("clock.differs", ahead_of_database_s=round(ahead_s))
        self._is_clock_told = is_wrong
        return f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the database's" if is_wrong else "ok"

    async def _count(self) -> dict[str, Any]:
        """Return what the database has; asked once for all who want to know at the same time."""
        async with self._counting:
            if self._clock.monotonic_s() - self._counted_s >= COUNTS_TTL_S:
                connections, api_keys = await self._connections.count_connections()
                backlog = await self._journal.load_backlog()
                self._counts = {
                    "database": {"connected": True, "connectionsCount": connections},
                    "metrics": {
                        "apiKeysCount": api_keys,
                        "kvStoreSize": await self._turns.count_turns(),
                        "ratings": await self._ratings.count_ratings(None, since_s=self._clock.now_s() - RATED_S),
                    },
                    "journal": {
                        "backlog": backlog.unfinished,
                        "oldestAgeSeconds": round(backlog.oldest_age_s, 3),
                        "dead": backlog.dead,
                    },
                }
                self._counted_s = self._clock.monotonic_s()
            return self._counts


def _get_code(error: BaseException) -> str:
    """Return an error's code; a time-out is a database that is not available."""
    return error.code if isinstance(error, SlackMcpError) else StoreUnavailableError.code
