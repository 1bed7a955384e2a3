"""Times as the commands take them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from slack_mcp.core.errors import InvalidInputError

_MS: Final = 1000
_AGO: Final = re.compile(r"(\d{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_time(option: str, text: str | None, *, now: datetime) -> int | None:
    """Return a time in unix milliseconds: ISO 8601, in UTC where it names no zone, or how long ago (`90m`, `2h`, `7d`).

    Args:
        option: what it was given for.
        text: what was given, None for nothing.
        now: what ages are counted back from.

    Raises:
        InvalidInputError: it is neither.
    """
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            at = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            at = datetime.fromisoformat(text)
            at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return int(at.timestamp() * _MS)
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"{option} must be a time such as 2026-01-31T12:00:00Z, or how long ago, such as 90m, 2h or 7d."
        ) from None
