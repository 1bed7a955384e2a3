"""The pods that serve a database, as they know of each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from slack_mcp.core.ids import PodId

BEAT_INTERVAL_S: Final = 10.0
# Three beats missed: a pod that is gone without a word, or cut off from the database.
SILENT_AFTER_S: Final = 35.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """One pod, as it says of itself.

    Attributes:
        instance: a random word that only its own process knows, with which it answers for itself over HTTP.
    """

    pod_id: PodId
    instance: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPod:
    """One pod, as it was last seen.

    Attributes:
        silent_s: how long it has not been heard of, by the database's clock.
        skew_s: how far its clock is ahead of the database's.
    """

    presence: Presence
    silent_s: float
    skew_s: float

    @property
    def is_silent(self) -> bool:
        """Whether it is gone without a word."""
        return self.silent_s > SILENT_AFTER_S


class Pods(Protocol):
    """Keeps who serves."""

    async def note(self, presence: Presence) -> None:
        """Write that the pod is there, and forget those that have long been silent."""
        ...

    async def forget(self, pod_id: PodId) -> None:
        """Write that the pod has gone."""
        ...

    async def list_pods(self) -> Sequence[SeenPod]:
        """Return all that are known, by id."""
        ...
