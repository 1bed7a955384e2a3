"""The configuration that people fill in at Mesh: the form, and what is read out of it.

The keys are those of the form that existing Mesh connections were saved with, so their states hold further keys,
which are read over. The form offers only what the service does.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError

from slack_mcp.catalogue import CATALOGUE
from slack_mcp.connections.policy import is_channel_id
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.ids import ChannelId
from slack_mcp.core.model import ConnectionSettings, ToolPolicy
from slack_mcp.core.secret import Secret

EVENTS_PATH: Final = "/slack/events/{connectionId}"
BOT_TOKEN_PREFIX: Final = "xoxb-"  # noqa: S105 - https://docs.slack.dev/authentication/tokens
USER_TOKEN_PREFIX: Final = "xoxp-"  # noqa: S105 - the same page
MAX_POLICY_ENTRIES: Final = 200
AGENT_TYPE: Final = "@deco/agent"
MODEL_TYPE: Final = "@deco/language-model"
MAX_THREAD_TIMEOUT_MIN: Final = 10_080  # a week
_DEFAULTS: Final = ConnectionSettings()

# Pydantic's own words for these name classes and Python types.
_PLAIN: Final[Mapping[str, str]] = MappingProxyType(
    {"missing": "is required", "model_type": "must be an object", "tuple_type": "must be a list"}
)


def _read_credential(value: object, sentence: str, prefix: str = "") -> Secret:
    """Return a credential without the blanks that copying leaves around it."""
    text = value.strip() if isinstance(value, str) else ""
    # It goes into an HTTP header or an HMAC key: anything but visible ASCII was not copied from Slack.
    if not (text.startswith(prefix) and text.isascii() and text.isprintable() and " " not in text and text):
        raise ValueError(sentence)
    return Secret(text)


def _read_bot_token(value: object) -> Secret:
    return _read_credential(
        value,
        f"must be the app's 'Bot User OAuth Token', which starts with {BOT_TOKEN_PREFIX} (OAuth & Permissions)",
        BOT_TOKEN_PREFIX,
    )


def _read_user_token(value: object) -> Secret | None:
    if _empty_to_none(value) is None:
        return None
    return _read_credential(
        value,
        f"must be a 'User OAuth Token', which starts with {USER_TOKEN_PREFIX} (OAuth & Permissions), or nothing",
        USER_TOKEN_PREFIX,
    )


def _read_signing_secret(value: object) -> Secret:
    return _read_credential(value, "must be the app's 'Signing Secret' (Basic Information)")


def _empty_to_none(value: object) -> object:
    """Return None for what an untouched field of the form sends."""
    return None if isinstance(value, str) and not value.strip() else value


def _check_storable(text: str | None) -> str | None:
    if text is not None and "\x00" in text:
        raise ValueError("must not hold a NUL character")  # PostgreSQL stores none
    return text


def _drop_empty_lines(value: object) -> object:
    """Return a list without the lines that somebody added to the form and left empty; nothing as an empty list."""
    if isinstance(value, list):
        return [item for item in value if _empty_to_none(item) is not None]
    return () if value is None else value


def _read_channel(text: str) -> str:
    channel = text.strip()
    if not is_channel_id(channel):
        raise ValueError(
            "must be a channel's id such as C0123456789 (at the end of 'View channel details'), not its name"
        )
    return channel


def _check_language(language: str | None) -> str | None:
    if language is not None and language not in CATALOGUE:
        raise ValueError(f"must be one of {', '.join(CATALOGUE)}")
    return language


Text = Annotated[str | None, BeforeValidator(_empty_to_none), AfterValidator(_check_storable)]


class _Part(BaseModel):
    """A part of the state. Keys that are not ours belong to the seed's form, or to a newer one."""

    model_config = ConfigDict(extra="ignore", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)


class _Credentials(_Part):
    bot_token: Annotated[Secret, PlainValidator(_read_bot_token)] = Field(alias="BOT_TOKEN")
    signing_secret: Annotated[Secret, PlainValidator(_read_signing_secret)] = Field(alias="SIGNING_SECRET")
    user_token: Annotated[Secret | None, PlainValidator(_read_user_token)] = Field(default=None, alias="USER_TOKEN")


class _Binding(_Part):
    """A reference to something of Mesh. States of older forms hold the id as `id`."""

    value: Text = None
    id: Text = None

    @property
    def target(self) -> str | None:
        return self.value or self.id


class _Model(_Part):
    id: Text = None


class _LanguageModel(_Part):
    value: _Model | None = None


ChannelList = Annotated[
    tuple[Annotated[str, AfterValidator(_read_channel)], ...],
    BeforeValidator(_drop_empty_lines),
    Field(max_length=MAX_POLICY_ENTRIES),
]
ToolList = Annotated[
    tuple[Annotated[str, AfterValidator(str.strip)], ...],
    BeforeValidator(_drop_empty_lines),
    Field(max_length=MAX_POLICY_ENTRIES),
]


class _Channels(_Part):
    allowed: ChannelList = Field(default=(), alias="ALLOWED_CHANNELS")


class _Tools(_Part):
    # A restriction under another name restricts nothing: it is a mistake, and is told.
    model_config = ConfigDict(extra="forbid")

    is_read_only: bool | None = Field(default=None, alias="READ_ONLY")
    allowed: ToolList = Field(default=(), alias="ALLOWED_TOOLS")
    denied: ToolList = Field(default=(), alias="DENIED_TOOLS")
    write_channels: ChannelList = Field(default=(), alias="WRITE_CHANNELS")
    denied_write_channels: ChannelList = Field(default=(), alias="DENIED_WRITE_CHANNELS")


class _Context(_Part):
    thread_timeout_min: Annotated[int, Field(ge=1, le=MAX_THREAD_TIMEOUT_MIN)] | None = Field(
        default=None, alias="THREAD_TIMEOUT_MIN"
    )


class _Response(_Part):
    trigger_only: bool | None = Field(default=None, alias="TRIGGER_ONLY")
    show_thinking_message: bool | None = Field(default=None, alias="SHOW_THINKING_MESSAGE")


class MeshState(_Part):
    """The whole configuration, checked."""

    credentials: _Credentials = Field(alias="SLACK_CREDENTIALS")
    agent: _Binding | None = Field(default=None, alias="AGENT")
    model_provider: _Binding | None = Field(default=None, alias="MODEL_PROVIDER")
    language_model: _LanguageModel | None = Field(default=None, alias="LANGUAGE_MODEL")
    channels: _Channels | None = Field(default=None, alias="CHANNEL_CONFIG")
    context: _Context | None = Field(default=None, alias="CONTEXT_CONFIG")
    response: _Response | None = Field(default=None, alias="RESPONSE_CONFIG")
    chosen_tools: _Tools | None = Field(default=None, alias="TOOLS_CONFIG")
    connection_name: Text = Field(default=None, alias="CONNECTION_NAME")
    system_prompt: Text = Field(default=None, alias="SYSTEM_PROMPT")
    chosen_language: Annotated[Text, AfterValidator(_check_language)] = Field(default=None, alias="LANGUAGE")

    @property
    def agent_id(self) -> str | None:
        """The agent that answers, None when none is chosen."""
        return self.agent.target if self.agent else None

    @property
    def model_provider_id(self) -> str | None:
        """The model provider's connection, for the connections that were saved with one."""
        return self.model_provider.target if self.model_provider else None

    @property
    def model_id(self) -> str | None:
        """The model, for the connections that were saved with one."""
        return self.language_model.value.id if self.language_model and self.language_model.value else None

    @property
    def allowed_channels(self) -> tuple[ChannelId, ...]:
        """Where the bot may speak; empty means everywhere."""
        return tuple(ChannelId(channel) for channel in dict.fromkeys(self.channels.allowed)) if self.channels else ()

    @property
    def tools(self) -> ToolPolicy | None:
        """What the tools may do, None when the configuration does not say."""
        chosen = self.chosen_tools
        if chosen is None:
            return None
        return ToolPolicy(
            is_read_only=bool(chosen.is_read_only),
            allowed_tools=tuple(dict.fromkeys(chosen.allowed)),
            denied_tools=tuple(dict.fromkeys(chosen.denied)),
            write_channels=tuple(ChannelId(each) for each in dict.fromkeys(chosen.write_channels)),
            denied_write_channels=tuple(ChannelId(each) for each in dict.fromkeys(chosen.denied_write_channels)),
        )

    @property
    def language(self) -> str:
        """The catalogue of the bot's own sentences."""
        return self.chosen_language or _DEFAULTS.language

    @property
    def thread_timeout_min(self) -> int:
        """Minutes after which a silent thread starts afresh."""
        return (self.context and self.context.thread_timeout_min) or _DEFAULTS.thread_timeout_min

    @property
    def trigger_only(self) -> bool:
        """Whether the bot leaves the answers to the triggers' receivers."""
        chosen = self.response.trigger_only if self.response else None
        return _DEFAULTS.trigger_only if chosen is None else chosen

    @property
    def show_thinking_message(self) -> bool:
        """Whether a placeholder stands in the thread until the answer is there."""
        chosen = self.response.show_thinking_message if self.response else None
        return _DEFAULTS.show_thinking_message if chosen is None else chosen


def parse_state(state: Mapping[str, Any]) -> MeshState:
    """Return the configuration, checked as a whole.

    Raises:
        InvalidInputError: names every mistake there is, and no value.
    """
    try:
        return MeshState.model_validate(dict(state))
    except ValidationError as error:
        mistakes = [_render_mistake(dict(detail)) for detail in error.errors(include_url=False, include_input=False)]
    raise InvalidInputError(" ".join(["Nothing was saved.", *mistakes]))


def _render_mistake(detail: Mapping[str, Any]) -> str:
    """Return one sentence: where, and what must be there."""
    path = ".".join(str(part) for part in detail["loc"])
    said = detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return f"{path} {_PLAIN.get(detail['type'], said)}."


def render_state_schema(*, public_url: str | None) -> dict[str, Any]:
    """Return the form as a JSON Schema.

    Mesh shows it with react-jsonschema-form and knows a binding by `properties.__type.const`, at the top level alone.

    Args:
        public_url: where Slack reaches this service, None when the operator did not say.
    """
    where = public_url or "https://<this service>"
    return {
        "type": "object",
        "properties": {
            "WEBHOOK_URL": {
                "type": "string",
                "title": "Webhook URL",
                "description": "Set as Request URL in the Slack app's Event Subscriptions, with this connection's id "
                "(the browser's address shows it) in place of {connectionId}.",
                "default": where + EVENTS_PATH,
                "readOnly": True,
            },
            "SLACK_CREDENTIALS": {
                "type": "object",
                "title": "Slack app",
                "description": "From the app's pages at https://api.slack.com/apps.",
                "properties": {
                    "BOT_TOKEN": _text("Bot token", "OAuth & Permissions: Bot User OAuth Token, starts with xoxb-."),
                    "SIGNING_SECRET": _text("Signing secret", "Basic Information: Signing Secret."),
                    "USER_TOKEN": _text(
                        "User token",
                        "Optional. OAuth & Permissions: User OAuth Token, starts with xoxp-. The tools search and read "
                        "unread messages for this person, which Slack lets no bot do.",
                    ),
                },
                "required": ["BOT_TOKEN", "SIGNING_SECRET"],
            },
            "AGENT": _binding(
                AGENT_TYPE,
                "Agent",
                "Answers in Slack. Without one, the service's own default answers, if it has any.",
            ),
            "MODEL_PROVIDER": _binding(
                "@deco/llm", "Model provider", "Kept for connections of older versions of Mesh; the agent has its own."
            ),
            "LANGUAGE_MODEL": {
                "type": "object",
                "title": "Language model",
                "description": "Of the model provider; the agent has its own.",
                "properties": {
                    "__type": {"type": "string", "const": MODEL_TYPE, "default": MODEL_TYPE},
                    "value": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
                },
                "required": ["__type", "value"],
            },
            "WHISPER": _binding(
                "@deco/whisper", "Whisper", "Kept for voice messages, which the bot does not read yet."
            ),
            "EVENT_BUS": _binding(
                "@deco/event-bus", "Event bus", "Of older versions of Mesh; events are told by triggers."
            ),
            "DATABASE": _binding(
                "@deco/postgres", "Database", "Not used: the service keeps its data in its operator's own database."
            ),
            "SYSTEM_PROMPT": _text("Instructions", "What the agent is told before each conversation."),
            "LANGUAGE": {
                "type": "string",
                "title": "Language",
                "description": "Of the bot's own sentences; the agent answers in whatever language it likes.",
                "enum": list(CATALOGUE),
                "default": _DEFAULTS.language,
            },
            "CHANNEL_CONFIG": {
                "type": "object",
                "title": "Channels",
                "properties": {
                    "ALLOWED_CHANNELS": _list(
                        "Allowed channels",
                        "Ids of the channels in which the bot may speak, such as C0123456789. None: all. Direct "
                        "messages are always answered.",
                    ),
                },
            },
            "TOOLS_CONFIG": {
                "type": "object",
                "title": "Tools",
                "description": "What the tools may do for this connection, whoever calls them.",
                "properties": {
                    "READ_ONLY": {
                        "type": "boolean",
                        "title": "Read only",
                        "description": "No tool that writes.",
                        "default": False,
                    },
                    "ALLOWED_TOOLS": _list("Allowed tools", "Names of the only tools there are. None: all."),
                    "DENIED_TOOLS": _list("Denied tools", "Names of tools that nobody may call."),
                    "WRITE_CHANNELS": _list(
                        "Channels to write to",
                        "Ids of the only channels that tools may write to; what belongs to no channel is not written "
                        "at all then. None: all.",
                    ),
                    "DENIED_WRITE_CHANNELS": _list(
                        "Channels never to write to", "Ids of channels that tools may not write to."
                    ),
                },
            },
            "CONTEXT_CONFIG": {
                "type": "object",
                "title": "Conversation",
                "properties": {
                    "THREAD_TIMEOUT_MIN": {
                        "type": "integer",
                        "title": "Thread timeout in minutes",
                        "description": "After this much silence a thread's earlier messages are forgotten.",
                        "minimum": 1,
                        "maximum": MAX_THREAD_TIMEOUT_MIN,
                        "default": _DEFAULTS.thread_timeout_min,
                    },
                },
            },
            "RESPONSE_CONFIG": {
                "type": "object",
                "title": "Answers",
                "properties": {
                    "TRIGGER_ONLY": {
                        "type": "boolean",
                        "title": "Leave the answers to automations",
                        "description": "The bot answers nothing by itself: Slack's events only start automations.",
                        "default": _DEFAULTS.trigger_only,
                    },
                    "SHOW_THINKING_MESSAGE": {
                        "type": "boolean",
                        "title": "Placeholder for automations",
                        "description": "Where automations answer: the bot at once posts a placeholder, which the "
                        "automation's agent edits into the answer (thinking_message_ts).",
                        "default": _DEFAULTS.show_thinking_message,
                    },
                },
            },
            "CONNECTION_NAME": _text("Name", "For people who look after the service."),
        },
        "required": ["SLACK_CREDENTIALS"],
    }


def _text(title: str, description: str) -> dict[str, str]:
    return {"type": "string", "title": title, "description": description}


def _list(title: str, description: str) -> dict[str, Any]:
    return {"type": "array", "title": title, "description": description, "items": {"type": "string"}}


def _binding(kind: str, title: str, description: str) -> dict[str, Any]:
    """Return a field in which Mesh lets people choose a connection of this kind."""
    return {
        "type": "object",
        "title": title,
        "description": description,
        "properties": {
            "__type": {"type": "string", "const": kind, "default": kind},
            "value": {"type": "string"},
        },
        "required": ["__type", "value"],
    }
