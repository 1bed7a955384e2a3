import pytest
from simulator_client import SimulatorClient
from stepping_clock import SteppingClock

from slack_mcp.simulator import Workspace

pytestmark = pytest.mark.anyio
DAY_S = 24 * 3600
# The stepping clock starts on 2027-01-15.


@pytest.fixture(autouse=True)
def said(workspace: Workspace, clock: SteppingClock) -> None:
    workspace.add_user("UEVE", "eve", display_name="Evie")
    workspace.add_channel("C9", "plans", members={"UANN1", "UEVE"})
    workspace.add_channel("G9", "secret", kind="group", members={"UEVE"})
    workspace.say("UANN1", "C1", "The budget for the gizmo")
    clock.time_s += DAY_S
    workspace.say("UEVE", "C9", "Gizmo plans are done")
    clock.time_s += DAY_S
    workspace.say("UEVE", "G9", "secret gizmo")
    root = workspace.say("UANN1", "C1", "gizmo budget done?").message
    workspace.say("UEVE", "C1", "no gizmo", root.ts)
    workspace.pin("UANN1", "C1", root.ts)


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("gizmo", ["no gizmo", "gizmo budget done?", "Gizmo plans are done", "The budget for the gizmo"]),
        ("gizmo budget", ["gizmo budget done?", "The budget for the gizmo"]),
        ('"the gizmo"', ["The budget for the gizmo"]),
        ("gizmo -budget", ["no gizmo", "Gizmo plans are done"]),
        ("gizmo from:@eve", ["no gizmo", "Gizmo plans are done"]),
        ("gizmo from:evie in:#plans", ["Gizmo plans are done"]),
        ("gizmo from:<@UEVE> in:<#C9|plans>", ["Gizmo plans are done"]),
        ("from:me budget in:general", ["gizmo budget done?", "The budget for the gizmo"]),
        ("gizmo -in:general", ["Gizmo plans are done"]),
        ("gizmo before:2027-01-16", ["The budget for the gizmo"]),
        ("gizmo after:2027-01-16", ["no gizmo", "gizmo budget done?"]),
        ("gizmo on:2027-01-16", ["Gizmo plans are done"]),
        ("plans during:2027-01", ["Gizmo plans are done"]),
        ("gizmo during:2026-12", []),
        ("gizmo after:someday", []),
        ("has:pin", ["gizmo budget done?"]),
        ("is:thread gizmo", ["no gizmo", "gizmo budget done?"]),
        ("has:star gizmo", []),
        ("secret", []),
    ],
)
async def test_queries_find_what_their_caller_can_see(ann: SimulatorClient, query: str, texts: list[str]) -> None:
    answer = await ann.call("search.messages", query=query)
    assert [each["text"] for each in answer["messages"]["matches"]] == texts
    assert answer["query"] == query
    assert answer["messages"]["total"] == len(texts)


async def test_a_match_names_its_channel_author_and_address(ann: SimulatorClient, workspace: Workspace) -> None:
    (match,) = (await ann.call("search.messages", query="plans"))["messages"]["matches"]
    assert (match["channel"]["id"], match["channel"]["name"], match["username"]) == ("C9", "plans", "eve")
    assert match["permalink"].startswith(f"{workspace.url}archives/C9/p")
    im = workspace.open_im("UANN1")
    workspace.say("UANN1", im.channel_id, "hello robot")
    (direct,) = (await ann.call("search.messages", query="robot in:@bot"))["messages"]["matches"]
    assert (direct["channel"]["name"], direct["type"]) == ("UBOT1", "im")


async def test_matches_come_in_numbered_pages_or_by_cursor(ann: SimulatorClient) -> None:
    second = (await ann.call("search.messages", query="gizmo", count=3, page=2))["messages"]
    assert second["paging"] == {"count": 3, "total": 4, "page": 2, "pages": 2}
    assert (second["pagination"]["first"], second["pagination"]["last"]) == (4, 4)
    texts: list[str] = []
    cursor = "*"
    while cursor:
        page = await ann.call("search.messages", query="gizmo", count=3, cursor=cursor)
        texts += [each["text"] for each in page["messages"]["matches"]]
        cursor = page["response_metadata"]["next_cursor"]
    assert len(texts) == len(set(texts)) == 4
    oldest = await ann.call("search.messages", query="gizmo", sort="timestamp", sort_dir="asc", highlight=True)
    assert oldest["messages"]["matches"][0]["text"] == "The budget for the \ue000gizmo\ue001"


async def test_files_are_found_by_their_names(ann: SimulatorClient, workspace: Workspace) -> None:
    workspace.share_file("UEVE", "C9", "gizmo-plan.txt", b"x")
    found = await ann.call("search.files", query="plan")
    assert [each["name"] for each in found["files"]["matches"]] == ["gizmo-plan.txt"]
    everything = await ann.call("search.all", query="gizmo")
    assert (everything["messages"]["total"], everything["files"]["total"]) == (4, 1)


async def test_a_search_needs_words_and_its_scope(ann: SimulatorClient, workspace: Workspace) -> None:
    assert await ann.refusal("search.messages") == "no_query"
    workspace.user_tokens["xoxp-ann"].scopes = "search:read.public"
    assert (await ann.answer("search.messages", query="x"))["needed"] == "search:read"


async def test_a_bot_searches_public_channels_with_an_events_action_token(
    bot: SimulatorClient, workspace: Workspace
) -> None:
    event = workspace.say("UANN1", "C1", "<@UBOT1> look").envelopes[0]["event"]
    action_token = event["assistant_thread"]["action_token"]
    found = await bot.call("assistant.search.context", query="gizmo budget", action_token=action_token)
    messages = found["results"]["messages"]
    assert [each["content"] for each in messages[:2]] == ["gizmo budget done?", "The budget for the gizmo"]
    assert {each["channel_name"] for each in messages} == {"general", "plans"}
    assert messages[0]["author_user_id"] == "UANN1"
    for wrong in ("", "x", action_token + "x"):
        error = await bot.refusal("assistant.search.context", query="gizmo", action_token=wrong)
        assert error == "invalid_action_token"


async def test_an_action_token_is_of_one_workspace_and_given_where_a_bot_may_search(workspace: Workspace) -> None:
    assert workspace.is_action_token(workspace.make_action_token("C1"))
    workspace.scopes = "chat:write"
    assert "assistant_thread" not in workspace.say("UANN1", "C1", "x").envelopes[0]["event"]


async def test_a_person_searches_without_one_in_the_kinds_their_scopes_name(
    ann: SimulatorClient, workspace: Workspace
) -> None:
    workspace.channels["G9"].members.add("UANN1")
    public = await ann.call("assistant.search.context", query="secret")
    assert public["results"]["messages"] == []
    private = await ann.call("assistant.search.context", query="secret", channel_types="private_channel")
    assert [each["content"] for each in private["results"]["messages"]] == ["secret gizmo"]
    workspace.user_tokens["xoxp-ann"].scopes = "search:read.public"
    answer = await ann.answer("assistant.search.context", query="x", channel_types=["public_channel", "im"])
    assert answer["needed"] == "search:read.im"


async def test_all_content_types_are_found_and_paged(ann: SimulatorClient, workspace: Workspace) -> None:
    workspace.share_file("UEVE", "C9", "plans.txt", b"x")
    types = "messages,files,channels,users"
    results = (await ann.call("assistant.search.context", query="plans evie", content_types=types))["results"]
    assert [each["title"] for each in results["files"]] == ["plans.txt"]
    assert [each["name"] for each in results["channels"]] == ["plans"]
    assert [each["user_id"] for each in results["users"]] == ["UEVE"]
    texts: list[str] = []
    cursor = None
    while cursor != "":
        page = await ann.call("assistant.search.context", query="gizmo", limit=3, cursor=cursor)
        texts += [each["content"] for each in page["results"]["messages"]]
        cursor = page["response_metadata"]["next_cursor"]
    assert len(texts) == len(set(texts)) == 4


async def test_bots_messages_and_neighbours_are_shown_on_request(
    ann: SimulatorClient, bot: SimulatorClient, clock: SteppingClock
) -> None:
    posted = await bot.call("chat.postMessage", channel="C1", text="robot gizmo")
    method = "assistant.search.context"
    assert (await ann.call(method, query="robot"))["results"]["messages"] == []
    with_bots = await ann.call(method, query="robot", include_bots=True, include_context_messages=True)
    (found,) = with_bots["results"]["messages"]
    assert (found["message_ts"], found["is_author_bot"]) == (posted["ts"], True)
    assert [each["text"] for each in found["context_messages"]["before"]][-1] == "gizmo budget done?"
    assert found["context_messages"]["after"] == []
    (reply,) = (await ann.call(method, query="no", include_context_messages=True))["results"]["messages"]
    assert reply["context_messages"] == {"before": [], "after": []}
    recent = await ann.call(method, query="gizmo", after=int(clock.time_s) - 10, before=int(clock.time_s) + 10)
    assert {each["content"] for each in recent["results"]["messages"]} == {"gizmo budget done?", "no gizmo"}


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({}, "missing_query"),
        ({"query": "x", "content_types": "songs"}, "invalid_arguments"),
        ({"query": "x", "channel_types": "rooms"}, "invalid_arguments"),
        ({"query": "x", "context_channel_id": "C404"}, "context_channel_not_found"),
        ({"query": "x", "cursor": "???"}, "invalid_cursor"),
    ],
)
async def test_what_a_context_search_refuses(ann: SimulatorClient, args: dict[str, str], error: str) -> None:
    assert await ann.refusal("assistant.search.context", **args) == error


async def test_whether_the_plan_has_semantic_search(bot: SimulatorClient, workspace: Workspace) -> None:
    assert (await bot.call("assistant.search.info"))["is_ai_search_enabled"] is False
    workspace.is_ai_search_enabled = True
    assert (await bot.call("assistant.search.info"))["is_ai_search_enabled"] is True
