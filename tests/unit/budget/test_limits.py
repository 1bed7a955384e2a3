"""How often each method may be called, and that no minute sees more than that."""

from bisect import bisect_left

import pytest
from directory_fake import make_connection
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.budget.limits import LEASE_S, PER_MINUTE, WINDOW_S, Limit, get_per_minute, list_limits
from slack_mcp.core.model import Connection, ConnectionSettings, Distribution

INTERNAL, MARKETPLACE, UNLISTED = Distribution


def connect(distribution: Distribution | None = None) -> Connection:
    return Connection(
        connection_id=make_connection().connection_id,
        organization_id="org",
        mesh_url="",
        bot_token=make_connection().bot_token,
        signing_secret=make_connection().signing_secret,
        settings=ConnectionSettings(distribution=distribution),
    )


@pytest.mark.parametrize(
    ("method", "per_minute"),
    [
        ("chat.update", 50),
        ("users.list", 20),
        ("users.info", 100),
        ("chat.postMessage", 300),
        ("chat.startStream", 20),
        ("chat.appendStream", 100),
        ("some.newMethod", 50),
    ],
)
def test_each_method_has_the_limit_of_its_tier(method: str, per_minute: float) -> None:
    assert get_per_minute(connect(), method) == per_minute


@pytest.mark.parametrize("method", ["conversations.history", "conversations.replies"])
def test_only_an_app_that_is_said_to_be_unlisted_reads_once_a_minute(method: str) -> None:
    assert get_per_minute(connect(UNLISTED), method) == 1
    assert {get_per_minute(connect(each), method) for each in (None, INTERNAL, MARKETPLACE)} == {50}
    assert get_per_minute(connect(UNLISTED), "conversations.info") == 50


def test_a_message_takes_of_its_channel_too_and_a_stream_of_the_same() -> None:
    post, stream = (list_limits(connect(), each, "C1", factor=1) for each in ("chat.postMessage", "chat.startStream"))
    assert [each.bucket for each in post] == ["call:chat.postMessage", "post:C1"]
    assert post[1] == stream[1]
    assert post[1].capacity == 5
    assert post[1].per_s == pytest.approx(1, abs=0.1)
    assert list_limits(connect(), "chat.postMessage", None, factor=1) == post[:1]
    assert len(list_limits(connect(), "chat.update", "C1", factor=1)) == 1


def test_the_factor_multiplies_every_limit() -> None:
    one, ten = (list_limits(connect(), "chat.postMessage", "C1", factor=each) for each in (1, 10))
    assert [each.capacity for each in ten] == [10 * each.capacity for each in one]
    for limit, larger in zip(one, ten, strict=True):
        assert larger.per_s == pytest.approx(10 * limit.per_s, rel=0.05)


@given(
    method=st.sampled_from([*PER_MINUTE, "chat.update", "conversations.history"]),
    factor=st.sampled_from([0.1, 0.5, 1.0, 3.0]),
    waits_s=st.lists(st.floats(0, 20), min_size=1, max_size=60),
    delays_s=st.lists(st.floats(0, LEASE_S, exclude_max=True), min_size=1, max_size=7),
)
def test_no_minute_sees_more_calls_than_slack_takes(
    method: str, factor: float, waits_s: list[float], delays_s: list[float]
) -> None:
    """However long callers wait before they take a token, and before they use it."""
    connection = connect(UNLISTED)
    limit = list_limits(connection, method, None, factor=factor)[0]
    starts_s = sorted(
        taken_s + delays_s[index % len(delays_s)] for index, taken_s in enumerate(take_greedily(limit, waits_s))
    )
    allowed = max(1.0, factor * get_per_minute(connection, method))
    for index, start_s in enumerate(starts_s):
        assert bisect_left(starts_s, start_s + WINDOW_S) - index <= allowed


def take_greedily(limit: Limit, waits_s: list[float]) -> list[float]:
    """Return when the tokens of a bucket are taken by somebody who takes all there are, and rests in between."""
    now_s, tokens = 0.0, limit.capacity
    taken: list[float] = []
    for wait_s in waits_s:
        now_s += wait_s
        tokens = min(limit.capacity, tokens + wait_s * limit.per_s)
        while tokens >= 1:
            tokens -= 1
            taken.append(now_s)
    return taken
