import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from backup_samples import make_stored
from command_fakes import Commands
from postgres import make_url

from slack_mcp.cli.backup import _list_warnings, _render_size
from slack_mcp.store.migrate import Migrations


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Commands on a SQLite file that has its tables."""
    anyio.run(Migrations(make_url(f"sqlite:{tmp_path}/slack.db")).up)
    made = Commands()
    made.environ = {"DATABASE_URL": f"sqlite:{tmp_path}/slack.db", "BACKUP_TARGET": str(tmp_path / "backups")}
    return made


def run_json(commands: Commands, *arguments: str) -> Any:
    done = commands.run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_backup_is_made_listed_verified_and_restored(commands: Commands) -> None:
    made = run_json(commands, "backup", "create", "--keep", "3")
    assert made["state"] == "whole"
    assert made["deleted"] == []
    assert made["tables"]["slack_events"]["rows"] == 0
    assert run_json(commands, "backup", "list") == [{key: value for key, value in made.items() if key != "deleted"}]
    assert run_json(commands, "backup", "verify", made["name"])["name"] == made["name"]
    assert run_json(commands, "backup", "restore")["name"] == made["name"]
    shown = commands.run("backup", "restore", made["name"], "--force")
    assert shown.stdout.endswith(f"Restored {made['name']}.\n")
    restores = [entry for entry in commands.audit.entries if entry.tool == "backup restore"]
    assert [(entry.target, entry.result) for entry in restores] == [(made["name"], "ok")] * 2


def test_a_backup_in_words_says_with_which_key_it_is_sealed(commands: Commands) -> None:
    done = commands.run("backup", "create")
    assert done.exit_code == 0
    assert "state" in done.stdout
    assert "sealed with key file-" in done.stderr
    assert "portable" in commands.run("backup", "list").stdout


def test_a_backup_that_is_not_sealed_says_so_loudly() -> None:
    (warning,) = _list_warnings(make_stored(1), is_noted=True)
    assert "NOT SEALED" in warning
    _, unnoted = _list_warnings(make_stored(1), is_noted=False)
    assert "alerts" in unnoted


def test_where_the_backups_are_has_to_be_said(commands: Commands) -> None:
    del commands.environ["BACKUP_TARGET"]
    done = commands.run("backup", "list")
    assert done.exit_code == 1
    assert "--target" in done.stderr
    assert "BACKUP_TARGET" in done.stderr


def test_a_backup_that_is_not_there_is_told(commands: Commands) -> None:
    assert commands.run("backup", "list").stdout.startswith("No backups")
    for arguments in (("verify",), ("restore", "nothing")):
        done = commands.run("backup", *arguments)
        assert done.exit_code == 1
        assert "no backup" in done.stderr


def test_an_age_below_a_day_is_taken_and_none_at_all_is_not(commands: Commands) -> None:
    assert commands.run("backup", "create", "--keep-days", "0.5").exit_code == 0
    done = commands.run("backup", "create", "--keep-days", "0")
    assert (done.exit_code, "--keep-days" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 2**30, "3.0 GiB"), (2**41, "2.0 TiB")]
)
def test_sizes_are_told_as_people_read_them(size: int, shown: str) -> None:
    assert _render_size(size) == shown
