"""Works on the journalled events of the triggers: looks up what a receiver wants to know, and tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import (
    MalformedBodyError,
    SlackApiError,
    SlackMcpError,
    TriggerRefusedError,
    TriggerUnavailableError,
)
from slack_mcp.core.model import Claim, Connection, EventState, JournalledEvent, Outcome, Trigger, TriggerKind
from slack_mcp.ports.names import Names
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.triggers import AnsweringBot, TriggerStore
from slack_mcp.protocol.events import EventCallback, parse_envelope, read_event
from slack_mcp.triggers.data import Extras, render_data, render_time
from slack_mcp.triggers.kinds import WITH_REPLY
from slack_mcp.triggers.plan import Told, find_trigger, parse_told, plan
from slack_mcp.triggers.send import TriggerSender

DELIVERED: Final = "delivered"
MAX_THREAD_MESSAGES: Final = 100

_log = structlog.get_logger(__name__)


class TriggerHandler:
    """Tells receivers; see `ports.handler.EventHandler`. It works on the events that `plan` makes.

    A receiver may be told twice, after an answer that was lost: it knows the event again by its id.

    Args:
        triggers: notes who wants nothing any more.
        sender: tells them.
        bot: lends its placeholder.
        names: for `user_name`.
        slack: for the thread's messages.
        clock: for durations and times.
    """

    def __init__(
        self,
        *,
        triggers: TriggerStore,
        sender: TriggerSender,
        bot: AnsweringBot,
        names: Names,
        slack: SlackWebs,
        clock: Clock,
    ) -> None:
        self._triggers = triggers
        self._sender = sender
        self._bot = bot
        self._names = names
        self._slack = slack
        self._clock = clock

    async def handle(self, connection: Connection, event: JournalledEvent, claim: Claim) -> Outcome:
        """Tell the receiver and return DONE, or SKIPPED when it is not there any more.

        Raises:
            TriggerError: one of its classes.
            SlackApiError, StoreError: of the placeholder.
        """
        started_s = self._clock.monotonic_s()
        try:
            told, message = read_told(event)
        except MalformedBodyError as error:
            return Outcome(state=EventState.SKIPPED, reason=error.code)
        trigger = find_trigger(connection.triggers, told)
        if trigger is None:
            return Outcome(state=EventState.SKIPPED, reason="trigger_removed")
        if trigger.refused_at_ms is not None:
            raise TriggerRefusedError("The trigger's receiver wants nothing any more: configure the trigger again.")
        extras = await self._look_up(connection, event, told, message, claim)
        data = render_data(
            told.type,
            connection,
            message,
            raw=read_event(bytes(told.body)),
            received_at_ms=event.received_at_ms,
            extras=extras,
        )
        status = await self._tell(connection, event, trigger, data)
        _log.info(
            "trigger.delivered",
            connection_id=connection.connection_id,
            event_id=event.event_id,
            trigger_id=trigger.trigger_id,
            type=told.type,
            status=status,
            attempts=event.attempts,
            redone=event.redone,
            duration_ms=round(1000 * (self._clock.monotonic_s() - started_s)),
        )
        return Outcome(state=EventState.DONE, reason=DELIVERED)

    async def give_up(
        self,
        connection: Connection,
        event: JournalledEvent,
        claim: Claim,
        error: SlackMcpError,  # noqa: ARG002 - whatever it was, no answer will come
    ) -> None:
        """Say in the placeholder that no answer will come, unless another receiver may still answer.

        Raises:
            SlackApiError, StoreError: one of their classes.
            MalformedBodyError: the event cannot be read, so that nobody waits for it.
        """
        told, message = read_told(event)
        if not _wants_placeholder(connection, told):
            return
        others = [each for each in plan(connection, message, bytes(told.body)) if each.event_id != event.event_id]
        await self._bot.withdraw(connection, event, bytes(told.body), claim, may_speak=not others)

    async def _tell(
        self, connection: Connection, event: JournalledEvent, trigger: Trigger, data: Mapping[str, Any]
    ) -> int:
        """Return the status of the receiver's answer."""
        try:
            if trigger.kind is TriggerKind.MESH:
                return await self._sender.send_to_mesh(trigger, data)
            return await self._sender.send_to_subscriber(
                trigger, data, message_id=event.event_id, timestamp=render_time(event.received_at_ms)
            )
        except TriggerRefusedError as error:
            if not error.is_gone or await self._refuse(connection, trigger):
                raise
            raise TriggerUnavailableError("The trigger was configured anew while it was called.") from error

    async def _refuse(self, connection: Connection, trigger: Trigger) -> bool:
        """Note that the receiver wants nothing any more: for Mesh, whose token is one for all, all its triggers.

        Returns:
            False when the trigger was configured anew in the meantime.
        """
        refused_at_ms = int(1000 * self._clock.now_s())

        def is_same(each: Trigger) -> bool:
            known_by = (each.kind, each.secret) == (trigger.kind, trigger.secret)
            return known_by and (each.kind is TriggerKind.MESH or each.trigger_id == trigger.trigger_id)

        def change(standing: tuple[Trigger, ...]) -> list[Trigger]:
            return [
                replace(each, refused_at_ms=refused_at_ms) if is_same(each) and each.refused_at_ms is None else each
                for each in standing
            ]

        standing = await self._triggers.update_triggers(connection.connection_id, change)
        if not any(is_same(each) for each in standing):
            return False
        _log.warning("trigger.refused", connection_id=connection.connection_id, trigger_id=trigger.trigger_id)
        return True

    async def _look_up(
        self, connection: Connection, event: JournalledEvent, told: Told, message: EventCallback, claim: Claim
    ) -> Extras:
        """Return what the event itself does not say."""
        if told.type not in WITH_REPLY:
            return Extras()
        extras = Extras()
        if message.user_id is not None:
            names = await self._names.find_user_names(connection, [message.user_id])
            extras = replace(extras, user_name=names.get(message.user_id))
        if message.thread_ts is not None and message.channel_id is not None:
            messages, has_more = await self._fetch_thread(connection, message)
            extras = replace(extras, thread_messages=messages, has_more=has_more)
        if not connection.settings.trigger_only:
            return replace(extras, answered_by_bot=await self._bot.is_asked(connection, bytes(told.body)))
        # Last, so that nothing but the call itself can still fail once people see that somebody works on it.
        if _wants_placeholder(connection, told):
            extras = replace(
                extras, thinking_message_ts=await self._bot.place(connection, event, bytes(told.body), claim)
            )
        return extras

    async def _fetch_thread(
        self, connection: Connection, message: EventCallback
    ) -> tuple[Sequence[Mapping[str, Any]] | None, bool]:
        """Return (the first page of the thread, whether there is more); None where Slack does not let the bot read it.

        Source: https://docs.slack.dev/reference/methods/conversations.replies.
        """
        try:
            answer = await self._slack.open(connection).read(
                "conversations.replies", channel=message.channel_id, ts=message.thread_ts, limit=MAX_THREAD_MESSAGES
            )
        except SlackApiError as error:
            _log.info("trigger.thread_unread", connection_id=connection.connection_id, code=error.code)
            return None, False
        listed = answer.get("messages")
        messages = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        return [_render_reply(each) for each in messages], bool(answer.get("has_more"))


def read_told(event: JournalledEvent) -> tuple[Told, EventCallback]:
    """Return what was journalled and the event in it; raises MalformedBodyError."""
    told = parse_told(event.payload)
    if told is None:
        raise MalformedBodyError("The journalled event is not for a trigger.")
    message = parse_envelope(bytes(told.body))
    if not isinstance(message, EventCallback):
        raise MalformedBodyError("The journalled event is not for a trigger.")
    return told, message


def _wants_placeholder(connection: Connection, told: Told) -> bool:
    settings = connection.settings
    return told.type in WITH_REPLY and settings.trigger_only and settings.show_thinking_message


def _render_reply(message: Mapping[str, Any]) -> dict[str, Any]:
    text, user = message.get("text"), message.get("user")
    reply = {"ts": message.get("ts"), "user": user, "text": text or "", "is_bot": bool(message.get("bot_id"))}
    return {key: value for key, value in reply.items() if value is not None}
