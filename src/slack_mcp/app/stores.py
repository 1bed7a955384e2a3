"""Everything that a pod keeps in the database."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import PodId
from slack_mcp.core.model import ConnectionChange
from slack_mcp.inbox.prune import Deletion
from slack_mcp.ports.store import Journal
from slack_mcp.sealing import Sealer
from slack_mcp.settings import Settings
from slack_mcp.store.api_keys import SqlApiKeyStore
from slack_mcp.store.assistant import SqlAssistantMemory
from slack_mcp.store.audit import SqlAuditLog
from slack_mcp.store.buckets import SqlBuckets
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.data_keys import DEFAULT_MAX_ENTRIES, DEFAULT_TTL_S, DataKeys, get_data_keys
from slack_mcp.store.database import Database
from slack_mcp.store.installations import SqlInstallationStore
from slack_mcp.store.open import open_journal
from slack_mcp.store.pods import SqlPods
from slack_mcp.store.ratings import SqlRatings
from slack_mcp.store.temp_files import SqlTempFileStore
from slack_mcp.store.tokens import SqlTokenStore
from slack_mcp.store.transcript import SqlTranscript
from slack_mcp.store.triggers import SqlTriggerStore
from slack_mcp.store.turns import SqlTurnStore

S_PER_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The stores of one pod."""

    data_keys: DataKeys
    connections: SqlConnectionStore
    installations: SqlInstallationStore
    tokens: SqlTokenStore
    triggers: SqlTriggerStore
    journal: Journal
    turns: SqlTurnStore
    transcript: SqlTranscript
    buckets: SqlBuckets
    temp_files: SqlTempFileStore
    assistant: SqlAssistantMemory
    ratings: SqlRatings
    audit: SqlAuditLog
    keys: SqlApiKeyStore
    pods: SqlPods


def make_stores(
    database: Database,
    sealer: Sealer,
    pod_id: PodId,
    *,
    clock: Clock,
    announce: Callable[[ConnectionChange], None],
    tell_work: Callable[[], None] = lambda: None,
    keys_ttl_s: float = DEFAULT_TTL_S,
    max_keys: int = DEFAULT_MAX_ENTRIES,
    is_listening: bool = True,
) -> Stores:
    """Return the stores.

    Args:
        database: where everything is kept.
        sealer: seals it.
        pod_id: of this process.
        clock: dates it.
        announce: tells of a change to a connection, after its commit: this process, and the others beside the database.
        tell_work: wakes the other pods beside the database.
        keys_ttl_s: how long a connection's data key is believed.
        max_keys: how many are remembered.
        is_listening: False where nothing is believed before changes are heard.
    """
    return Stores(
        # Made first: the other stores share it.
        data_keys=get_data_keys(
            database, sealer, clock=clock, ttl_s=keys_ttl_s, max_entries=max_keys, is_listening=is_listening
        ),
        connections=SqlConnectionStore(database, sealer, clock=clock, announce=announce),
        tokens=SqlTokenStore(database, sealer, clock=clock, announce=announce),
        installations=SqlInstallationStore(database, sealer, clock=clock, announce=announce),
        triggers=SqlTriggerStore(database, sealer, clock=clock, announce=announce),
        journal=open_journal(database, sealer, pod_id, clock=clock, tell_work=tell_work),
        turns=SqlTurnStore(database, sealer, clock=clock),
        transcript=SqlTranscript(database, sealer, clock=clock),
        buckets=SqlBuckets(database, clock=clock),
        temp_files=SqlTempFileStore(database, sealer, clock=clock),
        assistant=SqlAssistantMemory(database, clock=clock),
        ratings=SqlRatings(database, clock=clock),
        audit=SqlAuditLog(database, clock=clock),
        keys=SqlApiKeyStore(database),
        pods=SqlPods(database, clock=clock),
    )


def list_deletions(settings: Settings, stores: Stores) -> Sequence[Deletion]:
    """Return what deletes each kind of rows that is kept for a time; connections that are gone are only disabled."""
    said_before_s = settings.retention_turns_days * S_PER_DAY
    done_before_s, dead_before_s = settings.retention_done_days * S_PER_DAY, settings.retention_dead_days * S_PER_DAY
    deletions: list[Deletion] = [
        # First, so that nothing is deleted that can be dropped; and all at once.
        lambda _limit: stores.journal.tend_weeks(done_before_s=done_before_s, dead_before_s=dead_before_s),
        lambda limit: stores.journal.delete_finished(
            done_before_s=done_before_s, dead_before_s=dead_before_s, limit=limit
        ),
        lambda limit: stores.turns.delete_turns(before_s=said_before_s, limit=limit),
        lambda limit: stores.transcript.delete_messages(before_s=said_before_s, limit=limit),
        lambda limit: stores.transcript.delete_threads(before_s=said_before_s, limit=limit),
        lambda limit: stores.ratings.delete_ratings(before_s=said_before_s, limit=limit),
        lambda limit: stores.temp_files.delete_expired(limit=limit),
        lambda limit: stores.buckets.delete_idle(before_s=S_PER_DAY, limit=limit),
        lambda limit: stores.audit.delete_entries(before_s=settings.retention_audit_days * S_PER_DAY, limit=limit),
    ]
    if settings.mesh_gone_days:
        # All at once: they are few, and nothing of them is deleted.
        deletions.append(
            lambda _limit: stores.connections.disable_gone(refused_for_s=settings.mesh_gone_days * S_PER_DAY)
        )
    return deletions
