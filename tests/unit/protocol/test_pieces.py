import itertools
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slack_mcp.protocol.markdown import MAX_TEXT_CHARS, render_mrkdwn
from slack_mcp.protocol.mentions import neutralize
from slack_mcp.protocol.mrkdwn import escape
from slack_mcp.protocol.pieces import MAX_CHARS, Piece, Pieces, join_pieces, measure, split_markdown

PARAGRAPH = "Some words that make a sentence, and then some more of them. " * 5  # 305 characters

fragments = st.one_of(
    st.sampled_from(
        [
            *(
                "word ",
                "a longer thought, ",
                "\n",
                "\n\n",
                " \n \n",
                "# Head\n",
                "- item ",
                "1. ",
                "12",
                "| a | b |\n",
                "> quote\n",
            ),
            *(
                "```",
                "```python\n",
                "\n```\n",
                "~~~\n",
                "````\n",
                "  ```\n",
                "- ```\n",
                "    ",
                "`",
                "``",
                "~~",
                "``` `\n",
                "\t",
            ),
            *(
                "&",
                "&amp;",
                "<",
                "<@U1>",
                "@here",
                "é",
                "👋🏽",
                "e\u0301",
                "\u2060",
                "日本語",
                "\\",
                "**",
                "\r\n",
                "\ud83d",
            ),
            *("[a label](https://x.y/z)", "[", "](", "https://example.com/a/long/path", "```" + "x" * 90 + "\n"),
        ]
    ),
    st.text(max_size=5),
)
# A stretch is a fragment many times over, so that there are enough characters for several pieces.
stretches = st.tuples(fragments, st.sampled_from([1, 1, 2, 7, 100, 700, 1500, 4000]))
texts = st.lists(stretches, max_size=14).map(lambda found: "".join(text * times for text, times in found)[:25_000])
prose = st.builds(
    lambda parts, times: ("".join(parts) * times)[:25_000],
    st.lists(
        st.sampled_from(
            [
                *(
                    PARAGRAPH,
                    PARAGRAPH,
                    "\n\n",
                    "\n\n",
                    "\n",
                    "x = 1\n",
                    "  y = f(x)\n" * 20,
                    "- item\n",
                    "## Head\n\n",
                ),
                *("```py\n", "```\n", "| a | b |\n" * 9, "  ~~~\n", "[a label](https://x.y) ", "\n```\n"),
            ]
        ),
        max_size=20,
    ),
    st.integers(1, 30),
)


def feed(parts: list[str], *, cut_after: frozenset[int] = frozenset()) -> list[Piece]:
    """Return the pieces, having looked at what was shown after each part."""
    pieces = Pieces()
    shown: list[str] = [""]  # of each piece, what a reader saw of it last
    for number, part in enumerate(parts):
        pieces.feed(part)
        look(pieces, shown)
        if number in cut_after:
            pieces.cut()
            look(pieces, shown)
    pieces.finish()
    look(pieces, shown)
    assert pieces.open == ""
    return list(pieces.closed)


def look(pieces: Pieces, shown: list[str]) -> None:
    now = [*(piece.shown for piece in pieces.closed), pieces.open]
    for before, after in itertools.zip_longest(shown, now, fillvalue=""):
        assert after.startswith(before), "what was shown has changed"
    assert measure(pieces.open) <= MAX_CHARS
    shown[:] = now


def cut_up(text: str, at: list[int]) -> list[str]:
    places = [0, *sorted(place % (len(text) + 1) for place in at), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(places)]


def squeeze(text: str) -> str:
    """Return what a person reads of a text: neither blanks nor fences."""
    return "".join(text.split()).replace("`", "").replace("~", "")


def check(text: str, pieces: list[Piece]) -> None:
    assert join_pieces(pieces) == (text if text.strip() else "")
    for piece in pieces:
        assert piece.shown.strip()
        assert measure(piece.shown) <= MAX_CHARS


@given(texts | prose | st.text())
@example("&" * 9_000)
@example("x" * 9_000)
@example("```" + "x" * 9_000)
@example("```\n" + "x\n" * 9_000)
@example("x " + " " * 9_000 + "y\n" + "\n" * 9_000 + "z")
@example("```" + "x" * 85 + "\n" + "y\n" * 5_000)
def test_pieces_join_back_and_none_is_too_long_or_blank(text: str) -> None:
    pieces = list(split_markdown(text))
    check(text, pieces)
    for piece in pieces:
        assert squeeze(piece.text) in squeeze(piece.shown)


@given(texts | prose, st.lists(st.integers(0, 30_000), max_size=40))
@settings(max_examples=50)
def test_pieces_are_the_same_however_the_text_was_fed_and_what_was_shown_stays(text: str, at: list[int]) -> None:
    assert feed(cut_up(text, at)) == list(split_markdown(text))


@given(texts | prose)
@settings(max_examples=10)
def test_pieces_are_the_same_character_by_character(text: str) -> None:
    text = text[:9_000]
    pieces = Pieces()
    for char in text:
        pieces.feed(char)
    pieces.finish()
    assert list(pieces.closed) == list(split_markdown(text))


@given(prose.map(lambda text: text[2_500:9_000]) | st.text(alphabet="`~- \n1.ab|#&", max_size=60))
@settings(max_examples=10)
def test_what_was_shown_stays_whenever_one_looks(text: str) -> None:
    assert feed(list(text)) == list(split_markdown(text))


@given(texts | prose, st.lists(st.integers(0, 30_000), max_size=20), st.frozensets(st.integers(0, 20)))
@settings(max_examples=50)
def test_what_was_shown_stays_when_a_piece_is_cut_early(text: str, at: list[int], cut_after: frozenset[int]) -> None:
    check(text, feed(cut_up(text, at), cut_after=cut_after))


@given(texts | prose)
@settings(max_examples=50)
def test_a_piece_fits_into_a_message_in_each_of_its_forms(text: str) -> None:
    for piece in split_markdown(text):
        assert len(escape(neutralize(piece.shown))) <= MAX_CHARS
        assert len(render_mrkdwn(piece.shown)) <= MAX_TEXT_CHARS
        assert len(piece.shown.encode("utf-8", "surrogatepass")) < 10_000


def test_short_text_is_one_piece() -> None:
    assert split_markdown("a\n\nb\n") == [Piece(text="a\n\nb\n", shown="a\n\nb")]
    assert split_markdown(" \n ") == []


def test_the_next_paragraph_ends_a_piece_that_is_long_enough() -> None:
    text = "\n\n".join([PARAGRAPH] * 12)
    first, second = split_markdown(text)
    assert first.text == f"{PARAGRAPH}\n\n" * 10  # 3 070 characters
    assert second.text == f"{PARAGRAPH}\n\n{PARAGRAPH}"


def test_without_a_paragraph_it_is_a_line_and_without_a_line_a_word() -> None:
    first, _ = split_markdown(f"{PARAGRAPH}\n" * 13)
    assert first.text == f"{PARAGRAPH}\n" * 12
    first, second = split_markdown(PARAGRAPH * 14)
    assert 3_800 < len(first.text) <= MAX_CHARS
    assert first.text.endswith(" ")
    assert second.text[0] != " "


def test_a_heading_is_not_left_behind() -> None:
    text = "\n\n".join(["x" * 2_995, "## Head", "y" * 100, "z" * 100])
    assert [piece.shown[:7] for piece in split_markdown(text)] == ["xxxxxxx", "zzzzzzz"]
    text = "\n\n".join(["x" * 3_010, "## Head", "y" * 100])
    assert [piece.shown[:7] for piece in split_markdown(text)] == ["xxxxxxx", "## Head"]


def test_code_and_tables_that_begin_late_begin_a_piece() -> None:
    for block in ("```py\nx = 1\n```", "| a | b |\n|---|---|\n| 1 | 2 |"):
        first, second = split_markdown(f"{'x ' * 1_100}\n{block}\n\nmore")
        assert second.shown == f"{block}\n\nmore"
        assert first.text.endswith("\n")


def test_code_that_fits_is_kept_whole() -> None:
    text = f"{'x ' * 900}\n```py\n{'x = 1' * 5}\n" + "y = 2\n" * 310 + "```\n\nmore words"
    first, second = split_markdown(text)
    assert first.shown.endswith("y = 2\n```")
    assert second.shown == "more words"


def test_code_that_does_not_fit_is_fenced_in_each_piece() -> None:
    lines = "".join(f"line {number}\n" for number in range(1_000))
    pieces = split_markdown(f"Look:\n\n~~~~ python title\n{lines}~~~~\nDone.")
    assert len(pieces) == 3
    assert pieces[0].shown.startswith("Look:\n\n~~~~ python title\nline 0\n")
    assert all(piece.shown.endswith("\n~~~~") for piece in pieces[:-1])
    assert all(piece.shown.startswith("~~~~ python title\nline ") for piece in pieces[1:])
    assert pieces[-1].shown.endswith("line 999\n~~~~\nDone.")
    shown = "\n".join(piece.shown for piece in pieces).split("\n")
    assert [line for line in shown if line.startswith("line")] == lines.splitlines()


def test_a_line_of_code_that_does_not_fit_begins_a_piece() -> None:
    first, second = split_markdown("```\n" + "x = 1\n" * 600 + "y" * 1_000)
    assert first.shown.endswith("x = 1\n```")
    assert second.shown == f"```\n{'y' * 1_000}\n```"


def test_code_in_a_list_goes_on_at_the_margin() -> None:
    lines = "".join(f"      line {number}\n" for number in range(600))
    pieces = split_markdown(f"1. Look:\n\n    ```\n{lines}    ```\n    Done.")
    assert len(pieces) == 3
    for piece in pieces[1:]:
        assert piece.shown.startswith("```\n  line ")
        assert "\n  line " in piece.shown
        assert "\n      line " not in piece.shown
    assert pieces[-1].shown.endswith("line 599\n```\n    Done.")


def test_a_fence_in_text_is_none() -> None:
    text = "```not code``` in a line\n" + PARAGRAPH * 20
    assert all("```" not in piece.shown for piece in split_markdown(text)[1:])


def test_code_that_nobody_closed_is_closed() -> None:
    assert split_markdown("a\n```py\nb")[0].shown == "a\n```py\nb\n```"


def test_a_link_is_not_cut() -> None:
    text = "x " * 1_940 + "[a label of some words](https://example.com/path) and more words"
    first, second = split_markdown(text)
    assert first.text == "x " * 1_940
    assert second.shown.startswith("[a label of some words](https://example.com/path) and")


@pytest.mark.parametrize(
    ("before", "whole"),
    [("x" * 3_898, "&amp;"), ("x" * 3_899, "e\u0301"), ("x" * 3_898, "👩\u200d👩"), ("x" * 3_899, "**")],
)
def test_what_belongs_together_is_not_torn(before: str, whole: str) -> None:
    first, second = split_markdown(f"{before}{whole}{'y' * 50}")
    assert whole in second.shown or whole in first.shown


def test_what_may_move_is_not_shown_before_it_is_certain() -> None:
    pieces = Pieces()
    pieces.feed("x " * 1_000 + "and then")
    assert pieces.open.endswith("and then")
    pieces.feed("\n``")
    assert pieces.open.endswith("and then")
    pieces.feed("` is code")
    assert pieces.open.endswith("and then")
    pieces.feed("` is no fence, ")
    assert pieces.open.endswith("``` is code` is no fence,")
    pieces.feed("y " * 870 + "some wo")
    assert pieces.open.endswith("some")


def test_a_piece_is_cut_behind_what_it_shows() -> None:
    pieces = Pieces()
    pieces.cut()
    pieces.feed("\n")
    pieces.cut()
    assert not pieces.closed
    pieces.feed("Hello there\n```py\nx = 1\n``")
    assert pieces.open == "Hello there\n```py\nx = 1"
    pieces.cut()
    assert [piece.shown for piece in pieces.closed] == ["Hello there\n```py\nx = 1\n```"]
    assert pieces.open == ""
    pieces.feed("`\nDone.")
    assert pieces.open == "Done."
    pieces.cut()
    pieces.feed("\n \n")
    pieces.finish()
    assert [piece.shown for piece in pieces.closed[1:]] == ["Done."]
    assert join_pieces(pieces.closed) == "\nHello there\n```py\nx = 1\n```\nDone.\n \n"


def test_code_that_goes_on_after_a_cut_is_fenced_again() -> None:
    pieces = Pieces()
    pieces.feed("```py\nx = 1\n")
    pieces.cut()
    assert pieces.open == ""
    pieces.feed("y = 2\n")
    assert pieces.open == "```py\ny = 2"


def test_the_fence_that_is_open_is_told() -> None:
    pieces = Pieces()
    assert pieces.open_fence == ""
    for text, fence in (("a\n~~~~py", "~~~~"), ("\nx", "~~~~"), ("\n~~~~", ""), ("\nmore", "")):
        pieces.feed(text)
        assert pieces.open_fence == fence


@pytest.mark.parametrize(
    "text",
    [
        "x" * 99_000,
        "\n" * 99_000,
        "a\n" * 40_000,
        "```\n" * 20_000,
        "&" * 40_000,
        "[" * 99_000,
        " `" * 40_000,
        "a " * 40_000,
    ],
    ids=lambda text: repr(text[:4]),
)
def test_no_text_takes_long(text: str) -> None:
    begun = time.thread_time()
    check(text, list(split_markdown(text)))
    assert time.thread_time() - begun < 8  # some 0.3 s


def test_a_stream_of_small_texts_takes_no_long_time() -> None:
    text = "\n\n".join([PARAGRAPH, "```py\n" + "x = 1\n" * 300 + "```"] * 15)
    pieces = Pieces()
    begun = time.thread_time()
    for start in range(0, len(text), 4):
        pieces.feed(text[start : start + 4])
        assert pieces.open is not None
    assert time.thread_time() - begun < 8
