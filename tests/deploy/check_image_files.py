"""Dockerfile and compose.yaml, as the tools for them see them."""

import shutil
import subprocess
from pathlib import Path

import compose_spec
import pytest

from deploy.chart import ROOT

DOCKERFILE = ROOT / "Dockerfile"
COMPOSE = ROOT / "compose.yaml"


def run_hadolint(path: Path) -> tuple[int, str]:
    command = ["hadolint", "--failure-threshold", "style", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_hadolint_finds_nothing_to_say() -> None:
    assert run_hadolint(DOCKERFILE) == (0, "")


def test_hadolint_would_say_it(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM python\nRUN cd /tmp && sudo apt-get install gcc\n", encoding="utf-8")
    code, told = run_hadolint(path)
    assert code != 0
    assert all(rule in told for rule in ("DL3004", "DL3006"))


def test_compose_is_what_the_specification_says() -> None:
    compose = compose_spec.PyCompose.from_yaml(COMPOSE.read_text(encoding="utf-8"))
    assert set(compose.service_names()) == {"postgres", "slack-mcp"}


def test_what_compose_does_not_know_is_found_out() -> None:
    text = COMPOSE.read_text(encoding="utf-8").replace("    read_only: true\n", "    readonly: true\n")
    with pytest.raises(ValueError, match="readonly"):
        compose_spec.PyCompose.from_yaml(text)


def has_compose() -> bool:
    """Tell whether Docker is here, and its compose with it."""
    return shutil.which("docker") is not None and (
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not has_compose(), reason="docker compose is not on this machine")
def test_docker_compose_reads_it() -> None:
    command = ["docker", "compose", "--file", str(COMPOSE), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_gives_up_what_it_does_not_need() -> None:
    spec = compose_spec.PyCompose.from_yaml(COMPOSE.read_text(encoding="utf-8")).to_dict()
    service = spec["services"]["slack-mcp"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {each.partition(":")[0] for each in service["tmpfs"]} == {"/tmp", "/data"}  # noqa: S108
    assert service["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert {port["host_ip"] for port in service["ports"]} == {"127.0.0.1"}
