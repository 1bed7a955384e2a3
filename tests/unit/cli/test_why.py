from dataclasses import replace

from command_fakes import Commands
from explain_samples import AT_MS, EVENT

from slack_mcp.core.model import EventState
from slack_mcp.ports.explain import LaneStanding

RETRY = "Slack's retry 2 after http_timeout"
LINK = "https://acme.slack.com/archives/C1/p1700000000000100"


def test_the_story_of_an_answered_message_is_told_line_by_line(commands: Commands) -> None:
    commands.explainer.events = [EVENT]
    result = commands.run("why", LINK)
    assert result.exit_code == 0
    assert commands.explainer.asked == [("C1", "1700000000.000100", None)]
    assert result.stdout.splitlines() == [
        "Ev1  app_mention  connection conn_1",
        f"  2023-11-14T22:13:20+00:00  received and journalled by pod-a, signature proved, {RETRY}",
        "  lane C1:1700000000.000100",
        "  2023-11-14T22:13:21+00:00  slack: method chat.startStream, error ratelimited",
        "  2023-11-14T22:13:22+00:00  done (answered) after 1 failed attempts",
        "  the answer stands in 1700000001.000100",
        "  The answer is in the thread.",
    ]
    assert "canary" not in result.stdout


def test_an_ignored_message_is_told_with_the_reason_and_what_to_do(commands: Commands) -> None:
    commands.explainer.events = [replace(EVENT, state=EventState.SKIPPED, reason="not_for_us", turn=None, attempts=0)]
    result = commands.run("why", "Ev1")
    assert commands.explainer.asked == ["Ev1"]
    assert result.stdout.splitlines()[-2:] == [
        "  2023-11-14T22:13:22+00:00  skipped (not_for_us)",
        "  No mention, no direct message, no reply in a thread of the bot's. Mention the bot.",
    ]


def test_a_waiting_message_is_told_with_who_holds_its_lane_and_when_it_goes_on(commands: Commands) -> None:
    standing = LaneStanding(holder="pod-b", fence=3, takeovers=1, ready_at_ms=AT_MS, lease_until_ms=AT_MS + 15_000)
    waiting = replace(
        EVENT,
        state=EventState.WAITING,
        reason="slack_unavailable",
        detail="Slack did not answer chat.update in time.",
        standing=standing,
        next_attempt_at_ms=AT_MS + 3000,
        finished_at_ms=None,
        turn=None,
    )
    commands.explainer.events = [waiting]
    out = commands.run("why", "Ev1").stdout
    assert "held by pod-b until 2023-11-14T22:13:35+00:00, claim 3, 1 take-overs" in out
    assert "next attempt at 2023-11-14T22:13:23+00:00" in out
    assert "Slack did not answer chat.update in time." in out
    commands.explainer.events = [replace(waiting, standing=replace(standing, holder=None))]
    assert "free, may be claimed from 2023-11-14T22:13:20+00:00 on" in commands.run("why", "Ev1").stdout


def test_the_story_can_be_had_as_json_and_holds_no_text(commands: Commands) -> None:
    commands.explainer.events = [EVENT]
    (told,) = commands.run_json("why", "Ev1")
    assert told["turn"]["steps"][0]["method"] == "chat.startStream"
    assert told["turn"]["answer_chars"] == len("canary answer")
    assert "canary" not in str(told)


def test_what_nobody_knows_is_said_and_is_a_failure(commands: Commands) -> None:
    result = commands.run("why", "Ev9")
    assert result.exit_code == 1
    assert "Nothing is known of it" in result.stdout
    result = commands.run("why", "https://example.com/x")
    assert result.exit_code == 1
    assert "no link to a message" in result.stderr
