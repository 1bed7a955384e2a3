"""A duty that one of the pods does for all of them: it leads for as long as it gives signs of life."""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import structlog

from slack_mcp.core.errors import SlackMcpError
from slack_mcp.core.ids import PodId
from slack_mcp.inbox.duty import Duty
from slack_mcp.inbox.repeat import Repeater
from slack_mcp.ports.leadership import Leadership

LEASE_S: Final = 30.0
HAND_OVER_TIMEOUT_S: Final = 5.0
# Signs of life in a lease: one that is late loses nothing.
SIGNS: Final = 3

_log = structlog.get_logger(__name__)


class Leader:
    """Repeats a step while this pod leads, and stands by while another one does.

    A leader that dies is replaced when its lease is over; one that is stopped hands over at once. For a moment two may
    believe to lead, when one was frozen: a step must do no harm then.

    Args:
        name: of the duty, the same on every pod.
        step: done once each time; an error of ours is logged, and the next time comes all the same.
        interval_s: between two steps.
        leadership: says who leads.
        pod_id: this process.
        lease_s: how long the lead is kept without a sign of life.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[None]],
        *,
        interval_s: float,
        leadership: Leadership,
        pod_id: PodId,
        lease_s: float = LEASE_S,
    ) -> None:
        self._name = name
        self._work = Repeater(name, step, interval_s=interval_s)
        self._asking = Duty(f"lead {name}")
        self._leadership = leadership
        self._pod_id = pod_id
        self._lease_s = lease_s
        self._leads = False
        self._may_lead = False

    @property
    def is_leading(self) -> bool:
        """Whether this pod does the duty now."""
        return self._leads

    @property
    def is_failing(self) -> bool:
        """Whether the step, or asking for the lead, has failed several times in a row."""
        return self._work.is_failing or self._asking.is_failing

    async def run(self) -> None:
        """Work until cancelled, and hand over then."""
        try:
            while True:
                await self._ask()
                if self._leads:
                    await self._lead()
                await anyio.sleep(self._lease_s / SIGNS)
        finally:
            await self._hand_over()

    async def _ask(self) -> None:
        """Find out who leads; a lead of which nobody can tell is none."""
        self._may_lead = True
        is_told = False
        with anyio.move_on_after(self._lease_s / SIGNS):
            is_told = await self._asking.attempt(self._take)
        if not is_told:
            self._leads = False

    async def _take(self) -> None:
        self._leads = await self._leadership.lead(self._name, self._pod_id, lease_s=self._lease_s)
        self._may_lead = self._leads

    async def _lead(self) -> None:
        """Do the duty until the lead is lost."""
        _log.info("duty.leading", duty=self._name)
        async with anyio.create_task_group() as work:
            work.start_soon(self._work.run, name=self._name)
            while self._leads:
                await anyio.sleep(self._lease_s / SIGNS)
                await self._ask()
            work.cancel_scope.cancel()
        _log.info("duty.lead_lost", duty=self._name)

    async def _hand_over(self) -> None:
        """Let the next one lead; also when a question for the lead was under way."""
        self._leads = False
        if not self._may_lead:
            return
        with anyio.move_on_after(HAND_OVER_TIMEOUT_S, shield=True):
            try:
                await self._leadership.hand_over(self._name, self._pod_id)
            except SlackMcpError as error:
                _log.info("duty.not_handed_over", duty=self._name, code=error.code)
