"""The chart, rendered in this process; what the checks look for in its objects."""

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import helm_python
import yaml

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy/chart/slack-mcp"
VALUES: Final = {path.stem: path for path in sorted((ROOT / "tests/deploy/values").glob("*.yaml"))}

Object = dict[str, Any]
Values = dict[str, Any]


def load_values(name: str) -> Values:
    """Return one of the sets of values under values/."""
    values: Values = yaml.safe_load(VALUES[name].read_text(encoding="utf-8"))
    return values


def merge(base: Values, changes: Mapping[str, Any]) -> Values:
    """Return the values with changes, as a second --values of Helm's would make them."""
    merged = copy.deepcopy(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


@cache
def load_chart() -> helm_python.Chart:
    """Return the chart; its files are read once."""
    return helm_python.Chart.load(CHART)


def render_files(values: Values, *, release: str = "slack-mcp", namespace: str = "slack") -> dict[str, str]:
    """Return the text of each template by its path in the chart."""
    files = load_chart().render(values, name=release, namespace=namespace)
    return {path.removeprefix("slack-mcp/"): text for path, text in files.items()}


def render(values: Values, *, release: str = "slack-mcp") -> list[Object]:
    """Return all objects."""
    files = render_files(values, release=release)
    found = [
        each for path, text in files.items() if path.endswith(".yaml") for each in yaml.safe_load_all(text) if each
    ]
    assert found
    return found


def pick(objects: list[Object], kind: str) -> list[Object]:
    """Return the objects of a kind."""
    return [each for each in objects if each["kind"] == kind]


def pick_one(objects: list[Object], kind: str) -> Object:
    """Return the only object of a kind."""
    (only,) = pick(objects, kind)
    return only


def list_pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield (name, {metadata, spec}) of each pod there will be."""
    for each in objects:
        name = f"{each['kind']}/{each['metadata']['name']}"
        if each["kind"] == "Pod":
            yield name, each
        elif each["kind"] in {"Deployment", "Job"}:
            yield name, each["spec"]["template"]
        elif each["kind"] == "CronJob":
            yield name, each["spec"]["jobTemplate"]["spec"]["template"]


def get_env(pod: Object) -> dict[str, str]:
    """Return the variables of a pod's only container."""
    (container,) = pod["spec"]["containers"]
    return {each["name"]: each["value"] for each in container.get("env", [])}


def get_labels(pod: Object) -> dict[str, str]:
    """Return a pod's labels."""
    labels: dict[str, str] = pod["metadata"]["labels"]
    return labels


def is_selected(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Tell whether something with these labels is meant; an empty selector means all."""
    return selector.items() <= labels.items()
