"""The key file is made once, for its owner only."""

import stat
import threading
from pathlib import Path

import pytest

from slack_mcp.core.errors import SettingsError
from slack_mcp.store.keyfile import get_key_file, load_or_create_key_file


def test_it_is_made_for_the_owner_only_and_read_back(tmp_path: Path) -> None:
    path = get_key_file(tmp_path / "new" / "slack.db")
    made = load_or_create_key_file(path)
    assert path.name == "slack.db.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_key_file(path).reveal() == made.reveal()
    assert [file.name for file in path.parent.iterdir()] == ["slack.db.key"]


def test_two_new_files_have_different_keys_and_ids(tmp_path: Path) -> None:
    one = load_or_create_key_file(tmp_path / "one.key")
    two = load_or_create_key_file(tmp_path / "two.key")
    assert one.active_key_id != two.active_key_id


def test_those_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)
    seen: list[str] = []

    def start() -> None:
        barrier.wait(5)
        seen.append(load_or_create_key_file(tmp_path / "slack.db.key").reveal())

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(seen) == 8
    assert len(set(seen)) == 1


@pytest.mark.parametrize("content", [b"", b"canary", b"k1:canary", b"\xff\xfe"])
def test_a_spoilt_file_is_an_error_and_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "slack.db.key"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"slack\.db\.key") as caught:
        load_or_create_key_file(path)
    assert "canary" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(SettingsError, match=r"ENCRYPTION_KEYS|cannot be read"):
        load_or_create_key_file(tmp_path / "file" / "slack.db.key")
