from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from configuration_fakes import FakeConnectionStore, FakeTokens, make_claims
from directory_fake import make_connection
from identity_fakes import FakeIdentities
from mcp import Client, types
from tool_fakes import make_services
from trigger_fakes import FakeTriggers

from slack_mcp.core.model import Trigger
from slack_mcp.core.secret import Secret
from slack_mcp.ports.identity import Credentials
from slack_mcp.tools.caller import Caller, current_caller
from slack_mcp.tools.server import build_server
from slack_mcp.tools.triggers import TOOLS
from slack_mcp.triggers.configure import MeshTriggers

pytestmark = pytest.mark.anyio
CLAIMS = make_claims("conn_a")
# As Mesh sends it.
CONFIGURED = {
    "type": "slack.message.received",
    "params": {"channel_id": "C123"},
    "enabled": True,
    "callbackUrl": "https://mesh.example/api/trigger-callback",
    "callbackToken": "ab" * 32,
}


class World:
    def __init__(self) -> None:
        self.store = FakeConnectionStore()
        self.store.rows[CLAIMS.connection_id] = replace(make_connection("conn_a"), organization_id="org1")
        self.services = make_services(
            triggers=MeshTriggers(connections=self.store, triggers=FakeTriggers(self.store.rows), mesh_urls=())
        )
        self.credentials = Credentials(mesh_token=Secret("token-a"))

    @property
    def standing(self) -> tuple[Trigger, ...]:
        return self.store.rows[CLAIMS.connection_id].triggers

    async def call(self, name: str, **arguments: Any) -> types.CallToolResult:
        tokens = FakeTokens({"token-a": CLAIMS})
        current_caller.set(Caller(identities=FakeIdentities(tokens=tokens), credentials=self.credentials))
        async with Client(build_server(self.services, TOOLS), mode="legacy") as client:
            result = await client.call_tool(name, arguments)
        assert isinstance(result, types.CallToolResult)
        return result


async def test_the_kinds_of_events_are_listed_as_mesh_reads_them() -> None:
    result = await World().call("TRIGGER_LIST")
    assert not result.is_error
    listed = {each["type"]: each for each in (result.structured_content or {})["triggers"]}
    assert set(listed) == {
        "slack.message.received",
        "slack.app_mention",
        "slack.reaction.added",
        "slack.channel.created",
        "slack.member.joined",
    }
    params = listed["slack.message.received"]["paramsSchema"]
    assert params["channel_id"]["type"] == "string"
    assert "enum" not in params["channel_id"]
    assert params["channel_type"]["enum"] == ["im", "mpim", "group", "channel"]
    assert listed["slack.channel.created"]["paramsSchema"] == {}
    jsonschema.validate(result.structured_content, TOOLS[0].describe().output_schema)


async def test_what_mesh_configures_is_saved_with_success_in_text_and_structure() -> None:
    world = World()
    result = await world.call("TRIGGER_CONFIGURE", **CONFIGURED, subscriptionId="sub_1")
    assert result.structured_content == {"success": True}
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    assert content.text == '{"success":true}'
    (trigger,) = world.standing
    assert (trigger.url, trigger.secret.reveal()) == (CONFIGURED["callbackUrl"], CONFIGURED["callbackToken"])
    assert dict(trigger.filters) == {"channel_id": "C123"}


async def test_an_end_comes_without_callback() -> None:
    world = World()
    await world.call("TRIGGER_CONFIGURE", **CONFIGURED)
    result = await world.call("TRIGGER_CONFIGURE", type=CONFIGURED["type"], params=CONFIGURED["params"], enabled=False)
    assert result.structured_content == {"success": True}
    assert world.standing == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"callbackUrl": None},
        {"callbackToken": None},
        {"callbackUrl": "https://evil.example/"},
        {"type": "slack.unknown"},
        {"type": 7},
        {"enabled": "yes"},
        {"params": []},
    ],
)
async def test_bad_arguments_save_nothing_and_show_no_token(changes: dict[str, Any]) -> None:
    world = World()
    result = await world.call("TRIGGER_CONFIGURE", **CONFIGURED | changes)
    assert result.is_error
    assert str(CONFIGURED["callbackToken"]) not in str(result.content)
    assert world.standing == ()


async def test_whoever_shows_no_mesh_token_configures_nothing() -> None:
    world = World()
    world.credentials = Credentials()
    assert (await world.call("TRIGGER_CONFIGURE", **CONFIGURED)).is_error
    assert world.standing == ()


async def test_where_no_mesh_configures_anything_the_tool_says_so() -> None:
    world = World()
    world.services = make_services()
    result = await world.call("TRIGGER_CONFIGURE", **CONFIGURED)
    assert result.is_error


def test_neither_tool_is_offered_to_a_model() -> None:
    for tool in TOOLS:
        assert (tool.describe().meta or {})["ui"] == {"visibility": ["app"]}
