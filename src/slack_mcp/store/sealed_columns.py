"""Every column that holds sealed values, and how it is told from a value what sealed it."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, ColumnElement, LargeBinary, Table, Text, case, func, literal, or_

from slack_mcp.store.schema import (
    answers,
    connections,
    data_keys,
    events,
    messages,
    questions,
    temp_files,
    threads,
    triggers,
    turns,
)
from slack_mcp.store.url import Dialect

V1: Final = "sealed:v1:"
V2: Final = "sealed:v2:"
V1_BYTES: Final = b"\x00sl\x01"
V2_BYTES: Final = b"\x00sl\x02"
DATA_KEY_ID_CHARS: Final = 16
# Where the key's id begins, counted from one as SQL does: behind the text's prefix, or the header and the length.
_AT: Final = len(V1) + 1
_AT_BYTES: Final = len(V1_BYTES) + 2


class Sealed(NamedTuple):
    """One table's columns, each with the name that its values are bound to."""

    table: Table
    columns: dict[str, str]
    rows_per_batch: int


SEALED: Final[Sequence[Sealed]] = (
    Sealed(
        connections,
        {
            name: name
            for name in (
                "bot_token",
                "signing_secret",
                "mesh_token",
                "mesh_api_key",
                "previous_signing_secret",
                "user_token",
                "refresh_token",
                "client_secret",
            )
        },
        100,
    ),
    Sealed(triggers, {"secret": "trigger_secret"}, 100),
    Sealed(turns, {"question": "question", "answer": "answer", "opening": "opening"}, 100),
    Sealed(messages, {"content": "message_content"}, 100),
    Sealed(threads, {"summary": "thread_summary"}, 100),
    Sealed(questions, {"content": "question_content"}, 100),
    Sealed(answers, {"answer": "question_answer"}, 100),
    Sealed(events, {"payload": "payload"}, 100),
    # Recordings, each of some megabytes.
    Sealed(temp_files, {"name": "temp_file_name", "content": "temp_file_content"}, 4),
)


def is_sealed_by_data_key(column: Column[Any]) -> ColumnElement[bool]:
    """Return whether a value is sealed with a data key; NULL is not."""
    is_bytes = isinstance(column.type, LargeBinary)
    prefix = V2_BYTES if is_bytes else V2
    kind = LargeBinary if is_bytes else Text
    return func.substr(column, 1, len(prefix), type_=kind) == literal(prefix, kind)


def may_be_left(sealed: Sealed, *, to_ring: bool) -> ColumnElement[bool]:
    """Return whether a row has a value to look at: one that no data key seals, or (to the ring) one that does."""
    columns = [sealed.table.c[name] for name in sealed.columns]
    if to_ring:
        return or_(*(is_sealed_by_data_key(column) for column in columns))
    return or_(*(column.is_not(None) & ~is_sealed_by_data_key(column) for column in columns))


def find_version(column: Column[Any]) -> ColumnElement[str]:
    """Return `v1` for what the ring sealed, `v2` for what a data key did, else `clear`."""
    is_bytes = isinstance(column.type, LargeBinary)
    kind = LargeBinary if is_bytes else Text
    v1, v2 = (V1_BYTES, V2_BYTES) if is_bytes else (V1, V2)
    head = func.substr(column, 1, len(v1), type_=kind)
    return case((head == literal(v1, kind), "v1"), (head == literal(v2, kind), "v2"), else_="clear")


def find_key_id(column: Column[Any], dialect: Dialect) -> ColumnElement[str]:
    """Return the id of the key that sealed a value of version 1; to be asked of no other."""
    if isinstance(column.type, LargeBinary):
        if dialect == "postgresql":
            length = func.get_byte(column, len(V1_BYTES))
            return func.encode(func.substr(column, _AT_BYTES, length), "escape", type_=Text)
        length = func.unicode(func.substr(column, _AT_BYTES - 1, 1).cast(Text))
        return func.substr(column, _AT_BYTES, length).cast(Text)
    if dialect == "postgresql":
        return func.split_part(column, ":", 3, type_=Text)
    rest = func.substr(column, _AT)
    return func.substr(rest, 1, func.instr(rest, ":") - 1, type_=Text)


def is_of_key(column: Column[Any], dialect: Dialect) -> ColumnElement[bool]:
    """Return whether a value of version 2 is sealed with the data key that its connection has; NULL where it has none.

    The table is joined with `data_keys`.
    """
    if not isinstance(column.type, LargeBinary):
        return func.substr(column, _AT, DATA_KEY_ID_CHARS, type_=Text) == data_keys.c.key_id
    part = func.substr(column, _AT_BYTES, DATA_KEY_ID_CHARS)
    held = func.encode(part, "escape", type_=Text) if dialect == "postgresql" else part.cast(Text)
    return held == data_keys.c.key_id
