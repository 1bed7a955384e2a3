import re
import tomllib
from collections.abc import Iterator
from itertools import chain

import pytest
from doc_pages import ROOT, load_page, load_pages, read_tables

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
RUNTIME = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
DEVELOPMENT = PYPROJECT["dependency-groups"]["dev"]


def read_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", requirement)[0] for requirement in requirements}


def read_reasons() -> Iterator[tuple[set[str], set[str]]]:
    """Yield (packages that have a reason, packages of pyproject.toml), for runtime and for development."""
    runtime, development = load_page("ARCHITECTURE.md").get_section("Dependencies").split("\nDevelopment:\n")
    for text, requirements in ((runtime, RUNTIME), (development, DEVELOPMENT)):
        yield {name for name, reason in read_tables(text) if len(reason.split()) > 2}, read_names(requirements)


def test_every_dependency_has_its_reason_and_every_reason_its_dependency() -> None:
    for reasons, packages in read_reasons():
        assert reasons == packages


def test_floors_are_those_that_import_linter_keeps() -> None:
    (layers,) = (
        contract["layers"] for contract in PYPROJECT["tool"]["importlinter"]["contracts"] if "layers" in contract
    )
    rows = read_tables(load_page("ARCHITECTURE.md").get_section("Floors"))
    assert [set(re.findall(r"`(\w+)`", rooms)) for _, rooms, _ in rows] == [
        set(re.findall(r"\w+", each)) for each in layers
    ]


def list_paths() -> list[tuple[str, str]]:
    """Return (page, path) for each span that looks like a path of ours."""
    pattern = re.compile(r"[\w.*-]+(?:/[\w.*-]+)*(?:/|\.(?:py|md|toml))|requirements\.lock|\.ci/run")
    return sorted({(page.path.name, span) for page in load_pages() for span in page.spans if pattern.fullmatch(span)})


@pytest.mark.parametrize(("page", "path"), list_paths())
def test_every_path_that_a_page_names_exists(page: str, path: str) -> None:
    if path in {"NNNN_name.py", "data/"}:  # to be made
        return
    found = [each for base in (ROOT, ROOT / "src/slack_mcp") for each in base.glob(path)]
    assert found, f"{page} names {path}"


def test_paths_are_found_in_the_pages() -> None:
    assert ("ARCHITECTURE.md", "store/journal_*.py") in list_paths()
