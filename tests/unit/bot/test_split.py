import re

from hypothesis import example, given
from hypothesis import strategies as st

from slack_mcp.bot.split import MAX_CHARS, split_answer
from slack_mcp.protocol.mrkdwn import escape, unescape

texts = st.lists(
    st.sampled_from(["word ", "a longer thought", "\n", "\n\n", " \n \n", "```", "&", "<", "é👋", " " * 9]), max_size=60
).map("".join)


@given(texts | st.text(), st.integers(8, 60))
@example("&" * 40, 8)
@example("```" + "x" * 40, 8)
def test_pieces_join_back_and_none_is_too_long_or_empty(text: str, max_chars: int) -> None:
    pieces = split_answer(escape(text), max_chars)
    assert "".join(pieces) == escape(text)
    assert all(0 < len(piece) <= max_chars for piece in pieces)
    assert "".join(unescape(piece) for piece in pieces) == text  # no entity was cut


@given(st.lists(st.text(alphabet="ab \n", min_size=1, max_size=30), max_size=12), st.integers(40, 80))
def test_a_code_fence_that_fits_is_kept_whole(blocks: list[str], max_chars: int) -> None:
    text = "".join(f"some words\n```{block}```\n" for block in blocks)
    for piece in split_answer(text, max_chars):
        assert len(re.findall("```", piece)) % 2 == 0


def test_short_text_is_one_piece() -> None:
    assert split_answer("a\n\nb") == ["a\n\nb"]
    assert split_answer("x" * MAX_CHARS) == ["x" * MAX_CHARS]


def test_a_paragraph_is_better_than_a_line_and_that_than_a_word() -> None:
    assert split_answer("first words here\n\nmore\nx y zzzz", 26) == ["first words here\n\n", "more\nx y zzzz"]
    assert split_answer("first words here\nmore x y zzzz", 26) == ["first words here\n", "more x y zzzz"]
    assert split_answer("first words here more x", 20) == ["first words here ", "more x"]


def test_an_early_paragraph_does_not_leave_a_stump() -> None:
    assert split_answer("Hi\n\nand now a long line of words", 20) == ["Hi\n\nand now a long ", "line of words"]


def test_a_fence_that_is_too_long_is_cut_at_its_lines() -> None:
    text = "```\n" + "print(1)\n" * 5 + "```"
    assert split_answer(text, 24) == ["```\nprint(1)\nprint(1)\n", "print(1)\nprint(1)\n", "print(1)\n```"]


def test_a_word_that_is_too_long_is_cut_beside_its_entities() -> None:
    assert split_answer("x" * 17 + "&amp;" + "y" * 9, 20) == ["x" * 17, "&amp;" + "y" * 9]


def test_many_fences_take_no_time() -> None:
    assert "".join(split_answer("``` " * 20_000)) == "``` " * 20_000
