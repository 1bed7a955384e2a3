"""The bytes of files: sent to Slack, and fetched from where Slack keeps them.

Source: https://docs.slack.dev/messaging/working-with-files.
"""

import re
from io import BytesIO
from typing import Final
from urllib.parse import SplitResult, parse_qs, urljoin, urlsplit

import aiohttp
import anyio

from slack_mcp.core.errors import InvalidInputError, SlackApiError, SlackRefusedError, SlackUnavailableError
from slack_mcp.core.secret import Secret
from slack_mcp.ports.slack import SlackFile
from slack_mcp.slack.errors import translate_answer, translate_failure

# Where Slack keeps files. The token goes to these hosts and to no other, redirects included.
FILE_HOSTS: Final = ("slack.com", "slack-edge.com", "slack-files.com")
MAX_REDIRECTS: Final = 3
NOT_READABLE: Final = "file_not_readable"
DOWNLOAD: Final = "files.download"
UPLOAD: Final = "files.upload"
_CHUNK_BYTES: Final = 65_536
_OK: Final = 200
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HEAD_BYTES: Final = 65_536
# What tells the page on which a browser signs in to Slack from a page that somebody uploaded.
_SIGN_IN: Final = re.compile(
    rb"data-signin|id=.signin_form|<title>\s*(?:(?:sign|log) ?in\b[^<]*\bslack|slack)\s*(?:</title>|\|)", re.IGNORECASE
)


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

        Given up in the middle it leaves nothing behind: a file is there once files.completeUploadExternal was called.

        Raises:
            InvalidInputError: the address is none of Slack's.
            SlackApiError: it was not taken.
        """
        self._check(upload_url)
        failure: SlackApiError | None = None
        try:
            with anyio.fail_after(self._call_timeout_s):
                async with self._session.post(upload_url, data=BytesIO(content), allow_redirects=False) as answer:
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
                    if _is_sign_in(urlsplit(url)):
                        raise SlackRefusedError(DOWNLOAD, NOT_READABLE)
                    continue
                if answer.status != _OK:
                    raise translate_answer(DOWNLOAD, status=answer.status, headers=answer.headers, body=None)
                return await _read_file(answer, max_bytes)
        raise SlackUnavailableError(DOWNLOAD, "too_many_redirects")

    def _check(self, url: str) -> None:
        """Raise InvalidInputError for an address that the token must not be sent to."""
        try:
            parts = urlsplit(url)
        except ValueError:  # brackets that hold no address
            parts = urlsplit("")
        if (parts.scheme, parts.netloc) == (self._api.scheme, self._api.netloc):
            return
        host = parts.hostname or ""
        if parts.scheme != "https" or not any(host == each or host.endswith(f".{each}") for each in FILE_HOSTS):
            raise InvalidInputError(
                "The file is not kept by Slack itself: only files on Slack's own hosts are fetched."
            )


async def _read_file(answer: aiohttp.ClientResponse, max_bytes: int) -> SlackFile:
    if (answer.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    chunks, size = [], 0
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    content = b"".join(chunks)
    # Without the scope, or for a file that the bot cannot see, Slack answers 200 with the page that asks to sign in.
    is_html = answer.content_type == "text/html"
    if is_html and (_SIGN_IN.search(content[:_HEAD_BYTES]) or _is_sign_in(urlsplit(str(answer.url)))):
        raise SlackRefusedError(DOWNLOAD, NOT_READABLE)
    return SlackFile(content=content, mimetype=answer.content_type)


def _too_large(max_bytes: int) -> InvalidInputError:
    return InvalidInputError(f"The file is larger than {max_bytes} bytes.")


def _is_sign_in(parts: SplitResult) -> bool:
    """Tell whether an address is where Slack sends who may not read: `/signin`, or `/?redir=…` of the workspace."""
    return parts.path.startswith("/signin") or (parts.path in {"", "/"} and "redir" in parse_qs(parts.query))
