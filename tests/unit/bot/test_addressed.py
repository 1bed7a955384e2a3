import json
from typing import Any

import pytest
from bot_fakes import CHANNEL, ROOT, FakeTurns, make_connection, make_payload, make_turn

from slack_mcp.bot.addressed import Addressed, SkipReason, decide
from slack_mcp.core.model import ConnectionSettings
from slack_mcp.protocol.events import EventCallback, parse_envelope

pytestmark = pytest.mark.anyio
REPLY = "1700000000.000200"
MESSAGE = {"type": "message", "channel_type": "channel", "text": "what is up?"}
DIRECT = {"type": "message", "channel_type": "im", "channel": "D1", "text": "what is up?"}
IN_THREAD = MESSAGE | {"ts": REPLY, "thread_ts": ROOT}


def read(**changes: Any) -> EventCallback:
    event = parse_envelope(json.dumps(make_payload(**changes)).encode())
    assert isinstance(event, EventCallback)
    return event


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
