"""Two tenants that only their words and tokens tell apart, and calls whose answers give away whose they are.

Both workspaces have the same channels and people by the same ids and the same names, with the names dealt out the
other way round: what was looked up for one of them is the wrong channel, or person, for the other.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fake_mesh import FakeMesh, Json
from mesh_clients import Row, get_text, mint_token
from processes import make_connection
from stepping_clock import SteppingClock

from slack_mcp.app.compose import Admin
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.ids import ChannelId, ConnectionId
from slack_mcp.core.model import Access, Connection, ToolPolicy
from slack_mcp.core.secret import Secret
from slack_mcp.identity.api_keys import make_key
from slack_mcp.simulator import Workspace
from slack_mcp.simulator.model import Note

CHANNEL_IDS = ("C0FIRST00", "C0SECOND0")
USER_IDS = ("U0FIRST00", "U0SECOND0")
MEMBERS = ("ann", "ben")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Somebody who calls for one tenant; `access` is how far that goes."""

    subject: str
    access: Access
    headers: Mapping[str, str]


class Tenant:
    """One tenant: its workspace, in which every text holds `word`, its callers, and its policy.

    `channels` are the ids by the names that they began with, and `names` what they are called now.

    Args:
        word: stands in nothing of the other's.
        number: 0 or 1.
        now_s: when everything is said, unix seconds; the same for both.
    """

    def __init__(self, word: str, *, number: int, now_s: float) -> None:
        order = (1, -1)[number]
        self.word = word
        self.connection_id = ConnectionId(f"conn_{number}")
        self.team_id = f"T0TEAM00{number}"
        self.channels = dict(zip(("general", "random"), CHANNEL_IDS[::order], strict=True))
        self.names = {channel_id: name for name, channel_id in self.channels.items()}
        self.people = dict(zip(MEMBERS, USER_IDS[::order], strict=True))
        self.own_channel = f"C0OWNED0{number}"
        self.user_token = f"xoxp-{word}-canary"
        self.policy = ToolPolicy()
        self.callers: list[Caller] = []
        self.workspace = self._make_workspace(number, now_s)
        self.root_ts = next(iter(self.workspace.channels[self.channels["general"]].messages))

    @property
    def secrets(self) -> list[str]:
        """What no answer to anybody may hold."""
        return [self.workspace.bot_token, self.workspace.signing_secret, self.user_token]

    @property
    def tokens(self) -> set[str]:
        """What Slack may be shown for this tenant."""
        return {self.workspace.bot_token, self.user_token}

    def make_connection(self) -> Connection:
        """Return the connection as it was configured, with a user token and the policy."""
        connection = make_connection(self.workspace)
        settings = replace(connection.settings, tools=self.policy)
        return replace(
            connection,
            organization_id=f"org_{self.word}",
            organization_slug=self.word,
            user_token=Secret(self.user_token),
            settings=settings,
        )

    async def add_callers(self, admin: Admin, mesh: FakeMesh) -> None:
        """Let two people call through Mesh, and three API keys directly."""
        row = Row(connection_id=self.connection_id, url="", slug=self.word)
        for number in range(2):
            user_id = f"{self.word}-user-{number}"
            headers = {"x-mesh-token": mint_token(mesh, row, user_id=user_id, state=None)}
            self.callers.append(Caller(subject=f"mesh:{user_id}", access=Access.ADMIN, headers=headers))
        for access in Access:
            made = make_key(self.connection_id, name="test", access=access, expires_in_s=None, clock=SystemClock())
            await admin.keys.add_key(made.kept)
            headers = {"authorization": f"Bearer {made.shown.reveal()}"}
            self.callers.append(Caller(subject=f"key:{made.kept.key_id}", access=access, headers=headers))

    def find_refusal(self, caller: Caller, tool: str, access: Access) -> str | None:
        """Return what a caller is told of a tool that it may not call at all."""
        if caller.access < access:
            return f"needs a caller with {access.name.lower()} access"
        if self.policy.is_read_only and access is not Access.READ:
            return "this connection is read-only"
        return "not among the tools" if tool in self.policy.denied_tools else None

    def rename(self, channel: str, name: str) -> list[Json]:
        """Give a channel another name, by which it is called from now on; return Slack's envelopes."""
        self.names[self.channels[channel]] = name
        return self.workspace.rename_channel(self.channels[channel], name)

    def may_write(self, channel_id: str) -> bool:
        """Tell whether the policy lets tools write there."""
        return not self.policy.write_channels or ChannelId(channel_id) in self.policy.write_channels

    def _make_workspace(self, number: int, now_s: float) -> Workspace:
        # On a clock that stands, what is said at the same turn has the same ts in both workspaces.
        clock = SteppingClock()
        clock.time_s = now_s
        workspace = Workspace(
            team_id=self.team_id,
            team_name=f"{self.word} works",
            bot_token=f"xoxb-{self.word}-canary",
            signing_secret=f"{self.word}-canary-secret",
            app_id=f"A{number}",
            bot_user_id="U0BOT0000",
            bot_id="B0BOT0000",
            connection_id=self.connection_id,
            clock=clock,
        )
        for name, user_id in self.people.items():
            workspace.add_user(user_id, name, real_name=f"{name.title()} {self.word}", title=f"{self.word}-title")
        for name, channel_id in {**self.channels, f"only-{number}": self.own_channel}.items():
            workspace.add_channel(channel_id, name).topic = Note(value=f"{self.word}-topic of {name}")
        for name in self.channels:
            for author in MEMBERS:
                workspace.say(self.people[author], self.channels[name], f"{self.word} in {name} by {author}")
        root = next(iter(workspace.channels[self.channels["general"]].messages))
        for author in MEMBERS:
            workspace.say(self.people[author], self.channels["general"], f"{self.word} in general by {author}", root)
        workspace.say(self.people["ann"], self.own_channel, f"{self.word} in only-{number} by ann")
        workspace.add_user_token(self.people["ann"], self.user_token)
        return workspace


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request of one caller, and what must come of it.

    Attributes:
        check: looks at the result.
        is_audited: whether it stands in the audit.
        sent: the text that it posts, and where; None when it posts none.
    """

    tenant: Tenant
    caller: Caller
    method: str
    params: Json
    check: Callable[[Json], None]
    is_audited: bool = False
    sent: tuple[str, str] | None = None


class Asker:
    """Makes up what the callers of a tenant ask."""

    def __init__(self, tenant: Tenant, chance: random.Random) -> None:
        self._tenant = tenant
        self._chance = chance
        self._number = 0
        self._kinds = (
            *(self._read_history, self._read_thread, self._search, self._get_user, self._list_channels),
            *(self._get_channel, self._read_resource, self._get_bot_status, self._sync),
            *(self._send, self._send, self._send_to_person, self._show),
        )

    def ask(self) -> Ask:
        """Return the next request."""
        self._number += 1
        return self._chance.choice(self._kinds)(self._chance.choice(self._tenant.callers))

    def _choose_channel(self) -> tuple[str, str]:
        """Return (the name it began with, how it is written): by its name or its id."""
        first_name, channel_id = self._chance.choice(list(self._tenant.channels.items()))
        return first_name, self._chance.choice((f"#{self._tenant.names[channel_id]}", channel_id))

    def _call(
        self,
        caller: Caller,
        tool: str,
        arguments: Json,
        check: Callable[[Json], None],
        *,
        access: Access = Access.READ,
        channel_id: str | None = None,
        sent: tuple[str, str] | None = None,
    ) -> Ask:
        """Return the call of a tool; `channel_id` is where it writes."""
        refusal = self._tenant.find_refusal(caller, tool, access)
        if refusal is None and channel_id is not None and not self._tenant.may_write(channel_id):
            refusal = "policy does not let tools write"

        def check_result(result: Json) -> None:
            assert bool(result.get("isError")) == (refusal is not None), get_text(result)
            if refusal is None:
                check(result["structuredContent"])
            else:
                assert refusal in get_text(result), get_text(result)

        return Ask(
            tenant=self._tenant,
            caller=caller,
            method="tools/call",
            params={"name": tool, "arguments": arguments},
            check=check_result,
            is_audited=access is not Access.READ,
            sent=None if refusal else sent,
        )

    def _check_messages(self, messages: list[Json], name: str | None = None) -> None:
        assert messages
        for message in messages:
            word, _, rest = message["text"].partition(" ")
            assert word == self._tenant.word
            assert name is None or f"in {name} " in f"{rest} "
            _, by, author = rest.partition(" by ")
            # Absent where the names were dropped while they were looked up.
            assert not by or message.get("user_name", author) == author

    def _read_history(self, caller: Caller) -> Ask:
        name, channel = self._choose_channel()
        return self._call(
            caller,
            "SLACK_GET_CHANNEL_HISTORY",
            {"channel": channel, "limit": 20},
            lambda content: self._check_messages(content["messages"], name),
        )

    def _read_thread(self, caller: Caller) -> Ask:
        return self._call(
            caller,
            "SLACK_GET_THREAD_REPLIES",
            {"channel": "#general", "thread_ts": self._tenant.root_ts},
            lambda content: self._check_messages(content["messages"], "general"),
        )

    def _search(self, caller: Caller) -> Ask:
        return self._call(
            caller,
            "SLACK_SEARCH_MESSAGES",
            {"query": "by", "count": 5},
            lambda content: self._check_messages(content["messages"]),
        )

    def _get_user(self, caller: Caller) -> Ask:
        name, user_id = self._chance.choice(list(self._tenant.people.items()))
        wanted = self._chance.choice((f"@{name}", user_id, f"{name}@example.com"))

        def check(content: Json) -> None:
            shown = content["user"]
            assert (shown["id"], shown["real_name"]) == (user_id, f"{name.title()} {self._tenant.word}")

        return self._call(caller, "SLACK_GET_USER_INFO", {"user_id": wanted}, check)

    def _list_channels(self, caller: Caller) -> Ask:
        def check(content: Json) -> None:
            names = {each["id"]: each["name"] for each in content["channels"] if each["id"] in CHANNEL_IDS}
            assert names == self._tenant.names
            assert all(each["topic"].startswith(f"{self._tenant.word}-topic") for each in content["channels"])

        return self._call(caller, "SLACK_LIST_CHANNELS", {}, check)

    def _get_channel(self, caller: Caller) -> Ask:
        name, channel = self._choose_channel()

        def check(content: Json) -> None:
            assert content["channel"]["id"] == self._tenant.channels[name]
            assert content["channel"]["topic"] == f"{self._tenant.word}-topic of {name}"

        return self._call(caller, "SLACK_GET_CHANNEL_INFO", {"channel": channel}, check)

    def _get_bot_status(self, caller: Caller) -> Ask:
        def check(content: Json) -> None:
            status = content["status"]
            assert (status["team_id"], status["team"]) == (self._tenant.team_id, f"{self._tenant.word} works")

        return self._call(caller, "SLACK_GET_BOT_STATUS", {}, check)

    def _sync(self, caller: Caller) -> Ask:
        """Drop what is kept of the tenant, so that the next one finds it cold."""
        return self._call(caller, "SYNC_CONFIG_CACHE", {}, lambda _: None, access=Access.ADMIN)

    def _read_resource(self, caller: Caller) -> Ask:
        base, general = f"slack://{self._tenant.team_id}", self._tenant.channels["general"]
        uri = self._chance.choice(
            (
                *(f"{base}/channels", f"{base}/users", f"{base}/channel/general", f"{base}/channel/{general}"),
                f"{base}/channel/general/thread/{self._tenant.root_ts}",
            )
        )

        def check(result: Json) -> None:
            assert self._tenant.word in result["contents"][0]["text"]

        return Ask(tenant=self._tenant, caller=caller, method="resources/read", params={"uri": uri}, check=check)

    def _send(self, caller: Caller) -> Ask:
        name, channel = self._choose_channel()
        channel_id = self._tenant.channels[name]
        # The other tenant uses the same ids of requests.
        options: Json = {"request_id": f"request-{self._number}"} if self._chance.random() < 0.2 else {}
        return self._make_post(caller, channel, channel_id, f"in {name}", options)

    def _send_to_person(self, caller: Caller) -> Ask:
        name, user_id = self._chance.choice(list(self._tenant.people.items()))
        return self._make_post(caller, f"@{name}", f"D{user_id[1:]}", f"to {name}", {})

    def _make_post(self, caller: Caller, channel: str, channel_id: str, where: str, options: Json) -> Ask:
        text = f"{self._tenant.word} sent {self._number} {where}"

        def check(content: Json) -> None:
            assert content["channel"] == channel_id
            assert "is_duplicate" not in content

        return self._call(
            caller,
            "SLACK_SEND_MESSAGE",
            {"channel": channel, "text": text, **options},
            check,
            access=Access.WRITE,
            channel_id=channel_id,
            sent=(channel_id, text),
        )

    def _show(self, caller: Caller) -> Ask:
        name, channel = self._choose_channel()
        person = self._chance.choice(MEMBERS)
        return self._call(
            caller,
            "SLACK_SEND_EPHEMERAL",
            {"channel": channel, "user": f"@{person}", "text": f"{self._tenant.word} shown in {name} to {person}"},
            lambda _: None,
            access=Access.WRITE,
            channel_id=self._tenant.channels[name],
        )


def list_posted(tenant: Tenant) -> list[tuple[str, str]]:
    """Return (channel, text) of what the bot has posted in the tenant's workspace."""
    channels: Any = tenant.workspace.channels.values()
    return [
        (channel.channel_id, message.text)
        for channel in channels
        for message in channel.messages.values()
        if message.bot_id
    ]
