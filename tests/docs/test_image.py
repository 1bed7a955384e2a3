"""That Dockerfile, compose.yaml and the locks of the image say what the code says; `make deploy-check` looks deeper."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml
from doc_pages import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from slack_mcp import __version__
from slack_mcp.app.server import HttpDeadlines
from slack_mcp.settings import Settings
from slack_mcp.settings.kinds import get_name, is_secret

SECRETS = {get_name(field) for field in Settings.model_fields.values() if is_secret(field)}
NAMES = {get_name(field) for field in Settings.model_fields.values()} | {f"{name}_FILE" for name in SECRETS}
# Of the interpreter and the shell, not of the service.
NOT_OURS = {"PATH", "HOME", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICE = COMPOSE["services"]["slack-mcp"]


def read_last_stage() -> str:
    return DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :].replace("\\\n", " ")


def read_env() -> dict[str, str]:
    lines = re.findall(r"^ENV (.*)$", read_last_stage(), re.MULTILINE)
    return dict(pair for line in lines for pair in re.findall(r"(\w+)=(\S+)", line))


def read_lock(name: str) -> dict[str, str]:
    """Return the block of each package: its version and its hashes, without the machines that it is for."""
    text = re.sub(r" ; .*(?= \\)", "", (ROOT / name).read_text(encoding="utf-8").strip())
    blocks = re.split(r"\n(?=\S)", text)
    return {canonicalize_name(re.split(r"[=\[ ]", block)[0]): block for block in blocks}


def walk_requirements(requirement: Requirement) -> Iterator[str]:
    """Yield what is installed here for a requirement, its own name first."""
    yield canonicalize_name(requirement.name)
    for text in distribution(requirement.name).requires or []:
        needed = Requirement(text)
        environments: list[dict[str, str]] = [{"extra": extra} for extra in requirement.extras] or [{"extra": ""}]
        if needed.marker is None or any(needed.marker.evaluate(each) for each in environments):
            yield from walk_requirements(needed)


def test_version_of_the_image_is_that_of_the_code() -> None:
    assert f"ARG VERSION={__version__}\n" in DOCKERFILE


def test_every_variable_of_the_image_is_a_setting() -> None:
    assert {"HOST", "PORT", "DATA_DIR"} <= set(read_env()) - NOT_OURS <= NAMES


def test_settings_of_the_image_are_good_ones() -> None:
    given = {name: value for name, value in read_env().items() if name not in NOT_OURS}
    settings = Settings.from_env(given, dotenv=None)
    assert str(settings.data_dir) in DOCKERFILE[DOCKERFILE.index("VOLUME") :]


def test_the_image_listens_where_it_says() -> None:
    assert f"EXPOSE {read_env()['PORT']}\n" in DOCKERFILE


def test_what_the_image_is_made_of_is_not_ignored() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    assert copied
    for path in (path for line in copied for path in line.split()):
        assert (ROOT / path).exists()
        assert any(PurePosixPath(path).match(pattern) for pattern in kept), path


def test_the_image_has_the_packages_of_the_lock_and_none_for_development() -> None:
    everything, image = read_lock("requirements.lock"), read_lock("deploy/image/runtime.lock")
    assert {name for name, block in image.items() if everything.get(name) != block} == set(), "run `make lock`"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [text for each in project["optional-dependencies"].values() for text in each]
    needed = {name for text in (*project["dependencies"], *extras) for name in walk_requirements(Requirement(text))}
    assert needed <= set(image), "run `make lock`"
    assert set(image).isdisjoint({"pytest", "mypy", "ruff", "hypothesis"})


def test_the_wheel_is_made_with_what_pyproject_asks_for() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    everything, build = read_lock("requirements.lock"), read_lock("deploy/image/build.lock")
    assert {canonicalize_name(text) for text in asked} <= set(build)
    assert {name for name, block in build.items() if everything.get(name) != block} == set()


@pytest.mark.parametrize(
    "name", ["deploy/image/runtime.lock", "deploy/image/build.lock", "tests/deploy/requirements.lock"]
)
def test_the_other_locks_hold_no_url(name: str) -> None:
    lock = (ROOT / name).read_text(encoding="utf-8")
    assert "--hash=sha256:" in lock
    assert "://" not in lock


def test_every_variable_of_compose_is_a_setting() -> None:
    assert set(SERVICE["environment"]) <= NAMES


def test_compose_gives_secrets_as_files_that_it_has() -> None:
    told = {path.removeprefix("/run/secrets/") for path in SERVICE["environment"].values() if path.startswith("/run/")}
    assert told == set(SERVICE["secrets"])
    used = {name for service in COMPOSE["services"].values() for name in service["secrets"]}
    assert used == set(COMPOSE["secrets"])
    assert not set(SERVICE["environment"]) & SECRETS


def test_compose_waits_longer_than_a_pod_may_need_to_end() -> None:
    given = {name: value for name, value in SERVICE["environment"].items() if name.startswith("SLACK_MCP_")}
    settings = Settings.from_env(given, dotenv=None)
    longest_s = settings.drain_delay_s + max(settings.drain_timeout_s, HttpDeadlines().finish_s)
    assert longest_s < float(SERVICE["stop_grace_period"].removesuffix("s"))
