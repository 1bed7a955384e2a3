import re
from dataclasses import replace

import pytest
from command_fakes import Commands, make_stored

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access
from slack_mcp.identity.api_keys import hash_secret

KEY = re.compile(r"smk_([0-9a-f]{16})_([\w-]{43})")


@pytest.fixture
def stored(commands: Commands) -> Commands:
    commands.store.rows[ConnectionId("conn_1")] = make_stored()
    return commands


def create(commands: Commands, *options: str) -> str:
    """Return the id of a new key."""
    result = commands.run("keys", "create", "--connection", "conn_1", "--name", "laptop", *options)
    assert result.exit_code == 0, result.output
    match = KEY.fullmatch(result.stdout.rstrip("\n"))
    assert match is not None, result.stdout
    return match[1]


def test_a_key_is_printed_alone_and_kept_as_a_hash(stored: Commands) -> None:
    result = stored.run("keys", "create", "--connection", "conn_1", "--name", "laptop")
    match = KEY.fullmatch(result.stdout.rstrip("\n"))
    assert match is not None
    assert "not shown again" in result.stderr
    assert match[2] not in result.stderr
    kept = stored.keys.rows[match[1]]
    assert kept.key_hash == hash_secret(match[2])
    assert (kept.connection_id, kept.name, kept.access, kept.expires_at_ms) == ("conn_1", "laptop", Access.READ, None)


def test_access_and_expiry_are_chosen(stored: Commands) -> None:
    kept = stored.keys.rows[create(stored, "--access", "admin", "--expires-days", "1.5")]
    assert kept.access is Access.ADMIN
    assert kept.expires_at_ms is not None
    assert kept.expires_at_ms - kept.created_at_ms == 129_600_000


def test_json_has_the_key_too(stored: Commands) -> None:
    made = stored.run_json("keys", "create", "--connection", "conn_1", "--name", "laptop")
    assert KEY.fullmatch(made["key"])
    assert made["key"].split("_")[1] == made["key_id"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--connection", "conn_9", "--name", "n"], "connection_not_found"),
        (["--connection", "a\x00b", "--name", "n"], "connection_not_found"),
        (["--connection", "conn_1", "--name", " "], "invalid_input"),
        (["--connection", "conn_1", "--name", "a\nb"], "invalid_input"),
        (["--connection", "conn_1", "--name", "x" * 201], "invalid_input"),
        (["--connection", "conn_1", "--name", "n", "--expires-days", "0"], "invalid_input"),
        (["--connection", "conn_1", "--name", "n", "--expires-days", "nan"], "invalid_input"),
        (["--connection", "conn_1", "--name", "n", "--expires-days", "1e9"], "invalid_input"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_printed(stored: Commands, options: list[str], code: str) -> None:
    result = stored.run("keys", "create", *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{code}: ")
    assert stored.keys.rows == {}


def test_the_list_shows_everything_but_the_keys(stored: Commands) -> None:
    first = create(stored)
    second = create(stored, "--access", "write", "--expires-days", "1")
    third = create(stored)
    stored.keys.rows[second] = replace(stored.keys.rows[second], expires_at_ms=1000)
    stored.run("keys", "revoke", third)
    lines = [line.split("\t") for line in stored.run("keys", "list").stdout.splitlines()]
    assert lines[0] == ["key", "connection", "name", "access", "created", "expires", "state"]
    assert [(line[0], line[3], line[5], line[6]) for line in lines[1:]] == [
        (first, "read", "never", "active"),
        (second, "write", "1970-01-01T00:00:01+00:00", "expired"),
        (third, "read", "never", "revoked"),
    ]
    listed = stored.run_json("keys", "list", "--connection", "conn_1")
    assert [each["key_id"] for each in listed] == [first, second, third]
    assert not any(key.key_hash in str(listed) for key in stored.keys.rows.values())


def test_an_empty_list_says_how_to_begin(commands: Commands) -> None:
    assert "slack-mcp keys create" in commands.run("keys", "list").stdout
    assert commands.run("keys", "list", "--connection", "conn_9").exit_code == 1


def test_a_key_is_revoked_by_its_id(stored: Commands) -> None:
    key_id = create(stored)
    result = stored.run("keys", "revoke", key_id)
    assert result.stdout == f"Revoked {key_id} (laptop).\n"
    assert stored.keys.rows[key_id].revoked_at_ms is not None
    assert stored.run("keys", "revoke", key_id).exit_code == 0


@pytest.mark.parametrize("given", ["0" * 16, "smk_0000000000000000_canary", "laptop"])
def test_what_is_no_id_is_not_repeated(stored: Commands, given: str) -> None:
    result = stored.run("keys", "revoke", given)
    assert result.exit_code == 1
    assert given not in result.output
