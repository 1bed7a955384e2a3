"""The agents that can be asked here."""

import httpx2

from slack_mcp.agents.echo import EchoAgent
from slack_mcp.agents.mesh import MeshAgent
from slack_mcp.agents.openai import build_openai_agent
from slack_mcp.agents.registry import AgentRegistry
from slack_mcp.core.errors import AgentNotConfiguredError, SettingsError
from slack_mcp.core.model import AgentBackend
from slack_mcp.mesh.decopilot import Decopilot
from slack_mcp.mesh.refusals import WatchedAgents
from slack_mcp.mesh.transport import MeshTransport
from slack_mcp.ports.agent import Agent
from slack_mcp.ports.mesh import MeshRefusals
from slack_mcp.settings import Settings


def make_agents(
    settings: Settings, *, http: httpx2.AsyncClient, mesh: MeshTransport, refusals: MeshRefusals
) -> AgentRegistry:
    """Return the backends: `http` has the sockets to models, `mesh` is the way to Mesh, whose refusals are remembered.

    Raises:
        SettingsError: the default one cannot be used.
    """
    agents = _make_own_agents(mesh, refusals)
    if settings.openai_api_key or settings.openai_base_url:
        try:
            agents[AgentBackend.OPENAI] = build_openai_agent(
                http=http,
                api_key=settings.openai_api_key,
                base_url=settings.openai_base_url,
                default_model=settings.openai_model,
            )
        except AgentNotConfiguredError as error:
            raise SettingsError([str(error)]) from error
    return AgentRegistry(agents=agents, default=settings.default_agent)


def _make_own_agents(mesh: MeshTransport, refusals: MeshRefusals) -> dict[AgentBackend, Agent]:
    """Return those that need no settings."""
    watched = WatchedAgents(agents=Decopilot(transport=mesh), refusals=refusals)
    return {AgentBackend.ECHO: EchoAgent(), AgentBackend.MESH: MeshAgent(mesh=watched)}
