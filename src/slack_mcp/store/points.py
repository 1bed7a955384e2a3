"""SQL that tells which moment of the server a reading is from, on PostgreSQL.

Source: https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT, in the spelling that
PostgreSQL 12 knows too.
"""

from typing import Final

SERVER: Final = "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint"
"""A server that is restarted, or takes over from another, has a start of its own."""

SEEN: Final = "txid_snapshot_xmin(txid_current_snapshot())"
"""All transactions with lower numbers have ended, and the statement sees what they did."""
