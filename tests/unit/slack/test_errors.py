from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.errors import (
    MissingScopeError,
    RateLimitedError,
    SlackApiError,
    SlackRefusedError,
    SlackUnavailableError,
    TokenRevokedError,
)
from slack_mcp.slack.errors import DEFAULT_RETRY_AFTER_S, MAX_RETRY_AFTER_S, translate_answer, translate_failure


def translate(error: object, *, status: int = 200, **fields: Any) -> SlackApiError:
    return translate_answer("chat.update", status=status, headers={}, body={"ok": False, "error": error} | fields)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *((code, TokenRevokedError) for code in ("invalid_auth", "not_authed", "token_revoked", "token_expired")),
        ("account_inactive", TokenRevokedError),
        *((code, SlackUnavailableError) for code in ("internal_error", "fatal_error", "service_unavailable")),
        *((code, SlackUnavailableError) for code in ("request_timeout", "team_added_to_org", "org_login_required")),
        ("external_channel_migrating", SlackUnavailableError),
        *((code, RateLimitedError) for code in ("ratelimited", "rate_limited")),
        *((code, SlackRefusedError) for code in ("channel_not_found", "is_archived", "msg_too_long", "new_code")),
    ],
)
def test_each_code_has_its_class(code: str, expected: type[SlackApiError]) -> None:
    error = translate(code)
    assert type(error) is expected
    assert error.method == "chat.update"
    assert "chat.update" in str(error)


def test_a_missing_scope_is_named() -> None:
    error = translate("missing_scope", needed="channels:history,groups:history", provided="chat:write")
    assert isinstance(error, MissingScopeError)
    assert error.needed == "channels:history,groups:history"
    for needed in (None, 1, "<script>", "x" * 500):
        assert "unknown" in str(translate("missing_scope", needed=needed))


@pytest.mark.parametrize(
    ("headers", "retry_after_s"),
    [
        ({"Retry-After": "7"}, 7),
        ({"retry-after": "0"}, 1),
        ({"Retry-After": "99999999"}, MAX_RETRY_AFTER_S),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, DEFAULT_RETRY_AFTER_S),
        ({"Retry-After": "-3"}, DEFAULT_RETRY_AFTER_S),
        ({"Retry-After": "٣"}, DEFAULT_RETRY_AFTER_S),
        ({}, DEFAULT_RETRY_AFTER_S),
    ],
)
@pytest.mark.parametrize("body", [{"ok": False, "error": "ratelimited"}, "slow down", None, [], b""])
def test_a_rate_limit_says_how_long_to_wait(headers: dict[str, str], retry_after_s: float, body: object) -> None:
    error = translate_answer("chat.update", status=429, headers=headers, body=body)
    assert isinstance(error, RateLimitedError)
    assert error.retry_after_s == retry_after_s


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize("body", ["upstream trouble", None, {"ok": False, "error": "channel_not_found"}])
def test_a_server_error_is_unavailability(status: int, body: object) -> None:
    error = translate_answer("chat.update", status=status, headers={}, body=body)
    assert isinstance(error, SlackUnavailableError)
    assert error.slack_error == f"http_{status}"


@pytest.mark.parametrize("body", [None, "<html>", b"\0", [], {}, {"ok": False}, {"error": 5}, {"error": "two words"}])
def test_what_slack_would_not_answer_is_unavailability(body: object) -> None:
    error = translate_answer("chat.update", status=200, headers={}, body=body)
    assert isinstance(error, SlackUnavailableError)
    assert error.slack_error == "unreadable_answer"


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        (TimeoutError("xoxb-canary"), "timeout"),
        (aiohttp.ServerTimeoutError("xoxb-canary"), "timeout"),
        (ConnectionRefusedError("xoxb-canary"), "connection_failed"),
        (aiohttp.ServerDisconnectedError("xoxb-canary"), "connection_failed"),
        (aiohttp.ClientPayloadError("xoxb-canary"), "connection_failed"),
        (ValueError("xoxb-canary"), "unreadable_answer"),
        (AttributeError("xoxb-canary"), "unreadable_answer"),
    ],
)
def test_a_failed_call_is_unavailability_and_keeps_no_message(failure: Exception, word: str) -> None:
    error = translate_failure("chat.update", failure)
    assert isinstance(error, SlackUnavailableError)
    assert error.slack_error == word
    assert "canary" not in str(error)


@given(st.text(min_size=1), st.text())
def test_messages_hold_nothing_but_plain_words_of_an_answer(code: str, needed: str) -> None:
    for error in (translate(f"canary {code}"), translate("missing_scope", needed=f"canary\n{needed}")):
        assert "canary" not in str(error)


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({}, ()),
        ({"errors": [{"pointer": "/0/text", "message": "too\n long", "code": "x"}]}, ("/0/text: too long",)),
        ({"errors": ["bad"], "response_metadata": {"messages": ["[ERROR] bad [json-pointer:/0]"]}},
         ("[ERROR] bad [json-pointer:/0]",)),
        ({"errors": ["bad", 5, None]}, ("bad",)),
        ({"errors": "bad", "response_metadata": {"messages": "odd"}}, ()),
        ({"errors": ["x" * 1_000] * 50}, ("x" * 300,) * 20),
    ],
)  # fmt: skip
def test_what_slack_says_of_the_arguments_is_kept_for_the_caller_alone(
    body: dict[str, Any], details: tuple[str, ...]
) -> None:
    error = translate_answer("chat.postMessage", status=200, headers={}, body={"error": "invalid_blocks"} | body)
    assert isinstance(error, SlackRefusedError)
    assert error.details == details
    assert str(error) == "Slack answered invalid_blocks to chat.postMessage."


def test_what_slack_says_of_a_canvas_is_for_the_caller_alone() -> None:
    error = translate("canvas_editing_failed", detail="'content' error:\n line 28: Unsupported block type")
    assert isinstance(error, SlackRefusedError)
    assert error.details == ("'content' error: line 28: Unsupported block type",)
    assert "line 28" not in str(error)
    assert translate("canvas_editing_failed", detail={"a": 1}).details == ()  # type: ignore[attr-defined]
