"""Who calls, and what that token may do.

Scopes: https://docs.slack.dev/reference/scopes, token types: https://docs.slack.dev/authentication/tokens
"""

from dataclasses import dataclass

from slack_mcp.simulator.model import ChannelKind, SlackRefusalError

USER_ONLY = frozenset(
    {
        "reminders.add",
        "reminders.complete",
        "reminders.delete",
        "reminders.info",
        "reminders.list",
        "search.all",
        "search.files",
        "search.messages",
        "users.profile.set",
    }
)
"""The methods that take no bot token."""

BOT_ONLY = frozenset(
    {
        "agents.sessions.rename",
        "agents.sessions.setStatus",
        "assistant.threads.setStatus",
        "assistant.threads.setSuggestedPrompts",
        "assistant.threads.setTitle",
        "chat.appendStream",
        "chat.startStream",
        "chat.stopStream",
    }
)
"""The methods that take no user token."""

_PREFIXES: dict[ChannelKind, str] = {"channel": "channels", "group": "groups", "im": "im", "mpim": "mpim"}


@dataclass(slots=True, kw_only=True)
class Actor:
    """A token's holder: the app's bot user, or a person who let the app act for them.

    Attributes:
        scopes: what the token was granted, comma separated.
        is_bot: True for the bot token.
    """

    user_id: str
    scopes: str
    is_bot: bool = False
    is_revoked: bool = False

    def may(self, *scopes: str) -> bool:
        """Whether the token was granted one of the scopes."""
        granted = self.scopes.replace(" ", "").split(",")
        return any(scope in granted for scope in scopes)

    def require(self, *scopes: str) -> None:
        """Raise SlackRefusalError missing_scope, which names the first, when none of the scopes was granted."""
        if not self.may(*scopes):
            raise SlackRefusalError("missing_scope", needed=scopes[0], provided=self.scopes)


def check_token_type(actor: Actor, method: str) -> None:
    """Raise SlackRefusalError not_allowed_token_type when the method does not take this kind of token."""
    if method in (USER_ONLY if actor.is_bot else BOT_ONLY):
        raise SlackRefusalError("not_allowed_token_type")


def check_scope(actor: Actor, scope: str, kind: ChannelKind | None) -> None:
    """Raise SlackRefusalError missing_scope when the token lacks a method's scope.

    Args:
        actor: the token's holder.
        scope: the scope; nothing for none; `*:history` for the one that the channel's kind asks for.
        kind: what the call's channel is; None when it names none that is known, and then any kind's scope will do.
    """
    if not scope:
        return
    prefix, _, verb = scope.partition(":")
    if prefix != "*":
        actor.require(scope)
        return
    kinds: tuple[ChannelKind, ...] = ("channel", "group", "im", "mpim") if kind is None else (kind,)
    actor.require(*(each for one in kinds for each in kind_scopes(one, verb, is_bot=actor.is_bot)))


def kind_scopes(kind: ChannelKind, verb: str, *, is_bot: bool) -> tuple[str, ...]:
    """Return the scopes of which one allows `verb` (history, read, write, write.topic …) in a kind of channel. Pure."""
    general, _, special = verb.partition(".")
    prefix = _PREFIXES[kind]
    # A bot manages public channels with a scope of its own name.
    scopes = ["channels:manage" if is_bot and kind == "channel" and general == "write" else f"{prefix}:{general}"]
    if special:
        scopes.append(f"{prefix}:{verb}")
    return tuple(scopes)
