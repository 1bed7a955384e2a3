"""Small pods in the test's own process: the doors of Slack, the journal and all that answers; on one database."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from bot_fakes import DeafNotes, FakeFiles, FreeLimits, NoTitles, PlainRequests
from sqlalchemy import select
from starlette.applications import Starlette
from surface_fakes import ConnectionLanguages

from slack_mcp.agents.echo import EchoAgent
from slack_mcp.agents.registry import AgentRegistry
from slack_mcp.app.interactivity import Interactivity, open_interactivity
from slack_mcp.app.server import HttpServer, bind, render_url
from slack_mcp.bot.addressed import find_reason_to_skip
from slack_mcp.bot.handler import BotHandler
from slack_mcp.bot.present import AnswerButtons, Pace
from slack_mcp.bot.shadow import Shadows
from slack_mcp.connections.directory import CachedDirectory
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.ids import ChannelId, ConnectionId, PodId, TeamId, UserId
from slack_mcp.core.model import AgentBackend, Connection, ConnectionSettings, Delivery
from slack_mcp.core.secret import Secret
from slack_mcp.inbox.dispatch import Dispatcher, WorkLimits
from slack_mcp.inbox.group_commit import CommitLimits, GroupCommit
from slack_mcp.inbox.receive import Receiver
from slack_mcp.inbox.route import HandlerByType
from slack_mcp.inbox.verify import Verifier
from slack_mcp.ports.metrics import ignore_call
from slack_mcp.ports.questions import Question, QuestionRequest
from slack_mcp.protocol.backoff import RetryLimits
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.model import Message
from slack_mcp.slack.client import SlackWebApis, open_slack_apis
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.migrate import Migrations
from slack_mcp.store.open import open_journal
from slack_mcp.store.ratings import SqlRatings
from slack_mcp.store.schema import events
from slack_mcp.store.turns import SqlTurnStore
from slack_mcp.store.url import DatabaseUrl, parse_database_url
from slack_mcp.surfaces.buttons import render_feedback_block, render_stop_button
from slack_mcp.web.forms import FormIntake
from slack_mcp.web.intake import Intake
from slack_mcp.web.webhook import Webhook

TEAM, CHANNEL, ANN, BOB, BOT = "T1", "C1", "UANN", "UBOB", "UBOT"
CONN = ConnectionId("conn_1")
COMMAND = "/slack-mcp"
MAX_BODY_BYTES = 65_536
WAIT_S = 20
RING = KeyRing.generate("test")


@dataclass
class MovableClock:
    """The machine's clock, some seconds ahead."""

    ahead_s: float = 0.0
    real: SystemClock = field(default_factory=SystemClock)

    def now_s(self) -> float:
        return self.real.now_s() + self.ahead_s

    def monotonic_s(self) -> float:
        return self.real.monotonic_s()


@dataclass(kw_only=True)
class SmallPod:
    """One pod."""

    url: str
    interactivity: Interactivity
    dispatcher: Dispatcher
    directory: CachedDirectory
    store: SqlConnectionStore
    slack: SlackWebApis

    async def ask(self, text: str = "Ship it?", **changes: Any) -> Question:
        """Ask as a tool would."""
        fields: dict[str, Any] = {
            "channel_id": ChannelId(CHANNEL),
            "text": text,
            "options": ("Yes", "No"),
            "timeout_s": 3_600.0,
            "asked_by": "key:1",
        }
        connection = await self.directory.load(CONN)
        request = QuestionRequest(**fields | changes)
        return await self.interactivity.questions.ask(connection, request, through=self.slack.open(connection))

    async def fetch(self, question: Question, *, wait_s: float = 0) -> Question:
        """Fetch as a tool would."""
        connection = await self.directory.load(CONN)
        return await self.interactivity.questions.fetch(connection, question.question_id, wait_s=wait_s)


@dataclass(kw_only=True)
class World:
    """Slack, the pods and their database."""

    simulator: Simulator
    workspace: Workspace
    database: Database
    clock: MovableClock
    pods: list[SmallPod]

    def aim_at(self, pod: SmallPod) -> None:
        """Let Slack send everything from now on to one pod."""
        self.simulator.deliverer.targets = [pod.url]

    def message(self, question: Question) -> Message:
        """Return the question's message."""
        assert question.message_ts is not None
        return self.workspace.find_message(question.channel_id, question.message_ts)

    def notes(self, user: str = ANN) -> list[str]:
        """Return what one person alone was shown."""
        return [each.text for each in self.workspace.ephemerals if each.user_id == user]

    async def until(self, is_true: Any) -> None:
        """Return when it is true of what Slack shows."""
        await self.simulator.changes.wait_until(is_true, timeout_s=WAIT_S)

    async def settled(self) -> list[tuple[str, str, str | None]]:
        """Return (type, state, reason) of all that was journalled but the messages, once nothing is left to do."""
        with anyio.fail_after(WAIT_S):
            while True:
                async with self.database.reading() as database:
                    statement = select(events.c.event_type, events.c.state, events.c.reason).order_by(events.c.id)
                    rows = [tuple(row) for row in await database.execute(statement)]
                if all(row[1] in {"done", "skipped", "dead"} for row in rows):
                    return [row for row in rows if row[0] != "message"]
                await anyio.sleep(0.01)


@asynccontextmanager
async def open_world(url: DatabaseUrl | None = None, *, pods: int = 1, **settings: Any) -> AsyncIterator[World]:
    """Yield pods on one database, with a connection that has these settings."""
    workspace = make_workspace()
    simulator = Simulator(workspace, time_scale=0.001)
    clock = MovableClock()
    url = url or parse_database_url(":memory:", data_dir=Path())
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(url))
        await Migrations(url, database=database).up()
        store = SqlConnectionStore(database, Sealer(RING), clock=clock)
        await store.save_connection(make_connection(settings=ConnectionSettings(**settings)))
        address = await stack.enter_async_context(serve(simulator))
        world = World(simulator=simulator, workspace=workspace, database=database, clock=clock, pods=[])
        for number in range(pods):
            pod = _open_pod(f"pod-{number}", database=database, api_url=address.api_url, clock=clock)
            world.pods.append(await stack.enter_async_context(pod))
        world.aim_at(world.pods[0])
        yield world
        await world.until(lambda: simulator.deliverer.pending == 0)


@asynccontextmanager
async def _open_pod(name: str, *, database: Database, api_url: str, clock: MovableClock) -> AsyncIterator[SmallPod]:
    sealer = Sealer(RING)
    store = SqlConnectionStore(database, sealer, clock=clock)
    directory = CachedDirectory(store=store, clock=clock, ttl_s=0.001, max_entries=10, is_listening=True)
    journal = open_journal(database, sealer, PodId(name), clock=clock)
    group_commit: GroupCommit[Delivery, bool] = GroupCommit(
        journal.append, limits=CommitLimits(max_batch=100, max_waiting=1_000, timeout_s=2.0)
    )
    verifier = Verifier(directory=directory, clock=clock.real)
    async with (
        open_slack_apis(base_url=api_url) as slack,
        open_interactivity(
            database=database,
            sealer=sealer,
            directory=directory,
            slack=slack,
            slack_api_url=api_url,
            languages=ConnectionLanguages(),
            ratings=SqlRatings(database, clock=clock),
            note_call=ignore_call,
            verifier=verifier,
            journal=journal,
            submit=group_commit.submit,
            wake=lambda: dispatcher.wake(),  # noqa: PLW0108 - made below
            clock=clock,
            default_agent=AgentBackend.ECHO,
            keep_questions_s=3_600.0,
        ) as interactivity,
    ):
        agents = AgentRegistry(agents={AgentBackend.ECHO: EchoAgent()}, default=AgentBackend.ECHO)
        turns = SqlTurnStore(database, sealer, clock=clock)
        languages = ConnectionLanguages()
        bot = BotHandler(
            turns=turns,
            slack=slack,
            drafts=slack.for_batch(),
            agents=agents,
            requests=PlainRequests(),
            notes=DeafNotes(),
            shadows=Shadows(turns=turns, slack=slack),
            limits=FreeLimits(),
            files=FakeFiles(),
            titles=NoTitles(),
            find_language=languages.find_language,
            buttons=AnswerButtons(stop={"en": render_stop_button("en")}, rate={"en": render_feedback_block("en")}),
            pace=Pace(),
            pod_id=PodId(name),
            clock=clock,
            turn_timeout_s=20.0,
        )
        dispatcher = Dispatcher(
            journal=journal,
            directory=directory,
            handler=HandlerByType(default=bot, by_type=interactivity.handlers),
            pod_id=PodId(name),
            clock=clock,
            limits=WorkLimits(poll_s=0.05),
            retries=RetryLimits(max_attempts=3, base_s=0.01),
        )
        receiver = Receiver(
            directory=directory,
            verifier=verifier,
            journal=group_commit.submit,
            wake=dispatcher.wake,
            triage=find_reason_to_skip,
        )
        intake = Intake(receiver)
        app = Webhook(intake, rest=Starlette(), max_body_bytes=MAX_BODY_BYTES, forms=FormIntake(interactivity.receiver))
        server = HttpServer(app, intake=intake, max_body_bytes=MAX_BODY_BYTES)
        with bind("127.0.0.1", 0) as listener:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(group_commit.run)
                tasks.start_soon(dispatcher.run)
                tasks.start_soon(server.run_on, listener)
                with anyio.fail_after(WAIT_S):
                    await server.listening.wait()
                yield SmallPod(
                    url=render_url(listener),
                    interactivity=interactivity,
                    dispatcher=dispatcher,
                    directory=directory,
                    store=store,
                    slack=slack,
                )
                dispatcher.stop()
                server.stop()
                tasks.cancel_scope.cancel()


def make_workspace() -> Workspace:
    workspace = Workspace(
        team_id=TEAM,
        bot_token="xoxb-canary",
        signing_secret="canary-signing",
        app_id="A1",
        bot_user_id=BOT,
        connection_id=CONN,
    )
    workspace.add_user(ANN, "ann")
    workspace.add_user(BOB, "bob")
    workspace.add_channel(CHANNEL, "general")
    return workspace


def make_connection(**changes: Any) -> Connection:
    fields: dict[str, Any] = {
        "connection_id": CONN,
        "organization_id": "org",
        "mesh_url": "",
        "bot_token": Secret("xoxb-canary"),
        "signing_secret": Secret("canary-signing"),
        "team_id": TeamId(TEAM),
        "team_name": "Acme",
        "bot_user_id": UserId(BOT),
        "api_app_id": "A1",
        "connection_name": "Support",
    }
    return Connection(**fields | changes)
