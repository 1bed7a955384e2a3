import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from bot_fakes import CHANNEL, ROOT, FakeTurns, make_claim, make_connection, make_event, make_turn
from transcript_fakes import FakeTranscript

from slack_mcp.bot.addressed import Addressed, SkipReason, decide, find_reason_to_skip
from slack_mcp.bot.context_notes import ThreadNotes, correct, may_be_remembered
from slack_mcp.core.ids import ChannelId, Ts
from slack_mcp.core.model import Connection, ConnectionSettings, JournalledEvent, Speaking
from slack_mcp.protocol.events import EventCallback, parse_envelope, read_event

pytestmark = pytest.mark.anyio

CONNECTION = make_connection()
REPLY = Ts("1700000005.000100")
IN_THREAD: dict[str, Any] = {
    "type": "message",
    "ts": REPLY,
    "thread_ts": ROOT,
    "channel_type": "channel",
    "text": "also",
}
BOT: dict[str, Any] = {"user": None, "bot_id": "B2", "app_id": "A2", "subtype": "bot_message", "username": "Deploy"}


def edit(text: str | None = "better", *, ts: str = REPLY, thread_ts: str | None = ROOT, **inner: Any) -> dict[str, Any]:
    """Return the changes that make an event of an edit; without a text, of a deletion."""
    old = {"user": "UANN", "ts": ts, "text": "also", **({} if thread_ts is None else {"thread_ts": thread_ts}), **inner}
    new = {"message": {**old, "text": text}} if text is not None else {"deleted_ts": ts}
    return {
        "type": "message",
        "subtype": "message_deleted" if text is None else "message_changed",
        "user": None,
        "text": None,
        "ts": "1700000009.000100",
        "channel_type": "channel",
        "previous_message": old,
        **new,
    }


def parse(event: JournalledEvent) -> EventCallback:
    envelope = parse_envelope(event.payload)
    assert isinstance(envelope, EventCallback)
    return envelope


class Ear:
    """The notes with their fakes; the bot takes part in the thread of ROOT."""

    def __init__(self) -> None:
        self.transcript = FakeTranscript()
        self.turns = FakeTurns()
        self.notes = ThreadNotes(transcript=self.transcript, turns=self.turns)

    async def hear(self, connection: Connection = CONNECTION, **changes: Any) -> Addressed | SkipReason:
        await self.turns.begin_turn(make_turn())
        event = make_event(**changes)
        decision = await decide(connection, parse(event), self.turns)
        await self.notes.hear(connection, parse(event), read_event(event.payload), decision)
        return decision

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.transcript.messages.values()]


async def test_a_question_is_noted_with_its_author_and_thread() -> None:
    ear = Ear()
    assert isinstance(await ear.hear(), Addressed)
    ((key, message),) = ear.transcript.messages.items()
    assert key == ("conn_1", CHANNEL, ROOT)
    assert (message.user_id, message.thread_ts, message.text) == ("UANN", ROOT, "<@UBOT> what is up?")


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        (IN_THREAD | {"text": "", "files": [{"id": "F1", "name": "a.png"}]}, SkipReason.NO_WORDS),
        (IN_THREAD | BOT, SkipReason.OTHER_BOT),
    ],
    ids=["a picture", "another bot"],
)
async def test_what_is_not_answered_in_a_thread_of_the_bots_is_noted_too(
    changes: dict[str, Any], decision: SkipReason
) -> None:
    ear = Ear()
    assert await ear.hear(**changes) == decision
    assert len(ear.texts) == 1
    ear = Ear()
    elsewhere = changes | {"thread_ts": "1600000000.000100"}
    await ear.hear(**elsewhere)
    assert ear.texts == []


async def test_who_is_not_answered_is_still_heard() -> None:
    ear = Ear()
    speaking = Speaking(denied_users=("UANN",))  # type: ignore[arg-type]
    connection = make_connection(settings=ConnectionSettings(speaking=speaking))
    assert await ear.hear(connection, **IN_THREAD) == SkipReason.USER_NOT_ALLOWED
    assert ear.texts == ["also"]


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ({}, IN_THREAD | {"user": "UBOT"}),
        ({}, IN_THREAD | {"thread_ts": "1600000000.000100"}),
        ({}, {"type": "message", "text": "at the top"}),
        ({}, {"type": "reaction_added"}),
        ({}, IN_THREAD | {"subtype": "channel_join"}),
        ({"allowed_channels": (ChannelId("C2"),)}, IN_THREAD | BOT),
        ({"allowed_channels": (ChannelId("C2"),)}, edit()),
        ({"trigger_only": True}, IN_THREAD | BOT),
    ],
    ids=["own", "other thread", "top", "no message", "join", "channel", "edit in a channel", "trigger only"],
)
async def test_nothing_else_is_noted(settings: dict[str, Any], changes: dict[str, Any]) -> None:
    ear = Ear()
    await ear.hear(make_connection(settings=ConnectionSettings(**settings)), **changes)
    assert ear.texts == []


async def test_a_shared_channel_in_which_the_bot_is_silent_is_not_noted() -> None:
    ear = Ear()
    event = parse(make_event(**IN_THREAD, **BOT))
    shared = msgspec.structs.replace(event, is_ext_shared=True)
    await ear.turns.begin_turn(make_turn())
    await ear.notes.hear(CONNECTION, shared, {"ts": REPLY, "text": "x"}, SkipReason.OTHER_BOT)
    assert not may_be_remembered(CONNECTION, shared)
    assert ear.texts == []


async def test_an_edit_changes_what_was_noted_and_a_deletion_forgets_it() -> None:
    ear = Ear()
    await ear.hear(**IN_THREAD)
    assert ear.texts == ["also"]
    await ear.hear(**edit("better", attachments=[{"text": "with a preview"}]))
    assert ear.texts == ["better\nwith a preview"]
    await ear.hear(**edit(None))
    assert ear.texts == [""]


async def test_the_root_of_a_thread_is_deleted_by_a_tombstone() -> None:
    ear = Ear()
    await ear.hear()
    tombstone = edit("This message was deleted.", ts=ROOT, subtype="tombstone", user="USLACKBOT")
    await ear.hear(**tombstone)
    assert ear.texts == [""]


async def test_an_edit_of_what_was_not_noted_is_not_noted() -> None:
    ear = Ear()
    await ear.hear(**edit())
    assert ear.texts == []


def test_triage_lets_pass_what_somebody_says_there_who_is_not_answered() -> None:
    speaking = Speaking(denied_users=("UANN",))  # type: ignore[arg-type]
    connection = make_connection(settings=ConnectionSettings(speaking=speaking))
    event = parse(make_event(**IN_THREAD))
    assert find_reason_to_skip(connection, event) == SkipReason.USER_NOT_ALLOWED
    assert may_be_remembered(connection, event)


@pytest.mark.parametrize(
    ("changes", "is_remembered"),
    [
        (edit(), True),
        (edit(None), True),
        (edit(thread_ts=None), False),
        (edit("<@UBOT> better", thread_ts=None), True),
        (edit(thread_ts=None) | {"channel": "D1", "channel_type": "im"}, True),
        (edit(user="UBOT"), False),
        (edit(user=None, bot_id="BBOT"), False),
        (edit(user=None, bot_id="B2"), True),
        (IN_THREAD | BOT, True),
        (IN_THREAD | BOT | {"thread_ts": None}, False),
        (IN_THREAD | BOT | {"thread_ts": REPLY}, False),
        (IN_THREAD | {"subtype": "channel_join"}, False),
        (IN_THREAD | {"user": "UBOT"}, False),
        ({"type": "reaction_added"}, False),
    ],
)
def test_triage_lets_pass_what_may_belong_to_a_thread(changes: dict[str, Any], *, is_remembered: bool) -> None:
    event = parse(make_event(**changes))
    assert may_be_remembered(CONNECTION, event) is is_remembered
    assert find_reason_to_skip(CONNECTION, event) is not None
    silent = make_connection(settings=ConnectionSettings(trigger_only=True))
    assert not may_be_remembered(silent, event)


# --- corrections


def queue(*events: JournalledEvent) -> Any:
    numbered = tuple(replace(event, id=number) for number, event in enumerate(events, start=1))
    return replace(make_claim(), events=numbered)


def correct_first(*later: dict[str, Any]) -> tuple[EventCallback, Any] | None:
    claim = queue(make_event(), *(make_event(f"Ev{number}", **each) for number, each in enumerate(later, start=2)))
    first = claim.events[0]
    return correct(first, parse(first), read_event(first.payload), claim)


def test_a_question_that_waits_is_asked_as_it_was_edited() -> None:
    corrected = correct_first(
        edit("<@UBOT> what is down?", ts=ROOT, thread_ts=None, files=[{"id": "F1"}]),
        IN_THREAD,
        edit("other", ts=REPLY),
        edit("<@UBOT> what is down, again?", ts=ROOT, thread_ts=None),
    )
    assert corrected is not None
    event, message = corrected
    assert event == msgspec.structs.replace(parse(make_event()), text="<@UBOT> what is down, again?")
    assert message == {**read_event(make_event().payload), "text": "<@UBOT> what is down, again?"}


@pytest.mark.parametrize("subtype", [{"type": "x"}, ["x"], 7])
async def test_a_subtype_that_is_no_word_is_as_good_as_absent(subtype: Any) -> None:
    ear = Ear()
    await ear.hear(**IN_THREAD, subtype=subtype)
    assert ear.texts == ["also"]
    await ear.hear(**edit("better", subtype=subtype))
    assert ear.texts == ["better"]


def test_a_question_that_was_deleted_is_not_asked() -> None:
    assert correct_first(edit(None, ts=ROOT, thread_ts=None)) is None


def test_a_question_stays_as_it_is_without_an_edit_behind_it() -> None:
    as_it_is = (parse(make_event()), read_event(make_event().payload))
    assert correct_first() == as_it_is
    claim = queue(make_event("Ev0", **edit(None, ts=ROOT)), make_event())
    second = claim.events[1]
    assert correct(second, parse(second), read_event(second.payload), claim) == as_it_is
    broken = replace(make_event("Ev9"), payload=b"{", event_type="message")
    claim = queue(make_event(), broken)
    assert correct(claim.events[0], *as_it_is, claim) == as_it_is


def test_the_event_of_an_envelope_is_read_as_slack_sent_it() -> None:
    assert read_event(json.dumps({"event": {"type": "x", "odd": 1}}).encode()) == {"type": "x", "odd": 1}
    assert read_event(b'{"event": []}') == {}
