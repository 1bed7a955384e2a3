"""The toolbox with the tools for channels and people, and an announcer that only this process hears."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from toolbox import Toolbox, open_toolbox

from slack_mcp.ports.names import NameChange, NameKind
from slack_mcp.tools import (
    bot,
    cache,
    channel_changes,
    channels,
    direct_messages,
    membership,
    profiles,
    unreads,
    usergroups,
    users,
)
from slack_mcp.tools.tool import Tool

TOOLS: tuple[Tool[Any, Any], ...] = (
    *channels.TOOLS,
    *membership.TOOLS,
    *channel_changes.TOOLS,
    *direct_messages.TOOLS,
    *users.TOOLS,
    *profiles.TOOLS,
    *usergroups.TOOLS,
    *unreads.TOOLS,
    *bot.TOOLS,
    *cache.TOOLS,
)


class HeardChanges:
    """Keeps what is announced, and does with it what a pod does."""

    def __init__(self, box: Toolbox) -> None:
        self.heard: list[NameChange] = []
        self.error: Exception | None = None
        self._box = box

    async def announce(self, change: NameChange) -> None:
        if self.error is not None:
            raise self.error
        self.heard.append(change)
        self._box.names.forget(change)
        if change.kind is NameKind.CONNECTION:
            self._box.directory.invalidate(change.connection_id)


@asynccontextmanager
async def open_people_box() -> AsyncIterator[tuple[Toolbox, HeardChanges]]:
    """Yield the tools, and what is announced."""
    async with open_toolbox(TOOLS) as box:
        heard = HeardChanges(box)
        box.services = replace(box.services, announcer=heard)
        yield box, heard
