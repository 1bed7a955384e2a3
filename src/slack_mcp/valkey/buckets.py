"""Token buckets in Valkey: one script for all requests of a moment, by the server's own clock.

A script runs alone, so that of those who lease at the same moment none gets what another has. What the server knows of
before its *beginning* counts for nothing: then all buckets are empty. It begins when it has lost the script, which it
does whenever it is started or another server takes its place; and it is made to begin by whoever comes back to it from
the database's buckets, since nobody here saw what was taken there.
"""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.budget import Lease, LeaseRequest
from slack_mcp.valkey.client import Valkey

_MS: Final = 1000
# A server may be started again between two commands, but hardly twice.
_ATTEMPTS: Final = 3

# Times are fractions of milliseconds. What is kept of a bucket: tokens, since when, blocked until when.
_NOW: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
"""

# A bucket that has had time to fill up since it was used last, or since the beginning, is as full as one that nobody
# has used: it need not be kept. `share_out` in `store/buckets.py` counts the same way.
_LEASE: Final = f"""{_NOW}
local began = tonumber(redis.call('GET', KEYS[1]))
if not began then
  began = now
  redis.call('SET', KEYS[1], string.format('%.17g', now))
end
local unit = tonumber(ARGV[1])
local answer = {{}}
for i = 2, #KEYS do
  local at = 2 + (i - 2) * 5
  local capacity, per_s = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local wanted, spare, kept = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local held = redis.call('HMGET', KEYS[i], 'tokens', 'since', 'blocked')
  local tokens, since, blocked = tonumber(held[1]) or 0, tonumber(held[2]) or began, tonumber(held[3]) or 0
  if since < began then tokens, since = 0, began end
  local available = math.min(capacity, tokens + math.max(0, now - since) * per_s / {_MS})
  local blocked_ms = math.max(0, blocked - now)
  local units = 0
  if blocked_ms == 0 then
    local first = math.min(wanted, math.floor(available / unit))
    units = first + math.min(spare, math.max(0, math.floor((available - kept) / unit) - first))
  end
  local left = available - units * unit
  redis.call('HSET', KEYS[i], 'tokens', string.format('%.17g', left), 'since', string.format('%.17g', now),
    'blocked', string.format('%.17g', blocked))
  local full_ms = math.max((capacity - left) / per_s * {_MS}, blocked_ms)
  redis.call('PEXPIRE', KEYS[i], string.format('%.0f', math.min(math.ceil(full_ms), 1e12) + 60000))
  answer[i - 1] = {{units, string.format('%.17g', left), string.format('%.17g', blocked_ms)}}
end
return answer
"""

# What Slack says is over is empty: what comes back while nobody may have it is enough to begin with. A day is longer
# than Slack makes anybody wait, and than any bucket takes to fill up.
_BLOCK: Final = f"""{_NOW}
local for_ms = tonumber(ARGV[1])
local blocked = math.max(tonumber(redis.call('HGET', KEYS[1], 'blocked')) or 0, now + for_ms)
redis.call('HSET', KEYS[1], 'tokens', '0', 'since', string.format('%.17g', now),
  'blocked', string.format('%.17g', blocked))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil(blocked - now) + 86400000))
return 1
"""

_BEGIN: Final = f"""{_NOW}
redis.call('SET', KEYS[1], string.format('%.17g', now))
return 1
"""

_LEASE_SHA: Final = sha1(_LEASE.encode(), usedforsecurity=False).hexdigest()


class ValkeyBuckets:
    """`ports.budget.FastBuckets`.

    Args:
        valkey: has the buckets.
    """

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._began = f"{valkey.prefix}:buckets-began"

    async def take(
        self, connection_id: ConnectionId, bucket: str, *, capacity: float, per_s: float, cost: float = 1.0
    ) -> float:
        """Take `cost` tokens and return 0.0, or take nothing and return the seconds until there are that many."""
        request = LeaseRequest(connection_id=connection_id, bucket=bucket, capacity=capacity, per_s=per_s, wanted=1)
        lease = (await self._lease([request], unit=cost))[0]
        if lease.granted:
            return 0.0
        # Whoever waits that long and no longer should not come a rounding too early.
        return max(lease.blocked_s, (cost - lease.left) / per_s, 1 / _MS)

    async def lease(self, requests: Sequence[LeaseRequest]) -> Sequence[Lease]:
        """Take what can be had for each request; the answers have the order of the requests."""
        return await self._lease(requests, unit=1.0)

    async def block(self, connection_id: ConnectionId, bucket: str, *, for_s: float) -> None:
        """Empty the bucket, and let nobody have anything of it for `for_s` seconds."""
        key = self._get_key(connection_id, bucket)
        await self._valkey.run(lambda redis: redis.eval(_BLOCK, 1, key, str(for_s * _MS)))

    async def delete_idle(self, *, before_s: float, limit: int) -> int:  # noqa: ARG002 - nothing is left to delete
        """Return 0: the server deletes a bucket as soon as it would be full."""
        return 0

    async def begin(self) -> None:
        """Let all buckets be empty from now on, and fill."""
        await self._valkey.run(lambda redis: redis.eval(_BEGIN, 1, self._began))

    async def _lease(self, requests: Sequence[LeaseRequest], *, unit: float) -> Sequence[Lease]:
        if not requests:
            return []
        keys = [self._began, *(self._get_key(each.connection_id, each.bucket) for each in requests)]
        arguments = [repr(unit)]
        for each in requests:
            arguments += map(repr, (each.capacity, each.per_s, each.wanted, each.spare, each.kept))
        for _ in range(_ATTEMPTS):
            try:
                answer = await self._valkey.run(lambda redis: redis.evalsha(_LEASE_SHA, len(keys), *keys, *arguments))
            except NoScriptError:
                await self._valkey.run(self._start)
                continue
            return [
                Lease(granted=int(units), left=float(left), blocked_s=float(blocked_ms) / _MS)
                for units, left, blocked_ms in answer
            ]
        raise StoreUnavailableError("Valkey forgets the script as fast as it is told it.")

    async def _start(self, redis: Redis) -> Any:
        """Begin first: whoever finds the script may rely on it."""
        await redis.eval(_BEGIN, 1, self._began)
        return await redis.script_load(_LEASE)

    def _get_key(self, connection_id: ConnectionId, bucket: str) -> str:
        # With its length, no two pairs of names give the same key.
        return f"{self._valkey.prefix}:bucket:{len(connection_id)}:{connection_id}:{bucket}"
