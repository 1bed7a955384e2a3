import pytest

from slack_mcp.core.errors import InvalidInputError, MissingScopeError, RateLimitedError, SlackRefusedError
from slack_mcp.tools.advice import RATE_LIMITS, REFUSALS, find_advice, is_refusal
from slack_mcp.tools.errors import render_error


@pytest.mark.parametrize("word", REFUSALS)
def test_each_word_has_one_sentence_that_ends_as_one(word: str) -> None:
    assert REFUSALS[word].endswith(".")
    text = render_error(SlackRefusedError("chat.postMessage", word))
    assert text == f"Slack answered {word} to chat.postMessage. {REFUSALS[word]}"


def test_a_word_that_nobody_knows_is_told_in_general() -> None:
    assert find_advice(SlackRefusedError("chat.postMessage", "new_word")) is None
    assert "The same call fails again" in render_error(SlackRefusedError("chat.postMessage", "new_word"))


def test_details_of_slack_stand_before_the_advice_and_in_no_message() -> None:
    error = SlackRefusedError("chat.postMessage", "invalid_blocks", details=("/0: too long.",))
    assert "too long" not in str(error)
    assert render_error(error) == (
        "Slack answered invalid_blocks to chat.postMessage. /0: too long. " + REFUSALS["invalid_blocks"]
    )
    assert find_advice(SlackRefusedError("m", "new_word", details=("/0: odd",))) == "/0: odd"


def test_only_the_limit_on_reading_messages_has_a_reason_of_its_own() -> None:
    for method in RATE_LIMITS:
        assert "once a minute" in render_error(RateLimitedError(method, 60.0))
    assert find_advice(RateLimitedError("chat.postMessage", 60.0)) is None
    assert find_advice(MissingScopeError("chat.postMessage", "chat:write")) is None
    assert find_advice(InvalidInputError("x")) is None


def test_a_refusal_is_known_by_its_word() -> None:
    error = SlackRefusedError("pins.add", "already_pinned")
    assert is_refusal(error, "no_pin", "already_pinned")
    assert not is_refusal(error, "no_pin")
    assert not is_refusal(RateLimitedError("pins.add", 1.0), "ratelimited")
