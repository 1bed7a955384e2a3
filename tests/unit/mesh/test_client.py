"""The management tools, against the fake Mesh in memory."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import httpx2
import pytest
from fake_mesh import FakeMesh
from starlette.responses import JSONResponse, PlainTextResponse, Response

from slack_mcp.core.errors import MeshApiError, MeshRefusedError, MeshUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.secret import Secret
from slack_mcp.mesh.client import MeshClient
from slack_mcp.mesh.transport import MeshTransport
from slack_mcp.ports.mesh import MeshClaims

pytestmark = pytest.mark.anyio

URL = "http://mesh.example"


@pytest.fixture
def mesh() -> FakeMesh:
    mesh = FakeMesh(generation="C")
    mesh.url = URL
    return mesh


@pytest.fixture
async def client(mesh: FakeMesh) -> AsyncIterator[MeshClient]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=mesh.app)) as http:
        yield MeshClient(transport=MeshTransport(http=http, retry_pause_s=0, max_response_bytes=10_000))


def claims(mesh: FakeMesh, *, slug: str | None = "acme", state: dict[str, object] | None = None) -> MeshClaims:
    return MeshClaims(
        connection_id=ConnectionId("conn_1"),
        organization_id="org_acme",
        organization_slug=slug,
        mesh_url=URL,
        user_id="user_1",
        expires_at_s=0.0,
        token=Secret(mesh.mint_token()),
        state=state or {},
    )


async def test_key_is_made_for_the_needed_tools_and_the_bindings_and_nothing_else(
    client: MeshClient, mesh: FakeMesh
) -> None:
    state: dict[str, object] = {
        "AGENT": {"__type": "@deco/agent", "value": "vir_1"},
        "OLD": {"__type": "@deco/agent", "id": "vir_0"},
        "WHISPER": {"__type": "@deco/whisper", "value": "conn_w"},
        "AGAIN": {"__type": "@deco/whisper", "value": "conn_w"},
        "SELF": {"value": "org_acme_self"},
        "TRICK": {"__type": "@deco/agent", "value": "org_acme_self"},
        "TRICK2": {"__type": "@deco/agent", "value": "self"},
        "EMPTY": {"__type": "@deco/agent", "value": None},
        "BOT_TOKEN": "xoxb-1",
    }
    made = await client.create_api_key(claims(mesh, state=state), name="slack-mcp conn_1")
    caller = mesh.api_keys[made.key.reveal()]
    assert made.id.startswith("id-of-")
    assert caller.permissions == {
        "self": [
            "COLLECTION_THREADS_CREATE",
            "COLLECTION_THREADS_DELETE",
            "COLLECTION_THREAD_MESSAGES_LIST",
            "AI_PROVIDER_KEY_LIST",
            "AI_PROVIDERS_LIST_MODELS",
        ],
        "vir_1": ["*"],
        "vir_0": ["*"],
        "conn_w": ["*"],
    }


async def test_long_name_is_cut_to_what_mesh_takes(client: MeshClient, mesh: FakeMesh) -> None:
    await client.create_api_key(claims(mesh), name="x" * 200)
    await client.create_api_key(claims(mesh), name="")
    assert [call.body["params"]["arguments"]["name"] for call in mesh.calls] == ["x" * 64, "slack-mcp"]


@pytest.mark.parametrize(
    ("generation", "slug", "paths"),
    [
        ("C", "acme", ["/api/acme/mcp/self"]),
        ("A", "acme", ["/api/acme/mcp/self", "/mcp/self"]),
        ("A", None, ["/mcp/self"]),
    ],
)
async def test_canonical_path_is_asked_first_and_the_older_one_where_it_is_unknown(
    client: MeshClient, mesh: FakeMesh, generation: Any, slug: str | None, paths: list[str]
) -> None:
    mesh.generation = generation
    await client.create_api_key(claims(mesh, slug=slug), name="n")
    assert [call.path for call in mesh.calls] == paths
    assert len(mesh.api_keys) == 1


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_key_is_never_asked_for_twice_after_an_unknown_outcome(
    client: MeshClient, mesh: FakeMesh, status: int
) -> None:
    mesh.faults.append(Response(status_code=status))
    with pytest.raises(MeshUnavailableError):
        await client.create_api_key(claims(mesh), name="n")
    assert len(mesh.calls) == 1
    assert not mesh.api_keys


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Response(status_code=401), MeshRefusedError),
        (JSONResponse({"error": "forbidden"}, 403), MeshRefusedError),
        (JSONResponse({"error": "odd"}, 400), MeshRefusedError),
        (Response(status_code=429), MeshUnavailableError),
        (Response(status_code=302, headers={"Location": "http://elsewhere.example"}), MeshUnavailableError),
        (PlainTextResponse("<html>"), MeshRefusedError),
        (PlainTextResponse("[" * 9_000), MeshRefusedError),
        (PlainTextResponse("x" * 10_001), MeshRefusedError),
        (JSONResponse({"result": 5}), MeshRefusedError),
        (JSONResponse({"result": {"content": []}}), MeshRefusedError),
        (JSONResponse({"result": {"content": [{"text": 5}], "isError": True}}), MeshRefusedError),
        (JSONResponse({"result": {"structuredContent": {"id": "i"}}}), MeshRefusedError),
        (JSONResponse({"error": {"code": -32603, "message": "Access denied to: API_KEY_CREATE"}}), MeshRefusedError),
    ],
)
async def test_refusal_or_nonsense_is_one_of_our_errors(
    client: MeshClient, mesh: FakeMesh, answer: Response, expected: type[MeshApiError]
) -> None:
    mesh.faults.append(answer)
    with pytest.raises(expected) as caught:
        await client.create_api_key(claims(mesh), name="n")
    assert type(caught.value) is expected


async def test_result_in_the_text_alone_is_read_too(client: MeshClient, mesh: FakeMesh) -> None:
    result = {"content": [{"type": "text", "text": '{"id": "i", "key": "k"}'}]}
    mesh.faults.append(JSONResponse({"jsonrpc": "2.0", "id": 1, "result": result}))
    made = await client.create_api_key(claims(mesh), name="n")
    assert (made.id, made.key.reveal()) == ("i", "k")


async def test_failure_of_the_tool_is_told_in_meshs_words_without_the_token(client: MeshClient, mesh: FakeMesh) -> None:
    known = claims(mesh)
    for text, told in (
        ("Error: \n quota " + "x" * 500, "Error: quota xxx"),
        (f"bad {known.token.reveal()}", "no reason"),
    ):
        mesh.faults.append(JSONResponse({"result": {"isError": True, "content": [{"type": "text", "text": text}]}}))
        with pytest.raises(MeshRefusedError, match=told) as caught:
            await client.create_api_key(known, name="n")
        assert known.token.reveal() not in str(caught.value)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("fail", "expected"),
    [
        (httpx2.ConnectError("no"), MeshUnavailableError),
        (httpx2.RemoteProtocolError("no"), MeshUnavailableError),
        (httpx2.ReadTimeout("no"), MeshUnavailableError),
        (httpx2.LocalProtocolError("Illegal header value b'Bearer secret'"), MeshRefusedError),
    ],
)
async def test_network_failure_is_one_of_our_errors(
    mesh: FakeMesh, fail: httpx2.HTTPError, expected: type[MeshApiError]
) -> None:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(_failing(fail))) as http:
        with pytest.raises(expected) as caught:
            await MeshClient(transport=MeshTransport(http=http)).create_api_key(claims(mesh), name="n")
    assert "secret" not in str(caught.value)
    assert not (expected is MeshRefusedError and caught.value.__cause__)


def _failing(error: httpx2.HTTPError) -> Callable[[httpx2.Request], httpx2.Response]:
    def fail(_: httpx2.Request) -> httpx2.Response:
        raise error

    return fail


async def test_silence_is_ended_by_the_deadline(mesh: FakeMesh) -> None:
    async def hang(_: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError("never")

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(hang)) as http:
        with pytest.raises(MeshUnavailableError, match="in time"), anyio.fail_after(5):
            await MeshClient(transport=MeshTransport(http=http, timeout_s=0.01)).create_api_key(claims(mesh), name="n")


async def test_key_that_fits_in_no_header_is_refused_before_it_is_sent(client: MeshClient, mesh: FakeMesh) -> None:
    odd = MeshClaims(
        connection_id=ConnectionId("conn_1"),
        organization_id="o",
        organization_slug=None,
        mesh_url=URL,
        user_id=None,
        expires_at_s=0.0,
        token=Secret("clé"),
    )
    with pytest.raises(MeshRefusedError, match="malformed"):
        await client.create_api_key(odd, name="n")
    assert not mesh.calls
