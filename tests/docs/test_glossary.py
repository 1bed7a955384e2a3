import re

import pytest
from doc_pages import ROOT, load_page, load_pages, read_tables

from slack_mcp.core.model import EventState

GLOSSARY = "docs/glossary.md"
TERMS = [cells[0] for cells in read_tables(load_page(GLOSSARY).prose)]


def read_everything_else() -> str:
    pages = (page.path for page in load_pages() if page.path.name != "glossary.md")
    sources = (ROOT / "src").rglob("*.py")
    return "\n".join(path.read_text(encoding="utf-8").lower() for path in (*pages, *sources))


EVERYTHING_ELSE = read_everything_else()


@pytest.mark.parametrize("term", TERMS)
def test_every_term_is_used(term: str) -> None:
    assert re.search(rf"\b{re.escape(term.lower())}(?:s|es)?\b", EVERYTHING_ELSE)


def test_terms_are_in_order_and_each_is_there_once() -> None:
    assert len(TERMS) > 20
    assert sorted({term.lower() for term in TERMS}) == [term.lower() for term in TERMS]


def test_states_that_an_event_can_end_in_are_explained() -> None:
    assert {EventState.WAITING, EventState.SKIPPED, EventState.DEAD} <= set(TERMS)


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_pages_with_our_words_link_to_their_meaning(page: str) -> None:
    assert f"({GLOSSARY})" in load_page(page).prose
