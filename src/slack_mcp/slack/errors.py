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
MAX_DETAILS: Final = 20
MAX_DETAIL_CHARS: Final = 300

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
    return _translate_code(method, code, _read_details(fields))


def render_unreadable(method: str) -> SlackUnavailableError:
    """Return the error for an answer that is not what the Web API promises, such as a proxy's page."""
    return SlackUnavailableError(method, "unreadable_answer", f"The answer to {method} is not one of Slack's.")


def _translate_code(method: str, code: str, details: tuple[str, ...]) -> SlackApiError:
    if code in TOKEN_CODES:
        return TokenRevokedError(method, code, f"Slack answered {code} to {method}: replace the bot token.")
    if code in TRANSIENT_CODES:
        return SlackUnavailableError(method, code)
    return SlackRefusedError(method, code, details=details)


def _read_details(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what Slack says is wrong with the arguments.

    Sources: https://docs.slack.dev/reference/methods/blocks.validate (`errors`, with JSON pointers) and
    https://docs.slack.dev/reference/methods/chat.postMessage (`response_metadata.messages`).
    """
    metadata = fields.get("response_metadata")
    listed = (metadata.get("messages") if isinstance(metadata, dict) else None) or fields.get("errors")
    details = []
    for each in listed if isinstance(listed, list) else ():
        text = _render_detail(each) if isinstance(each, dict) else each
        if isinstance(text, str):
            details.append(" ".join(text.split())[:MAX_DETAIL_CHARS])
    # https://docs.slack.dev/reference/methods/canvases.edit: what is wrong with the Markdown, and in which line.
    detail = fields.get("detail")
    if isinstance(detail, str):
        details.append(" ".join(detail.split())[:MAX_DETAIL_CHARS])
    return tuple(details[:MAX_DETAILS])


def _render_detail(fields: Mapping[str, Any]) -> str:
    """Return where and what; conversations.invite says it of each user."""
    return f"{fields.get('pointer') or fields.get('user')}: {fields.get('message') or fields.get('error')}"


def _read_retry_after_s(headers: Mapping[str, str]) -> float:
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    return parse_retry_after(value, default_s=DEFAULT_RETRY_AFTER_S, max_s=MAX_RETRY_AFTER_S)


def _read(value: Any, shape: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and shape.fullmatch(value) else None
