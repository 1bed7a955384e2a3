"""The arguments of a Web API call, whether they came as a query, a form or JSON. Pure.

Slack takes all three forms alike; nested values are JSON text in a form: https://docs.slack.dev/apis/web-api/
"""

import json
from typing import Any
from urllib.parse import parse_qsl

from slack_mcp.simulator.model import Json, SlackRefusalError


def parse_arguments(query: bytes, content_type: str, body: bytes) -> Json:
    """Return the arguments. Raises SlackRefusalError invalid_json, json_not_object, invalid_form_data."""
    arguments: Json = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    if not body:
        return arguments
    if content_type.startswith("application/json"):
        try:
            parsed = json.loads(body)
        except ValueError as error:
            raise SlackRefusalError("invalid_json") from error
        if not isinstance(parsed, dict):
            raise SlackRefusalError("json_not_object")
        parsed.pop("token", None)  # Slack does not take a token from a JSON body
        return arguments | parsed
    try:
        return arguments | dict(parse_qsl(body.decode(), keep_blank_values=True))
    except UnicodeDecodeError as error:
        raise SlackRefusalError("invalid_form_data") from error


class Args:
    """Typed access to the arguments of one call."""

    def __init__(self, values: Json) -> None:
        self._values = values

    def text(self, name: str, default: str = "") -> str:
        """Return a text argument."""
        value = self._values.get(name)
        return default if value is None else str(value)

    def required(self, name: str, error: str = "invalid_arguments") -> str:
        """Return a text argument that must not be empty, or raise SlackRefusalError `error`."""
        value = self.text(name)
        if not value:
            raise SlackRefusalError(error)
        return value

    def optional(self, name: str) -> str | None:
        """Return a text argument; None when absent or empty."""
        return self.text(name) or None

    def flag(self, name: str) -> bool:
        """Return a boolean argument; absent is False."""
        return self.text(name).lower() in ("1", "true")

    def number(self, name: str, default: int, largest: int) -> int:
        """Return a number from 1 to `largest`, or raise SlackRefusalError invalid_limit."""
        text = self.text(name)
        if not text or text == "0":
            return default
        if not text.isascii() or not text.isdigit():
            raise SlackRefusalError("invalid_limit")
        return min(int(text), largest)

    def ids(self, name: str) -> list[str]:
        """Return ids that came as a JSON array or as text with commas; none when absent."""
        value = self._values.get(name)
        if isinstance(value, str):
            if not value.startswith("["):
                return [each.strip() for each in value.split(",") if each.strip()]
            value = self.nested(name, list, "invalid_arguments")
        return [str(each) for each in value] if isinstance(value, list) else []

    def nested(self, name: str, kind: type, error: str) -> Any:
        """Return a JSON argument of the given type, parsed when it came as text; None when absent or empty."""
        value = self._values.get(name)
        if isinstance(value, str):
            try:
                value = json.loads(value) if value else None
            except ValueError as failure:
                raise SlackRefusalError(error) from failure
        if value is None:
            return None
        if not isinstance(value, kind):
            raise SlackRefusalError(error)
        return value
