"""What Slack limits: how often an app may call, and how long and large a stream may get.

Tiers: https://docs.slack.dev/apis/web-api/rate-limits and the page of each method. Conversations of apps outside the
Marketplace: https://docs.slack.dev/changelog/2025/05/29/rate-limit-changes-for-non-marketplace-apps
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from slack_mcp.core.clock import Clock

WINDOW_S: Final = 60.0
UNLISTED_PAGE: Final = 15
_READS = frozenset({"conversations.history", "conversations.replies"})
_POSTS = frozenset({"chat.postMessage", "chat.startStream"})
_TIER_3 = 50
_PER_MINUTE = (
    dict.fromkeys(
        (
            "api.test",
            "assistant.threads.setStatus",
            "auth.test",
            "chat.getPermalink",
            "chat.postMessage",
        ),
        300,  # "hundreds", "several hundred" or "special", where Slack names no number
    )
    | dict.fromkeys(
        (
            "assistant.threads.setSuggestedPrompts",
            "assistant.threads.setTitle",
            "chat.appendStream",
            "chat.postEphemeral",
            "conversations.members",
            "files.completeUploadExternal",
            "files.getUploadURLExternal",
            "files.info",
            "users.info",
            "users.profile.get",
            "views.open",
            "views.publish",
            "views.push",
            "views.update",
        ),
        100,
    )
    | dict.fromkeys(
        (
            "bookmarks.add",
            "bookmarks.edit",
            "bookmarks.remove",
            "chat.startStream",
            "chat.stopStream",
            "conversations.archive",
            "conversations.create",
            "conversations.list",
            "conversations.rename",
            "conversations.setPurpose",
            "conversations.setTopic",
            "conversations.unarchive",
            "emoji.list",
            "pins.add",
            "pins.list",
            "pins.remove",
            "reactions.list",
            "reactions.remove",
            "search.messages",
            "usergroups.create",
            "usergroups.list",
            "usergroups.update",
            "usergroups.users.list",
            "usergroups.users.update",
            "users.list",
        ),
        20,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRules:
    """How long a stream lives, and how much its message holds.

    Attributes:
        max_age_s: from its start, however much is written to it.
        max_idle_s: since the app last wrote to it; None for any time.
        most_bytes: of its whole text in UTF-8.
    """

    max_age_s: float = 300.0
    max_idle_s: float | None = None
    most_bytes: int = 11_300


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How often an app may call in one workspace.

    Attributes:
        distribution: unlisted apps read conversations once a minute, and fifteen messages at a time.
        per_minute: of single methods instead of their tier's number.
        has_tiers: False leaves the methods that `per_minute` does not name without a limit.
        posts_per_s: how fast the messages that may be posted to one channel come back; None for no such limit.
        post_burst: how many may be posted at once.
    """

    distribution: Literal["internal", "marketplace", "unlisted"] = "internal"
    per_minute: Mapping[str, int] = field(default_factory=dict)
    has_tiers: bool = True
    posts_per_s: float | None = 1.0
    post_burst: int = 10

    def per_minute_of(self, method: str) -> int | None:
        """Return how many calls of a method a minute takes; None for any number."""
        if method in self.per_minute:
            return self.per_minute[method]
        if self.distribution == "unlisted" and method in _READS:
            return 1
        return _PER_MINUTE.get(method, _TIER_3) if self.has_tiers else None

    @property
    def largest_page(self) -> int | None:
        """How many messages a page of a conversation holds; None for what the method allows."""
        return UNLISTED_PAGE if self.distribution == "unlisted" else None


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Meter:
    """Counts the calls of one app in one workspace."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._times: dict[str, deque[float]] = {}
        self._posts: dict[str, _Bucket] = {}

    def take(self, limits: Limits, method: str, channel_id: str) -> int | None:
        """Count a call, or return after how many whole seconds it may come again. Refused calls are not counted."""
        now_s = self._clock.monotonic_s()
        times = self._times.setdefault(method, deque())
        while times and now_s - times[0] >= WINDOW_S:
            times.popleft()
        most = limits.per_minute_of(method)
        if most is not None and len(times) >= most:
            return max(1, math.ceil(times[0] + WINDOW_S - now_s)) if times else int(WINDOW_S)
        if method in _POSTS and channel_id and limits.posts_per_s is not None:
            bucket = self._posts.setdefault(channel_id, _Bucket(float(limits.post_burst), now_s))
            grown = bucket.tokens + (now_s - bucket.at_s) * limits.posts_per_s
            bucket.tokens, bucket.at_s = min(float(limits.post_burst), grown), now_s
            if bucket.tokens < 1:
                return max(1, math.ceil((1 - bucket.tokens) / limits.posts_per_s))
            bucket.tokens -= 1
        times.append(now_s)
        return None
