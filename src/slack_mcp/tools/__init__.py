"""The MCP face: tools for MCP clients and for Mesh."""
