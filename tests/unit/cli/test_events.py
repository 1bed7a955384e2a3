from datetime import UTC, datetime

import pytest
from command_fakes import Commands
from explain_samples import EVENT
from operation_fakes import make_event

from slack_mcp.cli.times import read_time
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import EventState
from slack_mcp.ports.operations import EventFilter

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-31T11:00:00Z", "2026-01-31T11:00:00+00:00"),
        ("2026-01-31T11:00:00", "2026-01-31T11:00:00+00:00"),
        ("2026-01-31T11:00:00+02:00", "2026-01-31T09:00:00+00:00"),
        ("2026-01-31", "2026-01-31T00:00:00+00:00"),
        ("90m", "2026-01-31T10:30:00+00:00"),
        ("7d", "2026-01-24T12:00:00+00:00"),
    ],
)
def test_a_time_is_a_date_or_how_long_ago(text: str, at: str) -> None:
    at_ms = read_time("--since", text, now=NOW)
    assert at_ms is not None
    assert datetime.fromtimestamp(at_ms / 1000, UTC).isoformat() == at
    assert read_time("--since", None, now=NOW) is None


@pytest.mark.parametrize("text", ["", "yesterday", "5", "-5m", "5w", "2026-13-01", "999999d"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"--since must be a time such as .* 7d"):
        read_time("--since", text, now=NOW)


def test_events_are_listed_with_a_way_to_go_on(commands: Commands) -> None:
    commands.operations.events = [make_event(number, reason="agent_refused") for number in (1, 2, 3)]
    result = commands.run("events", "list", "--limit", "2", "--state", "dead", "--connection", "conn_1")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        f"{number}\t2023-11-14T22:13:20+00:00\tconn_1\tEv{number}\tmessage\tdead\tagent_refused\t0" for number in (3, 2)
    ]
    assert "--before 2" in result.stderr
    assert commands.operations.asked == [EventFilter(connection_id=ConnectionId("conn_1"), states=(EventState.DEAD,))]
    (rest,) = commands.run_json("events", "list", "--before", "2")
    assert (rest["number"], rest["received_at"], rest["replayed_at"]) == (1, "2023-11-14T22:13:20+00:00", None)
    assert commands.run("events", "list", "--before", "1").stdout == "No such events.\n"


def test_an_event_is_shown_as_why_tells_it_and_its_text_only_when_asked_for(commands: Commands) -> None:
    commands.explainer.events = [EVENT]
    told = commands.run("events", "show", "Ev1")
    assert told.stdout == commands.run("why", "Ev1").stdout
    commands.operations.payload = b'{"text": "what somebody wrote"}'
    shown = commands.run("events", "show", "Ev1", "--payload")
    assert shown.stdout.splitlines()[-1] == '{"text": "what somebody wrote"}'
    assert "holds what people wrote" in shown.stderr
    (plain,) = commands.run_json("events", "show", "Ev1")
    assert "payload" not in plain
    assert commands.run("events", "show", "Ev1", "--connection", "conn_2").exit_code == 1


def test_dead_events_are_put_back_and_counted(commands: Commands) -> None:
    commands.operations.events = [make_event(1), make_event(2)]
    planned = commands.run("events", "replay", "--dry-run")
    assert planned.exit_code == 0
    assert planned.stdout.splitlines() == ["Nothing was changed. This would be done:", "2  worked on again: Ev1, Ev2"]
    assert commands.operations.put == []
    done = commands.run("events", "replay", "--yes", "--code", "agent_refused", "--type", "message", "--until", "1h")
    assert done.exit_code == 0
    assert [each.event.id for each in commands.operations.put] == [1, 2]
    chosen = commands.operations.asked[-1]
    assert (chosen.states, chosen.reasons, chosen.event_types) == ((EventState.DEAD,), ("agent_refused",), ("message",))
    assert "2 looked at, up to 2023-11-14T22:13:20+00:00" in done.stderr
    nothing = commands.run("events", "replay", "--yes")
    assert (nothing.exit_code, nothing.stdout) == (1, "No such events.\n")


def test_what_is_left_alone_is_told_and_ends_with_a_code_of_its_own(commands: Commands) -> None:
    commands.operations.events = [make_event(1), *(make_event(n, state=EventState.DONE) for n in range(2, 14))]
    result = commands.run("events", "replay", *(f"Ev{number}" for number in range(1, 14)))
    assert result.exit_code == 3
    first, second = result.stdout.splitlines()
    assert first == (
        "12  left alone: done (--again has it done again): "
        "Ev2, Ev3, Ev4, Ev5, Ev6, Ev7, Ev8, Ev9, Ev10, Ev11 and 2 more"
    )
    assert second == "1  worked on again: Ev1"
    assert commands.operations.asked[-1].states == ()


def test_many_events_are_not_changed_without_a_yes(commands: Commands) -> None:
    commands.operations.events = [make_event(1)]
    for verb in ("replay", "discard"):
        refused = commands.run("events", verb)
        assert refused.exit_code == 1
        assert "say --yes" in refused.stderr
    commands.is_terminal = True
    asked = commands.run("events", "replay", "--connection", "conn_1", "--code", "x", answers="n\n")
    assert asked.exit_code == 1
    assert "Replay all dead events of conn_1 with x?" in asked.stdout
    assert commands.operations.put == []
    assert commands.run("events", "replay", answers="y\n").exit_code == 0
    assert len(commands.operations.put) == 1


def test_events_are_discarded_with_what_was_said(commands: Commands) -> None:
    commands.operations.events = [make_event(1), make_event(2)]
    commands.operations.refuses = {2}
    result = commands.run("events", "discard", "Ev1", "Ev2", "--because", "the channel is gone")
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        "1  ended as skipped (discarded): Ev1",
        "1  left alone: a pod works on its lane now: Ev2",
    ]
    assert commands.operations.said == ["the channel is gone"]
    assert commands.operations.asked[-1].states == (EventState.WAITING, EventState.DEAD)
    assert [(each.tool, each.target) for each in commands.audit.entries] == [("events discard", "Ev1")]
    assert commands.audit.entries[0].actor.startswith("cli")


def test_answers_go_into_a_shadow_channel_of_one_connection(commands: Commands) -> None:
    commands.operations.events = [make_event(1)]
    result = commands.run("events", "replay", "--connection", "conn_1", "--shadow-channel", "C9", "--yes")
    assert (result.exit_code, list(commands.journal.taken)) == (0, ["Ev1:shadow:C9"])
    assert result.stdout == "1  answered in the shadow channel, if it is for the bot: Ev1\n"
    assert commands.operations.put == []
    repeated = commands.run("events", "replay", "Ev1", "--connection", "conn_1", "--shadow-channel", "C9")
    assert repeated.exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "--since", "soon"], "--since must be a time"),
        (["list", "--since", "1h", "--until", "2h"], "--since must be before --until"),
        (["replay", " ", "--yes"], "EVENT_ID must not be empty"),
        (["list", "--code", ""], "--code must not be empty"),
        (["discard", "--state", "done", "--yes"], "has ended already"),
        (["replay", "Ev1", "--shadow-channel", "C1"], "--shadow-channel goes with --connection"),
        (["replay", "Ev1", "--shadow-channel", "C1", "--connection", "c", "--again"], "without --again"),
    ],
)
def test_bad_input_says_what_is_wrong(commands: Commands, arguments: list[str], words: str) -> None:
    result = commands.run("events", *arguments)
    assert result.exit_code == 1
    assert words in result.stderr
