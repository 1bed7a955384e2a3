from typing import Any

import jsonschema
import pytest
from configuration_fakes import make_state

from slack_mcp.catalogue import CATALOGUE
from slack_mcp.connections.choices import Choices, parse_choices, render_choices
from slack_mcp.connections.form import render_choices_schema, render_state_schema
from slack_mcp.connections.state import MeshState
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.model import ConnectionSettings

SCHEMA = render_state_schema(public_url="https://slack.example")
# What the form declares so that what older forms saved stays valid, and what only it shows.
NOT_READ = {"WEBHOOK_URL", "EVENT_BUS", "DATABASE"}


def test_the_form_is_a_json_schema_that_accepts_what_is_read() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(
        make_state(
            AGENT={"__type": "@deco/agent", "value": "vir_1"},
            CHANNEL_CONFIG={"ALLOWED_CHANNELS": ["C1"]},
            CONTEXT_CONFIG={"THREAD_TIMEOUT_MIN": 10},
            SYSTEM_PROMPT="Be kind.",
            LANGUAGE="pt-BR",
            CONNECTION_NAME="Acme",
        ),
        SCHEMA,
    )
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({}, SCHEMA)
    assert SCHEMA["properties"]["LANGUAGE"]["enum"] == list(CATALOGUE)


def test_the_form_shows_the_webhook_url_and_lets_nobody_change_it() -> None:
    shown = SCHEMA["properties"]["WEBHOOK_URL"]
    assert shown["default"] == "https://slack.example/slack/events/{connectionId}"
    assert shown["readOnly"] is True
    unknown = render_state_schema(public_url=None)["properties"]["WEBHOOK_URL"]
    assert unknown["default"] == "https://<this service>/slack/events/{connectionId}"


def test_the_agent_is_a_binding_that_meshs_form_recognises() -> None:
    binding = SCHEMA["properties"]["AGENT"]
    assert binding["properties"]["__type"] == {"type": "string", "const": "@deco/agent", "default": "@deco/agent"}
    assert binding["required"] == ["__type", "value"]


def test_the_bindings_of_the_seeds_form_are_declared() -> None:
    kinds = {
        name: field["properties"]["__type"]["const"]
        for name, field in SCHEMA["properties"].items()
        if "__type" in field.get("properties", {})
    }
    assert kinds == {
        "AGENT": "@deco/agent",
        "MODEL_PROVIDER": "@deco/llm",
        "LANGUAGE_MODEL": "@deco/language-model",
        "WHISPER": "@deco/whisper",
        "EVENT_BUS": "@deco/event-bus",
        "DATABASE": "@deco/postgres",
    }
    assert SCHEMA["required"] == ["SLACK_CREDENTIALS"]


def list_keys(fields: dict[str, Any]) -> set[str]:
    """Return the keys of a form with those of their sections, such as `CONTEXT_CONFIG.THREAD_TIMEOUT_MIN`."""
    return set(fields) | {f"{key}.{inner}" for key in fields for inner in fields[key].get("properties", {})}


def test_the_form_asks_for_what_is_read_and_for_nothing_else() -> None:
    asked = list_keys(render_choices_schema())
    shown = render_choices(ConnectionSettings(whisper_id="conn_whisper"))
    read = {field.alias for field in Choices.model_fields.values()}
    inside = {f"{key}.{inner}" for key in shown if isinstance(shown[key], dict) for inner in shown[key]}
    assert asked == read | inside
    assert set(SCHEMA["properties"]) - NOT_READ == {field.alias for field in MeshState.model_fields.values()}


def find_defaults(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what the form fills in by itself."""
    found: dict[str, Any] = {}
    for key, field in fields.items():
        inner = find_defaults(field.get("properties", {}))
        if inner or "default" in field:
            found[key] = inner or field["default"]
    return found


def test_what_the_form_fills_in_by_itself_is_what_holds_without_it() -> None:
    filled = find_defaults(render_choices_schema())
    assert {"LANGUAGE", "USERS_CONFIG", "CONTEXT_CONFIG", "RESPONSE_CONFIG"} <= set(filled)
    assert parse_choices(filled).apply_to(ConnectionSettings()) == ConnectionSettings()


@pytest.mark.parametrize("bound", ["minimum", "maximum"])
def test_the_bounds_of_the_form_are_those_of_what_is_read(bound: str) -> None:
    sections = render_choices_schema()
    bounded = [
        (section, key, field[bound])
        for section in sections
        for key, field in sections[section].get("properties", {}).items()
        if bound in field
    ]
    assert len(bounded) == 6
    for section, key, limit in bounded:
        parse_choices({section: {key: limit}})
        with pytest.raises(InvalidInputError, match=f"{section}.{key} must be"):
            parse_choices({section: {key: limit + (1 if bound == "maximum" else -1)}})
