"""Arguments that many tools have."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError

ChannelText: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=300, description="Channel: id, #name or link; a person for their DM.")
]
UserText: TypeAlias = Annotated[str, Field(min_length=1, max_length=300, description="Person: id, @name or e-mail.")]
TS_PATTERN: Final = r"^[0-9]{9,11}\.[0-9]{6}$"
MessageTs: TypeAlias = Annotated[
    str, Field(pattern=TS_PATTERN, description="The message's ts, such as 1700000000.000100.")
]
ThreadTs: TypeAlias = Annotated[str, Field(pattern=TS_PATTERN, description="The ts of the thread's first message.")]
Moment: TypeAlias = Annotated[
    str,
    Field(min_length=2, max_length=40, description="A ts, a date or time (ISO, UTC), or how long ago: 30m, 2h, 7d."),
]

_TS: Final = re.compile(r"0|[0-9]{9,11}(?:\.[0-9]{1,6})?")
_AGO: Final = re.compile(r"([0-9]{1,5})([smhdw])")
_CLOCK_SKEW_S: Final = 120
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def parse_moment(name: str, text: str | None, *, now_s: float) -> str | None:
    """Return the moment as Slack takes it, None for None.

    Args:
        name: of the argument, for the error.
        text: a ts, unix seconds, an ISO date or time (UTC unless it says otherwise), or how long ago (`30m`, `7d`).
        now_s: unix seconds.

    Raises:
        InvalidInputError: it is none of these.
    """
    if text is None or _TS.fullmatch(text):
        return text
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return f"{max(now_s - int(ago.group(1)) * _UNITS_S[ago.group(2)], 0):.6f}"
    try:
        moment = datetime.fromisoformat(text)
        at_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"{name}: give a ts, an ISO date or time such as 2026-01-31 or 2026-01-31T09:00, or an age such as 7d."
        ) from None
    return f"{max(at_s, 0):.6f}"


def render_now(now_s: float) -> str:
    """Return the `latest` that stands for now, which conversations.history needs beside an `oldest`.

    With `oldest` alone Slack gives the messages that are closest to it, and not the last ones. The clocks are not the
    same, so that it is a little later.
    """
    return f"{now_s + _CLOCK_SKEW_S:.6f}"


def render_ms(at_ms: int) -> str:
    """Return unix milliseconds in UTC, to the second, as ISO 8601 has it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def render_time(ts: str) -> str:
    """Return when a ts was, in UTC, to the minute; the ts itself when it is none."""
    try:
        return datetime.fromtimestamp(int(ts.partition(".")[0]), UTC).strftime("%Y-%m-%d %H:%MZ")
    except (ValueError, OverflowError, OSError):
        return ts
