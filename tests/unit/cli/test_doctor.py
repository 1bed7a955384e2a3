import json

import pytest
from command_fakes import Commands

from slack_mcp.core.ids import ConnectionId
from slack_mcp.doctor.finding import Check, Finding, Verdict, fail, good, warn

CONN_1 = ConnectionId("conn_1")


def test_each_finding_is_a_line_and_a_remedy_another(commands: Commands) -> None:
    commands.findings = [
        good(Check.DATABASE, "PostgreSQL answers."),
        warn(Check.DELIVERIES, "None came.", "Look there.", connection_id=CONN_1),
    ]
    result = commands.run("doctor")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "ok       database        PostgreSQL answers.",
        "warning  deliveries      conn_1: None came.",
        "                         -> Look there.",
        "1 ok, 1 warning, 0 failure",
    ]


def test_a_failure_is_the_exit_code_and_all_of_it_is_data(commands: Commands) -> None:
    commands.findings = [fail(Check.SLACK, "Revoked.", "Install it again.", connection_id=CONN_1)]
    result = commands.run("doctor", "--json", "--connection", "conn_1", "--timeout", "3")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [
        {
            "check": "slack",
            "verdict": "failure",
            "connection_id": "conn_1",
            "found": "Revoked.",
            "remedy": "Install it again.",
        }
    ]
    assert commands.examined == [("conn_1", 3.0)]


@pytest.mark.parametrize("arguments", [("doctor",), ("doctor", "--json")])
def test_settings_that_cannot_be_read_have_an_exit_code_of_their_own(
    commands: Commands, arguments: tuple[str, ...]
) -> None:
    commands.environ = {"PORT": "none", "DATABASE_URL": "mysql://user:canary@host/x"}
    result = commands.run(*arguments)
    assert result.exit_code == 2
    assert "PORT must be" in result.output
    if "--json" in arguments:
        assert {each["check"] for each in json.loads(result.stdout)} == {"settings"}


def test_of_many_connections_only_those_with_something_wrong_are_told_one_by_one(commands: Commands) -> None:
    commands.findings = [
        *(good(Check.SLACK, "Well.", connection_id=ConnectionId(f"conn_{number}")) for number in range(20)),
        fail(Check.SLACK, "Revoked.", "Install it again.", connection_id=ConnectionId("conn_20")),
    ]
    lines = commands.run("doctor").stdout.splitlines()
    assert lines == [
        "failure  slack           conn_20: Revoked.",
        "                         -> Install it again.",
        "ok       slack           20 connections.",
        "20 ok, 0 warning, 1 failure",
    ]


def test_what_looks_like_a_secret_is_masked_wherever_it_came_from(commands: Commands) -> None:
    commands.findings = [
        Finding(
            check=Check.DATABASE,
            verdict=Verdict.WARNING,
            found="postgresql://user:canary@host",
            remedy="Replace xoxb-1-canary\nthere.",
        )
    ]
    assert "Replace ******** there." in commands.run("doctor").stdout
    assert "********" in commands.run("doctor", "--json").stdout
