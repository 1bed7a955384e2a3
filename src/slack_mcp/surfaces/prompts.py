"""What the assistant offers to be asked.

Source: https://docs.slack.dev/reference/methods/assistant.threads.setSuggestedPrompts.
"""

from collections.abc import Sequence
from typing import Final

import anyio
import structlog

from slack_mcp.cache import TtlCache
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import AgentError
from slack_mcp.core.ids import ChannelId, ConnectionId
from slack_mcp.core.model import Connection, SuggestedPrompt
from slack_mcp.ports.agent import Agents
from slack_mcp.protocol.mrkdwn import clean

MAX_PROMPTS: Final = 4
MAX_TITLE_CHARS: Final = 75
MAX_MESSAGE_CHARS: Final = 300
ASK_TIMEOUT_S: Final = 10.0
ASKED_TTL_S: Final = 6 * 3_600.0
MAX_CACHED: Final = 1_000
_OWN: Final = (
    (Sentence.PROMPT_ABILITIES_TITLE, Sentence.PROMPT_ABILITIES),
    (Sentence.PROMPT_DRAFT_TITLE, Sentence.PROMPT_DRAFT),
    (Sentence.PROMPT_EXPLAIN_TITLE, Sentence.PROMPT_EXPLAIN),
)
_INSTRUCTIONS: Final = (
    "Below is what an assistant in Slack was told about its work. Suggest what somebody could ask it first: four "
    "lines, each with a title of at most five words, then ` | `, then the question in one sentence, as that person "
    "would write it. Write in the language with the tag {language}. Write the four lines and nothing else."
)

_log = structlog.get_logger(__name__)


class Prompts:
    """Chooses the prompts.

    Args:
        agents: choose who is asked where nobody named any.
        clock: for the age of what an agent suggested.
    """

    def __init__(self, *, agents: Agents, clock: Clock) -> None:
        self._agents = agents
        self._asked: TtlCache[tuple[ConnectionId, int, str], Sequence[SuggestedPrompt]] = TtlCache(
            clock=clock, max_entries=MAX_CACHED
        )

    async def choose(
        self, connection: Connection, viewed_channel_id: ChannelId | None, language: str
    ) -> Sequence[SuggestedPrompt]:
        """Return what is offered: of the channel that is looked at, of the connection, of its agent, or of ours.

        Never raises: an agent that does not answer is passed over.
        """
        settings = connection.settings
        override = None if viewed_channel_id is None else settings.channels.get(viewed_channel_id)
        named = (override.suggested_prompts if override is not None else ()) or settings.suggested_prompts
        if not named and settings.ask_agent_for_prompts:
            named = tuple(await self._ask(connection, language))
        if not named:
            return tuple(
                SuggestedPrompt(title=render_sentence(language, title), message=render_sentence(language, message))
                for title, message in _OWN
            )
        return named[:MAX_PROMPTS]

    async def _ask(self, connection: Connection, language: str) -> Sequence[SuggestedPrompt]:
        # A saved change has another version: what an agent suggested for the old configuration is not offered any more.
        key = (connection.connection_id, connection.version, language)
        known = self._asked.get(key)
        if known is not None:
            return known
        try:
            with anyio.fail_after(ASK_TIMEOUT_S):
                said = await self._agents.choose(connection).complete(
                    connection,
                    task_id=f"prompts-{connection.version}-{language}",
                    instructions=_INSTRUCTIONS.format(language=language),
                    text=connection.system_prompt or "You answer people in Slack.",
                )
        except (AgentError, TimeoutError) as error:
            _log.info("prompts.not_suggested", connection_id=connection.connection_id, error=type(error).__name__)
            return ()
        prompts = read_prompts(said)
        self._asked.put(key, prompts, ttl_s=ASKED_TTL_S)
        return prompts


def read_prompts(said: str) -> Sequence[SuggestedPrompt]:
    """Return the first prompts that an agent wrote, each in a line `title | question`; other lines are left out."""
    prompts = []
    for line in clean(said).splitlines():
        title, bar, message = line.strip().lstrip("-*•0123456789.) ").partition("|")
        title, message = title.strip(" *_`"), message.strip(" *_`")
        if bar and title and message and len(title) <= MAX_TITLE_CHARS and len(message) <= MAX_MESSAGE_CHARS:
            prompts.append(SuggestedPrompt(title=title, message=message))
    return prompts[:MAX_PROMPTS]
