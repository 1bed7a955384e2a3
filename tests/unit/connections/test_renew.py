"""All tokens that are due are replaced, and one that cannot be keeps back none of the others."""

from collections.abc import Sequence
from typing import Any

import pytest
from stepping_clock import SteppingClock
from structlog.testing import capture_logs

from slack_mcp.connections.renew import TokenRenewer
from slack_mcp.core.errors import SlackRefusedError, StoreUnavailableError
from slack_mcp.core.ids import ConnectionId

pytestmark = pytest.mark.anyio


class FakeTokenStore:
    def __init__(self, **ends: Any) -> None:
        self.ends = ends
        self.asked: list[tuple[str, float]] = []

    async def list_expiring(self, *, before_s: float, limit: int) -> Sequence[ConnectionId]:
        assert limit > 0
        return [ConnectionId(name) for name in self.ends]

    async def renew_token(self, connection_id: ConnectionId, renew: Any, *, before_s: float) -> bool | None:
        self.asked.append((connection_id, before_s))
        end: bool | Exception | None = self.ends[connection_id]
        if isinstance(end, Exception):
            raise end
        return end


class NoSlack:
    async def renew(self, connection: Any) -> None:
        raise AssertionError(connection)


async def test_each_is_tried_and_told_of() -> None:
    refused = SlackRefusedError("oauth.v2.access", "bad_client_secret")
    store = FakeTokenStore(a=refused, b=True, c=False, d=None)
    clock = SteppingClock()
    renewer = TokenRenewer(store=store, slack=NoSlack(), clock=clock, ahead_s=100)
    with capture_logs() as lines:
        await renewer.renew_due()
    assert store.asked == [(name, clock.now_s() + 100) for name in "abcd"]
    told = [(line["event"], line["connection_id"], line["log_level"]) for line in lines]
    assert told == [
        ("token.not_renewed", "a", "warning"),
        ("token.renewed", "b", "info"),
        ("token.lost", "c", "error"),
    ]


async def test_without_a_database_nothing_else_is_tried() -> None:
    store = FakeTokenStore(a=StoreUnavailableError("down"), b=True)
    with pytest.raises(StoreUnavailableError):
        await TokenRenewer(store=store, slack=NoSlack(), clock=SteppingClock(), ahead_s=100).renew_due()
    assert len(store.asked) == 1
