"""Which tokens and scopes a tool needs, and whether a connection has them.

Source: the method pages under https://docs.slack.dev/reference/methods, each of which names its scopes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from slack_mcp.core.errors import MissingScopeError, SlackMcpError, UserTokenMissingError
from slack_mcp.core.model import Connection

AnyOf: TypeAlias = str | tuple[str, ...]
"""A scope, or several of which one will do (which one depends on the kind of the channel)."""

CHANNELS_READ: Final[AnyOf] = ("channels:read", "groups:read", "im:read", "mpim:read")
CHANNELS_HISTORY: Final[AnyOf] = ("channels:history", "groups:history", "im:history", "mpim:history")


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a tool needs. With neither, any token will do.

    Attributes:
        bot: scopes of the bot token, all of them; None when Slack takes no bot token.
        user: the same of the user token; None when the tool never uses one. Where both are given, one of them will do.
    """

    bot: tuple[AnyOf, ...] | None = ()
    user: tuple[AnyOf, ...] | None = None

    def find_problem(self, tool: str, connection: Connection) -> SlackMcpError | None:
        """Return why the connection's tokens do not serve the tool, None when they do, or may.

        What Slack did not tell of a token's scopes is taken as granted: Slack itself refuses then.
        """
        problem: SlackMcpError | None = None
        if self.user is not None:
            if connection.user_token is None:
                problem = UserTokenMissingError(_render(self.user))
            else:
                missing = _find_missing(self.user, connection.user_scopes)
                if not missing:
                    return None
                problem = MissingScopeError(tool, f"{_render(missing)} (user token)")
        if self.bot is not None:
            missing = _find_missing(self.bot, connection.bot_scopes)
            if not missing:
                return None
            problem = MissingScopeError(tool, _render(missing))
        return problem


ANY_TOKEN: Final = Needs()


def _find_missing(needed: Iterable[AnyOf], granted: frozenset[str] | None) -> tuple[AnyOf, ...]:
    if granted is None:
        return ()
    return tuple(each for each in needed if granted.isdisjoint((each,) if isinstance(each, str) else each))


def _render(needed: Iterable[AnyOf]) -> str:
    return ", ".join(each if isinstance(each, str) else " or ".join(each) for each in needed)
