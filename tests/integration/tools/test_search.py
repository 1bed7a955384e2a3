from collections.abc import AsyncIterator
from typing import Any

import pytest
from toolbox import ANN, BEN, GENERAL, GLOBEX, RANDOM, SECRET_CHANNEL, USER_TOKENS, Toolbox, open_toolbox

from slack_mcp.simulator.faults import Fault
from slack_mcp.tools.search import TOOLS

pytestmark = pytest.mark.anyio

SEARCH = "SLACK_SEARCH_MESSAGES"
OLD, NEW = "search.messages", "assistant.search.context"


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox(TOOLS) as toolbox:
        yield toolbox


def say(box: Toolbox, text: str, thread_ts: str | None = None, channel: str = GENERAL) -> str:
    return box.workspace().say(ANN, channel, text, thread_ts).message.ts


async def test_a_user_token_searches_what_its_owner_sees(box: Toolbox) -> None:
    root = say(box, f"the plan of <@{BEN}>")
    reply = say(box, "a better plan", root)
    secret = say(box, "the secret plan", channel=SECRET_CHANNEL)
    direct = box.workspace().open_im(ANN)
    say(box, "plan in private", channel=direct.channel_id)
    box.workspace(GLOBEX).say(ANN, GENERAL, "their plan")
    page = await box.ok(SEARCH, {"query": "plan", "sort": "timestamp"})
    found = {each["text"]: each for each in page["messages"]}
    assert set(found) == {"the plan of @ben", "a better plan", "the secret plan", "plan in private"}
    assert found["the plan of @ben"] == {
        "ts": root,
        "user": ANN,
        "user_name": "ann",
        "text": "the plan of @ben",
        "channel": GENERAL,
        "channel_name": "#general",
    }
    assert found["a better plan"] | {"ts": reply, "thread_ts": root} == found["a better plan"]
    assert found["the secret plan"]["ts"] == secret
    assert "channel_name" not in found["plan in private"]
    assert {call.token for call in box.simulator.calls.select(OLD)} == {USER_TOKENS[next(iter(USER_TOKENS))]}
    text = await box.text(SEARCH, {"query": "better plan"})
    assert text.startswith(f"- #general ({GENERAL}) {reply} ")
    assert text.endswith(f"ann: a better plan (in thread {root})")


async def test_links_come_when_they_are_asked_for(box: Toolbox) -> None:
    ts = say(box, "needle")
    (message,) = (await box.ok(SEARCH, {"query": "needle", "include_permalinks": True}))["messages"]
    assert message["permalink"].endswith(f"/archives/{GENERAL}/p{ts.replace('.', '')}")
    assert message["permalink"] in await box.text(SEARCH, {"query": "needle", "include_permalinks": True})


@pytest.mark.parametrize("kind", [OLD, NEW])
async def test_pages_follow_one_another(box: Toolbox, kind: str) -> None:
    said = [say(box, f"needle {number} {'x' * 300}") for number in range(7)]
    more = {} if kind == OLD else {"action_token": box.workspace().make_action_token()}
    for limits in ({"count": 3}, {"count": 5, "max_tokens": 250}, {"count": 100}):
        seen: list[str] = []
        arguments: dict[str, Any] = {"query": "needle"} | more | limits
        for _ in range(10):
            page = await box.ok(SEARCH, arguments)
            seen += [each["ts"] for each in page["messages"]]
            if "next_cursor" not in page:
                break
            # Where the page before ended is in the cursor: another count does not move it.
            arguments |= {"cursor": page["next_cursor"]} | ({"count": 9} if kind == OLD else {})
        assert seen == said[::-1]
    assert {call.method for call in box.simulator.calls.select() if "search" in call.method} == {kind}


async def test_a_bot_token_searches_with_the_action_token_of_an_event(box: Toolbox) -> None:
    ts = say(box, "the public needle")
    say(box, "the secret needle", channel=SECRET_CHANNEL)
    await box.change(user_token=None)
    page = await box.ok(SEARCH, {"query": "needle", "action_token": box.workspace().make_action_token()})
    assert page["messages"] == [
        {"ts": ts, "user": ANN, "user_name": "ann", "text": "the public needle"}
        | {"channel": GENERAL, "channel_name": "#general"}
    ]
    foreign = box.workspace(GLOBEX).make_action_token()
    assert "invalid_action_token" in await box.error(SEARCH, {"query": "needle", "action_token": foreign})


async def test_a_user_token_with_the_newer_scope_uses_the_newer_search(box: Toolbox) -> None:
    say(box, "needle", channel=RANDOM)
    box.workspace().add_user_token(ANN, USER_TOKENS[next(iter(USER_TOKENS))], "search:read.public")
    await box.change(user_scopes=frozenset({"search:read.public"}))
    assert len((await box.ok(SEARCH, {"query": "needle"}))["messages"]) == 1
    assert NEW in box.methods()
    assert OLD not in box.methods()


async def test_without_a_token_that_may_search_it_says_what_is_missing(box: Toolbox) -> None:
    await box.change(user_token=None)
    text = await box.error(SEARCH, {"query": "needle"})
    assert "a user token with search:read or search:read.public" in text
    assert "action_token" in text
    assert "SLACK_GET_CHANNEL_HISTORY" in text


async def test_a_user_token_that_may_not_search_is_told_so(box: Toolbox) -> None:
    await box.change(user_scopes=frozenset({"im:read"}))
    assert "a scope of the user token (search:read or search:read.public)" in await box.error(SEARCH, {"query": "x"})
    await box.change(user_scopes=frozenset({"im:read"}), bot_scopes=frozenset({"chat:write"}))
    assert SEARCH not in await box.list_names()
    assert "search:read.public" in await box.error(SEARCH, {"query": "x"})


async def test_bad_input_is_refused_with_what_to_do(box: Toolbox) -> None:
    for number in range(3):
        say(box, f"needle {number}")
    old = (await box.ok(SEARCH, {"query": "needle", "count": 1}))["next_cursor"]
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "query is required"),
        ({"query": ""}, "query: "),
        ({"query": "x" * 501}, "query: "),
        ({"query": "x", "count": 0}, "count: "),
        ({"query": "x", "count": 20.0}, "count: "),
        ({"query": "x", "sort": "newest"}, "sort: "),
        ({"query": "x", "limit": 5}, "limit is not an argument"),
        ({"query": "x", "cursor": "nonsense"}, "cursor: "),
        ({"query": "x", "cursor": "WyJvbGQ6YSIsMF0"}, "cursor of another list"),
        ({"query": "x", "cursor": old, "action_token": box.workspace().make_action_token()}, "another token"),
    ]
    for arguments, said in cases:
        assert said in await box.error(SEARCH, arguments), arguments


async def test_refusals_of_slack_say_what_to_do(box: Toolbox) -> None:
    box.simulator.faults.add(Fault(method=OLD, status=429, retry_after_s=7))
    assert "wait 7 s" in await box.error(SEARCH, {"query": "x"})
    box.simulator.faults.add(Fault(method=OLD, error="missing_scope"))
    assert "scope" in await box.error(SEARCH, {"query": "x"})
    box.simulator.faults.add(Fault(method=NEW, error="feature_not_enabled"))
    assert "plan" in await box.error(SEARCH, {"query": "x", "action_token": "t"})
