"""The Markdown pages of the repository, cut into what tests compare with the code."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = (
    *(ROOT / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG", "SECURITY")),
    *sorted((ROOT / "docs").glob("*.md")),
)

_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_HEADING = re.compile(r"#+ (.+)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the word behind the fence, and the lines."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `prose` is everything outside of fenced blocks."""

    path: Path
    prose: str
    blocks: tuple[Block, ...]

    @property
    def spans(self) -> Sequence[str]:
        """What stands between single backticks."""
        return _SPAN.findall(self.prose)

    @property
    def code(self) -> Sequence[str]:
        """Spans, and the lines of blocks."""
        return [*self.spans, *(line for block in self.blocks for line in block.text.splitlines())]

    @property
    def headings(self) -> Sequence[str]:
        """The titles, without their marks."""
        return [found[1] for line in self.prose.splitlines() if (found := _HEADING.match(line))]

    def get_section(self, title: str) -> str:
        """Return the prose below a heading, up to the next one of any level."""
        _, _, rest = self.prose.partition(f"# {title}\n")
        assert rest, f"{self.path.name} has no section {title!r}"
        return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def load_page(name: str) -> Page:
    """Return a page by its path from the root."""
    return parse_page(ROOT / name)


def load_pages() -> Iterator[Page]:
    """Yield every page."""
    return map(parse_page, PAGES)


def parse_page(path: Path) -> Page:
    """Return a page, cut into prose and fenced blocks."""
    prose: list[str] = []
    blocks: list[Block] = []
    inside: list[str] | None = None
    language = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        mark = line.strip()
        if mark.startswith("```"):
            if inside is None:
                inside, language = [], mark.removeprefix("```")
            else:
                blocks.append(Block(language, "\n".join(inside)))
                inside = None
        elif inside is None:
            prose.append(line)
        else:
            inside.append(line)
    assert inside is None, f"{path.name} has a block without an end"
    return Page(path, "\n".join(prose) + "\n", tuple(blocks))


def read_tables(markdown: str) -> list[list[str]]:
    """Return the rows of all tables as cells, heads and rules left out."""
    lines = markdown.splitlines()
    rows = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        is_row = line.startswith("|") and not line.startswith("|---") and not following.startswith("|---")
        if is_row:
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def list_files() -> list[Path]:
    """Return the files that git keeps, or would; skips the test where there is no git."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(  # noqa: S603 - a fixed command
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]
