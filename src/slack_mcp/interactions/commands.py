"""The slash command: ask, status, reset, help.

A question becomes a thread: its root names who asked, and a mention of the bot is journalled for it. From there on it
is answered like any other mention, with everything that this means for retries and for the memory of the thread.
"""

from collections.abc import Callable
from typing import Final

import structlog

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import MalformedBodyError, MissingScopeError, SlackMcpError, SlackRefusedError
from slack_mcp.core.model import AgentBackend, Claim, Connection, EventState, JournalledEvent, Outcome
from slack_mcp.interactions.asking import (
    MAX_QUESTION_CHARS,
    REFUSALS,
    find_refusal_of_asker,
    make_mention,
    post_question,
)
from slack_mcp.ports.interactions import ConversationMemory, PersonalReplies
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.store import Journal
from slack_mcp.ports.surfaces import Languages
from slack_mcp.protocol.interactions import SlashCommand, parse_form
from slack_mcp.protocol.mrkdwn import clean, escape, unescape
from slack_mcp.protocol.places import is_elsewhere
from slack_mcp.protocol.speaking import Refusal

METADATA_TYPE: Final = "slack_mcp_command"

_log = structlog.get_logger(__name__)


class CommandHandler:
    """Does what a slash command says, whatever the command's own name; see `ports.handler.EventHandler`.

    Args:
        slack: makes the Web API of the command's connection.
        journal: takes the mention that a question becomes.
        wake: called after it was journalled.
        memory: forgets.
        replies: tells the person.
        languages: in which language.
        default_agent: who answers for a connection that chose nobody.
        version: of this service.
    """

    def __init__(
        self,
        *,
        slack: SlackWebs,
        journal: Journal,
        wake: Callable[[], None],
        memory: ConversationMemory,
        replies: PersonalReplies,
        languages: Languages,
        default_agent: AgentBackend | None,
        version: str,
    ) -> None:
        self._slack = slack
        self._journal = journal
        self._wake = wake
        self._memory = memory
        self._replies = replies
        self._languages = languages
        self._default_agent = default_agent
        self._version = version

    async def handle(self, connection: Connection, event: JournalledEvent, _claim: Claim) -> Outcome:
        """Do what the command says and return how it ended.

        Raises:
            SlackMcpError: it may be done later.
        """
        command = _parse(event)
        if command is None:
            return Outcome(state=EventState.SKIPPED, reason="unknown_form")
        if is_elsewhere(connection, command.team_id, command.enterprise_id):
            return Outcome(state=EventState.SKIPPED, reason="other_workspace")
        verb, _, rest = command.text.strip().partition(" ")
        match verb.lower():
            case "ask":
                return await self._ask(connection, event, command, rest.strip())
            case "status":
                await self._tell(connection, event, command, Sentence.COMMAND_STATUS, **self._describe(connection))
            case "reset":
                count = await self._memory.reset_channel(connection.connection_id, command.channel_id)
                done = Sentence.COMMAND_RESET if count else Sentence.COMMAND_NOTHING_TO_RESET
                await self._tell(connection, event, command, done)
            case _:
                await self._help(connection, event, command)
                return Outcome(state=EventState.DONE, reason="command_help")
        return Outcome(state=EventState.DONE, reason=f"command_{verb.lower()}")

    async def give_up(
        self, connection: Connection, event: JournalledEvent, _claim: Claim, _error: SlackMcpError
    ) -> None:
        """Say that nothing came of it."""
        command = _parse(event)
        if command is not None:
            await self._tell(connection, event, command, Sentence.COMMAND_FAILED, reference=escape(event.event_id))

    async def _ask(
        self, connection: Connection, event: JournalledEvent, command: SlashCommand, question: str
    ) -> Outcome:
        """Begin the thread in which the question is answered."""
        if not question:
            await self._tell(connection, event, command, Sentence.COMMAND_NO_QUESTION, command=_name(command))
            return Outcome(state=EventState.DONE, reason="no_question")
        try:
            refusal = await find_refusal_of_asker(self._slack, connection, command.channel_id, command.user_id)
        except MissingScopeError as error:
            scopes = escape(clean(error.needed))
            await self._tell(connection, event, command, Sentence.COMMAND_EXTERNAL_UNKNOWN, scopes=scopes)
            return Outcome(state=EventState.DONE, reason=str(Refusal.EXTERNAL_NOT_ALLOWED))
        if refusal is not None:
            await self._tell(connection, event, command, REFUSALS[refusal])
            return Outcome(state=EventState.DONE, reason=str(refusal))
        try:
            root = await post_question(
                self._slack,
                connection,
                event,
                languages=self._languages,
                metadata_type=METADATA_TYPE,
                channel_id=command.channel_id,
                thread_ts=None,
                user_id=command.user_id,
                question=escape(clean(unescape(question[:MAX_QUESTION_CHARS]))),
            )
        except (SlackRefusedError, MissingScopeError) as error:
            _log.info("command.refused", connection_id=connection.connection_id, error=error.slack_error)
            await self._tell(connection, event, command, Sentence.COMMAND_CANNOT_WRITE)
            return Outcome(state=EventState.DONE, reason="cannot_write")
        mention = make_mention(
            connection,
            event,
            channel_id=command.channel_id,
            user_id=command.user_id,
            question=question,
            ts=root,
            thread_ts=None,
            team_id=command.team_id or command.enterprise_id,
            api_app_id=command.api_app_id,
        )
        (is_new,) = await self._journal.append([mention])
        if is_new:
            self._wake()
        return Outcome(state=EventState.DONE, reason="command_ask")

    async def _help(self, connection: Connection, event: JournalledEvent, command: SlashCommand) -> None:
        await self._tell(connection, event, command, Sentence.COMMAND_HELP, command=_name(command))

    def _describe(self, connection: Connection) -> dict[str, str]:
        """Return what the status tells: nothing that is secret."""
        agent = connection.settings.agent or self._default_agent
        model = connection.model_id if agent is AgentBackend.OPENAI else connection.agent_id
        parts = {
            "connection": [connection.connection_name, connection.connection_id],
            "workspace": [connection.team_name, connection.team_id],
            "agent": [None if agent is None else agent.value, model if agent is not AgentBackend.ECHO else None],
        }
        shown = {name: ", ".join(escape(clean(each)) for each in values if each) for name, values in parts.items()}
        return {name: value or "-" for name, value in shown.items()} | {"version": self._version}

    async def _tell(
        self,
        connection: Connection,
        event: JournalledEvent,
        command: SlashCommand,
        sentence: Sentence,
        /,
        **values: str,
    ) -> None:
        language = await self._languages.find_language(connection, command.user_id)
        await self._replies.tell(
            connection,
            event,
            render_sentence(language, sentence, **values),
            user_id=command.user_id,
            channel_id=command.channel_id,
            response_url=command.response_url,
        )


def _parse(event: JournalledEvent) -> SlashCommand | None:
    try:
        form = parse_form(event.payload)
    except MalformedBodyError:
        return None
    return form if isinstance(form, SlashCommand) else None


def _name(command: SlashCommand) -> str:
    return escape(clean(command.command)).replace("`", "")
