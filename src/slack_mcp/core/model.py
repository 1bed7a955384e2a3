"""The records that the rooms pass to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from slack_mcp.core.errors import SealingError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, TeamId, Ts, UserId
from slack_mcp.core.secret import Secret


class AgentBackend(StrEnum):
    """Who writes the bot's answers."""

    ECHO = "echo"
    OPENAI = "openai"
    MESH = "mesh"


class Access(IntEnum):
    """How much a caller of the tools may do; each level includes those before it."""

    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPolicy:
    """What the tools may do for a connection, whoever calls them. What is not allowed is refused and not listed.

    Attributes:
        is_read_only: no tool that writes.
        allowed_tools: the only tools there are; empty means all.
        denied_tools: never these, whatever `allowed_tools` says.
        write_channels: the only channels that tools may write to, by id; empty means all.
        denied_write_channels: never these.
        approve_outside_thread: what writes outside of the thread that the bot is answering in waits for a click.
    """

    is_read_only: bool = False
    allowed_tools: tuple[str, ...] = ()
    denied_tools: tuple[str, ...] = ()
    write_channels: tuple[ChannelId, ...] = ()
    denied_write_channels: tuple[ChannelId, ...] = ()
    approve_outside_thread: bool = False


class TriggerKind(StrEnum):
    """Who is told of an event."""

    MESH = "mesh"
    HTTPS = "https"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A subscription to one kind of event of a connection.

    Attributes:
        trigger_id: unique within the connection; constant for a Mesh trigger of one event type.
        event_type: `slack.message.received` and its neighbours.
        secret: Mesh's callback token, or the key that signs the body (Standard Webhooks, `whsec_…`).
        filters: values that the event's data must have, by key.
        refused_at_ms: since when the receiver turns the deliveries away for good (401), unix milliseconds.
    """

    trigger_id: str
    kind: TriggerKind
    event_type: str
    url: str
    secret: Secret
    filters: Mapping[str, str] = field(default_factory=dict)
    refused_at_ms: int | None = None


class Distribution(StrEnum):
    """How the Slack app is given to people: decides how often Slack lets it read a conversation.

    Source: https://docs.slack.dev/changelog/2025/05/29/rate-limit-changes-for-non-marketplace-apps.
    """

    INTERNAL = "internal"
    MARKETPLACE = "marketplace"
    UNLISTED = "unlisted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestedPrompt:
    """A prompt that the assistant offers: what is shown, and what is asked when it is chosen."""

    title: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOverride:
    """What is different in one channel. None, or empty, leaves it as it is elsewhere.

    Attributes:
        system_prompt: takes the place of the connection's.
        suggested_prompts: the same, for people who look at this channel while they ask the assistant.
    """

    system_prompt: str | None = None
    suggested_prompts: tuple[SuggestedPrompt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaking:
    """To whom the bot speaks.

    Attributes:
        allow_bots: other bots' mentions are answered; a bot's reply without one never is.
        allowed_users: the only people who are answered; empty means all.
        denied_users: never these.
        allow_external: people are answered in channels that are shared with another organization.
        user_per_min, channel_per_min: questions that are answered in a minute, of one person and in one channel; 0 is
            no limit.
    """

    allow_bots: bool = False
    allowed_users: tuple[UserId, ...] = ()
    denied_users: tuple[UserId, ...] = ()
    allow_external: bool = False
    user_per_min: int = 20
    channel_per_min: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSettings:
    """How much of a conversation the agent is told.

    Attributes:
        max_fetched: messages that are read, of our own memory or of Slack, at most.
        max_unsummarized: a longer conversation is summarized, all but its last messages.
        recent_kept: how many of the last messages are told word for word then.
    """

    max_fetched: int = 100
    max_unsummarized: int = 40
    recent_kept: int = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """What a tenant may choose beside its credentials; kept as JSON in `slack_connections.settings`.

    Attributes:
        agent: the backend that answers; None leaves it to `DEFAULT_AGENT`.
        allowed_channels: the channels in which the bot may speak; empty means all. Direct messages are not affected.
        language: the catalogue of the bot's own sentences, `en` or `pt-BR`.
        thread_timeout_min: minutes of silence after which a thread's history is no longer sent to the agent.
        tools: what the tools may do.
        trigger_only: events go to the triggers, and the bot itself answers nothing.
        show_thinking_message: the bot shows that it is at work, also when a trigger's receiver answers in its place.
        streaming: the answer is shown while it is written.
        final_only: what the agent says before it uses a tool is not part of the answer.
        allow_mentions: the agent may mention people; a whole channel it never may.
        speaking: to whom the bot speaks.
        context: how much of a conversation the agent is told.
        channels: what is different in some channels.
        greeting: what the assistant says in a new conversation; None is the catalogue's sentence.
        suggested_prompts: what the assistant offers in a new conversation, four at most.
        ask_agent_for_prompts: the agent is asked what to offer where nothing is named.
        whisper_id: the Mesh connection that writes down what is said in audio files.
        distribution: how the app is given to people; None is not known, and taken for an app of one's own until Slack
            refuses a read.
    """

    agent: AgentBackend | None = None
    allowed_channels: tuple[ChannelId, ...] = ()
    language: str = "en"
    thread_timeout_min: int = 10
    tools: ToolPolicy = field(default_factory=ToolPolicy)
    trigger_only: bool = False
    show_thinking_message: bool = True
    streaming: bool = True
    final_only: bool = False
    allow_mentions: bool = False
    speaking: Speaking = field(default_factory=Speaking)
    context: ContextSettings = field(default_factory=ContextSettings)
    channels: Mapping[ChannelId, ChannelOverride] = field(default_factory=dict)
    greeting: str | None = None
    suggested_prompts: tuple[SuggestedPrompt, ...] = ()
    ask_agent_for_prompts: bool = False
    whisper_id: str | None = None
    distribution: Distribution | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One tenant, with its secrets in the clear: lives in memory only.

    Attributes:
        version: grows by one with every saved change; announced to the other pods.
        previous_signing_secret: still accepted until `previous_signing_secret_until_s` (unix seconds).
        mesh_token: the last short-lived token Mesh sent with a configuration.
        mesh_api_key: the API key made from it, which does not expire.
        disabled: deliveries are acknowledged and journalled as skipped, the bot is silent.
        mesh_refused_since_ms: since when Mesh refuses all calls with the connection's key, unix milliseconds; None
            while it is not known to, and for one that its operator disabled.
        user_token: of the person for whom the tools may act where Slack takes no bot token (search, unreads).
        refresh_token: with which the bot token, which expires, is replaced; None for one that does not expire.
        token_expires_at_s: when the bot token expires, unix seconds.
        client_id, client_secret: the app's, which Slack asks for when a token is replaced.
        bot_scopes, user_scopes: what the tokens were granted; None when Slack did not say.
        triggers: who is told of its events; read with the connection, and saved on their own.
    """

    connection_id: ConnectionId
    organization_id: str
    mesh_url: str
    bot_token: Secret
    signing_secret: Secret
    mesh_token: Secret | None = None
    mesh_api_key: Secret | None = None
    mesh_api_key_id: str | None = None
    organization_slug: str | None = None
    model_provider_id: str | None = None
    model_id: str | None = None
    agent_id: str | None = None
    system_prompt: str | None = None
    team_id: TeamId | None = None
    team_name: str | None = None
    bot_user_id: UserId | None = None
    bot_id: str | None = None
    api_app_id: str | None = None
    connection_name: str | None = None
    previous_signing_secret: Secret | None = None
    previous_signing_secret_until_s: float | None = None
    settings: ConnectionSettings = field(default_factory=ConnectionSettings)
    version: int = 1
    disabled: bool = False
    mesh_refused_since_ms: int | None = None
    user_token: Secret | None = None
    refresh_token: Secret | None = None
    token_expires_at_s: float | None = None
    client_id: str | None = None
    client_secret: Secret | None = None
    bot_scopes: frozenset[str] | None = None
    user_scopes: frozenset[str] | None = None
    triggers: tuple[Trigger, ...] = ()
    configured_at: str = ""
    updated_at: str = ""

    @property
    def is_gone(self) -> bool:
        """Whether it was disabled because Mesh had refused it for too long: the next save there enables it."""
        return self.disabled and self.mesh_refused_since_ms is not None

    @property
    def is_disconnected(self) -> bool:
        """Whether Slack took its tokens back: the next save with a new token connects and enables it."""
        return not self.bot_token


UNDATED: Final = 0
"""The time of an event that has no believable one."""


class EventState(StrEnum):
    """Where a journalled event stands. `running` is not stored: it is the first unfinished event of a held lane."""

    RECEIVED = "received"
    WAITING = "waiting"
    DONE = "done"
    SKIPPED = "skipped"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event as it goes into the journal, before the 200.

    Attributes:
        event_time: when it happened, unix seconds, or `UNDATED`; the same whenever the event is delivered.
        lane: channel and thread root; events of one lane run one after the other.
        payload: the verified body, clear; the store seals it.
        retry_num: Slack's `X-Slack-Retry-Num`, kept as data and never used to drop an event.
        skip_reason: why there is nothing to do, when that was plain at once: the event is journalled as skipped, and
            never claimed.
    """

    connection_id: ConnectionId
    event_id: EventId
    event_time: int
    lane: str
    event_type: str
    payload: bytes
    retry_num: int = 0
    retry_reason: str | None = None
    skip_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalledEvent:
    """One event taken from the journal to be worked on.

    Attributes:
        id: the journal's own number; its order is the order of work within a lane.
        event_time: as it was delivered; says where on PostgreSQL the row is.
        attempts: how often it was tried and failed.
        received_at_ms: unix milliseconds by the database's clock.
        redone: a pod may have worked on it before (a retry, a take-over, a replay): look for traces before acting.
        unreadable: why the payload, which is empty then, could not be opened.
        replayed_at_ms: when an operator put it back last, None for one that nobody did.
    """

    id: int
    connection_id: ConnectionId
    event_id: EventId
    event_time: int
    lane: str
    event_type: str
    payload: bytes
    attempts: int
    received_at_ms: int
    redone: bool
    unreadable: SealingError | None = None
    replayed_at_ms: int | None = None

    @property
    def due_since_ms(self) -> int:
        """Since when it is to be worked on: its arrival, or when it was put back."""
        return self.replayed_at_ms or self.received_at_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A lane that this pod may work on.

    Attributes:
        lane_id: the lane row's number, never reused.
        fence: grows with each claim of the row; a write with an older one is refused.
        takeovers: how often in a row the lane was taken from a pod that died without finishing an event.
        events: the lane's first unfinished events, in order.
    """

    lane_id: int
    fence: int
    connection_id: ConnectionId
    lane: str
    takeovers: int
    events: tuple[JournalledEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the work on one event ended.

    Attributes:
        state: DONE, SKIPPED, WAITING or DEAD.
        reason: a short constant word (`own_message`, `answered`) or an error's code; never text of a message.
        detail: an error's message, for `dead` and `waiting`.
        retry_after_s: for WAITING, seconds until the next attempt.
        counts: whether this attempt counts against the limit (a rate limit does not).
    """

    state: EventState
    reason: str
    detail: str | None = None
    retry_after_s: float = 0.0
    counts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Outcomes of one lane's events, to be written under the lane's fence.

    Attributes:
        outcomes: by journal id.
        release: give the lane back; otherwise the store returns the lane's next events.
    """

    claim: Claim
    outcomes: tuple[tuple[JournalledEvent, Outcome], ...]
    release: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalBacklog:
    """What is unfinished in the journal.

    Attributes:
        unfinished: events received or waiting.
        oldest_age_s: age of the oldest of them in seconds, 0 without any.
        dead: events that were given up.
    """

    unfinished: int
    oldest_age_s: float
    dead: int


class TurnState(StrEnum):
    """How far an answer has come."""

    STARTED = "started"
    PLACED = "placed"
    ANSWERED = "answered"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message that the bot answers: the same for its app_mention and its message event.

    Attributes:
        event_id: the event that owns the turn.
        thread_ts: the thread's root, in which the answer stands.
        answer_ts: the placeholder's ts, which becomes the answer's.
        question: what the agent was asked, clear in memory, sealed in the database.
        answer: the finished answer, None until the agent has ended.
        notice: a constant word for what the bot said instead of an answer, such as `agent_not_configured`.
        parts: the messages that show the answer, the first of them being `answer_ts`.
        digests: of what each of them shows when it is whole; empty for one that is not.
        is_settled: the parts are all messages that there are: the last run ended knowing what became of its calls.
        opening: the first text of a stream that is being opened and whose ts is not known yet, sealed as the answer is.
        trace: what was done for the turn, oldest first; each step holds constant words and numbers, never text.
        is_stop_requested: somebody wants no more of it.
    """

    connection_id: ConnectionId
    channel_id: ChannelId
    message_ts: Ts
    thread_ts: Ts
    event_id: EventId
    user_id: UserId | None
    state: TurnState
    question: str
    answer_ts: Ts | None = None
    answer: str | None = None
    notice: str | None = None
    parts: tuple[Ts, ...] = ()
    digests: tuple[str, ...] = ()
    is_settled: bool = False
    opening: str | None = None
    trace: tuple[Mapping[str, str | int], ...] = ()
    is_stop_requested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionChange:
    """A committed change of a connection, as announced to every pod. Without a version, it was removed."""

    connection_id: ConnectionId
    version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """The pool of connections to the database.

    Attributes:
        size: connections that it may have.
        in_use: those that somebody works with.
        waits: how often, since the start, somebody wanted one while all were in use.
        waited_s: how long they waited, all together.
    """

    size: int
    in_use: int
    waits: int
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What the directory's cache has done since the start."""

    hits: int
    misses: int
    loads: int
    invalidations: int
    size: int
