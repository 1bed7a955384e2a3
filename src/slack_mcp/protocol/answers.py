"""What Slack's answers hold, read without believing their shape: what is not as documented is as good as absent."""

from collections.abc import Mapping, Sequence
from typing import Any


def string(value: Any) -> str:
    """Return a text, an empty one for anything else."""
    return value if isinstance(value, str) else ""


def integer(value: Any) -> int | None:
    """Return a whole number, None for anything else."""
    return value if type(value) is int else None


def mappings(value: Any) -> Sequence[Mapping[str, Any]]:
    """Return the objects of a list, none for anything else."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def text(source: Any, name: str) -> str:
    """Return a text out of an object, an empty one when there is none."""
    return string(source.get(name)) if isinstance(source, Mapping) else ""


def number(source: Any, name: str) -> int | None:
    """Return a whole number out of an object, None when there is none."""
    return integer(source.get(name)) if isinstance(source, Mapping) else None


def get_cursor(answer: Mapping[str, Any]) -> str | None:
    """Return where the next page begins, None at the end. https://docs.slack.dev/apis/web-api/pagination."""
    return text(answer.get("response_metadata"), "next_cursor") or None
