"""A record of every Web API call: which token carried it, to whose channel, and how it was answered."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from slack_mcp.simulator.model import Json


@dataclass(slots=True, kw_only=True)
class Call:
    """One Web API call.

    Attributes:
        token: what the caller sent, also when no workspace has it.
        team_id: the workspace of that token; None for an unknown one.
        args: the arguments without the token, values as they came (form values are text).
        at_s: when it came in, unix seconds.
        channel_team_id: the workspace that `channel` belongs to; None when the call names none or an unknown one.
        status: the HTTP status answered; 0 while the call is running or when it was left hanging.
        error: Slack's error code; None for `ok: true`.
    """

    method: str
    token: str
    team_id: str | None
    args: Json
    at_s: float
    channel_team_id: str | None = None
    status: int = 0
    error: str | None = None

    @property
    def is_cross_tenant(self) -> bool:
        """True when the token of one workspace was used on the channel of another."""
        return self.team_id is not None and self.channel_team_id is not None and self.channel_team_id != self.team_id


class CallLog:
    """The last calls (100 000 by default), and the counts and cross-tenant calls of all time."""

    def __init__(self, *, capacity: int = 100_000) -> None:
        self._calls: deque[Call] = deque(maxlen=capacity)
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.cross_tenant_calls: list[Call] = []

    def add(self, call: Call) -> None:
        """Record a call that just came in."""
        self._calls.append(call)
        self.counts[call.method] += 1
        if call.is_cross_tenant:
            self.cross_tenant_calls.append(call)

    def finish(self, call: Call, status: int, error: str | None) -> None:
        """Record how a call was answered."""
        call.status, call.error = status, error
        if error is not None or status != 200:  # noqa: PLR2004 - HTTP's own number
            self.errors[error or f"http_{status}"] += 1

    def select(self, method: str | None = None, *, team_id: str | None = None) -> Sequence[Call]:
        """Return the calls, oldest first, of one method or workspace or of all."""
        return [
            call
            for call in self._calls
            if (method is None or call.method == method) and (team_id is None or call.team_id == team_id)
        ]

    def clear(self) -> None:
        """Forget everything, for a test's next act."""
        self._calls.clear()
        self.counts.clear()
        self.errors.clear()
        self.cross_tenant_calls.clear()
