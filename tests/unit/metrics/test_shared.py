import os
import signal
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest
from scrape import Scrape

from slack_mcp.app.metrics import make_shared_directory
from slack_mcp.metrics import catalogue
from slack_mcp.metrics.exporter import Exporter
from slack_mcp.metrics.shared import GONE, open_shared_figures
from slack_mcp.metrics.values import Values


@pytest.fixture
def directory() -> Iterator[Path]:
    with make_shared_directory() as directory:
        yield directory


def make(claims: int, held: int) -> Values:
    values = Values(now_s=lambda: 1.0)
    values.counter(catalogue.CLAIMS).add(by=claims)
    values.gauge(catalogue.LANES_HELD).set(held)
    return values


def read(exporter: Exporter) -> tuple[float, float]:
    page = Scrape(exporter.render(exporter.take_snapshot()).decode())
    return page.get("claims_total"), page.get("lanes_held")


def test_each_process_counts_for_all_and_itself_only_once(directory: Path) -> None:
    with open_shared_figures(directory, "one") as one, open_shared_figures(directory, "two") as two:
        exporters = [Exporter(make(1, 1), shared=one), Exporter(make(2, 2), shared=two)]
        for exporter in exporters:
            exporter.publish()
        assert [read(exporter) for exporter in exporters] == [(3.0, 3.0), (3.0, 3.0)]


def test_what_a_process_holds_goes_with_it_and_what_it_counted_stays(directory: Path) -> None:
    with open_shared_figures(directory, "one") as one:
        exporter = Exporter(make(1, 1), shared=one)
        with open_shared_figures(directory, "two") as two:
            Exporter(make(2, 2), shared=two).publish()
            assert read(exporter) == (3.0, 3.0)
        assert read(exporter) == (3.0, 1.0)


def test_the_ended_are_folded_into_one_file_and_still_counted(directory: Path) -> None:
    for number in range(5):
        with open_shared_figures(directory, f"worker.{number}") as shared:
            Exporter(make(1, 1), shared=shared).publish()
    with open_shared_figures(directory, "last") as last:
        assert {path.name for path in directory.glob("*.json")} == {GONE}
        assert read(Exporter(make(1, 1), shared=last)) == (6.0, 1.0)


def publish_and_hang(directory: Path) -> None:
    with open_shared_figures(directory, "victim") as shared:
        Exporter(make(2, 2), shared=shared).publish()
        signal.pause()


def test_kill_minus_nine_takes_a_process_out_at_once(directory: Path) -> None:
    with open_shared_figures(directory, "one") as one:
        exporter = Exporter(make(1, 1), shared=one)
        victim = get_context("fork").Process(target=publish_and_hang, args=(directory,))
        victim.start()
        try:
            while read(exporter) != (3.0, 3.0):
                assert victim.is_alive()
            assert victim.pid is not None
            os.kill(victim.pid, signal.SIGKILL)
        finally:
            victim.kill()
            victim.join()
        assert read(exporter) == (3.0, 1.0)


def test_what_a_killed_service_left_is_removed_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    old_s = time.time() - 3600
    with make_shared_directory(parent=tmp_path) as used:
        killed = tmp_path / "slack-mcp-metrics-killed"
        foreign = tmp_path / "something-else"
        young = tmp_path / "slack-mcp-metrics-young"
        for each in (killed, foreign, young):
            each.mkdir()
            (each / "in-use").touch()
        for each in (killed, foreign, used):
            os.utime(each, (old_s, old_s))
        with make_shared_directory(parent=tmp_path) as new:
            assert {each.name for each in tmp_path.iterdir()} == {used.name, foreign.name, young.name, new.name}


def test_a_new_service_begins_at_nothing_and_leaves_nothing() -> None:
    with make_shared_directory() as one:
        with open_shared_figures(one, "one") as shared:
            Exporter(make(1, 1), shared=shared).publish()
        with make_shared_directory() as other, open_shared_figures(other, "two") as shared:
            assert read(Exporter(make(0, 0), shared=shared)) == (0.0, 0.0)
    assert not one.exists()
    assert not other.exists()
