"""What a backup says of itself: the head before its data, and the manifest after them."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from slack_mcp.core.rows import TableSummary


class BackupFormat(StrEnum):
    """What the data are: rows for either kind of database, or what a database's own tool wrote for its own kind."""

    PORTABLE = "portable"
    PG_DUMP = "pg_dump"
    SQLITE = "sqlite"


class BackupHead(msgspec.Struct, frozen=True, kw_only=True):
    """Stands in clear text before the data, bound to each piece of them.

    Attributes:
        layout: the number of the layout of the file.
        backup_id: of this backup alone; the file's name has it.
        started_at_ms: unix milliseconds.
        version: of the service that made it.
        revision: the newest migration of the database.
        dialect: the kind of database that it was made of.
        key_id: the key of the ring that it is sealed with; None: it is not sealed.
        salt: what the key of this one backup is made with, in hexadecimal.
    """

    layout: int
    backup_id: str
    started_at_ms: int
    version: str
    revision: str
    dialect: str
    format: BackupFormat
    key_id: str | None
    salt: str


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """Stands after the data, once inside of the seal and once, for lists, outside of it.

    Attributes:
        finished_at_ms: unix milliseconds, when the last row was read.
        tables: what each table comes to.
        sequences: the last number that each numbered table has given.
        sealed_values: how many values are sealed with each key; to read them takes these keys.
        clear_bytes: the size before compression.
    """

    finished_at_ms: int
    tables: Mapping[str, TableSummary]
    sequences: Mapping[str, int]
    sealed_values: Mapping[str, int]
    clear_bytes: int

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(summary.rows for summary in self.tables.values())
