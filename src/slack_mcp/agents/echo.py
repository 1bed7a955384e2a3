"""The agent that needs nothing: for the demo, for tests, and for trying a new Slack app."""

from collections.abc import AsyncIterator

from slack_mcp.core.model import Connection
from slack_mcp.ports.agent import AgentRequest


class EchoAgent:
    """Answers every question with the question itself, unchanged; implements `ports.agent.Agent`."""

    async def stream_answer(self, connection: Connection, request: AgentRequest) -> AsyncIterator[str]:  # noqa: ARG002
        """Yield the question."""
        yield request.question
