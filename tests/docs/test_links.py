import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from doc_pages import PAGES, ROOT, Page, list_files, load_pages, parse_page

LINK = re.compile(r"\]\(([^)\s]+)\)")

# Places of one machine, and package indexes: the lock and the pages are for everybody's.
FOREIGN = (
    re.compile(r"(?<![\w.$}~-])/(?:root|home|work|Users)/[A-Za-z.]"),
    re.compile(r"\b[A-Z]:\\[A-Za-z]"),
    re.compile(r"(?i)--(?:extra-)?index-url\s+http"),
    re.compile(r"(?i)https?://[^\s\"')]*(?:/simple\b|pypi|pythonhosted|artifactory|/nexus/|registry\.)"),
)


def make_anchor(heading: str) -> str:
    """Return a heading's anchor as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower()).replace(" ", "-")


def list_links() -> list[tuple[str, str]]:
    """Return (page, target) for each relative link."""
    links = [(page, target) for page in load_pages() for target in LINK.findall(page.prose)]
    return sorted(
        {(str(page.path.relative_to(ROOT)), target) for page, target in links if not re.match(r"[a-z]+:", target)}
    )


def find_broken(page: Page, target: str) -> str | None:
    """Return what is wrong with a relative link, or None."""
    name, _, anchor = target.partition("#")
    path = (page.path.parent / unquote(name)).resolve() if name else page.path
    if not path.is_relative_to(ROOT) or not path.exists():
        return f"{name} does not exist"
    if anchor and anchor not in {make_anchor(heading) for heading in parse_page(path).headings}:
        return f"{path.name} has no heading {anchor}"
    return None


@pytest.mark.parametrize(("name", "target"), list_links())
def test_every_relative_link_leads_somewhere(name: str, target: str) -> None:
    assert find_broken(parse_page(ROOT / name), target) is None


@pytest.mark.parametrize(
    "target", ["docs/missing.md", "#no-such-heading", "SECURITY.md#no-such-heading", "../other.md"]
)
def test_a_broken_link_is_found_out(target: str) -> None:
    assert find_broken(parse_page(ROOT / "README.md"), target) is not None


def test_every_page_is_reached_from_the_first_one() -> None:
    first = parse_page(ROOT / "README.md")
    linked = {(ROOT / target.partition("#")[0]).resolve() for target in LINK.findall(first.prose)}
    assert set(PAGES) - {first.path} <= linked


def find_foreign(text: str) -> list[str]:
    return [found[0] for pattern in FOREIGN for found in pattern.finditer(text)]


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # a picture or the like


def test_no_file_names_a_place_of_one_machine_or_a_package_index() -> None:
    found = {str(path.relative_to(ROOT)): found for path in list_files() if (found := find_foreign(read_text(path)))}
    found.pop(str(Path(__file__).relative_to(ROOT)), None)  # the examples below
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        'open("/home/ann/slack.db")',
        "see /root/.config",
        "/Users/ann/src",
        "C:\\Users\\ann",
        "--index-url https://packages.example/simple",
        "https://packages.example/artifactory/api",
    ],
)
def test_such_a_place_is_found_out(text: str) -> None:
    assert find_foreign(text)


def test_the_lock_holds_no_url() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "--hash=sha256:" in lock
    assert "://" not in lock
