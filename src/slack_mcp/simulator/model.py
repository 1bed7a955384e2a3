"""What a simulated workspace is made of: users, channels, messages and what became of each message."""

from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
ChannelKind = Literal["channel", "group", "im", "mpim"]
Action = Literal["posted", "updated", "deleted"]
StreamState = Literal["in_progress", "completed", "errored"]
MICROSECONDS = 1_000_000


class SlackRefusalError(Exception):
    """A Web API answer `{ok: false, error: code}`; `details` are the further fields of that answer."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


@dataclass(slots=True, kw_only=True)
class User:
    """A person or a bot user; `team_id` is that of somebody who belongs to another workspace."""

    user_id: str
    name: str
    real_name: str
    is_bot: bool = False
    email: str = ""
    display_name: str = ""
    title: str = ""
    tz: str = "Etc/UTC"
    tz_offset: int = 0
    status_text: str = ""
    status_emoji: str = ""
    status_expiration: int = 0
    is_deleted: bool = False
    team_id: str | None = None
    is_active: bool = True
    is_do_not_disturb: bool = False
    updated_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A channel's topic or purpose."""

    value: str = ""
    creator: str = ""
    last_set: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A pinned message, and who pinned it."""

    ts: str
    created_by: str
    created_s: int


@dataclass(slots=True, kw_only=True)
class Bookmark:
    """A link above a channel."""

    bookmark_id: str
    title: str
    link: str
    emoji: str
    created_s: int
    updated_s: int
    updated_by: str


@dataclass(slots=True, kw_only=True)
class UserGroup:
    """A user group (`@handle`) of one workspace; `disabled_s` is 0 while it is in use."""

    group_id: str
    name: str
    handle: str
    description: str = ""
    channels: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    created_by: str = ""
    created_s: int = 0
    updated_by: str = ""
    updated_s: int = 0
    disabled_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A step of the app's work that a streamed message shows; `status` is pending, in_progress, complete or error."""

    task_id: str
    title: str
    status: str
    details: str = ""
    output: str = ""
    sources: tuple[Json, ...] = ()


@dataclass(slots=True, kw_only=True)
class Stream:
    """How a message is, or was, streamed.

    Attributes:
        state: as Slack's `streaming_state`; "errored" once it ended without chat.stopStream.
        mode: how its content comes, as `markdown_text` or as `chunks`; None before the first of it.
        touched_s: when the app last wrote to it, unix seconds.
        display_mode: timeline or plan.
        is_stopped: True when a person ended it.
    """

    started_s: float
    touched_s: float
    state: StreamState = "in_progress"
    mode: str | None = None
    recipient_user_id: str | None = None
    recipient_team_id: str | None = None
    display_mode: str = "timeline"
    plan_title: str = ""
    is_stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What a reader of the channel saw from `at_s` (unix seconds) on."""

    at_s: float
    action: Action
    text: str
    blocks: list[Json] | None
    tasks: tuple[Task, ...] = ()


@dataclass(slots=True, kw_only=True)
class Message:
    """One message, with every text it ever showed in `revisions`, oldest first.

    Attributes:
        user_id: who wrote it; nothing for an app's message of the old kind, which names no user.
        user_team_id: of an author who belongs to another workspace.
        app_id, bot_name: of the app that wrote it, where that is not the installed one.
        text: of a streamed message the Markdown so far.
        tasks: the steps that a streamed message shows.
        stream: None for a message that was never streamed.
    """

    channel_id: str
    ts: str
    user_id: str
    text: str
    bot_id: str | None = None
    app_id: str | None = None
    bot_name: str = ""
    subtype: str | None = None
    user_team_id: str | None = None
    thread_ts: str | None = None
    parent_user_id: str | None = None
    is_broadcast: bool = False
    blocks: list[Json] | None = None
    attachments: list[Json] | None = None
    unfurl_links: bool | None = None
    unfurl_media: bool | None = None
    metadata: Json | None = None
    files: list[Json] = field(default_factory=list)
    edited_ts: str | None = None
    reactions: dict[str, list[str]] = field(default_factory=dict)
    tasks: tuple[Task, ...] = ()
    stream: Stream | None = None
    revisions: list[Revision] = field(default_factory=list)

    @property
    def is_reply(self) -> bool:
        """True for a message inside a thread, not for the thread's first."""
        return self.thread_ts is not None and self.thread_ts != self.ts

    @property
    def is_streaming(self) -> bool:
        """True while the app may append to it, until `Workspace.settle_streams` finds its time over."""
        return self.stream is not None and self.stream.state == "in_progress"

    @property
    def ts_us(self) -> int:
        """The ts in microseconds, for ordering."""
        return parse_ts_us(self.ts)


@dataclass(slots=True, kw_only=True)
class Channel:
    """A conversation.

    `top` holds what conversations.history shows, `threads` the replies by the root's ts, `last_read` what each member
    has read up to.
    """

    channel_id: str
    name: str
    kind: ChannelKind = "channel"
    members: set[str] = field(default_factory=set)
    messages: dict[str, Message] = field(default_factory=dict)
    top: list[Message] = field(default_factory=list)
    threads: dict[str, list[Message]] = field(default_factory=dict)
    deleted: list[Message] = field(default_factory=list)
    creator: str = ""
    created_s: int = 0
    topic: Note = Note()
    purpose: Note = Note()
    is_archived: bool = False
    is_general: bool = False
    is_ext_shared: bool = False
    previous_names: list[str] = field(default_factory=list)
    last_read: dict[str, str] = field(default_factory=dict)
    pins: list[Pin] = field(default_factory=list)
    bookmarks: dict[str, Bookmark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ephemeral:
    """A message that only one user sees, and that no method lists."""

    channel_id: str
    user_id: str
    text: str
    ts: str
    thread_ts: str | None
    blocks: list[Json] | None = None


def parse_ts_us(ts: str) -> int:
    """Return a Slack ts, or unix seconds as text, in microseconds. Raises ValueError for anything else."""
    seconds, _, fraction = ts.partition(".")
    return int(seconds) * MICROSECONDS + int(fraction.ljust(6, "0")[:6])


def render_ts(microseconds: int) -> str:
    """Return microseconds since 1970 as Slack writes a ts: seconds, a point, six digits."""
    return f"{microseconds // MICROSECONDS}.{microseconds % MICROSECONDS:06d}"
