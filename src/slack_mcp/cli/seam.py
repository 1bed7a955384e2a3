"""What the commands need of the rest of the service, as Protocols: tests pass fakes in their place."""

import gc
import importlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from slack_mcp.cli.ask import choose_connection
from slack_mcp.core.errors import ConnectionNotFoundError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access, Connection
from slack_mcp.core.secret import Secret
from slack_mcp.ports.audit import AdminAuditLog
from slack_mcp.ports.explain import Explainer
from slack_mcp.ports.identity import ApiKeyStore
from slack_mcp.ports.operations import Deliveries, JournalOperations
from slack_mcp.ports.secrets import SecretKeeper
from slack_mcp.ports.slack import IdentityApis
from slack_mcp.ports.store import ConnectionStore

if TYPE_CHECKING:  # pydantic alone takes longer than `--help` may
    from slack_mcp.backup.create import Progress
    from slack_mcp.backup.manifest import BackupFormat, BackupManifest
    from slack_mcp.backup.read import StoredBackup
    from slack_mcp.doctor.finding import Finding
    from slack_mcp.settings import Settings
    from slack_mcp.triggers.configure import Subscriptions

T = TypeVar("T")


class ConnectionSaver(Protocol):
    """Saves a connection after asking Slack who its token is."""

    async def save(self, connection: Connection) -> Connection:
        """Return the connection as saved, with team and bot filled in; raises SlackApiError."""
        ...


class Admin(Protocol):
    """What the connection commands work with."""

    @property
    def connections(self) -> ConnectionStore:
        """The database's connections."""
        ...

    @property
    def saver(self) -> ConnectionSaver:
        """The way to save one."""
        ...

    @property
    def slack(self) -> IdentityApis:
        """Slack's Web API."""
        ...

    @property
    def audit(self) -> AdminAuditLog:
        """What the tools wrote and the commands changed."""
        ...

    @property
    def explainer(self) -> Explainer:
        """What became of messages."""
        ...

    @property
    def operations(self) -> JournalOperations:
        """What an operator does with the journal."""
        ...

    @property
    def journal(self) -> Deliveries:
        """What events are written to."""
        ...

    @property
    def keys(self) -> ApiKeyStore:
        """The API keys for the MCP endpoint."""
        ...

    @property
    def secrets(self) -> SecretKeeper:
        """How the values in the database are sealed."""
        ...

    @property
    def open_subscriptions(self) -> "Callable[[], AbstractAsyncContextManager[Subscriptions]]":
        """Opens what adds and tries the triggers' receivers."""
        ...


class MigrationState(Protocol):
    """One migration and whether the database has it."""

    @property
    def revision(self) -> str:
        """Its number, such as `0001`."""
        ...

    @property
    def name(self) -> str:
        """What it does."""
        ...

    @property
    def applied(self) -> bool:
        """Whether the database has it."""
        ...


class Migrations(Protocol):
    """The schema's history. Every method may raise StoreUnavailableError."""

    async def status(self) -> Sequence[MigrationState]:
        """Return all migrations, oldest first."""
        ...

    async def up(self) -> Sequence[str]:
        """Apply what is missing and return the names; raises MigrationFailedError."""
        ...

    async def down(self, to: str) -> Sequence[str]:
        """Roll back everything after revision `to` (`base`: everything) and return the names."""
        ...


class Backups(Protocol):
    """What the backup commands work with; `slack_mcp.app.backup` says what each raises."""

    @property
    def key_ids(self) -> Sequence[str]:
        """The keys that there are, the sealing one first."""
        ...

    async def create(self, kind: "BackupFormat") -> "StoredBackup":
        """Return a new backup."""
        ...

    async def note(self, made: "StoredBackup") -> None:
        """Have the database remember it."""
        ...

    async def list_all(self) -> "Sequence[StoredBackup]":
        """Return what there is, the newest first."""
        ...

    async def find(self, name: str) -> "StoredBackup":
        """Return one by its name, or the newest by `latest`."""
        ...

    async def verify(self, backup: "StoredBackup") -> "BackupManifest":
        """Read and check all of it."""
        ...

    async def delete_expired(self, *, keep: int | None, keep_days: float | None) -> Sequence[str]:
        """Delete what neither rule keeps."""
        ...

    async def restore(self, backup: "StoredBackup", *, force: bool) -> "BackupManifest":
        """Load it into the database."""
        ...


class Composition(Protocol):
    """`slack_mcp.app`, as far as the commands need it."""

    def open_admin(self, settings: "Settings") -> AbstractAsyncContextManager[Admin]:
        """Open the database and Slack for the administration of connections."""
        ...

    def migrations(self, settings: "Settings") -> Migrations:
        """Return the database's migrations."""
        ...

    async def load_original_rows(self, settings: "Settings", url: Secret) -> Sequence[Mapping[str, Any]]:
        """Return the rows of the original's table of connections."""
        ...

    def open_backups(self, settings: "Settings", *, target: str | None, progress: "Progress") -> Backups:
        """Return the backups of a target, or of the configured one."""
        ...

    def serve(self, settings: "Settings") -> None:
        """Run the service until a signal ends it."""
        ...

    def serve_stdio(self, settings: "Settings", *, connection_id: ConnectionId | None, access: Access) -> None:
        """Offer the tools on standard input and output until the input ends."""
        ...


class Demo(Protocol):
    """`slack_mcp.demo`, as far as the commands need it."""

    def run(self, settings: "Settings", *, port: int | None, say: str | None, echo: Callable[[str], None]) -> None:
        """Run service and simulator; with `say`, print one thread and return."""
        ...


class Doctor(Protocol):
    """`slack_mcp.doctor`, as far as the commands need it."""

    async def examine(
        self, settings: "Settings", *, only: ConnectionId | None, timeout_s: float
    ) -> "Sequence[Finding]":
        """Return what is well with the deployment and what is not; raises ConnectionNotFoundError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Seam:
    """Everything a command takes from outside.

    Attributes:
        environ: the environment.
        dotenv: the `.env` file under it, which need not exist.
        is_terminal: whether somebody can be asked.
    """

    environ: Mapping[str, str]
    dotenv: Path | None
    is_terminal: bool
    load_composition: Callable[[], Composition]
    load_demo: Callable[[], Demo]
    load_doctor: Callable[[], Doctor]

    def load_settings(self) -> "Settings":
        """Return the settings; raises SettingsError."""
        from slack_mcp.settings import Settings

        return Settings.from_env(self.environ, dotenv=self.dotenv)

    def run_admin(self, work: Callable[[Admin, "Settings"], Awaitable[T]]) -> T:
        """Run work on the connections and return what it returns."""
        import anyio

        from slack_mcp.telemetry import configure_logging

        settings = self.load_settings()
        configure_logging(level="warning", log_format="auto")

        async def run() -> T:
            async with self.load_composition().open_admin(settings) as admin:
                return await work(admin, settings)

        return anyio.run(run)

    def run_on_connection(self, connection_id: str, work: Callable[[Admin, Connection], Awaitable[T]]) -> T:
        """Run work on one connection and return what it returns; raises ConnectionNotFoundError."""
        chosen = choose_connection(connection_id)

        async def find_and_work(admin: Admin, _settings: "Settings") -> T:
            connection = await admin.connections.load_connection(chosen)
            if connection is None:
                raise ConnectionNotFoundError(chosen)
            return await work(admin, connection)

        return self.run_admin(find_and_work)

    def run_migrations(self, work: Callable[[Migrations], Awaitable[T]]) -> T:
        """Run work on the schema and return what it returns."""
        import anyio

        from slack_mcp.telemetry import configure_logging

        settings = self.load_settings()
        configure_logging(level="warning", log_format="auto")
        return anyio.run(work, self.load_composition().migrations(settings))

    def run_backups(self, target: str | None, progress: "Progress", work: Callable[[Backups], Awaitable[T]]) -> T:
        """Run work on backups and return what it returns."""
        import anyio

        from slack_mcp.telemetry import configure_logging

        settings = self.load_settings()
        configure_logging(level="warning", log_format="auto")
        return anyio.run(work, self.load_composition().open_backups(settings, target=target, progress=progress))


def load_composition() -> Composition:
    """Return `slack_mcp.app`.

    What is imported stays: the garbage collector, which would walk through all of it again and again while it grows,
    is kept out of it, then and later.
    """
    gc.disable()
    try:
        return cast("Composition", importlib.import_module("slack_mcp.app"))
    finally:
        gc.freeze()
        gc.enable()


def load_demo() -> Demo:
    """Return `slack_mcp.demo`."""
    return cast("Demo", importlib.import_module("slack_mcp.demo"))


def load_doctor() -> Doctor:
    """Return `slack_mcp.doctor`."""
    return cast("Doctor", importlib.import_module("slack_mcp.doctor"))
