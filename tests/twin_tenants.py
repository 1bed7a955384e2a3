"""Two tenants that only their words and tokens tell apart, and calls of tools whose answers give away whose they are.

Both workspaces have the same channels and people by the same ids and the same names, with the names dealt out the
other way round: a name that was looked up for one of them is the wrong channel, or person, for the other.
"""

import itertools
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
from fake_mesh import FakeMesh, Json
from mesh_clients import Row, mint_token
from processes import make_connection

from slack_mcp.app.compose import Admin
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access, Connection, ToolPolicy
from slack_mcp.core.secret import Secret
from slack_mcp.identity.api_keys import make_key
from slack_mcp.simulator import Workspace
from slack_mcp.simulator.model import Note

CHANNELS = ("C0FIRST00", "C0SECOND0")
PEOPLE = ("U0FIRST00", "U0SECOND0")
STATELESS = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Somebody who calls for one tenant; `access` is how far that goes."""

    subject: str
    access: Access
    headers: dict[str, str]


class Tenant:
    """One tenant: its workspace, whose every word holds `word`, and its callers."""

    def __init__(self, word: str, *, number: int, seed_s: float) -> None:
        self.word = word
        self.connection_id = ConnectionId(f"conn_{number}")
        self.channels = dict(zip(("general", "random"), CHANNELS[:: (1, -1)[number]], strict=True))
        self.people = dict(zip(("ann", "ben"), PEOPLE[:: (1, -1)[number]], strict=True))
        self.own_channel = f"C0OWNED0{number}"
        self.user_token = f"xoxp-{word}-canary"
        self.callers: list[Caller] = []
        self.workspace = self._make_workspace(number, seed_s)
        self.root_ts = next(iter(self.workspace.channels[self.channels["general"]].messages))

    def _make_workspace(self, number: int, seed_s: float) -> Workspace:
        workspace = Workspace(
            team_id=f"T0TEAM00{number}",
            team_name=f"{self.word} works",
            bot_token=f"xoxb-{self.word}-canary",
            signing_secret=f"{self.word}-canary-secret",
            app_id=f"A{number}",
            bot_user_id="U0BOT0000",
            bot_id="B0BOT0000",
            connection_id=self.connection_id,
            clock=_Still(seed_s),
        )
        for name, user_id in self.people.items():
            workspace.add_user(user_id, name, real_name=f"{name.title()} {self.word}", title=f"{self.word}-title")
        for name, channel_id in {**self.channels, f"only-{number}": self.own_channel}.items():
            channel = workspace.add_channel(channel_id, name)
            channel.topic = Note(value=f"{self.word}-topic of {name}")
        for name, channel_id in self.channels.items():
            for author, user_id in self.people.items():
                workspace.say(user_id, channel_id, f"{self.word} in {name} by {author}")
        first = next(iter(workspace.channels[self.channels["general"]].messages))
        workspace.say(self.people["ben"], self.channels["general"], f"{self.word} reply in general by ben", first)
        workspace.say(self.people["ann"], self.own_channel, f"{self.word} in only-{number} by ann")
        workspace.add_user_token(self.people["ann"], self.user_token)
        return workspace

    def make_connection(self) -> Connection:
        """Return the connection as its owner would enter it, with a user token."""
        from dataclasses import replace

        return replace(make_connection(self.workspace), user_token=Secret(self.user_token))

    async def add_callers(self, admin: Admin, mesh: FakeMesh) -> None:
        """Let two people call through Mesh, and three API keys of different access directly."""
        for person in ("one", "two"):
            user_id = f"{self.word}-user-{person}"
            row = Row(connection_id=self.connection_id, url="", slug=self.word)
            token = mint_token(mesh, row, user_id=user_id, state=None)
            self.callers.append(
                Caller(subject=f"mesh:{user_id}", access=Access.ADMIN, headers={"x-mesh-token": token})
            )
        for access in Access:
            made = make_key(self.connection_id, name="test", access=access, expires_in_s=None, clock=SystemClock())
            await admin.keys.add_key(made.kept)
            headers = {"authorization": f"Bearer {made.shown.reveal()}"}
            self.callers.append(Caller(subject=f"key:{made.kept.key_id}", access=access, headers=headers))

    def list_secrets(self) -> list[str]:
        """Return what no answer to anybody may hold."""
        return [self.workspace.bot_token, self.workspace.signing_secret, self.user_token]


class _Still:
    """A clock that stands: the same things said in two workspaces then have the same ts."""

    def __init__(self, now_s: float) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        return self._now_s

    def monotonic_s(self) -> float:
        return self._now_s
