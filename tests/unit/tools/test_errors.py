from collections.abc import Iterator
from typing import Any

import pytest

from slack_mcp.core import errors
from slack_mcp.core.errors import SlackMcpError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.tools.errors import TABLE, render_crash, render_error, render_timeout

CANARY = "xoxb-canary-token"
ARGUMENTS: dict[type[SlackMcpError], tuple[Any, ...]] = {
    errors.ConnectionNotFoundError: (ConnectionId(CANARY),),
    errors.SignatureMissingError: (),
    errors.SignatureMismatchError: (),
    errors.TimestampSkewError: (400.0,),
    errors.BodyTooLargeError: (10,),
    errors.RateLimitedError: ("chat.postMessage", 30.0),
    errors.TokenRevokedError: ("auth.test", "invalid_auth", CANARY),
    errors.MissingScopeError: ("chat.postMessage", "chat:write"),
    errors.UserTokenMissingError: ("search:read",),
    errors.SlackRefusedError: ("chat.postMessage", "some_new_word", CANARY),
    errors.SlackUnavailableError: ("chat.postMessage", "timeout", CANARY),
    errors.AgentRateLimitedError: (20.0,),
    errors.TriggerRateLimitedError: (20.0,),
    errors.MigrationFailedError: (CANARY, CANARY),
    errors.SettingsError: ([CANARY],),
}
# Their messages are written for whoever made the request, and never hold a secret.
WRITTEN_FOR_THE_CALLER = {
    errors.InvalidInputError,
    errors.UnauthenticatedError,
    errors.ForbiddenError,
    errors.ApprovalPendingError,
    errors.ConflictError,
    errors.AgentNotConfiguredError,
}


def walk_leaves(cls: type[SlackMcpError]) -> Iterator[type[SlackMcpError]]:
    children = [child for child in cls.__subclasses__() if child.__module__ == errors.__name__]
    if not children:
        yield cls
    for child in children:
        yield from walk_leaves(child)


LEAVES = sorted(walk_leaves(SlackMcpError), key=lambda cls: cls.__name__)


def make_error(cls: type[SlackMcpError]) -> SlackMcpError:
    if cls in WRITTEN_FOR_THE_CALLER:
        return cls("This is wrong.")
    return cls(*ARGUMENTS.get(cls, (CANARY,)))


@pytest.mark.parametrize("cls", LEAVES, ids=lambda cls: cls.__name__)
def test_every_error_has_a_row_that_says_what_to_do_and_holds_no_token(cls: type[SlackMcpError]) -> None:
    assert cls in TABLE
    text = render_error(make_error(cls))
    assert CANARY not in text
    assert TABLE[cls].advice in text
    assert "{" not in text


def test_no_row_stands_for_a_class_that_is_not_raised() -> None:
    assert set(TABLE) == set(LEAVES)


def test_an_error_keeps_its_own_message_where_that_was_written_for_the_caller() -> None:
    assert render_error(errors.InvalidInputError("The channel is missing.")).startswith("The channel is missing. ")
    assert "30 s" in render_error(errors.RateLimitedError("chat.postMessage", 30.0))
    assert "chat:write" in render_error(errors.MissingScopeError("chat.postMessage", "chat:write"))


def test_slacks_own_word_is_told() -> None:
    text = render_error(errors.SlackRefusedError("chat.postMessage", "channel_not_found"))
    assert text.startswith("Slack answered channel_not_found to chat.postMessage.")


def test_a_class_that_is_no_leaf_is_told_by_its_code_alone() -> None:
    text = render_error(errors.StoreError(CANARY))
    assert "store_error" in text
    assert CANARY not in text


def test_what_nobody_foresaw_is_told_by_reference() -> None:
    assert "abcd1234" in render_crash("abcd1234")
    assert "120 s" in render_timeout(120.0)
