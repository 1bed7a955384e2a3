"""How much the bot is asked: token buckets per person, per channel and per bot, shared by all pods."""

import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from slack_mcp.bot.addressed import Addressed, SkipReason
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import SlackApiError
from slack_mcp.core.ids import UserId
from slack_mcp.core.model import Connection
from slack_mcp.ports.budget import Buckets
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.store import TurnStore
from slack_mcp.protocol.authors import is_direct, is_of_bot
from slack_mcp.protocol.events import EventCallback

S_PER_MIN: Final = 60.0
S_PER_HOUR: Final = 3600.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many at once, and so many more with each second."""

    capacity: float
    per_s: float

    @classmethod
    def per_min(cls, count: int) -> "Rate":
        """Return the rate of so many in a minute, of which all may come at once."""
        return cls(capacity=count, per_s=count / S_PER_MIN)

    @classmethod
    def per_hour(cls, count: int) -> "Rate":
        """Return the rate of so many in an hour, of which all may come at once."""
        return cls(capacity=count, per_s=count / S_PER_HOUR)


# Two bots that answer each other go on only as long as both speak: the one that is silent once has ended it, because
# the other has nothing left to answer. So a thread is over for bots after a few answers, whatever they wrote; and a bot
# that begins a new thread each time is met by the second limit, which leaves room for one that reports now and then.
BOT_IN_THREAD: Final = Rate.per_hour(3)
BOT: Final = Rate.per_hour(20)
NOTICE: Final = Rate.per_min(1)

_SENTENCES: Final = {
    SkipReason.RATE_LIMITED_USER: Sentence.RATE_LIMITED_USER,
    SkipReason.RATE_LIMITED_CHANNEL: Sentence.RATE_LIMITED_CHANNEL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    reason: SkipReason
    bucket: str
    rate: Rate


class SpeakingLimits:
    """Decides whether a question is answered now; see `bot.handler.Limits`.

    Args:
        buckets: shared by all pods.
        turns: knows the questions that were let in already.
        slack: makes the Web API of the connection, to tell the person.
        find_language: of the bot's own sentences to a person.
    """

    def __init__(
        self,
        *,
        buckets: Buckets,
        turns: TurnStore,
        slack: SlackWebs,
        find_language: Callable[[Connection, UserId], Awaitable[str]],
    ) -> None:
        self._buckets = buckets
        self._turns = turns
        self._slack = slack
        self._find_language = find_language

    async def admit(
        self, connection: Connection, addressed: Addressed, event: EventCallback, *, is_redone: bool = False
    ) -> SkipReason | None:
        """Return why the question is not answered now, None when it is.

        A question pays once: neither when its turn is run again, nor for the second event that Slack sends of a
        mention. One that is refused begins no turn, and its author is told, once a minute.

        Args:
            connection: whose bot is asked.
            addressed: the question.
            event: the message.
            is_redone: it was worked on before, so that it was let in, or an operator wants it done.

        Raises:
            StoreUnavailableError: nobody can say how much was asked.
        """
        limits = tuple(_list_limits(connection, addressed, event))
        if is_redone or not limits or await self._is_begun(connection, addressed):
            return None
        for limit in limits:
            wait_s = await self._take(connection, limit.bucket, limit.rate)
            if wait_s > 0:
                _log.info(
                    "question.refused",
                    connection_id=connection.connection_id,
                    event_id=event.event_id,
                    reason=str(limit.reason),
                    wait_s=round(wait_s, 1),
                )
                await self._tell(connection, addressed, limit.reason, wait_s)
                return limit.reason
        return None

    async def _is_begun(self, connection: Connection, addressed: Addressed) -> bool:
        return await self._turns.has_turn(connection.connection_id, addressed.channel_id, addressed.message_ts)

    async def _take(self, connection: Connection, bucket: str, rate: Rate) -> float:
        return await self._buckets.take(
            connection.connection_id, bucket, capacity=rate.capacity, per_s=rate.per_s, cost=1.0
        )

    async def _tell(self, connection: Connection, addressed: Addressed, reason: SkipReason, wait_s: float) -> None:
        """Tell the person, so that nobody else sees it. A bot is told nothing: it might answer."""
        sentence = _SENTENCES.get(reason)
        if sentence is None or addressed.user_id is None:
            return
        if await self._take(connection, f"ask:notice:{addressed.user_id}", NOTICE) > 0:
            return
        # Slack shows it in a thread only where there is one already:
        # https://docs.slack.dev/reference/methods/chat.postEphemeral
        in_thread = addressed.thread_ts if addressed.thread_ts != addressed.message_ts else None
        try:
            language = await self._find_language(connection, addressed.user_id)
            await self._slack.open(connection).write(
                "chat.postEphemeral",
                channel=addressed.channel_id,
                user=addressed.user_id,
                text=render_sentence(language, sentence, seconds=str(math.ceil(wait_s))),
                thread_ts=in_thread,
            )
        except SlackApiError as error:  # that the question is not answered stands without it
            _log.info("question.refusal_not_told", connection_id=connection.connection_id, code=error.code)


def _list_limits(connection: Connection, addressed: Addressed, event: EventCallback) -> Iterator[_Limit]:
    """Yield what the question must not exceed, the narrowest first: who asks too much takes nothing from others."""
    speaking = connection.settings.speaking
    if is_of_bot(event):
        place = f"{addressed.channel_id}:{addressed.thread_ts}"
        reason = SkipReason.RATE_LIMITED_BOT
        yield _Limit(reason=reason, bucket=f"ask:bot:{place}", rate=BOT_IN_THREAD)
        yield _Limit(reason=reason, bucket=f"ask:bot:{event.bot_id}", rate=BOT)
    elif addressed.user_id is not None and speaking.user_per_min:
        rate = Rate.per_min(speaking.user_per_min)
        yield _Limit(reason=SkipReason.RATE_LIMITED_USER, bucket=f"ask:user:{addressed.user_id}", rate=rate)
    if speaking.channel_per_min and not is_direct(event):
        rate = Rate.per_min(speaking.channel_per_min)
        yield _Limit(reason=SkipReason.RATE_LIMITED_CHANNEL, bucket=f"ask:channel:{addressed.channel_id}", rate=rate)
