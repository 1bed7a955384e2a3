"""All tools, in the order of tools/list.

Mesh shows a model only the first few names of a connection, so what is used most stands first and the tools of the
protocol with Mesh stand last.
"""

from typing import Any, Final

from slack_mcp.tools import configuration
from slack_mcp.tools.tool import Tool

TOOLS: Final[tuple[Tool[Any, Any], ...]] = (*configuration.TOOLS,)
