"""Valkey beside the database, where REDIS_URL names one. Needs the extra `valkey`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from slack_mcp.budget.fallback import BucketsWithFallback
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import SettingsError
from slack_mcp.ports.budget import Buckets, LastingBuckets
from slack_mcp.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeyParts:
    """What a pod has of Valkey.

    Attributes:
        buckets: of the budget of calls.
        is_lost: whether it did not answer when it was asked last.
    """

    buckets: Buckets
    is_lost: Callable[[], bool]


@asynccontextmanager
async def open_valkey_parts(
    settings: Settings, *, buckets: LastingBuckets, clock: Clock
) -> AsyncIterator[ValkeyParts | None]:
    """Yield what a pod has of Valkey, None where none is configured. Nothing connects before it is needed.

    Args:
        settings: where it is.
        buckets: those of the database, for as long as Valkey is lost.
        clock: says when to try again.
    """
    url = settings.valkey
    if url is None:
        yield None
        return
    from slack_mcp.valkey.buckets import ValkeyBuckets  # noqa: PLC0415  an optional extra
    from slack_mcp.valkey.client import open_valkey  # noqa: PLC0415  the same

    async with open_valkey(url, clock=clock, prefix=settings.redis_prefix) as valkey:
        yield ValkeyParts(
            buckets=BucketsWithFallback(fast=ValkeyBuckets(valkey), lasting=buckets, clock=clock),
            is_lost=lambda: valkey.is_lost,
        )


def check_valkey_client(settings: Settings) -> None:
    """Return when what the settings want is installed; raises SettingsError."""
    if settings.redis_url is not None:
        try:
            import redis  # noqa: F401, PLC0415  an optional extra
        except ImportError as error:
            raise SettingsError(
                ["REDIS_URL is set, and its client is not installed: install slack-mcp[valkey], or remove REDIS_URL."]
            ) from error
