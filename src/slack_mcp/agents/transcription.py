"""Recordings written down by a model behind an OpenAI-compatible API.

Source: https://platform.openai.com/docs/api-reference/audio/createTranscription.
"""

import json
from types import MappingProxyType
from typing import Final

import anyio
import httpx2

from slack_mcp.core.errors import (
    AgentRateLimitedError,
    AgentRefusedError,
    AgentStreamBrokenError,
    AgentTimeoutError,
    AgentUnavailableError,
)
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.ports.attachments import Audio
from slack_mcp.protocol.retry_after import parse_retry_after

BASE_URL: Final = "https://api.openai.com/v1"
TIMEOUT_S: Final = 120.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
DEFAULT_RETRY_AFTER_S: Final = 30.0
MAX_RETRY_AFTER_S: Final = 3600.0
# The servers tell the format by the ending of the name.
_ENDINGS: Final = MappingProxyType(
    {
        "audio/mpeg": "mp3",
        "audio/aac": "aac",
        "audio/ogg": "ogg",
        "audio/flac": "flac",
        "audio/webm": "webm",
        "audio/wav": "wav",
        "audio/mp4": "m4a",
        "video/mp4": "mp4",
    }
)
_OK: Final = 200
_TOO_MANY: Final = 429
_REFUSALS: Final = range(400, 500)


class OpenAiTranscriber:
    """`ports.attachments.Transcriber`.

    Args:
        http: the sockets; whoever made them closes them.
        model: such as `whisper-1`.
        api_key: None for a server that asks for none.
        base_url: the API's, None for OpenAI's own.
        timeout_s: the longest time for one recording.
    """

    def __init__(
        self,
        *,
        http: httpx2.AsyncClient,
        model: str,
        api_key: Secret | None,
        base_url: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._http = http
        self._model = model
        self._api_key = api_key
        self._url = f"{(base_url or BASE_URL).rstrip('/')}/audio/transcriptions"
        self._timeout_s = timeout_s

    def serves(self, connection: Connection) -> bool:  # noqa: ARG002 - it is the service's, and there for all
        """Tell that it can be asked."""
        return True

    async def transcribe(self, connection: Connection, audio: Audio) -> str:  # noqa: ARG002 - the same
        """Return what is said; see the port.

        Raises:
            AgentError: one of its classes.
        """
        headers = {"Authorization": f"Bearer {self._api_key.reveal()}"} if self._api_key else {}
        # The file's own name may say anything, and is nobody's business there.
        name = f"recording.{_ENDINGS.get(audio.mimetype, 'bin')}"
        try:
            with anyio.fail_after(self._timeout_s):
                async with self._http.stream(
                    "POST",
                    self._url,
                    headers=headers,
                    data={"model": self._model, "response_format": "json"},
                    files={"file": (name, audio.content, audio.mimetype)},
                    timeout=None,
                    follow_redirects=False,
                ) as answer:
                    _check(answer)
                    return _parse(await _read(answer))
        except TimeoutError as error:
            raise AgentTimeoutError(f"The recording was not written down within {self._timeout_s:g} s.") from error
        except (httpx2.LocalProtocolError, UnicodeEncodeError):
            # The cause quotes the header, and with it the key.
            raise AgentRefusedError("The transcription server cannot be asked: the key for it is malformed.") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise AgentUnavailableError("The transcription server cannot be reached, or broke off.") from error


def _check(answer: httpx2.Response) -> None:
    status = answer.status_code
    if status == _OK:
        return
    if status == _TOO_MANY:
        raise AgentRateLimitedError(
            parse_retry_after(
                answer.headers.get("Retry-After"), default_s=DEFAULT_RETRY_AFTER_S, max_s=MAX_RETRY_AFTER_S
            )
        )
    if status in _REFUSALS:
        raise AgentRefusedError(f"The transcription server refused the recording with HTTP {status}.")
    raise AgentUnavailableError(f"The transcription server answered with HTTP {status}.")


async def _read(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise AgentStreamBrokenError("The transcription server answered with more than a transcript.")
    return bytes(body)


def _parse(body: bytes) -> str:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    text = fields.get("text") if isinstance(fields, dict) else None
    if not isinstance(text, str):
        raise AgentStreamBrokenError("The transcription server answered with something that is no transcript.")
    return text
