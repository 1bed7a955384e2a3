"""Fakes of everything around the bot, with one list of effects that a test can let a pod die at."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from slack_mcp.core.errors import LeaseLostError, SlackRefusedError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, Ts
from slack_mcp.core.model import Claim, Connection, ConnectionSettings, JournalledEvent, Turn, TurnState
from slack_mcp.core.secret import Secret
from slack_mcp.ports.agent import Agent, AgentRequest
from slack_mcp.ports.slack import SlackIdentity, SlackMessage

When = Literal["before", "after"]
CHANNEL = ChannelId("C1")
ROOT = Ts("1700000000.000100")


class PodDied(BaseException):
    """The process is gone; nothing that catches errors catches it."""


class Effects:
    """What was done, in order. `die_at` is the place in that order before or after which the pod dies."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.die_at: tuple[int, When] | None = None

    def begin(self, name: str) -> int:
        """Note the effect and return its place."""
        place = len(self.done)
        if self.die_at == (place, "before"):
            raise PodDied
        self.done.append(name)
        return place

    def end(self, place: int) -> None:
        if self.die_at == (place, "after"):
            raise PodDied


class FakeTurns:
    """Turns in memory, with the fencing of the real store."""

    def __init__(self, effects: Effects | None = None) -> None:
        self.effects = effects or Effects()
        self.turns: dict[tuple[str, str, str], Turn] = {}
        self.fence = 1
        self.generations: dict[tuple[str, str, str], int] = {}

    async def begin_turn(self, turn: Turn) -> Turn:
        effect = self.effects.begin("begin_turn")
        standing = self.turns.setdefault((turn.connection_id, turn.channel_id, turn.message_ts), turn)
        self.effects.end(effect)
        return standing

    async def save_turn(self, turn: Turn, claim: Claim) -> None:
        effect = self.effects.begin("save_turn")
        if claim.fence != self.fence:
            raise LeaseLostError("The lane has a new holder.")
        self.turns[(turn.connection_id, turn.channel_id, turn.message_ts)] = turn
        self.effects.end(effect)

    async def has_turn_in_thread(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> bool:
        return bool(self._of_thread(connection_id, channel_id, thread_ts))

    async def has_notice_in_thread(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, notice: str
    ) -> bool:
        return any(turn.notice == notice for turn in self._of_thread(connection_id, channel_id, thread_ts))

    async def load_history(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, *, limit: int, max_age_s: float
    ) -> Sequence[Turn]:
        answered = [turn for turn in self._of_thread(connection_id, channel_id, thread_ts) if turn.answer is not None]
        return answered[-limit:]

    async def load_generation(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> int:
        return self.generations.get((connection_id, channel_id, thread_ts), 0)

    async def count_turns(self) -> int:
        return len(self.turns)

    def _of_thread(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> list[Turn]:
        where = (connection_id, channel_id, thread_ts)
        return [turn for turn in self.turns.values() if (turn.connection_id, turn.channel_id, turn.thread_ts) == where]


class FakeSlack:
    """One workspace's messages by ts, with every text each one ever showed; makes and is the API of every connection.

    `fail` is asked before each call and returns the error to raise.
    """

    def __init__(self, effects: Effects | None = None) -> None:
        self.effects = effects or Effects()
        self.shown: dict[Ts, list[str]] = {}
        self.metadata: dict[Ts, Mapping[str, Any] | None] = {}
        self.threads: dict[Ts, Ts | None] = {}
        self.opened_for: list[ConnectionId] = []
        self.fail: Callable[[str], Exception | None] = lambda _method: None

    @property
    def texts(self) -> list[str]:
        """What a reader sees now, oldest first."""
        return [texts[-1] for texts in self.shown.values()]

    def delete(self, ts: Ts) -> None:
        del self.shown[ts]

    def open(self, connection: Connection) -> "FakeSlack":
        self.opened_for.append(connection.connection_id)
        return self

    def open_as_user(self, connection: Connection) -> "FakeSlack":
        return self.open(connection)

    async def fetch_identity(self) -> SlackIdentity:
        raise NotImplementedError

    async def post_message(
        self, channel_id: ChannelId, text: str, *, thread_ts: Ts | None, metadata: Mapping[str, Any] | None = None
    ) -> Ts:
        effect = self._begin("post_message")
        ts = Ts(f"1700000001.{len(self.metadata):06d}")
        self.shown[ts], self.metadata[ts], self.threads[ts] = [text], metadata, thread_ts
        self.effects.end(effect)
        return ts

    async def update_message(
        self, channel_id: ChannelId, ts: Ts, text: str, *, metadata: Mapping[str, Any] | None = None
    ) -> None:
        effect = self._begin("update_message")
        if ts not in self.shown:
            raise SlackRefusedError("chat.update", "message_not_found")
        self.shown[ts].append(text)
        if metadata is not None:
            self.metadata[ts] = metadata
        self.effects.end(effect)

    async def fetch_own_replies(self, channel_id: ChannelId, thread_ts: Ts, *, oldest: Ts) -> Sequence[SlackMessage]:
        self._begin("fetch_own_replies")
        return [
            SlackMessage(ts=ts, text=texts[-1], user_id=None, bot_id="B1", metadata=self.metadata[ts])
            for ts, texts in self.shown.items()
            if self.threads[ts] == thread_ts and ts >= oldest
        ]

    def _begin(self, method: str) -> int:
        effect = self.effects.begin(method)
        error = self.fail(method)
        if error is not None:
            raise error
        return effect


Script = Callable[[AgentRequest], AsyncIterator[str]]


class ScriptedAgents:
    """Chooses an agent that follows a script and keeps what it was asked; an error as script is raised by `choose`."""

    def __init__(self, script: Script | Exception) -> None:
        self.script = script
        self.requests: list[AgentRequest] = []

    def choose(self, connection: Connection) -> Agent:
        if isinstance(self.script, Exception):
            raise self.script
        return self

    def stream_answer(self, connection: Connection, request: AgentRequest) -> AsyncIterator[str]:
        self.requests.append(request)
        assert not isinstance(self.script, Exception)
        return self.script(request)


def says(*pieces: str, then: Exception | None = None) -> Script:
    """Return a script that says the pieces, and then ends or fails."""

    async def script(_request: AgentRequest) -> AsyncIterator[str]:
        for piece in pieces:
            yield piece
        if then is not None:
            raise then

    return script


def make_connection(**changes: Any) -> Connection:
    fields: dict[str, Any] = {
        "connection_id": ConnectionId("conn_1"),
        "organization_id": "org",
        "mesh_url": "",
        "bot_token": Secret("xoxb-1"),
        "signing_secret": Secret("secret-1"),
        "bot_user_id": "UBOT",
        "bot_id": "BBOT",
        "api_app_id": "ABOT",
        "settings": ConnectionSettings(),
    }
    return Connection(**fields | changes)


def make_payload(event_id: str = "Ev1", **changes: Any) -> dict[str, Any]:
    """Return the envelope of a mention in a channel; changes are the event's, None takes a field away."""
    event: dict[str, Any] = {
        "type": "app_mention",
        "channel": CHANNEL,
        "user": "UANN",
        "text": "<@UBOT> what is up?",
        "ts": ROOT,
    }
    event = {name: value for name, value in (event | changes).items() if value is not None}
    return {"type": "event_callback", "team_id": "T1", "api_app_id": "ABOT", "event_id": event_id, "event": event}


def make_event(event_id: str = "Ev1", *, redone: bool = False, attempts: int = 0, **changes: Any) -> JournalledEvent:
    payload = make_payload(event_id, **changes)
    return JournalledEvent(
        id=1,
        connection_id=ConnectionId("conn_1"),
        event_id=EventId(event_id),
        lane=f"{CHANNEL}:{ROOT}",
        event_type=payload["event"]["type"],
        payload=json.dumps(payload).encode(),
        attempts=attempts,
        received_at_ms=0,
        redone=redone,
    )


def make_claim(fence: int = 1) -> Claim:
    return Claim(
        lane_id=1,
        fence=fence,
        connection_id=ConnectionId("conn_1"),
        lane=f"{CHANNEL}:{ROOT}",
        takeovers=0,
        events=(),
    )


def make_turn(**changes: Any) -> Turn:
    turn = Turn(
        connection_id=ConnectionId("conn_1"),
        channel_id=CHANNEL,
        message_ts=ROOT,
        thread_ts=ROOT,
        event_id=EventId("Ev1"),
        user_id=None,
        state=TurnState.STARTED,
        question="what is up?",
    )
    return replace(turn, **changes)
