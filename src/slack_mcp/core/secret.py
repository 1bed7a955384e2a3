"""A string that does not print."""

from typing import Final

MASK: Final = "********"


class Secret:
    """Holds a token, key or signing secret and shows `********` wherever it is printed, logged or formatted.

    Only `reveal()` gives the text, so that each place that needs the clear text can be found by name.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the clear text."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return MASK

    def __reduce__(self) -> str:
        message = "a Secret is not pickled: reveal() it where it is needed"
        raise TypeError(message)
