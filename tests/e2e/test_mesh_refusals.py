"""What does not come from a Mesh that is trusted, or not as that Mesh made it, changes nothing."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from fake_mesh import Json
from mesh_clients import Row, get_text, mint_token
from mesh_world import CONN, GENERAL, TEAM, World, make_state, open_world
from processes import MESH_SECRET

pytestmark = pytest.mark.anyio

FOREIGN_SECRET = "canary-secret-of-a-mesh-that-nobody-here-knows"
OTHER = "conn_0therOfTheSameMesh00"
EVIL = {"SLACK_CREDENTIALS": {"BOT_TOKEN": "xoxb-canary-evil", "SIGNING_SECRET": "canary-evil-secret"}}
SECRET = {"MESH_JWT_SECRET": MESH_SECRET}
LIST = {"MESH_JWT_SECRET": "", "MESH_ALLOWED_URLS": "{mesh}"}


def encode(*parts: Json | bytes) -> str:
    """Return a JWT of any parts."""
    raw = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in raw)


def read_payload(token: str) -> Json:
    payload: Json = jwt.decode(token, options={"verify_signature": False})
    return payload


def sign(payload: Json, secret: str = MESH_SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(payload, secret, algorithm=algorithm)


def flatten(payload: Mapping[str, Any]) -> Json:
    """Return the claims in the older form, without `metadata`."""
    return {key: claim for key, claim in payload.items() if key != "metadata"} | dict(payload["metadata"])


def make_bad_tokens(world: World, row: Row) -> Mapping[str, tuple[str, str]]:
    """Return tokens that name the connection, with an evil state in all but the first, and what is said of each."""
    good = mint_token(world.mesh, row, state=row.state)
    header, _, signature = good.split(".")
    evil = read_payload(mint_token(world.mesh, row, state=EVIL))
    elsewhere = evil | {"metadata": evil["metadata"] | dict.fromkeys(("meshUrl", "studioUrl"), "https://evil.example")}
    tampered = f"{header}.{encode(evil)}.{signature}"
    asks_mesh = "MESH_ALLOWED_URLS" in world.fleet.environ
    unproven = "not one of its own" if asks_mesh else "not signed with MESH_JWT_SECRET"

    return {
        "expired": (sign(read_payload(good) | {"exp": evil["iat"] - 60}), "has expired"),
        "expired and evil": (sign(evil | {"exp": evil["iat"] - 60}), "has expired"),
        "without a time of expiry": (sign({k: v for k, v in evil.items() if k != "exp"}), "no time of expiry"),
        "replayed with another state": (tampered, unproven),
        "of a Mesh that is not on the list": (sign(elsewhere, FOREIGN_SECRET), "not in MESH_ALLOWED_URLS"),
        "forged in the name of the Mesh": (sign(evil, FOREIGN_SECRET), unproven),
        "alg none": (encode({"alg": "none", "typ": "JWT"}, evil, b""), "not signed with HS256"),
        "alg None with a signature": (encode({"alg": "None"}, evil, b"x"), "not signed with HS256"),
        "another algorithm": (sign(evil, MESH_SECRET * 2, "HS512"), "not signed with HS256"),
        "flat and forged": (sign(flatten(evil), FOREIGN_SECRET), unproven),
        "flat and unsigned": (encode({"alg": "none"}, flatten(evil), b""), "not signed with HS256"),
        "flat over the claims that were signed": (f"{header}.{encode(evil | flatten(evil))}.{signature}", unproven),
        "of no connection": (sign(evil | {"metadata": {}}), "names no connection"),
        "no token at all": ("nonsense", "is no JWT"),
    }


async def post(world: World, token: str, method: str, params: Json, *, header: str = "x-mesh-token") -> Json:
    """Post a request as Mesh's binding clients do, and return the JSON-RPC answer."""
    answer = await world.http.post(
        world.url,
        json={"jsonrpc": "2.0", "id": "1", "method": method, "params": params},
        headers={header: token, "accept": "application/json, text/event-stream"},
    )
    body: Json = answer.json()
    assert token == "nonsense" or token not in answer.text
    assert "canary" not in answer.text
    return body


@pytest.mark.parametrize("trust", [SECRET, LIST], ids=["secret", "introspection"])
async def test_a_token_that_is_not_proven_saves_nothing_lists_nothing_and_sends_nothing(
    trust: dict[str, str], tmp_path: Path
) -> None:
    async with open_world(tmp_path, generation="C", **trust) as world:
        row = await world.people.create(CONN, world.url)
        assert (await world.people.save(CONN, make_state()))["isError"] is False
        before = await world.load()
        world.simulator.calls.clear()
        for name, (token, reason) in make_bad_tokens(world, row).items():
            state = (row.state or {}) if name == "expired" else EVIL
            for tool, arguments in (
                ("ON_MCP_CONFIGURATION", {"state": state, "scopes": []}),
                ("TRIGGER_CONFIGURE", {"type": "slack.app_mention", "enabled": False}),
                ("SLACK_SEND_MESSAGE", {"channel": GENERAL, "text": "words"}),
            ):
                result = (await post(world, token, "tools/call", {"name": tool, "arguments": arguments}))["result"]
                assert result["isError"] is True, (name, tool)
                assert reason in get_text(result), (name, tool)
            listed = await post(world, token, "tools/list", {}, header="x-studio-token")
            assert reason in listed["error"]["message"], name
            read = await post(world, token, "resources/list", {})
            assert reason in read["error"]["message"], name
            assert await world.load() == before, name
        assert world.simulator.calls.select() == []
        assert len(world.mesh.api_keys) == 1
        # None was refused for its form: signed by the Mesh itself, the older one saves.
        state = make_state(SYSTEM_PROMPT="Be brief.")
        flat = sign(flatten(read_payload(mint_token(world.mesh, row, state=state))))
        call = {"name": "ON_MCP_CONFIGURATION", "arguments": {"state": state, "scopes": []}}
        assert (await post(world, flat, "tools/call", call))["result"]["isError"] is False
        after = await world.load()
        assert after is not None
        assert after.system_prompt == "Be brief."


async def test_arguments_that_are_not_what_a_good_token_says_save_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path, generation="C") as world:
        row = await world.people.create(CONN, world.url)
        await world.people.save(CONN, make_state())
        before = await world.load()
        world.simulator.calls.clear()
        token = mint_token(world.mesh, row, state=row.state)
        good: Json = {"state": row.state, "scopes": []}
        for changes, named in (
            ({"state": EVIL}, "state"),
            ({"state": {}}, "state"),
            ({"state": make_state(SYSTEM_PROMPT="canary, and obey")}, "state"),
            ({"connectionId": OTHER}, "connectionId"),
            ({"organizationId": "org_globex"}, "organizationId"),
            ({"vault": {"subjectConnectionId": OTHER, "token": "canary"}}, "vault.subjectConnectionId"),
        ):
            body = await post(world, token, "tools/call", {"name": "ON_MCP_CONFIGURATION", "arguments": good | changes})
            assert body["result"]["isError"] is True, changes
            assert f"Nothing was saved: {named} is not what" in get_text(body["result"])
        assert await world.load() == before
        assert await world.load(OTHER) is None
        assert world.simulator.calls.select() == []


async def test_another_organization_of_the_same_mesh_cannot_take_a_connection_over(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.people.create(CONN, world.url)
        await world.people.save(CONN, make_state())
        before = await world.load()
        world.mesh.slugs.append("globex")
        world.simulator.calls.clear()
        thief = Row(connection_id=CONN, url=world.url, slug="globex")
        token = mint_token(world.mesh, thief, state=EVIL)
        for tool, arguments, said in (
            ("ON_MCP_CONFIGURATION", {"state": EVIL, "scopes": []}, "was not made by this organization"),
            ("TRIGGER_CONFIGURE", {"type": "slack.app_mention", "enabled": False}, "was not made by this organization"),
            ("SLACK_SEND_MESSAGE", {"channel": GENERAL, "text": "words"}, "was made by another organization"),
            ("SLACK_GET_CHANNEL_HISTORY", {"channel": GENERAL}, "was made by another organization"),
        ):
            result = (await post(world, token, "tools/call", {"name": tool, "arguments": arguments}))["result"]
            assert result["isError"] is True
            assert said in get_text(result)
        read = await post(world, token, "resources/read", {"uri": f"slack://{TEAM}/channel/{GENERAL}"})
        assert "was made by another organization" in read["error"]["message"]
        assert await world.load() == before
        assert world.simulator.calls.select() == []
