"""What the bot itself remembers of a thread: its questions and answers, not Slack's messages."""

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import BaseModel, Field

from slack_mcp.core.ids import Ts
from slack_mcp.core.model import Access, Turn
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import TS_PATTERN, ChannelText
from slack_mcp.tools.listing import BYTES_PER_TOKEN, DEFAULT_MAX_TOKENS
from slack_mcp.tools.message_items import indent
from slack_mcp.tools.policy import check_write
from slack_mcp.tools.tool import Arguments, Result, Tool

_MS: Final = 1_000


class ThreadArguments(Arguments):
    """Which thread."""

    channel: ChannelText
    thread_identifier: str = Field(pattern=TS_PATTERN, description="The ts of the thread's first message.")


class ThreadHistoryArguments(ThreadArguments):
    """Which thread, and how much of it."""

    count: int = Field(default=10, ge=1, le=100, description="Most messages to return, the last ones.")
    max_tokens: int = Field(
        default=DEFAULT_MAX_TOKENS, ge=200, le=100_000, description="About how long the text may be."
    )


class Thread(Result):
    """How much is remembered of a thread."""

    thread_id: str
    message_count: int
    last_activity: int = Field(description="Unix milliseconds.")
    is_active: bool = Field(description="Whether an agent would still be told of it.")
    resets: int


class ThreadInfoResult(Result):
    """A thread, if the bot took part in it."""

    thread: Thread | None = None

    def render_text(self, arguments: BaseModel) -> str:
        """Return it as JSON, and nothing in words."""
        return super().render_text(arguments) if self.thread else "The bot remembers nothing of this thread."


class RememberedMessage(Result):
    """A question or an answer."""

    role: Literal["user", "assistant"]
    content: str
    timestamp: int = Field(description="Unix milliseconds.")
    user_id: str | None = None


class ThreadHistoryResult(Result):
    """What an agent would be told, oldest first."""

    messages: Sequence[RememberedMessage]

    def render_text(self, _arguments: BaseModel) -> str:
        """Return it as Markdown."""
        lines = [f"- {each.role} {each.user_id or ''}".rstrip() + f": {indent(each.content)}" for each in self.messages]
        return "\n".join(lines) or "Nothing is remembered of this thread."


class ResetResult(Result):
    """What was done."""

    message: str


async def _get_info(call: Call, arguments: ThreadArguments) -> ThreadInfoResult:
    channel_id = await call.resolve_channel(arguments.channel)
    thread_ts = Ts(arguments.thread_identifier)
    connection = call.connection
    summary = await call.services.threads.load_summary(connection.connection_id, channel_id, thread_ts)
    if summary is None:
        return ThreadInfoResult()
    silent_ms = call.services.clock.now_s() * _MS - summary.last_activity_ms
    return ThreadInfoResult(
        thread=Thread(
            thread_id=f"{channel_id}:{thread_ts}",
            message_count=2 * summary.turns,
            last_activity=summary.last_activity_ms,
            is_active=summary.turns > 0 and silent_ms <= 60 * _MS * connection.settings.thread_timeout_min,
            resets=summary.generation,
        )
    )


async def _get_history(call: Call, arguments: ThreadHistoryArguments) -> ThreadHistoryResult:
    channel_id = await call.resolve_channel(arguments.channel)
    connection = call.connection
    turns = await call.services.threads.load_history(
        connection.connection_id,
        channel_id,
        Ts(arguments.thread_identifier),
        limit=-(-arguments.count // 2),
        max_age_s=60.0 * connection.settings.thread_timeout_min,
    )
    messages = [message for turn in turns for message in _read_turn(turn)][-arguments.count :]
    return ThreadHistoryResult(messages=_fit_last(messages, arguments.max_tokens))


async def _reset(call: Call, arguments: ThreadArguments) -> ResetResult:
    channel_id = await call.resolve_channel(arguments.channel)
    call.targets.append(f"{channel_id}/{arguments.thread_identifier}")
    check_write(call.connection.settings.tools, {"channel": channel_id})
    await call.services.threads.reset_thread(call.connection.connection_id, channel_id, Ts(arguments.thread_identifier))
    return ResetResult(message=f"Nothing is remembered of thread {channel_id}:{arguments.thread_identifier} any more.")


def _read_turn(turn: Turn) -> Sequence[RememberedMessage]:
    question = RememberedMessage(
        role="user", content=turn.question, timestamp=_parse_ms(turn.message_ts), user_id=turn.user_id
    )
    answer = RememberedMessage(
        role="assistant", content=turn.answer or "", timestamp=_parse_ms(turn.answer_ts or turn.message_ts)
    )
    return (question, answer)


def _parse_ms(ts: str) -> int:
    seconds, _, fraction = ts.partition(".")
    return int(seconds) * _MS + int(fraction[:3].ljust(3, "0"))


def _fit_last(messages: Sequence[RememberedMessage], max_tokens: int) -> Sequence[RememberedMessage]:
    """Return the last messages that are together not longer than `max_tokens`, at least one."""
    left = max_tokens * BYTES_PER_TOKEN
    for number, message in enumerate(reversed(messages)):
        left -= len(message.content.encode("utf-8", "replace"))
        if left < 0 and number:
            return messages[len(messages) - number :]
    return messages


TOOLS: Final = (
    Tool(
        name="SLACK_GET_THREAD_INFO",
        title="Show what the bot remembers of a thread",
        description="Returns how much the bot remembers of a thread; SLACK_GET_THREAD_REPLIES reads Slack's messages.",
        arguments=ThreadArguments,
        result=ThreadInfoResult,
        run=_get_info,
    ),
    Tool(
        name="SLACK_GET_THREAD_HISTORY",
        title="Read what the bot remembers of a thread",
        description=(
            "Returns the questions and answers that the bot's agent would be told of; SLACK_GET_THREAD_REPLIES reads "
            "Slack's messages."
        ),
        arguments=ThreadHistoryArguments,
        result=ThreadHistoryResult,
        run=_get_history,
    ),
    Tool(
        name="SLACK_RESET_THREAD",
        title="Make the bot forget a thread",
        description="Makes the bot forget what was said in a thread. Slack's messages stay.",
        arguments=ThreadArguments,
        result=ResetResult,
        run=_reset,
        access=Access.WRITE,
        is_destructive=True,
        is_idempotent=True,
    ),
)
