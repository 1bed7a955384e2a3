import itertools
import re
import time

import pytest
from hostile_markdown import find_calls, hostile
from hypothesis import example, given
from hypothesis import strategies as st

from slack_mcp.protocol.mentions import WORD_JOINER, Neutralizer, neutralize


@given(hostile)
@example("<@U1> <!here> @here &lt;!channel&gt; &#60;@U1> <\\@U1> &amp;lt;@U1")
def test_nothing_in_a_neutral_text_calls_anybody_and_only_joiners_were_added(text: str) -> None:
    neutral = neutralize(text)
    assert not find_calls(neutral)
    assert neutral.replace(WORD_JOINER, "") == text
    assert neutralize(neutral) == neutral


@given(hostile)
def test_with_people_allowed_people_alone_are_called(text: str) -> None:
    neutral = neutralize(text, allow_people=True)
    assert not find_calls(re.sub("<@[UW][A-Z0-9]+>", " ", neutral))
    assert neutral.replace(WORD_JOINER, "") == text


@given(hostile, st.lists(st.integers(0, 200), max_size=10), st.booleans())
def test_neutral_text_is_the_same_however_it_was_cut(text: str, at: list[int], allow_people: bool) -> None:
    places = [0, *sorted(place % (len(text) + 1) for place in at), len(text)]
    neutralizer = Neutralizer(allow_people=allow_people)
    parts = [neutralizer.feed(text[start:end]) for start, end in itertools.pairwise(places)]
    assert "".join(parts) + neutralizer.finish() == neutralize(text, allow_people=allow_people)


@given(hostile, st.booleans())
def test_neutral_text_is_the_same_character_by_character(text: str, allow_people: bool) -> None:
    neutralizer = Neutralizer(allow_people=allow_people)
    parts = [neutralizer.feed(char) for char in text]
    assert "".join(parts) + neutralizer.finish() == neutralize(text, allow_people=allow_people)


@pytest.mark.parametrize(
    "text",
    [
        *("<!-- a comment -->", "<!DOCTYPE html>", "List<int>", "a < b", "ann@here.com", "@ann", "@hereford", "<b>"),
        *(
            "R&D &lt;b&gt;",
            "a@b",
            "<https://x.y/@z>",
            "vector<map<int, int>>",
            "@property",
            "#general",
            "!here",
            "<![CDATA[",
        ),
    ],
)
def test_what_calls_nobody_stays_as_it_is(text: str) -> None:
    assert neutralize(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "<@U1>",
            "<@W1|ann>",
            "<!here>",
            "<!HERE|x>",
            "<!channel>",
            "<!everyone>",
            "<!subteam^S1>",
            "<#C1>",
            "<!group>",
        ),
        *(
            "@here",
            "@Channel",
            "(@EVERYONE)",
            "`<@U1>`",
            "```\n<!here>\n```",
            "&lt;@U1&gt;",
            "&#60;!here&#62;",
            "**@here**",
        ),
    ],
)
def test_what_calls_somebody_is_made_harmless_wherever_it_stands(text: str) -> None:
    assert neutralize(text).count(WORD_JOINER) == 1


def test_only_what_may_become_a_mention_is_held_back() -> None:
    neutralizer = Neutralizer()
    assert neutralizer.feed("Hello <") == "Hello "
    assert neutralizer.feed("b> and @") == "<b> and "
    assert neutralizer.feed("her") == ""
    assert neutralizer.feed("e we") == f"@{WORD_JOINER}here we"
    assert neutralizer.feed(" go &") == " go "
    assert neutralizer.finish() == "&"


@pytest.mark.parametrize(
    "text", ["<" * 99_000, "&" * 99_000, "&amp;" * 20_000, "<@" * 40_000, "@" * 99_000, "<!&#0" * 20_000]
)
def test_no_text_takes_long(text: str) -> None:
    begun = time.thread_time()
    neutralize(text)
    assert time.thread_time() - begun < 4  # some 0.01 s
