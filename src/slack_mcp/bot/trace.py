"""What was done for a turn, kept with it: for whoever asks why the bot answered as it did, or did not.

A step holds constant words, numbers and ids; nothing of what anybody wrote.
"""

from collections.abc import Mapping
from typing import Final

from slack_mcp.core.clock import Clock
from slack_mcp.ports.operations import ASKED_AGAIN

MAX_STEPS: Final = 60
UPLOAD: Final = "upload"
_KEPT_FIRST: Final = 20
_MS: Final = 1000

Step = Mapping[str, str | int]


class Trace:
    """The steps of a turn, those of earlier runs first.

    Args:
        earlier: as stored.
        clock: for the times, unix milliseconds.
    """

    def __init__(self, earlier: tuple[Step, ...], *, clock: Clock) -> None:
        self._steps: list[dict[str, str | int]] = [dict(step) for step in earlier]
        self._clock = clock

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps, oldest first; of very many the middle is left out, but for what is read again."""
        middle = self._steps[_KEPT_FIRST : max(_KEPT_FIRST, len(self._steps) + _KEPT_FIRST - MAX_STEPS)]
        left_out = [id(step) for step in middle if step["step"] not in {UPLOAD, ASKED_AGAIN}]
        return tuple(step for step in self._steps if id(step) not in left_out)

    @property
    def uploads(self) -> tuple[str, ...]:
        """The ids of the files that were sent to Slack for the turn."""
        return tuple(str(step["file"]) for step in self._steps if step["step"] == UPLOAD)

    @property
    def times_asked_again(self) -> int:
        """How often an operator had the turn's answer dropped, so that the agent is asked once more."""
        return sum(step["step"] == ASKED_AGAIN for step in self._steps)

    def note(self, step: str, **values: str | int) -> None:
        """Add a step; the same one again only raises its `times`."""
        last = self._steps[-1] if self._steps else {}
        if {key: value for key, value in last.items() if key not in {"at_ms", "times"}} == {"step": step, **values}:
            last["times"] = int(last.get("times", 1)) + 1
            return
        self._steps.append({"at_ms": int(self._clock.now_s() * _MS), "step": step, **values})

    def note_call(self, method: str, error: str | None) -> None:
        """Add a call of Slack's Web API, with the error code that came back."""
        self.note("slack", method=method, **({} if error is None else {"error": error}))
