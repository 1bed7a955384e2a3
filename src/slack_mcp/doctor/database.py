"""The database: whether it answers, what it is, and what stands in front of it."""

import shutil
from collections.abc import Sequence
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Final

from slack_mcp.app.compose import migrations
from slack_mcp.core.errors import SlackMcpError, StoreError
from slack_mcp.doctor.deployment import Deployment
from slack_mcp.doctor.finding import Check, Finding, fail, good, warn
from slack_mcp.store.inspect import find_pooler

SLOW_S: Final = 0.02
# Slack's own window for a signature is 300 s; a clock that is off by less already shifts retries and leases on SQLite.
SKEWED_S: Final = 2.0
BADLY_SKEWED_S: Final = 60.0
LOW_DISK_BYTES: Final = 1024**3
NO_DISK_BYTES: Final = 100 * 1024**2
LARGE_WAL_BYTES: Final = 256 * 1024**2
_MIB: Final = 1024**2
_FOR_A_POOLER: Final = "Set DATABASE_PREPARED_STATEMENTS=false, and DATABASE_LISTEN_URL to PostgreSQL itself."


async def check_database(deployment: Deployment) -> Sequence[Finding]:
    """Find out whether the database answers."""
    settings = deployment.settings
    name = settings.database.describe()
    try:
        server = await deployment.inspector.load_server()
    except SlackMcpError as error:
        # The driver's words name servers and never values.
        words = str(error.__cause__) if isinstance(error.__cause__, OSError) else ""
        cause = f" ({words})" if words else ""
        return [
            fail(
                Check.DATABASE,
                f"{name}: {error}{cause}",
                "Compare DATABASE_URL with the server: host, port, name, user, password, sslmode, and who may connect.",
            )
        ]
    found = f"{name}, version {server.version}, answers in {server.round_trip_s * 1000:.1f} ms."
    findings = [
        good(Check.DATABASE, found)
        if server.round_trip_s < SLOW_S
        else warn(Check.DATABASE, found, "Bring the pods nearer to the database: every delivery waits for one commit.")
    ]
    if server.skew_s is not None:
        findings.append(judge_skew(Check.CLOCK, "This machine's clock", -server.skew_s))
    return findings


def judge_skew(check: Check, whose: str, skew_s: float) -> Finding:
    """Return what to think of a clock that is so much ahead of the database's."""
    found = f"{whose} is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} the database's."
    if abs(skew_s) < SKEWED_S:
        return good(check, found)
    remedy = (
        "Let NTP set both clocks: Slack's signatures are good for 300 s, and a pod that is off by more refuses all."
    )
    return (fail if abs(skew_s) >= BADLY_SKEWED_S else warn)(check, found, remedy)


async def check_migrations(deployment: Deployment) -> Sequence[Finding]:
    """Find out whether the tables are those of this version."""
    states = await migrations(deployment.settings).status()
    pending = [f"{each.revision}_{each.name}" for each in states if not each.applied]
    if pending:
        return [
            fail(
                Check.MIGRATIONS,
                f"{len(pending)} of {len(states)} migrations are missing, beginning with {pending[0]}.",
                "Run `slack-mcp migrate up`, or start the service, which does it.",
            )
        ]
    return [good(Check.MIGRATIONS, f"The schema is current: {states[-1].revision}_{states[-1].name}.")]


async def check_pooler(deployment: Deployment) -> Sequence[Finding]:
    """Find out what stands between the pods and PostgreSQL, and whether the settings suit it."""
    settings = deployment.settings
    dsn = settings.database.dsn
    if dsn is None:
        return []
    pooler = await find_pooler(dsn, timeout_s=deployment.timeout_s)
    prepares = settings.database_prepared_statements
    if pooler.shares and prepares:
        found = "A pooler in transaction mode stands in front of the database, and statements are prepared."
        return [fail(Check.POOLER, found, _FOR_A_POOLER)]
    if pooler.shares:
        found = "A pooler in transaction mode stands in front of the database, and no statement is prepared."
        return [good(Check.POOLER, found)]
    if pooler.is_there:
        found = "A pooler that keeps one connection for each client stands in front of the database."
        return [good(Check.POOLER, found)]
    if prepares:
        return [good(Check.POOLER, "No pooler stands in front of the database.")]
    remedy = "Remove DATABASE_PREPARED_STATEMENTS: prepared statements are faster."
    return [warn(Check.POOLER, "No pooler was found, and DATABASE_PREPARED_STATEMENTS is false.", remedy)]


async def check_refusing_pooler(deployment: Deployment) -> Sequence[Finding]:
    """Find out whether it is a pooler that refuses the pods' way to connect; it takes a plainer one."""
    settings = deployment.settings
    dsn = settings.database.dsn
    if dsn is None or not settings.database_prepared_statements:
        return []
    try:
        pooler = await find_pooler(dsn, timeout_s=deployment.timeout_s)
    except StoreError:
        return []
    if not pooler.is_there:
        return []
    return [fail(Check.POOLER, "A pooler stands there, which refuses the way in which pods connect.", _FOR_A_POOLER)]


async def check_listen(deployment: Deployment) -> Sequence[Finding]:
    """Find out whether the pods hear of each other's changes."""
    settings = deployment.settings
    if settings.listen_database is None:
        return []
    dsn = settings.listen_dsn
    remedy = "Set DATABASE_LISTEN_URL to PostgreSQL itself: a pooler in transaction mode passes no announcement on."
    if dsn is None:
        return [warn(Check.LISTEN, "Pods hear of changes only by polling: there is no address to LISTEN on.", remedy)]
    took_s = await deployment.inspector.hear_oneself(dsn, timeout_s=deployment.timeout_s / 2)
    if took_s is None:
        return [
            fail(
                Check.LISTEN, "An announcement was not heard: pods learn of changes when their cache runs out.", remedy
            )
        ]
    return [good(Check.LISTEN, f"An announcement was heard after {took_s * 1000:.0f} ms.")]


async def check_sqlite(deployment: Deployment) -> Sequence[Finding]:
    """Find out whether the files of SQLite are as they have to be."""
    path = deployment.settings.database.sqlite_path
    if path is None:
        return []
    return [_judge_lock(path), _judge_disk(path), *await _judge_wal(deployment, path)]


def _judge_lock(path: Path) -> Finding:
    """Return whether a process serves the database; nothing else may hold its lock."""
    try:
        with path.with_name(path.name + ".lock").open("rb") as file:
            flock(file, LOCK_EX | LOCK_NB)
    except FileNotFoundError:
        return good(Check.SQLITE_LOCK, "No process has served this database yet.")
    except BlockingIOError:
        return good(Check.SQLITE_LOCK, "One process serves this database.")
    except OSError as error:
        return fail(
            Check.SQLITE_LOCK,
            f"The lock beside the database cannot be used ({error.strerror}).",
            "Put the database on a local disk that the service's user may write to: SQLite needs working locks.",
        )
    return good(Check.SQLITE_LOCK, "No process serves this database at the moment.")


def _judge_disk(path: Path) -> Finding:
    free = shutil.disk_usage(path.parent).free
    found = f"{free // _MIB} MiB are free where the database lies."
    if free >= LOW_DISK_BYTES:
        return good(Check.SQLITE_DISK, found)
    remedy = "Make room: a full disk means that no delivery can be taken."
    return (fail if free < NO_DISK_BYTES else warn)(Check.SQLITE_DISK, found, remedy)


async def _judge_wal(deployment: Deployment, path: Path) -> Sequence[Finding]:
    mode = await deployment.inspector.load_journal_mode()
    if mode != "wal":
        remedy = "Put the database on a local disk: network file systems have no shared memory, which WAL needs."
        return [fail(Check.SQLITE_WAL, f"SQLite keeps its transactions as {mode!r} and not as WAL.", remedy)]
    wal = path.with_name(path.name + "-wal")
    size = wal.stat().st_size if wal.exists() else 0
    found = f"The write-ahead log has {size // _MIB} MiB."
    if size < LARGE_WAL_BYTES:
        return [good(Check.SQLITE_WAL, found)]
    remedy = "Look for a process that keeps reading (a shell, a backup): while it does, the log cannot be cut."
    return [warn(Check.SQLITE_WAL, found, remedy)]
