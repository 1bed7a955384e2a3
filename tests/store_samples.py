"""Connections, turns and held lanes for tests of the store."""

from sqlalchemy import update
from stepping_clock import SteppingClock

from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, PodId, TeamId, Ts, UserId
from slack_mcp.core.model import (
    AgentBackend,
    ChannelOverride,
    Claim,
    Connection,
    ConnectionSettings,
    ContextSettings,
    Delivery,
    Distribution,
    Speaking,
    SuggestedPrompt,
    Turn,
    TurnState,
)
from slack_mcp.core.secret import Secret
from slack_mcp.sealing import Sealer
from slack_mcp.store.database import Database
from slack_mcp.store.open import open_journal
from slack_mcp.store.schema import lanes

CHANNEL, ROOT = ChannelId("C1"), Ts("1700000000.000100")


def make_connection(connection_id: str = "conn_1", **changes: object) -> Connection:
    """Return a connection with something in every field; each secret tells whose it is and which."""
    values: dict[str, object] = {
        "connection_id": ConnectionId(connection_id),
        "organization_id": "org_1",
        "mesh_url": "https://mesh.example",
        "bot_token": Secret(f"canary-bot_token-{connection_id}"),
        "signing_secret": Secret(f"canary-signing_secret-{connection_id}"),
        "mesh_token": Secret(f"canary-mesh_token-{connection_id}"),
        "mesh_api_key": Secret(f"canary-mesh_api_key-{connection_id}"),
        "previous_signing_secret": Secret(f"canary-previous_signing_secret-{connection_id}"),
        "user_token": Secret(f"canary-user_token-{connection_id}"),
        "refresh_token": Secret(f"canary-refresh_token-{connection_id}"),
        "client_secret": Secret(f"canary-client_secret-{connection_id}"),
        "client_id": "123.456",
        "token_expires_at_s": 1_800_000_100.5,
        "bot_scopes": frozenset({"chat:write", "users:read"}),
        "user_scopes": frozenset({"search:read"}),
        "previous_signing_secret_until_s": 1_800_000_000.25,
        "mesh_api_key_id": "key_1",
        "organization_slug": "acme",
        "model_provider_id": "provider_1",
        "model_id": "model_1",
        "agent_id": "vir_1",
        "system_prompt": "Be kind.",
        "team_id": TeamId("T1"),
        "team_name": "Acme",
        "bot_user_id": UserId("UBOT"),
        "bot_id": "B1",
        "api_app_id": "A1",
        "connection_name": "Support",
        "settings": ConnectionSettings(
            agent=AgentBackend.OPENAI,
            allowed_channels=(CHANNEL,),
            language="pt-BR",
            thread_timeout_min=3,
            speaking=Speaking(allowed_users=(UserId("UANN"),), allow_external=True, user_per_min=0),
            context=ContextSettings(recent_kept=3),
            channels={CHANNEL: ChannelOverride(suggested_prompts=(SuggestedPrompt(title="Plan", message="What?"),))},
            distribution=Distribution.INTERNAL,
        ),
        "disabled": True,
        "mesh_refused_since_ms": 1_799_999_999_123,
    }
    return Connection(**{**values, **changes})  # type: ignore[arg-type]


def make_turn(connection_id: str = "conn_1", **changes: object) -> Turn:
    """Return a turn that has just been started."""
    values: dict[str, object] = {
        "connection_id": ConnectionId(connection_id),
        "channel_id": CHANNEL,
        "message_ts": ROOT,
        "thread_ts": ROOT,
        "event_id": EventId("Ev1"),
        "user_id": UserId("UANN"),
        "state": TurnState.STARTED,
        "question": f"canary-question-{connection_id}",
    }
    return Turn(**{**values, **changes})  # type: ignore[arg-type]


async def claim_lane(database: Database, connection_id: str = "conn_1", *, event_id: str = "Ev1") -> Claim:
    """Return a claim on a lane with one event."""
    journal = open_journal(database, Sealer(None), PodId("pod-a"), clock=SteppingClock())
    delivery = Delivery(
        connection_id=ConnectionId(connection_id),
        event_id=EventId(event_id),
        event_time=1_800_000_000,
        lane=f"{CHANNEL}:{ROOT}",
        event_type="message",
        payload=b"{}",
    )
    await journal.append([delivery])
    claims = await journal.claim(
        PodId("pod-a"), max_lanes=10, lanes_per_connection=10, lease_s=3600, events_per_lane=10
    )
    return next(claim for claim in claims if claim.connection_id == connection_id)


async def lose_lane(database: Database, claim: Claim, *, holder: str | None = "pod-b") -> None:
    """Let another pod take the lane over, or (without a holder) the lane be given back."""
    values = {"holder": holder, "fence": claim.fence + (holder is not None)}
    async with database.transaction() as connection:
        await connection.execute(update(lanes).where(lanes.c.lane_id == claim.lane_id).values(values))
