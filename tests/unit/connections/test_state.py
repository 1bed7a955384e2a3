import contextlib
from typing import Any

import pytest
from configuration_fakes import BOT_TOKEN, SIGNING_SECRET, make_state
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.connections.form import render_state_schema
from slack_mcp.connections.state import parse_state
from slack_mcp.core.errors import InvalidInputError
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
    assert state.connection_name == "Acme"
    settings = state.apply_to(ConnectionSettings())
    assert settings.allowed_channels == ("C1", "C2")
    assert (settings.thread_timeout_min, settings.context.max_fetched) == (30, 50)
    assert settings.whisper_id == "conn_whisper"


def test_the_credentials_are_enough_and_the_rest_has_the_defaults_of_a_connection() -> None:
    state = parse_state(make_state())
    assert state.agent_id is state.model_provider_id is state.model_id is None
    assert state.connection_name is state.system_prompt is None
    assert (state.tools, state.credentials.user_token) == (None, None)
    assert state.apply_to(ConnectionSettings()) == ConnectionSettings()


def test_untouched_fields_of_the_form_are_not_set() -> None:
    state = parse_state(
        make_state(
            AGENT={"__type": "@deco/agent", "value": ""},
            MODEL_PROVIDER=None,
            LANGUAGE_MODEL={"__type": "@deco/language-model"},
            CHANNEL_CONFIG={
                "ALLOWED_CHANNELS": ["", None],
                "ALLOW_EXTERNAL": None,
                "OVERRIDES": [None, {}, {"CHANNEL": " ", "INSTRUCTIONS": "", "SUGGESTED_PROMPTS": []}],
            },
            USERS_CONFIG={"ALLOWED_USERS": [""], "USER_PER_MIN": None},
            CONTEXT_CONFIG={"THREAD_TIMEOUT_MIN": None},
            RESPONSE_CONFIG=None,
            ASSISTANT_CONFIG={"GREETING": " ", "SUGGESTED_PROMPTS": [{"TITLE": ""}]},
            WHISPER={"__type": "@deco/whisper", "value": ""},
            DISTRIBUTION="",
            CONNECTION_NAME="  ",
            SYSTEM_PROMPT="",
            LANGUAGE="",
        )
    )
    assert state.agent_id is state.model_id is state.connection_name is state.system_prompt is None
    assert state.apply_to(ConnectionSettings()) == ConnectionSettings()


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
    assert state.apply_to(ConnectionSettings()).allowed_channels == ("C1",)


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
        ({"SLACK_CREDENTIALS": None}, "SLACK_CREDENTIALS is required."),
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


def test_the_user_token_is_read_without_the_blanks_around_it() -> None:
    credentials = {"BOT_TOKEN": BOT_TOKEN, "SIGNING_SECRET": SIGNING_SECRET, "USER_TOKEN": " xoxp-canary "}
    assert parse_state({"SLACK_CREDENTIALS": credentials}).credentials.user_token == Secret("xoxp-canary")


def test_a_policy_stays_until_something_is_said_of_it() -> None:
    stored = ConnectionSettings(tools=ToolPolicy(is_read_only=True))
    assert parse_state(make_state()).apply_to(stored).tools == stored.tools
    assert parse_state(make_state(TOOLS_CONFIG={})).apply_to(stored).tools == ToolPolicy()
