"""The triggers' parts: who saves them, and who tells the receivers."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from slack_mcp.bot.placeholder import PlaceholderLender
from slack_mcp.core.clock import Clock
from slack_mcp.ports.handler import EventHandler
from slack_mcp.ports.names import Names
from slack_mcp.ports.slack import SlackApis, SlackWebs
from slack_mcp.ports.store import ConnectionStore, TurnStore
from slack_mcp.ports.triggers import TriggerStore
from slack_mcp.settings import Settings
from slack_mcp.triggers.configure import MeshTriggers, Subscriptions
from slack_mcp.triggers.deliver import TriggerHandler
from slack_mcp.triggers.plan import EVENT_TYPE
from slack_mcp.triggers.send import open_sender
from slack_mcp.triggers.target import TargetPolicy, Targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """What a pod has of them.

    Attributes:
        handlers: by event type, for the dispatcher.
        of_mesh: saves what Mesh configures, for the tools.
    """

    handlers: Mapping[str, EventHandler]
    of_mesh: MeshTriggers


def make_targets(settings: Settings) -> Targets:
    """Return what finds receivers, within what the settings allow."""
    hosts = frozenset(host.lower() for host in settings.trigger_allowed_hosts)
    return Targets(policy=TargetPolicy(may_be_private=settings.trigger_allow_private_targets, allowed_hosts=hosts))


@asynccontextmanager
async def open_triggers(
    settings: Settings,
    *,
    triggers: TriggerStore,
    connections: ConnectionStore,
    turns: TurnStore,
    slack: SlackApis,
    webs: SlackWebs,
    names: Names,
    tls: ssl.SSLContext,
    clock: Clock,
) -> AsyncIterator[Triggers]:
    """Yield the parts of a pod, and close the sockets to the receivers at the end."""
    async with open_sender(targets=make_targets(settings), clock=clock, tls=tls) as sender:
        handler = TriggerHandler(
            triggers=triggers,
            sender=sender,
            bot=PlaceholderLender(turns=turns, slack=slack),
            names=names,
            slack=webs,
            clock=clock,
        )
        yield Triggers(
            handlers={EVENT_TYPE: handler},
            of_mesh=MeshTriggers(connections=connections, triggers=triggers, mesh_urls=settings.mesh_allowed_urls),
        )


@asynccontextmanager
async def open_subscriptions(
    settings: Settings, *, triggers: TriggerStore, connections: ConnectionStore, clock: Clock
) -> AsyncIterator[Subscriptions]:
    """Yield what the commands need, and close the sockets to the receivers at the end."""
    targets = make_targets(settings)
    async with open_sender(targets=targets, clock=clock) as sender:
        yield Subscriptions(connections=connections, triggers=triggers, targets=targets, sender=sender, clock=clock)
