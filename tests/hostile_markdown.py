"""Text that would call somebody in Slack, in as many ways as there are, and what finds out whether it does."""

import html
import re
from typing import Final

from hypothesis import strategies as st

CALLS: Final = re.compile(
    r"<[@#][a-z0-9]|<!(?:here|channel|everyone|group|subteam)|(?<![a-z0-9])@(?:here|channel|everyone|group)\b",
    re.IGNORECASE,
)
INVISIBLE: Final = str.maketrans("", "", "\u2060\u200b")

hostile = st.lists(
    st.sampled_from(
        [
            *"<>@!#|&;\\*_~`[]() \n-^",
            *("&lt;", "&lt", "&LT;", "&#60;", "&#060;", "&#x3C;", "&amp;", "&amp;lt;", "&#64;", "&commat;", "&#x40;"),
            *("&#33;", "&excl;", "&num;", "&#104;", "amp;", "lt;", "#", "6", "0", "x3c", "commat"),
            *("<@U1>", "<!here>", "<!channel|x>", "<!subteam^S1|@a>", "<#C1|general>", "@here", "@Channel", "everyone"),
            *("here", "HERE", "ere", "U1", "W2>", "a", "é", "group", "!", "<!--", "<!DOCTYPE", "```", "@name", ".com"),
            *("[a](https://x.y/z)", "](https://x.y|<@U1>)", "![", "**", "~~", "| a | b |\n|---|---|\n| ", "> ", "\n- "),
        ]
    ),
    max_size=25,
).map("".join)


def find_calls(text: str) -> list[str]:
    """Return what Slack could take for a mention, were it to read the text as kindly as it can."""
    text = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)
    for _ in range(4):
        text = re.sub(r"&#?\w+;", lambda entity: html.unescape(entity[0]), text)
    return CALLS.findall(text)
