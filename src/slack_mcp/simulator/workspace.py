"""One simulated Slack workspace with one app installed: its state and the events that its changes cause. No I/O."""

import itertools
import secrets
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, NamedTuple

from slack_mcp.core.clock import Clock, SystemClock
from slack_mcp.simulator import acts
from slack_mcp.simulator.access import Actor
from slack_mcp.simulator.artifacts import File, Share, Shelf, new_id
from slack_mcp.simulator.keeping import Reminder, Scheduled, Session, Status, Views
from slack_mcp.simulator.limits import Limits, Meter, StreamRules
from slack_mcp.simulator.model import (
    MICROSECONDS,
    Action,
    Channel,
    ChannelKind,
    Ephemeral,
    Json,
    Message,
    Revision,
    SlackRefusalError,
    Stream,
    Task,
    User,
    UserGroup,
    render_ts,
)
from slack_mcp.simulator.oauth import LIFETIME_S, Rotation
from slack_mcp.simulator.render import (
    Installation,
    render_change_event,
    render_context,
    render_deletion_event,
    render_envelope,
    render_mention_event,
    render_message,
    render_message_event,
)
from slack_mcp.simulator.tickets import Tickets

ALL_SCOPES = (
    "app_mentions:read,assistant:write,channels:history,channels:read,chat:write,groups:history,groups:read,"
    "im:history,im:read,im:write,mpim:history,mpim:read,reactions:write,users:read,users:read.email,"
    "canvases:read,canvases:write,commands,files:read,files:write,lists:read,lists:write,"
    "bookmarks:read,bookmarks:write,channels:join,channels:manage,dnd:read,emoji:read,groups:write,mpim:write,"
    "pins:read,pins:write,reactions:read,search:read.files,search:read.public,search:read.users,"
    "usergroups:read,usergroups:write,users.profile:read"
)
ALL_USER_SCOPES = (
    "bookmarks:read,bookmarks:write,canvases:read,canvases:write,channels:history,channels:read,channels:write,"
    "chat:write,dnd:read,emoji:read,files:read,files:write,groups:history,groups:read,groups:write,im:history,im:read,"
    "im:write,lists:read,lists:write,mpim:history,mpim:read,mpim:write,pins:read,pins:write,reactions:read,"
    "reactions:write,reminders:read,reminders:write,search:read,search:read.files,search:read.im,search:read.mpim,"
    "search:read.private,search:read.public,search:read.users,usergroups:read,usergroups:write,users.profile:read,"
    "users.profile:write,users:read,users:read.email"
)
STATUS_TTL_S = 120.0
_PROCESS = secrets.token_hex(3).upper()
_EVENT_NUMBERS = itertools.count(1)


class Posted(NamedTuple):
    """A message and the event envelopes that Slack would deliver for what was just done to it."""

    message: Message
    envelopes: list[Json]


class Workspace:
    """A Slack workspace.

    Args:
        team_id: `T…`.
        bot_token: the token that the Web API takes for this workspace; reassign it through `Simulator.rotate_token`.
        signing_secret: signs the deliveries of this workspace's app; may be reassigned at any time.
        app_id: `A…`, the app that the token belongs to.
        bot_user_id: `U…`, the app's bot user.
        connection_id: names the delivery path `/slack/events/{connection_id}`; None delivers to `/slack/events`.
        request_url: a whole URL that replaces the simulator's targets and the path.
        scopes: what the token was granted, comma separated.

    Attributes:
        limits: how often the app may call; None for any number of calls. May be replaced at any time.
        rotation: the bot token expires, and is replaced with `oauth.v2.access`; None for one that does not expire.
        stream_rules: how long streams live, and what they hold. May be replaced at any time.
        has_agent_view: the app is shown as an agent, and told what people look at with app_context_changed and
            `app_context`; otherwise in the assistant's pane. https://docs.slack.dev/ai/developing-agents
    """

    def __init__(
        self,
        *,
        team_id: str,
        bot_token: str,
        signing_secret: str,
        app_id: str,
        bot_user_id: str,
        bot_id: str | None = None,
        bot_name: str = "bot",
        team_name: str = "Simulated",
        connection_id: str | None = None,
        request_url: str | None = None,
        scopes: str = ALL_SCOPES,
        clock: Clock | None = None,
    ) -> None:
        self.team_id = team_id
        self.team_name = team_name
        self.bot_token = bot_token
        self.signing_secret = signing_secret
        self.connection_id = connection_id
        self.request_url = request_url
        self.scopes = scopes
        self.is_revoked = False
        self.install = Installation(
            team_id=team_id,
            app_id=app_id,
            bot_id=bot_id or f"B{bot_user_id[1:]}",
            bot_user_id=bot_user_id,
            bot_name=bot_name,
        )
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.ephemerals: list[Ephemeral] = []
        self.rotation: Rotation | None = None
        self.limits: Limits | None = None
        self.stream_rules = StreamRules()
        self.has_agent_view = False
        self.sessions: dict[tuple[str, str], Session] = {}
        self.apps: dict[str, Installation] = {}
        self.viewing: dict[str, str] = {}
        self.assistant_threads: dict[str, tuple[str, str]] = {}
        self._statuses: dict[tuple[str, str], Status] = {}
        self._streaming: list[Message] = []
        self.status_history: list[tuple[str, str, str]] = []
        self.on_change: list[Callable[[str, Message], None]] = []
        self._clock = clock or SystemClock()
        self.meter = Meter(clock=self._clock)
        self.shelf = Shelf(team_id=team_id, team_url=self.url)
        self.tickets = Tickets(clock=self._clock)
        self.trigger_users: dict[str, str] = {}
        self.user_tokens: dict[str, Actor] = {}
        self.usergroups: dict[str, UserGroup] = {}
        self.scheduled: dict[str, Scheduled] = {}
        self.reminders: dict[str, Reminder] = {}
        self.emoji: dict[str, str] = {}
        self.views = Views()
        self.thread_titles: dict[tuple[str, str], str] = {}
        self.thread_prompts: dict[tuple[str, str], list[Json]] = {}
        self.is_ai_search_enabled = False
        self._actor: Actor | None = None
        self._action_key = secrets.token_bytes(16)
        self._last_us = 0
        self.add_user(bot_user_id, bot_name, is_bot=True)

    @property
    def url(self) -> str:
        """The workspace's own address, which its permalinks begin with."""
        return f"https://{self.team_name.lower().replace(' ', '-')}.slack.com/"

    @property
    def bot(self) -> Actor:
        """The app's bot user, who holds the bot token."""
        return Actor(user_id=self.install.bot_user_id, scopes=self.scopes, is_bot=True)

    @property
    def actor(self) -> Actor:
        """Who acts: the caller while a Web API call runs, the app's bot user otherwise."""
        return self._actor or self.bot

    @contextmanager
    def acting_as(self, actor: Actor) -> Iterator[None]:
        """Let somebody act while the context is open. What is done in it must not wait."""
        previous, self._actor = self._actor, actor
        try:
            yield
        finally:
            self._actor = previous

    def add_user_token(self, user_id: str, token: str, scopes: str = ALL_USER_SCOPES) -> Actor:
        """Let the app act for a person with a token `xoxp-…`.

        Returns:
            The token's holder, whose fields may be changed at any time.

        Raises:
            SlackRefusalError: user_not_found.
        """
        if user_id not in self.users:
            raise SlackRefusalError("user_not_found")
        self.user_tokens[token] = Actor(user_id=user_id, scopes=scopes)
        return self.user_tokens[token]

    def let_tokens_expire(
        self, *, client_id: str, client_secret: str, refresh_token: str, lifetime_s: float = LIFETIME_S
    ) -> Rotation:
        """Switch token rotation on for the app; the token that it has now lives for a lifetime."""
        self.rotation = Rotation(
            client_id=client_id,
            client_secret=client_secret,
            refresh_token=refresh_token,
            lifetime_s=lifetime_s,
            expires_at_s=self._clock.now_s() + lifetime_s,
        )
        return self.rotation

    @property
    def is_token_expired(self) -> bool:
        """Whether the bot token has expired."""
        return self.rotation is not None and self.rotation.expires_at_s <= self._clock.now_s()

    def uninstall(self) -> list[Json]:
        """Take back the app's tokens, as when somebody removes it from the workspace.

        Source: https://docs.slack.dev/reference/events/app_uninstalled.
        """
        people = sorted({actor.user_id for actor in self.user_tokens.values()})
        self.is_revoked = True
        return [
            self.wrap({"type": "tokens_revoked", "tokens": {"oauth": people, "bot": [self.install.bot_user_id]}}),
            self.wrap({"type": "app_uninstalled"}),
        ]

    def revoke_user_token(self, token: str) -> list[Json]:
        """Take back the token of one person. Source: https://docs.slack.dev/reference/events/tokens_revoked."""
        actor = self.user_tokens[token]
        actor.is_revoked = True
        return [self.wrap({"type": "tokens_revoked", "tokens": {"oauth": [actor.user_id]}})]

    def actor_of_token(self, token: str) -> Actor | None:
        """Return who holds a token of this workspace; None for an unknown one."""
        return self.bot if token == self.bot_token else self.user_tokens.get(token)

    def add_user(
        self,
        user_id: str,
        name: str,
        *,
        real_name: str = "",
        is_bot: bool = False,
        email: str | None = None,
        display_name: str | None = None,
        title: str = "",
        tz: str = "Etc/UTC",
        tz_offset: int = 0,
        is_deleted: bool = False,
        team_id: str | None = None,
    ) -> User:
        """Add a user and return it. Without an email address and a display name they come from the name.

        A `team_id` makes it somebody of another workspace, whom a Slack Connect channel brings in.
        """
        user = User(
            user_id=user_id,
            name=name,
            real_name=real_name or name,
            is_bot=is_bot,
            email=f"{name}@example.com" if email is None else email,
            display_name=name if display_name is None else display_name,
            title=title,
            tz=tz,
            tz_offset=tz_offset,
            is_deleted=is_deleted,
            team_id=team_id,
            updated_s=int(self._clock.now_s()),
        )
        self.users[user_id] = user
        return user

    def add_app(self, app_id: str, bot_id: str, bot_user_id: str, name: str) -> Installation:
        """Add another app with its bot user, and return it; it acts with `voices.speak`."""
        self.add_user(bot_user_id, name, is_bot=True)
        self.apps[bot_id] = Installation(
            team_id=self.team_id, app_id=app_id, bot_id=bot_id, bot_user_id=bot_user_id, bot_name=name
        )
        return self.apps[bot_id]

    def add_channel(
        self,
        channel_id: str,
        name: str = "",
        *,
        kind: ChannelKind = "channel",
        members: Iterable[str] | None = None,
        is_ext_shared: bool = False,
    ) -> Channel:
        """Add a channel and return it. Without `members` everybody who is there now, the bot too, is in it.

        What happens in one that `is_ext_shared`, through Slack Connect, is marked so in the envelopes.
        """
        joined = set(self.users) if members is None else set(members)
        channel = Channel(
            channel_id=channel_id,
            name=name or channel_id.lower(),
            kind=kind,
            members=joined,
            is_ext_shared=is_ext_shared,
            created_s=int(self._clock.now_s()),
        )
        self.channels[channel_id] = channel
        return channel

    def open_im(self, user_id: str) -> Channel:
        """Return the direct-message channel of a user with who acts, made when there is none yet."""
        if user_id not in self.users:
            raise SlackRefusalError("user_not_found")
        me = self.actor.user_id
        channel_id = f"D{user_id[1:]}"
        if me == self.install.bot_user_id:
            return self.channels.get(channel_id) or self.add_channel(channel_id, kind="im", members={user_id, me})
        if user_id == self.install.bot_user_id:
            channel_id = f"D{me[1:]}"
        else:
            channel_id = "D" + "X".join(sorted((me[1:], user_id[1:])))
        return self.channels.get(channel_id) or self.add_channel(channel_id, kind="im", members={user_id, me})

    def open_mpim(self, user_ids: Iterable[str]) -> Channel:
        """Return the group conversation of several users with who acts, made when there is none yet."""
        members = {self.actor.user_id, *user_ids}
        if not members <= self.users.keys():
            raise SlackRefusalError("user_not_found")
        for channel in self.channels.values():
            if channel.kind == "mpim" and channel.members == members:
                return channel
        names = "--".join(sorted(self.users[each].name for each in members))
        return self.add_channel(new_id("C"), f"mpdm-{names}-1", kind="mpim", members=members)

    def join(self, user: str, channel: str) -> list[Json]:
        """Let a person join a channel; return the envelopes. Like all that people do, it delivers nothing by itself."""
        return acts.join(self, self.find_channel(channel), user)

    def leave(self, user: str, channel: str) -> list[Json]:
        """Let a person leave a channel; return the envelopes."""
        return acts.leave(self, self.find_channel(channel), user)

    def react(self, user: str, channel: str, ts: str, name: str) -> list[Json]:
        """Let a person react to a message; return the envelopes. Raises SlackRefusalError already_reacted."""
        return acts.react(self, self.find_message(channel, ts), user, name)

    def unreact(self, user: str, channel: str, ts: str, name: str) -> list[Json]:
        """Let a person take a reaction back; return the envelopes. Raises SlackRefusalError no_reaction."""
        return acts.unreact(self, self.find_message(channel, ts), user, name)

    def pin(self, user: str, channel: str, ts: str) -> list[Json]:
        """Let a person pin a message; return the envelopes. Raises SlackRefusalError already_pinned."""
        return acts.pin(self, self.find_message(channel, ts), user)

    def create_channel(self, user: str, name: str, *, kind: ChannelKind = "channel") -> list[Json]:
        """Let a person create a channel; return the envelopes."""
        return acts.create(self, name, user, kind)[1]

    def rename_channel(self, channel: str, name: str) -> list[Json]:
        """Let a person rename a channel; return the envelopes."""
        return acts.rename(self, self.find_channel(channel), name)

    def archive_channel(self, user: str, channel: str, *, is_archived: bool = True) -> list[Json]:
        """Let a person archive a channel or take it back from the archive; return the envelopes."""
        return acts.archive(self, self.find_channel(channel), user, is_archived=is_archived)

    def delete_channel(self, channel: str) -> list[Json]:
        """Let a person delete a channel with all that is in it; return the envelopes."""
        return acts.delete(self, self.find_channel(channel))

    def change_user(self, user: str, **changes: Any) -> list[Json]:
        """Change fields of a user (display_name, title, tz, is_deleted …); return the envelopes."""
        return acts.change_user(self, user, changes)

    def join_team(self, user: str, name: str, **details: Any) -> list[Json]:
        """Let a person join the workspace, with the arguments of `add_user`; return the envelopes."""
        return acts.join_team(self, self.add_user(user, name, **details))

    def make_action_token(self, channel: str = "") -> str:
        """Return an action token, as the events of AI apps carry one: good for a search in the name of a bot.

        https://docs.slack.dev/apis/web-api/real-time-search-api
        """
        return f"{self._action_digest(channel)}.{channel}"

    def is_action_token(self, token: str) -> bool:
        """Whether this workspace made the action token."""
        digest, _, channel = token.partition(".")
        return secrets.compare_digest(digest.encode(), self._action_digest(channel).encode())

    def post_due(self) -> list[Posted]:
        """Post the scheduled messages whose time has come, oldest first; a deleted channel gets none."""
        due = [each for each in self.scheduled.values() if each.post_at <= self._clock.now_s()]
        posted = []
        for each in sorted(due, key=lambda one: one.post_at):
            del self.scheduled[each.scheduled_id]
            channel = self.channels.get(each.channel_id)
            if channel is not None:
                with self.acting_as(each.actor):
                    posted.append(self.post(channel, each.text, **each.content))
        return posted

    def say(
        self, user: str, channel: str, text: str, thread_ts: str | None = None, *, files: Sequence[File] = ()
    ) -> Posted:
        """Let a person write a message; nothing is delivered by this.

        Returns:
            The message and its envelopes: `message` in every channel the bot is in and, before it, `app_mention` when
            the text names the bot outside a direct message. Both have the same ts and different event ids, and an
            action token where the bot may search.
            https://docs.slack.dev/reference/events/app_mention

        Raises:
            SlackRefusalError: channel_not_found, user_not_found.
        """
        if user not in self.users:
            raise SlackRefusalError("user_not_found")
        place = self.find_channel(channel)
        message = Message(
            channel_id=channel,
            ts=self.next_ts(),
            user_id=user,
            user_team_id=self.users[user].team_id,
            text=text,
            thread_ts=thread_ts,
        )
        return self.show(place, message, files)

    def show(self, place: Channel, message: Message, files: Sequence[File] = ()) -> Posted:
        """Put a message that is not the app's own into its channel; returns what `say` does."""
        text = message.text
        self._attach(place, message, files)
        self._add(place, message)
        events = []
        if self.install.bot_user_id in place.members:
            if place.kind != "im" and f"<@{self.install.bot_user_id}>" in text:
                events.append(render_mention_event(message, self.install))
            events.append(render_message_event(message, place.kind, self.install))
        if self.bot.may("search:read.public"):
            for event in events:
                event["assistant_thread"] = {"action_token": self.make_action_token(place.channel_id)}
        if self.has_agent_view and place.kind == "im":
            for event in events:
                event["app_context"] = render_context(self.viewing.get(message.user_id), self.team_id)
        return Posted(message, [self.wrap(event) for event in events])

    def share_file(
        self,
        user: str,
        channel: str,
        name: str,
        content: bytes,
        *,
        mimetype: str = "",
        text: str = "",
        thread_ts: str | None = None,
        **serving: Any,
    ) -> Posted:
        """Let a person share a file, with what they say to it. Returns and raises what `say` does.

        `serving` are fields of File that make it what an app should beware of: `declared_bytes`, `redirect_to`,
        `is_login_page`, `served_type`, `pause_s`, `is_endless`.
        """
        self.find_channel(channel)
        if user not in self.users:
            raise SlackRefusalError("user_not_found")
        file = self.shelf.add(
            name=name,
            content=content,
            mimetype=mimetype,
            user_id=user,
            created_s=int(self._clock.now_s()),
            **serving,
        )
        return self.say(user, channel, text, thread_ts, files=[file])

    def make_trigger_id(self, user_id: str = "") -> str:
        """Return a trigger id that is good once, for three seconds; a modal opened with it is shown to the user."""
        trigger_id = self.tickets.make_trigger_id()
        self.trigger_users[trigger_id] = user_id
        return trigger_id

    def take_trigger_id(self, trigger_id: str) -> bool:
        """Use a trigger id up; False for one that is unknown, used or too old."""
        return self.tickets.take_trigger_id(trigger_id)

    def now_s(self) -> float:
        """Return unix seconds by this workspace's clock."""
        return self._clock.now_s()

    def post(
        self,
        channel: Channel,
        text: str,
        *,
        thread_ts: str | None = None,
        is_broadcast: bool = False,
        blocks: list[Json] | None = None,
        attachments: list[Json] | None = None,
        unfurl_links: bool | None = None,
        unfurl_media: bool | None = None,
        metadata: Json | None = None,
        files: Sequence[File] = (),
        tasks: tuple[Task, ...] = (),
        stream: Stream | None = None,
    ) -> Posted:
        """Let the app write a message, as who acts. Its own messages come back to it as events with its bot_id."""
        message = Message(
            channel_id=channel.channel_id,
            ts=self.next_ts(),
            user_id=self.actor.user_id,
            bot_id=self.install.bot_id,
            text=text,
            thread_ts=thread_ts,
            is_broadcast=is_broadcast and thread_ts is not None,
            blocks=blocks,
            attachments=attachments,
            unfurl_links=unfurl_links,
            unfurl_media=unfurl_media,
            metadata=metadata,
            tasks=tasks,
            stream=stream,
        )
        if stream is not None:
            self._streaming.append(message)
        self._attach(channel, message, files)
        self._add(channel, message)
        if thread_ts is not None:
            self._statuses.pop((channel.channel_id, thread_ts), None)  # a reply clears the status
        return Posted(message, self._tell(channel, render_message_event(message, channel.kind, self.install)))

    def update(
        self,
        message: Message,
        text: str,
        *,
        blocks: list[Json] | None,
        metadata: Json | None,
        attachments: list[Json] | None = None,
    ) -> Posted:
        """Replace a message's text. Text without blocks removes the old blocks; no metadata keeps the old metadata.

        The steps of a message that was streamed are blocks too, and go with them.
        """
        previous = render_message(message, self.install)
        message.edited_ts = self.next_ts()
        message.text, message.blocks, message.tasks = text, blocks, ()
        if attachments is not None:
            message.attachments = attachments or None
        if metadata is not None:
            message.metadata = metadata
        return self.change(message, previous, event_ts=message.edited_ts)

    def change(self, message: Message, previous: Json, *, event_ts: str = "") -> Posted:
        """Keep what a message shows now; `previous` is what it was rendered as before."""
        channel = self.channels[message.channel_id]
        self.record(message)
        event = render_change_event(
            render_message(message, self.install), previous, channel, event_ts or self.next_ts()
        )
        return Posted(message, self._tell(channel, event))

    def settle_streams(self) -> None:
        """End the streams whose time is over; what they showed stays. Every Web API call does this first."""
        now_s, rules = self._clock.now_s(), self.stream_rules
        for message in self._streaming:
            stream = message.stream
            if stream is not None and stream.state == "in_progress":
                is_idle = rules.max_idle_s is not None and now_s - stream.touched_s >= rules.max_idle_s
                if is_idle or now_s - stream.started_s >= rules.max_age_s:
                    stream.state = "errored"
        self._streaming = [message for message in self._streaming if message.is_streaming]

    def delete(self, message: Message) -> Posted:
        """Take a message away; it stays in `channel.deleted` with its revisions."""
        channel = self.channels[message.channel_id]
        previous = render_message(message, self.install)
        del channel.messages[message.ts]
        for line in (channel.top, channel.threads.get(message.thread_ts or "", [])):
            index = bisect_left(line, message.ts_us, key=lambda each: each.ts_us)
            if index < len(line) and line[index] is message:
                del line[index]
        channel.deleted.append(message)
        self.record(message, "deleted")
        return Posted(message, self._tell(channel, render_deletion_event(previous, channel, self.next_ts())))

    def add_assistant_root(self, channel: Channel) -> Message:
        """Begin a thread of the assistant's pane and return its first message, which is the app's and nobody's."""
        message = Message(
            channel_id=channel.channel_id,
            ts=self.next_ts(),
            user_id=self.install.bot_user_id,
            bot_id=self.install.bot_id,
            subtype="assistant_app_thread",
            text="New Assistant Thread",
        )
        self._add(channel, message)
        return message

    def whisper(
        self, channel: Channel, user_id: str, text: str, thread_ts: str | None, *, blocks: list[Json] | None = None
    ) -> Ephemeral:
        """Show a user a message that nobody else sees and no method lists."""
        note = Ephemeral(
            channel_id=channel.channel_id,
            user_id=user_id,
            text=text,
            ts=self.next_ts(),
            thread_ts=thread_ts,
            blocks=blocks,
        )
        self.ephemerals.append(note)
        return note

    def set_status(self, channel: Channel, thread_ts: str, status: str, loading: tuple[str, ...] = ()) -> None:
        """Show "… is thinking" in a thread for two minutes; an empty status takes it away."""
        key = (channel.channel_id, thread_ts)
        self.status_history.append((*key, status))
        if status:
            self._statuses[key] = Status(text=status, loading=loading, expires_s=self._clock.now_s() + STATUS_TTL_S)
        else:
            self._statuses.pop(key, None)

    @property
    def statuses(self) -> dict[tuple[str, str], str]:
        """What threads show of the app at work now, by channel id and thread ts."""
        return {key: each.text for key, each in self._statuses.items() if self._clock.now_s() < each.expires_s}

    def loading_messages(self, channel_id: str, thread_ts: str) -> tuple[str, ...]:
        """Return what takes turns beside a thread's status."""
        key = (channel_id, thread_ts)
        return self._statuses[key].loading if key in self.statuses else ()

    def find_channel(self, channel_id: str) -> Channel:
        """Return a channel of this workspace, or raise SlackRefusalError channel_not_found."""
        channel = self.channels.get(channel_id)
        if channel is None:
            raise SlackRefusalError("channel_not_found")
        return channel

    def find_message(self, channel_id: str, ts: str) -> Message:
        """Return a message, or raise SlackRefusalError channel_not_found or message_not_found."""
        message = self.find_channel(channel_id).messages.get(ts)
        if message is None:
            raise SlackRefusalError("message_not_found")
        return message

    def thread(self, channel_id: str, thread_ts: str) -> list[Message]:
        """Return a thread, its first message (unless deleted or never seen) included, oldest first."""
        channel = self.find_channel(channel_id)
        root = channel.messages.get(thread_ts)
        replies = channel.threads.get(thread_ts, [])
        return [root, *replies] if root is not None else list(replies)

    def wrap(self, event: Json) -> Json:
        """Return an event in an envelope with a new event_id, also for events that a test invents."""
        event_id = f"Ev{_PROCESS}{next(_EVENT_NUMBERS):08d}"
        place = self.channels.get(str(event.get("channel")))
        return render_envelope(
            event,
            self.install,
            event_id=event_id,
            event_time=int(self._clock.now_s()),
            is_ext_shared=place is not None and place.is_ext_shared,
        )

    def next_ts(self) -> str:
        """Return a ts that is later than every other one of this workspace."""
        self._last_us = max(int(self._clock.now_s() * MICROSECONDS), self._last_us + 1)
        return render_ts(self._last_us)

    def _tell(self, channel: Channel, event: Json) -> list[Json]:
        """Return a message's event in its envelope; none where the bot is not."""
        return [self.wrap(event)] if self.install.bot_user_id in channel.members else []

    def _action_digest(self, channel_id: str) -> str:
        return blake2b(channel_id.encode(), key=self._action_key, digest_size=12).hexdigest()

    def _attach(self, channel: Channel, message: Message, files: Sequence[File]) -> None:
        for file in files:
            share = Share(
                channel_id=channel.channel_id,
                channel_name=channel.name,
                kind=channel.kind,
                ts=message.ts,
                user_id=message.user_id,
                thread_ts=message.thread_ts,
            )
            file.shares.append(share)
            message.files.append(self.shelf.render(file))

    def _add(self, channel: Channel, message: Message) -> None:
        channel.messages[message.ts] = message
        if message.thread_ts is not None:
            root = channel.messages.get(message.thread_ts)
            # A reply to a ts that Slack does not know is stored all the same, without a parent.
            message.parent_user_id = root.user_id if root is not None else None
            channel.threads.setdefault(message.thread_ts, []).append(message)
        if message.thread_ts is None or message.is_broadcast:
            channel.top.append(message)
        self.record(message, "posted")

    def record(self, message: Message, action: Action = "updated") -> None:
        """Keep what a message shows now as its next revision, and tell the watchers."""
        message.revisions.append(
            Revision(
                at_s=self._clock.now_s(),
                action=action,
                text=message.text,
                blocks=message.blocks,
                tasks=message.tasks,
            )
        )
        for notify in self.on_change:
            notify(action, message)
