"""What an agent is told: who asks what and where, what was said before, and what of all that is data and no order."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from slack_mcp.bot.context_fill import ThreadFiller, needs_filling
from slack_mcp.bot.context_lines import MAX_MESSAGE_CHARS, Line, cut_at_silence, list_lines, list_unheard
from slack_mcp.bot.context_spoken import Naming, find_naming
from slack_mcp.bot.context_summary import SUMMARY_TIMEOUT_S, Condensed, Summarizer
from slack_mcp.core.clock import Clock
from slack_mcp.core.model import Connection, Turn
from slack_mcp.ports.agent import AgentMessage, AgentRequest, Agents
from slack_mcp.ports.attachments import FileText, ReadFiles
from slack_mcp.ports.names import Names
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.transcript import Thread, Transcript
from slack_mcp.protocol.authors import is_direct_channel
from slack_mcp.protocol.events import find_viewed_channel
from slack_mcp.protocol.marked import Marker, make_marker
from slack_mcp.protocol.message_text import read_text
from slack_mcp.protocol.mrkdwn import clean, remove_mention, unescape

NO_FILES: Final = ReadFiles()
NO_WORDS: Final = "(No words: it is about what is attached.)"
_TOKEN_BYTES: Final = 8
_S_PER_MIN: Final = 60.0


class ContextBuilder:
    """Makes what an agent is asked.

    Args:
        transcript: what was said in the threads.
        agents: choose whose model writes summaries.
        names: of the people and channels that are spoken of.
        slack: reads a thread that the bot joins in the middle.
        clock: for today's date.
        keeps_history: tells whether a connection's agent remembers a thread by itself, and is told the news alone.
        draw_token: for the marks, see `protocol.marked.make_marker`; None draws what nobody can guess.
        summary_timeout_s: the longest time that a summary may take.
    """

    def __init__(
        self,
        *,
        transcript: Transcript,
        agents: Agents,
        names: Names,
        slack: SlackWebs,
        clock: Clock,
        keeps_history: Callable[[Connection], bool],
        draw_token: Callable[[], str] | None = None,
        summary_timeout_s: float = SUMMARY_TIMEOUT_S,
    ) -> None:
        self._transcript = transcript
        self._filler = ThreadFiller(slack=slack, transcript=transcript)
        self._names = names
        self._clock = clock
        self._keeps_history = keeps_history
        self._draw_token = draw_token or partial(secrets.token_hex, _TOKEN_BYTES)
        self._summarizer = Summarizer(
            agents=agents, transcript=transcript, draw_token=self._draw_token, timeout_s=summary_timeout_s
        )

    async def build(
        self,
        connection: Connection,
        turn: Turn,
        message: Mapping[str, Any],
        *,
        files: ReadFiles = NO_FILES,
        is_repeated: bool = False,
        is_elsewhere: bool = False,
    ) -> AgentRequest | None:
        """Return what the agent is asked, None for a message in which there is nothing to read.

        Args:
            connection: whose bot is asked.
            turn: the question.
            message: the same as Slack's event has it.
            files: what could be read of the message's files.
            is_repeated: an earlier run may have asked already.
            is_elsewhere: an agent that keeps its own history has nothing of this thread, and is told all of it.

        Raises:
            StoreUnavailableError: what was said could not be loaded or kept.
            SealingError: it cannot be opened.
        """
        question = _read_question(connection, turn, message)
        attached = clean(read_text(_pick(message, "attachments")))
        if not (question.text or attached or files.images or files.texts):
            return None
        listed = clean(read_text(_pick(message, "files")))
        thread = await self._load(connection, turn)
        viewed = find_viewed_channel(message.get("app_context"))
        if viewed is not None:
            thread = replace(thread, viewed_channel_id=viewed)
        keeps_history = self._keeps_history(connection)
        told = _Told(connection, turn, thread, keeps_history=keeps_history and not is_elsewhere)
        naming = await find_naming(
            self._names,
            connection,
            [*told.lines, question],
            texts=[attached, listed],
            users=filter(None, [turn.user_id]),
            channels=filter(
                None, [None if is_direct_channel(turn.channel_id) else turn.channel_id, thread.viewed_channel_id]
            ),
        )
        condensed = await self._summarizer.condense(
            connection,
            turn,
            [naming.speak(line, as_assistant=not keeps_history) for line in told.lines],
            thread=thread,
            summary=told.summary,
            is_kept=told.keeps_summary,
        )
        asked = _Asked(
            words=naming.read(question.text) if question.is_markup else question.text,
            facts=_render_facts(naming, turn, thread),
            attached=naming.read(attached),
            listed=naming.read(listed),
            texts=files.texts,
            unread=unescape("\n".join(files.notes)),
        )
        marker = make_marker([*asked.list_texts(), *condensed.list_texts()], draw=self._draw_token)
        history = _render_history(marker, condensed)
        return AgentRequest(
            event_id=turn.event_id,
            channel_id=turn.channel_id,
            thread_ts=turn.thread_ts,
            user_id=turn.user_id,
            question=asked.render(marker),
            instructions=self._render_instructions(connection, turn, marker, asked.facts),
            images=files.images,
            history=() if keeps_history else history,
            background=history if keeps_history else (),
            generation=thread.generation,
            final_only=connection.settings.final_only,
            is_repeated=is_repeated,
        )

    async def _load(self, connection: Connection, turn: Turn) -> Thread:
        """Return what is kept of the thread, after what Slack has of it was added where that is missing."""
        limit = connection.settings.context.max_fetched
        where = (connection.connection_id, turn.channel_id, turn.thread_ts)
        load = partial(self._transcript.load_thread, *where, before_ts=turn.message_ts, limit=limit)
        thread = await load()
        if needs_filling(thread, turn, limit=limit) and await self._filler.fill(connection, turn):
            return await load()
        return thread

    def _render_instructions(self, connection: Connection, turn: Turn, marker: Marker, facts: str) -> str:
        override = connection.settings.channels.get(turn.channel_id)
        prompt = connection.system_prompt if override is None or not override.system_prompt else override.system_prompt
        today = datetime.fromtimestamp(self._clock.now_s(), UTC).strftime("%Y-%m-%d")
        rules = (
            "You answer people in Slack. Write Markdown, in the language of the question. "
            f"Today is {today} (UTC). {marker.explain()}"
        )
        return "\n\n".join(filter(None, (prompt, rules, marker.mark("asked", facts))))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The question, in plain words.

    Attributes:
        words: what the person wrote.
        facts: who asks, and where.
        attached: what was shared with it, such as another message.
        listed: the files' names.
        texts: what they say.
        unread: which of them cannot be read.
    """

    words: str
    facts: str
    attached: str
    listed: str
    texts: Sequence[FileText]
    unread: str

    def list_texts(self) -> Iterable[str]:
        """Return everything in it that somebody wrote."""
        yield from (self.words, self.facts, self.attached, self.listed, self.unread)
        for each in self.texts:
            yield from (each.name, each.text)

    def render(self, marker: Marker) -> str:
        """Return it for an agent: the words as they are, and all else marked."""
        parts = [self.words or NO_WORDS]
        for kind, text in (("attached", self.attached), ("files", self.listed), ("unread", self.unread)):
            if text:
                parts.append(marker.mark(kind, text))
        for each in self.texts:
            cut = "yes" if each.is_cut else ""
            parts.append(marker.mark("file", each.text, name=each.name, type=each.kind.value, is_cut=cut))
        return "\n\n".join(parts)


class _Told:
    """Which lines of a thread an agent is told.

    Attributes:
        lines: in order, those left out that the summary tells of.
        summary: of what came before them, None when there is none that holds.
        keeps_summary: whether a summary of them is one of the whole conversation.
    """

    def __init__(self, connection: Connection, turn: Turn, thread: Thread, *, keeps_history: bool) -> None:
        every = list_lines(thread)
        lines = cut_at_silence(
            every,
            question_ts=turn.message_ts,
            timeout_s=_S_PER_MIN * connection.settings.thread_timeout_min,
        )
        until = thread.summarized_until_ts
        # What was summarized may belong to a conversation that is over.
        is_of_it = len(lines) == len(every) or (bool(lines) and until is not None and lines[0].ts <= until)
        has_answered = any(answer.answer is not None for answer in thread.answers)
        self.keeps_summary = not (keeps_history and has_answered)
        self.summary: str | None = None
        if keeps_history:
            lines = list_unheard(lines, thread.answers)
        if self.keeps_summary and is_of_it and thread.summary is not None and until is not None:
            self.summary = thread.summary
            lines = [line for line in lines if line.ts > until]
        self.lines: Sequence[Line] = lines


def _read_question(connection: Connection, turn: Turn, message: Mapping[str, Any]) -> Line:
    """Return what the person wrote, without the mention; of a bare mention, the mention: the agent has to greet."""
    said = clean(read_text(_pick(message, "text", "blocks")))[:MAX_MESSAGE_CHARS]
    rest = said if connection.bot_user_id is None else remove_mention(said, connection.bot_user_id)
    return Line(
        ts=turn.message_ts,
        until_ms=0,
        speaker=turn.user_id,
        is_markup=bool(said),
        text=rest or said or turn.question,
    )


def _pick(message: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return {name: message[name] for name in names if name in message}


def _render_facts(naming: Naming, turn: Turn, thread: Thread) -> str:
    """Return who asks and where: names, which are data as well."""
    facts = [
        f"Asked by: {naming.name_user(turn.user_id)}",
        f"Where: {'a direct message' if is_direct_channel(turn.channel_id) else naming.name_channel(turn.channel_id)}",
    ]
    if thread.viewed_channel_id is not None:
        facts.append(f"Looking at: {naming.name_channel(thread.viewed_channel_id)}")
    return "\n".join(facts)


def _render_history(marker: Marker, condensed: Condensed) -> Sequence[AgentMessage]:
    messages = []
    if condensed.summary:
        messages.append(marker.mark("summary", condensed.summary))
    if condensed.left_out:
        number = condensed.left_out
        messages.append(f"({number} earlier {'message is' if number == 1 else 'messages are'} left out here.)")
    return [
        *(AgentMessage(role="user", text=each) for each in messages),
        *(each.render(marker) for each in condensed.spoken),
    ]
