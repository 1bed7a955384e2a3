"""The parts that the service and the commands have in common: database, secrets, connections and the way to Slack."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from slack_mcp.app.triggers import open_subscriptions
from slack_mcp.connections.save import ConnectionSaver
from slack_mcp.core.clock import Clock, SystemClock
from slack_mcp.core.errors import SchemaOutdatedError
from slack_mcp.core.ids import PodId
from slack_mcp.ports.audit import AdminAuditLog
from slack_mcp.ports.explain import Explainer
from slack_mcp.ports.identity import ApiKeyStore
from slack_mcp.ports.operations import Deliveries, JournalOperations
from slack_mcp.ports.secrets import SecretKeeper
from slack_mcp.ports.slack import IdentityApis
from slack_mcp.ports.store import ConnectionStore
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.settings import Settings
from slack_mcp.slack.client import open_slack_apis
from slack_mcp.store.api_keys import SqlApiKeyStore
from slack_mcp.store.audit import SqlAuditLog
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.explain import SqlExplainer
from slack_mcp.store.keyfile import get_key_file, load_or_create_key_file
from slack_mcp.store.open import open_journal
from slack_mcp.store.operations import SqlJournalOperations
from slack_mcp.store.revision import load_revision
from slack_mcp.store.secret_keeper import SqlSecretKeeper
from slack_mcp.store.triggers import SqlTriggerStore
from slack_mcp.triggers.configure import Subscriptions

if TYPE_CHECKING:
    from slack_mcp.store.migrate import Migrations

COMMAND_LINE: Final = PodId("command-line")
"""Who received what no pod did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """What the commands work with: connections, the way to save one, Slack, API keys, and what became of events."""

    connections: ConnectionStore
    saver: ConnectionSaver
    slack: IdentityApis
    keys: ApiKeyStore
    audit: AdminAuditLog
    explainer: Explainer
    operations: JournalOperations
    journal: Deliveries
    secrets: SecretKeeper
    open_subscriptions: Callable[[], AbstractAsyncContextManager[Subscriptions]]


def migrations(settings: Settings, *, database: Database | None = None) -> "Migrations":
    """Return the schema's history of the configured database."""
    from slack_mcp.store.migrate import Migrations  # noqa: PLC0415 - `store.revision` says why

    return Migrations(
        settings.database,
        database=database,
        connect_timeout_s=settings.database_connect_timeout_s,
        prepared_statements=settings.database_prepared_statements,
    )


def make_sealer(settings: Settings) -> Sealer:
    """Return what seals the secrets.

    Raises:
        SettingsError: the key file cannot be read or made.
    """
    return Sealer(make_key_ring(settings))


def make_key_ring(settings: Settings) -> KeyRing | None:
    """Return the configured keys, else those of SQLite's own key file, else None: nothing is sealed.

    Raises:
        SettingsError: the key file cannot be read or made.
    """
    ring = settings.key_ring
    if ring is None and settings.database.dialect == "sqlite":
        path = settings.database.sqlite_path
        # What is in memory dies with its key.
        return load_or_create_key_file(get_key_file(path)) if path else KeyRing.generate("memory")
    return ring


def open_store(settings: Settings) -> AbstractAsyncContextManager[Database]:
    """Return the configured database, to be entered."""
    return open_database(
        settings.database,
        pool_size=settings.database_pool_size,
        connect_timeout_s=settings.database_connect_timeout_s,
        prepared_statements=settings.database_prepared_statements,
    )


def make_saver(settings: Settings, *, store: ConnectionStore, slack: IdentityApis, clock: Clock) -> ConnectionSaver:
    """Return the way to save a connection."""
    return ConnectionSaver(
        store=store, slack=slack, clock=clock, signing_secret_overlap_s=settings.signing_secret_overlap_s
    )


async def migrate(settings: Settings, database: Database) -> Sequence[str]:
    """Apply what the open database lacks and return the names.

    Raises:
        SchemaOutdatedError: a newer version has migrated it.
        MigrationFailedError, StoreUnavailableError: it cannot be had.
    """
    revision = await load_revision(database)
    return () if revision["current"] == revision["head"] else await migrations(settings, database=database).up()


async def ensure_schema(settings: Settings, database: Database) -> None:
    """Give a database without any table its tables; an outdated one is left to its owner.

    Raises:
        SchemaOutdatedError: it has other migrations than this version needs.
        MigrationFailedError, StoreUnavailableError: it cannot be had.
    """
    revision = await load_revision(database)
    if revision["current"] is None:
        await migrations(settings, database=database).up()
    elif revision["current"] != revision["head"]:
        raise SchemaOutdatedError(
            f"The database is at migration {revision['current']} and this version needs {revision['head']}: run "
            "`slack-mcp migrate up`."
        )


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[Admin]:
    """Yield what the commands need. A database without any table gets them; an outdated one is left to its owner.

    Raises:
        SchemaOutdatedError: the database has other migrations than this version needs.
        StoreUnavailableError: it cannot be reached.
    """
    clock = SystemClock()
    async with open_store(settings) as database, open_slack_apis(base_url=settings.slack_api_url) as slack:
        await ensure_schema(settings, database)
        sealer = make_sealer(settings)
        store = SqlConnectionStore(database, sealer, clock=clock)
        yield Admin(
            connections=store,
            saver=make_saver(settings, store=store, slack=slack, clock=clock),
            slack=slack,
            keys=SqlApiKeyStore(database),
            audit=SqlAuditLog(database, clock=clock),
            explainer=SqlExplainer(database, sealer, clock=clock),
            operations=SqlJournalOperations(database, sealer, clock=clock),
            journal=open_journal(database, sealer, COMMAND_LINE, clock=clock),
            secrets=SqlSecretKeeper(database, sealer),
            open_subscriptions=partial(
                open_subscriptions,
                settings,
                triggers=SqlTriggerStore(database, sealer, clock=clock),
                connections=store,
                clock=clock,
            ),
        )
