"""The home tab: how to ask, and how the bot is set up. It shows nothing secret.

Source: https://docs.slack.dev/surfaces/app-home.
"""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import structlog

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import AgentNotConfiguredError, MissingScopeError, SlackRefusedError
from slack_mcp.core.ids import UserId
from slack_mcp.core.model import AgentBackend, Connection, JournalledEvent
from slack_mcp.ports.agent import Agents
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.surfaces import Languages
from slack_mcp.protocol.answers import text
from slack_mcp.protocol.events import EventCallback
from slack_mcp.protocol.mrkdwn import clean, escape
from slack_mcp.protocol.speaking import may_ask

CALLBACK: Final = "slack_mcp_home"
MAX_NAMED_CHANNELS: Final = 40
_DIGEST_CHARS: Final = 32
_HOST: Final = re.compile(r"[a-z0-9.-]+")

_log = structlog.get_logger(__name__)


class _Event(msgspec.Struct):
    view: Any = None


class _Envelope(msgspec.Struct):
    event: _Event


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


class HomeTab:
    """Shows each person their home tab.

    Args:
        slack: makes the Web API of a connection.
        agents: tell whether a connection has an agent.
        default_agent: who answers for a connection that chose nobody.
        languages: in which language.
    """

    def __init__(
        self, *, slack: SlackWebs, agents: Agents, default_agent: AgentBackend | None, languages: Languages
    ) -> None:
        self._slack = slack
        self._agents = agents
        self._default_agent = default_agent
        self._languages = languages

    async def open(self, connection: Connection, event: JournalledEvent, opened: EventCallback) -> str:
        """Publish what the person should see, where they see something else; returns how it ended.

        Raises:
            SlackApiError: it may work later.
        """
        if opened.user_id is None:
            return "no_user"
        language = await self._languages.find_language(connection, opened.user_id)
        view = self._render(connection, opened.user_id, language)
        if read_shown(event.payload) == view["private_metadata"]:
            return "home_unchanged"
        try:
            await self._slack.open(connection).write("views.publish", user_id=opened.user_id, view=view)
        except (SlackRefusedError, MissingScopeError) as error:
            _log.info("home.refused", connection_id=connection.connection_id, error=error.slack_error)
            return "home_refused"
        return "home_published"

    def _render(self, connection: Connection, user_id: UserId, language: str) -> dict[str, Any]:
        """Return the view; its `private_metadata` comes back with the next event, and says what is shown."""
        lines = [
            render_sentence(language, Sentence.HOME_HELLO, person=f"<@{user_id}>"),
            render_sentence(language, Sentence.HOME_HOW),
            render_sentence(language, Sentence.HOME_STATUS, **self._describe(connection, language)),
        ]
        if not may_ask(connection, user_id):
            lines[:2] = [render_sentence(language, Sentence.COMMAND_USER_NOT_ALLOWED)]
        blocks: list[dict[str, Any]] = [{"type": "section", "text": _mrkdwn(line)} for line in lines]
        blocks.insert(len(blocks) - 1, {"type": "divider"})
        blocks.append({"type": "context", "elements": [_mrkdwn(_render_settings(connection, language))]})
        digest = sha256(json.dumps(blocks).encode()).hexdigest()[:_DIGEST_CHARS]
        return {"type": "home", "callback_id": CALLBACK, "private_metadata": digest, "blocks": blocks}

    def _describe(self, connection: Connection, language: str) -> Mapping[str, str]:
        channels = connection.settings.allowed_channels
        named = " ".join(f"<#{each}>" for each in channels[:MAX_NAMED_CHANNELS])
        if len(channels) > MAX_NAMED_CHANNELS:
            named += " …"
        return {
            "connection": _join(connection.connection_name, connection.connection_id),
            "workspace": _join(connection.team_name, connection.team_id) or "-",
            "agent": self._name_agent(connection, language),
            "channels": named or render_sentence(language, Sentence.HOME_ALL_CHANNELS),
            "spoken": render_sentence(language, Sentence.HOME_LANGUAGE),
        }

    def _name_agent(self, connection: Connection, language: str) -> str:
        if connection.settings.trigger_only:
            return render_sentence(language, Sentence.HOME_TRIGGERS)
        backend = connection.settings.agent or self._default_agent
        try:
            self._agents.choose(connection)
        except AgentNotConfiguredError:
            backend = None
        if backend is None:
            return render_sentence(language, Sentence.HOME_NO_AGENT)
        model = connection.model_id if backend is AgentBackend.OPENAI else connection.agent_id
        return _join(backend.value, None if backend is AgentBackend.ECHO else model)


def read_shown(payload: bytes) -> str:
    """Return the `private_metadata` of the view that the person sees, empty when they see none yet.

    Source: https://docs.slack.dev/reference/events/app_home_opened.
    """
    try:
        view = _ENVELOPE.decode(payload).event.view
    except (ValueError, RecursionError):
        return ""
    return text(view, "private_metadata")


def _render_settings(connection: Connection, language: str) -> str:
    """Return who can change this, and where: in Mesh, for a connection that Mesh configured."""
    try:
        parts = urlsplit(connection.mesh_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return render_sentence(language, Sentence.HOME_SETTINGS)
    if parts.scheme != "https" or not _HOST.fullmatch(host):
        return render_sentence(language, Sentence.HOME_SETTINGS)
    address = f"https://{host}" if port is None else f"https://{host}:{port}"
    return render_sentence(language, Sentence.HOME_SETTINGS_IN, where=f"<{address}|{host}>")


def _mrkdwn(line: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": line}


def _join(*values: str | None) -> str:
    return ", ".join(escape(clean(each)) for each in values if each)
