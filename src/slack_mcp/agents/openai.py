"""An agent that is a model behind an OpenAI-compatible API. Needs the extra `openai`.

Source: https://platform.openai.com/docs/api-reference/chat.
"""

from typing import TYPE_CHECKING, Final

import httpx2

from slack_mcp.agents.waiting import IDLE_TIMEOUT_S
from slack_mcp.core.errors import AgentNotConfiguredError
from slack_mcp.core.secret import Secret
from slack_mcp.protocol.agent_stream import MAX_ANSWER_CHARS

if TYPE_CHECKING:
    from slack_mcp.agents.openai_chat import OpenAiAgent

BASE_URL: Final = "https://api.openai.com/v1"
_NO_KEY: Final = "none"


def build_openai_agent(
    *,
    http: httpx2.AsyncClient,
    api_key: Secret | None,
    base_url: str | None = None,
    default_model: str | None = None,
    idle_timeout_s: float = IDLE_TIMEOUT_S,
    max_answer_chars: int = MAX_ANSWER_CHARS,
) -> "OpenAiAgent":
    """Return the agent, which keeps no connection of its own open.

    Args:
        http: the sockets; whoever made them closes them.
        api_key: None for a server that asks for none.
        base_url: the API's, None for OpenAI's own.
        default_model: the model for connections that name none.
        idle_timeout_s: seconds that the model may be silent.
        max_answer_chars: the longest answer that is accepted, in characters.

    Raises:
        AgentNotConfiguredError: the extra is not installed.
    """
    try:
        from openai import AsyncOpenAI  # noqa: PLC0415  an optional extra

        from slack_mcp.agents.openai_chat import OpenAiAgent  # noqa: PLC0415  the same
    except ImportError as error:
        raise AgentNotConfiguredError("The openai agent is not installed: install slack-mcp[openai].") from error
    client = AsyncOpenAI(
        api_key=api_key.reveal() if api_key else _NO_KEY,
        base_url=base_url or BASE_URL,
        http_client=http,
        max_retries=0,  # the dispatcher retries, and knows of rate limits
        timeout=None,  # the agent bounds each wait itself
    )
    # The SDK takes them from the environment, which is the settings' alone.
    client.organization = client.project = None
    return OpenAiAgent(
        client=client,
        default_model=default_model,
        idle_timeout_s=idle_timeout_s,
        max_answer_chars=max_answer_chars,
    )
