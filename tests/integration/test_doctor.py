"""What `slack-mcp doctor` finds, on real databases, a real pod and a simulated Slack."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from postgres import make_url
from processes import make_connection, make_workspace
from sqlalchemy import delete, insert, update
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from slack_mcp import __version__
from slack_mcp.app import migrations, open_admin, open_pod
from slack_mcp.app.server import bind, render_url
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.errors import ConnectionNotFoundError
from slack_mcp.core.ids import ConnectionId, PodId
from slack_mcp.core.model import AgentBackend, ConnectionSettings
from slack_mcp.core.secret import Secret
from slack_mcp.doctor import examine
from slack_mcp.doctor.finding import Check, Finding, Verdict
from slack_mcp.ports.pods import Presence
from slack_mcp.settings import Settings
from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.server import serve_app
from slack_mcp.store import schema
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.keyfile import get_key_file
from slack_mcp.store.pods import SqlPods

pytestmark = pytest.mark.anyio

CONN_1 = ConnectionId("conn_1")
KEYS = "k1:" + "A" * 43 + "="
CANARY = "canary"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("empty_postgres_url"))
    return f"sqlite:{tmp_path}/slack.db"


class Clinic:
    """A deployment that can be made ill."""

    def __init__(self, simulator: Simulator, workspace: Workspace, environ: Mapping[str, str]) -> None:
        self.simulator = simulator
        self.workspace = workspace
        self.environ = dict(environ)

    @property
    def settings(self) -> Settings:
        return Settings.from_env(self.environ, dotenv=None)

    async def examine(
        self, *, only: ConnectionId | None = None, timeout_s: float = 20, **environ: str
    ) -> Sequence[Finding]:
        settings = Settings.from_env({**self.environ, **environ}, dotenv=None)
        findings = await examine(settings, only=only, timeout_s=timeout_s)
        assert CANARY not in repr(findings)
        return findings

    @asynccontextmanager
    async def open_database(self) -> AsyncIterator[Database]:
        async with open_database(make_url(self.environ["DATABASE_URL"])) as database:
            yield database


@asynccontextmanager
async def open_clinic(database_url: str, **environ: str) -> AsyncIterator[Clinic]:
    """Yield a deployment with one connection."""
    workspace = make_workspace()
    simulator = Simulator(workspace, time_scale=0.001)
    async with serve(simulator) as address:
        clinic = Clinic(
            simulator,
            workspace,
            {
                "DATABASE_URL": database_url,
                "SLACK_API_URL": address.api_url,
                "DEFAULT_AGENT": "echo",
                "SLACK_BUDGET": "false",
                "ENCRYPTION_KEYS": KEYS,
                **environ,
            },
        )
        async with open_admin(clinic.settings) as admin:
            await admin.saver.save(make_connection(workspace))
        yield clinic


def select(findings: Sequence[Finding], check: Check) -> list[Finding]:
    return [each for each in findings if each.check is check]


def judge(findings: Sequence[Finding], check: Check) -> tuple[Verdict, str]:
    """Return what was found by a check that finds one thing."""
    (finding,) = select(findings, check)
    assert (finding.remedy is None) == (finding.verdict is Verdict.OK)
    return finding.verdict, finding.found


async def test_a_deployment_that_is_well_passes_every_check(database_url: str) -> None:
    with bind("127.0.0.1", 0) as listener:
        async with open_clinic(database_url, PUBLIC_URL=render_url(listener)) as clinic:
            clinic.simulator.deliverer.targets = [render_url(listener)]
            stop = anyio.Event()
            async with open_pod(clinic.settings) as pod, anyio.create_task_group() as tasks:
                tasks.start_soon(pod.run, listener, stop)
                said = clinic.simulator.say("T1", "U0", "C1", "<@UBOT> hello")
                await clinic.simulator.wait_for_answer("T1", "C1", said.message.ts, text="hello", timeout_s=20)
                findings = await clinic.examine()
                stop.set()
    bad = {each.check for each in findings if each.verdict is not Verdict.OK}
    assert bad == {Check.PUBLIC_URL}  # the test has no https
    webhook = f"{clinic.settings.public_url}/slack/events/conn_1"
    assert judge(findings, Check.WEBHOOK) == (Verdict.OK, f"{webhook} leads to pod {pod.pod_id}.")
    assert judge(findings, Check.PODS) == (Verdict.OK, f"1 pod serves, in version {__version__}.")
    assert "seconds ago" in judge(findings, Check.DELIVERIES)[1]
    own = {Check.CLOCK, Check.POOLER, Check.LISTEN}
    sqlite = {Check.SQLITE_LOCK, Check.SQLITE_DISK, Check.SQLITE_WAL}
    missing = (sqlite if database_url.startswith("postgresql") else own) | {Check.KEY_FILE, Check.CONNECTIONS}
    assert {each.check for each in findings} == set(Check) - missing


async def test_nobody_who_serves_is_found_and_said(database_url: str) -> None:
    with bind("127.0.0.1", 0) as listener:
        url = render_url(listener)
    async with open_clinic(database_url, PUBLIC_URL=url) as clinic:
        findings = await clinic.examine()
    assert judge(findings, Check.PODS)[0] is Verdict.FAILURE
    assert judge(findings, Check.WEBHOOK) == (
        Verdict.FAILURE,
        f"{url}/slack/events/conn_1 cannot be reached (ConnectError).",
    )
    assert judge(findings, Check.DELIVERIES)[0] is Verdict.WARNING


async def test_a_fleet_of_two_versions_and_a_silent_pod_are_warned_of(database_url: str) -> None:
    async with open_clinic(database_url) as clinic, clinic.open_database() as database:
        pods = SqlPods(database, clock=SystemClock())
        for name, version in (("pod-a", "0.0.1"), ("pod-b", __version__), ("pod-c", __version__)):
            await pods.note(Presence(pod_id=PodId(name), instance=name, version=version))
        long_ago = update(schema.pods).where(schema.pods.c.pod_id == "pod-c")
        async with database.transaction() as connection:
            await connection.execute(long_ago.values(seen_at_ms=schema.pods.c.seen_at_ms - 100_000))
        findings = await clinic.examine()
    mixed, silent = select(findings, Check.PODS)
    assert mixed.verdict is silent.verdict is Verdict.WARNING
    assert mixed.found == f"2 pods serve, in version 0.0.1, {__version__}."
    assert "Pod pod-c has been silent for 10" in silent.found


async def test_a_pod_whose_clock_is_wrong_is_named(database_url: str) -> None:
    async with open_clinic(database_url) as clinic, clinic.open_database() as database:
        await SqlPods(database, clock=SystemClock()).note(
            Presence(pod_id=PodId("pod-a"), instance="a", version=__version__)
        )
        async with database.transaction() as connection:
            await connection.execute(update(schema.pods).values(clock_ms=schema.pods.c.clock_ms - 400_000))
        findings = await clinic.examine()
    verdict, found = judge(findings, Check.POD_CLOCKS)
    assert verdict is Verdict.FAILURE
    assert found.startswith("The clock of pod pod-a is 400.")


async def test_what_slack_says_of_a_token_is_held_against_what_is_stored(database_url: str) -> None:
    async with open_clinic(database_url) as clinic:
        clinic.workspace.scopes = "chat:write,app_mentions:read"
        findings = await clinic.examine()
        verdict, found = judge(findings, Check.SCOPES)
        assert verdict is Verdict.FAILURE
        assert "without im:history the bot cannot hear direct messages" in found

        async with open_admin(clinic.settings) as admin:
            stored = await admin.connections.load_connection(CONN_1)
            assert stored is not None
            await admin.connections.save_connection(replace(stored, bot_user_id=None))
        verdict, found = judge(await clinic.examine(), Check.SLACK)
        assert (verdict, found) == (
            Verdict.FAILURE,
            "Slack's answer is not what is stored: bot_user_id is UBOT and stored as nothing.",
        )

        async with open_admin(clinic.settings) as admin:
            await admin.connections.save_connection(replace(stored, bot_token=Secret("xoxb-canary-revoked")))
        findings = await clinic.examine(only=CONN_1)
    assert judge(findings, Check.SLACK)[0] is Verdict.FAILURE
    assert "--replace --id conn_1" in str(select(findings, Check.SLACK)[0].remedy)


async def test_a_slack_that_does_not_answer_holds_nothing_else_up(database_url: str) -> None:
    async with open_clinic(database_url) as clinic, serve_app(silent) as url:
        findings = await clinic.examine(timeout_s=3, SLACK_API_URL=f"{url}/api/")
    (slack,) = select(findings, Check.SLACK)
    assert (slack.verdict, slack.connection_id, slack.found) == (
        Verdict.FAILURE,
        CONN_1,
        "This took longer than 3 s.",
    )
    assert judge(findings, Check.SEALED)[0] is Verdict.OK


async def silent(scope: object, receive: object, send: object) -> None:
    await anyio.sleep_forever()


async def test_a_connection_without_agent_or_that_is_disabled_is_named(database_url: str) -> None:
    async with open_clinic(database_url) as clinic:
        async with open_admin(clinic.settings) as admin:
            stored = await admin.connections.load_connection(CONN_1)
            assert stored is not None
            await admin.connections.save_connection(
                replace(
                    stored,
                    disabled=True,
                    signing_secret=Secret(""),
                    settings=ConnectionSettings(agent=AgentBackend.OPENAI),
                )
            )
        findings = await clinic.examine()
        with pytest.raises(ConnectionNotFoundError):
            await clinic.examine(only=ConnectionId("conn_9"))
    assert judge(findings, Check.ENABLED)[0] is Verdict.WARNING
    assert judge(findings, Check.SIGNING_SECRET)[0] is Verdict.FAILURE
    verdict, found = judge(findings, Check.AGENT)
    assert verdict is Verdict.FAILURE
    assert "set OPENAI_MODEL" in found


async def test_values_that_no_key_opens_and_those_in_the_clear_are_counted(database_url: str) -> None:
    other = "k2:" + "B" * 43 + "="
    async with open_clinic(database_url) as clinic:
        findings = await clinic.examine(ENCRYPTION_KEYS=other)
        verdict, found = judge(findings, Check.SEALED)
        assert verdict is Verdict.FAILURE
        assert "1 of 1 connections do not open (conn_1)." in found
        assert "key k1, which is not on the key ring" in found
        assert judge(findings, Check.CONNECTIONS)[0] is Verdict.WARNING

        async with clinic.open_database() as database, database.transaction() as connection:
            await connection.execute(update(schema.connections).values(signing_secret="canary-clear"))
        sealed, clear = select(await clinic.examine(), Check.SEALED)
        assert sealed.verdict is Verdict.OK
        assert clear.verdict is Verdict.WARNING
        assert "1 of 1 connections" in clear.found


async def test_events_that_wait_too_long_or_were_given_up_are_counted(database_url: str) -> None:
    now_ms = int(SystemClock().now_s() * 1000)
    event = {
        "connection_id": CONN_1,
        "event_time": 1,
        "lane": "C1",
        "event_type": "message",
        "payload": b"canary",
        "received_by": "pod-a",
    }
    async with open_clinic(database_url) as clinic, clinic.open_database() as database:
        async with database.transaction() as connection:
            rows = [
                {**event, "event_id": "Ev1", "state": "waiting", "received_at_ms": now_ms - 120_000},
                {**event, "event_id": "Ev2", "state": "dead", "received_at_ms": 0, "finished_at_ms": now_ms - 60_000},
                {**event, "event_id": "Ev3", "state": "dead", "received_at_ms": 0, "finished_at_ms": 1},
            ]
            for row in rows:
                await connection.execute(insert(schema.events).values(**row))
        findings = await clinic.examine()
        verdict, found = judge(findings, Check.BACKLOG)
        assert verdict is Verdict.WARNING
        assert found.startswith("1 events are unfinished; the oldest came 12")
        assert judge(findings, Check.DEAD) == (Verdict.WARNING, "1 events were given up within a day.")
        async with database.transaction() as connection:
            await connection.execute(update(schema.events).values(received_at_ms=now_ms - 7_200_000))
        assert judge(await clinic.examine(), Check.BACKLOG)[0] is Verdict.FAILURE
        async with database.transaction() as connection:
            await connection.execute(delete(schema.events))
        assert judge(await clinic.examine(only=CONN_1), Check.BACKLOG)[0] is Verdict.OK


async def test_missing_migrations_are_named_and_nothing_else_is_asked_of_the_tables(database_url: str) -> None:
    async with open_clinic(database_url) as clinic:
        async with clinic.open_database() as database, database.transaction() as connection:
            # While there are such, the way back is barred.
            await connection.execute(delete(schema.data_keys))
        await migrations(clinic.settings).down("0003")
        findings = await clinic.examine()
    verdict, found = judge(findings, Check.MIGRATIONS)
    assert verdict is Verdict.FAILURE
    assert "beginning with 0004_tool_access" in found
    assert not select(findings, Check.PODS)


async def answer_challenge(request: Request) -> Response:
    """Answer as a pod of another deployment does, which happens to have the same secret."""
    body = await request.json()
    headers = {"x-slack-mcp-instance": "stranger"} if request.url.path.startswith("/other") else {}
    return PlainTextResponse(body["challenge"], headers=headers)


@pytest.mark.parametrize(
    ("path", "verdict", "words"),
    [
        ("/other", Verdict.FAILURE, "leads to a pod of another database."),
        ("/nameless", Verdict.WARNING, "does not say which pod did."),
        ("/elsewhere", Verdict.FAILURE, "answers 200, without the challenge."),
        ("/nowhere", Verdict.FAILURE, "knows no such connection."),
        ("/refused", Verdict.FAILURE, "refuses this connection's signature."),
    ],
)
async def test_an_address_that_leads_elsewhere_is_found_out(
    tmp_path: Path, path: str, verdict: Verdict, words: str
) -> None:
    async def welcome(_request: Request) -> Response:
        return PlainTextResponse("Welcome to nginx!" * 10_000)

    async def refuse(_request: Request) -> Response:
        return PlainTextResponse("no", status_code=401)

    app = Starlette(
        routes=[
            Route("/other/slack/events/conn_1", answer_challenge, methods=["POST"]),
            Route("/nameless/slack/events/conn_1", answer_challenge, methods=["POST"]),
            Route("/elsewhere/slack/events/conn_1", welcome, methods=["POST"]),
            Route("/refused/slack/events/conn_1", refuse, methods=["POST"]),
        ]
    )
    async with serve_app(app) as url, open_clinic(f"sqlite:{tmp_path}/slack.db", PUBLIC_URL=url + path) as clinic:
        found = judge(await clinic.examine(), Check.WEBHOOK)
    assert found == (verdict, f"{url}{path}/slack/events/conn_1 {found[1].partition('conn_1 ')[2]}")
    assert found[1].endswith(words)


@pytest.mark.parametrize(
    ("url", "verdict", "words"),
    [
        (None, Verdict.WARNING, "PUBLIC_URL is not set."),
        ("https://localhost", Verdict.WARNING, "None of these is public."),
        ("https://192.0.0.9", Verdict.OK, "leads to 192.0.0.9."),
        ("https://nowhere.invalid", Verdict.FAILURE, "nowhere.invalid does not resolve."),
    ],
)
async def test_the_public_address_is_looked_up(tmp_path: Path, url: str | None, verdict: Verdict, words: str) -> None:
    environ = {"DATABASE_URL": f"sqlite:{tmp_path}/slack.db"} | ({} if url is None else {"PUBLIC_URL": url})
    findings = await examine(Settings.from_env(environ, dotenv=None))
    found = judge(findings, Check.PUBLIC_URL)
    assert found[0] is verdict
    assert found[1].endswith(words)


async def test_looking_at_what_is_not_there_yet_makes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "data"
    findings = await examine(Settings.from_env({"DATABASE_URL": f"sqlite:{place}/slack.db"}, dotenv=None))
    assert judge(findings, Check.DATABASE)[0] is Verdict.WARNING
    assert not place.exists()


async def test_a_key_file_that_is_open_to_others_or_gone_is_found(tmp_path: Path) -> None:
    async with open_clinic(f"sqlite:{tmp_path}/slack.db", ENCRYPTION_KEYS="") as clinic:
        key_file = get_key_file(tmp_path / "slack.db")
        assert judge(await clinic.examine(), Check.KEY_FILE)[0] is Verdict.OK
        key_file.chmod(0o644)
        verdict, found = judge(await clinic.examine(), Check.KEY_FILE)
        assert verdict is Verdict.FAILURE
        assert "mode 0644" in found
        key_file.unlink()
        findings = await clinic.examine()
        assert judge(findings, Check.KEYS)[0] is Verdict.FAILURE
        assert judge(findings, Check.SEALED)[0] is Verdict.FAILURE
        assert not key_file.exists()
        key_file.write_text("nonsense")
        assert judge(await clinic.examine(), Check.KEYS)[0] is Verdict.FAILURE


async def test_a_postgresql_that_cannot_be_reached_is_said_without_its_password() -> None:
    url = "postgresql://user:canary-password@127.0.0.1:1/slack"
    findings = await examine(Settings.from_env({"DATABASE_URL": url}, dotenv=None))
    verdict, found = judge(findings, Check.DATABASE)
    assert verdict is Verdict.FAILURE
    assert "slack at 127.0.0.1:1" in found
    assert CANARY not in repr(findings)
    assert judge(findings, Check.KEYS)[0] is Verdict.WARNING


async def test_where_nobody_can_listen_is_warned_of(empty_postgres_url: str) -> None:
    async with open_clinic(empty_postgres_url) as clinic:
        findings = await clinic.examine(DATABASE_PREPARED_STATEMENTS="false")
        assert judge(findings, Check.LISTEN)[0] is Verdict.WARNING
        assert judge(findings, Check.POOLER)[0] is Verdict.WARNING
        # Announcements stay within one database.
        another = f"postgresql://postgres@/postgres?{empty_postgres_url.partition('?')[2]}"
        findings = await clinic.examine(DATABASE_LISTEN_URL=another, timeout_s=4)
    assert judge(findings, Check.LISTEN)[0] is Verdict.FAILURE
