"""What people do on the assistant's surfaces, in the shapes that Slack documents, of two workspaces.

Each file below `surfaces/<workspace>/` has

    source     the page that describes it
    body       what Slack sends: an event's envelope, or an interaction's payload; ids made up, texts scrubbed
    expected   lane       where it is worked on
               response   what an interaction is answered with at once: {body, skip_reason}, null for an event
               outcome    how the work ended: {state, reason}, null where nothing was left to do
               calls      the methods of the Web API that were called, with what they were called with
               asked      the text and the attachments of the mention that was journalled, null without one
"""

import json
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import anyio
import pytest
from bot_fakes import make_claim, make_connection
from surface_fakes import ClickDesk, Surfaces, make_journalled

from slack_mcp.core.model import Connection, ConnectionSettings, JournalledEvent
from slack_mcp.inbox.forms import INTERACTION, get_form_lane
from slack_mcp.ports.handler import EventHandler
from slack_mcp.protocol.events import EventCallback, get_lane, parse_envelope
from slack_mcp.protocol.interactions import Interaction, parse_form
from slack_mcp.surfaces.handler import SURFACE_EVENTS

pytestmark = pytest.mark.anyio
HERE = Path(__file__).parent
WORKSPACES: dict[str, Any] = json.loads((HERE / "workspaces.json").read_text(encoding="utf-8"))
FILES = sorted((HERE / "surfaces").glob("*/*.json"))
ANSWER_TS = "1700000200.000300"
"""Of a message that shows an answer, in each workspace; it is still being written."""


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def make_workspace(name: str) -> Connection:
    workspace = WORKSPACES[name]
    language = {"acme": "en", "globex": "pt-BR"}[name]
    settings = ConnectionSettings(allowed_channels=tuple(workspace["allowed_channels"]), language=language)
    return make_connection(settings=settings, **workspace["connection"])


class Replay:
    """Both workspaces with one set of surfaces and one desk for clicks."""

    def __init__(self) -> None:
        self.surfaces = Surfaces()
        self.desk = ClickDesk()
        for stops in (self.surfaces.stops, self.desk.stops):
            stops.running |= {ANSWER_TS, "1700000200.000100"}
        self.desk.ratings.answers.add(ANSWER_TS)

    async def work(self, path: Path) -> dict[str, Any]:
        """Return what the file should hold as `expected`."""
        connection, body = make_workspace(path.parent.name), read(path)["body"]
        if body["type"] == "event_callback":
            return await self._work_on_event(connection, json.dumps(body).encode())
        return await self._work_on_form(connection, urlencode({"payload": json.dumps(body)}).encode())

    async def _work_on_event(self, connection: Connection, payload: bytes) -> dict[str, Any]:
        envelope = parse_envelope(payload)
        assert isinstance(envelope, EventCallback)
        event = self._journal(connection, payload, envelope.event_type)
        self.surfaces.web.calls.clear()
        return {
            "lane": get_lane(envelope),
            "response": None,
            "outcome": await self._handle(self.surfaces.handler, connection, event),
            "calls": list_calls(self.surfaces.web.calls),
            "asked": None,
        }

    async def _work_on_form(self, connection: Connection, payload: bytes) -> dict[str, Any]:
        form = parse_form(payload)
        assert isinstance(form, Interaction)
        event = self._journal(connection, payload, INTERACTION)
        for seen in (self.desk.web.calls, self.desk.journal.taken):
            seen.clear()
        answer = await self.desk.router.answer_now(connection, form)
        outcome = None
        if answer.skip_reason is None and answer.is_journalled:
            outcome = await self._handle(self.desk.router, connection, event)
        return {
            "lane": get_form_lane(form),
            "response": {"body": answer.body, "skip_reason": answer.skip_reason},
            "outcome": outcome,
            "calls": list_calls(self.desk.web.calls),
            "asked": self.desk.read_asked(),
        }

    def _journal(self, connection: Connection, payload: bytes, event_type: str) -> JournalledEvent:
        now_s = self.surfaces.clock.now_s()
        return make_journalled(connection, payload, event_type=event_type, received_at_s=now_s)

    async def _handle(self, handler: EventHandler, connection: Connection, event: JournalledEvent) -> dict[str, str]:
        outcome = await handler.handle(connection, event, make_claim())
        return {"state": outcome.state.value, "reason": outcome.reason}


def list_calls(calls: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [{"method": method} | {k: v for k, v in given.items() if v is not None} for method, given in calls]


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}-{path.stem}" for path in FILES])
async def test_what_people_do_is_answered_as_expected(path: Path) -> None:
    assert await Replay().work(path) == read(path)["expected"]


async def test_two_workspaces_interleaved_are_answered_as_each_alone() -> None:
    by_workspace = [[path for path in FILES if path.parent.name == name] for name in WORKSPACES]
    order = [path for path in chain.from_iterable(zip_longest(*by_workspace)) if path is not None]
    assert sorted(order) == FILES
    replay = Replay()
    found = {}
    with anyio.fail_after(30):
        for path in order:
            replay.surfaces.memory.greeted.clear()
            found[path] = await replay.work(path)
    assert found == {path: read(path)["expected"] for path in FILES}


def test_every_surface_is_there() -> None:
    bodies = [read(path)["body"] for path in FILES]
    events = [body["event"] for body in bodies if "event" in body]
    assert {event["type"] for event in events} == SURFACE_EVENTS
    assert {event.get("tab") for event in events} >= {"home", "messages"}
    assert {body["type"] for body in bodies} == {"event_callback", "block_actions", "message_action", "view_submission"}


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}-{path.stem}" for path in FILES])
def test_a_payload_names_its_workspaces_app_and_nothing_secret(path: Path) -> None:
    content = read(path)
    assert set(content) == {"source", "body", "expected"}
    assert content["source"].startswith("https://docs.slack.dev/")
    assert content["body"]["api_app_id"] == WORKSPACES[path.parent.name]["connection"]["api_app_id"]
    assert content["body"]["token"] == "scrubbed"
    assert "xox" not in path.read_text(encoding="utf-8")
