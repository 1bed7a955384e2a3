"""What a check found. No secret, and nothing that anybody wrote, is in any of it."""

from dataclasses import dataclass
from enum import StrEnum

from slack_mcp.core.ids import ConnectionId


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Check(StrEnum):
    """What is looked at; docs/doctor.md has a row for each."""

    SETTINGS = "settings"
    KEYS = "keys"
    KEY_FILE = "key_file"
    DATABASE = "database"
    CLOCK = "clock"
    MIGRATIONS = "migrations"
    POOLER = "pooler"
    LISTEN = "listen"
    SQLITE_LOCK = "sqlite_lock"
    SQLITE_DISK = "sqlite_disk"
    SQLITE_WAL = "sqlite_wal"
    SEALED = "sealed"
    CONNECTIONS = "connections"
    ENABLED = "enabled"
    SIGNING_SECRET = "signing_secret"  # noqa: S105 - the name of a check
    AGENT = "agent"
    DELIVERIES = "deliveries"
    SLACK = "slack"
    SCOPES = "scopes"
    PUBLIC_URL = "public_url"
    WEBHOOK = "webhook"
    PODS = "pods"
    POD_CLOCKS = "pod_clocks"
    BACKLOG = "backlog"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found.

    Attributes:
        found: one sentence.
        remedy: what to do; None when there is nothing to be done.
        connection_id: whose it is; None for what concerns the whole deployment.
    """

    check: Check
    verdict: Verdict
    found: str
    remedy: str | None = None
    connection_id: ConnectionId | None = None


def good(check: Check, found: str, *, connection_id: ConnectionId | None = None) -> Finding:
    """Return that all is well."""
    return Finding(check=check, verdict=Verdict.OK, found=found, connection_id=connection_id)


def warn(check: Check, found: str, remedy: str, *, connection_id: ConnectionId | None = None) -> Finding:
    """Return what works, and should be looked at."""
    return Finding(check=check, verdict=Verdict.WARNING, found=found, remedy=remedy, connection_id=connection_id)


def fail(check: Check, found: str, remedy: str, *, connection_id: ConnectionId | None = None) -> Finding:
    """Return what does not work."""
    return Finding(check=check, verdict=Verdict.FAILURE, found=found, remedy=remedy, connection_id=connection_id)
