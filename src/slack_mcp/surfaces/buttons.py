"""The buttons below an answer: one that stops it while it is written, two that rate it when it is whole.

Sources: https://docs.slack.dev/reference/block-kit/block-elements/feedback-buttons-element and
https://docs.slack.dev/reference/block-kit/blocks/context-actions-block.
"""

from typing import Any, Final

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.ports.surfaces import Rating

STOP_ACTION: Final = "slack_mcp_stop"
FEEDBACK_ACTION: Final = "slack_mcp_feedback"


def render_stop_button(language: str) -> dict[str, Any]:
    """Return the block that stops the answer in whose message it stands."""
    button = {
        "type": "button",
        "action_id": STOP_ACTION,
        "value": "stop",
        "text": {"type": "plain_text", "text": render_sentence(language, Sentence.STOP), "emoji": False},
    }
    return {"type": "actions", "elements": [button]}


def render_feedback_block(language: str) -> dict[str, Any]:
    """Return the block that rates the answer in whose message it stands."""
    buttons = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK_ACTION,
        "positive_button": _render_rating(language, Rating.GOOD, Sentence.RATE_GOOD),
        "negative_button": _render_rating(language, Rating.BAD, Sentence.RATE_BAD),
    }
    return {"type": "context_actions", "elements": [buttons]}


def read_rating(value: str | None) -> Rating | None:
    """Return what a click on one of the two means, None for any other value."""
    return Rating(value) if value in set(Rating) else None


def _render_rating(language: str, rating: Rating, sentence: Sentence) -> dict[str, Any]:
    said = render_sentence(language, sentence)
    return {
        "text": {"type": "plain_text", "text": said, "emoji": False},
        "value": rating.value,
        "accessibility_label": said,
    }
