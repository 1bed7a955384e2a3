"""A pod's way to the Valkey of a test, and that server's time."""

from contextlib import AbstractAsyncContextManager

from slack_mcp.core.clock import SystemClock
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.budget import LeaseRequest
from slack_mcp.valkey.buckets import ValkeyBuckets
from slack_mcp.valkey.client import Valkey, open_valkey
from slack_mcp.valkey.url import parse_valkey_url

PREFIX = "test"

_AGE = """
local by = tonumber(ARGV[2])
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':bucket:*')) do
  for _, field in ipairs({'since', 'blocked'}) do
    local at = tonumber(redis.call('HGET', key, field))
    redis.call('HSET', key, field, string.format('%.17g', at - by))
  end
end
local t = redis.call('TIME')
local began = tonumber(redis.call('GET', ARGV[1] .. ':buckets-began')) or (t[1] * 1000 + t[2] / 1000)
redis.call('SET', ARGV[1] .. ':buckets-began', string.format('%.17g', began - by))
return 1
"""


def open_valkey_at(url: str) -> AbstractAsyncContextManager[Valkey]:
    """Return the way to a server, to be entered."""
    return open_valkey(parse_valkey_url(url), clock=SystemClock(), prefix=PREFIX)


async def age_buckets(valkey: Valkey, seconds: float) -> None:
    """Let every bucket, and the beginning, become older; the server's own clock cannot be moved."""
    # Once it knows the script, it does not begin anew with the next request.
    await ValkeyBuckets(valkey).lease(
        [LeaseRequest(connection_id=ConnectionId("-"), bucket="-", capacity=1.0, per_s=1.0, wanted=0)]
    )
    await valkey.run(lambda redis: redis.eval(_AGE, 0, valkey.prefix, repr(1000 * seconds)))
