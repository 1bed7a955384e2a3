"""Which pod does what only one of them has to do."""

from typing import Protocol

from slack_mcp.core.ids import PodId


class Leadership(Protocol):
    """A lease for each duty. Every method may raise `StoreUnavailableError`."""

    async def lead(self, duty: str, pod_id: PodId, *, lease_s: float) -> bool:
        """Take the lead of a duty, or keep it, for so many seconds; False when another pod has it.

        Exactly one of the pods that ask at once gets it. All times are the database's.
        """
        ...

    async def hand_over(self, duty: str, pod_id: PodId) -> None:
        """Give up the lead, if the pod has it: whoever asks next gets it."""
        ...
