import json
from typing import Any

import anyio
import pytest
from bot_fakes import CHANNEL, ROOT, FakeTurns, make_connection, make_payload, make_turn
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.bot.addressed import Addressed, SkipReason, decide, find_reason_to_skip
from slack_mcp.core.ids import ChannelId, UserId
from slack_mcp.core.model import Connection, ConnectionSettings, Speaking
from slack_mcp.protocol.events import EventCallback, parse_envelope

pytestmark = pytest.mark.anyio
REPLY = "1700000000.000200"
MESSAGE = {"type": "message", "channel_type": "channel", "text": "what is up?"}
DIRECT = {"type": "message", "channel_type": "im", "channel": "D1", "text": "what is up?"}
IN_THREAD = MESSAGE | {"ts": REPLY, "thread_ts": ROOT}
BOT = {"bot_id": "B9", "app_id": "A9", "user": "UB9"}


def read(**changes: Any) -> EventCallback:
    return read_envelope({}, **changes)


def read_envelope(envelope: dict[str, Any], **changes: Any) -> EventCallback:
    event = parse_envelope(json.dumps(make_payload(**changes) | envelope).encode())
    assert isinstance(event, EventCallback)
    return event


def open_to(**choices: Any) -> Connection:
    return make_connection(settings=ConnectionSettings(speaking=Speaking(**choices)))


@pytest.mark.parametrize(
    ("changes", "question"),
    [
        pytest.param({}, "what is up?", id="a mention"),
        pytest.param({"text": "<@UBOT>"}, "<@UBOT>", id="a bare mention stays as it is"),
        pytest.param({"text": " <@UBOT|bot>\u00a0a &lt;b&gt; &amp;amp; c"}, "a <b> &amp; c", id="unescaped"),
        pytest.param(DIRECT, "what is up?", id="a direct message"),
        pytest.param(DIRECT | {"ts": REPLY, "thread_ts": ROOT}, "what is up?", id="a reply in a direct message"),
        pytest.param(DIRECT | {"text": "", "subtype": "file_share"}, "", id="a file in a direct message"),
        pytest.param(MESSAGE | {"text": "so <@UBOT> says"}, "so says", id="a message that names the bot"),
        pytest.param(
            MESSAGE | {"text": "<@UBOT> hi", "channel_type": "mpim"}, "hi", id="a group direct message that names it"
        ),
        pytest.param(MESSAGE | {"text": "<@UBOT> see", "subtype": "file_share"}, "see", id="with a file"),
        pytest.param(MESSAGE | {"text": "<@UBOT> see", "subtype": "me_message"}, "see", id="a /me message"),
        pytest.param(IN_THREAD | {"parent_user_id": "UBOT"}, "what is up?", id="a reply to the bot"),
        pytest.param(
            IN_THREAD | {"parent_user_id": "UBOT", "subtype": "thread_broadcast"}, "what is up?", id="a broadcast reply"
        ),
    ],
)
async def test_what_is_for_the_bot(changes: dict[str, Any], question: str) -> None:
    decision = await decide(make_connection(), read(**changes), FakeTurns())
    event = read(**changes)
    assert decision == Addressed(
        channel_id=event.channel_id or CHANNEL,
        message_ts=event.ts or ROOT,
        thread_ts=ROOT,
        user_id=event.user_id,
        question=question,
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"type": "reaction_added"}, SkipReason.EVENT_TYPE, id="a reaction"),
        pytest.param({"user": "UBOT"}, SkipReason.OWN_MESSAGE, id="our user"),
        pytest.param(DIRECT | {"user": None, "bot_id": "BBOT"}, SkipReason.OWN_MESSAGE, id="our bot"),
        pytest.param(DIRECT | {"bot_id": "B9", "app_id": "ABOT"}, SkipReason.OWN_MESSAGE, id="our app"),
        pytest.param({"bot_id": "B9", "app_id": "A9"}, SkipReason.OTHER_BOT, id="another bot"),
        pytest.param(DIRECT | {"bot_id": "B9", "subtype": "bot_message"}, SkipReason.OTHER_BOT, id="a classic bot"),
        pytest.param(DIRECT | {"user": "USLACKBOT"}, SkipReason.OTHER_BOT, id="Slackbot"),
        pytest.param(DIRECT | {"subtype": "message_changed"}, SkipReason.NOISE_SUBTYPE, id="an edit"),
        pytest.param(DIRECT | {"subtype": "message_deleted"}, SkipReason.NOISE_SUBTYPE, id="a deletion"),
        pytest.param(MESSAGE | {"subtype": "channel_join"}, SkipReason.NOISE_SUBTYPE, id="a join"),
        pytest.param(MESSAGE, SkipReason.NOT_FOR_US, id="talk between people"),
        pytest.param(MESSAGE | {"text": "<@UBOTTER> hi"}, SkipReason.NOT_FOR_US, id="somebody of a longer id"),
        pytest.param(MESSAGE | {"thread_ts": ROOT}, SkipReason.NOT_FOR_US, id="a thread's root"),
        pytest.param(IN_THREAD | {"parent_user_id": "UANN"}, SkipReason.NOT_FOR_US, id="a thread of others"),
        pytest.param(
            IN_THREAD | {"parent_user_id": "UBOT", "text": " ", "subtype": "file_share"},
            SkipReason.NO_WORDS,
            id="a picture in our thread",
        ),
        pytest.param(
            {"type": "message", "subtype": "file_share", "channel": None}, SkipReason.NOT_FOR_US, id="no channel"
        ),
    ],
)
async def test_what_is_not_for_the_bot(changes: dict[str, Any], reason: SkipReason) -> None:
    assert await decide(make_connection(), read(**changes), FakeTurns()) is reason


async def test_a_reply_is_answered_where_the_bot_takes_part_and_only_there() -> None:
    turns = FakeTurns()
    await turns.begin_turn(make_turn())
    assert isinstance(await decide(make_connection(), read(**IN_THREAD), turns), Addressed)
    others: list[dict[str, Any]] = [{"channel": "C2"}, {"thread_ts": "1700000000.000150"}]
    for other in others:
        assert await decide(make_connection(), read(**(IN_THREAD | other)), turns) is SkipReason.NOT_FOR_US
    elsewhere = make_connection(connection_id="conn_2")
    assert await decide(elsewhere, read(**IN_THREAD), turns) is SkipReason.NOT_FOR_US


async def test_only_allowed_channels_are_served_but_direct_messages_always() -> None:
    connection = make_connection(settings=ConnectionSettings(allowed_channels=(CHANNEL,)))
    assert isinstance(await decide(connection, read(), FakeTurns()), Addressed)
    assert isinstance(await decide(connection, read(**DIRECT), FakeTurns()), Addressed)
    assert await decide(connection, read(channel="C2"), FakeTurns()) is SkipReason.CHANNEL_NOT_ALLOWED
    group = read(**(MESSAGE | {"channel": "G2", "channel_type": "mpim", "text": "<@UBOT> hi"}))
    assert await decide(connection, group, FakeTurns()) is SkipReason.CHANNEL_NOT_ALLOWED


async def test_a_connection_that_does_not_know_its_bot_yet_answers_mentions_and_no_bots() -> None:
    connection = make_connection(bot_user_id=None, bot_id=None, api_app_id=None)
    decision = await decide(connection, read(), FakeTurns())
    assert isinstance(decision, Addressed)
    assert decision.question == "<@UBOT> what is up?"
    assert await decide(connection, read(bot_id="BBOT", app_id="ABOT"), FakeTurns()) is SkipReason.OWN_MESSAGE
    assert await decide(connection, read(bot_id="BBOT"), FakeTurns()) is SkipReason.OTHER_BOT
    assert await decide(connection, read(**IN_THREAD), FakeTurns()) is SkipReason.NOT_FOR_US


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param(BOT, None, id="it names us"),
        pytest.param(BOT | {"type": "message", "subtype": "bot_message", "user": None}, None, id="of the older kind"),
        pytest.param(BOT | MESSAGE, SkipReason.OTHER_BOT, id="it does not"),
        pytest.param(BOT | IN_THREAD | {"parent_user_id": "UBOT"}, SkipReason.OTHER_BOT, id="a reply in our thread"),
        pytest.param(BOT | DIRECT, SkipReason.OTHER_BOT, id="in a direct message, without naming us"),
        pytest.param({"user": "USLACKBOT"}, SkipReason.OTHER_BOT, id="Slackbot repeats what people set up"),
        pytest.param({"bot_id": "BBOT"}, SkipReason.OWN_MESSAGE, id="ourselves"),
        pytest.param(BOT | {"subtype": "message_changed"}, SkipReason.NOISE_SUBTYPE, id="its edit"),
        pytest.param({"subtype": "bot_message"}, SkipReason.NOISE_SUBTYPE, id="the subtype, and no bot"),
    ],
)
async def test_where_bots_are_allowed_only_their_mentions_are_answered(
    changes: dict[str, Any], reason: SkipReason | None
) -> None:
    turns = FakeTurns()
    await turns.begin_turn(make_turn())
    decision = await decide(open_to(allow_bots=True), read(**changes), turns)
    assert (None if isinstance(decision, Addressed) else decision) is reason


@pytest.mark.parametrize(
    ("choices", "user", "is_answered"),
    [
        ({"allowed_users": ("UANN",)}, "UANN", True),
        ({"allowed_users": ("UANN",)}, "UBOB", False),
        ({"allowed_users": ("UANN",)}, None, False),
        ({"denied_users": ("UANN",)}, "UANN", False),
        ({"denied_users": ("UANN",)}, "UBOB", True),
        ({"denied_users": ("UANN",)}, None, False),
        ({"allowed_users": ("UANN",), "denied_users": ("UANN",)}, "UANN", False),
        ({}, None, True),
    ],
)
@pytest.mark.parametrize("place", [{}, DIRECT, IN_THREAD | {"parent_user_id": "UBOT"}])
async def test_only_people_who_may_ask_are_answered_wherever_they_do(
    choices: dict[str, Any], user: str | None, is_answered: bool, place: dict[str, Any]
) -> None:
    decision = await decide(open_to(**choices), read(**(place | {"user": user})), FakeTurns())
    assert isinstance(decision, Addressed) is is_answered
    assert is_answered or decision is SkipReason.USER_NOT_ALLOWED


async def test_the_lists_of_people_hold_for_bots_too() -> None:
    connection = open_to(allow_bots=True, allowed_users=(UserId("UANN"),))
    assert await decide(connection, read(**BOT), FakeTurns()) is SkipReason.USER_NOT_ALLOWED


@pytest.mark.parametrize(
    ("envelope", "changes"),
    [
        pytest.param({"is_ext_shared_channel": True}, {}, id="a shared channel"),
        pytest.param({"is_ext_shared_channel": True}, DIRECT, id="a shared direct message"),
        pytest.param({}, DIRECT | {"user_team": "T2"}, id="a foreign person's direct message"),
        pytest.param({}, {"team": "T1", "source_team": "T2"}, id="a foreign person"),
    ],
)
async def test_what_other_organizations_hear_is_answered_only_where_that_is_allowed(
    envelope: dict[str, Any], changes: dict[str, Any]
) -> None:
    event = read_envelope(envelope, **changes)
    assert find_reason_to_skip(open_to(), event) is SkipReason.EXTERNAL_NOT_ALLOWED
    assert await decide(open_to(), event, FakeTurns()) is SkipReason.EXTERNAL_NOT_ALLOWED
    assert isinstance(await decide(open_to(allow_external=True), event, FakeTurns()), Addressed)


async def test_a_colleague_in_another_workspace_of_the_same_organization_is_no_stranger() -> None:
    installed = {"authorizations": [{"team_id": "T1", "enterprise_id": "E1"}]}
    assert isinstance(await decide(open_to(), read_envelope(installed, user_team="T2"), FakeTurns()), Addressed)
    shared = installed | {"is_ext_shared_channel": True}
    assert find_reason_to_skip(open_to(), read_envelope(shared, user_team="T2")) is SkipReason.EXTERNAL_NOT_ALLOWED


async def test_a_connection_that_does_not_know_its_workspace_yet_believes_the_envelope() -> None:
    unknown = make_connection(team_id=None)
    assert find_reason_to_skip(unknown, read(user_team="T1")) is None
    assert find_reason_to_skip(unknown, read(user_team="T2")) is SkipReason.EXTERNAL_NOT_ALLOWED


def some(*values: str | None) -> st.SearchStrategy[str | None]:
    return st.sampled_from(values)


@given(
    event=st.fixed_dictionaries(
        {
            "type": some("message", "app_mention", "reaction_added"),
            "subtype": some(None, "file_share", "bot_message", "message_changed", "channel_join"),
            "user": some(None, "UANN", "UBOB", "UBOT", "UB9", "USLACKBOT"),
            "bot_id": some(None, "BBOT", "B9"),
            "channel": some("C1", "C2", "D1"),
            "text": some("hi", "<@UBOT> hi", ""),
            "thread_ts": some(None, ROOT),
            "parent_user_id": some(None, "UBOT"),
            "user_team": some(None, "T1", "T2"),
            "ts": some(REPLY),
        }
    ),
    shared=st.booleans(),
    settings=st.builds(
        ConnectionSettings,
        agent=st.none(),
        allowed_channels=st.lists(st.sampled_from([ChannelId("C1"), ChannelId("C9")])).map(tuple),
        speaking=st.builds(
            Speaking,
            allow_bots=st.booleans(),
            allow_external=st.booleans(),
            allowed_users=st.lists(st.sampled_from([UserId("UANN"), UserId("UB9")])).map(tuple),
            denied_users=st.lists(st.sampled_from([UserId("UANN"), UserId("UBOB")])).map(tuple),
        ),
    ),
)
def test_whatever_comes_nobody_is_answered_who_must_not_be(
    event: dict[str, Any], shared: bool, settings: ConnectionSettings
) -> None:
    speaking = settings.speaking
    connection = make_connection(settings=settings)
    envelope = read_envelope({"is_ext_shared_channel": shared}, **event)
    decision = anyio.run(decide, connection, envelope, FakeTurns())
    if not isinstance(decision, Addressed):
        assert find_reason_to_skip(connection, envelope) in (None, decision)
        return
    assert find_reason_to_skip(connection, envelope) is None
    assert event["type"] != "reaction_added"
    assert event["subtype"] in (None, "file_share", "bot_message")
    assert event["user"] not in {"UBOT", "USLACKBOT"}
    assert event["bot_id"] != "BBOT"
    assert event["bot_id"] is None or (
        speaking.allow_bots and (event["type"] == "app_mention" or "<@UBOT>" in event["text"])
    )
    assert not settings.allowed_channels or event["channel"] in (*settings.allowed_channels, "D1")
    assert not speaking.allowed_users or event["user"] in speaking.allowed_users
    assert not speaking.denied_users or event["user"] not in (None, *speaking.denied_users)
    assert speaking.allow_external or not (shared or event["user_team"] == "T2")
