"""One process of the service: every room opened in order, and closed in the reverse."""

import os
import secrets
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import httpx2
import structlog
from starlette.applications import Starlette
from starlette.types import ASGIApp

from slack_mcp.app.agents import make_agents
from slack_mcp.app.attachments import make_attachments
from slack_mcp.app.bot import make_bot
from slack_mcp.app.caches import Caches
from slack_mcp.app.compose import make_saver, make_sealer, migrate, open_store
from slack_mcp.app.identity import make_guard
from slack_mcp.app.interactivity import open_interactivity
from slack_mcp.app.metrics import open_exporter
from slack_mcp.app.presence import open_presence
from slack_mcp.app.server import HttpServer, render_url
from slack_mcp.app.stores import S_PER_DAY, list_deletions, make_stores
from slack_mcp.app.surfaces import make_surfaces
from slack_mcp.app.tracing import open_tracing
from slack_mcp.app.triggers import open_triggers
from slack_mcp.app.valkey import ValkeyRoom, open_valkey_room
from slack_mcp.bot.addressed import SkipReason, find_reason_to_skip
from slack_mcp.bot.context_notes import may_be_remembered
from slack_mcp.budget.shared import SharedBudget
from slack_mcp.connections.configure import Configurator
from slack_mcp.connections.directory import CachedDirectory
from slack_mcp.connections.renew import RENEW_INTERVAL_S, TokenRenewer
from slack_mcp.connections.revoked import REVOCATION_EVENTS, RevocationHandler
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.ids import PodId
from slack_mcp.core.model import Connection, ConnectionChange, Delivery
from slack_mcp.inbox.dispatch import Dispatcher, WorkLimits
from slack_mcp.inbox.group_commit import CommitLimits, GroupCommit
from slack_mcp.inbox.leader import Leader
from slack_mcp.inbox.prune import PRUNE_INTERVAL_S, prune
from slack_mcp.inbox.receive import Receiver
from slack_mcp.inbox.repeat import Repeater
from slack_mcp.inbox.route import HandlerByType
from slack_mcp.inbox.verify import Verifier
from slack_mcp.mesh.client import MeshClient
from slack_mcp.mesh.tokens import MeshTokenVerifier
from slack_mcp.mesh.transport import MeshTransport
from slack_mcp.metrics import catalogue
from slack_mcp.metrics.exporter import CONTENT_TYPE
from slack_mcp.metrics.meters import CountedTurns, make_call_meter, make_door_meter
from slack_mcp.metrics.sample import Sampler, Sources
from slack_mcp.metrics.values import Values
from slack_mcp.metrics.watch import WatchedBudget, WatchedJournal, WatchedRatings, WatchedTriggers
from slack_mcp.names.feed import NAME_EVENTS, NameFeed
from slack_mcp.names.resolve import CachedNames
from slack_mcp.ports.announcements import Subscribers
from slack_mcp.ports.budget import FreeBudget
from slack_mcp.ports.names import NameChange
from slack_mcp.protocol.backoff import RetryLimits
from slack_mcp.protocol.events import EventCallback
from slack_mcp.settings import Settings
from slack_mcp.slack.client import open_slack_apis
from slack_mcp.store.announcements import Listener, SqlNameAnnouncer
from slack_mcp.store.backup_source import load_last_backup_ms
from slack_mcp.store.database import Database
from slack_mcp.store.health import SqlStoreHealth
from slack_mcp.store.leadership import SqlLeadership
from slack_mcp.store.lockfile import hold_database
from slack_mcp.surfaces.handler import SURFACE_EVENTS
from slack_mcp.surfaces.handler import find_reason_to_skip as find_reason_to_skip_surface
from slack_mcp.tools.call import Services
from slack_mcp.tools.endpoint import McpEndpoint
from slack_mcp.tools.registry import TOOLS
from slack_mcp.triggers.plan import plan
from slack_mcp.web.forms import FormIntake
from slack_mcp.web.health import Health, PodState
from slack_mcp.web.intake import Intake
from slack_mcp.web.metrics import MetricsPage
from slack_mcp.web.webhook import Webhook
from slack_mcp.web.weight import BoundedBodies

JOURNAL_BATCH: Final = 512
JOURNAL_BATCH_BYTES: Final = 8_388_608
JOURNAL_WAITING_BYTES: Final = 67_108_864
# Of requests that are being read or answered, beside those that wait for the journal.
READ_BYTES: Final = 67_108_864
# Slack waits 3 s for the answer: https://docs.slack.dev/apis/events-api/#responding
JOURNAL_TIMEOUT_S: Final = 2.0

# Nobody answers them; but what is said in a thread of the bot's belongs to its conversation.
_HEARD_ALL_THE_SAME: Final = frozenset({SkipReason.OTHER_BOT, SkipReason.NOISE_SUBTYPE, SkipReason.USER_NOT_ALLOWED})

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One process of the service, with everything open; `open_pod` makes it.

    Attributes:
        app: the ASGI app: the webhook in front, everything else behind.
        intake: takes the deliveries, for the app and for the server in front of it.
        state: what the health routes say of this process.
    """

    pod_id: PodId
    app: ASGIApp
    intake: Intake
    max_body_bytes: int
    max_connections: int
    state: PodState
    journal: GroupCommit[Delivery, bool]
    dispatcher: Dispatcher
    pruner: Leader
    sweeper: Repeater
    presence: Repeater
    sampler: Sampler
    renewer: Repeater
    budget: SharedBudget | None
    listener: Listener | None
    valkey: ValkeyRoom | None
    drain_delay_s: float
    drain_timeout_s: float

    async def run(self, listener: socket.socket, stop: anyio.Event) -> None:
        """Serve on the socket and work on the journal until `stop`, then come to an orderly end.

        Requests in hand are finished while the work in hand is; what takes longer is handed back to the other pods.
        """
        server = HttpServer(
            self.app, intake=self.intake, max_body_bytes=self.max_body_bytes, max_connections=self.max_connections
        )
        async with anyio.create_task_group() as background:
            background.start_soon(self.journal.run, name="journal")
            background.start_soon(self.pruner.run, name="prune")
            background.start_soon(self.sweeper.run, name="questions")
            background.start_soon(self.presence.run, name="presence")
            background.start_soon(self.sampler.run, name="metrics")
            background.start_soon(self.renewer.run, name="tokens")
            if self.budget is not None:
                background.start_soon(self.budget.run, name="budget")
            if self.listener is not None:
                background.start_soon(self.listener.run, name="listen")
            if self.valkey is not None:
                background.start_soon(self.valkey.run, name="valkey")
            async with anyio.create_task_group() as work:
                work.start_soon(lambda: self.dispatcher.run(drain_timeout_s=self.drain_timeout_s), name="dispatch")
                work.start_soon(server.run_on, listener, name="http")
                await server.listening.wait()
                _log.info("pod.listening", url=render_url(listener), pod_id=self.pod_id)
                await stop.wait()
                self.state.is_draining = True
                await anyio.sleep(self.drain_delay_s)
                self.dispatcher.stop()
                server.stop()
            if self.valkey is not None:
                await self.valkey.flush()
            background.cancel_scope.cancel()


@asynccontextmanager
async def open_pod(settings: Settings, *, figures: Path | None = None) -> AsyncIterator[Pod]:
    """Yield one process of the service on a migrated database; nothing is served before `Pod.run`.

    Args:
        settings: all of them.
        figures: the directory in which several processes of one service share their metrics.

    Raises:
        SettingsError: the key file, or the agent that was chosen, cannot be used; or another process has the database.
        MigrationFailedError, SchemaOutdatedError, StoreUnavailableError: the database is not what it has to be.
    """
    clock = SystemClock()
    pod_id = PodId(f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}")
    sealer = make_sealer(settings)
    values = Values(now_s=clock.now_s)
    tls = httpx2.create_ssl_context(trust_env=False)  # one for all: each reads the certificates of all authorities
    async with AsyncExitStack() as stack:
        exporter = stack.enter_context(open_exporter(values, pod_id, figures, database=settings.database.dialect))
        tracing = await stack.enter_async_context(open_tracing(settings, pod_id))
        note_call = tracing.trace_calls(make_call_meter(values))
        database = await stack.enter_async_context(_open_migrated(settings))
        hears_of_changes = settings.listen_dsn is not None
        # Without a listener a change elsewhere shows when the entry's time is over, so that it is a short one.
        ttl_s = settings.directory_ttl_s if hears_of_changes else min(settings.directory_ttl_s, settings.poll_s)
        # Nor is anything believed, before Valkey tells of changes, where that is to.
        is_listening = not hears_of_changes and settings.valkey is None
        stores = make_stores(
            database,
            sealer,
            pod_id,
            clock=clock,
            announce=lambda change: _tell(change, caches, valkey),
            tell_work=lambda: None if valkey is None else valkey.announcer.tell_work(),
            keys_ttl_s=ttl_s,
            max_keys=settings.directory_max_entries,
            is_listening=is_listening,
        )
        valkey = await stack.enter_async_context(
            open_valkey_room(settings, buckets=stores.buckets, store=stores.connections, sealer=sealer, clock=clock)
        )
        journal = WatchedJournal(stores.journal, values)
        presence, presence_duty = await stack.enter_async_context(open_presence(stores.pods, pod_id))
        lanes = await journal.take_back()
        if lanes:
            _log.info("journal.taken_back", lanes=lanes)
        directory = CachedDirectory(
            store=stores.connections,
            clock=clock,
            ttl_s=ttl_s,
            max_entries=settings.directory_max_entries,
            is_listening=is_listening,
            second=None if valkey is None else valkey.second,
        )

        budget = None
        if settings.slack_budget:
            budget = SharedBudget(
                buckets=valkey.buckets if valkey else stores.buckets, clock=clock, factor=settings.slack_budget_factor
            )
        slack = await stack.enter_async_context(
            open_slack_apis(
                base_url=settings.slack_api_url,
                budget=FreeBudget() if budget is None else WatchedBudget(budget, values),
                note_call=note_call,
            )
        )
        mesh = MeshTransport(http=await stack.enter_async_context(_open_http(settings, tls)))
        names = CachedNames(slack=slack, clock=clock)
        caches = Caches(directory=directory, names=names, data_keys=stores.data_keys.cache)
        announcer = SqlNameAnnouncer(database, tell=lambda change: _tell_names(change, caches, valkey))
        agents = make_agents(
            settings,
            http=await stack.enter_async_context(_open_http(settings, tls)),
            mesh=mesh,
            refusals=stores.connections,
        )
        files = make_attachments(
            settings,
            store=stores.temp_files,
            sealer=sealer,
            slack=slack,
            http=await stack.enter_async_context(_open_http(settings, tls)),
            clock=clock,
        )
        surfaces = make_surfaces(
            slack=slack,
            agents=agents,
            default_agent=settings.default_agent,
            names=names,
            memory=stores.assistant,
            stops=stores.turns,
            threads=stores.turns,
            clock=clock,
        )
        bot = make_bot(
            settings,
            turns=stores.turns,
            transcript=stores.transcript,
            buckets=stores.buckets,
            slack=slack,
            agents=agents,
            names=names,
            attachments=files.attachments,
            languages=surfaces.languages,
            titles=surfaces.titles,
            clock=clock,
            pod_id=pod_id,
            meter=tracing.trace_turns(CountedTurns(values)),
        )
        group_commit = GroupCommit(
            tracing.trace_append(journal.append),
            limits=CommitLimits(
                max_batch=JOURNAL_BATCH,
                max_batch_weight=JOURNAL_BATCH_BYTES,
                max_waiting=settings.max_waiting_deliveries,
                max_waiting_weight=JOURNAL_WAITING_BYTES,
                timeout_s=JOURNAL_TIMEOUT_S,
                patience_s=JOURNAL_TIMEOUT_S,
            ),
            weigh=lambda delivery: len(delivery.payload),
        )
        verifier = Verifier(directory=directory, clock=clock, shared_secret=settings.slack_signing_secret)
        interactivity = await stack.enter_async_context(
            open_interactivity(
                database=database,
                sealer=sealer,
                directory=directory,
                slack=slack,
                slack_api_url=settings.slack_api_url,
                languages=surfaces.languages,
                ratings=WatchedRatings(stores.ratings, values),
                note_call=note_call,
                verifier=verifier,
                journal=journal,
                submit=group_commit.submit,
                wake=lambda: dispatcher.wake(),  # noqa: PLW0108 - made below
                clock=clock,
                default_agent=settings.default_agent,
                keep_questions_s=settings.retention_turns_days * S_PER_DAY,
            )
        )
        triggers = await stack.enter_async_context(
            open_triggers(
                settings,
                triggers=stores.triggers,
                connections=stores.connections,
                turns=stores.turns,
                slack=slack,
                webs=slack,
                names=names,
                tls=tls,
                clock=clock,
            )
        )
        dispatcher = Dispatcher(
            journal=journal,
            directory=directory,
            handler=tracing.trace_handler(
                HandlerByType(
                    default=bot,
                    by_type={
                        **interactivity.handlers,
                        **surfaces.handlers,
                        **{kind: WatchedTriggers(each, values) for kind, each in triggers.handlers.items()},
                        **dict.fromkeys(NAME_EVENTS, NameFeed(announcer=announcer)),
                        **dict.fromkeys(
                            REVOCATION_EVENTS,
                            RevocationHandler(
                                directory=directory, store=stores.installations, slack=slack, audit=stores.audit
                            ),
                        ),
                    },
                )
            ),
            types_when_disabled=REVOCATION_EVENTS,
            pod_id=pod_id,
            clock=clock,
            limits=_make_work_limits(settings),
            retries=RetryLimits(
                max_attempts=settings.retry_max_attempts,
                max_age_s=settings.retry_max_age_s,
                base_s=settings.retry_base_s,
            ),
        )
        listener = _subscribe(settings, _make_subscribers(values, caches, dispatcher, budget, valkey), valkey)
        receiver = Receiver(
            directory=directory,
            verifier=verifier,
            journal=group_commit.submit,
            wake=dispatcher.wake,
            triage=_triage,
            plan=plan,
        )
        intake = Intake(receiver, instance=presence.instance, note=make_door_meter(values, catalogue.EVENTS))
        services = Services(
            configurator=Configurator(
                store=stores.connections,
                saver=make_saver(settings, store=stores.connections, slack=slack, clock=clock),
                mesh_api=MeshClient(transport=mesh),
                tool_names={tool.name for tool in TOOLS},
            ),
            public_url=settings.public_url,
            directory=directory,
            slack=slack,
            names=names,
            audit=stores.audit,
            threads=stores.turns,
            clock=clock,
            triggers=triggers.of_mesh,
            questions=interactivity.questions,
            announcer=announcer,
        )
        mcp = McpEndpoint(
            services=services,
            guard=make_guard(
                settings,
                tokens=MeshTokenVerifier(
                    transport=mesh,
                    clock=clock,
                    jwt_secret=settings.mesh_jwt_secret,
                    allowed_urls=settings.mesh_allowed_urls,
                ),
                keys=stores.keys,
                http=await stack.enter_async_context(_open_http(settings, tls)),
                clock=clock,
            ),
        )
        await stack.enter_async_context(mcp.running())
        state = PodState(
            failing_duties=lambda: [
                *(["journal"] if group_commit.is_failing else []),
                *(["dispatch"] if dispatcher.is_failing else []),
                *(["questions"] if interactivity.sweeper.is_failing else []),
            ]
        )
        store_health = SqlStoreHealth(database, listener=listener)
        sampler = Sampler(
            values=values,
            exporter=exporter,
            sources=Sources(
                directory=directory.get_stats,
                pool=database.get_pool_stats,
                waiting=lambda: group_commit.waiting,
                lanes_held=lambda: dispatcher.lanes_held,
                is_listening=lambda: store_health.listening,
                is_draining=lambda: state.is_draining,
                failing_duties=state.failing_duties,
            ),
            journal=journal,
            load_last_backup_ms=lambda: load_last_backup_ms(database),
            monotonic_s=clock.monotonic_s,
        )
        health = Health(
            store=store_health,
            connections=stores.connections,
            journal=journal,
            turns=stores.turns,
            ratings=stores.ratings,
            directory=directory,
            pod=state,
            clock=clock,
            seals=sealer.seals,
            valkey=None if valkey is None else valkey.describe,
        )
        yield Pod(
            pod_id=pod_id,
            app=BoundedBodies(
                Webhook(
                    intake,
                    rest=Starlette(
                        routes=[
                            *health.routes(),
                            *MetricsPage(
                                sampler.collect, content_type=CONTENT_TYPE, token=settings.metrics_token
                            ).routes(),
                            *files.pages.routes(),
                            *mcp.routes(),
                        ]
                    ),
                    max_body_bytes=settings.max_body_bytes,
                    forms=FormIntake(interactivity.receiver, note=make_door_meter(values, catalogue.FORMS)),
                ),
                max_bytes=READ_BYTES,
            ),
            intake=intake,
            max_body_bytes=settings.max_body_bytes,
            max_connections=settings.max_connections,
            state=state,
            journal=group_commit,
            dispatcher=dispatcher,
            pruner=Leader(
                "prune",
                partial(prune, (*list_deletions(settings, stores), interactivity.prune)),
                interval_s=PRUNE_INTERVAL_S,
                leadership=SqlLeadership(database, clock=clock),
                pod_id=pod_id,
            ),
            sweeper=interactivity.sweeper,
            presence=presence_duty,
            sampler=sampler,
            renewer=Repeater(
                "tokens",
                TokenRenewer(
                    store=stores.tokens,
                    slack=slack.open_tokens(
                        client_id=settings.slack_client_id, client_secret=settings.slack_client_secret
                    ),
                    clock=clock,
                    ahead_s=settings.token_renew_ahead_s,
                ).renew_due,
                interval_s=RENEW_INTERVAL_S,
            ),
            budget=budget,
            listener=listener,
            valkey=valkey,
            drain_delay_s=settings.drain_delay_s,
            drain_timeout_s=settings.drain_timeout_s,
        )


@asynccontextmanager
async def _open_migrated(settings: Settings) -> AsyncIterator[Database]:
    """Yield the database on the newest schema; a SQLite file is this process's alone."""
    held = nullcontext() if settings.database.sqlite_path is None else hold_database(settings.database.sqlite_path)
    with held:
        async with open_store(settings) as database:
            for name in await migrate(settings, database):
                _log.info("migration.applied", migration=name)
            yield database


def _tell(change: ConnectionChange, caches: Caches, valkey: ValkeyRoom | None) -> None:
    """Tell this process of a committed change, and the others beside the database."""
    caches.hear_change(change)
    if valkey is not None:
        valkey.announcer.tell_change(change)


def _tell_names(change: NameChange, caches: Caches, valkey: ValkeyRoom | None) -> None:
    """Tell this process what is not to be believed, and the others beside the database."""
    caches.hear_names(change)
    if valkey is not None:
        valkey.announcer.tell_names(change)


def _triage(connection: Connection, event: EventCallback) -> str | None:
    """Return why there is nothing to do for an event, when that is plain at once."""
    if event.event_type in NAME_EVENTS or event.event_type in REVOCATION_EVENTS:
        return None
    if event.event_type in SURFACE_EVENTS:
        return find_reason_to_skip_surface(connection, event)
    reason = find_reason_to_skip(connection, event)
    if reason in _HEARD_ALL_THE_SAME and may_be_remembered(connection, event):
        return None
    return reason


def _open_http(settings: Settings, tls: ssl.SSLContext) -> httpx2.AsyncClient:
    """Return sockets for one kind of server.

    An answer may hold one for its whole length: there is one for each lane, and a few for what is short.
    """
    limits = httpx2.Limits(max_connections=settings.lanes_per_pod + 16, max_keepalive_connections=16)
    return httpx2.AsyncClient(verify=tls, trust_env=False, limits=limits)


def _make_work_limits(settings: Settings) -> WorkLimits:
    return WorkLimits(
        lanes_per_pod=settings.lanes_per_pod,
        lanes_per_connection=settings.lanes_per_connection,
        lease_s=settings.lease_s,
        lease_renew_s=settings.lease_renew_s,
        poll_s=settings.poll_s,
    )


def _make_subscribers(
    values: Values, caches: Caches, dispatcher: Dispatcher, budget: SharedBudget | None, valkey: ValkeyRoom | None
) -> Subscribers:
    subscribers = Subscribers(
        on_change=caches.hear_change,
        on_work=dispatcher.wake_from_outside,
        on_listening=caches.hear_listening,
        on_names=caches.hear_names,
        on_lag=values.histogram(catalogue.INVALIDATION_LAG_SECONDS).observe,
        on_clock=values.gauge(catalogue.DATABASE_CLOCK_OFFSET_SECONDS).set,
    )
    if budget is not None:
        subscribers = replace(subscribers, on_block=budget.hear)
    if valkey is not None and valkey.second is not None:
        subscribers = replace(subscribers, on_point=valkey.second.listen_from)
    return subscribers


def _subscribe(settings: Settings, subscribers: Subscribers, valkey: ValkeyRoom | None) -> Listener | None:
    """Let these be told of what the database announces, by the listener that comes back, and of what Valkey does."""
    if valkey is not None:
        valkey.subscribe(subscribers)
    if settings.listen_dsn is None:
        return None
    return Listener(settings.listen_dsn, subscribers=subscribers, connect_timeout_s=settings.database_connect_timeout_s)
