from pathlib import Path

import pytest

from slack_mcp.core.errors import SettingsError
from slack_mcp.store.lockfile import hold_database


def test_a_database_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "new" / "slack.db"
    with hold_database(path), pytest.raises(SettingsError, match="Another process serves"), hold_database(path):
        pass
    with hold_database(path):
        pass
    assert not path.exists()


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be made"), hold_database(tmp_path / "file" / "slack.db"):
        pass
