"""slack-mcp connects Slack workspaces to AI agents: webhook receiver, bot and MCP server for many tenants."""

__version__ = "0.1.0"
