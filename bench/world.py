"""What is measured: databases, a simulated Slack, and the service on them."""

import base64
import json
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import anyio
import httpx2

from bench.errors import BenchError
from bench.events import CHANNELS, Tenant
from bench.postgres import Postgres, run_postgres
from bench.processes import HOST, Child, run_child
from slack_mcp.app import open_admin
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection, ConnectionSettings, Speaking
from slack_mcp.core.secret import Secret
from slack_mcp.settings import Settings

Dialect = Literal["postgresql", "sqlite"]

TENANTS: Final = 8
DRAIN_TIMEOUT_S: Final = 90.0
READY_TIMEOUT_S: Final = 10.0
LOOK_S: Final = 0.05
READY_LOOK_S: Final = 0.005
UNFINISHED: Final = "SELECT count(*) FROM slack_events WHERE state IN ('received', 'waiting')"
# The first outcome and the last one, by the database's clock.
WORKED_MS: Final = "SELECT max(finished_at_ms) - min(finished_at_ms) FROM slack_events WHERE finished_at_ms >= $1"
NEWEST: Final = "SELECT max(id) FROM slack_events"
NEW: Final = "SELECT count(*) FROM slack_events WHERE id > $1 AND event_id LIKE $2 || '%'"
SESSIONS: Final = """
SELECT array_agg(pid) FROM pg_stat_activity
WHERE datname = $1 AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def make_tenants() -> list[Tenant]:
    """Return the workspaces that the simulator knows."""
    return [make_tenant(number) for number in range(TENANTS)]


def make_tenant(number: int) -> Tenant:
    """Return the workspace of a number."""
    return Tenant(
        team_id=f"TBENCH{number}", path=f"/slack/events/conn_bench{number}", secret=f"signing-secret-{number}"
    )


def get_connection_id(tenant: Tenant) -> ConnectionId:
    """Return the id that a tenant's path ends in."""
    return ConnectionId(tenant.path.rpartition("/")[2])


def get_token(tenant: Tenant) -> str:
    """Return the bot token that the simulator knows."""
    return f"xoxb-bench-{tenant.team_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A database with the tenants saved in it, on which any number of pods may run."""

    name: str
    dialect: Dialect
    environment: dict[str, str]
    postgres: Postgres
    path: Path

    def get_settings(self) -> Settings:
        """Return what the pods read."""
        return Settings.from_env(self.environment, dotenv=None)

    def fetch_number(self, statement: str, *arguments: object) -> int:
        """Return the one number that a query gives, asked past the service; `$1` is the first argument."""
        if self.dialect == "postgresql":
            return int(self.postgres.fetch_value(statement, *arguments, database=self.name) or 0)
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)
        try:
            return int(connection.execute(re.sub(r"\$(\d)", r"?\1", statement), arguments).fetchone()[0] or 0)
        finally:
            connection.close()

    def find_newest(self) -> int:
        """Return the number of the newest event."""
        return self.fetch_number(NEWEST)

    def count_events(self, prefix: str, *, newer_than: int) -> int:
        """Return how many events after that number have an id with this prefix."""
        return self.fetch_number(NEW, newer_than, prefix)

    def list_sessions(self) -> list[int]:
        """Return the ids of PostgreSQL's processes for those connected to this database; none for SQLite."""
        if self.dialect == "sqlite":
            return []
        return self.postgres.fetch_value(SESSIONS, self.name) or []

    def wait_until_drained(self) -> None:
        """Return when nothing in the journal is unfinished. Raises BenchError."""
        end_s = time.monotonic() + DRAIN_TIMEOUT_S
        while left := self.fetch_number(UNFINISHED):
            if time.monotonic() > end_s:
                raise BenchError(f"{self.dialect}: {left} events are unfinished after {DRAIN_TIMEOUT_S:.0f} s.")
            time.sleep(LOOK_S)


class World:
    """Everything in one directory; `open_world` makes it."""

    def __init__(self, *, directory: Path, postgres: Postgres, simulator: Child, api_url: str) -> None:
        self.directory = directory
        self.simulator = simulator
        self.api_url = api_url
        self.tenants = make_tenants()
        self.postgres_version = str(postgres.fetch_value("SHOW server_version"))
        self._postgres = postgres
        self._numbers = iter(range(1_000_000))

    def make_log(self, name: str) -> Path:
        """Return a new file for the output of a process."""
        return self.directory / f"{name}-{next(self._numbers)}.log"

    def deploy(
        self, dialect: Dialect, *, name: str, environment: Mapping[str, str] | None = None, tenants: int = TENANTS
    ) -> Deployment:
        """Return a new database with the schema and the first tenants; `environment` is added to what its pods read."""
        path = self.directory / f"{name}.db"
        if dialect == "postgresql":
            self._postgres.fetch_value(f"CREATE DATABASE {name}")
        # The keys are the same everywhere, so that both databases get sealed payloads, as in production.
        settings = {
            "DATABASE_URL": self._postgres.get_url(name) if dialect == "postgresql" else f"sqlite:{path}",
            "ENCRYPTION_KEYS": f"bench:{base64.b64encode(secrets.token_bytes(32)).decode()}",
            "SLACK_API_URL": self.api_url,
            "HOST": HOST,
            "PORT": "0",
            "LOG_FORMAT": "json",
            "DEFAULT_AGENT": "echo",
            "SLACK_MCP_SIGNING_SECRET_OVERLAP_S": "0",
            **(environment or {}),
        }
        deployment = Deployment(name=name, dialect=dialect, environment=settings, postgres=self._postgres, path=path)
        anyio.run(self._save_tenants, deployment.get_settings(), self.tenants[:tenants])
        return deployment

    async def _save_tenants(self, settings: Settings, tenants: list[Tenant]) -> None:
        async with open_admin(settings) as admin:
            for tenant in tenants:
                await admin.saver.save(make_connection(tenant))

    @contextmanager
    def serve(self, deployment: Deployment) -> Iterator[Child]:
        """Yield a pod of which all processes are ready; it has ended when the context has."""
        environment = {"PATH": os.environ.get("PATH", "")} | deployment.environment
        log = self.make_log(f"pod-{deployment.name}")
        workers = int(deployment.environment.get("WORKERS", "1"))
        # In a directory without a `.env`.
        with run_child(
            "slack-mcp serve", ["-m", "slack_mcp", "serve"], log=log, env=environment, cwd=self.directory
        ) as pod:
            pod.url = pod.wait_for("url", event="pod.listening", count=workers)
            wait_until_ready(pod)
            yield pod


def make_connection(tenant: Tenant) -> Connection:
    """Return a tenant's connection as it is saved."""
    return Connection(
        connection_id=get_connection_id(tenant),
        organization_id="",
        mesh_url="",
        bot_token=Secret(get_token(tenant)),
        signing_secret=Secret(tenant.secret),
        # One person asks all the questions.
        settings=ConnectionSettings(speaking=Speaking(user_per_min=0, channel_per_min=0)),
    )


def wait_until_ready(pod: Child) -> None:
    """Return when `/readyz` says so: database, migrations, announcements. Raises BenchError."""
    end_s = time.monotonic() + READY_TIMEOUT_S
    while httpx2.get(f"{pod.url}/readyz", trust_env=False).status_code != httpx2.codes.OK:
        if time.monotonic() > end_s:
            raise BenchError(f"{pod.name} is not ready after {READY_TIMEOUT_S:.0f} s.")
        time.sleep(READY_LOOK_S)


@contextmanager
def open_world(directory: Path) -> Iterator[World]:
    """Yield a world in an empty directory; nothing of it runs when the context has ended."""
    spec = directory / "spec.json"
    spec.write_text(json.dumps(make_spec(make_tenants())), encoding="utf-8")
    arguments = ["-m", "slack_mcp.simulator", "--spec", str(spec)]
    with (
        run_postgres(directory) as postgres,
        run_child("simulator", arguments, log=directory / "simulator.log", cwd=directory) as simulator,
    ):
        simulator.url = simulator.wait_for("base_url")
        yield World(directory=directory, postgres=postgres, simulator=simulator, api_url=simulator.wait_for("api_url"))


def make_spec(tenants: list[Tenant]) -> dict[str, Any]:
    """Return the simulator's workspaces, each with a person and a few channels."""
    return {
        "deliver_bot_messages": False,
        "workspaces": [
            {
                "team_id": tenant.team_id,
                "bot_token": get_token(tenant),
                "signing_secret": tenant.secret,
                "app_id": f"A{tenant.team_id}",
                "bot_user_id": "UBOT",
                "connection_id": get_connection_id(tenant),
                "users": [{"user_id": "UANN", "name": "ann"}],
                "channels": [{"channel_id": f"CBENCH{number}"} for number in range(CHANNELS)],
            }
            for tenant in tenants
        ],
    }
