from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from configuration_fakes import FakeConnectionStore, make_claims
from directory_fake import make_connection
from stepping_clock import SteppingClock
from trigger_fakes import FakeTriggers, make_sender, make_trigger, resolve_publicly

from slack_mcp.core.errors import ConflictError, ConnectionNotFoundError, InvalidInputError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Trigger, TriggerKind
from slack_mcp.core.secret import Secret
from slack_mcp.triggers.configure import MAX_TRIGGERS, MeshTriggers, Subscriptions
from slack_mcp.triggers.target import TargetPolicy, Targets

pytestmark = pytest.mark.anyio
CLAIMS = make_claims("conn_1")
MESSAGE, MENTION = "slack.message.received", "slack.app_mention"
URL = "https://mesh.example/api/acme/trigger-callback"


class World:
    def __init__(self, *, mesh_urls: Sequence[str] = ()) -> None:
        self.store = FakeConnectionStore()
        self.store.rows[CLAIMS.connection_id] = replace(make_connection(), organization_id="org1")
        self.triggers = FakeTriggers(self.store.rows)
        self.mesh = MeshTriggers(connections=self.store, triggers=self.triggers, mesh_urls=mesh_urls)

    @property
    def standing(self) -> tuple[Trigger, ...]:
        return self.store.rows[CLAIMS.connection_id].triggers

    async def enable(self, event_type: str = MESSAGE, *, token: str = "t1", url: str = URL, **params: Any) -> None:
        await self.mesh.enable(CLAIMS, event_type, params, url=url, token=Secret(token))

    def tokens(self) -> dict[str, str]:
        return {each.trigger_id: each.secret.reveal() for each in self.standing}


async def test_each_configuration_renews_the_credentials_of_all_triggers_of_mesh_and_of_nothing_else() -> None:
    world = World()
    world.store.rows[CLAIMS.connection_id] = replace(
        world.store.rows[CLAIMS.connection_id], triggers=(make_trigger("trg_1"),)
    )
    await world.enable(token="t1")
    world.store.rows[CLAIMS.connection_id] = replace(
        world.store.rows[CLAIMS.connection_id],
        triggers=tuple(replace(each, refused_at_ms=1) for each in world.standing),
    )
    await world.enable(MENTION, token="t2", url="https://mesh.example/other")
    by_id = {each.trigger_id: each for each in world.standing}
    assert set(by_id) == {"mesh.slack.app_mention", "mesh.slack.message.received", "trg_1"}
    for trigger_id in ("mesh.slack.app_mention", "mesh.slack.message.received"):
        trigger = by_id[trigger_id]
        assert (trigger.secret.reveal(), trigger.url) == ("t2", "https://mesh.example/other")
        assert trigger.refused_at_ms is None
    assert by_id["trg_1"].refused_at_ms == 1
    assert by_id["trg_1"].secret != Secret("t2")


async def test_automations_that_ask_for_different_values_stand_side_by_side() -> None:
    world = World()
    await world.enable(channel_id="C1")
    await world.enable(channel_id="C2", token="t2")
    await world.enable(channel_id="C2", token="t3")
    assert sorted(each.filters["channel_id"] for each in world.standing) == ["C1", "C2"]
    assert set(world.tokens().values()) == {"t3"}
    await world.mesh.disable(CLAIMS, MESSAGE, {"channel_id": "C1"})
    assert [each.filters["channel_id"] for each in world.standing] == ["C2"]


async def test_an_end_with_values_that_nobody_asked_for_ends_the_whole_kind() -> None:
    world = World()
    await world.enable(channel_id="C1")
    await world.enable(MENTION)
    await world.mesh.disable(CLAIMS, MESSAGE, {})
    assert [each.event_type for each in world.standing] == [MENTION]
    await world.mesh.disable(CLAIMS, MESSAGE, {})
    assert len(world.standing) == 1


async def test_values_that_only_mesh_knows_are_left_to_mesh() -> None:
    world = World()
    await world.enable(channel_id={"op": "in", "value": ["C1"]}, is_dm="true", what="ever")
    assert dict(world.standing[0].filters) == {"is_dm": "true"}


async def test_a_value_that_no_event_can_have_is_not_kept() -> None:
    world = World()
    await world.enable(channel_id="C" * 1_000_000, user_id="U1")
    assert dict(world.standing[0].filters) == {"user_id": "U1"}


async def test_so_many_choices_that_mesh_makes_them_all() -> None:
    world = World()
    for number in range(MAX_TRIGGERS + 1):
        await world.enable(channel_id=f"C{number}")
    assert [(each.trigger_id, dict(each.filters)) for each in world.standing] == [("mesh.slack.message.received", {})]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "http://mesh.example/",
        "https://mesh.example:8443/",
        "https://mesh.example.evil.example/",
        "https://mesh.example@evil.example/",
        "https://evil.example/#@mesh.example/",
        "https://evil.example\\@mesh.example/",
        "ftp://mesh.example/",
        "https://[::1",
        f"{URL}/{'x' * 2_048}",
        "",
    ],
)
async def test_only_the_connections_own_mesh_is_told(url: str) -> None:
    world = World()
    with pytest.raises(InvalidInputError, match="callbackUrl"):
        await world.enable(url=url)
    assert world.standing == ()


async def test_a_mesh_that_the_operator_allows_is_told() -> None:
    world = World(mesh_urls=["http://mesh.internal:3000", "no url"])
    await world.enable(url="http://mesh.internal:3000/api/trigger-callback")
    assert len(world.standing) == 1


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "\u00e9", "x" * 5000])
async def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(InvalidInputError, match="callbackToken"):
        await World().enable(token=token)


async def test_an_unknown_kind_of_event_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInputError, match=r"slack\.member\.joined"):
        await World().enable("slack.unknown")


async def test_a_connection_of_another_organization_is_left_alone() -> None:
    world = World()
    await world.enable()
    foreign = replace(CLAIMS, organization_id="org2")
    with pytest.raises(ConflictError):
        await world.mesh.enable(foreign, MESSAGE, {}, url=URL, token=Secret("t"))
    with pytest.raises(ConflictError):
        await world.mesh.disable(foreign, MESSAGE, {})
    assert world.tokens() == {"mesh.slack.message.received": "t1"}


async def test_a_connection_that_is_not_configured_has_no_triggers() -> None:
    world = World()
    world.store.rows.clear()
    with pytest.raises(ConnectionNotFoundError):
        await world.enable()
    await world.mesh.disable(CLAIMS, MESSAGE, {})


class Operator:
    def __init__(self) -> None:
        self.world = World()
        self.connection_id = ConnectionId("conn_1")

    async def add(self, event_type: str = MESSAGE, url: str = "https://receiver.example/", **filters: str) -> Trigger:
        async with make_sender(lambda _request: None) as sender:  # type: ignore[arg-type, return-value]
            subscriptions = Subscriptions(
                connections=self.world.store,
                triggers=self.world.triggers,
                targets=Targets(policy=TargetPolicy(), resolve=resolve_publicly),
                sender=sender,
                clock=SteppingClock(),
            )
            return await subscriptions.add(self.connection_id, event_type, url, filters)


async def test_an_added_receiver_has_a_key_of_its_own() -> None:
    operator = Operator()
    first, second = [await operator.add(channel_id="C1", user_id="") for _ in range(2)]
    assert first.secret != second.secret
    assert first.kind is TriggerKind.HTTPS
    assert dict(first.filters) == {"channel_id": "C1"}
    assert {each.trigger_id for each in operator.world.standing} == {first.trigger_id, second.trigger_id}


@pytest.mark.parametrize(
    ("event_type", "filters", "told"),
    [
        ("slack.nothing", {}, "slack.app_mention"),
        (MESSAGE, {"chanel_id": "C1"}, "channel_type"),
        ("slack.channel.created", {"channel_id": "C1"}, "none"),
        (MESSAGE, {"channel_type": "dm"}, "mpim"),
    ],
)
async def test_a_subscription_that_would_never_be_told_is_refused(
    event_type: str, filters: dict[str, str], told: str
) -> None:
    operator = Operator()
    with pytest.raises(InvalidInputError, match=told):
        await operator.add(event_type, **filters)
    assert operator.world.standing == ()


async def test_a_receiver_inside_the_network_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        await Operator().add(url="http://receiver.example/")


async def test_there_is_an_end_to_receivers() -> None:
    operator = Operator()
    for _ in range(MAX_TRIGGERS):
        await operator.add()
    with pytest.raises(InvalidInputError, match="at most"):
        await operator.add()
