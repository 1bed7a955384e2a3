"""Rows for every table that a backup has, however many, made of nothing but their numbers."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.rows import ColumnKind, ColumnShape, Row, TableShape
from slack_mcp.sealing import Sealer
from slack_mcp.store.backup_tables import list_numbered, list_shapes
from slack_mcp.store.database import open_database
from slack_mcp.store.migrate import Migrations
from slack_mcp.store.table_rows import open_table_rows
from slack_mcp.store.url import DatabaseUrl

BATCH: Final = 1_000
PAYLOAD_BYTES: Final = 700
SECRETS: Final = frozenset(
    {"bot_token", "signing_secret", "mesh_token", "mesh_api_key", "secret", "question", "content"}
)
STATES: Final = ("done", "done", "done", "skipped", "dead", "received")


async def fill(url: DatabaseUrl, sealer: Sealer, counts: Mapping[str, int], *, otherwise: int = 0) -> None:
    """Migrate a database and fill its tables.

    Args:
        url: the database, without rows.
        sealer: seals what is a secret.
        counts: rows by table.
        otherwise: rows of each table that is not named.
    """
    await Migrations(url).up()
    numbered = list_numbered()
    async with (
        open_database(url, pool_size=1, statement_timeout_s=None) as database,
        database.transaction() as connection,
    ):
        driver = (await connection.get_raw_connection()).driver_connection
        # The driver alone has begun nothing on PostgreSQL.
        await connection.exec_driver_sql("SELECT 1")
        rows = open_table_rows(url.dialect, driver)
        for shape in list_shapes():
            count = counts.get(shape.name, otherwise)
            for batch in make_rows(shape, sealer, count):
                await rows.write(shape, batch)
            if count and shape.name in numbered:
                await rows.set_sequence(shape.name, numbered[shape.name], count)


def make_rows(shape: TableShape, sealer: Sealer, count: int) -> Iterator[list[Row]]:
    """Yield rows in batches; the same number gives the same row, but for the seals."""
    makers = [_choose(column, sealer) for column in shape.columns]
    for start in range(1, count + 1, BATCH):
        yield [tuple(make(number) for make in makers) for number in range(start, min(start + BATCH, count + 1))]


def _choose(column: ColumnShape, sealer: Sealer) -> Callable[[int], Any]:
    """Return what makes the value of a column in the row of a number."""
    name = column.name
    now_ms = int(time.time() * 1000)
    if name == "payload":
        chance = random.Random(1)  # noqa: S311 - no secret
        clear = chance.randbytes(PAYLOAD_BYTES)
        return lambda number: sealer.seal_bytes(ConnectionId(f"conn_{number}"), name, clear)
    if name in SECRETS:
        return lambda number: sealer.seal(ConnectionId(f"conn_{number}"), name, f"canary-{name}-{number}")
    if name == "state":
        return lambda number: STATES[number % len(STATES)]
    if name.endswith("_at_ms"):
        return lambda number: now_ms - number % 1_000
    if name == "event_time":
        return lambda number: now_ms // 1_000 - number * 43_200 % (14 * 86_400)
    by_kind: dict[ColumnKind, Callable[[int], Any]] = {
        ColumnKind.TEXT: lambda number: f"{name}-{number}-ü",
        ColumnKind.INTEGER: lambda number: number % 30_000 if name in {"attempts", "retry_num"} else number,
        ColumnKind.REAL: lambda number: number + 0.5,
        ColumnKind.BOOLEAN: lambda number: number % 2 == 0,
        ColumnKind.BYTES: lambda number: number.to_bytes(8),
    }
    return by_kind[column.kind]
