"""A Slack app's manifest, with exactly what the chosen features need.

Sources: https://docs.slack.dev/reference/app-manifest and the limits of
https://github.com/slackapi/manifest-schema (version 1, which is the one for apps that are not workflows).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from slack_mcp.connections.scopes import FEATURES, Feature
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.ids import ConnectionId

DEFAULT_NAME: Final = "Assistant"
DEFAULT_COMMAND: Final = "/slack-mcp"
SHORTCUT_NAME: Final = "Ask about this message"
SHORTCUT_CALLBACK: Final = "ask_about_message"
MAX_NAME_CHARS: Final = 35
MAX_URL_CHARS: Final = 3_000
_WITH_A_HOME: Final = frozenset({Feature.BOT, Feature.ASSISTANT, Feature.AGENT_VIEW, Feature.HOME})
_COMMAND: Final = re.compile(r"/[a-z0-9_-]{1,31}")
# A tool that needs one of these belongs to that feature, the first that fits; every other tool to `tools`.
_PREFIXES: Final = (
    ("canvases:", Feature.CANVASES),
    ("lists:", Feature.LISTS),
    ("search:", Feature.SEARCH),
    ("files:", Feature.FILES),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolScopes:
    """What one tool needs.

    Attributes:
        bot, user: scopes of the bot's and of the user's token.
    """

    tool: str
    bot: tuple[str, ...] = ()
    user: tuple[str, ...] = ()

    @property
    def feature(self) -> Feature:
        """The feature that the tool belongs to."""
        scopes = (*self.bot, *self.user)
        return next(
            (feature for prefix, feature in _PREFIXES if any(scope.startswith(prefix) for scope in scopes)),
            Feature.TOOLS,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest, and why each scope is in it.

    Attributes:
        body: as Slack takes it.
        bot_reasons, user_reasons: scope to reasons.
    """

    body: Mapping[str, Any]
    bot_reasons: Mapping[str, Sequence[str]]
    user_reasons: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def render_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(self.body, indent=2, ensure_ascii=False)

    def render_yaml(self) -> str:
        """Return it as YAML, each scope with its reasons beside it."""
        return "\n".join(_render_yaml(self.body, {"bot": self.bot_reasons, "user": self.user_reasons}))

    def explain(self) -> Iterator[str]:
        """Yield a line for each scope."""
        for kind, reasons in (("bot", self.bot_reasons), ("user", self.user_reasons)):
            for scope, why in reasons.items():
                yield f"{kind} {scope}: {_join(why)}"


def make_manifest(
    *,
    url: str,
    connection_id: ConnectionId | None = None,
    name: str = DEFAULT_NAME,
    command: str = DEFAULT_COMMAND,
    features: Iterable[Feature],
    tools: Sequence[ToolScopes] = (),
) -> Manifest:
    """Return the manifest of an app.

    Args:
        url: where Slack reaches the service, `https://…`.
        connection_id: becomes part of the addresses; None for one app in many workspaces.
        name: of the app and of its bot.
        command: the slash command, if the features have one.
        features: what the app is for.
        tools: what each tool needs; those of other features are left out.

    Raises:
        InvalidInputError: Slack would not take it.
    """
    chosen = tuple(dict.fromkeys(features))
    base = _check_url(url)
    suffix = "" if connection_id is None else f"/{connection_id}"
    if not 0 < len(name.strip()) <= MAX_NAME_CHARS:
        raise InvalidInputError(f"--name: 1 to {MAX_NAME_CHARS} characters.")
    if not _COMMAND.fullmatch(command):
        raise InvalidInputError("--command: '/' and 1 to 31 lower case letters, digits, '-' or '_'.")
    bot_reasons, user_reasons = _collect_reasons(chosen, tools)
    if not bot_reasons:  # a bot user without any scope cannot be installed
        bot_reasons = {"chat:write": ["install the bot"]}
    body = {
        "display_information": {"name": name.strip()},
        "features": _render_features(chosen, name.strip(), command, f"{base}/slack/commands{suffix}"),
        "oauth_config": {"scopes": {"bot": list(bot_reasons)} | ({"user": list(user_reasons)} if user_reasons else {})},
        "settings": _render_settings(chosen, base, suffix),
    }
    return Manifest(body=body, bot_reasons=bot_reasons, user_reasons=user_reasons)


def _collect_reasons(
    features: Sequence[Feature], tools: Sequence[ToolScopes]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return (bot scope to reasons, user scope to reasons)."""
    bot: dict[str, list[str]] = {}
    user: dict[str, list[str]] = {}
    for feature in features:
        for scope, why in FEATURES[feature].bot_scopes.items():
            bot.setdefault(scope, []).append(why)
        for scope, why in FEATURES[feature].user_scopes.items():
            user.setdefault(scope, []).append(why)
    for tool in tools:
        if tool.feature in features:
            for scope in tool.bot:
                bot.setdefault(scope, []).append(tool.tool)
            for scope in tool.user:
                user.setdefault(scope, []).append(tool.tool)
    return bot, user


def _render_features(features: Sequence[Feature], name: str, command: str, command_url: str) -> dict[str, Any]:
    rendered: dict[str, Any] = {}
    if not _WITH_A_HOME.isdisjoint(features):
        rendered["app_home"] = {
            "home_tab_enabled": Feature.HOME in features,
            "messages_tab_enabled": True,
            "messages_tab_read_only_enabled": False,
        }
    rendered["bot_user"] = {"display_name": name, "always_online": True}
    if Feature.AGENT_VIEW in features:  # an app has one of the two
        rendered["agent_view"] = {"agent_description": f"{name} answers questions."}
    elif Feature.ASSISTANT in features:
        rendered["assistant_view"] = {"assistant_description": f"{name} answers questions."}
    if Feature.INTERACTIVITY in features:
        rendered["shortcuts"] = [
            {
                "name": SHORTCUT_NAME,
                "type": "message",
                "callback_id": SHORTCUT_CALLBACK,
                "description": "Ask the assistant, and read the answer in the message's thread",
            }
        ]
    if Feature.COMMANDS in features:
        rendered["slash_commands"] = [
            {
                "command": command,
                "url": command_url,
                "description": "Ask the assistant, or look after it",
                "usage_hint": "ask <question> | status | reset | help",
                "should_escape": False,
            }
        ]
    return rendered


def _render_settings(features: Sequence[Feature], base: str, suffix: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    events = dict.fromkeys(event for feature in features for event in FEATURES[feature].bot_events)
    if events:
        settings["event_subscriptions"] = {"request_url": f"{base}/slack/events{suffix}", "bot_events": list(events)}
    if Feature.INTERACTIVITY in features:
        settings["interactivity"] = {"is_enabled": True, "request_url": f"{base}/slack/interactive{suffix}"}
    return settings | {"org_deploy_enabled": False, "socket_mode_enabled": False, "token_rotation_enabled": False}


def _check_url(url: str) -> str:
    """Return the address without a slash at its end; raises InvalidInputError."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme == "https" and bool(parts.hostname) and not (parts.query or parts.fragment)
        is_good = is_good and parts.username is None and len(url) <= MAX_URL_CHARS and url.isascii()
        _ = parts.port
    except ValueError:
        is_good = False
    if not is_good or not url.isprintable() or " " in url:
        raise InvalidInputError("--url: where Slack reaches this service, such as https://slack-mcp.example.com.")
    return url.rstrip("/")


def _render_yaml(
    value: Mapping[str, Any], reasons: Mapping[str, Mapping[str, Sequence[str]]], indent: str = ""
) -> Iterator[str]:
    """Yield the lines of a mapping. Texts are written as JSON, which YAML reads as they are.

    The reasons are by the key of a list first: scopes of the bot and of the user have the same names.
    """
    for key, each in value.items():
        if isinstance(each, Mapping):
            yield f"{indent}{key}:"
            yield from _render_yaml(each, reasons, f"{indent}  ")
        elif isinstance(each, list):
            yield f"{indent}{key}:"
            why = reasons.get(key, {})
            for item in each:
                if isinstance(item, Mapping):
                    first, *rest = _render_yaml(item, reasons, f"{indent}    ")
                    yield f"{indent}  - {first.strip()}"
                    yield from rest
                else:
                    comment = f"  # {_join(why[item])}" if item in why else ""
                    yield f"{indent}  - {json.dumps(item, ensure_ascii=False)}{comment}"
        else:
            yield f"{indent}{key}: {json.dumps(each, ensure_ascii=False)}"


def _join(reasons: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(reasons))
