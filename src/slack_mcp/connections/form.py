"""The form in which Mesh lets people configure a connection, as JSON Schema. It offers only what the service does."""

from collections.abc import Mapping
from typing import Any, Final

from slack_mcp.catalogue import CATALOGUE
from slack_mcp.connections.choices import (
    DEFAULTS,
    MAX_GREETING_CHARS,
    MAX_MESSAGES,
    MAX_OVERRIDES,
    MAX_PER_MIN,
    MAX_PROMPT_CHARS,
    MAX_PROMPTS,
    MAX_THREAD_TIMEOUT_MIN,
    MAX_TITLE_CHARS,
    WHISPER_TYPE,
)
from slack_mcp.core.model import Distribution

EVENTS_PATH: Final = "/slack/events/{connectionId}"
AGENT_TYPE: Final = "@deco/agent"
MODEL_TYPE: Final = "@deco/language-model"

Schema = dict[str, Any]


def render_state_schema(*, public_url: str | None) -> Schema:
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
            "EVENT_BUS": _binding(
                "@deco/event-bus", "Event bus", "Of older versions of Mesh; events are told by triggers."
            ),
            "DATABASE": _binding(
                "@deco/postgres", "Database", "Not used: the service keeps its data in its operator's own database."
            ),
            "SYSTEM_PROMPT": _text("Instructions", "What the agent is told before each conversation."),
            **render_choices_schema(),
            "CONNECTION_NAME": _text("Name", "For people who look after the service."),
        },
        "required": ["SLACK_CREDENTIALS"],
    }


def render_choices_schema() -> Schema:
    """Return the fields of what is chosen beside the credentials, each as `choices.Choices` reads it."""
    return {
        "LANGUAGE": {
            "type": "string",
            "title": "Language",
            "description": "Of the bot's own sentences; the agent answers in whatever language it likes.",
            "enum": list(CATALOGUE),
            "default": DEFAULTS.language,
        },
        "CHANNEL_CONFIG": _render_channels(),
        "USERS_CONFIG": _render_users(),
        "CONTEXT_CONFIG": _render_context(),
        "RESPONSE_CONFIG": _render_response(),
        "ASSISTANT_CONFIG": _render_assistant(),
        "TOOLS_CONFIG": _render_tools(),
        "WHISPER": _binding(WHISPER_TYPE, "Whisper", "Writes down what is said in audio files, for the agent to read."),
        "DISTRIBUTION": {
            "type": "string",
            "title": "How the Slack app is distributed",
            "description": "Slack lets an app that is given to other companies outside of its Marketplace (unlisted) "
            "read a conversation once a minute. One that you made for your own workspace is internal. Not chosen: "
            "taken for internal, until Slack refuses.",
            "enum": [each.value for each in Distribution],
        },
    }


def _render_channels() -> Schema:
    return _section(
        "Channels",
        None,
        {
            "ALLOWED_CHANNELS": _list(
                "Allowed channels",
                "Ids of the channels in which the bot may speak, such as C0123456789. None: all. Direct messages are "
                "always answered.",
            ),
            "ALLOW_EXTERNAL": _switch(
                "Answer in shared channels",
                "The bot also answers in channels and direct messages that are shared with another organization, and "
                "people of other organizations.",
                default=DEFAULTS.speaking.allow_external,
            ),
            "OVERRIDES": {
                "type": "array",
                "title": "What is different in some channels",
                "maxItems": MAX_OVERRIDES,
                "items": {
                    "type": "object",
                    "properties": {
                        "CHANNEL": _text("Channel", "Its id, such as C0123456789."),
                        "INSTRUCTIONS": _text("Instructions", "In place of the connection's own."),
                        "SUGGESTED_PROMPTS": _prompts(
                            "For people who look at this channel while they ask the assistant."
                        ),
                    },
                    "required": ["CHANNEL"],
                },
            },
        },
    )


def _render_users() -> Schema:
    speaking = DEFAULTS.speaking
    return _section(
        "People and bots",
        "To whom the bot speaks.",
        {
            "ALLOWED_USERS": _list(
                "Allowed people", "Member ids of the only people who are answered, such as U0123456789. None: all."
            ),
            "DENIED_USERS": _list("Denied people", "Member ids of people who are never answered."),
            "ALLOW_BOTS": _switch(
                "Answer other bots",
                "Another bot is answered when it mentions this one, a few times in an hour.",
                default=speaking.allow_bots,
            ),
            "USER_PER_MIN": _number(
                "Questions of one person in a minute",
                "More of them get a notice instead of an answer. 0: no limit.",
                default=speaking.user_per_min,
                maximum=MAX_PER_MIN,
            ),
            "CHANNEL_PER_MIN": _number(
                "Questions in one channel in a minute",
                "The same for all people of a channel together. 0: no limit.",
                default=speaking.channel_per_min,
                maximum=MAX_PER_MIN,
            ),
        },
    )


def _render_context() -> Schema:
    context = DEFAULTS.context
    return _section(
        "Conversation",
        None,
        {
            "MAX_MESSAGES_TO_FETCH": _number(
                "Messages to read",
                "At most so many earlier messages of a thread are told to the agent. 0: none.",
                default=context.max_fetched,
                maximum=MAX_MESSAGES,
            ),
            "MAX_MESSAGES_BEFORE_SUMMARY": _number(
                "Messages before a summary",
                "Of a conversation that is longer, the older messages are summarized.",
                default=context.max_unsummarized,
                maximum=MAX_MESSAGES,
            ),
            "RECENT_MESSAGES_TO_KEEP": _number(
                "Messages to keep word for word",
                "So many of the last messages are not summarized.",
                default=context.recent_kept,
                maximum=MAX_MESSAGES,
            ),
            "THREAD_TIMEOUT_MIN": _number(
                "Thread timeout in minutes",
                "After this much silence a thread's earlier messages are forgotten.",
                default=DEFAULTS.thread_timeout_min,
                minimum=1,
                maximum=MAX_THREAD_TIMEOUT_MIN,
            ),
        },
    )


def _render_response() -> Schema:
    return _section(
        "Answers",
        None,
        {
            "ENABLE_STREAMING": _switch(
                "Show the answer while it is written",
                "Off: it is shown when it is whole.",
                default=DEFAULTS.streaming,
            ),
            "SHOW_THINKING_MESSAGE": _switch(
                "Show that the bot is at work",
                "A placeholder or a status until there is something to read. Where automations answer: the bot at once "
                "posts a placeholder, which the automation's agent edits into the answer (thinking_message_ts).",
                default=DEFAULTS.show_thinking_message,
            ),
            "SHOW_ONLY_FINAL_RESPONSE": _switch(
                "Only the final answer",
                "Nothing is shown before it: no placeholder, no streaming, and nothing of what the agent says before "
                "it uses a tool.",
                default=DEFAULTS.final_only,
            ),
            "ALLOW_MENTIONS": _switch(
                "The agent may mention people",
                "Off: the name is shown, and nobody is notified. A whole channel is never called.",
                default=DEFAULTS.allow_mentions,
            ),
            "TRIGGER_ONLY": _switch(
                "Leave the answers to automations",
                "The bot answers nothing by itself: Slack's events only start automations.",
                default=DEFAULTS.trigger_only,
            ),
        },
    )


def _render_assistant() -> Schema:
    greeting = _text("Greeting", "What the bot says in a new conversation. None: a sentence of its own.")
    return _section(
        "Assistant",
        "How a conversation in the assistant's pane begins.",
        {
            "GREETING": greeting | {"maxLength": MAX_GREETING_CHARS},
            "SUGGESTED_PROMPTS": _prompts("What is offered there to be asked."),
            "ASK_AGENT": _switch(
                "Let the agent suggest prompts",
                "Where none are named above or for the channel.",
                default=DEFAULTS.ask_agent_for_prompts,
            ),
        },
    )


def _render_tools() -> Schema:
    return _section(
        "Tools",
        "What the tools may do for this connection, whoever calls them.",
        {
            "READ_ONLY": _switch("Read only", "No tool that writes.", default=False),
            "ALLOWED_TOOLS": _list("Allowed tools", "Names of the only tools there are. None: all."),
            "DENIED_TOOLS": _list("Denied tools", "Names of tools that nobody may call."),
            "WRITE_CHANNELS": _list(
                "Channels to write to",
                "Ids of the only channels that tools may write to; what belongs to no channel is not written at all "
                "then. None: all.",
            ),
            "DENIED_WRITE_CHANNELS": _list(
                "Channels never to write to", "Ids of channels that tools may not write to."
            ),
            "APPROVE_OUTSIDE_THREAD": _switch(
                "Ask before writing elsewhere",
                "What a tool is to write outside of the thread that the bot is answering in waits for somebody's "
                "click.",
                default=False,
            ),
        },
    )


def _section(title: str, description: str | None, properties: Mapping[str, Any]) -> Schema:
    described = {} if description is None else {"description": description}
    return {"type": "object", "title": title, **described, "properties": dict(properties)}


def _text(title: str, description: str) -> Schema:
    return {"type": "string", "title": title, "description": description}


def _switch(title: str, description: str, *, default: bool) -> Schema:
    return {"type": "boolean", "title": title, "description": description, "default": default}


def _number(title: str, description: str, *, default: int, maximum: int, minimum: int = 0) -> Schema:
    return {
        "type": "integer",
        "title": title,
        "description": description,
        "minimum": minimum,
        "maximum": maximum,
        "default": default,
    }


def _list(title: str, description: str) -> Schema:
    return {"type": "array", "title": title, "description": description, "items": {"type": "string"}}


def _prompts(description: str) -> Schema:
    return {
        "type": "array",
        "title": "Suggested prompts",
        "description": description,
        "maxItems": MAX_PROMPTS,
        "items": {
            "type": "object",
            "properties": {
                "TITLE": _text("Title", "What is shown.") | {"maxLength": MAX_TITLE_CHARS},
                "MESSAGE": _text("Question", "What is asked. None: the title.") | {"maxLength": MAX_PROMPT_CHARS},
            },
            "required": ["TITLE"],
        },
    }


def _binding(kind: str, title: str, description: str) -> Schema:
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
