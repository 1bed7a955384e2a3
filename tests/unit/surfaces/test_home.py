import json
from typing import Any

import pytest
from bot_fakes import make_claim, make_connection
from surface_fakes import Surfaces, make_journalled

from slack_mcp.core.errors import SlackRefusedError, SlackUnavailableError
from slack_mcp.core.ids import ChannelId, UserId
from slack_mcp.core.model import AgentBackend, ConnectionSettings, Outcome, Speaking
from slack_mcp.core.secret import Secret
from slack_mcp.simulator.blocks import validate_view
from slack_mcp.surfaces.home import read_shown

pytestmark = pytest.mark.anyio


async def open_home(surfaces: Surfaces, *, view: Any = None, user: str | None = "UANN", **changes: Any) -> Outcome:
    connection = make_connection(**changes)
    event = {"type": "app_home_opened", "channel": "D1", "tab": "home", "user": user}
    if view is not None:
        event["view"] = view
    body = {"type": "event_callback", "team_id": "T1", "event_id": "EvSURFACE", "event": event}
    journalled = make_journalled(connection, json.dumps(body).encode(), event_type="app_home_opened")
    return await surfaces.handler.handle(connection, journalled, make_claim())


def read_home(surfaces: Surfaces) -> tuple[dict[str, Any], str]:
    """Return the view that was published last, and all that it says."""
    view = surfaces.web.list_calls("views.publish")[-1]["view"]
    assert validate_view(view) == []
    texts = [block["text"]["text"] for block in view["blocks"] if block["type"] == "section"]
    texts += [each["text"] for block in view["blocks"] if block["type"] == "context" for each in block["elements"]]
    return view, "\n".join(texts)


async def test_the_home_tab_tells_how_to_ask_and_how_the_bot_is_set_up_and_nothing_secret() -> None:
    surfaces = Surfaces()
    outcome = await open_home(
        surfaces,
        mesh_url="https://mesh.example.com/some/path",
        mesh_api_key=Secret("mesh-canary"),
        connection_name="Support & <Sales>",
        team_name="Acme",
        team_id="T1",
        agent_id="agent-7",
        settings=ConnectionSettings(agent=AgentBackend.MESH, allowed_channels=(ChannelId("C1"), ChannelId("C2"))),
    )
    assert outcome.reason == "home_published"
    view, said = read_home(surfaces)
    assert "Hello <@UANN>" in said
    assert "How to ask me" in said
    assert "Connection: Support &amp; &lt;Sales&gt;, conn_1" in said
    assert "Workspace: Acme, T1" in said
    assert "Agent: mesh, agent-7" in said
    assert "Channels: <#C1> <#C2>" in said
    assert "<https://mesh.example.com|mesh.example.com>" in said
    for secret in ("mesh-canary", "xoxb-1", "secret-1"):
        assert secret not in json.dumps(view)


async def test_what_is_shown_already_is_not_published_again_and_a_change_is() -> None:
    surfaces = Surfaces()
    await open_home(surfaces)
    view, _ = read_home(surfaces)
    shown = {"private_metadata": view["private_metadata"], "blocks": []}
    assert (await open_home(surfaces, view=shown)).reason == "home_unchanged"
    assert (await open_home(surfaces, view=shown, connection_name="New")).reason == "home_published"
    surfaces.languages.by_user["UANN"] = "pt-BR"
    assert (await open_home(surfaces, view=shown)).reason == "home_published"
    assert "português do Brasil" in read_home(surfaces)[1]
    assert len(surfaces.web.list_calls("views.publish")) == 3


async def test_a_bot_without_an_agent_says_so() -> None:
    surfaces = Surfaces()
    surfaces.agents.is_configured = False
    await open_home(surfaces)
    assert "Agent: none that is ready" in read_home(surfaces)[1]


async def test_a_bot_that_only_passes_on_says_so() -> None:
    surfaces = Surfaces()
    await open_home(surfaces, settings=ConnectionSettings(trigger_only=True))
    assert "I pass on what is said" in read_home(surfaces)[1]


async def test_who_is_not_answered_is_told_so_and_not_how_to_ask() -> None:
    surfaces = Surfaces()
    await open_home(surfaces, settings=ConnectionSettings(speaking=Speaking(denied_users=(UserId("UANN"),))))
    said = read_home(surfaces)[1]
    assert "not set up to answer you" in said
    assert "How to ask me" not in said


async def test_of_the_settings_address_only_the_host_is_shown() -> None:
    surfaces = Surfaces()
    await open_home(surfaces, mesh_url="https://user:pass-canary@mesh.example.com:8443/x?token=canary")
    view, said = read_home(surfaces)
    assert "<https://mesh.example.com:8443|mesh.example.com>" in said
    assert "canary" not in json.dumps(view)


@pytest.mark.parametrize(
    "mesh_url",
    ["", "http://localhost:3000", "https://", "file:///etc", "https://a|b>c", "https://x:port", "https://[x"],
)
async def test_an_address_that_nobody_could_open_is_not_shown(mesh_url: str) -> None:
    surfaces = Surfaces()
    await open_home(surfaces, mesh_url=mesh_url)
    said = read_home(surfaces)[1]
    assert said.endswith("Whoever looks after me can change this.")


async def test_many_channels_are_a_view_that_slack_takes() -> None:
    surfaces = Surfaces()
    channels = tuple(ChannelId(f"C{number:010d}") for number in range(300))
    await open_home(surfaces, settings=ConnectionSettings(allowed_channels=channels))
    assert "…" in read_home(surfaces)[1]


async def test_an_app_without_a_home_tab_is_no_failure_and_an_outage_is_tried_again() -> None:
    surfaces = Surfaces()
    surfaces.web.errors["views.publish"] = [
        SlackRefusedError("views.publish", "not_enabled"),
        SlackUnavailableError("views.publish", "timeout"),
    ]
    assert (await open_home(surfaces)).reason == "home_refused"
    with pytest.raises(SlackUnavailableError):
        await open_home(surfaces)


async def test_nobody_is_shown_nothing() -> None:
    surfaces = Surfaces()
    assert (await open_home(surfaces, user=None)).reason == "no_user"
    assert surfaces.web.calls == []


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"event": 1}', b'{"event": {"view": []}}', b"[" * 10_000])
def test_of_a_view_that_cannot_be_read_nothing_is_known(payload: bytes) -> None:
    assert read_shown(payload) == ""
