"""Importing a module does nothing: no socket, no environment, no file. And the fast path stays light."""

import ast
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import slack_mcp

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(slack_mcp.__path__, "slack_mcp.")
    # The first is run, not imported; the second is run by Alembic, which hands it its context.
    if not module.name.endswith("__main__") and module.name != "slack_mcp.store.migrations.env"
)

# Imports the modules named on the command line, and prints what they did meanwhile.
SCRIPT = """
import importlib
import json
import os
import sys

did = []


def find_own_caller():
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("importlib._bootstrap"):
            return None  # it is the import itself
        package = name.partition(".")[0]
        if package not in sys.stdlib_module_names and name != "__main__":
            return name if package == "slack_mcp" else None
        frame = frame.f_back
    return None


def watch(event, arguments):
    if event in {"socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.fork"}:
        did.append([event, repr(arguments)])
        raise PermissionError(event)
    if event in {"os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "sqlite3.connect"}:
        did.append([event, repr(arguments)])
    if event == "open" and (arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or find_own_caller()):
        did.append([event, repr(arguments)])


class Environ(type(os.environ)):
    def __getitem__(self, key):
        caller = find_own_caller()
        if caller:
            did.append(["environ", f"{key} by {caller}"])
        return super().__getitem__(key)

    def __iter__(self):
        caller = find_own_caller()
        if caller:
            did.append(["environ", f"all by {caller}"])
        return super().__iter__()


os.environ.__class__ = Environ
sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
modules = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"did": did, "threads": len(sys._current_frames()), "modules": modules}))
"""


def run_imports(directory: Path, *modules: str, script: str = SCRIPT) -> dict[str, Any]:
    """Import modules in a process of their own, in an empty directory, without writing byte code."""
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-B", "-W", "error::ResourceWarning", "-c", script, *modules],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env={**os.environ, "PORT": "wrong", "DATABASE_URL": "wrong"},
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_importing_every_module_does_nothing(tmp_path: Path) -> None:
    assert "slack_mcp.app.pod" in MODULES
    report = run_imports(tmp_path, *MODULES)
    assert report["did"] == []
    assert report["threads"] == 1
    assert list(tmp_path.iterdir()) == []


def test_what_would_be_done_is_seen(tmp_path: Path) -> None:
    bad = tmp_path / "slack_mcp_bad.py"
    bad.write_text(
        "__name__ = 'slack_mcp.bad'\n"
        "import os, pathlib, socket\n"
        "os.environ.get('PORT')\n"
        "pathlib.Path('made').write_text('')\n"
        "pathlib.Path('made').read_text()\n"
        "with socket.socket() as made:\n"
        "    try:\n"
        "        made.connect(('127.0.0.1', 1))\n"
        "    except PermissionError:\n"
        "        pass\n"
    )
    report = run_imports(
        tmp_path, "slack_mcp_bad", script=f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n" + SCRIPT
    )
    assert [event for event, _ in report["did"]] == ["environ", "open", "open", "socket.connect"]


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        (
            "slack_mcp.web.webhook",
            {"mcp", "openai", "aiohttp", "slack_sdk", "httpx2", "pydantic", "sqlalchemy", "alembic", "uvicorn"},
        ),
        ("slack_mcp.protocol.events", {"anyio", "asyncio", "starlette", "structlog"}),
        ("slack_mcp.simulator", {"mcp", "openai", "aiohttp", "slack_sdk", "pydantic", "sqlalchemy"}),
        (
            "slack_mcp.app",
            # What serves needs neither extras that may not be installed, nor what belongs to other commands, nor what
            # opens files, which is done in processes of their own.
            {"openai", "google", "redis", "obstore", "alembic", "mako", "typer", "pypdf", "docx", "PIL", "lxml"},
        ),
    ],
)
def test_what_need_not_be_loaded_is_not(module: str, unwanted: set[str], tmp_path: Path) -> None:
    assert unwanted.isdisjoint(run_imports(tmp_path, module)["modules"])


def test_only_the_command_line_touches_the_environment() -> None:
    root = Path(slack_mcp.__path__[0])
    found = [
        str(file.relative_to(root))
        for file in sorted(root.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"} and _is_os(node.value))
        or (isinstance(node, ast.ImportFrom) and node.module == "os")
    ]
    assert found == ["cli/__init__.py"]


def _is_os(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "os"
