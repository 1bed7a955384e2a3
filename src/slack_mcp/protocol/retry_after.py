"""How long a server asks to wait. Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after."""

from typing import Final

DEFAULT_S: Final = 10.0
MAX_S: Final = 600.0
_MAX_DIGITS: Final = 9


def parse_retry_after(value: str | None, *, default_s: float = DEFAULT_S, max_s: float = MAX_S) -> float:
    """Return the seconds of a `Retry-After` header, between 1 and `max_s`; `default_s` where it gives none.

    The form with a date is read as none: the two clocks need not agree.
    """
    seconds = (value or "").strip()
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= _MAX_DIGITS):
        return default_s
    return min(max(float(seconds), 1.0), max_s)
