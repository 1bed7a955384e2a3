"""All tools, in the order of tools/list.

Mesh's catalogue shows a model only the first five names of a connection, so what is used most
stands first, and the tools of the protocol with Mesh stand last.
"""

from typing import Any, Final

from slack_mcp.tools import (
    blocks,
    bookmarks,
    bot,
    cache,
    canvases,
    channel_changes,
    channels,
    configuration,
    direct_messages,
    downloads,
    emoji,
    files,
    history,
    list_item_changes,
    list_items,
    lists,
    membership,
    messages,
    pins,
    profiles,
    questions,
    reactions,
    scheduled,
    search,
    threads,
    triggers,
    unreads,
    uploads,
    usergroups,
    users,
)
from slack_mcp.tools.tool import Tool

FIRST: Final = (
    "SLACK_SEND_MESSAGE",
    "SLACK_GET_CHANNEL_HISTORY",
    "SLACK_SEARCH_MESSAGES",
    "SLACK_GET_THREAD_REPLIES",
    "SLACK_REPLY_IN_THREAD",
)

_BY_NOUN: Final[tuple[Tool[Any, Any], ...]] = (
    *messages.TOOLS,
    *history.TOOLS,
    *search.TOOLS,
    *channels.TOOLS,
    *users.TOOLS,
    *direct_messages.TOOLS,
    *questions.TOOLS,
    *reactions.TOOLS,
    *unreads.TOOLS,
    *membership.TOOLS,
    *profiles.TOOLS,
    *uploads.TOOLS,
    *downloads.TOOLS,
    *files.TOOLS,
    *scheduled.TOOLS,
    *pins.TOOLS,
    *bookmarks.TOOLS,
    *channel_changes.TOOLS,
    *usergroups.TOOLS,
    *canvases.TOOLS,
    *lists.TOOLS,
    *list_items.TOOLS,
    *list_item_changes.TOOLS,
    *emoji.TOOLS,
    *blocks.TOOLS,
    *threads.TOOLS,
    *bot.TOOLS,
    *cache.TOOLS,
    *configuration.TOOLS,
    *triggers.TOOLS,
)

TOOLS: Final[tuple[Tool[Any, Any], ...]] = (
    *sorted((tool for tool in _BY_NOUN if tool.name in FIRST), key=lambda tool: FIRST.index(tool.name)),
    *(tool for tool in _BY_NOUN if tool.name not in FIRST),
)
