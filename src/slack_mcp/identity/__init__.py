"""Who calls the MCP endpoint: Mesh tokens, API keys of ours and OAuth access tokens become one kind of principal."""
