"""Our Slack client against a simulated Slack, over real loopback HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
from bot_fakes import make_connection
from simulator_client import make_plain_workspace
from starlette.requests import Request
from starlette.responses import Response

from slack_mcp.core.errors import (
    MissingScopeError,
    RateLimitedError,
    SlackApiError,
    SlackRefusedError,
    SlackUnavailableError,
    TokenRevokedError,
)
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.simulator import Fault, Simulator, serve
from slack_mcp.simulator.calls import Call
from slack_mcp.simulator.server import serve_app
from slack_mcp.slack.client import MAX_PAGES, REPLIES_PER_PAGE, SlackWebApi, SlackWebApis, open_slack_apis

pytestmark = pytest.mark.anyio
C1 = ChannelId("C1")
METADATA = {"event_type": "slack_mcp_answer", "event_payload": {"event_id": "Ev1"}}
TOKEN = "xoxb-canary-1"
TEXT = "canary text"


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(
        *(
            make_plain_workspace(number, team_name=f"Team {number}", bot_token=f"xoxb-canary-{number}")
            for number in (1, 2)
        )
    )


@pytest.fixture
async def apis(simulator: Simulator) -> AsyncIterator[SlackWebApis]:
    async with serve(simulator) as address, open_slack_apis(base_url=address.api_url) as apis:
        yield apis


@pytest.fixture
def api(apis: SlackWebApis) -> SlackWebApi:
    return apis.open(connect(1))


def connect(number: int, **changes: Any) -> Connection:
    connection = make_connection(
        connection_id=ConnectionId(f"conn_{number}"),
        bot_token=Secret(f"xoxb-canary-{number}"),
        bot_user_id=f"UBOT{number}",
        bot_id=f"BBOT{number}",
        api_app_id=f"A{number}",
    )
    return replace(connection, **changes)


async def test_identity_says_who_the_token_is(api: SlackWebApi, simulator: Simulator) -> None:
    identity = await api.fetch_identity()
    assert (identity.team_id, identity.team_name) == ("T1", "Team 1")
    assert (identity.bot_user_id, identity.bot_id, identity.api_app_id) == ("UBOT1", "BBOT1", "A1")
    assert identity.scopes == frozenset(simulator.workspaces["T1"].scopes.split(","))


async def test_a_token_that_may_not_ask_for_its_app_is_known_without_it(api: SlackWebApi, simulator: Simulator) -> None:
    simulator.workspaces["T1"].scopes = "chat:write, im:history,"
    identity = await api.fetch_identity()
    assert (identity.bot_id, identity.api_app_id) == ("BBOT1", None)
    assert identity.scopes == frozenset({"chat:write", "im:history"})


async def test_a_message_is_posted_in_its_thread_and_unfurls_nothing(api: SlackWebApi, simulator: Simulator) -> None:
    root = simulator.workspaces["T1"].say("UANN1", "C1", "hello").message
    ts = await api.post_message(C1, TEXT, thread_ts=Ts(root.ts), metadata=METADATA)
    message = simulator.workspaces["T1"].channels["C1"].messages[ts]
    assert (message.text, message.thread_ts, message.metadata) == (TEXT, root.ts, METADATA)
    (call,) = simulator.calls.select("chat.postMessage")
    assert (call.args["unfurl_links"], call.args["unfurl_media"], call.args["link_names"]) == (False, False, False)


async def test_a_message_outside_of_threads_is_posted_in_the_channel(api: SlackWebApi, simulator: Simulator) -> None:
    ts = await api.post_message(C1, TEXT, thread_ts=None)
    message = simulator.workspaces["T1"].channels["C1"].messages[ts]
    assert (message.thread_ts, message.metadata) == (None, None)


async def test_an_update_replaces_the_text_and_keeps_the_metadata(api: SlackWebApi, simulator: Simulator) -> None:
    ts = await api.post_message(C1, "…", thread_ts=None, metadata=METADATA)
    await api.update_message(C1, ts, TEXT)
    message = simulator.workspaces["T1"].channels["C1"].messages[ts]
    assert (message.text, message.metadata) == (TEXT, METADATA)
    other = METADATA | {"event_payload": {"event_id": "Ev2"}}
    await api.update_message(C1, ts, TEXT, metadata=other)
    assert message.metadata == other


# Finding one's own messages again


async def test_own_replies_are_those_of_the_bot_from_oldest_on(api: SlackWebApi, simulator: Simulator) -> None:
    workspace = simulator.workspaces["T1"]
    root = Ts(workspace.say("UANN1", "C1", "hello").message.ts)
    await api.post_message(C1, "too early", thread_ts=root)
    question = Ts(workspace.say("UANN1", "C1", "and?", root).message.ts)
    ts = await api.post_message(C1, TEXT, thread_ts=root, metadata=METADATA)
    (found,) = await api.fetch_own_replies(C1, root, oldest=question)
    assert (found.ts, found.text, found.user_id, found.bot_id) == (ts, TEXT, "UBOT1", "BBOT1")
    assert found.metadata == METADATA


@pytest.mark.parametrize("others", [0, 1])
async def test_own_replies_are_read_page_by_page_without_the_root(
    api: SlackWebApi, simulator: Simulator, others: int
) -> None:
    workspace = simulator.workspaces["T1"]
    root = await api.post_message(C1, "the bot began it", thread_ts=None)
    channel = workspace.channels["C1"]
    expected = []
    for number in range(REPLIES_PER_PAGE + others):
        if number % 2:
            workspace.say("UANN1", "C1", "hm", root)
        else:
            expected.append(workspace.post(channel, "hm", thread_ts=root).message.ts)
    found = await api.fetch_own_replies(C1, root, oldest=Ts(expected[0]))
    assert [message.ts for message in found] == expected
    assert len(simulator.calls.select("conversations.replies")) == 1 + others


async def test_a_thread_that_is_gone_holds_no_reply(api: SlackWebApi) -> None:
    assert await api.fetch_own_replies(C1, Ts("1700000000.000100"), oldest=Ts("0")) == ()


async def test_a_thread_that_cannot_be_read_is_an_error_and_not_an_empty_one(
    api: SlackWebApi, simulator: Simulator
) -> None:
    simulator.faults.add(Fault(method="conversations.replies", error="not_in_channel"))
    with pytest.raises(SlackRefusedError) as caught:
        await api.fetch_own_replies(C1, Ts("1700000000.000100"), oldest=Ts("0"))
    assert caught.value.slack_error == "not_in_channel"


async def test_a_connection_that_does_not_know_its_bot_asks_who_it_is(apis: SlackWebApis, simulator: Simulator) -> None:
    api = apis.open(connect(1, bot_user_id=None, bot_id=None, api_app_id=None))
    workspace = simulator.workspaces["T1"]
    root = Ts(workspace.say("UANN1", "C1", "hello").message.ts)
    ts = await api.post_message(C1, TEXT, thread_ts=root)
    assert [message.ts for message in await api.fetch_own_replies(C1, root, oldest=root)] == [ts]
    assert simulator.calls.counts["auth.test"] == 1


async def test_a_token_without_an_identity_cannot_be_told_apart_and_is_refused() -> None:
    async with answering(b'{"ok": true, "user_id": "U1"}') as apis:
        with pytest.raises(SlackUnavailableError) as caught:
            await apis.open(connect(1)).fetch_identity()
    assert caught.value.slack_error == "unreadable_answer"


# Failures


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        pytest.param({"status": 429, "retry_after_s": 7}, RateLimitedError, "ratelimited", id="429"),
        pytest.param({"error": "ratelimited", "retry_after_s": 7}, RateLimitedError, "ratelimited", id="ratelimited"),
        pytest.param({"error": "invalid_auth"}, TokenRevokedError, "invalid_auth", id="invalid_auth"),
        pytest.param({"error": "token_revoked"}, TokenRevokedError, "token_revoked", id="token_revoked"),
        pytest.param({"error": "account_inactive"}, TokenRevokedError, "account_inactive", id="account_inactive"),
        pytest.param({"error": "channel_not_found"}, SlackRefusedError, "channel_not_found", id="channel_not_found"),
        pytest.param({"error": "is_archived"}, SlackRefusedError, "is_archived", id="is_archived"),
        pytest.param({"error": "internal_error"}, SlackUnavailableError, "internal_error", id="internal_error"),
        pytest.param({"status": 500}, SlackUnavailableError, "http_500", id="500"),
        pytest.param({"status": 503}, SlackUnavailableError, "http_503", id="503"),
        pytest.param({"status": 404}, SlackUnavailableError, "unreadable_answer", id="404 of a proxy"),
        pytest.param({"status": 200}, SlackUnavailableError, "unreadable_answer", id="200 of a proxy"),
    ],
)
async def test_every_failure_is_one_of_our_errors_after_one_call(
    api: SlackWebApi, simulator: Simulator, fault: dict[str, Any], kind: type[SlackApiError], code: str
) -> None:
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "chat.postMessage": lambda: api.post_message(C1, TEXT, thread_ts=None),
        "chat.update": lambda: api.update_message(C1, Ts("1.000000"), TEXT),
        "conversations.replies": lambda: api.fetch_own_replies(C1, Ts("1.000000"), oldest=Ts("1.000000")),
        "auth.test": api.fetch_identity,
    }
    for method, call in calls.items():
        simulator.faults.add(Fault(method=method, **fault))
        with pytest.raises(SlackApiError) as caught:
            await call()
        error = caught.value
        assert (type(error), error.method, error.slack_error) == (kind, method, code)
        assert not isinstance(error, RateLimitedError) or error.retry_after_s == 7
        assert simulator.calls.counts[method] == 1
        assert (error.__cause__, error.__context__) == (None, None)
        for shown in (str(error), repr(error), repr(vars(error))):
            assert TOKEN not in shown
            assert TEXT not in shown


async def test_slacks_own_refusals_are_ours(api: SlackWebApi, apis: SlackWebApis, simulator: Simulator) -> None:
    with pytest.raises(SlackRefusedError, match="channel_not_found"):
        await api.post_message(ChannelId("C404"), TEXT, thread_ts=None)
    with pytest.raises(SlackRefusedError, match="message_not_found"):
        await api.update_message(C1, Ts("1.000000"), TEXT)
    ts = await api.post_message(C1, TEXT, thread_ts=None)
    with pytest.raises(SlackRefusedError, match="msg_too_long"):
        await api.update_message(C1, ts, "x" * 4001)
    with pytest.raises(TokenRevokedError, match="invalid_auth"):
        await apis.open(connect(3)).post_message(C1, TEXT, thread_ts=None)
    simulator.workspaces["T1"].is_revoked = True
    with pytest.raises(TokenRevokedError, match="token_revoked"):
        await api.post_message(C1, TEXT, thread_ts=None)


async def test_a_missing_scope_is_named(api: SlackWebApi, simulator: Simulator) -> None:
    simulator.workspaces["T1"].scopes = "im:history"
    with pytest.raises(MissingScopeError) as caught:
        await api.post_message(C1, TEXT, thread_ts=None)
    assert caught.value.needed == "chat:write"


async def test_a_lost_answer_does_not_say_that_nothing_happened(api: SlackWebApi, simulator: Simulator) -> None:
    simulator.faults.add(Fault(method="chat.postMessage", status=502, is_late=True))
    with pytest.raises(SlackUnavailableError):
        await api.post_message(C1, TEXT, thread_ts=None)
    assert [message.text for message in simulator.workspaces["T1"].channels["C1"].top] == [TEXT]


async def test_a_call_ends_at_its_deadline(simulator: Simulator) -> None:
    for method in ("chat.postMessage", "conversations.replies"):
        simulator.faults.add(Fault(method=method))
    async with serve(simulator) as address, open_slack_apis(base_url=address.api_url, call_timeout_s=0.05) as apis:
        with anyio.fail_after(5):
            with pytest.raises(SlackUnavailableError) as caught:
                await apis.open(connect(1)).post_message(C1, TEXT, thread_ts=None)
            with pytest.raises(SlackUnavailableError):
                await apis.open(connect(1)).fetch_own_replies(C1, Ts("1.0"), oldest=Ts("1.0"))
    assert caught.value.slack_error == "timeout"


async def test_the_wait_for_a_free_socket_is_part_of_the_call(simulator: Simulator) -> None:
    simulator.faults.add(Fault(method="chat.postMessage", times=None))
    ended: list[str] = []
    async with (
        serve(simulator) as address,
        open_slack_apis(base_url=address.api_url, call_timeout_s=0.05, max_sockets=1) as apis,
    ):

        async def post() -> None:
            with pytest.raises(SlackUnavailableError) as caught:
                await apis.open(connect(1)).post_message(C1, TEXT, thread_ts=None)
            ended.append(caught.value.slack_error)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(post)
    assert ended == ["timeout"] * 3
    assert simulator.workspaces["T1"].channels["C1"].top == []


async def test_a_slack_that_cannot_be_reached_is_unavailable(simulator: Simulator) -> None:
    async with serve(simulator) as address:
        gone = address.api_url
    async with open_slack_apis(base_url=gone) as apis:
        with pytest.raises(SlackUnavailableError) as caught:
            await apis.open(connect(1)).post_message(C1, TEXT, thread_ts=None)
    assert caught.value.slack_error == "connection_failed"


def answering(
    body: bytes, media_type: str = "application/json", *, status: int = 200, requests: list[Request] | None = None
) -> AbstractAsyncContextManager[SlackWebApis]:
    """Return the client of a server that answers every call with the same, and sets a cookie."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if requests is not None:
            requests.append(Request(scope))
        headers = {"set-cookie": "d=xoxd-1; Path=/"}
        await Response(body, status, media_type=media_type, headers=headers)(scope, receive, send)

    @asynccontextmanager
    async def opened() -> AsyncIterator[SlackWebApis]:
        async with serve_app(app) as url, open_slack_apis(base_url=f"{url}/api/") as apis:
            yield apis

    return opened()


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        pytest.param(b"<html>canary text</html>", "text/html", id="a page"),
        pytest.param(b"canary text", "text/plain", id="text"),
        pytest.param(b"{canary text", "application/json", id="no JSON"),
        pytest.param(b"", "application/json", id="nothing"),
        pytest.param(b'["canary text"]', "application/json", id="a list"),
        pytest.param(b'"canary text"', "application/json", id="a word"),
        pytest.param(b"null", "application/json", id="null"),
        pytest.param(b"1", "application/json", id="a number"),
        pytest.param(b'{"ok": "canary text\xff"}', "application/json", id="no UTF-8"),
        pytest.param(b"[" * 100_000, "application/json", id="nested without end"),
        pytest.param(b'{"ok": false}', "application/json", id="a refusal without a code"),
        pytest.param(b'{"ok": false, "error": ["canary text"]}', "application/json", id="a code that is no word"),
        pytest.param(b"canary text", "application/gzip", id="bytes"),
    ],
)
async def test_what_is_no_answer_of_slacks_is_unavailable(body: bytes, media_type: str, status: int) -> None:
    async with answering(body, media_type, status=status) as apis:
        api = apis.open(connect(1))
        calls = (
            lambda: api.post_message(C1, "hello", thread_ts=None),
            api.fetch_identity,
            lambda: api.fetch_own_replies(C1, Ts("1.0"), oldest=Ts("1.0")),
        )
        for call in calls:
            with pytest.raises(SlackUnavailableError) as caught:
                await call()
            assert caught.value.slack_error == "unreadable_answer"
            assert "canary" not in str(caught.value)


@pytest.mark.parametrize("body", [b'{"ok": true}', b'{"ok": true, "ts": 5}', b'{"ok": true, "messages": 5}'])
async def test_an_answer_without_its_fields_is_unreadable(body: bytes) -> None:
    async with answering(body) as apis:
        api = apis.open(connect(1))
        with pytest.raises(SlackUnavailableError):
            await api.post_message(C1, "hello", thread_ts=None)
        with pytest.raises(SlackUnavailableError):
            await api.fetch_own_replies(C1, Ts("1.0"), oldest=Ts("1.0"))


async def test_pages_without_an_end_are_given_up() -> None:
    requests: list[Request] = []
    body = b'{"ok": true, "messages": [5, {"ts": 5}], "response_metadata": {"next_cursor": "again"}}'
    async with answering(body, requests=requests) as apis:
        with pytest.raises(SlackUnavailableError) as caught:
            await apis.open(connect(1)).fetch_own_replies(C1, Ts("1.0"), oldest=Ts("1.0"))
    assert caught.value.slack_error == "too_many_pages"
    assert len(requests) == MAX_PAGES


async def test_a_cookie_of_one_workspace_is_not_sent_with_anothers_token() -> None:
    requests: list[Request] = []
    async with answering(b'{"ok": true, "ts": "1.000000"}', requests=requests) as apis:
        for number in (1, 2):
            await apis.open(connect(number)).post_message(C1, TEXT, thread_ts=None)
    assert [request.headers.get("cookie") for request in requests] == [None, None]


async def test_a_proxy_in_the_environment_is_not_used(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serve(simulator) as address, open_slack_apis(base_url=address.api_url) as apis:
        assert (await apis.open(connect(1)).fetch_identity()).team_id == "T1"


# Cancellation


def hold(simulator: Simulator, method: str, *, hang_s: float | None = None) -> anyio.Event:
    """Let the method's next call hang, and return what is set when it has arrived."""
    arrived = anyio.Event()

    def note(_call: Call) -> bool:
        arrived.set()
        return True

    simulator.faults.add(Fault(method=method, hang_s=hang_s, when=note))
    return arrived


async def test_a_write_that_has_begun_is_seen_through_when_the_caller_is_cancelled(
    api: SlackWebApi, simulator: Simulator
) -> None:
    arrived = hold(simulator, "chat.postMessage", hang_s=0.05)
    posted: list[Ts] = []
    ended = anyio.Event()

    async def post() -> None:
        try:
            posted.append(await api.post_message(C1, TEXT, thread_ts=None))
            await anyio.lowlevel.checkpoint()
            posted.append(Ts("went on"))
        finally:
            ended.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post)
            await arrived.wait()
            tasks.cancel_scope.cancel()
    assert ended.is_set()
    assert posted == list(simulator.workspaces["T1"].channels["C1"].messages)


async def test_a_write_is_not_begun_by_a_caller_that_is_cancelled_already(
    api: SlackWebApi, simulator: Simulator
) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await api.post_message(C1, TEXT, thread_ts=None)
    assert scope.cancelled_caught
    assert simulator.calls.counts["chat.postMessage"] == 0


async def test_a_hanging_write_holds_up_a_cancelled_caller_until_its_deadline_and_no_longer(
    simulator: Simulator,
) -> None:
    arrived = hold(simulator, "chat.postMessage")
    async with serve(simulator) as address, open_slack_apis(base_url=address.api_url, call_timeout_s=0.05) as apis:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:

                async def post() -> None:
                    with pytest.raises(SlackUnavailableError):
                        await apis.open(connect(1)).post_message(C1, TEXT, thread_ts=None)

                tasks.start_soon(post)
                await arrived.wait()
                tasks.cancel_scope.cancel()


async def test_a_read_is_abandoned_at_once(api: SlackWebApi, simulator: Simulator) -> None:
    arrived = hold(simulator, "conversations.replies")
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: api.fetch_own_replies(C1, Ts("1.0"), oldest=Ts("1.0")))
            await arrived.wait()
            tasks.cancel_scope.cancel()
        (call,) = simulator.calls.select()
        await simulator.changes.wait_until(lambda: call.error == "hung", timeout_s=5)


# Tenants


async def test_interleaved_connections_never_mix_their_tokens(apis: SlackWebApis, simulator: Simulator) -> None:
    async def write(number: int) -> None:
        api, channel = apis.open(connect(number)), ChannelId(f"C{number}")
        root = await api.post_message(channel, "root", thread_ts=None)
        for index in range(20):
            ts = await api.post_message(channel, str(index), thread_ts=root)
            await api.update_message(channel, ts, f"{index} of {number}")
        found = await api.fetch_own_replies(channel, root, oldest=root)
        assert [message.text for message in found] == ["root", *(f"{index} of {number}" for index in range(20))]

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for number in (1, 2, 1, 2, 1, 2):
                tasks.start_soon(write, number)
    assert simulator.calls.cross_tenant_calls == []
    assert simulator.calls.errors == {}
    for number in (1, 2):
        calls = simulator.calls.select(team_id=f"T{number}")
        assert {(call.token, call.channel_team_id) for call in calls} == {(f"xoxb-canary-{number}", f"T{number}")}
        assert len(calls) == 3 * (1 + 40 + 1)


async def test_ones_token_does_not_reach_anothers_channel(apis: SlackWebApis, simulator: Simulator) -> None:
    with pytest.raises(SlackRefusedError, match="channel_not_found"):
        await apis.open(connect(2)).post_message(C1, TEXT, thread_ts=None)
    assert simulator.workspaces["T1"].channels["C1"].messages == {}
