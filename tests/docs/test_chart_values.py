"""That the chart's values, their schema and their page agree, and all of them with the code."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from deploy.name_settings import SCHEMA, name_settings
from doc_pages import ROOT, parse_page, read_tables

from slack_mcp import __version__
from slack_mcp.app.server import HttpDeadlines
from slack_mcp.app.supervise import WORKER_EXIT_S
from slack_mcp.settings import Settings

CHART = ROOT / "deploy/chart/slack-mcp"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
TOLD: dict[str, str] = {
    name.strip("`"): default for name, default, _ in read_tables(parse_page(CHART / "README.md").get_section("Values"))
}


def list_leaves(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        where = f"{path}.{key}".strip(".")
        if isinstance(value, dict) and value:
            yield from list_leaves(value, where)
        else:
            yield where, value


def load_schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return schema


def test_every_value_is_explained_and_nothing_else_is() -> None:
    assert {path for path, _ in list_leaves(VALUES)} == set(TOLD)


@pytest.mark.parametrize("path", [path for path, value in list_leaves(VALUES)])
def test_default_on_the_page_is_that_of_the_chart(path: str) -> None:
    value, told = dict(list_leaves(VALUES))[path], TOLD[path]
    if not told.startswith("`"):  # described in words
        assert path.startswith("networkPolicy.")
        assert value
        return
    assert yaml.safe_load(told.strip("`")) == value


def test_the_schema_is_one_and_the_defaults_fit_it() -> None:
    schema = load_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(VALUES, schema)


def test_the_schema_names_the_settings_that_there_are() -> None:
    assert name_settings(load_schema()) == load_schema(), "run `make docs`"


def test_the_schema_knows_exactly_the_values_that_there_are() -> None:
    schema = load_schema()

    def compare(values: dict[str, Any], part: dict[str, Any], path: str) -> None:
        if "properties" not in part:
            return
        assert part["additionalProperties"] is False, path
        assert set(part["properties"]) - {"global"} == set(values), path
        for key, value in values.items():
            if isinstance(value, dict):
                compare(value, part["properties"][key], f"{path}.{key}")

    compare(VALUES, schema, "")


def test_versions_of_chart_and_code_are_the_same() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["appVersion"], chart["version"]) == (__version__, __version__)


def test_defaults_of_the_shutdown_are_those_of_the_settings() -> None:
    settings = Settings.from_env({}, dotenv=None)
    assert VALUES["shutdown"]["drainDelaySeconds"] == settings.drain_delay_s
    assert VALUES["shutdown"]["drainTimeoutSeconds"] == settings.drain_timeout_s


def test_the_chart_reckons_with_the_deadlines_of_the_code() -> None:
    text = (CHART / "templates/_checks.tpl").read_text(encoding="utf-8")
    told = dict(re.findall(r"\$(requestSeconds|workerSeconds) := (\d+)", text))
    assert float(told["requestSeconds"]) == HttpDeadlines().finish_s
    assert float(told["workerSeconds"]) == WORKER_EXIT_S
