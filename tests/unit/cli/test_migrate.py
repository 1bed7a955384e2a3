import pytest
from command_fakes import Commands

from slack_mcp.core.errors import InvalidInputError, MigrationFailedError


def test_status_lists_all_migrations(commands: Commands) -> None:
    commands.schema.applied = ["0001_first"]
    assert [line.split("\t") for line in commands.run("migrate", "status").stdout.splitlines()] == [
        ["revision", "name", "state"],
        ["0001", "first", "applied"],
        ["0002", "second", "pending"],
    ]
    assert commands.run_json("migrate", "status")[1] == {"revision": "0002", "name": "second", "state": "pending"}


def test_up_names_what_it_applied(commands: Commands) -> None:
    assert commands.run("migrate", "up").stdout == "Applied 0001_first.\nApplied 0002_second.\n"
    assert commands.run("migrate", "up").stdout == "Nothing to do: the schema is current.\n"


def test_down_asks_first(commands: Commands) -> None:
    commands.run("migrate", "up")
    assert commands.run("migrate", "down", "0001").exit_code == 1
    assert commands.run("migrate", "down", "0001", answers="n\n").exit_code == 1
    assert len(commands.schema.applied) == 2
    assert commands.run("migrate", "down", "0001", answers="y\n").stdout.endswith("Rolled back 0002_second.\n")
    assert commands.run("migrate", "down", "base", "--yes").stdout == "Rolled back 0001_first.\n"
    assert commands.run("migrate", "down", "base", "--yes").stdout == "Nothing to do: nothing after base is applied.\n"


@pytest.mark.parametrize("arguments", [("status",), ("up",), ("down", "9999", "--yes")])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInputError("There is no revision '9999'."), "invalid_input"),
        (MigrationFailedError("0002_second", "disk full."), "migration_failed"),
    ],
)
def test_what_fails_is_one_line(commands: Commands, arguments: tuple[str, ...], error: Exception, code: str) -> None:
    commands.schema.error = error
    result = commands.run("migrate", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{code}: ")
    assert result.stderr.count("\n") == 1
