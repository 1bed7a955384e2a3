from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.catalogue import CATALOGUE
from slack_mcp.connections.choices import MAX_MESSAGES, MAX_PER_MIN, parse_choices, render_choices
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.ids import ChannelId, UserId
from slack_mcp.core.model import (
    AgentBackend,
    ChannelOverride,
    ConnectionSettings,
    ContextSettings,
    Distribution,
    Speaking,
    SuggestedPrompt,
    ToolPolicy,
)

DEFAULTS = ConnectionSettings()
CHOSEN = {
    "LANGUAGE": "pt-BR",
    "CHANNEL_CONFIG": {
        "ALLOWED_CHANNELS": ["C1", " C2"],
        "ALLOW_EXTERNAL": True,
        "OVERRIDES": [
            {"CHANNEL": "C2", "INSTRUCTIONS": "Be brief.", "SUGGESTED_PROMPTS": [{"TITLE": " News? "}, {}]},
            {},
        ],
    },
    "USERS_CONFIG": {
        "ALLOWED_USERS": ["U1", "W2", "U1"],
        "DENIED_USERS": ["U3"],
        "ALLOW_BOTS": True,
        "USER_PER_MIN": 0,
        "CHANNEL_PER_MIN": 9,
    },
    "CONTEXT_CONFIG": {
        "MAX_MESSAGES_TO_FETCH": 0,
        "MAX_MESSAGES_BEFORE_SUMMARY": 8.0,
        "RECENT_MESSAGES_TO_KEEP": 3,
        "THREAD_TIMEOUT_MIN": 60,
    },
    "RESPONSE_CONFIG": {"ENABLE_STREAMING": False, "ALLOW_MENTIONS": True, "TRIGGER_ONLY": True},
    "ASSISTANT_CONFIG": {
        "GREETING": "Hello!",
        "SUGGESTED_PROMPTS": [{"TITLE": "Plan", "MESSAGE": "What is planned?"}],
        "ASK_AGENT": True,
    },
    "TOOLS_CONFIG": {
        "READ_ONLY": True,
        "ALLOWED_TOOLS": ["SLACK_SEND_MESSAGE", "", "SLACK_SEND_MESSAGE"],
        "DENIED_TOOLS": ["SLACK_DELETE_MESSAGE "],
        "WRITE_CHANNELS": ["C1"],
        "DENIED_WRITE_CHANNELS": ["C2"],
        "APPROVE_OUTSIDE_THREAD": True,
    },
    "WHISPER": {"__type": "@deco/whisper", "value": "conn_whisper"},
    "DISTRIBUTION": "internal",
}


def test_everything_that_can_be_chosen_is_read() -> None:
    assert parse_choices(CHOSEN).apply_to(ConnectionSettings(agent=AgentBackend.ECHO)) == ConnectionSettings(
        agent=AgentBackend.ECHO,
        allowed_channels=(ChannelId("C1"), ChannelId("C2")),
        language="pt-BR",
        thread_timeout_min=60,
        tools=ToolPolicy(
            is_read_only=True,
            allowed_tools=("SLACK_SEND_MESSAGE",),
            denied_tools=("SLACK_DELETE_MESSAGE",),
            write_channels=(ChannelId("C1"),),
            denied_write_channels=(ChannelId("C2"),),
            approve_outside_thread=True,
        ),
        trigger_only=True,
        streaming=False,
        allow_mentions=True,
        speaking=Speaking(
            allow_bots=True,
            allowed_users=(UserId("U1"), UserId("W2")),
            denied_users=(UserId("U3"),),
            allow_external=True,
            user_per_min=0,
            channel_per_min=9,
        ),
        context=ContextSettings(max_fetched=0, max_unsummarized=8, recent_kept=3),
        channels={
            ChannelId("C2"): ChannelOverride(
                system_prompt="Be brief.", suggested_prompts=(SuggestedPrompt(title="News?", message="News?"),)
            )
        },
        greeting="Hello!",
        suggested_prompts=(SuggestedPrompt(title="Plan", message="What is planned?"),),
        ask_agent_for_prompts=True,
        whisper_id="conn_whisper",
        distribution=Distribution.INTERNAL,
    )


def test_what_is_not_chosen_gets_its_default_but_who_answers_and_the_policy_stay() -> None:
    stored = ConnectionSettings(
        agent=AgentBackend.OPENAI, tools=ToolPolicy(is_read_only=True), greeting="Hello!", streaming=False
    )
    kept = ConnectionSettings(agent=AgentBackend.OPENAI, tools=ToolPolicy(is_read_only=True))
    assert parse_choices({}).apply_to(stored) == kept
    assert parse_choices({"TOOLS_CONFIG": {}}).apply_to(stored).tools == ToolPolicy()


def test_only_the_final_answer_leaves_nothing_else_to_be_seen() -> None:
    chosen = {"SHOW_ONLY_FINAL_RESPONSE": True, "ENABLE_STREAMING": True, "SHOW_THINKING_MESSAGE": True}
    settings = parse_choices({"RESPONSE_CONFIG": chosen}).apply_to(DEFAULTS)
    assert (settings.final_only, settings.streaming, settings.show_thinking_message) == (True, False, False)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"SYSTEM_PROMPT": "canary"}, "SYSTEM_PROMPT is no setting."),
        ({"CONTEXT_CONFIG": {"TIMEOUT": 7}}, "CONTEXT_CONFIG.TIMEOUT is no setting."),
        ({"CONTEXT_CONFIG": "canary"}, "CONTEXT_CONFIG must be an object."),
        ({"CONTEXT_CONFIG": {"RECENT_MESSAGES_TO_KEEP": 1.5}}, "CONTEXT_CONFIG.RECENT_MESSAGES_TO_KEEP must be"),
        ({"CHANNEL_CONFIG": {"ALLOWED_CHANNELS": ["canary"]}}, "ALLOWED_CHANNELS.0 must be a channel's id"),
        ({"CHANNEL_CONFIG": {"OVERRIDES": [{"INSTRUCTIONS": "canary"}]}}, "OVERRIDES.0.CHANNEL is required."),
        ({"CHANNEL_CONFIG": {"OVERRIDES": [{"CHANNEL": "C1"}] * 2}}, "OVERRIDES must name each channel once."),
        (
            {"CHANNEL_CONFIG": {"OVERRIDES": [{"CHANNEL": f"C{number}"} for number in range(51)]}},
            "OVERRIDES must have at most 50 items",
        ),
        ({"USERS_CONFIG": {"DENIED_USERS": ["U1", "@canary"]}}, "DENIED_USERS.1 must be a person's id"),
        ({"USERS_CONFIG": {"DENIED_USERS": "U1"}}, "USERS_CONFIG.DENIED_USERS must be a list."),
        ({"USERS_CONFIG": {"ALLOW_BOTS": "canary"}}, "USERS_CONFIG.ALLOW_BOTS must be a valid boolean"),
        ({"RESPONSE_CONFIG": {"TRIGGER_ONLY": "perhaps"}}, "RESPONSE_CONFIG.TRIGGER_ONLY must be a valid boolean"),
        ({"ASSISTANT_CONFIG": {"GREETING": "canary\x00"}}, "GREETING must not hold a NUL character."),
        ({"ASSISTANT_CONFIG": {"SUGGESTED_PROMPTS": [{"MESSAGE": "canary"}]}}, "PROMPTS.0.TITLE is required."),
        ({"ASSISTANT_CONFIG": {"SUGGESTED_PROMPTS": [{"TITLE": "Hi"}] * 5}}, "PROMPTS must have at most 4 items"),
        ({"TOOLS_CONFIG": {"READ_ONLY": "yes please"}}, "TOOLS_CONFIG.READ_ONLY must be a valid boolean"),
        ({"TOOLS_CONFIG": {"READONLY": True}}, "TOOLS_CONFIG.READONLY is no setting."),
        ({"TOOLS_CONFIG": {"WRITE_CHANNELS": ["#canary"]}}, "TOOLS_CONFIG.WRITE_CHANNELS.0 must be a channel's id"),
        ({"TOOLS_CONFIG": {"DENIED_TOOLS": "canary"}}, "TOOLS_CONFIG.DENIED_TOOLS must be a list"),
        ({"DISTRIBUTION": "canary"}, "DISTRIBUTION must be 'internal', 'marketplace' or 'unlisted'."),
        ({"LANGUAGE": "canary"}, "LANGUAGE must be one of en, pt-BR."),
    ],
)
def test_a_mistake_is_told_in_plain_words_and_without_the_value(state: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_choices(state)
    assert sentence in str(caught.value)
    assert "canary" not in str(caught.value)


CHANNELS = st.from_regex(r"[CGD][A-Z0-9]{1,10}", fullmatch=True).map(ChannelId)
USERS = st.from_regex(r"[UW][A-Z0-9]{1,10}", fullmatch=True).map(UserId)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20).filter(
    str.strip
)
PROMPTS = st.lists(st.builds(SuggestedPrompt, title=TEXTS.map(str.strip), message=TEXTS), max_size=4).map(tuple)


def list_of(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=3, unique=True).map(tuple)


def make_quiet(settings: ConnectionSettings) -> ConnectionSettings:
    return replace(settings, final_only=True, streaming=False, show_thinking_message=False)


SETTINGS = st.builds(
    ConnectionSettings,
    agent=st.none(),
    allowed_channels=list_of(CHANNELS),
    language=st.sampled_from(list(CATALOGUE)),
    thread_timeout_min=st.integers(1, 10_080),
    tools=st.builds(
        ToolPolicy,
        is_read_only=st.booleans(),
        approve_outside_thread=st.booleans(),
        allowed_tools=list_of(TEXTS.map(str.strip)),
        denied_tools=list_of(TEXTS.map(str.strip)),
        write_channels=list_of(CHANNELS),
        denied_write_channels=list_of(CHANNELS),
    ),
    speaking=st.builds(
        Speaking,
        allow_bots=st.booleans(),
        allow_external=st.booleans(),
        allowed_users=list_of(USERS),
        denied_users=list_of(USERS),
        user_per_min=st.integers(0, MAX_PER_MIN),
        channel_per_min=st.integers(0, MAX_PER_MIN),
    ),
    context=st.builds(
        ContextSettings,
        max_fetched=st.integers(0, MAX_MESSAGES),
        max_unsummarized=st.integers(0, MAX_MESSAGES),
        recent_kept=st.integers(0, MAX_MESSAGES),
    ),
    channels=st.dictionaries(
        CHANNELS, st.builds(ChannelOverride, system_prompt=st.none() | TEXTS, suggested_prompts=PROMPTS), max_size=3
    ),
    greeting=st.none() | TEXTS,
    suggested_prompts=PROMPTS,
    ask_agent_for_prompts=st.booleans(),
    whisper_id=st.none() | TEXTS,
    distribution=st.none() | st.sampled_from(Distribution),
    trigger_only=st.booleans(),
    allow_mentions=st.booleans(),
    show_thinking_message=st.booleans(),
    streaming=st.booleans(),
)


@given(settings=SETTINGS | SETTINGS.map(make_quiet), before=SETTINGS)
def test_what_is_shown_is_read_as_the_same_settings(settings: ConnectionSettings, before: ConnectionSettings) -> None:
    assert parse_choices(render_choices(settings)).apply_to(before) == settings
