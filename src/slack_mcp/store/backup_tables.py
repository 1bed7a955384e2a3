"""Which tables a backup has, which it leaves out and why, and what of the old life must not reach into the new one.

A table that comes with a migration is backed up without another word, by its place in `schema.metadata`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, MetaData, Table, Text

from slack_mcp.core.rows import ColumnKind, ColumnShape, TableShape
from slack_mcp.store import schema

LEFT_OUT: Final[Mapping[str, str]] = {
    schema.buckets.name: "Slack's limits fill up again within a minute, whatever stood there.",
    schema.temp_files.name: "A recording waits for minutes to be fetched; the turn that needs it puts it there again.",
    schema.pods.name: "Pods note themselves; those of before are not there any more.",
    schema.duties.name: "A lease of seconds; the next pod takes the duty.",
    schema.backups.name: "It tells of this database's backups; one that is restored has had none yet.",
}

# A process of the old life may still be running, with claims that the backup knows nothing of: its fences and numbers
# must be below all that the new life gives.
FENCE_STRIDE: Final = 1_000_000
SEQUENCE_STRIDE: Final = 1_000_000

# Lanes are free, and their next holder looks into Slack first: what was begun since the backup may have been answered.
OF_THE_OLD_LIFE: Final[Mapping[Table, Mapping[str, Any]]] = {
    schema.lanes: {"holder": None, "lease_until_ms": None, "fence": schema.lanes.c.fence + FENCE_STRIDE},
}

_KINDS: Final = (
    (Text, ColumnKind.TEXT),
    (Boolean, ColumnKind.BOOLEAN),
    (Integer, ColumnKind.INTEGER),  # the larger and the smaller ones are kinds of it
    (Float, ColumnKind.REAL),
    (LargeBinary, ColumnKind.BYTES),
)


def list_shapes(metadata: MetaData = schema.metadata) -> Sequence[TableShape]:
    """Return the tables that a backup has, those that others refer to first."""
    return [render_shape(table) for table in metadata.sorted_tables if table.name not in LEFT_OUT]


def render_shape(table: Table) -> TableShape:
    """Return a table without anything of SQL."""
    return TableShape(
        name=str(table.name),  # SQLAlchemy has a kind of text of its own
        columns=tuple(ColumnShape(name=str(column.name), kind=_find_kind(column)) for column in table.columns),
    )


def list_numbered(metadata: MetaData = schema.metadata) -> Mapping[str, str]:
    """Return the column that the database numbers by itself, for each table that has one and is backed up."""
    return {
        str(table.name): str(column.name)
        for table in metadata.sorted_tables
        if table.name not in LEFT_OUT
        and (column := table.autoincrement_column) is not None
        # Text keys number nothing; a key of two integers is not numbered either.
        and isinstance(column.type, Integer)
        and column.autoincrement is True
    }


def _find_kind(column: Column[Any]) -> ColumnKind:
    """Return what a column holds; raises TypeError for a type that no backup has had yet."""
    for kind, found in _KINDS:
        if isinstance(column.type, kind):
            return found
    message = f"{column.table.name}.{column.name} has a type that backups do not know: add it to the table of kinds"
    raise TypeError(message)
