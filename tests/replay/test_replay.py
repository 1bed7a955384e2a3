"""Payloads in the shapes that Slack documents, of two workspaces, each with what is expected of it beside it.

A new kind of event is a new file below `payloads/<workspace>/`:

    source     the page that describes it
    body       what Slack sends, with ids made up and texts scrubbed
    expected   envelope   the class that it is read as
               lane       where it is worked on, null where nothing is
               decision   {question, thread_ts} of what the bot answers, or the word why it does not

`workspaces.json` names each workspace's connection, and the threads that its bot has answered in.
"""

import json
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from bot_fakes import FakeTurns, make_connection, make_turn

from slack_mcp.bot.addressed import Addressed, decide
from slack_mcp.core.model import Connection, ConnectionSettings
from slack_mcp.protocol.events import EventCallback, get_lane, parse_envelope, peek_routing

pytestmark = pytest.mark.anyio
HERE = Path(__file__).parent
WORKSPACES: dict[str, Any] = json.loads((HERE / "workspaces.json").read_text(encoding="utf-8"))
FILES = sorted((HERE / "payloads").glob("*/*.json"))


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def make_workspace(name: str) -> Connection:
    workspace = WORKSPACES[name]
    settings = ConnectionSettings(allowed_channels=tuple(workspace["allowed_channels"]))
    return make_connection(settings=settings, **workspace["connection"])


async def make_turns() -> FakeTurns:
    turns = FakeTurns()
    for name in WORKSPACES:
        for channel_id, thread_ts in WORKSPACES[name]["threads"]:
            await turns.begin_turn(
                make_turn(
                    connection_id=make_workspace(name).connection_id,
                    channel_id=channel_id,
                    message_ts=thread_ts,
                    thread_ts=thread_ts,
                )
            )
    return turns


async def work(path: Path, turns: FakeTurns) -> dict[str, Any]:
    """Return what the file should hold as `expected`."""
    envelope = parse_envelope(json.dumps(read(path)["body"]).encode())
    found: dict[str, Any] = {"envelope": type(envelope).__name__, "lane": None, "decision": None}
    if isinstance(envelope, EventCallback):
        decision = await decide(make_workspace(path.parent.name), envelope, turns)
        found["lane"] = get_lane(envelope)
        found["decision"] = (
            {"question": decision.question, "thread_ts": decision.thread_ts}
            if isinstance(decision, Addressed)
            else str(decision)
        )
    return found


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}-{path.stem}" for path in FILES])
async def test_a_payload_is_read_and_decided_as_expected(path: Path) -> None:
    assert await work(path, await make_turns()) == read(path)["expected"]


async def test_two_workspaces_interleaved_are_decided_as_each_alone() -> None:
    turns = await make_turns()
    by_workspace = [[path for path in FILES if path.parent.name == name] for name in WORKSPACES]
    order = [path for path in chain.from_iterable(zip_longest(*by_workspace)) if path is not None]
    assert sorted(order) == FILES
    found: dict[Path, dict[str, Any]] = {}

    async def keep(path: Path) -> None:
        await anyio.lowlevel.checkpoint()
        found[path] = await work(path, turns)

    async with anyio.create_task_group() as tasks:
        for path in order:
            tasks.start_soon(keep, path)
    assert found == {path: read(path)["expected"] for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}-{path.stem}" for path in FILES])
def test_a_payload_names_its_workspaces_app_and_nothing_secret(path: Path) -> None:
    content = read(path)
    assert set(content) == {"source", "body", "expected"}
    assert content["source"].startswith("https://docs.slack.dev/")
    _team_id, api_app_id = peek_routing(json.dumps(content["body"]).encode())
    assert api_app_id in (None, WORKSPACES[path.parent.name]["connection"]["api_app_id"])
    assert content["body"]["token"] == "scrubbed"
    assert "xox" not in path.read_text(encoding="utf-8")


def test_the_kinds_of_events_that_matter_are_there() -> None:
    bodies = [read(path)["body"] for path in FILES]
    events = [body["event"] for body in bodies if "event" in body]
    assert {event["type"] for event in events} >= {"app_mention", "message", "reaction_added"}
    assert {event.get("subtype") for event in events} >= {
        None,
        "message_changed",
        "message_deleted",
        "bot_message",
        "channel_join",
        "file_share",
        "thread_broadcast",
    }
    assert {event.get("channel_type") for event in events} >= {"channel", "group", "im", "mpim"}
    assert {body["type"] for body in bodies} == {"event_callback", "url_verification", "app_rate_limited"}
    assert any(body.get("enterprise_id") for body in bodies)
    assert any(body.get("is_ext_shared_channel") for body in bodies)
