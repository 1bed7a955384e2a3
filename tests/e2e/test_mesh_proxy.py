"""A whole Mesh in front of the service: it creates, configures, proxies, triggers and forgets a connection."""

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import psutil
import pytest
from mesh_clients import McpFailedError, MeshPeople, get_text
from mesh_world import ANN, CONN, GENERAL, RANDOM, TEAM, WAIT_S, World, make_state, open_world
from processes import PodProcess, open_http

from slack_mcp.app import open_admin
from slack_mcp.core.ids import ConnectionId

pytestmark = pytest.mark.anyio

APP_TOOLS = ["MCP_CONFIGURATION", "ON_MCP_CONFIGURATION", "TRIGGER_LIST", "TRIGGER_CONFIGURE"]
MESSAGE = "slack.message.received"
CALLBACK = {"callbackToken": "c" * 64}
SUCCESS = {"success": True}
PROXIED = 100
CONCURRENCY = 10
TRUST = {"secret": {}, "introspection": {"MESH_JWT_SECRET": "", "MESH_ALLOWED_URLS": "{mesh}"}}


@pytest.mark.parametrize(("generation", "trust"), [("A", "secret"), ("B", "introspection"), ("C", "secret")])
async def test_a_connection_is_created_configured_used_and_forgotten(
    generation: str, trust: str, postgres_url: str, tmp_path: Path
) -> None:
    async with open_world(tmp_path, postgres_url, generation=generation, **TRUST[trust]) as world:
        people = world.people

        row = await people.create(CONN, world.url)
        assert row.tools is not None
        names = [tool["name"] for tool in row.tools]
        assert names[0] == "SLACK_SEND_MESSAGE"
        assert names[-4:] == APP_TOOLS
        assert row.scopes == []
        # Nobody has filled in the form: what acts for a connection says so, the rest works.
        assert [tool["name"] for tool in await people.list_tools(CONN)] == APP_TOOLS
        assert await people.list_for_model(CONN) == []
        early = await people.call(CONN, "SLACK_SEND_MESSAGE", {"channel": "#general", "text": "canary"})
        assert early["isError"]
        assert "Fill in and save the connection's settings in Mesh" in get_text(early)
        assert (await people.request(CONN, "resources/list"))["resources"] == []
        assert await world.load() is None
        assert world.simulator.calls.select() == []

        for prompt in ("Be brief.", "Be brief.", "Be long."):
            saved = await people.save(CONN, make_state(SYSTEM_PROMPT=prompt))
            assert saved["isError"] is False, get_text(saved)
            assert saved["structuredContent"] == {}
        assert len(world.mesh.api_keys) == 1
        connection = await world.load()
        assert connection is not None
        assert connection.mesh_api_key is not None
        assert [connection.mesh_api_key.reveal()] == list(world.mesh.api_keys)
        assert (connection.organization_slug, connection.agent_id) == ("acme", "vir_1")
        assert (connection.system_prompt, connection.version) == ("Be long.", 3)

        listed = await people.list_tools(CONN)
        assert all("outputSchema" not in tool and tool["inputSchema"]["type"] == "object" for tool in listed)
        offered = await people.list_for_model(CONN)
        assert offered[0] == "SLACK_SEND_MESSAGE"
        assert not {"SLACK_PIN_MESSAGE", "SLACK_GET_UNREADS", *APP_TOOLS} & set(offered)
        assert {tool["name"] for tool in listed} - set(offered) == set(APP_TOOLS)

        await use(world)

        await world.run_command("connections", "remove", CONN, "--yes")
        while [tool["name"] for tool in await people.list_tools(CONN)] != APP_TOOLS:
            await anyio.lowlevel.checkpoint()
        for name, arguments in (
            ("SLACK_GET_CHANNEL_HISTORY", {"channel": GENERAL}),
            ("TRIGGER_CONFIGURE", {"type": MESSAGE, "enabled": True, "callbackUrl": world.mesh.url} | CALLBACK),
        ):
            gone = await people.call(CONN, name, arguments)
            assert gone["isError"]
            assert "not configured" in get_text(gone)
        again = await people.save(CONN, make_state())
        assert again["isError"] is False
        assert len(world.mesh.api_keys) == 2, "the removed connection's key went with it"
        assert people.streams == []


async def use(world: World) -> None:
    """Let somebody else than the one who saved use some tools, and find him in the audit."""
    people = world.people
    # An agent's properties for Mesh's own monitoring are no arguments of ours.
    sent = await people.call(
        CONN,
        "SLACK_SEND_MESSAGE",
        {"channel": "#general", "text": "canary of an agent", "_meta": {"properties": {"team": "x"}}},
        user_id="user_2",
    )
    ts = sent["structuredContent"]["ts"]
    posted = world.workspace.find_message(GENERAL, ts)
    assert posted.text == "canary of an agent"
    read = await people.call(CONN, "SLACK_GET_CHANNEL_HISTORY", {"channel": GENERAL}, user_id="user_2", lists=False)
    assert [each["text"] for each in read["structuredContent"]["messages"]] == [
        "canary of an agent",
        "canary words of ann",
    ]
    who = await people.call_alone(CONN, "SLACK_GET_USER_INFO", {"user_id": "@ann"})
    assert who["structuredContent"]["user"]["id"] == ANN
    wrong = await people.call(CONN, "SLACK_PIN_MESSAGE", {"channel": GENERAL, "ts": ts})
    assert wrong["isError"]
    assert "pins:write" in get_text(wrong)
    with pytest.raises(McpFailedError, match="Unknown tool"):
        await people.call(CONN, "NOPE", {})
    resource = await people.request(CONN, "resources/read", {"uri": f"slack://{TEAM}/channel/{GENERAL}"})
    assert "canary of an agent" in resource["contents"][0]["text"]
    async with open_admin(world.fleet.settings) as admin:
        entries = await admin.audit.list_entries(ConnectionId(CONN))
    ((tool, result, target),) = [(e.tool, e.result, e.target) for e in entries if e.actor == "mesh:user_2"]
    assert (tool, result, target) == ("SLACK_SEND_MESSAGE", "ok", f"{GENERAL} {ts}")


@pytest.mark.parametrize(("generation", "path"), [("B", "/api/trigger-callback"), ("C", "/api/acme/trigger-callback")])
async def test_automations_are_told_once_with_the_newest_token_until_it_is_dropped(
    generation: str, path: str, tmp_path: Path
) -> None:
    async with open_world(tmp_path, generation=generation, DEFAULT_AGENT="echo") as world:
        people, mesh = world.people, world.mesh
        await people.create(CONN, world.url)
        await people.save(CONN, make_state(AGENT=None))
        listed = (await people.call(CONN, "TRIGGER_LIST", {}))["structuredContent"]["triggers"]
        assert MESSAGE in {each["type"] for each in listed}
        assert {param["type"] for each in listed for param in each["paramsSchema"].values()} == {"string"}

        assert (await people.add_trigger(CONN, MESSAGE, {"channel_id": GENERAL}))["structuredContent"] == SUCCESS
        world.say("elsewhere", channel=RANDOM)
        world.say("canary 1")
        (told,) = await world.wait_until_told(1)
        assert {key: told["data"][key] for key in ("text", "channel_id", "user_id", "user_name", "is_dm")} == {
            "text": "canary 1",
            "channel_id": GENERAL,
            "user_id": ANN,
            "user_name": "ann",
            "is_dm": False,
        }
        assert people.count_fired(CONN, told) == 1
        first = mesh.callbacks[0]
        assert (first.path, first.bearer) == (path, mesh.callback_tokens["acme", CONN])

        # The second trigger replaces the token of both.
        assert (await people.add_trigger(CONN, MESSAGE, {}))["structuredContent"] == SUCCESS
        world.say("canary 2")
        (_, told) = await world.wait_until_told(2)
        assert people.count_fired(CONN, told) == 2
        assert mesh.callbacks[-1].bearer == mesh.callback_tokens["acme", CONN] != first.bearer

        # Removing one takes the token of the other away: the next event is refused, and those after it are not told.
        assert (await people.remove_trigger(CONN, MESSAGE, {}))["structuredContent"] == SUCCESS
        world.say("canary 3")
        with anyio.fail_after(WAIT_S):
            await mesh.wait_until(lambda: mesh.callbacks[-1].status == 401)
            await world.pod.wait_until(lambda: bool(world.pod.find("trigger.refused")))
        world.say("canary 4")
        await wait_until_delivered(world)

        assert (await people.add_trigger(CONN, MESSAGE, {}))["structuredContent"] == SUCCESS
        world.say("canary 5")
        await world.wait_until_told(3)
        for params in ({}, {"channel_id": GENERAL}):
            assert (await people.remove_trigger(CONN, MESSAGE, params))["structuredContent"] == SUCCESS
        world.say("canary 6")
        await wait_until_delivered(world)
        connection = await world.load()
        assert connection is not None
        assert connection.triggers == ()

        assert [(each.body["data"]["text"], each.status) for each in mesh.callbacks] == [
            ("canary 1", 202),
            ("canary 2", 202),
            ("canary 3", 401),
            ("canary 5", 202),
        ]
        assert len({each.body["data"]["event_id"] for each in mesh.callbacks}) == 4
        tokens = {each.bearer for each in mesh.callbacks}
        assert not [token for token in tokens if token in world.pod.raw]


async def wait_until_delivered(world: World) -> None:
    """Return when the service has taken all that was said, and is done with it."""
    await world.simulator.changes.wait_until(lambda: world.simulator.deliverer.pending == 0, timeout_s=WAIT_S)
    while True:
        health = await world.http.get(f"{world.pod.url}/health")
        if not health.json()["journal"]["backlog"]:
            return
        await anyio.lowlevel.checkpoint()


async def test_a_mesh_without_callbacks_is_told_what_is_missing(tmp_path: Path) -> None:
    async with open_world(tmp_path, generation="A") as world:
        await world.people.create(CONN, world.url)
        await world.people.save(CONN, make_state())
        refused = await world.people.add_trigger(CONN, MESSAGE, {})
        assert refused["isError"]
        assert "callbackUrl and callbackToken are required" in get_text(refused)


async def test_a_hundred_proxied_calls_leave_no_connection_open(tmp_path: Path) -> None:
    """Every one of them shakes hands and asks for a stream, which would stay open for ever if it were given."""
    async with open_world(tmp_path, MCP_RATE_LIMIT_PER_MIN="0") as world:
        await world.people.create(CONN, world.url)
        await world.people.save(CONN, make_state())
        server = psutil.Process(world.pod.process.pid)
        await call_many(world, CONCURRENCY)
        files_before = server.num_fds()

        await call_many(world, PROXIED)
        assert world.people.streams == []
        assert server.num_fds() <= files_before
        # Those that ask for the same at the same moment share a read.
        assert world.simulator.calls.select("conversations.history")


async def call_many(world: World, count: int) -> None:
    """Let Mesh pass on so many calls, some at a time, and return when the sockets that it kept for it are closed."""
    server = psutil.Process(world.pod.process.pid)
    before = len(list_peers(server, world.pod))
    limiter = anyio.CapacityLimiter(CONCURRENCY)
    async with open_http() as http:
        people = MeshPeople(world.mesh, http)
        people.rows = world.people.rows

        async def call() -> None:
            async with limiter:
                result = await people.call(CONN, "SLACK_GET_CHANNEL_HISTORY", {"channel": GENERAL})
                assert result["isError"] is False

        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(call)
        # Sockets are used again, and not one more is open than there were requests at a time.
        assert 0 < len(list_peers(server, world.pod)) - before <= CONCURRENCY
        world.people.streams += people.streams
    with anyio.fail_after(WAIT_S):
        while len(list_peers(server, world.pod)) > before:
            await anyio.lowlevel.checkpoint()


def list_peers(server: psutil.Process, pod: PodProcess) -> list[Any]:
    """Return the sockets at which somebody is, or was, connected to the server."""
    port = int(pod.url.rpartition(":")[2])
    return [
        each
        for each in server.net_connections(kind="tcp")
        if each.laddr.port == port and each.status != psutil.CONN_LISTEN
    ]


@pytest.mark.parametrize(("generation", "words"), [("B", 4_200), ("C", 4_200)])
async def test_forty_kilobytes_of_headers_come_with_every_request(generation: str, words: int, tmp_path: Path) -> None:
    """The token holds all of it, and the newest Mesh sends it under two names."""
    async with open_world(tmp_path, generation=generation) as world:
        await world.people.create(CONN, world.url)
        state = make_state(SYSTEM_PROMPT="canary " * words)
        saved = await world.people.save(CONN, state)
        assert saved["isError"] is False
        result = await world.people.call(CONN, "SLACK_GET_USER_INFO", {"user_id": "@ann"})
        assert result["isError"] is False
        connection = await world.load()
        assert connection is not None
        assert connection.system_prompt == state["SYSTEM_PROMPT"]


async def test_a_shared_secret_is_the_connections_token_and_without_it_nothing_is_discovered(tmp_path: Path) -> None:
    secret = "canary-shared-secret-of-the-deployment"
    async with open_world(tmp_path, AUTH_TOKEN=secret, MESH_JWT_SECRET="", MESH_ALLOWED_URLS="{mesh}") as world:
        for token in (None, "canary-another-secret-that-is-not-right"):
            row = await world.people.create(CONN, world.url, token=token)
            assert (row.tools, row.scopes) == (None, None)
        row = await world.people.create(CONN, world.url, token=secret)
        assert row.tools is not None
        saved = await world.people.save(CONN, make_state())
        assert saved["isError"] is False
        sent = await world.people.call(CONN, "SLACK_SEND_MESSAGE", {"channel": "#general", "text": "canary"})
        assert sent["isError"] is False
