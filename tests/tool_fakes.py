"""What the tools work with, in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from directory_fake import FakeDirectory, make_connection
from stepping_clock import SteppingClock

from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts, UserId
from slack_mcp.core.model import Connection, Turn
from slack_mcp.ports.audit import AuditEntry
from slack_mcp.ports.names import NameKind, Suggestions
from slack_mcp.ports.slack import SlackFile
from slack_mcp.ports.threads import ThreadSummary
from slack_mcp.tools.call import Services


@dataclass
class FakeAudit:
    """An audit in a list."""

    entries: list[AuditEntry] = field(default_factory=list)
    error: str = ""

    async def begin(self, connection_id: ConnectionId, *, actor: str, tool: str) -> int:
        if self.error == "begin":
            raise StoreUnavailableError("the database")
        number = len(self.entries)
        self.entries.append(
            AuditEntry(
                id=number, connection_id=connection_id, at_ms=0, actor=actor, tool=tool, target=None, result="begun"
            )
        )
        return number

    async def finish(self, connection_id: ConnectionId, entry_id: int, *, target: str | None, result: str) -> None:
        if self.error == "finish":
            raise StoreUnavailableError("the database")
        self.entries[entry_id] = replace(self.entries[entry_id], target=target, result=result)

    async def list_entries(
        self, connection_id: ConnectionId, *, before_id: int | None = None, limit: int = 100
    ) -> Sequence[AuditEntry]:
        return self.entries[::-1]

    async def list_all_entries(self, *, before_id: int | None = None, limit: int = 100) -> Sequence[AuditEntry]:
        return self.entries[::-1]

    async def delete_entries(self, *, before_s: float, limit: int) -> int:
        return 0


@dataclass
class FakeWeb:
    """A Web API that answers `{"ok": True}` to everything, and keeps what it was asked."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def open(self, connection: Connection) -> "FakeWeb":
        return self

    def open_as_user(self, connection: Connection) -> "FakeWeb":
        return self

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        self.calls.append((method, arguments))
        return self.answers.get(method, {"ok": True})

    async def write(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        return await self.read(method, **arguments)

    async def upload(self, upload_url: str, content: bytes) -> None:
        self.calls.append((upload_url, {}))

    async def download(self, url: str, *, max_bytes: int) -> SlackFile:
        return SlackFile(content=b"", mimetype="text/plain")


class FakeNames:
    """Ids are their own names."""

    async def resolve_channel(self, connection: Connection, text: str) -> ChannelId:
        return ChannelId(text)

    async def resolve_user(self, connection: Connection, text: str) -> UserId:
        return UserId(text)

    async def find_user_names(self, connection: Connection, user_ids: Collection[str]) -> Mapping[str, str]:
        return {}

    async def find_channel_names(self, connection: Connection, channel_ids: Collection[str]) -> Mapping[str, str]:
        return {}

    async def suggest(self, connection: Connection, kind: NameKind, text: str, *, limit: int) -> Suggestions:
        return Suggestions(first=[], total=0, is_complete=True)


class NoThreads:
    """Nothing is remembered."""

    async def load_summary(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts
    ) -> ThreadSummary | None:
        return None

    async def load_history(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, *, limit: int, max_age_s: float
    ) -> Sequence[Turn]:
        return ()

    async def load_answering(self, connection_id: ConnectionId) -> Sequence[Turn]:
        return ()

    async def load_generation(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> int:
        return 0

    async def reset_thread(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> None:
        return


def make_services(**changes: Any) -> Services:
    """Return services over fakes, for the connections `conn_a` and `conn_b`."""
    values: dict[str, Any] = {
        "configurator": None,
        "public_url": None,
        "directory": FakeDirectory(make_connection("conn_a"), make_connection("conn_b")),
        "slack": FakeWeb(),
        "names": FakeNames(),
        "audit": FakeAudit(),
        "threads": NoThreads(),
        "clock": SteppingClock(),
    }
    return Services(**(values | changes))
