"""What Slack hands out for a short while: trigger ids and response URLs.

Both are explained in https://docs.slack.dev/interactivity/handling-user-interaction
"""

import secrets
from dataclasses import dataclass, field

from slack_mcp.core.clock import Clock
from slack_mcp.simulator.model import Json

TRIGGER_TTL_S = 3.0
RESPONSE_URL_TTL_S = 30 * 60
RESPONSE_URL_USES = 5


@dataclass(slots=True, kw_only=True)
class ResponseUrl:
    """Where an app may answer an interaction.

    Attributes:
        message_ts: the message that was interacted with, which it may replace or delete; None after a command.
        is_ephemeral: whether that message is an ephemeral one.
        posts: every body that came in and was taken, oldest first.
    """

    ticket: str
    channel_id: str
    user_id: str
    expires_s: float
    message_ts: str | None = None
    thread_ts: str | None = None
    is_ephemeral: bool = False
    uses_left: int = RESPONSE_URL_USES
    posts: list[Json] = field(default_factory=list)


class Tickets:
    """The trigger ids and response URLs of one workspace."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._triggers: dict[str, float] = {}
        self.response_urls: dict[str, ResponseUrl] = {}

    def make_trigger_id(self) -> str:
        """Return a trigger id that is good once, for three seconds."""
        now_s = self._clock.now_s()
        self._triggers = {key: expires_s for key, expires_s in self._triggers.items() if expires_s >= now_s}
        trigger_id = f"{int(now_s * 1000)}.{secrets.randbelow(10**12):012d}.{secrets.token_hex(16)}"
        self._triggers[trigger_id] = now_s + TRIGGER_TTL_S
        return trigger_id

    def take_trigger_id(self, trigger_id: str) -> bool:
        """Use a trigger id up; False for one that is unknown, used or too old."""
        return self._clock.now_s() <= self._triggers.pop(trigger_id, 0.0)

    def make_response_url(
        self,
        channel_id: str,
        user_id: str,
        *,
        message_ts: str | None = None,
        thread_ts: str | None = None,
        is_ephemeral: bool = False,
    ) -> ResponseUrl:
        """Return a new response URL, good for thirty minutes and five uses."""
        made = ResponseUrl(
            ticket=secrets.token_urlsafe(18),
            channel_id=channel_id,
            user_id=user_id,
            expires_s=self._clock.now_s() + RESPONSE_URL_TTL_S,
            message_ts=message_ts,
            thread_ts=thread_ts,
            is_ephemeral=is_ephemeral,
        )
        self.response_urls[made.ticket] = made
        return made

    def take_response_url(self, ticket: str) -> ResponseUrl | str:
        """Use a response URL up by one and return it; or Slack's word for why not."""
        found = self.response_urls.get(ticket)
        if found is None:
            return "invalid_url"
        if self._clock.now_s() > found.expires_s:
            return "expired_url"
        if found.uses_left == 0:
            return "used_url"
        found.uses_left -= 1
        return found
