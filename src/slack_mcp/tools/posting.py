"""What the tools that post have in common: how long a text may be, whom it may call, and how a repeat is recognised."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, Field

from slack_mcp.core.errors import InvalidInputError, SlackRefusedError
from slack_mcp.core.ids import ChannelId
from slack_mcp.core.model import Connection
from slack_mcp.interactions.cards import ANSWER_PREFIX
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import render_now

# https://docs.slack.dev/reference/methods/chat.postMessage and chat.update
MAX_TEXT_CHARS: Final = 40_000
MAX_EDIT_CHARS: Final = 4_000
MAX_BLOCKS: Final = 50
REQUEST_EVENT: Final = "slack_mcp_tool"
REQUEST_WINDOW_S: Final = 3_600
_HISTORY_PAGE: Final = 200
_REPLIES_PAGE: Final = 1_000
# https://docs.slack.dev/messaging/formatting-message-text#special-mentions
_BROADCAST: Final = re.compile(r"<!\s*(?:channel|here|everyone|group|subteam\s*\^)", re.IGNORECASE)
_BROADCAST_ELEMENTS: Final = frozenset({"broadcast", "usergroup"})


def _check_text(text: str) -> str:
    if len(text) > MAX_TEXT_CHARS:
        raise ValueError(
            f"Slack takes at most {MAX_TEXT_CHARS} characters, and this has {len(text)}: send it in several messages, "
            "or as a file with SLACK_UPLOAD_FILE"
        )
    return text


def _check_edit(text: str) -> str:
    if len(text) > MAX_EDIT_CHARS:
        raise ValueError(
            f"Slack takes at most {MAX_EDIT_CHARS} characters in an edit, and this has {len(text)}: shorten it, or "
            "reply with the rest"
        )
    return text


def check_actions(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the blocks, none of whose buttons passes for the answer to a question.

    A click is recorded as what the question's button says, whatever its label says here.

    Raises:
        ValueError: one does.
    """
    for part in _walk(blocks):
        action_id = part.get("action_id") if isinstance(part, dict) else None
        if isinstance(action_id, str) and action_id.startswith(ANSWER_PREFIX):
            raise ValueError(f"an action_id that begins with {ANSWER_PREFIX} is SLACK_ASK_HUMAN's alone")
    return blocks


PostText: TypeAlias = Annotated[
    str,
    Field(
        min_length=1,
        description="Slack mrkdwn: *bold*, <https://x|label>, <@U…>.",
        json_schema_extra={"maxLength": MAX_TEXT_CHARS},
    ),
    AfterValidator(_check_text),
]
EditText: TypeAlias = Annotated[
    str,
    Field(
        min_length=1,
        description="The whole new text, Slack mrkdwn.",
        json_schema_extra={"maxLength": MAX_EDIT_CHARS},
    ),
    AfterValidator(_check_edit),
]
Blocks: TypeAlias = Annotated[
    list[dict[str, Any]],
    Field(min_length=1, max_length=MAX_BLOCKS, description="Block Kit; text is then what notifications show."),
    AfterValidator(check_actions),
]


ReplyBroadcast: TypeAlias = Annotated[bool, Field(description="Show a reply in the channel too.")]
UnfurlLinks: TypeAlias = Annotated[bool, Field(description="Show previews of links, which Slack fetches.")]
UnfurlMedia: TypeAlias = Annotated[bool, Field(description="The same for images and videos.")]
AllowBroadcast: TypeAlias = Annotated[bool, Field(description="Let it notify @here, @channel or a user group.")]


def check_reply_broadcast(thread_ts: str | None, *, is_broadcast: bool) -> None:
    """Return when a reply may be shown in the channel too; raises InvalidInputError when it is no reply."""
    if is_broadcast and thread_ts is None:
        raise InvalidInputError("reply_broadcast: this needs a thread_ts; without one the message is in the channel.")


def check_mentions(text: str, blocks: Sequence[Any] | None, *, allow_broadcast: bool) -> None:
    """Return when a message calls nobody but single people, or may.

    Raises:
        InvalidInputError: it calls everybody of a channel or a group, and the caller did not say that it may.
    """
    if not allow_broadcast and (_BROADCAST.search(text) or _calls_many(blocks)):
        raise InvalidInputError(
            "The message notifies a whole channel or group (<!here>, <!channel>, <!everyone>, <!subteam^…>): leave "
            "that out, or set allow_broadcast to true when it is meant."
        )


def _calls_many(blocks: Any) -> bool:
    """Tell whether blocks hold a broadcast, however deep."""
    for part in _walk(blocks):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind in _BROADCAST_ELEMENTS:
            return True
        if isinstance(part, str) and _BROADCAST.search(part):
            return True
    return False


def _walk(blocks: Any) -> Iterator[Any]:
    """Yield every part of a JSON value, without recursion."""
    waiting = [blocks]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def render_request(request_id: str | None) -> dict[str, Any] | None:
    """Return the metadata that marks a message as the answer to a request, None without one."""
    return None if request_id is None else {"event_type": REQUEST_EVENT, "event_payload": {"request_id": request_id}}


async def find_posted(call: Call, channel_id: ChannelId, thread_ts: str | None, request_id: str) -> str | None:
    """Return the ts of the bot's message with this request's mark, None when there is none of the last hour.

    A client repeats a call whose answer it did not get; the message may stand there all the same.

    Raises:
        InvalidInputError: the bot may post in the channel and not read it.
    """
    now_s = call.services.clock.now_s()
    oldest = f"{now_s - REQUEST_WINDOW_S:.6f}"
    try:
        if thread_ts is None:
            answer = await call.bot.read(
                "conversations.history",
                channel=channel_id,
                oldest=oldest,
                latest=render_now(now_s),
                limit=_HISTORY_PAGE,
                include_all_metadata=True,
            )
        else:
            answer = await call.bot.read(
                "conversations.replies",
                channel=channel_id,
                ts=thread_ts,
                oldest=oldest,
                limit=_REPLIES_PAGE,
                include_all_metadata=True,
            )
    except SlackRefusedError as error:
        if not is_refusal(error, "not_in_channel"):
            raise
        raise InvalidInputError(
            "request_id: the bot is not in this channel and cannot look whether it has sent this already. Let it in "
            "with SLACK_JOIN_CHANNEL, or leave request_id out."
        ) from None
    listed = answer.get("messages")
    for message in listed if isinstance(listed, list) else ():
        # A thread's page is headed by its first message, a channel's shows replies that were broadcast.
        is_reply = message.get("thread_ts", message["ts"]) != message["ts"]
        if is_reply == (thread_ts is not None) and _is_answer(message, request_id, call.connection):
            return str(message["ts"])
    return None


def _is_answer(message: Mapping[str, Any], request_id: str, connection: Connection) -> bool:
    """Tell whether the bot itself sent a message for this request: anybody can write metadata."""
    own: Sequence[str | None] = (connection.bot_user_id, connection.bot_id, connection.api_app_id)
    if not any(message.get(name) in own for name in ("user", "bot_id", "app_id") if message.get(name)):
        return False
    metadata = message.get("metadata")
    payload = metadata.get("event_payload") if isinstance(metadata, Mapping) else None
    return isinstance(payload, Mapping) and payload.get("request_id") == request_id
