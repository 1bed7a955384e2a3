"""The agent that needs nothing: for the demo, for tests, and for trying a new Slack app."""

from collections.abc import AsyncIterator

from slack_mcp.core.model import Connection
from slack_mcp.ports.agent import AgentEvent, AgentRequest, AgentText


class EchoAgent:
    """Answers every question with the question itself, unchanged; implements `ports.agent.Agent`."""

    async def stream_answer(
        self,
        connection: Connection,  # noqa: ARG002
        request: AgentRequest,
    ) -> AsyncIterator[AgentEvent]:
        """Yield the question."""
        yield AgentText(text=request.question)

    async def complete(self, connection: Connection, *, task_id: str, instructions: str, text: str) -> str:  # noqa: ARG002
        """Return nothing: there is no model that could make something of the text."""
        return ""

    async def cancel(self, connection: Connection, request: AgentRequest) -> None:
        """Do nothing: there is never anything going on."""
