"""What holds for every tool of this family, whatever it does."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from toolbox import ACME, ANN, GENERAL, GLOBEX, RANDOM, Toolbox, open_toolbox

from slack_mcp.core.ids import ChannelId
from slack_mcp.core.model import Access, ToolPolicy
from slack_mcp.tools import blocks, history, messages, pins, reactions, scheduled, search, threads

pytestmark = pytest.mark.anyio

TOOLS = (
    *messages.TOOLS,
    *history.TOOLS,
    *scheduled.TOOLS,
    *reactions.TOOLS,
    *pins.TOOLS,
    *search.TOOLS,
    *threads.TOOLS,
    *blocks.TOOLS,
)
WRITERS = [tool for tool in TOOLS if tool.access is not Access.READ]
SCOPES = {
    "SLACK_SEND_MESSAGE": "chat:write",
    "SLACK_REPLY_IN_THREAD": "chat:write",
    "SLACK_EDIT_MESSAGE": "chat:write",
    "SLACK_DELETE_MESSAGE": "chat:write",
    "SLACK_SEND_EPHEMERAL": "chat:write",
    "SLACK_SCHEDULE_MESSAGE": "chat:write",
    "SLACK_DELETE_SCHEDULED_MESSAGE": "chat:write",
    "SLACK_GET_CHANNEL_HISTORY": "channels:history or groups:history or im:history or mpim:history",
    "SLACK_GET_THREAD_REPLIES": "channels:history or groups:history or im:history or mpim:history",
    "SLACK_GET_MESSAGE": "channels:history or groups:history or im:history or mpim:history",
    "SLACK_ADD_REACTION": "reactions:write",
    "SLACK_REMOVE_REACTION": "reactions:write",
    "SLACK_GET_REACTIONS": "reactions:read",
    "SLACK_PIN_MESSAGE": "pins:write",
    "SLACK_UNPIN_MESSAGE": "pins:write",
    "SLACK_LIST_PINS": "pins:read",
    "SLACK_SEARCH_MESSAGES": "search:read.public",
}
DESTRUCTIVE = {
    "SLACK_EDIT_MESSAGE",
    "SLACK_DELETE_MESSAGE",
    "SLACK_DELETE_SCHEDULED_MESSAGE",
    "SLACK_UNPIN_MESSAGE",
    "SLACK_RESET_THREAD",
    "SLACK_PUBLISH_HOME",
}


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox(TOOLS) as toolbox:
        yield toolbox


async def prepare(box: Toolbox, channel: str = GENERAL) -> dict[str, dict[str, Any]]:
    """Return good arguments for every tool; what they name is there."""
    workspace = box.workspace()
    own = workspace.post(workspace.channels[channel], "own").message
    workspace.react(ANN, channel, own.ts, "eyes")
    at, pinned = {"channel": channel}, {"channel": channel, "timestamp": own.ts}
    workspace.pin(ANN, channel, own.ts)
    soon = int(box.services.clock.now_s()) + 3_600
    kept = await box.services.slack.open(await box.directory.load(ACME)).write(
        "chat.scheduleMessage", channel=channel, text="later", post_at=soon
    )
    thread = at | {"thread_identifier": own.ts}
    return {
        "SLACK_REPLY_IN_THREAD": at | {"thread_ts": own.ts, "text": "reply"},
        "SLACK_SEND_MESSAGE": at | {"text": "sent"},
        "SLACK_EDIT_MESSAGE": at | {"ts": own.ts, "text": "edited"},
        "SLACK_SEND_EPHEMERAL": at | {"user": ANN, "text": "psst"},
        "SLACK_GET_CHANNEL_HISTORY": at,
        "SLACK_GET_THREAD_REPLIES": at | {"thread_ts": own.ts},
        "SLACK_GET_MESSAGE": at | {"ts": own.ts},
        "SLACK_GET_PERMALINK": at | {"ts": own.ts},
        "SLACK_SCHEDULE_MESSAGE": at | {"text": "later", "post_at": soon},
        "SLACK_LIST_SCHEDULED_MESSAGES": {},
        "SLACK_DELETE_SCHEDULED_MESSAGE": at | {"scheduled_message_id": kept["scheduled_message_id"]},
        "SLACK_ADD_REACTION": pinned | {"emoji": "tada"},
        "SLACK_REMOVE_REACTION": pinned | {"emoji": "tada"},
        "SLACK_GET_REACTIONS": pinned,
        "SLACK_PIN_MESSAGE": pinned,
        "SLACK_LIST_PINS": at,
        "SLACK_UNPIN_MESSAGE": pinned,
        "SLACK_SEARCH_MESSAGES": {"query": "own"},
        "SLACK_GET_THREAD_INFO": thread,
        "SLACK_GET_THREAD_HISTORY": thread,
        "SLACK_RESET_THREAD": thread,
        "SLACK_VALIDATE_BLOCKS": {"blocks": [{"type": "divider"}]},
        "SLACK_PUBLISH_HOME": {"user_id": ANN, "blocks": [{"type": "divider"}]},
        "SLACK_DELETE_MESSAGE": at | {"ts": own.ts},
    }


async def test_every_tool_works_and_reaches_its_own_tenant_alone(box: Toolbox) -> None:
    arguments = await prepare(box)
    assert set(arguments) == {tool.name for tool in TOOLS}
    for name, given in arguments.items():
        await box.ok(name, given)
    assert box.methods(GLOBEX) == []
    assert not box.simulator.calls.cross_tenant_calls
    assert await box.audited(GLOBEX) == []
    for format_ in ("json", "csv"):
        for name in ("SLACK_GET_CHANNEL_HISTORY", "SLACK_LIST_PINS", "SLACK_SEARCH_MESSAGES"):
            await box.text(name, arguments[name] | {"format": format_})


async def test_writes_are_audited_by_id_and_reads_are_not(box: Toolbox) -> None:
    arguments = await prepare(box)
    for name, given in arguments.items():
        await box.ok(name, given)
    entries = await box.audited()
    assert [entry.tool for entry in reversed(entries)] == [
        name for name in arguments if name in {tool.name for tool in WRITERS}
    ]
    assert {(entry.actor, entry.result) for entry in entries} == {("mesh:user_1", "ok")}
    for entry in entries:
        assert entry.target is not None
        assert (GENERAL if entry.tool != "SLACK_PUBLISH_HOME" else ANN) in entry.target
        assert not any(text in entry.target for text in ("sent", "reply", "edited", "later", "psst"))


async def test_read_only_connection_lists_and_runs_no_tool_that_writes(box: Toolbox) -> None:
    arguments = await prepare(box)
    await box.set_policy(ToolPolicy(is_read_only=True))
    assert await box.list_names() == [tool.name for tool in TOOLS if tool not in WRITERS]
    box.simulator.calls.clear()
    for tool in WRITERS:
        assert "read-only" in await box.error(tool.name, arguments[tool.name])
    assert box.methods() == []


@pytest.mark.parametrize(
    "policy",
    [
        ToolPolicy(denied_write_channels=(ChannelId(GENERAL),)),
        ToolPolicy(write_channels=(ChannelId(RANDOM),)),
    ],
    ids=["denied", "not-allowed"],
)
async def test_a_channel_that_the_policy_closes_is_not_written_to(box: Toolbox, policy: ToolPolicy) -> None:
    arguments = await prepare(box)
    await box.set_policy(policy)
    before = dict(box.workspace().channels[GENERAL].messages)
    for tool in WRITERS:
        if tool.name == "SLACK_PUBLISH_HOME" and not policy.write_channels:
            continue  # it belongs to no channel
        assert "policy does not let" in await box.error(tool.name, arguments[tool.name]), tool.name
    assert box.workspace().channels[GENERAL].messages == before
    audited = await box.audited()
    assert {entry.result for entry in audited} == {"forbidden"}
    assert all((entry.target or "").startswith(GENERAL) for entry in audited if entry.tool != "SLACK_PUBLISH_HOME")
    for tool in TOOLS:
        if tool not in WRITERS:
            await box.ok(tool.name, arguments[tool.name])


async def test_a_channel_that_the_policy_opens_is_written_to(box: Toolbox) -> None:
    arguments = await prepare(box, RANDOM)
    await box.set_policy(ToolPolicy(write_channels=(ChannelId(RANDOM),)))
    for name, given in arguments.items():
        if name != "SLACK_PUBLISH_HOME":
            await box.ok(name, given)


async def test_a_caller_who_may_only_read_gets_no_tool_that_writes(box: Toolbox) -> None:
    arguments = await prepare(box)
    assert await box.list_names(access=Access.READ) == [tool.name for tool in TOOLS if tool not in WRITERS]
    for tool in WRITERS:
        assert "write access" in await box.error(tool.name, arguments[tool.name], access=Access.READ)


async def test_a_token_without_the_scope_is_told_which_is_missing(box: Toolbox) -> None:
    arguments = await prepare(box)
    await box.change(bot_scopes=frozenset({"im:write"}), user_token=None)
    listed = await box.list_names()
    for tool in TOOLS:
        assert (tool.name in listed) is (tool.name not in SCOPES)
        if tool.name in SCOPES:
            text = await box.error(tool.name, arguments[tool.name])
            assert f"{tool.name} needs the scope {SCOPES[tool.name]}" in text


async def test_what_no_schema_names_is_refused(box: Toolbox) -> None:
    arguments = await prepare(box)
    for name, given in arguments.items():
        assert "token is not an argument" in await box.error(name, given | {"token": "xoxb-1"})
        assert ": " in await box.error(name, dict.fromkeys(given, 7) | {"channel": ["x"]})


def test_annotations_are_honest() -> None:
    for tool in TOOLS:
        described = tool.describe()
        assert described.annotations is not None
        assert described.annotations.read_only_hint is (tool not in WRITERS)
        assert described.annotations.destructive_hint is (tool.name in DESTRUCTIVE)
        assert described.input_schema["additionalProperties"] is False
        assert described.output_schema is not None
        assert described.output_schema["additionalProperties"] is False
        assert len(tool.description) <= 220
