"""The pure parts of the benchmark: a wrong statistic or an unsigned request would measure nothing."""

import json
import time

import httptools
import pytest

from bench.events import Tenant, make_requests
from bench.load import Replay
from bench.mcp_requests import CALL, LIST, VERSIONS, McpRequest, make_mcp_requests
from bench.report import Row, make_latency_row, render_table
from bench.stats import get_median_ratio, get_percentile
from slack_mcp.protocol.events import EventCallback, get_lane, parse_envelope
from slack_mcp.protocol.signature import SigningKey, verify_signature

NOW_S = 1_700_000_000
TENANTS = [Tenant(team_id=f"T{number}", path=f"/slack/events/c{number}", secret=f"s{number}") for number in range(2)]


class ParsedRequest:
    def __init__(self, raw: bytes) -> None:
        self.headers: dict[str, bytes] = {}
        self.body = self.url = b""
        self.is_complete = False
        httptools.HttpRequestParser(self).feed_data(raw)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_complete = True


def make_parsed_requests(count: int) -> list[ParsedRequest]:
    raw = make_requests(TENANTS, prefix="EvX", count=count, host="127.0.0.1:1", timestamp=NOW_S)
    return [ParsedRequest(each) for each in raw]


def test_every_request_is_whole_and_signed_for_its_tenant() -> None:
    for number, request in enumerate(make_parsed_requests(4)):
        tenant = TENANTS[number % 2]
        assert request.is_complete
        assert request.url == tenant.path.encode()
        verify_signature(
            [SigningKey(tenant.secret.encode())],
            timestamp=request.headers["x-slack-request-timestamp"],
            signature=request.headers["x-slack-signature"],
            body=request.body,
            now_s=NOW_S,
        )


def test_every_event_is_a_new_one_in_a_lane_of_its_own() -> None:
    envelopes = [parse_envelope(request.body) for request in make_parsed_requests(50)]
    events = [each for each in envelopes if isinstance(each, EventCallback)]

    assert len(events) == 50
    assert len({event.event_id for event in events}) == 50
    assert len({get_lane(event) for event in events}) == 50


def test_no_event_names_the_bot() -> None:
    assert all(b"<@" not in request.body for request in make_parsed_requests(4))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("method", [CALL, LIST])
def test_every_request_of_a_tool_is_whole_and_the_callers_take_turns(method: str, version: str) -> None:
    asked = McpRequest(method=method, tool="TOOL" if method == CALL else "", version=version)
    raw = make_mcp_requests(asked, keys=["key-a", None], host="127.0.0.1:1", count=3)
    requests = [ParsedRequest(each) for each in raw]
    messages = [json.loads(request.body) for request in requests]

    assert all(request.is_complete and request.url == b"/mcp" for request in requests)
    assert [request.headers.get("authorization") for request in requests] == [b"Bearer key-a", None, b"Bearer key-a"]
    assert all(request.headers["mcp-protocol-version"] == version.encode() for request in requests)
    assert [message["id"] for message in messages] == [0, 1, 2]
    assert {message["method"] for message in messages} == {method}
    assert all(message["params"].get("name") == (asked.tool or None) for message in messages)
    is_stateless = version == "2026-07-28"
    assert all(("_meta" in message["params"]) == is_stateless for message in messages)
    assert all(("mcp-method" in request.headers) == is_stateless for request in requests)


def test_a_run_hands_out_each_request_once_and_none_after_its_time() -> None:
    replay = Replay([b"a", b"b"], connections=1, seconds=1)
    replay.start()
    now_ns = time.perf_counter_ns()

    assert replay.take(now_ns + 2_000_000_000) is None
    assert [replay.take(now_ns) for _ in range(3)] == [b"a", b"b", None]


def test_a_run_is_finished_when_all_its_connections_are() -> None:
    replay = Replay([], connections=2, seconds=1)

    replay.leave(lost=False)
    assert not replay.finished.is_set()
    replay.leave(lost=True)
    assert replay.finished.is_set()
    assert replay.lost == 1


def test_the_rate_counts_from_the_start_to_the_last_answer() -> None:
    replay = Replay([], connections=1, seconds=1)
    replay.start()
    for answered_ms in (100, 500):
        replay.record(200, replay.started_ns, replay.started_ns + answered_ms * 1_000_000)

    result = replay.render()

    assert result["statuses"] == {"200": 2}
    assert result["rate"] == pytest.approx(4)
    assert result["p50_ms"] == pytest.approx(100)
    assert result["p99_ms"] == pytest.approx(500)


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]

    assert get_percentile(values, 50) == 50
    assert get_percentile(values, 99) == 99
    assert get_percentile([7.0], 99) == 7
    assert get_percentile([], 50) == 0


def test_what_slows_down_a_whole_pair_does_not_change_the_ratio() -> None:
    assert get_median_ratio([300, 30, 600], [100, 10, 200]) == 3


def test_the_table_has_a_line_for_each_row_all_of_one_width() -> None:
    rows = [
        Row(name="acks", values=[1000.0, 3000.0, 2000.0], unit="/s", p50_ms=1.0, p99_ms=2.5, ratios={"stock": 3.14159}),
        make_latency_row("directory miss", [0.001, 0.002]),
    ]

    lines = render_table(rows).splitlines()

    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == ["acks", "2,000", "/s", "1,000-3,000", "1.00", "2.50", "3.14"]
    assert lines[2].split() == ["directory", "miss", "1.00", "2.00"]


def test_the_numbers_of_a_row_are_json() -> None:
    row = Row(name="acks", values=[1.0, 2.0, 3.0], unit="/s", ratios={"tuned": 1.5})

    document = json.loads(json.dumps(row.render_json()))

    assert document == {
        "name": "acks",
        "unit": "/s",
        "median": 2.0,
        "values": [1.0, 2.0, 3.0],
        "p50_ms": None,
        "p99_ms": None,
        "ratios": {"tuned": 1.5},
    }
