import re

from doc_pages import ROOT

from slack_mcp.doctor import database, fleet
from slack_mcp.doctor.examine import MAX_WEBHOOKS
from slack_mcp.doctor.finding import Check
from slack_mcp.ports.pods import BEAT_INTERVAL_S, SILENT_AFTER_S
from slack_mcp.store.pods import FORGET_AFTER_S

PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")


def test_every_check_has_its_row_with_a_remedy() -> None:
    rows = [re.fullmatch(r"\| `(\w+)` \| (.+) \| (.+) \|", line) for line in PAGE.splitlines()]
    told = {row[1]: row[3] for row in rows if row}
    assert set(told) == {check.value for check in Check}
    assert all(told.values())


def test_the_limits_are_those_of_the_checks() -> None:
    assert f"within {database.SLOW_S * 1000:.0f} ms" in PAGE
    assert f"within {database.SKEWED_S:.0f} s" in PAGE
    assert database.LOW_DISK_BYTES == 1024**3
    assert f"below {database.NO_DISK_BYTES // 1024**2} MiB" in PAGE
    assert f"of {database.LARGE_WAL_BYTES // 1024**2} MiB at most" in PAGE
    assert fleet.LATE_S == 60
    assert f"more than {fleet.STUCK_S / 60:.0f} minutes" in PAGE
    assert MAX_WEBHOOKS == 3
    assert f"every {BEAT_INTERVAL_S:.0f} s" in PAGE
    assert f"silent for {SILENT_AFTER_S:.0f} s" in PAGE
    assert FORGET_AFTER_S == 3600
