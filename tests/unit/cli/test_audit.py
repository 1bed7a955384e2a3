import json
import os
import pwd
import socket
from pathlib import Path

import anyio
import pytest
from command_fakes import SIGNING_SECRET, TOKEN, Commands, make_stored, write_secrets
from tool_fakes import FakeAudit

from slack_mcp.cli.acts import audited, name_changes
from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.audit import WHOLE_SERVICE, AuditEntry

CONN_1 = ConnectionId("conn_1")

ENTRY = AuditEntry(
    id=7,
    connection_id=ConnectionId("conn_1"),
    at_ms=1_700_000_000_000,
    actor="key:k1",
    tool="SLACK_SEND_MESSAGE",
    target="C1",
    result="ok",
)


def test_the_writes_are_listed_with_who_and_where(commands: Commands) -> None:
    commands.audit.entries = [ENTRY]
    assert commands.run_json("audit", "list", "--connection", "conn_1") == [
        {
            "entry": 7,
            "time": "2023-11-14T22:13:20+00:00",
            "connection": "conn_1",
            "actor": "key:k1",
            "tool": "SLACK_SEND_MESSAGE",
            "target": "C1",
            "result": "ok",
        }
    ]
    result = commands.run("audit", "list", "--connection", "conn_1")
    assert "7\t2023-11-14T22:13:20+00:00\tconn_1\tkey:k1\tSLACK_SEND_MESSAGE\tC1\tok" in result.stdout


def test_nothing_written_is_said_in_a_sentence(commands: Commands) -> None:
    assert commands.run("audit", "list", "--connection", "conn_1").stdout == (
        "No tool has written anything, and no command has changed anything.\n"
    )


def test_what_a_command_changes_is_written_down_with_who_and_what(commands: Commands, tmp_path: Path) -> None:
    options = [str(part) for pair in write_secrets(tmp_path).items() for part in pair]
    assert commands.run("connections", "add", "--id", "conn_1", *options).exit_code == 0
    assert commands.run("connections", "add", "--replace", "--id", "conn_1", "--name", "Acme").exit_code == 0
    assert commands.run("connections", "disable", "conn_1").exit_code == 0
    assert commands.run("connections", "enable", "conn_1").exit_code == 0
    assert commands.run("policy", "set", "conn_1", "--read-only").exit_code == 0
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"LANGUAGE": "pt-BR"}))
    assert commands.run("connections", "settings", "conn_1", "--file", str(settings)).exit_code == 0
    made = commands.run_json("keys", "create", "--connection", "conn_1", "--name", "ci")
    assert commands.run("keys", "revoke", made["key_id"]).exit_code == 0
    url = "https://receiver.example/hook"
    trigger = commands.run_json(
        "triggers", "add", "--connection", "conn_1", "--type", "slack.app_mention", "--url", url
    )["trigger"]
    assert commands.run("triggers", "remove", trigger, "--connection", "conn_1").exit_code == 0
    assert commands.run("connections", "remove", "conn_1", "--yes").exit_code == 0

    assert [(each.tool, each.target, each.result) for each in commands.audit.entries] == [
        ("connections add", None, "ok"),
        ("connections add --replace", "connection_name", "ok"),
        ("connections disable", None, "ok"),
        ("connections enable", None, "ok"),
        ("policy set", "is_read_only", "ok"),
        ("connections settings", "language", "ok"),
        ("keys create", made["key_id"], "ok"),
        ("keys revoke", made["key_id"], "ok"),
        ("triggers add", f"{trigger} slack.app_mention", "ok"),
        ("triggers remove", trigger, "ok"),
        ("connections remove", None, "ok"),
    ]
    actor = f"cli:{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
    assert {(each.connection_id, each.actor) for each in commands.audit.entries} == {(CONN_1, actor)}
    assert TOKEN not in repr(commands.audit.entries)
    assert SIGNING_SECRET not in repr(commands.audit.entries)


@pytest.mark.parametrize(
    "arguments",
    [
        ("connections", "list"),
        ("connections", "show", "conn_1"),
        ("connections", "settings", "conn_1"),
        ("connections", "test", "conn_1"),
        ("keys", "list"),
        ("policy", "show", "conn_1"),
        ("triggers", "list", "--connection", "conn_1"),
        ("audit", "list"),
    ],
)
def test_what_changes_nothing_is_not_written_down(commands: Commands, arguments: tuple[str, ...]) -> None:
    commands.store.rows[CONN_1] = make_stored()
    commands.run(*arguments)
    assert commands.audit.entries == []


def test_what_fails_is_written_down_with_its_code(commands: Commands) -> None:
    assert commands.run("connections", "remove", "conn_9", "--yes").exit_code == 1
    (entry,) = commands.audit.entries
    assert (entry.connection_id, entry.tool, entry.result) == ("conn_9", "connections remove", "connection_not_found")


def test_what_cannot_be_written_down_is_not_done(commands: Commands) -> None:
    commands.store.rows[CONN_1] = make_stored()
    commands.audit.error = "begin"
    assert commands.run("connections", "remove", "conn_1", "--yes").exit_code == 1
    assert CONN_1 in commands.store.rows


def test_what_was_done_stays_done_when_its_end_cannot_be_written_down(commands: Commands) -> None:
    commands.store.rows[CONN_1] = make_stored()
    commands.audit.error = "finish"
    result = commands.run("connections", "remove", "conn_1", "--yes")
    assert result.exit_code == 0
    assert "stays `begun`" in result.stderr
    assert CONN_1 not in commands.store.rows


@pytest.mark.anyio
async def test_an_act_that_is_interrupted_says_so() -> None:
    audit = FakeAudit()
    with anyio.CancelScope() as scope:
        async with audited(audit, "secrets rotate"):
            scope.cancel()
            await anyio.sleep_forever()
    (entry,) = audit.entries
    assert (entry.connection_id, entry.result) == (WHOLE_SERVICE, "interrupted")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "code"),
    [(StoreUnavailableError("gone"), "store_unavailable"), (ValueError("xoxb-canary"), "internal_error")],
)
async def test_an_error_goes_on_and_leaves_its_code_alone(error: Exception, code: str) -> None:
    audit = FakeAudit()

    async def fail() -> None:
        async with audited(audit, "events discard", connection_id=CONN_1) as act:
            act.target = "x" * 10_000
            raise error

    with pytest.raises(type(error)):
        await fail()
    (entry,) = audit.entries
    assert entry.result == code
    assert entry.target == "x" * 500


def test_changes_are_named_and_not_shown() -> None:
    before = make_stored()
    assert name_changes(before, before) is None
    assert name_changes(before, make_stored(team_name="Globex", disabled=True)) == "team_name,disabled"
