"""How long a server asks to wait. Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after."""

from typing import Final

DEFAULT_S: Final = 10.0
MAX_S: Final = 600.0
_MAX_DIGITS: Final = 9


def parse_retry_after(value: str | None) -> float:
    """Return the seconds of a `Retry-After` header, between 1 and 600; 10 where it gives none.

    The form with a date is read as none: the two clocks need not agree.
    """
    if value is None:
        return DEFAULT_S
    seconds = value.strip()
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= _MAX_DIGITS):
        return DEFAULT_S
    return min(max(float(seconds), 1.0), MAX_S)
