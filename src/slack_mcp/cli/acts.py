"""What the commands change stands in the audit: who, what and where, written before it is done."""

import os
import pwd
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import typer

from slack_mcp.core.errors import SlackMcpError, StoreError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.audit import WHOLE_SERVICE, AuditLog

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

OK: Final = "ok"
FAILED: Final = "internal_error"
INTERRUPTED: Final = "interrupted"
MAX_TARGET_CHARS: Final = 500
FINISH_TIMEOUT_S: Final = 5.0


@dataclass(slots=True, kw_only=True)
class Act:
    """One change that is being made.

    Attributes:
        target: what is changed, as ids and names of fields; may be given or completed while it goes on. Never a secret.
    """

    target: str | None


@asynccontextmanager
async def audited(
    audit: AuditLog, command: str, *, connection_id: ConnectionId = WHOLE_SERVICE, target: str | None = None
) -> AsyncIterator[Act]:
    """Yield an act that was written down as begun, and write down how it ended.

        async with audited(admin.audit, "keys revoke", connection_id=key.connection_id, target=key.key_id):
            await admin.keys.revoke_key(…)

    What cannot be written down is not done. An error that the work ends with is raised on; its code is the result.

    Args:
        audit: keeps it.
        command: as it is typed behind `slack-mcp`, without its arguments.
        connection_id: whose data it changes; left out for what concerns the whole service.
        target: what is changed in it.
    """
    act = Act(target=target)
    entry_id = await audit.begin(connection_id, actor=find_actor(), tool=command)
    try:
        yield act
    except BaseException as error:
        await _finish(audit, connection_id, entry_id, target=act.target, result=_find_result(error))
        raise
    await _finish(audit, connection_id, entry_id, target=act.target, result=OK)


def name_changes(before: "DataclassInstance", after: "DataclassInstance") -> str | None:
    """Return the names of the fields in which two records of one class differ, and nothing of what is in them."""
    names = (field.name for field in fields(before))
    return ",".join(name for name in names if getattr(before, name) != getattr(after, name)) or None


def find_actor() -> str:
    """Return who runs the command, such as `cli:ann@host-1`; a user without a name is shown as a number."""
    user_id = os.getuid()
    try:
        name = pwd.getpwuid(user_id).pw_name
    except KeyError:
        name = str(user_id)
    return f"cli:{name}@{socket.gethostname()}"


async def _finish(
    audit: AuditLog, connection_id: ConnectionId, entry_id: int, *, target: str | None, result: str
) -> None:
    """Write how it ended, also when the command is being interrupted."""
    import anyio

    shown = None if target is None else target[:MAX_TARGET_CHARS]
    try:
        with anyio.CancelScope(shield=True), anyio.fail_after(FINISH_TIMEOUT_S):
            await audit.finish(connection_id, entry_id, target=shown, result=result)
    except (StoreError, TimeoutError):
        # What was done is done, and what the command says of it is worth more than this.
        typer.echo(f"Entry {entry_id} of the audit stays `begun`: it ended with {result}.", err=True)


def _find_result(error: BaseException) -> str:
    """Return the code of an error."""
    if isinstance(error, SlackMcpError):
        return error.code
    return FAILED if isinstance(error, Exception) else INTERRUPTED
