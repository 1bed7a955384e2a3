"""The stock Slack SDK takes the simulator for Slack, over real loopback HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anyio
import pytest
from simulator_client import make_plain_workspace
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.models.blocks import DividerBlock
from slack_sdk.models.messages.chunk import TaskUpdateChunk
from slack_sdk.web.async_client import AsyncWebClient

from slack_mcp.simulator import Address, Fault, Limits, Simulator, StreamRules, serve

pytestmark = pytest.mark.anyio
METADATA = {"event_type": "turn", "event_payload": {"event_id": "Ev1"}}


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(make_plain_workspace(1), make_plain_workspace(2))


@pytest.fixture
async def address(simulator: Simulator) -> AsyncIterator[Address]:
    async with serve(simulator) as address:
        yield address


@pytest.fixture
def client(address: Address) -> AsyncWebClient:
    return AsyncWebClient(token="xoxb-1", base_url=address.api_url)


async def test_a_turn_with_the_stock_client(client: AsyncWebClient, simulator: Simulator) -> None:
    identity = await client.auth_test()
    assert (identity["team_id"], identity["user_id"]) == ("T1", "UBOT1")
    assert "chat:write" in identity.headers["x-oauth-scopes"]
    assert (await client.bots_info(bot=identity["bot_id"]))["bot"]["app_id"] == "A1"
    root = simulator.say("T1", "UANN1", "C1", "<@UBOT1> hello").message
    posted = await client.chat_postMessage(
        channel="C1", thread_ts=root.ts, text="…", metadata=METADATA, unfurl_links=False, unfurl_media=False
    )
    await client.chat_update(channel="C1", ts=posted["ts"], text="hello yourself")
    thread = await client.conversations_replies(channel="C1", ts=root.ts, include_all_metadata=True)
    assert [message["text"] for message in thread["messages"]] == ["<@UBOT1> hello", "hello yourself"]
    assert thread["messages"][1]["metadata"] == METADATA
    message = simulator.workspaces["T1"].channels["C1"].messages[posted["ts"]]
    assert [revision.text for revision in message.revisions] == ["…", "hello yourself"]


async def test_the_other_methods_with_the_stock_client(client: AsyncWebClient, simulator: Simulator) -> None:
    ts = (await client.chat_postMessage(channel="C1", text="x", blocks=[{"type": "divider"}]))["ts"]
    assert simulator.workspaces["T1"].channels["C1"].messages[ts].blocks == [{"type": "divider"}]
    await client.reactions_add(channel="C1", timestamp=ts, name="eyes")
    shown = await client.conversations_history(channel="C1", limit=1)
    assert shown["messages"][0]["reactions"] == [{"name": "eyes", "users": ["UBOT1"], "count": 1}]
    await client.reactions_remove(channel="C1", timestamp=ts, name="eyes")
    await client.chat_postEphemeral(channel="C1", user="UANN1", text="psst")
    await client.assistant_threads_setStatus(channel_id="C1", thread_ts=ts, status="is thinking")
    await client.chat_delete(channel="C1", ts=ts)
    assert (await client.conversations_info(channel="C1"))["channel"]["name"] == "general"
    assert (await client.users_info(user="UANN1"))["user"]["name"] == "ann"
    opened = await client.conversations_open(users=["UANN1"])
    listed = await client.conversations_list(types=["public_channel", "im"])
    assert {channel["id"] for channel in listed["channels"]} == {"C1", opened["channel"]["id"]}
    names = [member["name"] async for page in await client.users_list(limit=1) for member in page["members"]]
    assert names == ["bot", "ann"]
    assert simulator.calls.errors == {}


async def test_the_stock_clients_stream_helper_writes_one_message(client: AsyncWebClient, simulator: Simulator) -> None:
    root = simulator.say("T1", "UANN1", "C1", "<@UBOT1> hello").message
    stream = await client.chat_stream(
        channel="C1", thread_ts=root.ts, recipient_team_id="T1", recipient_user_id="UANN1", buffer_size=4
    )
    await stream.append(markdown_text="hello ")
    await stream.append(chunks=[TaskUpdateChunk(id="t", title="Looking", status="in_progress")])
    await stream.append(markdown_text="yourself", chunks=[{"type": "plan_update", "title": "Work"}])
    assert (await simulator.wait_for_answer("T1", "C1", root.ts)).is_streaming
    with pytest.raises(TimeoutError):
        await simulator.wait_for_answer("T1", "C1", root.ts, is_whole=True, timeout_s=0)
    stopped = await stream.stop(blocks=[DividerBlock()], metadata=METADATA)
    assert not (await simulator.wait_for_answer("T1", "C1", root.ts, is_whole=True)).is_streaming
    message = simulator.workspaces["T1"].channels["C1"].messages[stopped["ts"]]
    assert (message.text, message.blocks, message.metadata) == ("hello yourself", [{"type": "divider"}], METADATA)
    assert [(each.title, each.status) for each in message.tasks] == [("Looking", "in_progress")]
    assert stopped["message"]["streaming_state"] == "completed"
    assert simulator.calls.counts["chat.appendStream"] == 2


async def test_the_stock_client_is_told_why_a_stream_ended(client: AsyncWebClient, simulator: Simulator) -> None:
    root = simulator.say("T1", "UANN1", "C1", "<@UBOT1> hello").message
    who: dict[str, Any] = {"recipient_team_id": "T1", "recipient_user_id": "UANN1"}
    started = await client.chat_startStream(channel="C1", thread_ts=root.ts, markdown_text="so far", **who)
    with pytest.raises(SlackApiError, match="streaming_state_conflict"):
        await client.chat_update(channel="C1", ts=started["ts"], text="x")
    simulator.gestures.stop("T1", "UANN1", "C1", root.ts)
    with pytest.raises(SlackApiError, match="stopped_by_user"):
        await client.chat_appendStream(channel="C1", ts=started["ts"], markdown_text="more")
    simulator.workspaces["T1"].stream_rules = StreamRules(max_age_s=0)
    again = await client.chat_startStream(channel="C1", thread_ts=root.ts, **who)
    with pytest.raises(SlackApiError, match="message_not_in_streaming_state"):
        await client.chat_stopStream(channel="C1", ts=again["ts"])
    with pytest.raises(SlackApiError, match="missing_recipient_team_id"):
        await client.chat_startStream(channel="C1", thread_ts=root.ts)


async def test_the_stock_client_waits_as_long_as_a_limit_says(client: AsyncWebClient, simulator: Simulator) -> None:
    simulator.workspaces["T1"].limits = Limits(post_burst=1, posts_per_s=20)
    client.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=1))
    for _ in range(2):
        await client.chat_postMessage(channel="C1", text="x")
    assert simulator.calls.errors == {"ratelimited": 1}


async def test_get_query_and_form_and_json_bodies_are_the_same_call(address: Address, simulator: Simulator) -> None:
    url = f"{address.api_url}chat.postMessage"
    bearer = {"Authorization": "Bearer xoxb-1"}
    args = {"channel": "C1", "text": "grüße & co"}
    async with aiohttp.ClientSession() as session:
        for request in (
            session.get(url, params=args, headers=bearer),
            session.get(url, params=args | {"token": "xoxb-1"}),
            session.post(url, params=args, headers=bearer),
            session.post(url, data=args, headers=bearer),
            session.post(url, data=args | {"token": "xoxb-1"}),
            session.post(url, json=args, headers=bearer),
        ):
            async with request as response:
                assert (await response.json())["ok"]
    assert [message.text for message in simulator.workspaces["T1"].channels["C1"].top] == ["grüße & co"] * 6
    assert {call.token for call in simulator.calls.select()} == {"xoxb-1"}
    assert [call.args for call in simulator.calls.select()] == [args] * 6


async def test_refusals_reach_the_client_as_slack_errors(client: AsyncWebClient, simulator: Simulator) -> None:
    with pytest.raises(SlackApiError) as refused:
        await client.chat_postMessage(channel="C2", text="x")
    assert refused.value.response["error"] == "channel_not_found"
    assert [call.channel_team_id for call in simulator.calls.cross_tenant_calls] == ["T2"]
    simulator.faults.add(Fault(method="chat.postMessage", status=429, retry_after_s=30))
    with pytest.raises(SlackApiError) as limited:
        await client.chat_postMessage(channel="C1", text="x")
    assert limited.value.response.status_code == 429
    assert limited.value.response.headers["Retry-After"] == "30"


async def test_sdk_retries_a_rate_limited_call_by_its_retry_after(client: AsyncWebClient, simulator: Simulator) -> None:
    client.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=1))
    simulator.faults.add(Fault(method="chat.postMessage", status=429, retry_after_s=0))
    assert (await client.chat_postMessage(channel="C1", text="x"))["ok"]
    assert [call.status for call in simulator.calls.select("chat.postMessage")] == [429, 200]


async def test_hanging_call_ends_when_the_caller_gives_up(client: AsyncWebClient, simulator: Simulator) -> None:
    simulator.faults.add(Fault(method="chat.postMessage"))
    with pytest.raises(TimeoutError), anyio.fail_after(0.05):
        await client.chat_postMessage(channel="C1", text="x")
    (hung,) = simulator.calls.select("chat.postMessage")
    await simulator.changes.wait_until(lambda: hung.error == "hung", timeout_s=5)
    assert simulator.workspaces["T1"].channels["C1"].top == []


async def test_interleaved_tenants_keep_their_tokens_apart(address: Address, simulator: Simulator) -> None:
    async def write(number: int) -> None:
        client = AsyncWebClient(token=f"xoxb-{number}", base_url=address.api_url)
        for index in range(50):
            await client.chat_postMessage(channel=f"C{number}", text=str(index))

    async with anyio.create_task_group() as tasks:
        for number in (1, 2):
            for _ in range(4):
                tasks.start_soon(write, number)
    assert simulator.calls.counts["chat.postMessage"] == 400
    assert simulator.calls.cross_tenant_calls == []
    for number in (1, 2):
        channel = simulator.workspaces[f"T{number}"].channels[f"C{number}"]
        assert len(channel.messages) == 200
        assert {call.token for call in simulator.calls.select(team_id=f"T{number}")} == {f"xoxb-{number}"}


async def test_answer_is_waited_for_until_it_says_the_text(client: AsyncWebClient, simulator: Simulator) -> None:
    root = simulator.say("T1", "UANN1", "C1", "<@UBOT1> hello").message

    async def answer() -> None:
        posted = await client.chat_postMessage(channel="C1", thread_ts=root.ts, text="thinking")
        await client.chat_update(channel="C1", ts=posted["ts"], text="the answer")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer)
        message = await simulator.wait_for_answer("T1", "C1", root.ts, text="answer", timeout_s=5)
    assert [revision.text for revision in message.revisions] == ["thinking", "the answer"]
    with pytest.raises(TimeoutError):
        await simulator.wait_for_answer("T1", "C1", root.ts, text="never said", timeout_s=0.01)


async def test_page_stream_carries_what_is_said(address: Address) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{address.base_url}/demo/stream") as stream:
        with anyio.fail_after(5):
            await stream.content.readuntil(b"event: ready\ndata: {}\n\n")
            said = {"channel": "C1", "text": "hello"}
            async with session.post(f"{address.base_url}/demo/say", json=said) as response:
                ts = (await response.json())["ts"]
            assert ts in (await stream.content.readuntil(b"\n\n")).decode()


@pytest.fixture
def ann(address: Address, simulator: Simulator) -> AsyncWebClient:
    simulator.workspaces["T1"].add_user_token("UANN1", "xoxp-1")
    return AsyncWebClient(token="xoxp-1", base_url=address.api_url)


async def test_channels_with_the_stock_client(client: AsyncWebClient, simulator: Simulator) -> None:
    simulator.workspaces["T1"].add_user("UEVE", "eve")
    channel = (await client.conversations_create(name="plans"))["channel"]["id"]
    await client.conversations_invite(channel=channel, users=["UANN1", "UEVE"])
    await client.conversations_kick(channel=channel, user="UEVE")
    await client.conversations_setTopic(channel=channel, topic="2027")
    await client.conversations_setPurpose(channel=channel, purpose="planning")
    await client.conversations_rename(channel=channel, name="plans-2027")
    info = (await client.conversations_info(channel=channel, include_num_members=True))["channel"]
    assert (info["name"], info["topic"]["value"], info["num_members"]) == ("plans-2027", "2027", 2)
    pages = [page["members"] async for page in await client.conversations_members(channel=channel, limit=1)]
    assert pages == [["UANN1"], ["UBOT1"]]
    await client.conversations_mark(channel=channel, ts="1.2")
    await client.conversations_archive(channel=channel)
    listed = await client.conversations_list(types=["public_channel", "private_channel"], exclude_archived=True)
    assert [each["id"] for each in listed["channels"]] == ["C1"]
    await client.conversations_unarchive(channel=channel)
    await client.conversations_leave(channel=channel)
    await client.conversations_join(channel=channel)
    mine = await client.users_conversations(types="public_channel")
    assert {each["id"] for each in mine["channels"]} == {"C1", channel}
    group = await client.conversations_open(users=["UANN1", "UEVE"], return_im=True)
    assert group["channel"]["is_mpim"]
    assert simulator.calls.errors == {}


async def test_messages_to_come_and_marks_with_the_stock_client(client: AsyncWebClient, simulator: Simulator) -> None:
    at = int(simulator.clock.now_s()) + 3600
    made = await client.chat_scheduleMessage(channel="C1", text="later", post_at=at)
    listed = await client.chat_scheduledMessages_list(channel="C1", oldest=str(at - 1), latest=str(at + 1))
    assert [each["id"] for each in listed["scheduled_messages"]] == [made["scheduled_message_id"]]
    await client.chat_deleteScheduledMessage(channel="C1", scheduled_message_id=made["scheduled_message_id"])
    ts = (await client.chat_postMessage(channel="C1", text="x", attachments=[{"text": "y"}]))["ts"]
    assert (await client.chat_getPermalink(channel="C1", message_ts=ts))["permalink"].endswith(ts.replace(".", ""))
    await client.reactions_add(channel="C1", timestamp=ts, name="eyes")
    assert (await client.reactions_get(channel="C1", timestamp=ts))["message"]["reactions"][0]["name"] == "eyes"
    assert len((await client.reactions_list(user="UBOT1"))["items"]) == 1
    await client.pins_add(channel="C1", timestamp=ts)
    assert [each["message"]["ts"] for each in (await client.pins_list(channel="C1"))["items"]] == [ts]
    await client.pins_remove(channel="C1", timestamp=ts)
    bookmark = await client.bookmarks_add(channel_id="C1", title="Docs", type="link", link="https://example.com")
    where = {"channel_id": "C1", "bookmark_id": bookmark["bookmark"]["id"]}
    await client.bookmarks_edit(title="Manual", **where)
    assert [each["title"] for each in (await client.bookmarks_list(channel_id="C1"))["bookmarks"]] == ["Manual"]
    await client.bookmarks_remove(**where)
    assert (await client.emoji_list())["emoji"] == {}
    assert simulator.calls.errors == {}


async def test_people_with_the_stock_client(client: AsyncWebClient, ann: AsyncWebClient, simulator: Simulator) -> None:
    assert (await client.users_lookupByEmail(email="ann@example.com"))["user"]["id"] == "UANN1"
    await ann.users_profile_set(profile={"status_text": "out"})
    assert (await client.users_profile_get(user="UANN1"))["profile"]["status_text"] == "out"
    assert (await client.users_getPresence(user="UANN1"))["presence"] == "active"
    assert (await client.dnd_info(user="UANN1"))["dnd_enabled"] is False
    group = (await client.usergroups_create(name="Team", handle="team", channels=["C1"]))["usergroup"]["id"]
    await client.usergroups_update(usergroup=group, description="us")
    await client.usergroups_users_update(usergroup=group, users=["UANN1"])
    assert (await client.usergroups_users_list(usergroup=group))["users"] == ["UANN1"]
    await client.usergroups_disable(usergroup=group)
    await client.usergroups_enable(usergroup=group)
    assert (await client.usergroups_list(include_count=True))["usergroups"][0]["user_count"] == 1
    reminder = (await ann.reminders_add(text="lunch", time="60"))["reminder"]["id"]
    assert [each["id"] for each in (await ann.reminders_list())["reminders"]] == [reminder]
    assert simulator.calls.errors == {}


async def test_searches_with_the_stock_client(
    client: AsyncWebClient, ann: AsyncWebClient, simulator: Simulator
) -> None:
    said = simulator.say("T1", "UANN1", "C1", "<@UBOT1> the gizmo")
    found = await ann.search_messages(query="gizmo in:#general", count=10, page=1, sort="timestamp")
    assert [each["ts"] for each in found["messages"]["matches"]] == [said.message.ts]
    action_token = said.envelopes[0]["event"]["assistant_thread"]["action_token"]
    context = await client.assistant_search_context(
        query="gizmo", action_token=action_token, content_types=["messages", "channels"]
    )
    assert [each["message_ts"] for each in context["results"]["messages"]] == [said.message.ts]
    assert (await client.assistant_search_info())["is_ai_search_enabled"] is False
    with pytest.raises(SlackApiError) as refused:
        await client.search_messages(query="gizmo")
    assert refused.value.response["error"] == "not_allowed_token_type"


async def test_views_and_threads_with_the_stock_client(client: AsyncWebClient, simulator: Simulator) -> None:
    workspace = simulator.workspaces["T1"]
    modal = {
        "type": "modal",
        "title": {"type": "plain_text", "text": "Ask"},
        "blocks": [{"type": "divider"}],
    }
    await client.views_publish(user_id="UANN1", view={"type": "home", "blocks": []})
    opened = await client.views_open(trigger_id=workspace.make_trigger_id("UANN1"), view=modal)
    pushed = await client.views_push(trigger_id=workspace.make_trigger_id("UANN1"), view=modal)
    assert pushed["view"]["previous_view_id"] == opened["view"]["id"]
    await client.views_update(view_id=opened["view"]["id"], hash=opened["view"]["hash"], view=modal)
    await client.blocks_validate(view=modal)
    await client.assistant_threads_setTitle(channel_id="C1", thread_ts="1.2", title="Questions")
    prompts = [{"title": "Help", "message": "Help me"}]
    await client.assistant_threads_setSuggestedPrompts(channel_id="C1", thread_ts="1.2", prompts=prompts)
    assert workspace.thread_prompts == {("C1", "1.2"): prompts}
    assert simulator.calls.errors == {}
