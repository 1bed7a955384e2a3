"""The limits of Block Kit, as far as Slack documents them, and blocks.validate. Pure.

https://docs.slack.dev/reference/block-kit/blocks, https://docs.slack.dev/reference/views,
https://docs.slack.dev/reference/methods/blocks.validate
"""

from collections.abc import Iterator
from typing import Any

from slack_mcp.simulator.model import Json

MOST_BLOCKS = 50
MOST_VIEW_BLOCKS = 100
LONGEST_ID = 255

_TYPES = frozenset(
    {
        "actions",
        "alert",
        "call",
        "card",
        "carousel",
        "context",
        "context_actions",
        "data_visualization",
        "divider",
        "file",
        "header",
        "image",
        "input",
        "markdown",
        "plan",
        "rich_text",
        "section",
        "table",
        "task_card",
        "video",
    }
)
_TEXT_LIMITS = {
    "header": {"text": 150},
    "section": {"text": 3_000},
    "markdown": {"text": 12_000},
    "image": {"alt_text": 2_000, "title": 2_000, "image_url": 3_000},
    "input": {"label": 2_000, "hint": 2_000},
    "video": {"alt_text": 2_000, "title": 200, "description": 200},
    "card": {"title": 150, "body": 200},
}
_COUNT_LIMITS = {
    "actions": {"elements": 25},
    "context": {"elements": 10},
    "context_actions": {"elements": 5},
    "section": {"fields": 10},
    "table": {"rows": 100},
}
_REQUIRED = {
    "actions": ("elements",),
    "context": ("elements",),
    "header": ("text",),
    "image": ("alt_text",),
    "input": ("label", "element"),
    "markdown": ("text",),
    "rich_text": ("elements",),
    "table": ("rows",),
}
_ELEMENT_REQUIRED = {
    "button": ("text",),
    "icon_button": ("icon", "text"),
    "feedback_buttons": ("positive_button", "negative_button"),
    "feedback_button": ("text", "value"),
}
_ELEMENT_LIMITS = {
    "text": 75,
    "value": 2_000,
    "url": 3_000,
    "action_id": LONGEST_ID,
    "placeholder": 150,
    "accessibility_label": 75,
}
_VIEW_LIMITS = {"title": 24, "submit": 24, "close": 24, "private_metadata": 3_000, "callback_id": LONGEST_ID}
_LONGEST_FIELD = 2_000
_MOST_COLUMNS = 20
_MOST_OPTIONS = 100


def validate_blocks(blocks: list[Any], *, most: int = MOST_BLOCKS, base: str = "") -> list[Json]:
    """Return what is wrong with blocks, each `{pointer, code, message}` with a JSON pointer below `base`."""
    errors: list[Json] = []
    if len(blocks) > most:
        errors.append(_error(base, f"no more than {most} items allowed"))
    for index, block in enumerate(blocks):
        errors += _block_errors(block, f"{base}/{index}")
    ids = [each["block_id"] for each in blocks if isinstance(each, dict) and each.get("block_id")]
    errors += [
        _error(f"{base}/{index}/block_id", "block_id already exists")
        for index, block in enumerate(blocks)
        if isinstance(block, dict) and ids.count(block.get("block_id")) > 1
    ]
    return errors


def validate_view(view: Json) -> list[Json]:
    """Return what is wrong with a view, with JSON pointers into it."""
    errors: list[Json] = []
    if view.get("type") not in ("modal", "home"):
        errors.append(_error("/type", "unsupported type"))
    blocks = view.get("blocks")
    if not isinstance(blocks, list):
        errors.append(_error("/blocks", "missing required field: blocks"))
        blocks = []
    if view.get("type") == "modal" and not view.get("title"):
        errors.append(_error("/title", "missing required field: title"))
    has_input = any(isinstance(each, dict) and each.get("type") == "input" for each in blocks)
    if view.get("type") == "modal" and has_input and not view.get("submit"):
        errors.append(_error("/submit", "missing required field: submit"))
    errors += [error for name, limit in _VIEW_LIMITS.items() for error in _too_long(view.get(name), limit, f"/{name}")]
    return errors + validate_blocks(blocks, most=MOST_VIEW_BLOCKS, base="/blocks")


def measure_text(blocks: list[Any]) -> int:
    """Return how many characters of text blocks hold."""
    return sum(len(text) for text in _texts(blocks))


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for each in part:
            yield from _texts(each)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name == "text" and isinstance(value, str):
                yield value
            else:
                yield from _texts(value)


def _block_errors(block: Any, pointer: str) -> list[Json]:
    if not isinstance(block, dict):
        return [_error(pointer, "must be an object")]
    kind = block.get("type")
    if kind not in _TYPES:
        return [_error(f"{pointer}/type", f"unsupported type: {kind}")]
    errors = [
        _error(f"{pointer}/{name}", f"missing required field: {name}")
        for name in _REQUIRED.get(kind, ())
        if not block.get(name)
    ]
    if kind == "section" and not block.get("text") and not block.get("fields"):
        errors.append(_error(pointer, "missing required field: text or fields"))
    limits = _TEXT_LIMITS.get(kind, {}) | {"block_id": LONGEST_ID}
    errors += [e for name, limit in limits.items() for e in _too_long(block.get(name), limit, f"{pointer}/{name}")]
    for name, most in _COUNT_LIMITS.get(kind, {}).items():
        if isinstance(block.get(name), list) and len(block[name]) > most:
            errors.append(_error(f"{pointer}/{name}", f"no more than {most} items allowed"))
    return errors + _part_errors(block, kind, pointer)


def _part_errors(block: Json, kind: str, pointer: str) -> list[Json]:
    """Return what is wrong inside a block: fields, rows, elements."""
    errors: list[Json] = []
    for index, field in enumerate(block.get("fields") or [] if kind == "section" else []):
        errors += _too_long(field, _LONGEST_FIELD, f"{pointer}/fields/{index}")
    for index, row in enumerate(block.get("rows") or [] if kind == "table" else []):
        if isinstance(row, list) and len(row) > _MOST_COLUMNS:
            errors.append(_error(f"{pointer}/rows/{index}", f"no more than {_MOST_COLUMNS} items allowed"))
    for index, element in enumerate(block.get("elements") or [] if kind in ("actions", "context_actions") else []):
        errors += _element_errors(element, f"{pointer}/elements/{index}")
    for name in ("accessory", "element"):
        if block.get(name) is not None:
            errors += _element_errors(block[name], f"{pointer}/{name}")
    return errors


def _element_errors(element: Any, pointer: str) -> list[Json]:
    if not isinstance(element, dict) or not element.get("type"):
        return [_error(f"{pointer}/type", "missing required field: type")]
    errors = [
        error
        for name, limit in _ELEMENT_LIMITS.items()
        for error in _too_long(element.get(name), limit, f"{pointer}/{name}")
    ]
    errors += [
        _error(f"{pointer}/{name}", f"missing required field: {name}")
        for name in _ELEMENT_REQUIRED.get(element["type"], ())
        if not element.get(name)
    ]
    for name in ("positive_button", "negative_button"):
        if isinstance(element.get(name), dict):
            errors += _element_errors({"type": "feedback_button"} | element[name], f"{pointer}/{name}")
    options = element.get("options")
    if isinstance(options, list) and len(options) > _MOST_OPTIONS:
        errors.append(_error(f"{pointer}/options", f"no more than {_MOST_OPTIONS} items allowed"))
    return errors


def _too_long(value: Any, limit: int, pointer: str) -> list[Json]:
    """Return the error of a text, or of a text object, that is longer than its limit."""
    where = pointer
    if isinstance(value, dict):
        value, where = value.get("text"), f"{pointer}/text"
    if isinstance(value, str) and len(value) > limit:
        return [_error(where, f"must be less than {limit + 1} characters")]
    return []


def _error(pointer: str, message: str) -> Json:
    return {"pointer": pointer, "code": "failed_constraint", "message": message}
