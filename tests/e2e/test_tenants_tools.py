"""Two tenants call tools on one process at the same time, and neither meets the other's words, caches or tokens."""

import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx2
import pytest
from fake_mesh import FakeMesh, Json
from mesh_clients import get_text
from processes import MESH_SECRET, Fleet, open_fleet, open_http
from twin_tenants import Ask, Asker, Caller, Tenant, list_posted

from slack_mcp.app import open_admin
from slack_mcp.core.ids import ChannelId
from slack_mcp.core.model import Access, ToolPolicy
from slack_mcp.simulator import Simulator, serve

pytestmark = pytest.mark.anyio

ASKS = 500  # of each tenant, under each of two policies
CONCURRENCY = 32
EPHEMERAL = "SLACK_SEND_EPHEMERAL"
STATELESS = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class World:
    """Two tenants on one process of the service."""

    def __init__(
        self, fleet: Fleet, simulator: Simulator, http: httpx2.AsyncClient, tenants: tuple[Tenant, Tenant]
    ) -> None:
        self.fleet = fleet
        self.simulator = simulator
        self.tenants = tenants
        self.most_at_once = 0
        self._http = http
        self._number = 0
        self._in_flight: Counter[str] = Counter()

    async def request(self, caller: Caller, method: str, params: Json, **headers: str) -> httpx2.Response:
        """Post a request, in the form of each era of the protocol in turn, and return the whole answer."""
        self._number += 1
        message: Json = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        own = {"accept": "application/json, text/event-stream", **caller.headers, **headers}
        if self._number % 2:
            message["params"] = params | {"_meta": META}
            own |= {"mcp-protocol-version": STATELESS, "mcp-method": method}
            named = params.get("name") or params.get("uri")
            own |= {"mcp-name": named} if named else {}
        return await self._http.post(f"{self.fleet.pods[0].url}/mcp", json=message, headers=own)

    async def run(self, asks: Sequence[Ask]) -> None:
        """Ask it all, so many at a time, and hold every answer against what it must be."""
        waiting = iter(asks)
        async with anyio.create_task_group() as tasks:
            for _ in range(CONCURRENCY):
                tasks.start_soon(self._work, waiting)

    async def _work(self, waiting: Iterator[Ask]) -> None:
        for ask in waiting:
            self._in_flight[ask.tenant.word] += 1
            self.most_at_once = max(self.most_at_once, min(self._in_flight[each.word] for each in self.tenants))
            answer = await self.request(ask.caller, ask.method, ask.params)
            self._in_flight[ask.tenant.word] -= 1
            assert answer.status_code == 200, answer.text
            for other in self.tenants:
                assert other is ask.tenant or other.word not in answer.text, (ask.params, answer.text)
                assert not any(secret in answer.text for secret in other.secrets), ask.params
            ask.check(answer.json()["result"])

    async def call(self, caller: Caller, tool: str, arguments: Json, **headers: str) -> Json:
        """Return the result of a call of a tool."""
        answer = await self.request(caller, "tools/call", {"name": tool, "arguments": arguments}, **headers)
        result: Json = answer.json()["result"]
        return result

    async def save(self, tenant: Tenant, policy: ToolPolicy) -> None:
        """Give a tenant another policy as another process does, and return when this one has heard of it."""
        tenant.policy = policy
        async with open_admin(self.fleet.settings) as admin:
            stored = await admin.connections.load_connection(tenant.connection_id)
            assert stored is not None
            settings = replace(stored.settings, tools=policy)
            await admin.connections.save_connection(replace(stored, settings=settings))
        is_offered = tenant.find_refusal(tenant.callers[0], EPHEMERAL, Access.WRITE) is None
        while (EPHEMERAL in await self.list_tools(tenant.callers[0])) != is_offered:
            await anyio.lowlevel.checkpoint()

    async def list_tools(self, caller: Caller) -> list[str]:
        """Return the names of the tools that a caller is offered."""
        answer = await self.request(caller, "tools/list", {})
        return [tool["name"] for tool in answer.json()["result"]["tools"]]

    async def list_actors(self, tenant: Tenant) -> list[str]:
        """Return who stands in the tenant's audit."""
        async with open_admin(self.fleet.settings) as admin:
            return [each.actor for each in await admin.audit.list_entries(tenant.connection_id, limit=10_000)]


@asynccontextmanager
async def open_world(directory: Path, database_url: str) -> AsyncIterator[World]:
    now_s = time.time()
    tenants = (Tenant("acme", number=0, now_s=now_s), Tenant("globex", number=1, now_s=now_s))
    simulator = Simulator(*(tenant.workspace for tenant in tenants))
    mesh = FakeMesh(secret=MESH_SECRET)
    mesh.url = "https://mesh.example"
    with anyio.fail_after(150):
        async with (
            serve(simulator) as address,
            open_http() as http,
            open_fleet(
                directory, database_url=database_url, slack_api_url=address.api_url, MCP_RATE_LIMIT_PER_MIN="0"
            ) as fleet,
        ):
            async with open_admin(fleet.settings) as admin:
                for tenant in tenants:
                    await admin.saver.save(tenant.make_connection())
                    await tenant.add_callers(admin, mesh)
            (pod,) = await fleet.add()
            simulator.deliverer.targets = fleet.urls
            simulator.calls.clear()
            yield World(fleet, simulator, http, tenants)
            assert await pod.stop() == 0
        assert "canary" not in pod.raw
        assert "Traceback" not in pod.raw


def make_asks(askers: Sequence[Asker], chance: random.Random) -> Sequence[Ask]:
    """Return what both tenants ask next, in any order."""
    asks = [asker.ask() for asker in askers for _ in range(ASKS)]
    chance.shuffle(asks)
    return asks


async def test_thousands_of_interleaved_calls_never_meet_the_other_tenant(database_url: str, tmp_path: Path) -> None:
    seed = random.randrange(10**6)  # noqa: S311 - printed, so that a run can be repeated
    chance = random.Random(seed)  # noqa: S311
    print(f"\nseed {seed}")
    async with open_world(tmp_path, database_url) as world:
        acme, globex = world.tenants
        general = ChannelId(globex.channels["general"])
        await world.save(globex, ToolPolicy(denied_tools=(EPHEMERAL,), write_channels=(general,)))
        askers = [Asker(tenant, chance) for tenant in world.tenants]
        asked = list(make_asks(askers, chance))
        await world.run(asked)
        assert not [tenant.word for tenant in world.tenants if await may_read(world, tenant, "#plaza")]
        for envelope in acme.rename("random", "plaza"):
            await world.simulator.deliver(acme.team_id, envelope)
        while await may_read(world, acme, "#random"):
            await anyio.lowlevel.checkpoint()
        assert [tenant.word for tenant in world.tenants if await may_read(world, tenant, "#plaza")] == ["acme"]
        await world.save(acme, ToolPolicy(is_read_only=True))
        await world.save(globex, ToolPolicy())
        asked += (second := make_asks(askers, chance))
        await world.run(second)

        assert len(asked) == 4 * ASKS
        assert world.most_at_once >= CONCURRENCY // 4
        assert world.simulator.calls.cross_tenant_calls == []
        for tenant, other in ((acme, globex), (globex, acme)):
            mine = [ask for ask in asked if ask.tenant is tenant]
            sent = sorted(ask.sent for ask in mine if ask.sent)
            assert sent
            assert sorted(list_posted(tenant)) == sent
            calls = world.simulator.calls.select(team_id=tenant.team_id)
            assert {call.token for call in calls} == tenant.tokens
            assert not [call for call in calls if other.word in json.dumps(call.args)]
            actors = await world.list_actors(tenant)
            assert Counter(actors) == Counter(ask.caller.subject for ask in mine if ask.is_audited)


async def may_read(world: World, tenant: Tenant, channel: str) -> bool:
    """Tell whether a channel is found by a name."""
    result = await world.call(tenant.callers[0], "SLACK_GET_CHANNEL_HISTORY", {"channel": channel})
    return not result.get("isError")


async def test_a_key_of_one_tenant_that_names_what_the_other_has_reaches_nothing_of_it(tmp_path: Path) -> None:
    async with open_world(tmp_path, f"sqlite:{tmp_path}/slack.db") as world:
        acme, globex = world.tenants
        key = next(each for each in acme.callers if each.access is Access.ADMIN and "authorization" in each.headers)
        theirs = await make_theirs(world, globex)
        world.simulator.calls.clear()

        for tool, arguments, said in list_attempts(globex, theirs):
            result = await world.call(key, tool, arguments)
            assert result.get("isError"), (tool, arguments, result)
            assert said in get_text(result), (tool, arguments, result)
            assert globex.word not in json.dumps(result), (tool, arguments)
        for path in ("channels", "users", f"channel/{globex.own_channel}", f"file/{theirs['file_id']}"):
            read = await world.request(key, "resources/read", {"uri": f"slack://{globex.team_id}/{path}"})
            assert "no such resource" in read.json()["error"]["message"]
            assert globex.word not in read.text

        # What only looks as if it chose a connection chooses none, and what both have is the caller's own.
        for arguments in (
            {"channel": "#random", "cursor": theirs["cursor"]},
            {"channel": globex.channels["random"]},
        ):
            result = await world.call(
                key,
                "SLACK_GET_CHANNEL_HISTORY",
                arguments,
                **{"x-caller-id": globex.connection_id, "x-mesh-connection-id": globex.connection_id},
            )
            assert get_text(result).count(acme.word) >= 1
            assert globex.word not in json.dumps(result)
        # A proven Mesh token goes before a key, whosever that is.
        (other_key, *_) = [each.headers["authorization"] for each in globex.callers if "authorization" in each.headers]
        status = await world.call(acme.callers[0], "SLACK_GET_BOT_STATUS", {}, authorization=other_key)
        assert status["structuredContent"]["status"]["team_id"] == acme.team_id

        assert world.simulator.calls.select(team_id=globex.team_id) == []
        assert {call.token for call in world.simulator.calls.select()} <= acme.tokens


async def make_theirs(world: World, globex: Tenant) -> Json:
    """Let the other tenant make what only it has, and return the ids."""
    globex.workspace.add_user("U0ZOE0000", "zoe")

    async def make(tool: str, arguments: Json) -> Json:
        result = await world.call(globex.callers[0], tool, arguments)
        assert not result.get("isError"), get_text(result)
        content: Json = result["structuredContent"]
        return content

    channel = {"channel": "#only-1"}
    asked = await make("SLACK_ASK_HUMAN", {**channel, "question": globex.word})
    uploaded = await make("SLACK_UPLOAD_FILE", {**channel, "filename": "globex.txt", "content": globex.word})
    page = await make("SLACK_GET_CHANNEL_HISTORY", {"channel": "#random", "limit": 1})
    post_at = int(time.time()) + 3_600
    scheduled = await make("SLACK_SCHEDULE_MESSAGE", {**channel, "text": globex.word, "post_at": post_at})
    return {
        "question_id": asked["question_id"],
        "file_id": uploaded["file_id"],
        "cursor": page["next_cursor"],
        "scheduled_message_id": scheduled["scheduled_message_id"],
    }


def list_attempts(globex: Tenant, theirs: Json) -> Sequence[tuple[str, Json, str]]:
    """Return (tool, arguments, what is said of it): each names something that only the other tenant has."""
    channel, file = {"channel": globex.own_channel}, {"file_id": theirs["file_id"]}
    message = {**channel, "ts": globex.workspace.channels[globex.own_channel].top[0].ts}
    link = f"https://app.slack.com/client/{globex.team_id}/{globex.own_channel}"
    scheduled = {**channel, "scheduled_message_id": theirs["scheduled_message_id"]}
    search = {"query": "by", "action_token": globex.workspace.make_action_token()}
    gone = "channel_not_found"
    return [
        ("SLACK_GET_CHANNEL_HISTORY", channel, gone),
        ("SLACK_GET_CHANNEL_HISTORY", {"channel": link}, gone),
        ("SLACK_GET_CHANNEL_HISTORY", {"channel": "#only-1"}, "no channel"),
        ("SLACK_GET_CHANNEL_INFO", channel, gone),
        ("SLACK_GET_MESSAGE", message, gone),
        ("SLACK_SEND_MESSAGE", {**channel, "text": "words"}, gone),
        ("SLACK_EDIT_MESSAGE", {**message, "text": "words"}, gone),
        ("SLACK_DELETE_MESSAGE", message, gone),
        ("SLACK_ADD_REACTION", {**channel, "timestamp": message["ts"], "emoji": "eyes"}, gone),
        ("SLACK_GET_USER_INFO", {"user_id": "U0ZOE0000"}, "user_not_found"),
        ("SLACK_GET_USER_INFO", {"user_id": "@zoe"}, "nobody called"),
        ("SLACK_GET_USER_INFO", {"user_id": "zoe@example.com"}, "Nobody in the workspace"),
        ("SLACK_DOWNLOAD_FILE", file, "file_not_found"),
        ("SLACK_DELETE_FILE", file, "file_not_found"),
        ("SLACK_GET_ANSWER", {"question_id": theirs["question_id"]}, "question"),
        ("SLACK_DELETE_SCHEDULED_MESSAGE", scheduled, "Slack answered"),
        ("SLACK_SEARCH_MESSAGES", search, "Slack answered"),
        *(
            ("SLACK_GET_BOT_STATUS", {name: globex.connection_id}, f"{name} is not an argument")
            for name in ("connection_id", "connectionId", "team_id", "token")
        ),
    ]
