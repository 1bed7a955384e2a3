"""`slack-mcp secrets` says what is sealed by which key, and seals it anew."""

import json

from command_fakes import Commands

from slack_mcp.ports.secrets import Resealed, SealCount, SealedBy

DONE = SealCount(
    table="slack_turns", column="question", sealed_by=SealedBy.DATA_KEY, key_id=None, count=3, is_left=False
)
LEFT = SealCount(table="slack_events", column="payload", sealed_by=SealedBy.RING, key_id="k0", count=2, is_left=True)
CLEAR = SealCount(table="slack_events", column="payload", sealed_by=SealedBy.CLEAR, key_id=None, count=4, is_left=True)


def test_status_says_what_each_key_seals_and_that_nothing_is_left(commands: Commands) -> None:
    commands.secrets.counts = [DONE]
    result = commands.run("secrets", "status")
    assert result.exit_code == 0
    assert "slack_turns" in result.stdout
    assert "data keys" in result.stdout
    assert "Nothing is left to seal anew." in result.stdout


def test_status_ends_with_one_while_something_is_left(commands: Commands) -> None:
    commands.secrets.counts = [DONE, LEFT, CLEAR]
    result = commands.run("secrets", "status")
    assert result.exit_code == 1
    assert "key k0" in result.stdout
    assert "6 values are to be sealed anew" in result.stdout
    data = json.loads(commands.run("secrets", "status", "--json").stdout)
    assert (data["keys"], data["left"]) == (["k1"], 6)
    assert data["values"][1] == {
        "table": "slack_events",
        "column": "payload",
        "sealed_by": "ring",
        "key_id": "k0",
        "count": 2,
        "is_left": True,
    }


def test_status_without_keys_says_that_they_are_missing(commands: Commands) -> None:
    commands.secrets.key_ids = ()
    commands.secrets.counts = [CLEAR]
    result = commands.run("secrets", "status")
    assert result.exit_code == 1
    assert "set ENCRYPTION_KEYS" in result.stdout


def test_rotate_says_what_it_did(commands: Commands) -> None:
    commands.secrets.done = Resealed(keys_made=1, keys_moved=2, values=3)
    result = commands.run("secrets", "rotate")
    assert result.exit_code == 0
    assert result.stdout == "Made 1 data keys, sealed 2 others under the first key, and 3 values anew.\n"
    assert commands.secrets.calls == ["rotate"]
    (entry,) = commands.audit.entries
    assert (entry.connection_id, entry.tool, entry.result) == ("", "secrets rotate", "ok")


def test_rotate_ends_with_one_while_something_is_left(commands: Commands) -> None:
    commands.secrets.done = Resealed(unreadable=2)
    commands.secrets.counts = [LEFT]
    result = commands.run("secrets", "rotate")
    assert result.exit_code == 1
    assert "2 values do not open" in result.stdout
    assert "2 values are left" in result.stdout
    assert json.loads(commands.run("secrets", "rotate", "--json").stdout)["left"] == 2


def test_rotate_refuses_without_keys(commands: Commands) -> None:
    commands.secrets.key_ids = ()
    result = commands.run("secrets", "rotate")
    assert result.exit_code == 1
    assert "ENCRYPTION_KEYS" in result.stderr
    assert commands.secrets.calls == []


def test_data_keys_are_done_without_when_asked_for(commands: Commands) -> None:
    commands.secrets.counts = [LEFT]
    assert commands.run("secrets", "rotate", "--without-data-keys").exit_code == 0
    assert commands.secrets.calls == ["drop_data_keys"]
