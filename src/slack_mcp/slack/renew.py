"""New tokens for a refresh token. Source: https://docs.slack.dev/authentication/using-token-rotation."""

import logging
from typing import Any, Final

import aiohttp
import anyio
from slack_sdk.errors import SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from slack_mcp.core.errors import SlackApiError, SlackRefusedError
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.ports.tokens import RenewedToken
from slack_mcp.slack.errors import render_unreadable, translate_failure

METHOD: Final = "oauth.v2.access"
INVALID_REFRESH_TOKEN: Final = "invalid_refresh_token"  # noqa: S105 - Slack's word


class SlackTokenApi:
    """`ports.tokens.TokenApi`.

    Args:
        session: the sockets.
        base_url: Slack's Web API, ends with `/`.
        call_timeout_s: the longest time for one call.
        client_id, client_secret: of the one app that serves connections which have none of their own.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        base_url: str,
        call_timeout_s: float,
        client_id: str | None = None,
        client_secret: Secret | None = None,
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._call_timeout_s = call_timeout_s
        self._client_id = client_id
        self._client_secret = client_secret
        self._sdk_log = logging.getLogger(f"{__name__}.sdk")
        self._sdk_log.setLevel(logging.INFO)  # at debug the SDK logs whole requests and answers

    async def renew(self, connection: Connection) -> RenewedToken | None:
        """Return new tokens, None when Slack does not know the refresh token any more."""
        client_id = connection.client_id or self._client_id
        client_secret = connection.client_secret or self._client_secret
        if connection.refresh_token is None or client_id is None or client_secret is None:
            raise SlackRefusedError(
                METHOD,
                "client_credentials_missing",
                "The bot token expires, and the app's client id or client secret is not known: set SLACK_CLIENT_ID and "
                "SLACK_CLIENT_SECRET, or save them with the connection.",
            )
        client = AsyncWebClient(base_url=self._base_url, session=self._session, logger=self._sdk_log, retry_handlers=[])
        client.proxy = None  # the SDK takes one from the environment, which only the settings may read
        failure: SlackApiError | None = None
        try:
            # An answer that nobody waits for is a token that is lost.
            with anyio.fail_after(self._call_timeout_s, shield=True):
                answer = await client.api_call(
                    METHOD,
                    data={
                        "client_id": client_id,
                        "client_secret": client_secret.reveal(),
                        "grant_type": "refresh_token",
                        "refresh_token": connection.refresh_token.reveal(),
                    },
                )
        except (SlackClientError, aiohttp.ClientError, OSError, ValueError, RecursionError, AttributeError) as error:
            failure = translate_failure(METHOD, error)
        # Raised out here, so that the SDK's error, which holds the tokens, is not kept as its context.
        if failure is not None:
            if failure.slack_error == INVALID_REFRESH_TOKEN:
                return None
            raise failure
        return _read(answer.data)


def _read(answer: Any) -> RenewedToken:
    """Return the tokens of an answer; raises SlackUnavailableError for one without."""
    fields = answer if isinstance(answer, dict) else {}
    token, refresh_token, expires_in = (fields.get(name) for name in ("access_token", "refresh_token", "expires_in"))
    if (
        isinstance(token, str)
        and isinstance(refresh_token, str)
        and isinstance(expires_in, int | float)
        and fields.get("token_type") == "bot"
    ):
        return RenewedToken(
            bot_token=Secret(token), refresh_token=Secret(refresh_token), expires_in_s=float(expires_in)
        )
    raise render_unreadable(METHOD)
