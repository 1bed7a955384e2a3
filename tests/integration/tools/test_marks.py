from collections.abc import AsyncIterator
from typing import Any

import pytest
from toolbox import ANN, BEN, BOT, GENERAL, GLOBEX, RANDOM, Toolbox, open_toolbox

from slack_mcp.simulator.faults import Fault
from slack_mcp.tools import pins, reactions

pytestmark = pytest.mark.anyio

ADD, REMOVE, GET = "SLACK_ADD_REACTION", "SLACK_REMOVE_REACTION", "SLACK_GET_REACTIONS"
PIN, UNPIN, PINS = "SLACK_PIN_MESSAGE", "SLACK_UNPIN_MESSAGE", "SLACK_LIST_PINS"


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox((*reactions.TOOLS, *pins.TOOLS)) as toolbox:
        yield toolbox


def say(box: Toolbox, text: str = "hello") -> str:
    return box.workspace().say(ANN, GENERAL, text).message.ts


async def test_reaction_is_added_once_and_removed_once(box: Toolbox) -> None:
    ts = say(box)
    for emoji, name in ((":tada:", "tada"), ("wave::skin-tone-2", "wave::skin-tone-2"), (":x:", "x")):
        given = {"channel": "#general", "timestamp": ts, "emoji": emoji}
        assert await box.ok(ADD, given) == {"changed": True}
        assert box.workspace().find_message(GENERAL, ts).reactions[name] == [BOT]
        assert await box.ok(ADD, given | {"emoji": name}) == {"changed": False}
        assert await box.ok(REMOVE, given) == {"changed": True}
        assert await box.ok(REMOVE, given) == {"changed": False}
        assert not box.workspace().find_message(GENERAL, ts).reactions[name]
    assert box.methods(GLOBEX) == []


async def test_reactions_of_others_stay(box: Toolbox) -> None:
    ts = say(box)
    box.workspace().react(ANN, GENERAL, ts, "tada")
    assert await box.ok(REMOVE, {"channel": GENERAL, "timestamp": ts, "emoji": "tada"}) == {"changed": False}
    assert box.workspace().find_message(GENERAL, ts).reactions["tada"] == [ANN]


async def test_reactions_are_shown_with_names(box: Toolbox) -> None:
    ts = say(box)
    assert await box.text(GET, {"channel": GENERAL, "timestamp": ts}) == "No reactions."
    for user in (ANN, BEN):
        box.workspace().react(user, GENERAL, ts, "tada")
    reactions_ = await box.ok(GET, {"channel": GENERAL, "timestamp": ts})
    users = [{"id": ANN, "name": "ann"}, {"id": BEN, "name": "ben"}]
    assert reactions_ == {"reactions": [{"name": "tada", "count": 2, "users": users}]}
    assert await box.text(GET, {"channel": GENERAL, "timestamp": ts}) == f"- :tada: 2: ann ({ANN}), ben ({BEN})"


async def test_of_many_who_reacted_some_are_named(box: Toolbox) -> None:
    ts = say(box)
    box.workspace().find_message(GENERAL, ts).reactions["tada"] = [f"U0MANY{number:03}" for number in range(60)]
    (reaction,) = (await box.ok(GET, {"channel": GENERAL, "timestamp": ts}))["reactions"]
    assert (reaction["count"], len(reaction["users"])) == (60, 50)
    assert (await box.text(GET, {"channel": GENERAL, "timestamp": ts})).endswith("U0MANY049, …")


async def test_message_is_pinned_once_and_unpinned_once(box: Toolbox) -> None:
    given = {"channel": "#general", "timestamp": say(box)}
    assert await box.ok(PIN, given) == {"changed": True}
    assert [each.ts for each in box.workspace().channels[GENERAL].pins] == [given["timestamp"]]
    assert await box.ok(PIN, given) == {"changed": False}
    assert await box.ok(UNPIN, given) == {"changed": True}
    assert await box.ok(UNPIN, given) == {"changed": False}
    assert not box.workspace().channels[GENERAL].pins
    assert box.methods(GLOBEX) == []


async def test_pins_are_listed_page_by_page_with_who_pinned_them(box: Toolbox) -> None:
    said = [say(box, f"pin {number}") for number in range(5)]
    for ts in said:
        box.workspace().pin(BEN, GENERAL, ts)
    seen: list[str] = []
    arguments: dict[str, Any] = {"channel": "#general", "limit": 2}
    for _ in range(5):
        page = await box.ok(PINS, arguments)
        seen += [each["ts"] for each in page["pins"]]
        if "next_cursor" not in page:
            break
        arguments["cursor"] = page["next_cursor"]
    assert seen == said[::-1]
    first = (await box.ok(PINS, {"channel": GENERAL}))["pins"][0]
    assert first.pop("pinned_at") > 1_700_000_000
    expected = {"ts": said[-1], "user": ANN, "user_name": "ann", "text": "pin 4"}
    assert first == expected | {"pinned_by": BEN, "pinned_by_name": "ben"}
    assert (await box.text(PINS, {"channel": GENERAL})).split("\n")[0].endswith("ann: pin 4 (pinned by ben)")
    assert await box.text(PINS, {"channel": RANDOM}) == "No pins."


BAD_INPUT: list[tuple[str, dict[str, Any], str]] = [
    (ADD, {"channel": GENERAL, "timestamp": "1600000000.000100"}, "emoji is required"),
    (ADD, {"channel": GENERAL, "timestamp": "1600000000.000100", "emoji": "thumbs up"}, "emoji: "),
    (ADD, {"channel": GENERAL, "timestamp": "1600000000.000100", "emoji": "::"}, "emoji: "),
    (ADD, {"channel": GENERAL, "timestamp": "now", "emoji": "tada"}, "timestamp: "),
    (ADD, {"channel": GENERAL, "timestamp": "1600000000.000100", "emoji": "tada"}, "message_not_found"),
    (REMOVE, {"channel": "#nowhere", "timestamp": "1600000000.000100", "emoji": "tada"}, "SLACK_LIST_CHANNELS"),
    (GET, {"channel": GENERAL, "timestamp": "1600000000.000100"}, "message_not_found"),
    (PIN, {"channel": GENERAL, "timestamp": "1600000000.000100"}, "SLACK_GET_CHANNEL_HISTORY"),
    (UNPIN, {"channel": "C0OTHERTEAM", "timestamp": "1600000000.000100"}, "channel_not_found"),
    (PINS, {"channel": GENERAL, "cursor": "nonsense"}, "cursor: "),
    (PINS, {"channel": GENERAL, "limit": True}, "limit: "),
]


async def test_bad_input_is_refused_with_what_to_do(box: Toolbox) -> None:
    for name, arguments, said in BAD_INPUT:
        assert said in await box.error(name, arguments), (name, arguments)


async def test_refusals_of_slack_say_what_to_do(box: Toolbox) -> None:
    given = {"channel": GENERAL, "timestamp": say(box)}
    for name, method, error, said in (
        (ADD, "reactions.add", "invalid_name", "SLACK_LIST_EMOJI"),
        (ADD, "reactions.add", "too_many_reactions", "as often as it may"),
        (REMOVE, "reactions.remove", "not_in_channel", "SLACK_JOIN_CHANNEL"),
        (GET, "reactions.get", "ratelimited", "wait"),
        (PIN, "pins.add", "too_many_pins", "SLACK_UNPIN_MESSAGE"),
        (UNPIN, "pins.remove", "permission_denied", "may not do this"),
    ):
        box.simulator.faults.add(Fault(method=method, error=error))
        arguments = given | ({"emoji": "tada"} if name in {ADD, REMOVE} else {})
        assert said in await box.error(name, arguments), error
