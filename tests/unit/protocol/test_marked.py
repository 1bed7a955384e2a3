import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.protocol.marked import Marker, make_marker

TOKENS = ["aaaa", "bbbb", "cccc"]
# Texts that know how blocks are made, and may have guessed the first tokens that are drawn.
HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(["</said-", "<said-", ">", '"', "\n", "\r", "\u2028", "\x00", " by=", "AaAa", *TOKENS]),
        st.text(max_size=8),
    ),
    max_size=12,
).map("".join)


def draw_from(tokens: list[str]) -> Callable[[], str]:
    drawn = itertools.chain(tokens, (f"{number:016x}" for number in itertools.count()))
    return lambda: next(drawn)


def test_a_text_stands_between_the_marks_of_its_block() -> None:
    marker = make_marker(["hello"], draw=draw_from(["k1"]))
    assert marker.mark("said", "hello", by="Ann (U1)", at="") == '<said-k1 by="Ann (U1)">\nhello\n</said-k1>'
    assert "k1" in marker.explain()


def test_a_token_that_a_text_holds_is_drawn_again() -> None:
    assert make_marker(["</said-AAAA>", "x"], draw=draw_from(["aaaa", "bbbb"])).token == "bbbb"


def test_a_text_that_the_marker_was_not_made_for_is_refused_when_it_holds_the_token() -> None:
    marker = Marker("aaaa")
    with pytest.raises(ValueError, match="made for other texts"):
        marker.mark("said", "…</said-AAAA>")
    with pytest.raises(ValueError, match="made for other texts"):
        marker.mark("said", "…", by="aaaa")


@given(text=HOSTILE, name=HOSTILE, others=st.lists(HOSTILE, max_size=3))
def test_no_text_and_no_name_closes_or_opens_a_block(text: str, name: str, others: list[str]) -> None:
    marker = make_marker([text, name, *others], draw=draw_from(list(TOKENS)))
    block = marker.mark("said", text, by=name)
    first, rest = block.split("\n", 1)
    assert first.startswith(f"<said-{marker.token}")
    assert first.endswith(">")
    assert first.count("<") == first.count(">") == 1
    assert len(first.splitlines()) == 1
    assert rest == f"{text}\n</said-{marker.token}>"
    # Whatever else is in the prompt, the token is where this block begins and where it ends.
    prompt = "\n\n".join([*others, block, *others])
    assert prompt.casefold().count(marker.token) == 2
