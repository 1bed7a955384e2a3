"""The form of the shortcut "Ask about this message", and what it carries with it from the click to the answer.

Slack keeps what it carries beside the form, and shows it to nobody; it comes back signed.
Limits: https://docs.slack.dev/reference/views/modal-views.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.ids import ChannelId, Ts
from slack_mcp.protocol.answers import text
from slack_mcp.protocol.interactions import MAX_METADATA_CHARS, Interaction
from slack_mcp.protocol.message_text import read_text
from slack_mcp.protocol.mrkdwn import clean

CALLBACK: Final = "ask_about_message"
"""Of the shortcut, as the app's manifest names it."""
FORM_CALLBACK: Final = "slack_mcp_ask"
INPUT_BLOCK: Final = "question"
MAX_QUESTION_CHARS: Final = 3_000  # of a plain_text_input
MAX_QUOTED_CHARS: Final = 2_000
MAX_URL_CHARS: Final = 500
CUT: Final = "…"


class About(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The message that is asked about.

    Attributes:
        thread_ts: the root of the thread that the message is in, None outside of a thread.
        author: who wrote it, a person's or a bot's id; empty when Slack does not say.
        quoted: what it says, in Slack's markup; its beginning, where it is long.
        response_url: of the shortcut, by which the person can be told something.
    """

    channel_id: ChannelId
    ts: Ts
    thread_ts: Ts | None = None
    author: str = ""
    quoted: str = ""
    response_url: str | None = None

    @property
    def root(self) -> Ts:
        """The root of the thread in which the answer belongs."""
        return self.thread_ts or self.ts

    def render_attachment(self) -> Mapping[str, Any]:
        """Return the message as Slack attaches one that somebody shares.

        Source: https://docs.slack.dev/reference/objects/attachment-object.
        """
        author = f"<@{self.author}>" if self.author[:1] in {"U", "W"} else self.author
        return {"author_name": author, "text": self.quoted, "channel_id": self.channel_id, "ts": self.ts}


_ABOUT: Final = msgspec.json.Decoder(About)


def read_shortcut(interaction: Interaction) -> About | None:
    """Return which message a shortcut is about, None when it names none."""
    if interaction.channel_id is None or interaction.message_ts is None:
        return None
    message, url = interaction.message, interaction.response_url
    return About(
        channel_id=interaction.channel_id,
        ts=interaction.message_ts,
        thread_ts=interaction.thread_ts,
        author=clean(text(message, "user") or text(message, "username") or text(message, "bot_id"))[:128],
        quoted=clean(read_text(message)),
        response_url=url if url is not None and len(url) <= MAX_URL_CHARS else None,
    )


def read_form(interaction: Interaction) -> About | None:
    """Return what the form carried, None when it is none of ours."""
    try:
        return _ABOUT.decode(interaction.private_metadata)
    except (ValueError, RecursionError):
        return None


def render_form(about: About, language: str) -> dict[str, Any]:
    """Return the modal in which the person writes what they want to know."""
    return {
        "type": "modal",
        "callback_id": FORM_CALLBACK,
        "private_metadata": _render_metadata(about),
        "title": _plain(language, Sentence.SHORTCUT_TITLE),
        "submit": _plain(language, Sentence.FORM_SEND),
        "close": _plain(language, Sentence.FORM_CANCEL),
        "blocks": [
            {
                "type": "input",
                "block_id": INPUT_BLOCK,
                "label": _plain(language, Sentence.SHORTCUT_LABEL),
                "element": {
                    "type": "plain_text_input",
                    "action_id": "text",
                    "multiline": True,
                    "max_length": MAX_QUESTION_CHARS,
                    "initial_value": render_sentence(language, Sentence.SHORTCUT_SUGGESTION),
                },
            }
        ],
    }


def _render_metadata(about: About) -> str:
    """Return what the form carries, with as much of the message as there is room for."""
    chars = MAX_QUOTED_CHARS
    while True:
        is_cut = len(about.quoted) > chars
        quoted = f"{about.quoted[:chars]}{CUT}" if is_cut else about.quoted
        rendered = msgspec.json.encode(msgspec.structs.replace(about, quoted=quoted)).decode()
        if len(rendered) <= MAX_METADATA_CHARS:
            return rendered
        chars //= 2  # what JSON has to escape takes more room


def _plain(language: str, sentence: Sentence) -> dict[str, Any]:
    return {"type": "plain_text", "text": render_sentence(language, sentence), "emoji": False}
