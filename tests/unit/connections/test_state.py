import contextlib
from typing import Any

import jsonschema
import pytest
from configuration_fakes import BOT_TOKEN, SIGNING_SECRET, make_state
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.catalogue import CATALOGUE
from slack_mcp.connections.state import parse_state, render_state_schema
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.ids import ChannelId
from slack_mcp.core.model import ConnectionSettings, ToolPolicy
from slack_mcp.core.secret import Secret

SCHEMA = render_state_schema(public_url="https://slack.example")
# As the form of the seed saved it, with everything that this service does not do.
SEED_STATE = make_state(
    EVENT_BUS={"__type": "@deco/event-bus", "value": "conn_bus"},
    MODEL_PROVIDER={"__type": "@deco/llm", "value": "conn_llm"},
    AGENT={"__type": "@deco/agent", "id": "vir_old"},
    LANGUAGE_MODEL={"__type": "@deco/language-model", "value": {"id": "model-1", "title": "Model"}},
    WHISPER={"__type": "@deco/whisper", "value": "conn_whisper"},
    AGENT_MODE="smart_tool_selection",
    WEBHOOK_URL="https://old.example/slack/events/{connectionId}",
    CHANNEL_CONFIG={"ALLOWED_CHANNELS": ["C1", "C2"], "LOG_CHANNEL_ID": "C3"},
    CONTEXT_CONFIG={"MAX_MESSAGES_TO_FETCH": 50, "THREAD_TIMEOUT_MIN": 30},
    RESPONSE_CONFIG={"ENABLE_STREAMING": True},
    CONNECTION_NAME="Acme",
    HYPERDX_API_KEY="canary",
)


def test_a_state_of_the_seed_is_read() -> None:
    state = parse_state(SEED_STATE)
    assert state.credentials.bot_token.reveal() == BOT_TOKEN
    assert state.credentials.signing_secret.reveal() == SIGNING_SECRET
    assert state.agent_id == "vir_old"
    assert state.model_provider_id == "conn_llm"
    assert state.model_id == "model-1"
    assert state.allowed_channels == ("C1", "C2")
    assert state.thread_timeout_min == 30
    assert state.connection_name == "Acme"


def test_the_credentials_are_enough_and_the_rest_has_the_defaults_of_a_connection() -> None:
    state = parse_state(make_state())
    defaults = ConnectionSettings()
    assert state.agent_id is state.model_provider_id is state.model_id is None
    assert state.connection_name is state.system_prompt is None
    assert (state.allowed_channels, state.language, state.thread_timeout_min) == (
        defaults.allowed_channels,
        defaults.language,
        defaults.thread_timeout_min,
    )


def test_untouched_fields_of_the_form_are_not_set() -> None:
    state = parse_state(
        make_state(
            AGENT={"__type": "@deco/agent", "value": ""},
            MODEL_PROVIDER=None,
            LANGUAGE_MODEL={"__type": "@deco/language-model"},
            CHANNEL_CONFIG={"ALLOWED_CHANNELS": ["", None]},
            CONTEXT_CONFIG={"THREAD_TIMEOUT_MIN": None},
            CONNECTION_NAME="  ",
            SYSTEM_PROMPT="",
            LANGUAGE="",
        )
    )
    assert state.agent_id is state.model_id is state.connection_name is state.system_prompt is None
    assert (state.allowed_channels, state.language, state.thread_timeout_min) == ((), "en", 10)


def test_the_agents_value_goes_before_the_id_of_older_states() -> None:
    assert parse_state(make_state(AGENT={"value": "vir_new", "id": "vir_old"})).agent_id == "vir_new"


def test_blanks_around_credentials_and_channels_are_copying_mistakes() -> None:
    state = parse_state(
        {
            "SLACK_CREDENTIALS": {"BOT_TOKEN": f" {BOT_TOKEN}\n", "SIGNING_SECRET": f"{SIGNING_SECRET} "},
            "CHANNEL_CONFIG": {"ALLOWED_CHANNELS": [" C1 ", "C1"]},
        }
    )
    assert state.credentials.bot_token.reveal() == BOT_TOKEN
    assert state.credentials.signing_secret.reveal() == SIGNING_SECRET
    assert state.allowed_channels == ("C1",)


def test_every_mistake_is_told_at_once_and_no_value_is() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_state(
            {
                "SLACK_CREDENTIALS": {"BOT_TOKEN": "xoxp-canary", "SIGNING_SECRET": "canary secret"},
                "AGENT": "canary",
                "CHANNEL_CONFIG": {"ALLOWED_CHANNELS": ["C1", "#canary", 7]},
                "CONTEXT_CONFIG": {"THREAD_TIMEOUT_MIN": 0},
                "LANGUAGE": "canary",
                "SYSTEM_PROMPT": ["canary"],
                "CONNECTION_NAME": "canary\x00",
            }
        )
    text = str(caught.value)
    for path in (
        "SLACK_CREDENTIALS.BOT_TOKEN must be the app's 'Bot User OAuth Token'",
        "SLACK_CREDENTIALS.SIGNING_SECRET must be the app's 'Signing Secret'",
        "AGENT must be an object.",
        "CHANNEL_CONFIG.ALLOWED_CHANNELS.1 must be a channel's id",
        "CHANNEL_CONFIG.ALLOWED_CHANNELS.2 must be a valid string.",
        "CONTEXT_CONFIG.THREAD_TIMEOUT_MIN must be greater than or equal to 1.",
        "LANGUAGE must be one of en, pt-BR.",
        "SYSTEM_PROMPT must be a valid string.",
        "CONNECTION_NAME must not hold a NUL character.",
    ):
        assert path in text
    assert "canary" not in text


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({}, "SLACK_CREDENTIALS is required."),
        ({"SLACK_CREDENTIALS": None}, "SLACK_CREDENTIALS must be an object."),
        ({"SLACK_CREDENTIALS": {}}, "SLACK_CREDENTIALS.BOT_TOKEN is required."),
        (make_state(CHANNEL_CONFIG={"ALLOWED_CHANNELS": "C1"}), "CHANNEL_CONFIG.ALLOWED_CHANNELS must be a list."),
        (
            {"SLACK_CREDENTIALS": {"BOT_TOKEN": "xoxb-a\r\nX-Evil: 1", "SIGNING_SECRET": "s"}},
            "SLACK_CREDENTIALS.BOT_TOKEN must be the app's",
        ),
    ],
)
def test_a_mistake_is_told_in_plain_words(state: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_state(state)
    assert sentence in str(caught.value)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(values=st.fixed_dictionaries({}, optional=dict.fromkeys(SCHEMA["properties"], JSON_VALUES)))
def test_no_state_leads_to_another_error(values: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidInputError):
        parse_state(values)


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


def test_the_policy_of_the_tools_and_the_user_token_are_read() -> None:
    state = parse_state(
        {
            "SLACK_CREDENTIALS": {
                "BOT_TOKEN": BOT_TOKEN,
                "SIGNING_SECRET": SIGNING_SECRET,
                "USER_TOKEN": " xoxp-canary ",
            },
            "TOOLS_CONFIG": {
                "READ_ONLY": True,
                "ALLOWED_TOOLS": ["SLACK_SEND_MESSAGE", "", "SLACK_SEND_MESSAGE"],
                "DENIED_TOOLS": ["SLACK_DELETE_MESSAGE "],
                "WRITE_CHANNELS": ["C1"],
                "DENIED_WRITE_CHANNELS": ["C2"],
            },
        }
    )
    assert state.credentials.user_token == Secret("xoxp-canary")
    assert state.tools == ToolPolicy(
        is_read_only=True,
        allowed_tools=("SLACK_SEND_MESSAGE",),
        denied_tools=("SLACK_DELETE_MESSAGE",),
        write_channels=(ChannelId("C1"),),
        denied_write_channels=(ChannelId("C2"),),
    )
    assert parse_state(make_state(TOOLS_CONFIG={})).tools == ToolPolicy()
    assert parse_state(make_state()).tools is None
    assert parse_state(make_state()).credentials.user_token is None


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"READ_ONLY": "yes please"}, "TOOLS_CONFIG.READ_ONLY must be a valid boolean"),
        ({"READONLY": True}, "TOOLS_CONFIG.READONLY"),
        ({"WRITE_CHANNELS": ["#canary"]}, "TOOLS_CONFIG.WRITE_CHANNELS.0 must be a channel's id"),
        ({"DENIED_TOOLS": "canary"}, "TOOLS_CONFIG.DENIED_TOOLS must be a list"),
    ],
)
def test_a_policy_with_a_mistake_is_no_policy(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence) as caught:
        parse_state(make_state(TOOLS_CONFIG=config))
    assert "canary" not in str(caught.value)


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


@pytest.mark.parametrize(
    ("response", "trigger_only", "shows_placeholder"),
    [
        (None, False, True),
        ({}, False, True),
        ({"TRIGGER_ONLY": None, "SHOW_THINKING_MESSAGE": None}, False, True),
        ({"TRIGGER_ONLY": True, "SHOW_ONLY_FINAL_RESPONSE": True}, True, True),
        ({"TRIGGER_ONLY": True, "SHOW_THINKING_MESSAGE": False}, True, False),
    ],
)
def test_who_answers_is_read(response: Any, trigger_only: bool, shows_placeholder: bool) -> None:
    state = parse_state(make_state(RESPONSE_CONFIG=response))
    assert (state.trigger_only, state.show_thinking_message) == (trigger_only, shows_placeholder)


def test_who_answers_must_be_yes_or_no() -> None:
    with pytest.raises(InvalidInputError, match=r"RESPONSE_CONFIG\.TRIGGER_ONLY"):
        parse_state(make_state(RESPONSE_CONFIG={"TRIGGER_ONLY": "perhaps"}))
