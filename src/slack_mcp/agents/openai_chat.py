"""The chat behind `agents.openai`; imports the SDK, so it is imported only where the extra is installed."""

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import aclosing, contextmanager
from typing import Final

import anyio
import openai
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionAssistantMessageParam,
    ChatCompletionChunk,
    ChatCompletionContentPartImageParam,
    ChatCompletionContentPartTextParam,
    ChatCompletionMessageParam,
    ChatCompletionSystemMessageParam,
    ChatCompletionUserMessageParam,
)
from openai.types.chat.chat_completion_chunk import Choice

from slack_mcp.agents.waiting import next_in_time
from slack_mcp.core.errors import (
    AgentNotConfiguredError,
    AgentRateLimitedError,
    AgentRefusedError,
    AgentStreamBrokenError,
    AgentTimeoutError,
    AgentUnavailableError,
)
from slack_mcp.core.model import Connection
from slack_mcp.ports.agent import AgentEvent, AgentImage, AgentRequest, AgentText
from slack_mcp.protocol.retry_after import parse_retry_after

_TIMED_OUT: Final = 408
_CONFLICT: Final = 409
_SERVER_ERROR: Final = 500


class OpenAiAgent:
    """Asks a model with the thread's history; implements `ports.agent.Agent`. Made by `build_openai_agent`.

    One key serves all tenants: it is the server's, and nothing of a connection goes along but what is asked for it.
    """

    def __init__(
        self, *, client: openai.AsyncOpenAI, default_model: str | None, idle_timeout_s: float, max_answer_chars: int
    ) -> None:
        self._client = client
        self._default_model = default_model
        self._idle_timeout_s = idle_timeout_s
        self._max_answer_chars = max_answer_chars

    async def stream_answer(self, connection: Connection, request: AgentRequest) -> AsyncIterator[AgentEvent]:
        """Yield the answer as the model writes it.

        Raises:
            AgentError: one of its classes; AgentStreamBrokenError also when the model stopped without saying why.
        """
        model = self._choose_model(connection)
        with _as_agent_errors():
            with anyio.fail_after(self._idle_timeout_s):
                stream = await self._client.chat.completions.create(
                    model=model, messages=render_messages(request), stream=True
                )
            async with stream, aclosing(self._read(stream)) as pieces:
                async for piece in pieces:
                    yield AgentText(text=piece)

    async def complete(self, connection: Connection, *, task_id: str, instructions: str, text: str) -> str:  # noqa: ARG002
        """Return what the model makes of a text; raises AgentError."""
        messages: list[ChatCompletionMessageParam] = [
            ChatCompletionSystemMessageParam(role="system", content=_clean(instructions)),
            ChatCompletionUserMessageParam(role="user", content=_clean(text)),
        ]
        model = self._choose_model(connection)
        with _as_agent_errors(), anyio.fail_after(self._idle_timeout_s):
            answer: object = await self._client.chat.completions.create(model=model, messages=messages)
        made = _parse_completion(answer)
        if len(made) > self._max_answer_chars:
            raise AgentStreamBrokenError(f"The model's answer is longer than {self._max_answer_chars} characters.")
        return made

    async def cancel(self, connection: Connection, request: AgentRequest) -> None:
        """Do nothing: a model stops when nobody listens any more."""

    def _choose_model(self, connection: Connection) -> str:
        model = connection.model_id or self._default_model
        if not model:
            raise AgentNotConfiguredError("No model is chosen: name one in the connection's settings, or OPENAI_MODEL.")
        return model

    async def _read(self, chunks: AsyncIterator[ChatCompletionChunk]) -> AsyncGenerator[str, None]:
        chars, is_finished = 0, False
        while (chunk := await self._next(chunks)) is not None:
            piece, finish_reason = _parse_chunk(chunk)
            chars += len(piece)
            if chars > self._max_answer_chars:
                raise AgentStreamBrokenError(f"The model's answer is longer than {self._max_answer_chars} characters.")
            if piece:
                yield piece
            if finish_reason == "content_filter":
                raise AgentRefusedError("The model's server withheld the answer: its content filter stopped it.")
            is_finished = is_finished or finish_reason is not None
        if not is_finished:
            raise AgentStreamBrokenError("The model's answer stopped before its end.")

    async def _next(self, chunks: AsyncIterator[ChatCompletionChunk]) -> ChatCompletionChunk | None:
        try:
            return await next_in_time(chunks, self._idle_timeout_s)
        except openai.APIConnectionError as error:
            # The server was reached, unlike where the request itself fails so.
            raise AgentStreamBrokenError("The connection to the model's server broke off.") from error


def render_messages(request: AgentRequest) -> list[ChatCompletionMessageParam]:
    """Return the instructions, the history and the question as the API wants them."""
    messages: list[ChatCompletionMessageParam] = []
    if request.instructions:
        messages.append(ChatCompletionSystemMessageParam(role="system", content=_clean(request.instructions)))
    for said in request.history:
        if said.role == "assistant":
            messages.append(ChatCompletionAssistantMessageParam(role="assistant", content=_clean(said.text)))
        else:
            messages.append(ChatCompletionUserMessageParam(role="user", content=_clean(said.text)))
    messages.append(_render_question(_clean(request.question), request.images))
    return messages


def _render_question(question: str, images: Sequence[AgentImage]) -> ChatCompletionUserMessageParam:
    """Return the question; a plain text where nothing comes with it, for servers that know nothing else."""
    if not images:
        return ChatCompletionUserMessageParam(role="user", content=question)
    pictures: list[ChatCompletionContentPartImageParam] = [
        {
            "type": "image_url",
            "image_url": {"url": f"data:{image.mimetype};base64,{base64.b64encode(image.content).decode('ascii')}"},
        }
        for image in images
    ]
    words: ChatCompletionContentPartTextParam = {"type": "text", "text": question}
    return ChatCompletionUserMessageParam(role="user", content=[words, *pictures])


def _clean(text: str) -> str:
    """Return the text without lone surrogates, which JSON lets Slack send and UTF-8 does not let us send on."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _parse_chunk(chunk: object) -> tuple[str, str | None]:
    """Return (text, why it ended or None). The SDK does not check what it was sent, so it is checked here."""
    choices = chunk.choices if isinstance(chunk, ChatCompletionChunk) else None
    if not isinstance(choices, list):
        raise AgentStreamBrokenError("The model's server sent something that is no chat completion.")
    # The last chunk may only count tokens and hold no choice.
    choice: object = choices[0] if choices else None
    if not isinstance(choice, Choice):
        return "", None
    content: object = getattr(choice.delta, "content", None)
    return content if isinstance(content, str) else "", choice.finish_reason


def _parse_completion(answer: object) -> str:
    """Return the text of a whole answer; raises AgentStreamBrokenError for what is none."""
    choices = answer.choices if isinstance(answer, ChatCompletion) else None
    choice: object = choices[0] if isinstance(choices, list) and choices else None
    content = getattr(getattr(choice, "message", None), "content", None)
    if not isinstance(content, str):
        raise AgentStreamBrokenError("The model's server sent something that is no chat completion.")
    return content


@contextmanager
def _as_agent_errors() -> Generator[None, None, None]:
    """Turn the SDK's errors into ours. Their own words are left out: they may quote the question."""
    try:
        yield
    except TimeoutError as error:
        raise AgentTimeoutError("The model's server did not answer in time.") from error
    except openai.RateLimitError as error:
        if error.code == "insufficient_quota":
            raise AgentRefusedError("The model's server refused: its account has no quota left.") from error
        raise AgentRateLimitedError(parse_retry_after(error.response.headers.get("retry-after"))) from error
    except openai.APIStatusError as error:
        message = f"The model's server answered with HTTP {error.status_code}."
        if error.status_code >= _SERVER_ERROR or error.status_code in {_TIMED_OUT, _CONFLICT}:
            raise AgentUnavailableError(message) from error
        raise AgentRefusedError(f"{message} Check the model, OPENAI_API_KEY and OPENAI_BASE_URL.") from error
    except openai.APIConnectionError as error:
        raise AgentUnavailableError("The model's server cannot be reached.") from error
    except (openai.APIError, ValueError) as error:
        raise AgentStreamBrokenError("The model's server sent an error, or garbage, in its stream.") from error
