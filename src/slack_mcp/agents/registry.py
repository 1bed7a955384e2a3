"""Which agent answers for a connection."""

from collections.abc import Mapping
from typing import Final

from slack_mcp.core.errors import AgentNotConfiguredError
from slack_mcp.core.model import AgentBackend, Connection
from slack_mcp.ports.agent import Agent

_HOW_TO_SET_UP: Final[Mapping[AgentBackend, str]] = {
    AgentBackend.ECHO: "it is built in, and was left out here",
    AgentBackend.OPENAI: "set OPENAI_MODEL with OPENAI_API_KEY or OPENAI_BASE_URL, and install slack-mcp[openai]",
    AgentBackend.MESH: "save the connection's configuration in Mesh",
}


class AgentRegistry:
    """Chooses by the connection's own setting, else by the server's default; implements `ports.agent.Agents`.

    Args:
        agents: the backends that are set up on this server.
        default: who answers where the connection chooses nobody; None is nobody.
    """

    def __init__(self, *, agents: Mapping[AgentBackend, Agent], default: AgentBackend | None) -> None:
        self._agents = dict(agents)
        self._default = default

    def choose(self, connection: Connection) -> Agent:
        """Return the connection's agent.

        Raises:
            AgentNotConfiguredError: nobody was chosen, or the chosen one is not set up on this server.
        """
        backend = connection.settings.agent or self._default
        if backend is None:
            raise AgentNotConfiguredError(
                f"No agent answers for this connection: choose one of {', '.join(AgentBackend)} in its settings, or "
                f"set DEFAULT_AGENT."
            )
        agent = self._agents.get(backend)
        if agent is None:
            raise AgentNotConfiguredError(
                f"The agent {backend} is not set up on this server: {_HOW_TO_SET_UP[backend]}."
            )
        return agent
