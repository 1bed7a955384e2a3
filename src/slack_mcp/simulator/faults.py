"""What should go wrong with the next Web API calls."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from slack_mcp.simulator.calls import Call


@dataclass(slots=True, kw_only=True)
class Fault:
    """One way for calls to fail. With neither `error` nor `status` a matching call hangs.

    Attributes:
        method: the method it is for, such as `chat.postMessage`; `*` for all.
        error: Slack's error code, answered with HTTP 200 and `ok: false`.
        status: an HTTP status: 429 with `retry_after_s`, 5xx without a JSON body.
        retry_after_s: the Retry-After header, whole seconds.
        hang_s: keep the caller waiting this long before the answer; the caller may hang up earlier.
        times: for how many calls; None for all until it is removed.
        team_id: only for the calls with this workspace's token.
        is_late: True does the call and only then fails: the answer is lost, the message is there.
        when: a further condition on the call.
    """

    method: str
    error: str | None = None
    status: int | None = None
    retry_after_s: int | None = None
    hang_s: float | None = None
    times: int | None = 1
    team_id: str | None = None
    is_late: bool = False
    when: Callable[[Call], bool] | None = None
    hits: int = 0

    @property
    def is_hanging(self) -> bool:
        """True when the caller waits, for `hang_s` or until it gives up."""
        return self.hang_s is not None or (self.error is None and self.status is None)

    @property
    def is_slow_only(self) -> bool:
        """True when the call is only delayed by `hang_s` and then answered as ever."""
        return self.error is None and self.status is None and self.hang_s is not None

    def is_for(self, call: Call) -> bool:
        """Whether it applies to this call."""
        return (
            self.method in ("*", call.method)
            and self.times != 0
            and (self.team_id is None or self.team_id == call.team_id)
            and (self.when is None or self.when(call))
        )


class Faults:
    """The faults in force, in the order in which they were added; the first that applies is used."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Put a fault in force and return it; its `hits` counts the calls that met it."""
        self._faults.append(fault)
        return fault

    def add_parsed(self, body: Mapping[str, Any]) -> Fault:
        """Put a fault from the control API in force. Raises TypeError for an unknown field."""
        return self.add(Fault(**{key: value for key, value in body.items() if key not in ("when", "hits")}))

    def remove(self, fault: Fault) -> None:
        """Take a fault out of force."""
        if fault in self._faults:
            self._faults.remove(fault)

    def clear(self) -> None:
        """Let everything work again."""
        self._faults.clear()

    def take(self, call: Call) -> Fault | None:
        """Return the fault for this call, used up by one."""
        for fault in self._faults:
            if fault.is_for(call):
                fault.hits += 1
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._faults.remove(fault)
                return fault
        return None
