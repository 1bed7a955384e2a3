"""Slack's text format, as far as plain text has to pass through it.

Source: https://docs.slack.dev/messaging/formatting-message-text.
"""

import re


def escape(text: str) -> str:
    """Return text that Slack shows as it is: what a model writes can then never mention a person or a channel.

    `&`, `<` and `>` are Slack's only control characters, and a mention, a link or a broadcast always begins with `<`.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    """Return what a person wrote, out of the text of Slack's event: the reverse of `escape`."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def is_mentioned(text: str, user_id: str) -> bool:
    """Tell whether the text, as Slack escapes it, names the user."""
    return f"<@{user_id}" in text and _mention(user_id).search(text) is not None


def remove_mention(text: str, user_id: str) -> str:
    """Return the text, as Slack escapes it, without `<@user_id>` and without the blanks that stood around it."""
    return _mention(user_id).sub(" ", text).strip()


def clean(text: str) -> str:
    """Return text that every database and Slack take: without NUL, and with `?` for half a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _mention(user_id: str) -> re.Pattern[str]:
    """Return a pattern for `<@U…>`, which may carry a name: `<@U…|name>`."""
    # Blanks are taken from the first of them on or not at all: begun at each, a search through many never ends.
    return re.compile(rf"(?:(?<![ \t])[ \t]+)?<@{re.escape(user_id)}(?:\|[^<>]*)?>[ \t]*")
