from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.tools.listing import Item, ListArguments, Position, count_tokens, fit, render_csv


class Word(Item):
    id: str
    text: str | None = None

    def render_line(self) -> str:
        return f"- {self.id} {self.text}"


@given(st.none() | st.text(max_size=200), st.integers(min_value=0, max_value=10_000))
def test_cursor_comes_back_as_it_was_given(page: str | None, skip: int) -> None:
    assert Position.parse(Position(page, skip).render()) == Position(page, skip)


@pytest.mark.parametrize(
    "cursor", ["", "?", "e30", "W10", "WzEsMl0", "WyJhIiwtMV0", "WyJhIiwidHJ1ZSJd", "é", "A" * 1000]
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInputError, match="next_cursor of the page before"):
        Position.parse(cursor)


def test_page_ends_where_the_tokens_do_but_never_before_its_first_item() -> None:
    words: list[Any] = [Word(id=str(number), text="x" * 400) for number in range(5)]
    assert len(fit(words, ListArguments(max_tokens=250))) == 2
    assert len(fit([Word(id="1", text="x" * 9_000), *words], ListArguments(max_tokens=250))) == 1
    assert len(fit(words, ListArguments())) == 5
    assert fit([], ListArguments()) == []


def test_csv_has_a_head_and_no_cell_that_a_spreadsheet_would_run() -> None:
    words = [Word(id="1", text='a, "b"'), Word(id="2", text="=HYPERLINK(1)"), Word(id="3")]
    assert render_csv(words).split("\n") == ["id,text", '1,"a, ""b"""', "2,'=HYPERLINK(1)", "3,"]
    assert render_csv([]) == ""


def test_half_a_surrogate_pair_is_counted_like_any_other_character() -> None:
    assert count_tokens("a\ud83d b") == 1
