from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.paging import number_pages, slice_items


@given(st.lists(st.integers(), max_size=30), st.integers(1, 10))
def test_pages_by_cursor_are_the_whole_list_in_order(items: list[int], limit: int) -> None:
    seen: list[int] = []
    cursor = ""
    while True:
        page, paging = slice_items(items, Args({"limit": limit, "cursor": cursor}))
        assert len(page) <= limit
        seen += page
        cursor = paging["response_metadata"]["next_cursor"]
        if not cursor:
            break
    assert seen == items


@given(st.lists(st.integers(), max_size=30), st.integers(1, 10))
def test_numbered_pages_are_the_whole_list_in_order(items: list[int], count: int) -> None:
    _, paging = number_pages(items, Args({"count": count}))
    pages = [number_pages(items, Args({"count": count, "page": page + 1}))[0] for page in range(paging["pages"])]
    assert [item for page in pages for item in page] == items
    assert (paging["total"], paging["page"]) == (len(items), 1)
