"""How often Slack lets an app call each method in one workspace.

Source: https://docs.slack.dev/apis/web-api/rate-limits, and the page of each method for its tier.
"""

from dataclasses import dataclass
from typing import Final

from slack_mcp.core.model import Connection, Distribution

LEASE_S: Final = 0.5
"""How long a token that was taken may wait for its call."""
WINDOW_S: Final = 60.0
ROUNDING_S: Final = 0.01
"""More than the database is wrong by, which counts time in whole milliseconds."""
BURST: Final = 0.25
"""The part of a minute's calls that may be made at once. The more it is, the slower they come back after that."""

TIER_1: Final = 1.0
TIER_2: Final = 20.0
TIER_3: Final = 50.0
TIER_4: Final = 100.0
HUNDREDS: Final = 300.0
"""Where Slack says "hundreds of requests per minute", or "several hundred", or that the limit is a special one."""

UNLISTED_READS: Final = 1.0
PER_CHANNEL: Final = 60.0
PER_CHANNEL_BURST: Final = 5.0
"""One message a second; "short bursts" are tolerated."""

PER_MINUTE: Final = {
    **dict.fromkeys(
        (
            "assistant.threads.setStatus",
            "auth.test",
            "chat.getPermalink",
            "chat.postMessage",
        ),
        HUNDREDS,
    ),
    **dict.fromkeys(
        (
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
        TIER_4,
    ),
    **dict.fromkeys(
        (
            "assistant.search.context",  # a special limit, without a number
            "assistant.search.info",
            "bookmarks.add",
            "bookmarks.edit",
            "bookmarks.remove",
            "canvases.create",
            "chat.startStream",
            "chat.stopStream",
            "conversations.archive",
            "conversations.canvases.create",
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
            "slackLists.create",
            "slackLists.items.list",
            "usergroups.create",
            "usergroups.list",
            "usergroups.update",
            "usergroups.users.list",
            "usergroups.users.update",
            "users.list",
        ),
        TIER_2,
    ),
}
"""What is not here is of the third tier, as most methods are."""

READS: Final = frozenset({"conversations.history", "conversations.replies"})
POSTS: Final = frozenset({"chat.postMessage", "chat.startStream"})


@dataclass(frozen=True, slots=True)
class Limit:
    """A bucket that a call takes a token of.

    Attributes:
        bucket: its name within the connection.
        capacity: tokens that it holds at most.
        per_s: tokens that come back in a second.
    """

    bucket: str
    capacity: float
    per_s: float


def list_limits(connection: Connection, method: str, channel_id: str | None, *, factor: float) -> tuple[Limit, ...]:
    """Return what a call takes a token of each: the method's bucket first, then the channel's, where it has one.

    Slack counts per method, app and workspace: https://docs.slack.dev/apis/web-api/rate-limits.

    Args:
        connection: whose workspace it is.
        method: the Web API method.
        channel_id: the channel that the call names.
        factor: what all limits are multiplied by.
    """
    limits = (_make_limit(name_bucket(method), factor * get_per_minute(connection, method)),)
    if channel_id is None or method not in POSTS:
        return limits
    # Posts and streams put messages into the same channel, so that they share its second.
    return (
        *limits,
        _make_limit(f"post:{channel_id}", factor * PER_CHANNEL, burst=factor * PER_CHANNEL_BURST),
    )


def get_per_minute(connection: Connection, method: str) -> float:
    """Return how many calls of the method Slack takes in a minute.

    Apps that are sold and not in Slack's Marketplace may read conversations once a minute; which app is one, Slack
    tells nobody, and only the operator knows. Where nothing is said the usual limit is taken: to wait a minute for
    every page of an app that may read fifty would be felt in every call, while an app that may not is told so by its
    first 429, which stops all pods for as long as Slack says, so that the wrong guess costs one refused call a minute.

    Source: https://docs.slack.dev/changelog/2025/05/29/rate-limit-changes-for-non-marketplace-apps.
    """
    if method in READS and connection.settings.distribution is Distribution.UNLISTED:
        return UNLISTED_READS
    return PER_MINUTE.get(method, TIER_3)


def get_pause_s(connection: Connection, method: str, *, factor: float) -> float:
    """Return for how long nobody may call the method after a call has ended; 0 where a bucket holds several calls.

    When a call reaches Slack nobody knows; where there is one in a minute, one that was long on its way and the next
    that is not would reach it in the same minute. A bucket of several calls leaves more than that to spare.
    """
    per_minute = factor * get_per_minute(connection, method)
    return WINDOW_S / per_minute if _get_capacity(per_minute) == 1 else 0.0


def name_bucket(method: str) -> str:
    """Return the name of the bucket that every call of the method takes a token of."""
    return f"call:{method}"


def _make_limit(bucket: str, per_minute: float, *, burst: float | None = None) -> Limit:
    """Return a bucket that lets no more than `per_minute` calls start in any minute, the window's end not included.

    A call may start up to `LEASE_S` after its token was taken, so that those of a minute were taken within a little
    more: they are the full bucket, and what came back after the first of them.
    """
    capacity = _get_capacity(per_minute) if burst is None else max(1.0, float(int(burst)))
    return Limit(bucket, capacity, (per_minute - capacity + 1) / (WINDOW_S + LEASE_S + ROUNDING_S))


def _get_capacity(per_minute: float) -> float:
    """Return how many of a minute's calls may be made at once, in whole calls."""
    return max(1.0, float(int(BURST * per_minute)))
