"""The one place where what Slack or the network answered becomes an error of ours.

Source of the error codes: https://docs.slack.dev/reference/methods/chat.postMessage and its neighbours; of status 429:
https://docs.slack.dev/apis/web-api/rate-limits.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import slack_sdk.errors
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from slack_mcp.core.errors import (
    MissingScopeError,
    RateLimitedError,
    SlackApiError,
    SlackRefusedError,
    SlackUnavailableError,
    TokenRevokedError,
)
from slack_mcp.protocol.retry_after import parse_retry_after

DEFAULT_RETRY_AFTER_S: Final = 30.0
MAX_RETRY_AFTER_S: Final = 3600.0

RATE_LIMIT_CODES: Final = frozenset({"ratelimited", "rate_limited"})
TOKEN_CODES: Final = frozenset({"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"})
TRANSIENT_CODES: Final = frozenset(
    {
        "fatal_error",
        "internal_error",
        "request_timeout",
        "service_unavailable",
        "update_failed",
        "external_channel_migrating",
        # The workspace is being moved into an Enterprise organization; it works again when that is done.
        "org_login_required",
        "team_added_to_org",
    }
)

# Codes go into messages and logs, so anything that is not a plain word stays out of them.
_CODE: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,80}")
_SCOPES: Final = re.compile(r"[a-zA-Z0-9_.:, -]{1,400}")


def translate_failure(method: str, error: Exception) -> SlackApiError:
    """Return our error for an exception out of the SDK or the network; nothing of its message is kept.

    Args:
        method: the Web API method, such as `chat.postMessage`.
        error: what was raised in place of an answer with `ok: true`.
    """
    if isinstance(error, slack_sdk.errors.SlackApiError):
        answer = error.response
        if isinstance(answer, AsyncSlackResponse):
            return translate_answer(method, status=answer.status_code, headers=answer.headers, body=answer.data)
        # A body that calls itself JSON and is not: the SDK hands out aiohttp's own response.
        return translate_answer(method, status=answer.status, headers=answer.headers, body=None)
    if isinstance(error, TimeoutError):
        return SlackUnavailableError(method, "timeout", f"Slack did not answer {method} in time.")
    if isinstance(error, OSError | aiohttp.ClientError):
        return SlackUnavailableError(method, "connection_failed", f"The connection to Slack for {method} failed.")
    return render_unreadable(method)


def translate_answer(method: str, *, status: int, headers: Mapping[str, str], body: Any) -> SlackApiError:
    """Return our error for an answer that is not `ok: true`.

    Args:
        method: the Web API method.
        status: the HTTP status.
        headers: the answer's headers, whatever their case.
        body: the decoded JSON, or anything else when there was none.
    """
    fields = body if isinstance(body, dict) else {}
    code = _read(fields.get("error"), _CODE)
    if status == HTTPStatus.TOO_MANY_REQUESTS or code in RATE_LIMIT_CODES:
        return RateLimitedError(method, _read_retry_after_s(headers))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return SlackUnavailableError(method, f"http_{status}")
    if code is None:
        return render_unreadable(method)
    if code == "missing_scope":
        return MissingScopeError(method, _read(fields.get("needed"), _SCOPES) or "unknown")
    return _translate_code(method, code)


def render_unreadable(method: str) -> SlackUnavailableError:
    """Return the error for an answer that is not what the Web API promises, such as a proxy's page."""
    return SlackUnavailableError(method, "unreadable_answer", f"The answer to {method} is not one of Slack's.")


def _translate_code(method: str, code: str) -> SlackApiError:
    if code in TOKEN_CODES:
        return TokenRevokedError(method, code, f"Slack answered {code} to {method}: replace the bot token.")
    if code in TRANSIENT_CODES:
        return SlackUnavailableError(method, code)
    return SlackRefusedError(method, code)


def _read_retry_after_s(headers: Mapping[str, str]) -> float:
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    return parse_retry_after(value, default_s=DEFAULT_RETRY_AFTER_S, max_s=MAX_RETRY_AFTER_S)


def _read(value: Any, shape: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and shape.fullmatch(value) else None
