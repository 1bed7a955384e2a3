import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.protocol.mrkdwn import clean, escape, is_mentioned, remove_mention, unescape


@given(st.text(alphabet="<>&;altgmp !@U|\n") | st.text())
def test_escaped_text_can_hold_no_mention_and_unescapes_to_itself(text: str) -> None:
    escaped = escape(text)
    assert "<" not in escaped
    assert ">" not in escaped
    assert unescape(escaped) == text


def test_the_three_control_characters_are_escaped() -> None:
    assert escape("<!channel> R&D &lt;") == "&lt;!channel&gt; R&amp;D &amp;lt;"


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("<@U1> hello", "hello"),
        ("hello <@U1>", "hello"),
        ("hello <@U1> there", "hello there"),
        ("<@U1|bot> hello <@U1>", "hello"),
        ("<@U1>\nfirst\nsecond", "first\nsecond"),
        ("<@U12> hello", "<@U12> hello"),
        ("&lt;@U1&gt; hello", "&lt;@U1&gt; hello"),
        ("<@U1>", ""),
    ],
)
def test_a_mention_is_removed(text: str, rest: str) -> None:
    assert remove_mention(text, "U1") == rest


def test_only_the_users_own_mention_counts() -> None:
    assert is_mentioned("ask <@U1|bot>", "U1")
    assert not is_mentioned("ask <@U12> or U1 or &lt;@U1&gt;", "U1")


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_clean_text_can_be_stored(text: str) -> None:
    cleaned = clean(text)
    assert "\0" not in cleaned
    assert cleaned.encode() is not None
    assert clean(cleaned) == cleaned


def test_clean_keeps_everything_else() -> None:
    assert clean("olá 👋 \ud83d\0!") == "olá 👋 ?!"


def test_no_text_takes_long_to_look_through_for_a_mention() -> None:
    text = " " * 100_000 + "x<@U1" + "<@U1|" * 1_000
    begun = time.thread_time()
    assert not is_mentioned(text, "U1")
    assert remove_mention(f"{text} <@U1> hi <@U1>", "U1") == f"{text.strip()} hi"
    assert time.thread_time() - begun < 2
