"""Posting to the addresses that Slack gives for answers to a command or a click.

Source: https://docs.slack.dev/interactivity/handling-user-interaction#message_responses.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import anyio

from slack_mcp.core.errors import SlackApiError, SlackRefusedError
from slack_mcp.core.model import Connection
from slack_mcp.slack.errors import translate_answer, translate_failure

# Whoever holds a connection's signing secret can sign a payload that names any address: only Slack's own are called.
HOSTS: Final = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})
METHOD: Final = "response_url"
CALL_TIMEOUT_S: Final = 5.0
MAX_SOCKETS: Final = 20
_MAX_ANSWER_BYTES: Final = 4_096
_OK: Final = 200
_CLIENT_ERRORS: Final = range(400, 500)
_TOO_MANY_REQUESTS: Final = 429


class SlackResponseUrls:
    """`ports.interactions.ResponseUrls`.

    Args:
        session: the sockets.
        base_url: Slack's Web API; addresses on its own host are taken as Slack's too.
        call_timeout_s: the longest time for one post.
    """

    def __init__(
        self, *, session: aiohttp.ClientSession, base_url: str, call_timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        self._session = session
        self._api = urlsplit(base_url)
        self._call_timeout_s = call_timeout_s

    async def post(self, _connection: Connection, url: str, body: Mapping[str, Any]) -> None:
        """Post one answer; raises SlackApiError."""
        if not self._is_slacks(url):
            raise SlackRefusedError(METHOD, "foreign_address", "The response_url is none of Slack's.")
        failure: SlackApiError | None = None
        try:
            with anyio.fail_after(self._call_timeout_s, shield=True):
                async with self._session.post(url, json=dict(body), allow_redirects=False) as answer:
                    if answer.status != _OK:
                        failure = await _translate(answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = translate_failure(METHOD, error)
        # Raised out here, so that the network's error, which holds the address, is not kept as its context.
        if failure is not None:
            raise failure

    def _is_slacks(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            return False
        if parts.username is not None or parts.password is not None:
            return False
        if (parts.scheme, parts.netloc) == (self._api.scheme, self._api.netloc):
            return True
        return parts.scheme == "https" and host in HOSTS and port in {None, 443}


async def _translate(answer: aiohttp.ClientResponse) -> SlackApiError:
    """Return our error: an address that was used up or has expired answers with a 4xx."""
    await answer.content.read(_MAX_ANSWER_BYTES)
    if answer.status in _CLIENT_ERRORS and answer.status != _TOO_MANY_REQUESTS:
        return SlackRefusedError(METHOD, f"http_{answer.status}")
    return translate_answer(METHOD, status=answer.status, headers=answer.headers, body=None)


@asynccontextmanager
async def open_response_urls(*, base_url: str) -> AsyncIterator[SlackResponseUrls]:
    """Yield the way to these addresses, and close its sockets at the end.

    Args:
        base_url: Slack's Web API, ends with `/`.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MAX_SOCKETS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),  # every post has a deadline of its own
        trust_env=False,
    ) as session:
        yield SlackResponseUrls(session=session, base_url=base_url)
