"""What the service keeps of a connection, dropped and read again."""

from typing import Final

from pydantic import Field

from slack_mcp.core.model import Access
from slack_mcp.ports.names import NameChange, NameKind
from slack_mcp.tools.call import Call
from slack_mcp.tools.tool import Arguments, Result, Tool


class SyncArguments(Arguments):
    """No arguments that matter."""

    force: bool | None = Field(default=None, description="Not used: it is always done.")


class CacheCounters(Result):
    """Of this process, since its start."""

    hits: int
    misses: int
    loads: int
    invalidations: int


class SyncResult(Result):
    """What was done."""

    synced: int = Field(description="Configurations that were read again.")
    message: str
    version: int = Field(description="Of the configuration; grows with every change.")
    cache: CacheCounters


async def _sync(call: Call, _arguments: SyncArguments) -> SyncResult:
    connection_id = call.connection.connection_id
    if call.services.announcer is not None:
        await call.services.announcer.announce(NameChange(connection_id=connection_id, kind=NameKind.CONNECTION))
    fresh = await call.services.directory.reload(connection_id)
    call.targets.append(connection_id)
    stats = call.services.directory.get_stats()
    return SyncResult(
        synced=1,
        message="The connection's configuration was read again; its names are, when they are next needed.",
        version=fresh.version,
        cache=CacheCounters(hits=stats.hits, misses=stats.misses, loads=stats.loads, invalidations=stats.invalidations),
    )


TOOLS: Final = (
    Tool(
        name="SYNC_CONFIG_CACHE",
        title="Read the configuration again",
        description=(
            "Drops what is cached of this connection (configuration, names of channels and people) on every server, "
            "and reads it again. Rarely needed: changes are heard of."
        ),
        arguments=SyncArguments,
        result=SyncResult,
        run=_sync,
        access=Access.ADMIN,
        is_idempotent=True,
        is_open_world=False,
    ),
)
