"""What a tenant may choose beside its credentials, in the form's keys: read, applied to a connection, and shown again.

The form in Mesh and the file of `slack-mcp connections settings` are the same sections, read by the same rules. The
keys are those of the form that existing Mesh connections were saved with, and new ones beside them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from slack_mcp.catalogue import CATALOGUE
from slack_mcp.connections.fields import (
    Binding,
    ChannelIdText,
    ChannelList,
    Restrictions,
    Section,
    Text,
    ToolList,
    UserList,
    drop_empty_lines,
    render_mistakes,
)
from slack_mcp.core.ids import ChannelId, UserId
from slack_mcp.core.model import (
    ChannelOverride,
    ConnectionSettings,
    ContextSettings,
    Distribution,
    Speaking,
    SuggestedPrompt,
    ToolPolicy,
)

DEFAULTS: Final = ConnectionSettings()
MAX_THREAD_TIMEOUT_MIN: Final = 10_080  # a week
MAX_MESSAGES: Final = 1_000  # of one page of https://docs.slack.dev/reference/methods/conversations.replies
MAX_PER_MIN: Final = 1_000
MAX_OVERRIDES: Final = 50
MAX_PROMPTS: Final = 4  # https://docs.slack.dev/reference/methods/assistant.threads.setSuggestedPrompts
MAX_TITLE_CHARS: Final = 75
MAX_PROMPT_CHARS: Final = 2_000
MAX_GREETING_CHARS: Final = 3_000  # of one block: https://docs.slack.dev/reference/block-kit/blocks/section-block
WHISPER_TYPE: Final = "@deco/whisper"


class _Prompt(Section):
    title: Annotated[Text, AfterValidator(str.strip), Field(max_length=MAX_TITLE_CHARS)] = Field(alias="TITLE")
    message: Annotated[Text, Field(max_length=MAX_PROMPT_CHARS)] | None = Field(default=None, alias="MESSAGE")

    @property
    def prompt(self) -> SuggestedPrompt:
        return SuggestedPrompt(title=self.title, message=self.message or self.title)


_Prompts = Annotated[tuple[_Prompt, ...], BeforeValidator(drop_empty_lines), Field(max_length=MAX_PROMPTS)]


class _Override(Section):
    channel: ChannelIdText = Field(alias="CHANNEL")
    instructions: Text | None = Field(default=None, alias="INSTRUCTIONS")
    prompts: _Prompts = Field(default=(), alias="SUGGESTED_PROMPTS")

    @property
    def override(self) -> ChannelOverride:
        return ChannelOverride(system_prompt=self.instructions, suggested_prompts=_list_prompts(self.prompts))


def _check_once(overrides: tuple[_Override, ...]) -> tuple[_Override, ...]:
    if len({each.channel for each in overrides}) < len(overrides):
        raise ValueError("must name each channel once")
    return overrides


def _check_language(language: str) -> str:
    if language not in CATALOGUE:
        raise ValueError(f"must be one of {', '.join(CATALOGUE)}")
    return language


class _Channels(Section):
    allowed: ChannelList = Field(default=(), alias="ALLOWED_CHANNELS")
    allow_external: bool = Field(default=DEFAULTS.speaking.allow_external, alias="ALLOW_EXTERNAL")
    overrides: Annotated[
        tuple[_Override, ...],
        BeforeValidator(drop_empty_lines),
        AfterValidator(_check_once),
        Field(max_length=MAX_OVERRIDES),
    ] = Field(default=(), alias="OVERRIDES")


_PerMin = Annotated[int, Field(ge=0, le=MAX_PER_MIN)]


class _Users(Restrictions):
    allowed: UserList = Field(default=(), alias="ALLOWED_USERS")
    denied: UserList = Field(default=(), alias="DENIED_USERS")
    allow_bots: bool = Field(default=DEFAULTS.speaking.allow_bots, alias="ALLOW_BOTS")
    user_per_min: _PerMin = Field(default=DEFAULTS.speaking.user_per_min, alias="USER_PER_MIN")
    channel_per_min: _PerMin = Field(default=DEFAULTS.speaking.channel_per_min, alias="CHANNEL_PER_MIN")


_Messages = Annotated[int, Field(ge=0, le=MAX_MESSAGES)]


class _Context(Section):
    max_fetched: _Messages = Field(default=DEFAULTS.context.max_fetched, alias="MAX_MESSAGES_TO_FETCH")
    max_unsummarized: _Messages = Field(default=DEFAULTS.context.max_unsummarized, alias="MAX_MESSAGES_BEFORE_SUMMARY")
    recent_kept: _Messages = Field(default=DEFAULTS.context.recent_kept, alias="RECENT_MESSAGES_TO_KEEP")
    thread_timeout_min: Annotated[int, Field(ge=1, le=MAX_THREAD_TIMEOUT_MIN)] = Field(
        default=DEFAULTS.thread_timeout_min, alias="THREAD_TIMEOUT_MIN"
    )


class _Response(Section):
    streaming: bool = Field(default=DEFAULTS.streaming, alias="ENABLE_STREAMING")
    show_thinking_message: bool = Field(default=DEFAULTS.show_thinking_message, alias="SHOW_THINKING_MESSAGE")
    final_only: bool = Field(default=DEFAULTS.final_only, alias="SHOW_ONLY_FINAL_RESPONSE")
    allow_mentions: bool = Field(default=DEFAULTS.allow_mentions, alias="ALLOW_MENTIONS")
    trigger_only: bool = Field(default=DEFAULTS.trigger_only, alias="TRIGGER_ONLY")


class _Assistant(Section):
    greeting: Annotated[Text, Field(max_length=MAX_GREETING_CHARS)] | None = Field(default=None, alias="GREETING")
    prompts: _Prompts = Field(default=(), alias="SUGGESTED_PROMPTS")
    ask_agent: bool = Field(default=DEFAULTS.ask_agent_for_prompts, alias="ASK_AGENT")


class _Tools(Restrictions):
    is_read_only: bool = Field(default=False, alias="READ_ONLY")
    allowed: ToolList = Field(default=(), alias="ALLOWED_TOOLS")
    denied: ToolList = Field(default=(), alias="DENIED_TOOLS")
    write_channels: ChannelList = Field(default=(), alias="WRITE_CHANNELS")
    denied_write_channels: ChannelList = Field(default=(), alias="DENIED_WRITE_CHANNELS")
    approve_outside_thread: bool = Field(default=False, alias="APPROVE_OUTSIDE_THREAD")


class Choices(Section):
    """All of it, checked."""

    language: Annotated[Text, AfterValidator(_check_language)] = Field(default=DEFAULTS.language, alias="LANGUAGE")
    channels: _Channels = Field(default_factory=_Channels, alias="CHANNEL_CONFIG")
    users: _Users = Field(default_factory=_Users, alias="USERS_CONFIG")
    context: _Context = Field(default_factory=_Context, alias="CONTEXT_CONFIG")
    response: _Response = Field(default_factory=_Response, alias="RESPONSE_CONFIG")
    assistant: _Assistant = Field(default_factory=_Assistant, alias="ASSISTANT_CONFIG")
    chosen_tools: _Tools | None = Field(default=None, alias="TOOLS_CONFIG")
    whisper: Binding = Field(default_factory=Binding, alias="WHISPER")
    distribution: Distribution | None = Field(default=None, alias="DISTRIBUTION")

    @property
    def tools(self) -> ToolPolicy | None:
        """What the tools may do, None when nothing is said of it."""
        chosen = self.chosen_tools
        if chosen is None:
            return None
        return ToolPolicy(
            is_read_only=chosen.is_read_only,
            allowed_tools=tuple(dict.fromkeys(chosen.allowed)),
            denied_tools=tuple(dict.fromkeys(chosen.denied)),
            write_channels=_list_channels(chosen.write_channels),
            denied_write_channels=_list_channels(chosen.denied_write_channels),
            approve_outside_thread=chosen.approve_outside_thread,
        )

    def apply_to(self, settings: ConnectionSettings) -> ConnectionSettings:
        """Return the settings with all that is chosen: what is not named has its default.

        Who answers stays as it is, and so does the tools' policy when nothing is said of it: what an operator set
        stands until somebody says otherwise.
        """
        users, context, response, assistant = self.users, self.context, self.response, self.assistant
        return replace(
            settings,
            allowed_channels=_list_channels(self.channels.allowed),
            language=self.language,
            thread_timeout_min=context.thread_timeout_min,
            tools=self.tools or settings.tools,
            trigger_only=response.trigger_only,
            # "Only the final answer" leaves nothing else to be seen, as it did in the form that these keys are from.
            show_thinking_message=response.show_thinking_message and not response.final_only,
            streaming=response.streaming and not response.final_only,
            final_only=response.final_only,
            allow_mentions=response.allow_mentions,
            speaking=Speaking(
                allow_bots=users.allow_bots,
                allowed_users=_list_users(users.allowed),
                denied_users=_list_users(users.denied),
                allow_external=self.channels.allow_external,
                user_per_min=users.user_per_min,
                channel_per_min=users.channel_per_min,
            ),
            context=ContextSettings(
                max_fetched=context.max_fetched,
                max_unsummarized=context.max_unsummarized,
                recent_kept=context.recent_kept,
            ),
            channels={ChannelId(each.channel): each.override for each in self.channels.overrides},
            greeting=assistant.greeting,
            suggested_prompts=_list_prompts(assistant.prompts),
            ask_agent_for_prompts=assistant.ask_agent,
            whisper_id=self.whisper.target,
            distribution=self.distribution,
        )


def parse_choices(state: Mapping[str, Any]) -> Choices:
    """Return what is chosen in a file, whose keys must all be known: nothing older or newer wrote it.

    Raises:
        InvalidInputError: names every mistake there is, and no value.
    """
    try:
        return Choices.model_validate(dict(state), extra="forbid")
    except ValidationError as error:
        mistakes = render_mistakes(error)
    raise mistakes


def render_choices(settings: ConnectionSettings) -> dict[str, Any]:
    """Return settings as the state that they are read from: `Choices` of it gives the same settings."""
    speaking, context, tools = settings.speaking, settings.context, settings.tools
    return {
        "LANGUAGE": settings.language,
        "CHANNEL_CONFIG": {
            "ALLOWED_CHANNELS": list(settings.allowed_channels),
            "ALLOW_EXTERNAL": speaking.allow_external,
            "OVERRIDES": [
                {
                    "CHANNEL": channel_id,
                    "INSTRUCTIONS": override.system_prompt,
                    "SUGGESTED_PROMPTS": _render_prompts(override.suggested_prompts),
                }
                for channel_id, override in settings.channels.items()
            ],
        },
        "USERS_CONFIG": {
            "ALLOWED_USERS": list(speaking.allowed_users),
            "DENIED_USERS": list(speaking.denied_users),
            "ALLOW_BOTS": speaking.allow_bots,
            "USER_PER_MIN": speaking.user_per_min,
            "CHANNEL_PER_MIN": speaking.channel_per_min,
        },
        "CONTEXT_CONFIG": {
            "MAX_MESSAGES_TO_FETCH": context.max_fetched,
            "MAX_MESSAGES_BEFORE_SUMMARY": context.max_unsummarized,
            "RECENT_MESSAGES_TO_KEEP": context.recent_kept,
            "THREAD_TIMEOUT_MIN": settings.thread_timeout_min,
        },
        "RESPONSE_CONFIG": {
            "ENABLE_STREAMING": settings.streaming,
            "SHOW_THINKING_MESSAGE": settings.show_thinking_message,
            "SHOW_ONLY_FINAL_RESPONSE": settings.final_only,
            "ALLOW_MENTIONS": settings.allow_mentions,
            "TRIGGER_ONLY": settings.trigger_only,
        },
        "ASSISTANT_CONFIG": {
            "GREETING": settings.greeting,
            "SUGGESTED_PROMPTS": _render_prompts(settings.suggested_prompts),
            "ASK_AGENT": settings.ask_agent_for_prompts,
        },
        "TOOLS_CONFIG": {
            "READ_ONLY": tools.is_read_only,
            "ALLOWED_TOOLS": list(tools.allowed_tools),
            "DENIED_TOOLS": list(tools.denied_tools),
            "WRITE_CHANNELS": list(tools.write_channels),
            "DENIED_WRITE_CHANNELS": list(tools.denied_write_channels),
            "APPROVE_OUTSIDE_THREAD": tools.approve_outside_thread,
        },
        "WHISPER": {"__type": WHISPER_TYPE, "value": settings.whisper_id} if settings.whisper_id else None,
        "DISTRIBUTION": settings.distribution.value if settings.distribution else None,
    }


def _list_channels(texts: Iterable[str]) -> tuple[ChannelId, ...]:
    return tuple(ChannelId(each) for each in dict.fromkeys(texts))


def _list_users(texts: Iterable[str]) -> tuple[UserId, ...]:
    return tuple(UserId(each) for each in dict.fromkeys(texts))


def _list_prompts(prompts: Iterable[_Prompt]) -> tuple[SuggestedPrompt, ...]:
    return tuple(each.prompt for each in prompts)


def _render_prompts(prompts: Iterable[SuggestedPrompt]) -> list[Mapping[str, str]]:
    return [{"TITLE": each.title, "MESSAGE": each.message} for each in prompts]
