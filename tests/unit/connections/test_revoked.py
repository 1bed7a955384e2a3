"""What Slack takes back goes, and nothing else: late news of an earlier installation destroys nothing."""

import json
from dataclasses import replace
from typing import Any

import pytest
from configuration_fakes import FakeSlack
from directory_fake import FakeDirectory, make_connection
from tool_fakes import FakeAudit

from slack_mcp.connections.revoked import MAX_ATTEMPTS, RevocationHandler
from slack_mcp.core.errors import SlackUnavailableError, StoreUnavailableError, TokenRevokedError
from slack_mcp.core.ids import EventId, UserId
from slack_mcp.core.model import Claim, Connection, JournalledEvent
from slack_mcp.core.secret import Secret

pytestmark = pytest.mark.anyio

CONNECTION = replace(make_connection(), bot_user_id=UserId("UBOT"), user_token=Secret("xoxp-canary"))
CLAIM = Claim(
    lane_id=1, fence=1, connection_id=CONNECTION.connection_id, lane="-:app_uninstalled", takeovers=0, events=()
)
REVOKED = TokenRevokedError("auth.test", "token_revoked")


class FakeInstallations:
    """Does what it is told while the connection is at the version that it was told of."""

    def __init__(self, directory: FakeDirectory) -> None:
        self.directory = directory
        self.calls: list[tuple[str, int]] = []
        self.change: Any = None

    async def disconnect(self, connection: Connection) -> bool:
        return self._note("disconnect", connection)

    async def drop_user_token(self, connection: Connection) -> bool:
        return self._note("drop_user_token", connection)

    def _note(self, name: str, connection: Connection) -> bool:
        stored = self.directory.stored.get(connection.connection_id)
        if self.change is not None and stored is not None:  # somebody saves it at this moment
            stored = self.directory.stored[stored.connection_id] = self.change(stored)
        if stored is None or stored.version != connection.version:
            return False
        self.calls.append((name, connection.version))
        return True


class World:
    def __init__(self, connection: Connection = CONNECTION) -> None:
        self.connection = connection
        self.directory = FakeDirectory(connection)
        self.store = FakeInstallations(self.directory)
        self.slack = FakeSlack()
        self.slack.error = REVOKED
        self.audit = FakeAudit()
        self.handler = RevocationHandler(directory=self.directory, store=self.store, slack=self.slack, audit=self.audit)

    async def handle(self, event_type: str = "app_uninstalled", **fields: Any) -> tuple[str, str]:
        body = {"type": "event_callback", "event_id": "Ev1", "event": {"type": event_type} | fields}
        event = JournalledEvent(
            id=1,
            connection_id=self.connection.connection_id,
            event_id=EventId("Ev1"),
            event_time=1_800_000_000,
            lane="-",
            event_type=event_type,
            payload=json.dumps(body).encode(),
            attempts=0,
            received_at_ms=0,
            redone=False,
        )
        outcome = await self.handler.handle(self.connection, event, CLAIM)
        return outcome.state.value, outcome.reason


async def test_an_uninstalled_app_is_disconnected_and_the_audit_says_so() -> None:
    world = World()
    assert await world.handle() == ("done", "disconnected")
    assert world.store.calls == [("disconnect", 1)]
    (entry,) = world.audit.entries
    assert (entry.actor, entry.tool, entry.target, entry.result) == ("slack", "app_uninstalled", "T1", "ok")


async def test_a_token_that_still_works_is_a_newer_one_and_nothing_is_destroyed() -> None:
    world = World()
    world.slack.error = None
    assert await world.handle() == ("skipped", "token_still_valid")
    assert await world.handle("tokens_revoked", tokens={"bot": ["UBOT"], "oauth": ["UANN"]}) == (
        "skipped",
        "token_still_valid",
    )
    assert (world.store.calls, world.audit.entries) == ([], [])


async def test_without_slacks_word_nothing_is_destroyed() -> None:
    world = World()
    world.slack.error = SlackUnavailableError("auth.test", "timeout")
    with pytest.raises(SlackUnavailableError):
        await world.handle()
    assert world.store.calls == []


@pytest.mark.parametrize(
    ("tokens", "calls", "reason"),
    [
        ({"bot": ["UBOT"]}, ["disconnect"], "disconnected"),
        ({"bot": ["UBOT"], "oauth": ["UANN"]}, ["disconnect", "drop_user_token"], "user_token_forgotten"),
        ({"oauth": ["UANN"]}, ["drop_user_token"], "user_token_forgotten"),
        ({"bot": ["UOTHER"]}, [], "no_token_of_ours"),
        ({"bot": [], "oauth": []}, [], "no_token_of_ours"),
        ({"bot": "UBOT"}, [], "no_token_of_ours"),
        ([], [], "no_token_of_ours"),
        (None, [], "no_token_of_ours"),
    ],
)
async def test_revoked_tokens_are_told_by_their_holders(tokens: Any, calls: list[str], reason: str) -> None:
    world = World()
    outcome = await world.handle("tokens_revoked", tokens=tokens)
    if "disconnect" in calls:  # with the bot's token all others go
        assert (outcome, world.store.calls) == (("done", "disconnected"), [("disconnect", 1)])
        return
    assert outcome[1] == reason
    assert [name for name, _ in world.store.calls] == calls


async def test_what_is_disconnected_already_is_left_alone() -> None:
    world = World(replace(CONNECTION, bot_token=Secret(""), disabled=True, user_token=None))
    assert await world.handle() == ("skipped", "connection_disabled")
    assert await world.handle("tokens_revoked", tokens={"oauth": ["UANN"]}) == ("skipped", "no_token_of_ours")
    assert (world.store.calls, world.slack.tokens) == ([], [])


async def test_a_connection_that_was_saved_meanwhile_is_asked_about_again() -> None:
    world = World()
    saved = replace(CONNECTION, bot_token=Secret("xoxb-new"), version=2)
    world.store.change = lambda _stored: saved
    assert await world.handle() == ("done", "disconnected")
    assert world.slack.tokens == ["xoxb-conn_1", "xoxb-new"]
    assert world.store.calls == [("disconnect", 2)]


async def test_a_connection_that_changes_all_the_time_is_tried_again_later() -> None:
    world = World()
    world.store.change = lambda stored: replace(stored, version=stored.version + 1)
    with pytest.raises(StoreUnavailableError):
        await world.handle()
    assert len(world.slack.tokens) == MAX_ATTEMPTS


async def test_a_connection_that_was_removed_meanwhile_needs_nothing() -> None:
    world = World()
    world.directory.stored.clear()
    assert await world.handle() == ("skipped", "connection_removed")


async def test_an_expired_token_says_nothing_while_it_can_be_replaced() -> None:
    expired = TokenRevokedError("auth.test", "token_expired")
    world = World(replace(CONNECTION, refresh_token=Secret("xoxe-1-canary")))
    world.slack.error = expired
    with pytest.raises(SlackUnavailableError):
        await world.handle()
    assert world.store.calls == []
    world = World()
    world.slack.error = expired
    assert await world.handle() == ("done", "disconnected")
