from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.rows import ColumnKind, ColumnShape, RowEncoder, TableDigest, TableShape, TableSummary

SHAPE = TableShape(
    name="things",
    columns=(
        ColumnShape(name="key", kind=ColumnKind.TEXT),
        ColumnShape(name="number", kind=ColumnKind.INTEGER),
        ColumnShape(name="share", kind=ColumnKind.REAL),
        ColumnShape(name="good", kind=ColumnKind.BOOLEAN),
        ColumnShape(name="raw", kind=ColumnKind.BYTES),
    ),
)
ROWS = st.lists(
    st.tuples(
        st.text(),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False),
        st.none() | st.booleans(),
        st.none() | st.binary(),
    ),
    max_size=8,
)


def summarize(rows: list[Any], shape: TableShape = SHAPE) -> TableSummary:
    digest = TableDigest(shape)
    digest.add(RowEncoder(shape).encode(rows))
    return digest.summarize()


@given(ROWS, st.randoms())
def test_no_order_changes_a_digest(rows: list[Any], chance: Any) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert summarize(shuffled) == summarize(rows)


@given(ROWS, ROWS)
def test_other_rows_have_another_digest(some: list[Any], others: list[Any]) -> None:
    same = sorted(map(repr, some)) == sorted(map(repr, others))
    assert (summarize(some) == summarize(others)) == same


def test_a_row_that_is_there_twice_counts_twice() -> None:
    row = ("a", 1, 0.5, True, b"")
    assert summarize([row, row]) not in {summarize([row]), summarize([])}


def test_a_database_without_booleans_gives_the_same_digest() -> None:
    assert summarize([("a", 1, 2, 1, b"x")]) == summarize([("a", 1, 2.0, True, b"x")])


@pytest.mark.parametrize("field", ["name", "column"])
def test_the_same_rows_of_another_table_have_another_digest(field: str) -> None:
    columns = (ColumnShape(name="other", kind=ColumnKind.TEXT), *SHAPE.columns[1:])
    other = TableShape(
        name="others" if field == "name" else SHAPE.name, columns=columns if field == "column" else SHAPE.columns
    )
    rows = [("a", 1, 0.5, True, b"")]
    assert summarize(rows, other) != summarize(rows)
