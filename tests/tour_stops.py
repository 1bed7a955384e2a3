"""The stops of the tour of all tools, in order: what each is called with, and what is then so in Slack."""

from collections.abc import Sequence

import httpx2
from tool_tour import ANN, BEN, BOT, CANARY, CAT, GENERAL, RANDOM, Json, Stop, Trip

from slack_mcp.simulator import Workspace
from slack_mcp.simulator.canvases import render_markdown

QUESTION = "How is the weather?"
BLOCKS = [{"type": "section", "text": {"type": "mrkdwn", "text": "Welcome"}}]
COLUMNS = [
    {"name": "Task", "type": "text"},
    {"name": "State", "type": "select", "choices": ["Open", "Done"]},
    {"name": "Who", "type": "user"},
]


async def click(trip: Trip) -> None:
    """Let Ann click the second answer to the question that was asked."""
    asked = trip.got["SLACK_ASK_HUMAN"]
    body = {
        "team_id": trip.workspace.team_id,
        "kind": "click",
        "user": ANN,
        "channel": asked["channel"],
        "ts": asked["ts"],
        "action_id": "slack_mcp_answer_1",
    }
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as http:
        answer = (await http.post(f"{trip.simulator.base_url}/control/interaction", json=body)).json()
    assert answer["is_acknowledged"], answer


async def ask_the_bot(trip: Trip) -> None:
    """Let Ann ask the bot something, and wait until it has answered and knows that it has."""
    root = trip.simulator.say(trip.workspace.team_id, ANN, GENERAL, f"<@{BOT}> {QUESTION}").message.ts
    await trip.simulator.wait_for_answer(trip.workspace.team_id, GENERAL, root, text=QUESTION, timeout_s=30)
    assert trip.wait_for_turn is not None
    await trip.wait_for_turn()
    trip.got["question"] = {"channel": GENERAL, "thread_identifier": root}


async def count_lookups(trip: Trip) -> None:
    """Note how often channels were looked up so far."""
    trip.got["lookups"] = {"count": len(trip.list_callers("conversations.list"))}


MESSAGES = (
    Stop(
        "SLACK_SEND_MESSAGE",
        lambda _: {"channel": "#general", "text": "The tour begins"},
        lambda t, r: t.message(r["ts"]).text == "The tour begins",
    ),
    Stop(
        "SLACK_REPLY_IN_THREAD",
        lambda t: {"channel": GENERAL, "thread_ts": t.sent_ts, "text": "first"},
        lambda t, r: t.message(r["ts"]).thread_ts == t.sent_ts,
    ),
    Stop(
        "SLACK_EDIT_MESSAGE",
        lambda t: {"channel": GENERAL, "ts": t.get_id("SLACK_REPLY_IN_THREAD", "ts"), "text": "edited"},
        lambda t, r: [each.text for each in t.message(r["ts"]).revisions] == ["first", "edited"],
    ),
    Stop(
        "SLACK_SEND_EPHEMERAL",
        lambda _: {"channel": "#general", "user": "@ann", "text": "psst"},
        lambda t, _: [(each.user_id, each.text) for each in t.workspace.ephemerals] == [(ANN, "psst")],
    ),
    Stop(
        "SLACK_GET_CHANNEL_HISTORY",
        lambda _: {"channel": "#general"},
        lambda t, r: [each["ts"] for each in r["messages"]] == [each.ts for each in reversed(t.general.top)],
    ),
    Stop(
        "SLACK_GET_THREAD_REPLIES",
        lambda t: {"channel": GENERAL, "thread_ts": t.sent_ts},
        lambda t, r: (
            [each["text"] for each in r["messages"]] == [each.text for each in t.workspace.thread(GENERAL, t.sent_ts)]
        ),
    ),
    Stop(
        "SLACK_GET_PERMALINK",
        lambda t: {"channel": GENERAL, "ts": t.sent_ts},
        lambda t, r: r["permalink"].startswith(t.workspace.url),
    ),
    Stop(
        "SLACK_GET_MESSAGE",
        lambda t: {"link": t.get_id("SLACK_GET_PERMALINK", "permalink")},
        lambda t, r: (r["channel"], r["message"]["text"]) == (GENERAL, t.message(t.sent_ts).text),
    ),
    Stop(
        "SLACK_SEARCH_MESSAGES",
        lambda _: {"query": "tour begins"},
        lambda t, r: (
            [each["ts"] for each in r["messages"]] == [t.sent_ts]
            and t.list_callers("search.messages") == [t.user_token]
        ),
    ),
    Stop(
        "SLACK_ADD_REACTION",
        lambda t: {"channel": GENERAL, "timestamp": t.sent_ts, "emoji": ":eyes:"},
        lambda t, _: t.message(t.sent_ts).reactions == {"eyes": [BOT]},
    ),
    Stop(
        "SLACK_GET_REACTIONS",
        lambda t: {"channel": GENERAL, "timestamp": t.sent_ts},
        lambda _, r: {each["name"]: [who["id"] for who in each["users"]] for each in r["reactions"]} == {"eyes": [BOT]},
    ),
    Stop(
        "SLACK_REMOVE_REACTION",
        lambda t: {"channel": GENERAL, "timestamp": t.sent_ts, "emoji": "eyes"},
        lambda t, _: not t.message(t.sent_ts).reactions.get("eyes"),
    ),
    Stop(
        "SLACK_PIN_MESSAGE",
        lambda t: {"channel": GENERAL, "timestamp": t.sent_ts},
        lambda t, _: [each.ts for each in t.general.pins] == [t.sent_ts],
    ),
    Stop(
        "SLACK_LIST_PINS",
        lambda _: {"channel": GENERAL},
        lambda t, r: (
            [(each["ts"], each["pinned_by"]) for each in r["pins"]]
            == [(each.ts, each.created_by) for each in t.general.pins]
        ),
    ),
    Stop(
        "SLACK_UNPIN_MESSAGE",
        lambda t: {"channel": GENERAL, "timestamp": t.sent_ts},
        lambda t, _: not t.general.pins,
    ),
    Stop(
        "SLACK_SCHEDULE_MESSAGE",
        lambda t: {"channel": "#general", "text": "Later", "post_at": int(t.workspace.now_s()) + 3_600},
        lambda t, r: t.workspace.scheduled[r["scheduled_message_id"]].text == "Later",
    ),
    Stop(
        "SLACK_LIST_SCHEDULED_MESSAGES",
        lambda _: {},
        lambda t, r: [each["id"] for each in r["scheduled_messages"]] == list(t.workspace.scheduled),
    ),
    Stop(
        "SLACK_DELETE_SCHEDULED_MESSAGE",
        lambda t: {
            "channel": GENERAL,
            "scheduled_message_id": t.get_id("SLACK_SCHEDULE_MESSAGE", "scheduled_message_id"),
        },
        lambda t, _: not t.workspace.scheduled,
    ),
    Stop(
        "SLACK_DELETE_MESSAGE",
        lambda t: {"channel": GENERAL, "ts": t.get_id("SLACK_REPLY_IN_THREAD", "ts")},
        lambda t, r: [each.ts for each in t.general.deleted] == [r["ts"]],
    ),
)

CHANNELS = (
    Stop(
        "SLACK_LIST_CHANNELS",
        lambda _: {},
        lambda _, r: {each["id"] for each in r["channels"]} == {GENERAL, RANDOM},
    ),
    Stop(
        "SLACK_SEARCH_CHANNELS",
        lambda _: {"query": "rand"},
        lambda _, r: [each["id"] for each in r["channels"]] == [RANDOM],
    ),
    Stop(
        "SLACK_GET_CHANNEL_INFO",
        lambda _: {"channel": "#random"},
        lambda t, r: r["channel"]["is_member"] is (BOT in t.workspace.channels[RANDOM].members) is False,
    ),
    Stop(
        "SLACK_JOIN_CHANNEL",
        lambda _: {"channel": "#random"},
        lambda t, _: BOT in t.workspace.channels[RANDOM].members,
    ),
    Stop(
        "SLACK_INVITE_TO_CHANNEL",
        lambda _: {"channel": "#random", "user_ids": ["@cat"]},
        lambda t, r: r["invited"] == [CAT] and CAT in t.workspace.channels[RANDOM].members,
    ),
    Stop(
        "SLACK_GET_CHANNEL_MEMBERS",
        lambda _: {"channel": "#random"},
        lambda t, r: set(r["members"]) == t.workspace.channels[RANDOM].members,
    ),
    Stop(
        "SLACK_REMOVE_FROM_CHANNEL",
        lambda _: {"channel": "#random", "user_id": "cat@example.com"},
        lambda t, _: CAT not in t.workspace.channels[RANDOM].members,
    ),
    Stop(
        "SLACK_LEAVE_CHANNEL",
        lambda _: {"channel": "#random"},
        lambda t, _: t.workspace.channels[RANDOM].members == {ANN, BEN},
    ),
    Stop(
        "SLACK_CREATE_CHANNEL",
        lambda _: {"name": "tour"},
        lambda t, _: (t.created.name, t.created.creator) == ("tour", BOT),
    ),
    # Ann's token opens it again later, for which she has to be in it.
    Stop(
        "SLACK_INVITE_TO_CHANNEL",
        lambda _: {"channel": "#tour", "user_id": ANN},
        lambda t, _: t.created.members == {BOT, ANN},
    ),
    Stop(
        "SLACK_RENAME_CHANNEL",
        lambda _: {"channel": "#tour", "name": "tour-2"},
        lambda t, r: t.created.name == r["name"] == "tour-2",
    ),
    Stop(
        "SLACK_SET_TOPIC",
        lambda _: {"channel": "#tour-2", "topic": "Tools"},
        lambda t, _: t.created.topic.value == "Tools",
    ),
    Stop(
        "SLACK_SET_PURPOSE",
        lambda _: {"channel": "#tour-2", "purpose": "To see all"},
        lambda t, _: t.created.purpose.value == "To see all",
    ),
    Stop(
        "SLACK_ARCHIVE_CHANNEL",
        lambda _: {"channel": "#tour-2"},
        lambda t, _: t.created.is_archived,
    ),
    Stop(
        "SLACK_UNARCHIVE_CHANNEL",
        lambda t: {"channel": t.created.channel_id},
        lambda t, _: not t.created.is_archived and t.list_callers("conversations.unarchive") == [t.user_token],
    ),
    Stop(
        "SLACK_ADD_BOOKMARK",
        lambda _: {"channel": "#general", "title": "Docs", "link": "https://docs.example"},
        lambda t, r: t.general.bookmarks[r["bookmark_id"]].link == "https://docs.example",
    ),
    Stop(
        "SLACK_EDIT_BOOKMARK",
        lambda t: {
            "channel": GENERAL,
            "bookmark_id": t.get_id("SLACK_ADD_BOOKMARK", "bookmark_id"),
            "title": "Manual",
        },
        lambda t, r: t.general.bookmarks[r["bookmark_id"]].title == "Manual",
    ),
    Stop(
        "SLACK_LIST_BOOKMARKS",
        lambda _: {"channel": GENERAL},
        lambda t, r: [each["id"] for each in r["bookmarks"]] == list(t.general.bookmarks),
    ),
    Stop(
        "SLACK_REMOVE_BOOKMARK",
        lambda t: {"channel": GENERAL, "bookmark_id": t.get_id("SLACK_ADD_BOOKMARK", "bookmark_id")},
        lambda t, _: not t.general.bookmarks,
    ),
    Stop(
        "SLACK_GET_UNREADS",
        lambda _: {},
        lambda _, r: GENERAL in {each["channel"] for each in r["unreads"]},
    ),
    Stop(
        "SLACK_MARK_READ",
        lambda _: {"channel": "#general"},
        lambda t, r: t.general.last_read[ANN] == r["ts"] == t.general.top[-1].ts,
    ),
)

PEOPLE = (
    Stop(
        "SLACK_GET_USER_INFO",
        lambda _: {"user_id": "@ann"},
        lambda t, r: (r["user"]["id"], r["user"]["real_name"]) == (ANN, t.workspace.users[ANN].real_name),
    ),
    Stop(
        "SLACK_LIST_USERS",
        lambda _: {},
        lambda _, r: {each["id"] for each in r["users"]} == {ANN, BEN, CAT},
    ),
    Stop(
        "SLACK_SEARCH_USERS",
        lambda _: {"query": "cat of"},
        lambda _, r: [each["id"] for each in r["users"]] == [CAT],
    ),
    Stop(
        "SLACK_GET_USER_BY_EMAIL",
        lambda t: {"email": t.workspace.users[BEN].email},
        lambda _, r: r["user"]["id"] == BEN,
    ),
    Stop(
        "SLACK_GET_USER_PROFILE",
        lambda _: {"user_id": BEN},
        lambda t, r: r["profile"]["title"] == t.workspace.users[BEN].title,
    ),
    Stop(
        "SLACK_GET_PRESENCE",
        lambda _: {"user_id": "@cat"},
        lambda _, r: (r["user_id"], r["presence"]) == (CAT, "active"),
    ),
    Stop(
        "SLACK_OPEN_DM",
        lambda _: {"user_id": "@ben"},
        lambda t, r: t.workspace.channels[r["channel_id"]].members == {BOT, BEN},
    ),
    Stop(
        "SLACK_OPEN_GROUP_DM",
        lambda _: {"user_ids": ["@ann", "@ben"]},
        lambda t, r: t.workspace.channels[r["channel_id"]].members == {BOT, ANN, BEN},
    ),
    Stop(
        "SLACK_LIST_DMS",
        lambda _: {"include_groups": True},
        lambda t, r: (
            {each["id"] for each in r["dms"]}
            == {each.channel_id for each in t.workspace.channels.values() if each.kind in {"im", "mpim"}}
        ),
    ),
    Stop(
        "SLACK_CREATE_USERGROUP",
        lambda _: {"name": "Cooks", "handle": "cooks"},
        lambda t, r: t.workspace.usergroups[r["usergroup"]["id"]].handle == "cooks",
    ),
    Stop(
        "SLACK_UPDATE_USERGROUP",
        lambda _: {"usergroup": "@cooks", "description": "They cook"},
        lambda t, r: t.workspace.usergroups[r["usergroup"]["id"]].description == "They cook",
    ),
    Stop(
        "SLACK_SET_USERGROUP_MEMBERS",
        lambda _: {"usergroup": "@cooks", "user_ids": ["@ann", CAT]},
        lambda t, r: t.workspace.usergroups[r["usergroup"]["id"]].users == [ANN, CAT],
    ),
    Stop(
        "SLACK_GET_USERGROUP_MEMBERS",
        lambda _: {"usergroup": "@cooks"},
        lambda _, r: [each["id"] for each in r["users"]] == [ANN, CAT],
    ),
    Stop(
        "SLACK_LIST_USERGROUPS",
        lambda _: {},
        lambda t, r: [each["id"] for each in r["usergroups"]] == list(t.workspace.usergroups),
    ),
    Stop(
        "SLACK_LIST_EMOJI",
        lambda _: {},
        lambda t, r: [each["name"] for each in r["emoji"]] == sorted(t.workspace.emoji),
    ),
    Stop(
        "SLACK_VALIDATE_BLOCKS",
        lambda _: {"blocks": BLOCKS},
        lambda t, r: r["valid"] and t.list_callers("blocks.validate") == [t.workspace.bot_token],
    ),
    Stop(
        "SLACK_PUBLISH_HOME",
        lambda _: {"user_id": "@ann", "blocks": BLOCKS},
        lambda t, r: t.workspace.views.home[ANN].view_id == r["view_id"],
    ),
)

FILES = (
    Stop(
        "SLACK_UPLOAD_FILE",
        lambda _: {"filename": "menu.txt", "content": "soup", "channel": "#general", "initial_comment": "today"},
        lambda t, r: (t.workspace.shelf.files[r["file_id"]].content, t.message(r["ts"]).text) == (b"soup", "today"),
    ),
    Stop(
        "SLACK_DOWNLOAD_FILE",
        lambda t: {"file_id": t.get_id("SLACK_UPLOAD_FILE", "file_id")},
        lambda t, r: r["text"].encode() == t.workspace.shelf.files[r["file_id"]].content,
    ),
    Stop(
        "SLACK_LIST_FILES",
        lambda _: {"channel": "#general"},
        lambda t, r: [each["id"] for each in r["files"]] == list(t.workspace.shelf.files),
    ),
    Stop(
        "SLACK_GET_FILE_INFO",
        lambda t: {"file_id": t.get_id("SLACK_UPLOAD_FILE", "file_id")},
        lambda _, r: (
            (r["file"]["name"], r["file"]["user"], r["file"]["shares"][0]["channel"]) == ("menu.txt", BOT, GENERAL)
        ),
    ),
    Stop(
        "SLACK_DELETE_FILE",
        lambda t: {"file_id": t.get_id("SLACK_UPLOAD_FILE", "file_id")},
        lambda t, r: t.workspace.shelf.deleted == {r["file_id"]},
    ),
    Stop(
        "SLACK_CREATE_CANVAS",
        lambda _: {"title": "Plan", "markdown": "# Plan\n\nfirst", "channel": "#general"},
        lambda t, r: t.workspace.shelf.files[r["canvas_id"]].title == "Plan",
    ),
    Stop(
        "SLACK_EDIT_CANVAS",
        lambda t: {
            "canvas_id": t.get_id("SLACK_CREATE_CANVAS", "canvas_id"),
            "operation": "insert_at_end",
            "markdown": "second",
        },
        lambda t, r: render_markdown(t.workspace.shelf.canvases[r["canvas_id"]]) == "# Plan\n\nfirst\n\nsecond",
    ),
    Stop(
        "SLACK_READ_CANVAS",
        lambda t: {"canvas_id": t.get_id("SLACK_CREATE_CANVAS", "canvas_id")},
        lambda t, r: r["markdown"] == render_markdown(t.workspace.shelf.canvases[r["canvas_id"]]),
    ),
    Stop(
        "SLACK_SHARE_CANVAS",
        lambda t: {
            "canvas_id": t.get_id("SLACK_CREATE_CANVAS", "canvas_id"),
            "access_level": "write",
            "users": ["@ann"],
        },
        lambda t, _: t.workspace.shelf.files[t.get_id("SLACK_CREATE_CANVAS", "canvas_id")].access[ANN] == "write",
    ),
    Stop(
        "SLACK_DELETE_CANVAS",
        lambda t: {"canvas_id": t.get_id("SLACK_CREATE_CANVAS", "canvas_id")},
        lambda t, _: not t.workspace.shelf.canvases,
    ),
    Stop(
        "SLACK_CREATE_LIST",
        lambda _: {"name": "Tasks", "columns": COLUMNS},
        lambda t, r: (
            [each["name"] for each in t.workspace.shelf.lists[r["list_id"]].columns] == ["Task", "State", "Who"]
        ),
    ),
    Stop(
        "SLACK_SHARE_LIST",
        lambda t: {"list_id": t.get_id("SLACK_CREATE_LIST", "list_id"), "access_level": "read", "channels": [GENERAL]},
        lambda t, _: t.workspace.shelf.files[t.get_id("SLACK_CREATE_LIST", "list_id")].access[GENERAL] == "read",
    ),
    Stop(
        "SLACK_ADD_LIST_ITEM",
        lambda t: {
            "list_id": t.get_id("SLACK_CREATE_LIST", "list_id"),
            "fields": {"Task": "Cook", "State": "Open", "Who": "@ann"},
        },
        lambda t, r: list(t.workspace.shelf.lists[r["list_id"]].items) == [r["item_id"]],
    ),
    Stop(
        "SLACK_UPDATE_LIST_ITEM",
        lambda t: t.got["SLACK_ADD_LIST_ITEM"] | {"fields": {"State": "Done"}},
        lambda t, r: t.workspace.shelf.lists[r["list_id"]].items[r["item_id"]].updated_by == BOT,
    ),
    Stop(
        "SLACK_LIST_LIST_ITEMS",
        lambda t: {"list_id": t.get_id("SLACK_CREATE_LIST", "list_id")},
        lambda t, r: [each["id"] for each in r["items"]] == [t.get_id("SLACK_ADD_LIST_ITEM", "item_id")],
    ),
    Stop(
        "SLACK_GET_LIST_ITEM",
        lambda t: dict(t.got["SLACK_ADD_LIST_ITEM"]),
        lambda _, r: r["item"]["fields"] == {"Task": "Cook", "State": "Done", "Who": f"ann ({ANN})"},
    ),
    Stop(
        "SLACK_DELETE_LIST_ITEM",
        lambda t: dict(t.got["SLACK_ADD_LIST_ITEM"]),
        lambda t, r: not t.workspace.shelf.lists[r["list_id"]].items,
    ),
)

BOT_ITSELF = (
    Stop(
        "SLACK_GET_THREAD_INFO",
        lambda t: dict(t.got["question"]),
        lambda _, r: (r["thread"]["message_count"], r["thread"]["is_active"]) == (2, True),
        before=ask_the_bot,
    ),
    Stop(
        "SLACK_GET_THREAD_HISTORY",
        lambda t: dict(t.got["question"]),
        lambda _, r: (
            [(each["role"], each.get("user_id")) for each in r["messages"]] == [("user", ANN), ("assistant", None)]
        ),
    ),
    Stop(
        "SLACK_RESET_THREAD",
        lambda t: dict(t.got["question"]),
        # Slack's own messages stay.
        lambda t, _: len(t.workspace.thread(GENERAL, t.got["question"]["thread_identifier"])) == 2,
    ),
    Stop(
        "SLACK_GET_BOT_INFO",
        lambda _: {},
        lambda t, r: (r["bot"]["user_id"], r["bot"]["team_id"]) == (BOT, t.workspace.team_id),
    ),
    Stop(
        "SLACK_GET_BOT_STATUS",
        lambda _: {},
        lambda _, r: r["status"]["connected"] and r["status"]["has_user_token"],
    ),
    Stop(
        "SYNC_CONFIG_CACHE",
        lambda _: {},
        lambda _, r: r["synced"] == 1,
        before=count_lookups,
    ),
    # Its name was known, and is asked for anew.
    Stop(
        "SLACK_GET_CHANNEL_INFO",
        lambda _: {"channel": "#general"},
        lambda t, _: len(t.list_callers("conversations.list")) == t.got["lookups"]["count"] + 1,
    ),
)

ASKING = (
    Stop(
        "SLACK_ASK_HUMAN",
        lambda _: {"channel": "#general", "question": "Soup?", "options": ["Yes", "No"]},
        lambda t, r: "Soup?" in t.message(r["ts"]).text,
    ),
    Stop(
        "SLACK_GET_ANSWER",
        lambda t: {"question_id": t.get_id("SLACK_ASK_HUMAN", "question_id"), "wait_s": 20},
        lambda _, r: (
            (r["state"], [(each["user_id"], each["answer"]) for each in r["answers"]]) == ("answered", [(ANN, "No")])
        ),
        before=click,
    ),
)

FOR_MODELS = (*MESSAGES, *CHANNELS, *PEOPLE, *FILES, *ASKING, *BOT_ITSELF)
"""The tools that a model is offered."""


def make_state(workspace: Workspace) -> Json:
    """Return the configuration of a connection as Mesh keeps it."""
    return {"SLACK_CREDENTIALS": {"BOT_TOKEN": workspace.bot_token, "SIGNING_SECRET": workspace.signing_secret}}


def make_mesh_stops(callback_url: str) -> Sequence[Stop]:
    """Return the tools that only Mesh itself is offered, in the order in which it calls them.

    Args:
        callback_url: where Mesh is told of events.
    """
    return (
        Stop(
            "MCP_CONFIGURATION",
            lambda _: {},
            lambda _, r: "SLACK_CREDENTIALS" in r["stateSchema"]["properties"],
        ),
        Stop(
            "ON_MCP_CONFIGURATION",
            lambda t: {"state": make_state(t.workspace), "scopes": []},
            lambda t, _: t.list_callers("auth.test") == [t.workspace.bot_token],
        ),
        Stop(
            "TRIGGER_LIST",
            lambda _: {},
            lambda _, r: "slack.message.received" in {each["type"] for each in r["triggers"]},
        ),
        Stop(
            "TRIGGER_CONFIGURE",
            lambda _: {
                "type": "slack.message.received",
                "params": {},
                "enabled": True,
                "callbackUrl": callback_url,
                "callbackToken": f"{CANARY}-callback",
            },
            lambda _, r: r["success"],
        ),
    )
