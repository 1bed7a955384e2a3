"""Readings of the same thing at the same moment are one."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

from slack_mcp.core.errors import SlackMcpError

Key = TypeVar("Key")
Value = TypeVar("Value")


class Flight(Generic[Value]):
    """One reading under way, shared by all who ask for the same thing.

    Attributes:
        ended: set when there is a result or an error, or whoever began was cancelled.
        result: what was read, which must not be None.
        error: why it could not be read.
        is_detached: something changed since it began, so that it is good for those who wait already and nobody else.
    """

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.result: Value | None = None
        self.error: SlackMcpError | None = None
        self.is_detached = False


class SingleFlight(Generic[Key, Value]):
    """At most one reading per key that is not detached. What it gives is shared: nobody may change it."""

    def __init__(self) -> None:
        self._flights: dict[Key, Flight[Value]] = {}

    async def join_or_start(self, key: Key, fetch: Callable[[Key, Flight[Value]], Awaitable[None]]) -> Value:
        """Return the result of the reading under way, or of a new one; every waiter gets its error.

        When the one who started it is cancelled, one of the others starts again.

        Args:
            key: what is read.
            fetch: reads it and puts it into the flight.
        """
        while True:
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = Flight()
                await self._lead(key, flight, fetch)
            else:
                await flight.ended.wait()
            if flight.error is not None:
                raise flight.error
            if flight.result is not None:
                return flight.result

    async def _lead(
        self, key: Key, flight: Flight[Value], fetch: Callable[[Key, Flight[Value]], Awaitable[None]]
    ) -> None:
        try:
            await fetch(key, flight)
        except SlackMcpError as error:
            flight.error = error
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
            flight.ended.set()

    async def wait_for_end(self, key: Key) -> None:
        """Return when no reading of the key is under way that began before this call."""
        flight = self._flights.get(key)
        if flight is not None:
            await flight.ended.wait()

    def detach(self, key: Key) -> None:
        """Let a reading that began before now end without being kept or joined."""
        flight = self._flights.pop(key, None)
        if flight is not None:
            flight.is_detached = True

    def detach_where(self, is_meant: Callable[[Key], bool]) -> None:
        """Detach the readings of all keys that are meant, looking at each that is under way."""
        for key in [key for key in self._flights if is_meant(key)]:
            self.detach(key)

    def detach_all(self) -> None:
        """Detach every reading."""
        self.detach_where(lambda _key: True)
