from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.errors import AgentNotConfiguredError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.mesh.access import MeshAccess, access_of, normalise_mesh_url


@pytest.mark.parametrize(
    ("url", "normalised"),
    [
        ("https://mesh.example", "https://mesh.example"),
        ("HTTPS://Mesh.Example:443/", "https://mesh.example"),
        ("http://mesh.example:80", "http://mesh.example"),
        ("http://mesh.example:8080//", "http://mesh.example:8080"),
        (" https://mesh.example/Base/ ", "https://mesh.example/Base"),
        ("http://[::1]:3200", "http://[::1]:3200"),
    ],
)
def test_url_is_normalised(url: str, normalised: str) -> None:
    assert normalise_mesh_url(url) == normalised


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mesh.example",
        "ftp://mesh.example",
        "https://",
        "https://user@mesh.example",
        "https://user:word@mesh.example",
        "https://mesh.example?x=1",
        "https://mesh.example#x",
        "https://mesh.example:notaport",
        "https://mesh.example:99999",
        "http://[::1",
    ],
)
def test_what_does_not_name_a_server_is_refused(url: str) -> None:
    assert normalise_mesh_url(url) is None


@given(st.text() | st.text().map(lambda text: f"https://{text}"))
def test_normalising_never_fails_and_is_done_once(url: str) -> None:
    normalised = normalise_mesh_url(url)
    assert normalised is None or normalise_mesh_url(normalised) == normalised


@pytest.mark.parametrize(
    ("slug", "urls"),
    [
        ("acme", ["https://m.example/api/acme/mcp/self", "https://m.example/mcp/self"]),
        ("a/../b", ["https://m.example/api/a%2F..%2Fb/mcp/self", "https://m.example/mcp/self"]),
        ("..", ["https://m.example/mcp/self"]),
        (None, ["https://m.example/mcp/self"]),
    ],
)
def test_canonical_path_comes_first_and_no_slug_climbs_out_of_it(slug: str | None, urls: list[str]) -> None:
    access = MeshAccess(mesh_url="https://m.example", organization_slug=slug, bearer=Secret("k"))
    assert access.get_self_urls() == urls


def make_connection(*, mesh_url: str = "https://m.example/", **secrets: Any) -> Connection:
    return Connection(
        connection_id=ConnectionId("conn_1"),
        organization_id="org_1",
        mesh_url=mesh_url,
        bot_token=Secret("xoxb"),
        signing_secret=Secret("s"),
        **secrets,
    )


def test_api_key_is_preferred_to_the_token_that_expires() -> None:
    connection = make_connection(mesh_api_key=Secret("key"), mesh_token=Secret("token"))
    assert access_of(connection).bearer == Secret("key")
    assert access_of(make_connection(mesh_token=Secret("token"))).bearer == Secret("token")


def test_connection_without_access_says_what_to_do() -> None:
    for connection in (make_connection(), make_connection(mesh_url="", mesh_api_key=Secret("key"))):
        with pytest.raises(AgentNotConfiguredError, match="save its configuration in Mesh"):
            access_of(connection)
