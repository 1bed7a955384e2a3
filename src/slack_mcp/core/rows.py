"""Rows of a table as every kind of database gives them: one encoding, and one digest that no order changes.

A digest is the sum of the SHA-256 of every row, so that it needs no sorting: two databases sort texts differently. It
finds what was lost or changed by accident; against somebody who means it stands the seal around the whole backup.
"""

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

_MODULUS: Final = 2**256

Row = Sequence[Any]


class ColumnKind(StrEnum):
    """What a column holds, whatever a database calls it."""

    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"
    BOOLEAN = "boolean"
    BYTES = "bytes"


class ColumnShape(msgspec.Struct, frozen=True, array_like=True):
    """A column: its name, and what it holds."""

    name: str
    kind: ColumnKind


class TableShape(msgspec.Struct, frozen=True):
    """A table: its name, and its columns in the order in which a row has them."""

    name: str
    columns: tuple[ColumnShape, ...]

    @property
    def column_names(self) -> list[str]:
        """The columns' names, in order."""
        return [column.name for column in self.columns]


class TableSummary(msgspec.Struct, frozen=True):
    """What a whole table comes to: so many rows, with this digest in hexadecimal."""

    rows: int
    digest: str


class RowEncoder:
    """Encodes rows of one table; a database that has no booleans of its own gives the same bytes."""

    def __init__(self, shape: TableShape) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        casts = {ColumnKind.BOOLEAN: bool, ColumnKind.REAL: float}
        self._casts = [
            (index, casts[column.kind]) for index, column in enumerate(shape.columns) if column.kind in casts
        ]

    def encode(self, rows: Iterable[Row]) -> list[bytes]:
        """Return the bytes of each row."""
        encode = self._encoder.encode
        if not self._casts:
            return [encode(tuple(row)) for row in rows]
        return [encode(self._cast(row)) for row in rows]

    def _cast(self, row: Row) -> list[Any]:
        values = list(row)
        for index, cast in self._casts:
            if values[index] is not None:
                values[index] = cast(values[index])
        return values


class TableDigest:
    """Adds up the rows of one table."""

    def __init__(self, shape: TableShape) -> None:
        self._seed = hashlib.sha256(msgspec.msgpack.encode(shape))
        self._sum = 0
        self.rows = 0

    def add(self, encoded: Iterable[bytes]) -> None:
        """Add rows, as `RowEncoder` gives them."""
        for row in encoded:
            hasher = self._seed.copy()
            hasher.update(row)
            self._sum += int.from_bytes(hasher.digest())
            self.rows += 1
        self._sum %= _MODULUS

    def summarize(self) -> TableSummary:
        """Return what the rows so far come to."""
        return TableSummary(rows=self.rows, digest=f"{self._sum:064x}")
