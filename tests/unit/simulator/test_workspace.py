import pytest
from stepping_clock import SteppingClock

from slack_mcp.simulator import Workspace
from slack_mcp.simulator.model import SlackRefusalError, parse_ts_us, render_ts


def test_mention_in_a_channel_is_two_events_of_one_message(workspace: Workspace) -> None:
    posted = workspace.say("UANN1", "C1", "<@UBOT1> hello")
    mention, message = posted.envelopes
    assert [mention["event"]["type"], message["event"]["type"]] == ["app_mention", "message"]
    assert mention["event"]["ts"] == message["event"]["ts"] == posted.message.ts
    assert mention["event_id"] != message["event_id"]
    assert message["event"]["channel_type"] == "channel"
    assert "channel_type" not in mention["event"]


def test_envelope_names_team_app_and_the_bot_as_authorization(workspace: Workspace) -> None:
    (envelope,) = workspace.say("UANN1", "C1", "hello").envelopes
    assert (envelope["type"], envelope["team_id"], envelope["api_app_id"]) == ("event_callback", "T1", "A1")
    assert envelope["event_time"] == 1_800_000_000
    assert envelope["authorizations"] == [
        {
            "enterprise_id": None,
            "team_id": "T1",
            "user_id": "UBOT1",
            "is_bot": True,
            "is_enterprise_install": False,
        }
    ]


def test_direct_message_is_one_event_even_with_a_mention(workspace: Workspace) -> None:
    channel = workspace.open_im("UANN1")
    (envelope,) = workspace.say("UANN1", channel.channel_id, "<@UBOT1> hello").envelopes
    assert envelope["event"]["channel_type"] == "im"
    assert envelope["event"]["channel"].startswith("D")
    assert workspace.open_im("UANN1") is channel


def test_reply_carries_thread_and_parent_and_its_root_counts_it(workspace: Workspace) -> None:
    root = workspace.say("UANN1", "C1", "question").message
    (envelope,) = workspace.say("UANN1", "C1", "more", root.ts).envelopes
    assert envelope["event"]["thread_ts"] == root.ts
    assert envelope["event"]["parent_user_id"] == "UANN1"
    assert [message.text for message in workspace.thread("C1", root.ts)] == ["question", "more"]
    assert [message.text for message in workspace.channels["C1"].top] == ["question"]


def test_bot_outside_a_channel_hears_nothing_of_it(workspace: Workspace) -> None:
    workspace.add_channel("C9", members={"UANN1"})
    assert workspace.say("UANN1", "C9", "<@UBOT1> hello").envelopes == []


def test_own_message_comes_back_with_the_bot_id(workspace: Workspace) -> None:
    (envelope,) = workspace.post(workspace.channels["C1"], "<@UBOT1> from me").envelopes
    assert envelope["event"]["type"] == "message"
    assert envelope["event"]["bot_id"] == "BBOT1"
    assert envelope["event"]["app_id"] == "A1"


def test_every_text_a_reader_saw_is_kept_with_its_time(workspace: Workspace, clock: SteppingClock) -> None:
    message = workspace.post(workspace.channels["C1"], "thinking").message
    clock.time_s += 2
    (envelope,) = workspace.update(message, "answer", blocks=None, metadata=None).envelopes
    clock.time_s += 3
    (gone,) = workspace.delete(message).envelopes
    seen = [(revision.action, revision.text, revision.at_s - 1_800_000_000) for revision in message.revisions]
    assert seen == [("posted", "thinking", 0), ("updated", "answer", 2), ("deleted", "answer", 5)]
    assert envelope["event"]["subtype"] == "message_changed"
    assert envelope["event"]["previous_message"]["text"] == "thinking"
    assert envelope["event"]["message"]["text"] == "answer"
    assert gone["event"]["deleted_ts"] == message.ts
    assert workspace.channels["C1"].deleted == [message]
    assert workspace.channels["C1"].top == []


def test_every_ts_is_later_than_the_one_before_while_the_clock_stands_still(workspace: Workspace) -> None:
    stamps = [workspace.next_ts() for _ in range(1000)]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize(("text", "microseconds"), [("1.000002", 1_000_002), ("1", 1_000_000), ("1.5", 1_500_000)])
def test_ts_is_read_to_the_microsecond(text: str, microseconds: int) -> None:
    assert parse_ts_us(text) == microseconds
    assert parse_ts_us(render_ts(microseconds)) == microseconds


def test_unknown_people_and_channels_are_refused(workspace: Workspace) -> None:
    with pytest.raises(SlackRefusalError, match="channel_not_found"):
        workspace.say("UANN1", "C404", "hello")
    with pytest.raises(SlackRefusalError, match="user_not_found"):
        workspace.say("U404", "C1", "hello")
    with pytest.raises(SlackRefusalError, match="user_not_found"):
        workspace.open_im("U404")


def test_reply_clears_the_thread_status(workspace: Workspace) -> None:
    channel = workspace.channels["C1"]
    root = workspace.say("UANN1", "C1", "question").message
    workspace.set_status(channel, root.ts, "is thinking")
    assert workspace.statuses == {("C1", root.ts): "is thinking"}
    workspace.post(channel, "answer", thread_ts=root.ts)
    assert workspace.statuses == {}
    assert workspace.status_history == [("C1", root.ts, "is thinking")]
