import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import typer
from doc_pages import ROOT, load_page, load_pages

from slack_mcp.cli.root import cli

COMMANDS: Any = typer.main.get_command(cli)


def list_make_targets(*, marked: str = "## ") -> set[str]:
    return set(re.findall(rf"^([a-z-]+):.*{marked}", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_every_make_target_that_a_page_names_exists() -> None:
    named = {target for page in load_pages() for code in page.code for target in re.findall(r"^make ([a-z-]+)\b", code)}
    assert {"run", "test"} <= named
    assert named <= list_make_targets(marked="")


def test_every_make_target_is_explained_to_contributors() -> None:
    spans = load_page("CONTRIBUTING.md").spans
    assert {target for target in list_make_targets() if f"make {target}" not in spans} == {"help"}


def cut_to_ours(code: str) -> str:
    """Return what another tool is told to run in a pod; whatever else it is told is not our command's."""
    inside = re.match(r"(?:kubectl .* -- |docker compose exec \S+ )(.*)", code)
    if inside:
        return inside[1]
    return "" if code.startswith(("docker ", "helm ", "kubectl ")) else code


def list_command_lines() -> list[tuple[str, str]]:
    """Return (page, what stands behind `slack-mcp`) for each use of the command."""
    found = {
        (page.path.name, rest)
        for page in load_pages()
        for code in page.code
        for rest in re.findall(r"(?:^|[\s/])slack-mcp[ \t]+([a-z-].*)$", cut_to_ours(code))
    }
    return sorted(found)


def check_command_line(rest: str) -> None:
    """Walk down the tree of commands; whatever stands behind a command is its arguments."""
    command = COMMANDS
    words = shlex.split(rest, comments=True)
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no command {words[0]!r} in {rest!r}"
        command = command.commands[words.pop(0)]
    options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    assert {word for word in words if word.startswith("-")} <= options, rest


@pytest.mark.parametrize(("page", "rest"), list_command_lines())
def test_every_command_that_a_page_names_exists(page: str, rest: str) -> None:
    check_command_line(rest)


@pytest.mark.parametrize("rest", ["conections list", "connections frobnicate", "demo --speak hello"])
def test_a_command_that_does_not_exist_is_found_out(rest: str) -> None:
    with pytest.raises(AssertionError):
        check_command_line(rest)


def test_commands_are_found_in_the_pages() -> None:
    lines = list_command_lines()
    assert ("README.md", 'demo --say "hello"') in lines
    assert ("README.md", "serve") in lines


def list_commands(command: Any = COMMANDS, prefix: str = "slack-mcp") -> Iterator[str]:
    for name, each in command.commands.items():
        yield f"{prefix} {name}"
        if hasattr(each, "commands"):
            yield from list_commands(each, f"{prefix} {name}")


def test_every_first_word_of_the_command_line_is_in_the_changelog() -> None:
    spans = load_page("CHANGELOG.md").spans
    assert [name for name in COMMANDS.commands if name not in spans] == []


@pytest.mark.anyio
async def test_demo_prints_what_the_first_page_shows(tmp_path: Path) -> None:
    blocks = [block.text for block in load_page("README.md").blocks]
    shown = blocks[blocks.index('.venv/bin/slack-mcp demo --say "hello"') + 1]
    with anyio.fail_after(60):
        done = await anyio.run_process(
            [sys.executable, "-m", "slack_mcp", "demo", "--say", "hello"], cwd=tmp_path, env={"DATA_DIR": str(tmp_path)}
        )
    assert done.stdout.decode().strip() == shown
