"""Asking the bot other than by a mention: who may, how it is shown, and the mention that is journalled in its place.

From there on the question is answered like any other, with everything that this means for retries and for the memory of
the thread.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import SlackRefusedError
from slack_mcp.core.ids import ChannelId, EventId, TeamId, Ts, UserId
from slack_mcp.core.model import Connection, Delivery, JournalledEvent
from slack_mcp.interactions.marks import find_marked
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.surfaces import Languages
from slack_mcp.protocol.authors import is_direct_channel
from slack_mcp.protocol.mrkdwn import clean
from slack_mcp.protocol.speaking import Refusal, find_refusal

_MS: Final = 1000
MAX_QUESTION_CHARS: Final = 30_000  # of the 40 000 that a message takes, escaped
REFUSALS: Final[Mapping[Refusal, Sentence]] = MappingProxyType(
    {
        Refusal.CHANNEL_NOT_ALLOWED: Sentence.COMMAND_CHANNEL_NOT_ALLOWED,
        Refusal.USER_NOT_ALLOWED: Sentence.COMMAND_USER_NOT_ALLOWED,
        Refusal.EXTERNAL_NOT_ALLOWED: Sentence.COMMAND_EXTERNAL_NOT_ALLOWED,
    }
)
"""What the person is told."""


async def find_refusal_of_asker(
    slack: SlackWebs, connection: Connection, channel_id: ChannelId, user_id: UserId
) -> Refusal | None:
    """Return why the bot does not answer the person there; what only Slack knows is asked last.

    Args:
        slack: makes the Web API of the connection.
        connection: whose bot is asked.
        channel_id: where.
        user_id: who asks; that it was in the connection's own workspace, the caller has compared.

    Raises:
        MissingScopeError: Slack does not say whether another organization would hear the answer.
        SlackApiError: another of its classes.
    """
    is_private = is_direct_channel(channel_id)
    find = partial(find_refusal, connection, channel_id=channel_id, user_id=user_id, is_private=is_private)
    refusal = find(is_external=False)
    # Nobody else is in a direct message with the bot.
    if refusal is not None or is_private or connection.settings.speaking.allow_external:
        return refusal
    return find(is_external=await _is_shared(slack, connection, channel_id))


async def _is_shared(slack: SlackWebs, connection: Connection, channel_id: ChannelId) -> bool:
    """Tell whether a channel is shared with another organization. The form of a command or click does not say it.

    Source: https://docs.slack.dev/reference/methods/conversations.info.
    """
    try:
        answer = await slack.open(connection).read("conversations.info", channel=channel_id)
    except SlackRefusedError as error:
        if error.slack_error != "channel_not_found":
            raise
        return False  # the bot is not there, and will be told so when it writes
    channel = answer.get("channel")
    return not isinstance(channel, Mapping) or channel.get("is_ext_shared") not in (None, False)


async def post_question(
    slack: SlackWebs,
    connection: Connection,
    event: JournalledEvent,
    *,
    languages: Languages,
    metadata_type: str,
    channel_id: ChannelId,
    thread_ts: Ts | None,
    user_id: UserId,
    question: str,
) -> Ts:
    """Return the message that shows everybody the question, which an earlier run may have posted.

    Args:
        slack: makes the Web API of the connection.
        connection: whose bot is asked.
        event: the command or form.
        languages: in which language the person is named.
        metadata_type: marks the message, together with the event.
        channel_id: where.
        thread_ts: the root of the thread, None for a message that begins one.
        user_id: who asks.
        question: escaped.

    Raises:
        SlackApiError: one of its classes.
    """
    web = slack.open(connection)
    if event.redone:
        mark = (metadata_type, "event_id", str(event.event_id))
        since_s = event.received_at_ms / _MS
        found = await find_marked(web, connection, channel_id, mark, thread_ts=thread_ts, since_s=since_s)
        if found is not None:
            return found
    language = await languages.find_language(connection, user_id)
    answer = await web.write(
        "chat.postMessage",
        channel=channel_id,
        thread_ts=thread_ts,
        # Shown as it was typed: what is asked through the bot must not call everybody.
        text=render_sentence(language, Sentence.COMMAND_QUESTION, person=f"<@{user_id}>", question=question),
        metadata={"event_type": metadata_type, "event_payload": {"event_id": event.event_id}},
        unfurl_links=False,
        unfurl_media=False,
        link_names=False,
    )
    return Ts(str(answer.get("ts")))


def make_mention(
    connection: Connection,
    event: JournalledEvent,
    *,
    channel_id: ChannelId,
    user_id: UserId,
    question: str,
    ts: Ts,
    thread_ts: Ts | None,
    team_id: TeamId | str | None,
    api_app_id: str | None,
    attachments: Sequence[Mapping[str, Any]] = (),
) -> Delivery:
    """Return the event that Slack would send, had the person written the message in which the bot put their question.

    Args:
        connection: whose bot is asked.
        event: the command or form; the same one always makes the same mention.
        channel_id: where.
        user_id: who asks.
        question: as Slack escapes it.
        ts: of the bot's message that shows the question.
        thread_ts: the root of the thread that the message is in, None outside of a thread.
        team_id: the workspace, or the organization, that the app is installed in.
        api_app_id: the app.
        attachments: what is asked about, as Slack attaches a message that is shared.
    """
    mention = f"<@{connection.bot_user_id}> " if connection.bot_user_id else ""
    event_id = EventId(f"{event.event_id}-ask")
    inner: dict[str, Any] = {
        "type": "app_mention",
        "channel": channel_id,
        "channel_type": "im" if is_direct_channel(channel_id) else "channel",
        "user": user_id,
        "text": clean(mention + question),
        "ts": ts,
    }
    if thread_ts is not None:
        inner["thread_ts"] = thread_ts
    if attachments:
        inner["attachments"] = list(attachments)
    envelope = {
        "type": "event_callback",
        "team_id": team_id,
        "api_app_id": api_app_id,
        "event_id": event_id,
        "event": inner,
    }
    return Delivery(
        connection_id=connection.connection_id,
        event_id=event_id,
        event_time=event.event_time,
        lane=f"{channel_id}:{thread_ts or ts}",
        event_type="app_mention",
        payload=json.dumps(envelope).encode(),
    )
