"""How a question looks in Slack: its message while it is open and after, and the form for an answer in words.

Limits: https://docs.slack.dev/reference/block-kit/blocks and https://docs.slack.dev/reference/views/modal-views.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.ports.questions import Answer, Question, QuestionState
from slack_mcp.protocol.mrkdwn import clean, escape

MAX_TEXT_CHARS: Final = 3_000  # of a section, after escaping
MAX_OPTION_CHARS: Final = 75
MAX_OPTIONS: Final = 25
MAX_ANSWER_CHARS: Final = 3_000  # of a plain_text_input

METADATA_TYPE: Final = "slack_mcp_question"
ANSWER_PREFIX: Final = "slack_mcp_answer_"
FORM_ACTION: Final = f"{ANSWER_PREFIX}form"
FORM_CALLBACK: Final = "slack_mcp_answer"
INPUT_BLOCK: Final = "answer"

_SHOWN_CHARS: Final = 1_800  # of the 3 000 that one text object takes
_SHOWN_ANSWER_CHARS: Final = 200
_FALLBACK_CHARS: Final = 300


def check_texts(text: str, options: Sequence[str]) -> None:
    """Raise InvalidInputError for a question that Slack would not show whole."""
    if not text.strip():
        raise InvalidInputError("question: write what is asked.")
    if len(_render(text)) > MAX_TEXT_CHARS:
        raise InvalidInputError(
            f"question: at most {MAX_TEXT_CHARS} characters (each &, < and > counts for 4 or 5): post the details as a "
            "message first, and ask in its thread."
        )
    if len(options) > MAX_OPTIONS:
        raise InvalidInputError(f"options: at most {MAX_OPTIONS}.")
    if any(not each.strip() or len(each) > MAX_OPTION_CHARS for each in options):
        raise InvalidInputError(f"options: each has 1 to {MAX_OPTION_CHARS} characters, and not only blanks.")
    if len(set(options)) < len(options):
        raise InvalidInputError("options: one is there twice.")


def render_message(question: Question, language: str) -> dict[str, Any]:
    """Return `text` and `blocks` of the question's message, as the question stands."""
    section = {"type": "section", "text": {"type": "mrkdwn", "text": _render(question.text)}}
    lines = _render_lines(question, language)
    blocks: list[dict[str, Any]] = [section]
    if question.state is QuestionState.OPEN:
        blocks += _render_buttons(question, language)
    if lines:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": "\n".join(lines)}]})
    first, *_ = lines or [""]
    return {"text": f"{_render(_cut(question.text, _FALLBACK_CHARS))}\n{first}".strip(), "blocks": blocks}


def render_metadata(question: Question) -> Mapping[str, Any]:
    """Return what marks the message, so that it is found again. Other apps of the channel can read it."""
    return {"event_type": METADATA_TYPE, "event_payload": {"question_id": question.question_id}}


def render_form(question: Question, language: str) -> dict[str, Any]:
    """Return the modal for an answer in words."""
    say = _Plain(language)
    return {
        "type": "modal",
        "callback_id": FORM_CALLBACK,
        "private_metadata": question.question_id,
        "title": say(Sentence.FORM_TITLE),
        "submit": say(Sentence.FORM_SEND),
        "close": say(Sentence.FORM_CANCEL),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": _render(question.text)}},
            {
                "type": "input",
                "block_id": INPUT_BLOCK,
                "label": say(Sentence.FORM_LABEL),
                "element": {
                    "type": "plain_text_input",
                    "action_id": "text",
                    "multiline": True,
                    "max_length": MAX_ANSWER_CHARS,
                },
            },
        ],
    }


def read_option(question: Question, action_id: str) -> str | None:
    """Return the option whose button was clicked, by the stored question; None when it has no such option."""
    number = action_id.removeprefix(ANSWER_PREFIX)
    if not (number.isascii() and number.isdigit() and len(number) <= len(str(MAX_OPTIONS))):
        return None
    return question.options[int(number)] if int(number) < len(question.options) else None


class _Plain:
    """Makes plain text objects in one language."""

    def __init__(self, language: str) -> None:
        self._language = language

    def __call__(self, sentence: Sentence) -> dict[str, Any]:
        return {"type": "plain_text", "text": render_sentence(self._language, sentence), "emoji": False}


def _render_buttons(question: Question, language: str) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if question.options:
        buttons = [
            {
                "type": "button",
                "action_id": f"{ANSWER_PREFIX}{number}",
                "value": question.question_id,
                "text": {"type": "plain_text", "text": clean(option), "emoji": False},
            }
            for number, option in enumerate(question.options)
        ]
        blocks.append({"type": "actions", "elements": buttons})
    if question.has_form:  # a block of its own: 25 options fill one
        button = {
            "type": "button",
            "action_id": FORM_ACTION,
            "value": question.question_id,
            "text": _Plain(language)(Sentence.QUESTION_IN_WORDS),
        }
        blocks.append({"type": "actions", "elements": [button]})
    return blocks


def _render_lines(question: Question, language: str) -> list[str]:
    """Return what stands under the question: for whom it is, who answered, and how it ended."""
    lines: list[str] = []
    if question.state is QuestionState.OPEN and question.answerers:
        people = " ".join(f"<@{each}>" for each in question.answerers)
        lines.append(render_sentence(language, Sentence.QUESTION_FOR, people=people))
    if question.state is QuestionState.ANSWERED:
        lines.append(render_sentence(language, Sentence.QUESTION_DONE))
    elif question.state is QuestionState.CANCELLED:
        lines.append(render_sentence(language, Sentence.QUESTION_CANCELLED))
    elif question.state is QuestionState.EXPIRED:
        time = _render_time(question.expires_at_ms)
        lines.append(render_sentence(language, Sentence.QUESTION_EXPIRED, time=time))
    if question.quorum > 1 and question.state is not QuestionState.ANSWERED:
        given = str(len(question.answers))
        lines.append(render_sentence(language, Sentence.QUESTION_PROGRESS, given=given, quorum=str(question.quorum)))
    shown = list(_render_answers(question.answers))
    hidden = len(question.answers) - len(shown)
    if hidden:
        shown.append(render_sentence(language, Sentence.QUESTION_MORE, number=str(hidden)))
    return lines + shown


def _render_answers(answers: Sequence[Answer]) -> Iterator[str]:
    """Yield the answers' lines, as many as there is room for."""
    room = _SHOWN_CHARS
    for answer in answers:
        line = _render_answer(answer)
        room -= len(line)
        if room < 0:
            return
        yield line


def _render_answer(answer: Answer) -> str:
    shown = _render(_cut(" ".join(answer.answer.split()), _SHOWN_ANSWER_CHARS))
    return f"<@{answer.user_id}>: {shown} ({_render_time(answer.answered_at_ms)})"


def _render_time(at_ms: int) -> str:
    """Return a time that Slack shows in each reader's own zone.

    Source: https://docs.slack.dev/messaging/formatting-message-text#date-formatting.
    """
    plain = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"<!date^{at_ms // 1000}^{{date_short_pretty}} {{time}}|{plain}>"


def _render(text: str) -> str:
    return escape(clean(text))


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1]}…"
