from command_fakes import Commands

from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.audit import AuditEntry

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
            "actor": "key:k1",
            "tool": "SLACK_SEND_MESSAGE",
            "target": "C1",
            "result": "ok",
        }
    ]
    result = commands.run("audit", "list", "--connection", "conn_1")
    assert "7\t2023-11-14T22:13:20+00:00\tkey:k1\tSLACK_SEND_MESSAGE\tC1\tok" in result.stdout


def test_nothing_written_is_said_in_a_sentence(commands: Commands) -> None:
    assert commands.run("audit", "list", "--connection", "conn_1").stdout == (
        "No tool has written for this connection.\n"
    )
