"""The scopes and events that the service needs, feature by feature, each with its reason.

The tools name the scopes that they need themselves. Source: the method and event pages under
https://docs.slack.dev/reference, each of which names its scopes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Feature(StrEnum):
    """What an app can be set up for."""

    BOT = "bot"
    ASSISTANT = "assistant"
    AGENT_VIEW = "agent_view"
    HOME = "home"
    COMMANDS = "commands"
    INTERACTIVITY = "interactivity"
    TRIGGERS = "triggers"
    TOOLS = "tools"
    SEARCH = "search"
    FILES = "files"
    CANVASES = "canvases"
    LISTS = "lists"


DEFAULT_FEATURES: Final = (Feature.BOT, Feature.HOME, Feature.COMMANDS, Feature.INTERACTIVITY, Feature.TOOLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureNeeds:
    """What one feature needs beside what its tools say.

    Attributes:
        bot_scopes: scope to reason, as in "the bot can …".
        user_scopes: the same of the user token.
        bot_events: the events that have to be delivered.
    """

    bot_scopes: Mapping[str, str] = field(default_factory=dict)
    user_scopes: Mapping[str, str] = field(default_factory=dict)
    bot_events: tuple[str, ...] = ()


REQUIRED_SCOPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "app_mentions:read": "hear when the bot is mentioned",
        "chat:write": "post and edit the answers",
        "im:history": "hear direct messages",
        "channels:history": "hear replies in threads of public channels, and find its own messages there",
        "groups:history": "hear the same in private channels",
        "mpim:history": "hear the same in group direct messages",
    }
)

FEATURES: Final[Mapping[Feature, FeatureNeeds]] = MappingProxyType(
    {
        Feature.BOT: FeatureNeeds(
            bot_scopes=REQUIRED_SCOPES,
            bot_events=(
                "app_mention",
                "message.im",
                "message.channels",
                "message.groups",
                "message.mpim",
                # So that nothing is kept of a workspace that has removed the app.
                "app_uninstalled",
                "tokens_revoked",
            ),
        ),
        Feature.ASSISTANT: FeatureNeeds(
            bot_scopes={
                "assistant:write": "show in the assistant's pane that it is at work, and suggest prompts",
                "chat:write": "post and edit the answers",
                "im:history": "hear what is asked in the assistant's pane",
                "users:read": "speak each person's language",
            },
            bot_events=(
                "assistant_thread_started",
                "assistant_thread_context_changed",
                "message.im",
                "agent_session_stopped",
            ),
        ),
        # Takes the place of the older pane, and cannot be undone: https://docs.slack.dev/ai/migrating-to-agent-messaging
        Feature.AGENT_VIEW: FeatureNeeds(
            bot_scopes={
                "assistant:write": "suggest prompts, and name the conversations",
                "chat:write": "post and edit the answers",
                "im:history": "hear what is asked in direct messages",
                "users:read": "speak each person's language",
            },
            bot_events=("app_home_opened", "app_context_changed", "message.im", "agent_session_stopped"),
        ),
        Feature.HOME: FeatureNeeds(
            bot_scopes={"users:read": "speak each person's language"},
            bot_events=("app_home_opened",),
        ),
        Feature.COMMANDS: FeatureNeeds(
            bot_scopes={
                "commands": "offer its slash command",
                "chat:write": "begin the thread in which a question is answered",
                "channels:history": "find that thread again after a restart",
                "groups:history": "find that thread again in private channels",
            }
        ),
        Feature.INTERACTIVITY: FeatureNeeds(
            bot_scopes={
                "chat:write": "ask people, and show what they answered",
                "commands": "offer its shortcut in the messages' menus",
                "im:write": "ask a person in a direct message",
            }
        ),
        Feature.TRIGGERS: FeatureNeeds(
            bot_scopes={
                "reactions:read": "tell of reactions",
                "channels:read": "tell of new channels, and of who joins a public channel",
                "groups:read": "tell of who joins a private channel",
            },
            bot_events=("reaction_added", "channel_created", "member_joined_channel"),
        ),
        Feature.TOOLS: FeatureNeeds(
            # What makes a name that was looked up untrue.
            bot_events=(
                "channel_archive",
                "channel_deleted",
                "channel_id_changed",
                "channel_rename",
                "channel_unarchive",
                "group_rename",
                "team_join",
                "user_change",
            ),
        ),
        # The bot's own scope finds something only with the action_token of an event, which few callers have.
        Feature.SEARCH: FeatureNeeds(user_scopes={"search:read": "search what the person sees"}),
        Feature.FILES: FeatureNeeds(),
        Feature.CANVASES: FeatureNeeds(),
        Feature.LISTS: FeatureNeeds(),
    }
)


def find_missing_scopes(granted: frozenset[str] | None) -> tuple[str, ...]:
    """Return the required scopes that are not granted, none when Slack did not say what is."""
    if granted is None:
        return ()
    return tuple(scope for scope in REQUIRED_SCOPES if scope not in granted)
