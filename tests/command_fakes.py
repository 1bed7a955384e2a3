"""What stands for the service behind the commands, importable from everywhere below tests/."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
from configuration_fakes import FakeConnectionStore, FakeSlack
from identity_fakes import FakeKeyStore
from kept_logs import putting_logs_back
from operation_fakes import FakeDeliveries, FakeOperations
from stepping_clock import SteppingClock
from tool_fakes import FakeAudit
from trigger_fakes import FakeTriggers, make_sender, resolve_publicly
from typer.testing import CliRunner, Result

from slack_mcp.app.backup import Backups, open_backups
from slack_mcp.app.originals import load_original_rows
from slack_mcp.backup.create import Progress
from slack_mcp.cli.root import cli
from slack_mcp.cli.seam import Seam
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, Ts
from slack_mcp.core.model import Access, Connection
from slack_mcp.core.secret import Secret
from slack_mcp.doctor.finding import Finding
from slack_mcp.ports.explain import ExplainedEvent
from slack_mcp.ports.secrets import Resealed, SealCount
from slack_mcp.settings import Settings
from slack_mcp.triggers.configure import Subscriptions
from slack_mcp.triggers.target import TargetPolicy, Targets

TOKEN = "xoxb-canary-token"
SIGNING_SECRET = "canary-signing-secret"
CANARY = "canary"


class FakeSaver:
    """Saves what Slack knows, as `ConnectionSaver` does."""

    def __init__(self, store: FakeConnectionStore, slack: FakeSlack) -> None:
        self._store = store
        self._slack = slack

    async def save(self, connection: Connection) -> Connection:
        identity = await self._slack.open(connection).fetch_identity()
        return await self._store.save_connection(
            replace(connection, team_id=identity.team_id, team_name=identity.team_name)
        )


@dataclass(frozen=True, kw_only=True)
class FakeMigration:
    revision: str
    name: str
    applied: bool


@dataclass
class FakeMigrations:
    applied: list[str] = field(default_factory=list)
    known: Sequence[str] = ("0001_first", "0002_second")
    error: Exception | None = None

    async def status(self) -> Sequence[FakeMigration]:
        self._fail()
        return [FakeMigration(revision=each[:4], name=each[5:], applied=each in self.applied) for each in self.known]

    async def up(self) -> Sequence[str]:
        self._fail()
        missing = [each for each in self.known if each not in self.applied]
        self.applied += missing
        return missing

    async def down(self, to: str) -> Sequence[str]:
        self._fail()
        undone = [each for each in self.applied if to == "base" or each[:4] > to][::-1]
        self.applied = [each for each in self.applied if each not in undone]
        return undone

    def _fail(self) -> None:
        if self.error:
            raise self.error


@dataclass(frozen=True, kw_only=True)
class FakeAdmin:
    connections: FakeConnectionStore
    saver: FakeSaver
    slack: FakeSlack
    keys: FakeKeyStore
    audit: FakeAudit
    explainer: "FakeExplainer"
    operations: FakeOperations
    journal: FakeDeliveries
    secrets: "FakeSecretKeeper"
    open_subscriptions: Callable[[], AbstractAsyncContextManager[Subscriptions]]


class FakeExplainer:
    """Knows the same events whatever it is asked for, and what it was asked for."""

    def __init__(self) -> None:
        self.events: Sequence[ExplainedEvent] = ()
        self.asked: list[object] = []

    async def explain_event(self, event_id: EventId) -> Sequence[ExplainedEvent]:
        self.asked.append(event_id)
        return self.events

    async def explain_message(self, channel_id: ChannelId, ts: Ts, thread_ts: Ts | None) -> Sequence[ExplainedEvent]:
        self.asked.append((channel_id, ts, thread_ts))
        return self.events


class FakeSecretKeeper:
    """Has the counts that it is given, and notes what it was told to do."""

    def __init__(self) -> None:
        self.key_ids: Sequence[str] = ("k1",)
        self.counts: Sequence[SealCount] = ()
        self.done = Resealed()
        self.calls: list[str] = []

    async def count_sealed(self) -> Sequence[SealCount]:
        return self.counts

    async def rotate(self, tell: Callable[[str, int], None]) -> Resealed:
        self.calls.append("rotate")
        tell("slack_events", 1)
        return self.done

    async def drop_data_keys(self, tell: Callable[[str, int], None]) -> Resealed:
        self.calls.append("drop_data_keys")
        tell("slack_events", 1)
        return self.done


class Commands:
    """Runs commands with fakes behind them; `is_terminal` says whether somebody can be asked."""

    def __init__(self) -> None:
        self.store = FakeConnectionStore()
        self.slack = FakeSlack()
        self.schema = FakeMigrations()
        self.keys = FakeKeyStore(self.store.rows)
        self.audit = FakeAudit()
        self.explainer = FakeExplainer()
        self.operations = FakeOperations([])
        self.journal = FakeDeliveries()
        self.secrets = FakeSecretKeeper()
        self.receiver: Callable[[httpx2.Request], httpx2.Response] = lambda _request: httpx2.Response(204)
        self.environ: dict[str, str] = {"DATABASE_URL": ":memory:"}
        self.is_terminal = False
        self.error: Exception | None = None
        self.served: list[Settings] = []
        self.served_on_stdio: list[tuple[str | None, Access]] = []
        self.findings: Sequence[Finding] = ()
        self.examined: list[tuple[str | None, float]] = []
        self.demos: list[tuple[int | None, str | None]] = []

    async def load_original_rows(self, settings: Settings, url: Secret) -> Sequence[Mapping[str, Any]]:
        """Return real rows: reading them takes a database and nothing else."""
        return await load_original_rows(settings, url)

    def open_backups(self, settings: Settings, *, target: str | None, progress: Progress) -> Backups:
        """Return the real ones: they work on files, which need no fake."""
        return open_backups(settings, target=target, progress=progress)

    def run(self, *arguments: str, answers: str | None = None) -> Result:
        """Run one command line; no secret may be in anything that it prints."""
        seam = Seam(
            environ=self.environ,
            dotenv=None,
            is_terminal=self.is_terminal,
            load_composition=lambda: self,
            load_demo=lambda: FakeDemo(self),
            load_doctor=lambda: FakeDoctor(self),
        )
        with putting_logs_back():
            result = CliRunner().invoke(cli, list(arguments), obj=seam, input=answers)
        assert CANARY not in result.output, result.output
        return result

    def run_json(self, *arguments: str) -> Any:
        """Return what a command that succeeds prints as JSON."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    # What `slack_mcp.app` offers:

    @asynccontextmanager
    async def open_admin(self, settings: Settings) -> AsyncIterator[FakeAdmin]:
        if self.error:
            raise self.error
        saver = FakeSaver(self.store, self.slack)
        yield FakeAdmin(
            connections=self.store,
            saver=saver,
            slack=self.slack,
            keys=self.keys,
            audit=self.audit,
            explainer=self.explainer,
            operations=self.operations,
            journal=self.journal,
            secrets=self.secrets,
            open_subscriptions=self._open_subscriptions,
        )

    @asynccontextmanager
    async def _open_subscriptions(self) -> AsyncIterator[Subscriptions]:
        targets = Targets(policy=TargetPolicy(), resolve=resolve_publicly)
        async with make_sender(self.receiver, targets=targets) as sender:
            yield Subscriptions(
                connections=self.store,
                triggers=FakeTriggers(self.store.rows),
                targets=targets,
                sender=sender,
                clock=SteppingClock(),
            )

    def migrations(self, settings: Settings) -> FakeMigrations:
        return self.schema

    def serve(self, settings: Settings) -> None:
        if self.error:
            raise self.error
        self.served.append(settings)

    def serve_stdio(self, settings: Settings, *, connection_id: ConnectionId | None, access: Access) -> None:
        self.served_on_stdio.append((connection_id, access))


class FakeDemo:
    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def run(self, settings: Settings, *, port: int | None, say: str | None, echo: Callable[[str], None]) -> None:
        self._commands.demos.append((port, say))
        echo("said")


class FakeDoctor:
    """Finds what it was told to."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def examine(self, settings: Settings, *, only: ConnectionId | None, timeout_s: float) -> Sequence[Finding]:
        self._commands.examined.append((only, timeout_s))
        return self._commands.findings


def make_stored(name: str = "conn_1", **changes: Any) -> Connection:
    connection = Connection(
        connection_id=ConnectionId(name),
        organization_id="org",
        mesh_url="",
        bot_token=Secret(TOKEN),
        signing_secret=Secret(SIGNING_SECRET),
        team_name="Acme",
        updated_at="2026-01-01",
    )
    return replace(connection, **changes)


def write_secrets(directory: Path) -> Mapping[str, Path]:
    """Write both secrets to files, each with a line break at its end, and return them by option."""
    files = {
        "--bot-token-file": directory / "bot_token",
        "--signing-secret-file": directory / "signing_secret",
    }
    for file, text in zip(files.values(), (TOKEN, SIGNING_SECRET), strict=True):
        file.write_text(f"{text}\n")
    return files
