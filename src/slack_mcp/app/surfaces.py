"""The assistant's surfaces, put together."""

from collections.abc import Mapping
from dataclasses import dataclass

from slack_mcp.core.clock import Clock
from slack_mcp.core.model import AgentBackend
from slack_mcp.interactions.marks import find_marked
from slack_mcp.names.languages import PersonalLanguages
from slack_mcp.names.resolve import CachedNames
from slack_mcp.ports.agent import Agents
from slack_mcp.ports.handler import EventHandler
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.surfaces import AssistantMemory, Languages, StopRequests, ThreadTitles
from slack_mcp.ports.threads import ThreadMemory
from slack_mcp.surfaces.greeting import Greeter
from slack_mcp.surfaces.handler import SURFACE_EVENTS, SurfaceHandler
from slack_mcp.surfaces.home import HomeTab
from slack_mcp.surfaces.pane import AssistantPane
from slack_mcp.surfaces.prompts import Prompts
from slack_mcp.surfaces.stops import Stops
from slack_mcp.surfaces.titles import AssistantTitles


@dataclass(frozen=True, slots=True, kw_only=True)
class Surfaces:
    """What a pod has of them.

    Attributes:
        handlers: by event type, for the dispatcher.
        languages: in which language people are spoken to.
        titles: gives names to threads.
    """

    handlers: Mapping[str, EventHandler]
    languages: Languages
    titles: ThreadTitles


def make_surfaces(
    *,
    slack: SlackWebs,
    agents: Agents,
    default_agent: AgentBackend | None,
    names: CachedNames,
    memory: AssistantMemory,
    stops: StopRequests,
    threads: ThreadMemory,
    clock: Clock,
) -> Surfaces:
    """Return the parts of a pod."""
    languages = PersonalLanguages(names=names, clock=clock)
    handler = SurfaceHandler(
        pane=AssistantPane(
            slack=slack,
            memory=memory,
            greeter=Greeter(slack=slack, memory=memory, find_marked=find_marked),
            prompts=Prompts(agents=agents, clock=clock),
            languages=languages,
        ),
        home=HomeTab(slack=slack, agents=agents, default_agent=default_agent, languages=languages),
        stops=Stops(requests=stops, slack=slack, clock=clock),
    )
    return Surfaces(
        handlers=dict.fromkeys(SURFACE_EVENTS, handler),
        languages=languages,
        titles=AssistantTitles(slack=slack, threads=threads, clock=clock),
    )
