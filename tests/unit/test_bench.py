"""The pure parts of the benchmark: a wrong statistic or an unsigned request would measure nothing."""

import json
import time

import httptools
import pytest

from bench.events import Tenant, make_requests
from bench.load import Replay
from bench.machine import find_cpu_model
from bench.mcp_requests import CALL, LIST, VERSIONS, McpRequest, make_mcp_requests
from bench.report import Row, make_latency_row, render_ceilings, render_rows
from bench.runs import Load
from bench.stats import get_median_ratio, get_medians, get_percentile, get_percentiles
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
    assert [replay.take(now_ns) for _ in range(3)] == [(b"a", now_ns), (b"b", now_ns), None]


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
    assert result["latencies_ms"]["p50"] == pytest.approx(100)
    assert result["latencies_ms"]["p99"] == pytest.approx(500)


class Sender:
    """A connection without a socket."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, int]] = []

    def send(self, request: bytes, since_ns: int) -> None:
        self.sent.append((request, since_ns))


MS = 1_000_000


def make_open_loop(senders: int, *, requests: int = 4) -> tuple[Replay, list[Sender]]:
    """A request every 10 ms, and nobody has sent anything yet."""
    replay = Replay([b"%d" % number for number in range(requests)], connections=senders, seconds=1, rate=100)
    replay.start()
    idle = [Sender() for _ in range(senders)]
    for each in idle:
        replay.rest(each)
    return replay, idle


def test_in_an_open_loop_a_request_is_sent_when_it_is_due_and_not_before() -> None:
    replay, (first, second) = make_open_loop(2)
    start_ns = replay.started_ns

    replay.pump(start_ns + 9 * MS)
    assert (first.sent, second.sent) == ([(b"0", start_ns)], [])
    replay.pump(start_ns + 10 * MS)
    assert second.sent == [(b"1", start_ns + 10 * MS)]


def test_in_an_open_loop_a_stall_counts_for_all_that_should_have_been_sent() -> None:
    replay, (only,) = make_open_loop(1)
    start_ns = replay.started_ns
    replay.pump(start_ns)

    # The first answer comes after 35 ms; the three that were due meanwhile are answered within 1 ms each.
    now_ns = start_ns + 35 * MS
    replay.record(200, only.sent[-1][1], now_ns)
    while (taken := replay.take(now_ns)) is not None:
        now_ns += 1 * MS
        replay.record(200, taken[1], now_ns)

    assert [each / MS for each in replay.latencies_ns] == [35, 26, 17, 8]


def test_an_open_loop_ends_when_everything_was_sent_and_answered() -> None:
    replay, (first, second) = make_open_loop(2, requests=2)
    replay.pump(replay.started_ns + 20 * MS)
    assert len(first.sent) == len(second.sent) == 1
    assert not replay.finished.is_set()

    for sender in (first, second):
        replay.record(200, sender.sent[0][1], replay.started_ns + 21 * MS)
        replay.rest(sender)

    assert replay.finished.is_set()


def test_who_rests_when_the_last_request_goes_out_leaves() -> None:
    replay, _ = make_open_loop(3, requests=1)

    replay.pump(replay.started_ns)
    replay.leave(lost=False)

    assert replay.finished.is_set()


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (Load(connections=1, seconds=2), 60),
        (Load(connections=1, seconds=2, rate=5), 10),
        (Load(connections=1, seconds=2, count=7), 7),
    ],
)
def test_as_many_requests_are_made_ready_as_are_sent_at_most(load: Load, expected: int) -> None:
    assert load.count_requests(30) == expected


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]

    assert get_percentile(values, 50) == 50
    assert get_percentile(values, 99) == 99
    assert get_percentile([7.0], 99) == 7
    assert get_percentile([], 50) == 0


def test_the_percentiles_of_the_report_end_with_the_largest() -> None:
    values = [float(number) for number in range(1, 2001)]

    assert get_percentiles(values) == {"p50": 1000, "p90": 1800, "p99": 1980, "p99.9": 1998, "max": 2000}


def test_the_median_of_runs_is_taken_for_each_percentile() -> None:
    assert get_medians([{"p50": 1, "p99": 9}, {"p50": 3, "p99": 5}, {"p50": 2, "p99": 7}]) == {"p50": 2, "p99": 7}


def test_what_slows_down_a_whole_pair_does_not_change_the_ratio() -> None:
    assert get_median_ratio([300, 30, 600], [100, 10, 200]) == 3


ACKS = Row(
    key="acks.postgresql.64",
    name="acks",
    values=[1000.0, 3000.0, 2000.0],
    unit="/s",
    latencies_ms={"p50": 1.0, "p99": 2.5},
    cpu_us=61.2,
    ratios={"bolt": 3.14159},
)


def test_the_table_has_a_line_for_each_row_and_its_numbers_below_each_other() -> None:
    lines = render_rows([ACKS, make_latency_row("directory.miss", "directory miss", [0.001, 0.002])]).splitlines()

    assert len(lines) == 3
    assert lines[1].split() == ["acks", "2,000", "/s", "1,000-3,000", "1.00", "2.50", "61.2", "3.14", "x", "Bolt"]
    assert lines[2].split() == ["directory", "miss", "1.00", "2.00"]
    assert lines[0].index("p99 ms") + len("p99 ms") == lines[1].index("2.50") + len("2.50") == len(lines[2])


def test_every_figure_of_a_row_can_be_asked_for_by_its_name() -> None:
    assert [ACKS.get(figure) for figure in ("median", "cpu", "p99", "ratio:bolt")] == [2000, 61.2, 2.5, 3.14159]
    assert [ACKS.get(figure) for figure in ("p90", "ratio:bolt-js")] == [None, None]
    assert Row(key="", name="").get("median") is None


def test_the_numbers_of_a_row_are_json() -> None:
    document = json.loads(json.dumps(ACKS.render_json()))

    assert document == {
        "key": "acks.postgresql.64",
        "name": "acks",
        "unit": "/s",
        "median": 2000.0,
        "values": [1000.0, 3000.0, 2000.0],
        "latencies_ms": {"p50": 1.0, "p99": 2.5},
        "cpu_us": 61.2,
        "ceiling": None,
        "ratios": {"bolt": 3.14159},
    }


def test_a_run_near_the_load_generators_ceiling_is_named() -> None:
    far = Row(key="a", name="far", values=[10.0], ceiling=100.0)
    near = Row(key="b", name="near", values=[60.0], ceiling=100.0)

    assert "the nearest was far (10%)" in render_ceilings([far])
    assert "near (60%)" in render_ceilings([far, near])
    assert "far" not in render_ceilings([far, near])
    assert render_ceilings([Row(key="c", name="without", values=[1.0])]) == ""


def test_the_processor_is_named_as_the_system_names_it() -> None:
    assert find_cpu_model("processor\t: 0\nmodel name\t: A CPU\nprocessor\t: 1\nmodel name\t: B\n") == "A CPU"
