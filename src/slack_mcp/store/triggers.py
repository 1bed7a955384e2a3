"""Triggers in the database: their secrets sealed, every change announced as a change of their connection."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Trigger, TriggerKind
from slack_mcp.core.secret import Secret
from slack_mcp.sealing import Sealer

SECRET_COLUMN: Final = "trigger_secret"


def open_trigger(sealer: Sealer, row: Mapping[Any, Any]) -> Trigger:
    """Return the trigger of a row; raises SealingError."""
    return Trigger(
        trigger_id=row["trigger_id"],
        kind=TriggerKind(row["kind"]),
        event_type=row["event_type"],
        url=row["url"],
        secret=Secret(sealer.open(ConnectionId(row["connection_id"]), SECRET_COLUMN, row["secret"])),
        filters=msgspec.json.decode(row["filters"], type=dict[str, str]),
        refused_at_ms=row["refused_at_ms"],
    )
