"""One simulated Slack workspace with one app installed: its state and the events that its changes cause. No I/O."""

import itertools
import secrets
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import NamedTuple

from slack_mcp.core.clock import Clock, SystemClock
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
    User,
    render_ts,
)
from slack_mcp.simulator.render import (
    Installation,
    render_change_event,
    render_deletion_event,
    render_envelope,
    render_mention_event,
    render_message,
    render_message_event,
)

ALL_SCOPES = (
    "app_mentions:read,assistant:write,channels:history,channels:read,chat:write,groups:history,groups:read,"
    "im:history,im:read,im:write,mpim:history,mpim:read,reactions:write,users:read,users:read.email"
)
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
        self.statuses: dict[tuple[str, str], str] = {}
        self.status_history: list[tuple[str, str, str]] = []
        self.on_change: list[Callable[[str, Message], None]] = []
        self._clock = clock or SystemClock()
        self._last_us = 0
        self.add_user(bot_user_id, bot_name, is_bot=True)

    def add_user(self, user_id: str, name: str, *, real_name: str = "", is_bot: bool = False) -> User:
        """Add a user and return it."""
        email = f"{name}@example.com"
        user = User(user_id=user_id, name=name, real_name=real_name or name, is_bot=is_bot, email=email)
        self.users[user_id] = user
        return user

    def add_channel(
        self, channel_id: str, name: str = "", *, kind: ChannelKind = "channel", members: Iterable[str] | None = None
    ) -> Channel:
        """Add a channel and return it. Without `members` everybody who is there now, the bot too, is in it."""
        joined = set(self.users) if members is None else set(members)
        channel = Channel(channel_id=channel_id, name=name or channel_id.lower(), kind=kind, members=joined)
        self.channels[channel_id] = channel
        return channel

    def open_im(self, user_id: str) -> Channel:
        """Return the direct-message channel of a user with the bot, made when there is none yet."""
        if user_id not in self.users:
            raise SlackRefusalError("user_not_found")
        channel_id = f"D{user_id[1:]}"
        if channel_id in self.channels:
            return self.channels[channel_id]
        return self.add_channel(channel_id, kind="im", members={user_id, self.install.bot_user_id})

    def say(self, user: str, channel: str, text: str, thread_ts: str | None = None) -> Posted:
        """Let a person write a message; nothing is delivered by this.

        Returns:
            The message and its envelopes: `message` in every channel the bot is in and, before it, `app_mention` when
            the text names the bot outside a direct message. Both have the same ts and different event ids.
            https://docs.slack.dev/reference/events/app_mention

        Raises:
            SlackRefusalError: channel_not_found, user_not_found.
        """
        if user not in self.users:
            raise SlackRefusalError("user_not_found")
        place = self.find_channel(channel)
        message = Message(channel_id=channel, ts=self.next_ts(), user_id=user, text=text, thread_ts=thread_ts)
        self._add(place, message)
        events = []
        if self.install.bot_user_id in place.members:
            if place.kind != "im" and f"<@{self.install.bot_user_id}>" in text:
                events.append(render_mention_event(message, self.install))
            events.append(render_message_event(message, place.kind, self.install))
        return Posted(message, [self.wrap(event) for event in events])

    def post(
        self,
        channel: Channel,
        text: str,
        *,
        thread_ts: str | None = None,
        is_broadcast: bool = False,
        blocks: list[Json] | None = None,
        metadata: Json | None = None,
    ) -> Posted:
        """Let the bot write a message. Its own messages come back to the app as events with its bot_id."""
        message = Message(
            channel_id=channel.channel_id,
            ts=self.next_ts(),
            user_id=self.install.bot_user_id,
            bot_id=self.install.bot_id,
            text=text,
            thread_ts=thread_ts,
            is_broadcast=is_broadcast and thread_ts is not None,
            blocks=blocks,
            metadata=metadata,
        )
        self._add(channel, message)
        if thread_ts is not None:
            self.statuses.pop((channel.channel_id, thread_ts), None)  # a reply clears the status
        return Posted(message, [self.wrap(render_message_event(message, channel.kind, self.install))])

    def update(self, message: Message, text: str, *, blocks: list[Json] | None, metadata: Json | None) -> Posted:
        """Replace a message's text. Text without blocks removes the old blocks; no metadata keeps the old metadata."""
        channel = self.channels[message.channel_id]
        previous = render_message(message, self.install)
        message.edited_ts = self.next_ts()
        message.text, message.blocks = text, blocks
        if metadata is not None:
            message.metadata = metadata
        self._record(message, "updated")
        event = render_change_event(render_message(message, self.install), previous, channel, message.edited_ts)
        return Posted(message, [self.wrap(event)])

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
        self._record(message, "deleted")
        return Posted(message, [self.wrap(render_deletion_event(previous, channel, self.next_ts()))])

    def whisper(self, channel: Channel, user_id: str, text: str, thread_ts: str | None) -> Ephemeral:
        """Show a user a message that nobody else sees and no method lists."""
        note = Ephemeral(
            channel_id=channel.channel_id, user_id=user_id, text=text, ts=self.next_ts(), thread_ts=thread_ts
        )
        self.ephemerals.append(note)
        return note

    def set_status(self, channel: Channel, thread_ts: str, status: str) -> None:
        """Show "… is thinking" in a thread; an empty status takes it away."""
        self.status_history.append((channel.channel_id, thread_ts, status))
        self.statuses[(channel.channel_id, thread_ts)] = status

    def find_channel(self, channel_id: str) -> Channel:
        """Return a channel of this workspace, or raise SlackRefusalError channel_not_found."""
        channel = self.channels.get(channel_id)
        if channel is None:
            raise SlackRefusalError("channel_not_found")
        return channel

    def thread(self, channel_id: str, thread_ts: str) -> list[Message]:
        """Return a thread, its first message (unless deleted or never seen) included, oldest first."""
        channel = self.find_channel(channel_id)
        root = channel.messages.get(thread_ts)
        replies = channel.threads.get(thread_ts, [])
        return [root, *replies] if root is not None else list(replies)

    def wrap(self, event: Json) -> Json:
        """Return an event in an envelope with a new event_id, also for events that a test invents."""
        event_id = f"Ev{_PROCESS}{next(_EVENT_NUMBERS):08d}"
        return render_envelope(event, self.install, event_id=event_id, event_time=int(self._clock.now_s()))

    def next_ts(self) -> str:
        """Return a ts that is later than every other one of this workspace."""
        self._last_us = max(int(self._clock.now_s() * MICROSECONDS), self._last_us + 1)
        return render_ts(self._last_us)

    def _add(self, channel: Channel, message: Message) -> None:
        channel.messages[message.ts] = message
        if message.thread_ts is not None:
            root = channel.messages.get(message.thread_ts)
            # A reply to a ts that Slack does not know is stored all the same, without a parent.
            message.parent_user_id = root.user_id if root is not None else None
            channel.threads.setdefault(message.thread_ts, []).append(message)
        if message.thread_ts is None or message.is_broadcast:
            channel.top.append(message)
        self._record(message, "posted")

    def _record(self, message: Message, action: Action) -> None:
        message.revisions.append(
            Revision(at_s=self._clock.now_s(), action=action, text=message.text, blocks=message.blocks)
        )
        for notify in self.on_change:
            notify(action, message)
