"""Fakes of everything around the bot, with one list of effects that a test can let a pod die at."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import anyio
from stepping_clock import SteppingClock

from slack_mcp.bot.addressed import Addressed, SkipReason
from slack_mcp.bot.ask import Asked
from slack_mcp.bot.handler import BotHandler, Limits, Requests
from slack_mcp.bot.present import AnswerButtons, Pace
from slack_mcp.bot.shadow import Shadows
from slack_mcp.core.errors import LeaseLostError, SlackRefusedError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, PodId, TeamId, Ts, UserId
from slack_mcp.core.model import Claim, Connection, ConnectionSettings, JournalledEvent, Turn, TurnState
from slack_mcp.core.secret import Secret
from slack_mcp.ports.agent import Agent, AgentEvent, AgentFile, AgentRequest, AgentText
from slack_mcp.ports.attachments import Remember
from slack_mcp.ports.slack import Observe, SlackFile, SlackIdentity, SlackMessage
from slack_mcp.protocol.events import EventCallback

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
        self.stops: set[tuple[str, str, str]] = set()

    async def begin_turn(self, turn: Turn) -> Turn:
        effect = self.effects.begin("begin_turn")
        standing = self.turns.setdefault((turn.connection_id, turn.channel_id, turn.message_ts), turn)
        self.effects.end(effect)
        return standing

    async def load_turn(self, connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts) -> Turn | None:
        return self.turns.get((connection_id, channel_id, message_ts))

    async def save_turn(self, turn: Turn, claim: Claim) -> None:
        effect = self.effects.begin("save_turn")
        if claim.fence != self.fence:
            raise LeaseLostError("The lane has a new holder.")
        self.turns[(turn.connection_id, turn.channel_id, turn.message_ts)] = turn
        self.effects.end(effect)

    async def has_turn(self, connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts) -> bool:
        return (connection_id, channel_id, message_ts) in self.turns

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

    async def is_stop_requested(self, connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts) -> bool:
        return (connection_id, channel_id, message_ts) in self.stops

    async def load_generation(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> int:
        return self.generations.get((connection_id, channel_id, thread_ts), 0)

    async def count_turns(self) -> int:
        return len(self.turns)

    def _of_thread(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> list[Turn]:
        where = (connection_id, channel_id, thread_ts)
        return [turn for turn in self.turns.values() if (turn.connection_id, turn.channel_id, turn.thread_ts) == where]


class FakeSlack:
    """One workspace's messages by ts, with every text each one ever showed; makes and is the API of every connection.

    `fail` is asked before each call and returns the error to raise; `changed` is set with each call that was made.
    """

    def __init__(self, effects: Effects | None = None) -> None:
        self.effects = effects or Effects()
        self.shown: dict[Ts, list[str]] = {}
        self.metadata: dict[Ts, Mapping[str, Any] | None] = {}
        self.threads: dict[Ts, Ts | None] = {}
        self.blocks: dict[Ts, Sequence[Mapping[str, Any]]] = {}
        self.tasks: dict[Ts, list[Mapping[str, Any]]] = {}
        self.streaming: set[Ts] = set()
        self.conflicts = 0
        self.statuses: list[str] = []
        self.opened_for: list[ConnectionId] = []
        self.fail: Callable[[str], Exception | None] = lambda _method: None
        self.changed = anyio.Event()

    @property
    def texts(self) -> list[str]:
        """What a reader sees now, oldest first."""
        return [texts[-1] for texts in self.shown.values()]

    async def wait_for(self, is_there: Callable[[], bool]) -> None:
        with anyio.fail_after(5):
            while not is_there():
                await self.changed.wait()

    def delete(self, ts: Ts) -> None:
        del self.shown[ts]

    def open(self, connection: Connection, *, observe: Observe | None = None) -> "FakeSlack":
        self.opened_for.append(connection.connection_id)
        return self

    def open_as_user(self, connection: Connection) -> "FakeSlack":
        return self.open(connection)

    async def fetch_identity(self) -> SlackIdentity:
        raise NotImplementedError

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        if method == "chat.getPermalink":
            return {"permalink": f"https://acme.example/{arguments['channel']}/{arguments['message_ts']}"}
        assert method == "conversations.history"
        tops = [ts for ts, thread_ts in self.threads.items() if thread_ts is None and ts in self.shown]
        return {"messages": [{"ts": ts, "metadata": self.metadata[ts]} for ts in tops[::-1]]}

    async def write(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        assert method == "chat.postMessage"
        ts = await self.post_message(
            arguments["channel"], arguments["text"], thread_ts=None, metadata=arguments["metadata"]
        )
        return {"ts": ts}

    async def upload(self, upload_url: str, content: bytes) -> None:
        raise NotImplementedError

    async def download(self, url: str, *, max_bytes: int) -> SlackFile:
        raise NotImplementedError

    async def post_message(
        self,
        channel_id: ChannelId,
        text: str,
        *,
        thread_ts: Ts | None,
        metadata: Mapping[str, Any] | None = None,
        blocks: Sequence[Mapping[str, Any]] | None = None,
    ) -> Ts:
        effect = self._begin("post_message")
        ts = self._add(text, thread_ts, metadata)
        self.blocks[ts] = blocks or ()
        self._end(effect)
        return ts

    async def update_message(
        self,
        channel_id: ChannelId,
        ts: Ts,
        text: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        blocks: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        effect = self._begin("update_message")
        self._check(ts, "chat.update")
        if ts in self.streaming:
            self.conflicts += 1
            raise SlackRefusedError("chat.update", "streaming_state_conflict")
        self.shown[ts].append(text)
        self.blocks[ts] = blocks or ()
        if metadata is not None:
            self.metadata[ts] = metadata
        self._end(effect)

    async def delete_message(self, channel_id: ChannelId, ts: Ts) -> None:
        effect = self._begin("delete_message")
        self._check(ts, "chat.delete")
        self.delete(ts)
        self._end(effect)

    async def start_stream(
        self,
        channel_id: ChannelId,
        chunks: Sequence[Mapping[str, Any]],
        *,
        thread_ts: Ts,
        recipient_user_id: UserId | None,
        recipient_team_id: TeamId | None,
    ) -> Ts:
        effect = self._begin("start_stream")
        ts = self._add("", thread_ts, None)
        self.streaming.add(ts)
        self._take(ts, chunks)
        self._end(effect)
        return ts

    async def append_stream(self, channel_id: ChannelId, ts: Ts, chunks: Sequence[Mapping[str, Any]]) -> None:
        effect = self._begin("append_stream")
        self._check_stream(ts, "chat.appendStream")
        self._take(ts, chunks)
        self._end(effect)

    async def stop_stream(
        self,
        channel_id: ChannelId,
        ts: Ts,
        *,
        chunks: Sequence[Mapping[str, Any]] = (),
        blocks: Sequence[Mapping[str, Any]] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        effect = self._begin("stop_stream")
        self._check_stream(ts, "chat.stopStream")
        self._take(ts, chunks)
        self.streaming.remove(ts)
        self.blocks[ts], self.metadata[ts] = blocks, metadata
        self._end(effect)

    async def set_status(self, channel_id: ChannelId, thread_ts: Ts, status: str, loading: Sequence[str] = ()) -> None:
        effect = self._begin("set_status")
        self.statuses.append(status)
        self._end(effect)

    async def fetch_own_replies(self, channel_id: ChannelId, thread_ts: Ts, *, oldest: Ts) -> Sequence[SlackMessage]:
        self._begin("fetch_own_replies")
        return [
            SlackMessage(ts=ts, text=texts[-1], user_id=None, bot_id="B1", metadata=self.metadata[ts])
            for ts, texts in self.shown.items()
            if self.threads[ts] == thread_ts and ts >= oldest
        ]

    def _add(self, text: str, thread_ts: Ts | None, metadata: Mapping[str, Any] | None) -> Ts:
        ts = Ts(f"1700000001.{len(self.metadata):06d}")
        self.shown[ts], self.metadata[ts], self.threads[ts] = [text], metadata, thread_ts
        return ts

    def _take(self, ts: Ts, chunks: Sequence[Mapping[str, Any]]) -> None:
        for chunk in chunks:
            if chunk["type"] == "markdown_text":
                self.shown[ts].append(self.shown[ts][-1] + chunk["text"])
            else:
                self.tasks.setdefault(ts, []).append(chunk)

    def _check(self, ts: Ts, method: str) -> None:
        if ts not in self.shown:
            raise SlackRefusedError(method, "message_not_found")

    def _check_stream(self, ts: Ts, method: str) -> None:
        self._check(ts, method)
        if ts not in self.streaming:
            raise SlackRefusedError(method, "message_not_in_streaming_state")

    def _begin(self, method: str) -> int:
        effect = self.effects.begin(method)
        error = self.fail(method)
        if error is not None:
            self._tell()
            raise error
        return effect

    def _tell(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    def _end(self, effect: int) -> None:
        self._tell()
        self.effects.end(effect)


Script = Callable[[AgentRequest], AsyncIterator[AgentEvent]]


class ScriptedAgents:
    """Chooses an agent that follows a script and keeps what it was asked; an error as script is raised by `choose`."""

    def __init__(self, script: Script | Exception) -> None:
        self.script = script
        self.requests: list[AgentRequest] = []
        self.cancelled: list[AgentRequest] = []

    def choose(self, connection: Connection) -> Agent:
        if isinstance(self.script, Exception):
            raise self.script
        return self

    def stream_answer(self, connection: Connection, request: AgentRequest) -> AsyncIterator[AgentEvent]:
        self.requests.append(request)
        assert not isinstance(self.script, Exception)
        return self.script(request)

    async def complete(self, connection: Connection, *, task_id: str, instructions: str, text: str) -> str:
        return ""

    async def cancel(self, connection: Connection, request: AgentRequest) -> None:
        self.cancelled.append(request)


def says(*pieces: str, then: Exception | None = None) -> Script:
    """Return a script that says the pieces, and then ends or fails."""

    async def script(_request: AgentRequest) -> AsyncIterator[AgentEvent]:
        for piece in pieces:
            yield AgentText(text=piece)
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
        event_time=1_800_000_000,
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


class PlainRequests:
    """Asks what the turn asks, with nothing around it."""

    async def build(
        self,
        connection: Connection,
        turn: Turn,
        message: Mapping[str, Any],
        *,
        language: str,
        is_repeated: bool,
        is_elsewhere: bool = False,
    ) -> Asked:
        if not turn.question:
            return Asked(request=None)
        return Asked(
            request=AgentRequest(
                event_id=turn.event_id,
                channel_id=turn.channel_id,
                thread_ts=turn.thread_ts,
                user_id=turn.user_id,
                question=turn.question,
                is_repeated=is_repeated,
            )
        )


class DeafNotes:
    """Remembers nothing."""

    async def hear(
        self, connection: Connection, event: EventCallback, message: Mapping[str, Any], decision: Addressed | SkipReason
    ) -> None:
        return None


class FreeLimits:
    """Lets everybody ask."""

    async def admit(
        self, connection: Connection, addressed: Addressed, event: EventCallback, *, is_redone: bool
    ) -> SkipReason | None:
        return None


class FakeFiles:
    """Keeps what is shown, once; with an error, what is sent is remembered and nothing is shown."""

    def __init__(self) -> None:
        self.shown: list[AgentFile] = []
        self.earlier: list[Sequence[str]] = []
        self.notes: Sequence[str] = ()
        self.error: Exception | None = None

    async def deliver(
        self,
        connection: Connection,
        channel_id: ChannelId,
        thread_ts: Ts,
        files: Sequence[AgentFile],
        *,
        earlier: Sequence[str],
        remember: Remember,
        language: str,
    ) -> Sequence[str]:
        self.earlier.append(earlier)
        await remember([f"F{number}" for number, _ in enumerate(files)])
        if self.error is not None:
            raise self.error
        self.shown += files
        return self.notes


class NoTitles:
    """Gives no names."""

    async def name(self, connection: Connection, turn: Turn) -> None:
        return None


def make_handler(
    turns: FakeTurns,
    slack: FakeSlack,
    agents: ScriptedAgents,
    *,
    requests: Requests | None = None,
    limits: Limits | None = None,
    files: FakeFiles | None = None,
    buttons: AnswerButtons | None = None,
    turn_timeout_s: float = 60,
) -> BotHandler:
    async def find_language(connection: Connection, _user_id: UserId | None) -> str:
        return connection.settings.language

    return BotHandler(
        turns=turns,
        slack=slack,
        drafts=slack,
        agents=agents,
        requests=requests or PlainRequests(),
        notes=DeafNotes(),
        shadows=Shadows(turns=turns, slack=slack),
        limits=limits or FreeLimits(),
        files=files or FakeFiles(),
        titles=NoTitles(),
        find_language=find_language,
        buttons=buttons or AnswerButtons(),
        pace=Pace(stream_s=0.0, edit_s=0.0),
        pod_id=PodId("pod"),
        clock=SteppingClock(),
        turn_timeout_s=turn_timeout_s,
    )
