"""The bytes of files: sent to Slack, and fetched from where Slack keeps them.

Source: https://docs.slack.dev/messaging/working-with-files.
"""

from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp
import anyio

from slack_mcp.core.errors import InvalidInputError, SlackApiError, SlackRefusedError, SlackUnavailableError
from slack_mcp.core.secret import Secret
from slack_mcp.ports.slack import SlackFile
from slack_mcp.slack.errors import translate_answer, translate_failure

# Where Slack keeps files. The token goes to these hosts and to no other, redirects included.
FILE_HOSTS: Final = ("slack.com", "slack-edge.com", "slack-files.com")
MAX_REDIRECTS: Final = 3
DOWNLOAD: Final = "files.download"
UPLOAD: Final = "files.upload"
_CHUNK_BYTES: Final = 65_536
_OK: Final = 200
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class SlackFiles:
    """Moves the bytes of one token's files.

    Args:
        session: the sockets.
        base_url: Slack's Web API; files on its own host are taken as Slack's too.
        token: what a download carries.
        call_timeout_s: the longest time for one file.
    """

    def __init__(self, *, session: aiohttp.ClientSession, base_url: str, token: Secret, call_timeout_s: float) -> None:
        self._session = session
        self._api = urlsplit(base_url)
        self._token = token
        self._call_timeout_s = call_timeout_s

    async def upload(self, upload_url: str, content: bytes) -> None:
        """Send the bytes to the address that files.getUploadURLExternal gave; it carries no token.

        Raises:
            SlackApiError: it was not taken.
        """
        self._check(upload_url)
        failure: SlackApiError | None = None
        try:
            with anyio.fail_after(self._call_timeout_s, shield=True):
                async with self._session.post(upload_url, data=content, allow_redirects=False) as answer:
                    if answer.status != _OK:
                        failure = translate_answer(UPLOAD, status=answer.status, headers=answer.headers, body=None)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = translate_failure(UPLOAD, error)
        if failure is not None:
            raise failure

    async def download(self, url: str, *, max_bytes: int) -> SlackFile:
        """Return the file.

        Raises:
            InvalidInputError: the address is none of Slack's files, or the file is larger than `max_bytes`.
            SlackApiError: Slack did not give it.
        """
        failure: SlackApiError | None = None
        try:
            with anyio.fail_after(self._call_timeout_s):
                return await self._follow(url, max_bytes)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = translate_failure(DOWNLOAD, error)
        raise failure

    async def _follow(self, url: str, max_bytes: int) -> SlackFile:
        for _ in range(MAX_REDIRECTS + 1):
            self._check(url)
            async with self._session.get(
                url, headers={"Authorization": f"Bearer {self._token.reveal()}"}, allow_redirects=False
            ) as answer:
                if answer.status in _REDIRECTS:
                    url = urljoin(url, answer.headers.get("Location", ""))
                    continue
                if answer.status != _OK:
                    raise translate_answer(DOWNLOAD, status=answer.status, headers=answer.headers, body=None)
                return await _read_file(answer, max_bytes)
        raise SlackUnavailableError(DOWNLOAD, "too_many_redirects")

    def _check(self, url: str) -> None:
        """Raise for an address that the token must not be sent to."""
        parts = urlsplit(url)
        if (parts.scheme, parts.netloc) == (self._api.scheme, self._api.netloc):
            return
        host = parts.hostname or ""
        if parts.scheme != "https" or not any(host == each or host.endswith(f".{each}") for each in FILE_HOSTS):
            raise InvalidInputError(
                "The file is not kept by Slack itself: only files on Slack's own hosts are fetched."
            )


async def _read_file(answer: aiohttp.ClientResponse, max_bytes: int) -> SlackFile:
    chunks, size = [], 0
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        size += len(chunk)
        if size > max_bytes:
            raise InvalidInputError(f"The file is larger than {max_bytes} bytes.")
        chunks.append(chunk)
    content = b"".join(chunks)
    # Without the scope, or for a file of somebody else's, Slack answers 200 with the page that asks to sign in.
    if (answer.content_type == "text/html" and b"data-signin" in content) or answer.url.path.startswith("/signin"):
        raise SlackRefusedError(DOWNLOAD, "file_not_readable")
    return SlackFile(content=content, mimetype=answer.content_type)
