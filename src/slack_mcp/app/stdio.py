"""The tools over standard input and output, for one MCP client that starts the process and talks to it alone."""

import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import anyio
import structlog
from mcp.server.stdio import stdio_server

from slack_mcp.app.caches import Caches
from slack_mcp.app.compose import ensure_schema, make_saver, make_sealer, open_store
from slack_mcp.connections.directory import CachedDirectory
from slack_mcp.core.clock import Clock, SystemClock
from slack_mcp.core.errors import SettingsError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access, Connection
from slack_mcp.core.secret import Secret
from slack_mcp.interactions.desk import QuestionDesk
from slack_mcp.names.resolve import CachedNames
from slack_mcp.ports.audit import AuditEntry, AuditLog
from slack_mcp.ports.identity import Principal, PrincipalKind
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.sealing import Sealer
from slack_mcp.settings import Settings
from slack_mcp.slack.client import open_slack_apis
from slack_mcp.store.announcements import SqlNameAnnouncer
from slack_mcp.store.audit import SqlAuditLog
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.data_keys import get_data_keys
from slack_mcp.store.database import Database
from slack_mcp.store.questions import SqlQuestionStore
from slack_mcp.store.turns import SqlTurnStore
from slack_mcp.telemetry import configure_logging
from slack_mcp.tools.call import Services
from slack_mcp.tools.caller import Caller, current_caller
from slack_mcp.tools.registry import TOOLS
from slack_mcp.tools.server import build_server

LOCAL_ID: Final = ConnectionId("local")
IN_MEMORY: Final = Secret(":memory:")

_log = structlog.get_logger(__name__)


def serve_stdio(settings: Settings, *, connection_id: ConnectionId | None, access: Access) -> None:
    """Offer the tools on standard input and output until the input ends. The log goes to standard error.

    Args:
        settings: the service's.
        connection_id: a connection of the configured database; None takes SLACK_BOT_TOKEN, and no database.
        access: how much the client may do.

    Raises:
        SettingsError: there is neither a connection nor a bot token.
        SlackMcpError: the connection does not exist, the database cannot be reached, or Slack refuses the token.
    """
    configure_logging(level=settings.log_level, log_format=settings.log_format, keeps_loggers=True)
    # Nothing here has to come to an orderly end, and the thread that waits for input would not let it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    anyio.run(_serve, settings, connection_id, access)


async def _serve(settings: Settings, connection_id: ConnectionId | None, access: Access) -> None:
    async with open_local_services(settings, connection_id=connection_id) as (services, chosen):
        server = build_server(services, TOOLS)
        current_caller.set(make_local_caller(chosen, access=access))
        async with stdio_server() as (read_stream, write_stream):
            _log.info("stdio.started", connection_id=chosen, access=access.name.lower())
            await server.run(read_stream, write_stream, server.create_initialization_options())
    _log.info("stdio.stopped")


def make_local_caller(connection_id: ConnectionId, *, access: Access) -> Caller:
    """Return whoever started the process: the operating system let them, so nobody has to prove anything."""
    return Caller(
        known=Principal(kind=PrincipalKind.LOCAL, connection_id=connection_id, subject="local", access=access)
    )


@asynccontextmanager
async def open_local_services(
    settings: Settings, *, connection_id: ConnectionId | None
) -> AsyncIterator[tuple[Services, ConnectionId]]:
    """Yield what the tools work with, and the connection that they work for.

    Raises:
        SettingsError: there is neither a connection nor a bot token.
        ConnectionNotFoundError: the database has no such connection.
        SlackApiError: Slack does not take the bot token.
    """
    is_kept = connection_id is not None
    if not is_kept:
        # The stores' own database, in memory: the tools find all that they find elsewhere, and nothing is written down.
        settings = settings.model_copy(update={"database_url": IN_MEMORY, "encryption_keys": None})
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_store(settings))
        slack = await stack.enter_async_context(open_slack_apis(base_url=settings.slack_api_url))
        await ensure_schema(settings, database)
        sealer = make_sealer(settings)
        connections = SqlConnectionStore(database, sealer, clock=clock)
        if connection_id is None:
            saver = make_saver(settings, store=connections, slack=slack, clock=clock)
            connection_id = (await saver.save(make_local_connection(settings))).connection_id
        directory = CachedDirectory(
            store=connections,
            clock=clock,
            # Nobody tells this process of changes.
            ttl_s=min(settings.directory_ttl_s, settings.poll_s),
            max_entries=settings.directory_max_entries,
            is_listening=True,
        )
        await directory.load(connection_id)
        names = CachedNames(slack=slack, clock=clock)
        caches = Caches(directory=directory, names=names, data_keys=get_data_keys(database, sealer).cache)
        audit = SqlAuditLog(database, clock=clock)
        yield (
            Services(
                configurator=None,
                public_url=settings.public_url,
                directory=directory,
                slack=slack,
                names=names,
                audit=audit if is_kept else LoggedAudit(audit),
                threads=SqlTurnStore(database, sealer, clock=clock),
                clock=clock,
                announcer=SqlNameAnnouncer(database, tell=caches.hear_names),
                # Clicks reach a server on the same database; with none, nobody could answer.
                questions=_make_questions(database, sealer, slack, clock=clock) if is_kept else None,
            ),
            connection_id,
        )


def _make_questions(database: Database, sealer: Sealer, slack: SlackWebs, *, clock: Clock) -> QuestionDesk:
    return QuestionDesk(store=SqlQuestionStore(database, sealer, clock=clock), slack=slack, clock=clock)


def make_local_connection(settings: Settings) -> Connection:
    """Return the connection that the settings alone describe; raises SettingsError."""
    if not settings.slack_bot_token:
        raise SettingsError(
            ["`slack-mcp stdio` needs SLACK_BOT_TOKEN, or --connection with a connection of the configured database."]
        )
    return Connection(
        connection_id=LOCAL_ID,
        organization_id="",
        mesh_url="",
        bot_token=settings.slack_bot_token,
        user_token=settings.slack_user_token,
        signing_secret=Secret(""),  # no deliveries come here
    )


class LoggedAudit:
    """`ports.audit.AuditLog`: tells the log too, which outlives an audit in memory.

    Args:
        audit: keeps the entries.
    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def begin(self, connection_id: ConnectionId, *, actor: str, tool: str) -> int:
        """Write that a call begins; returns the entry's number."""
        entry_id = await self._audit.begin(connection_id, actor=actor, tool=tool)
        _log.info("audit.begun", connection_id=connection_id, entry_id=entry_id, actor=actor, tool=tool)
        return entry_id

    async def finish(self, connection_id: ConnectionId, entry_id: int, *, target: str | None, result: str) -> None:
        """Write how it ended."""
        await self._audit.finish(connection_id, entry_id, target=target, result=result)
        _log.info("audit.finished", connection_id=connection_id, entry_id=entry_id, target=target, result=result)

    async def list_entries(
        self, connection_id: ConnectionId, *, before_id: int | None = None, limit: int = 100
    ) -> Sequence[AuditEntry]:
        """Return a connection's entries, newest first."""
        return await self._audit.list_entries(connection_id, before_id=before_id, limit=limit)

    async def delete_entries(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` entries older than `before_s` seconds; returns how many."""
        return await self._audit.delete_entries(before_s=before_s, limit=limit)
