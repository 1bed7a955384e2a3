"""Names of a connection's workspace: looked up when asked for, kept for a while, dropped when Slack tells of a change.

Nothing is read ahead. A name that is not known costs a walk through the workspace's list, of which everything that was
seen on the way is kept; the cache is bounded, so that in a large workspace a name may cost a walk again. Whose name it
is, is believed only as long as nothing new is heard of that channel or person: then Slack is asked about the one id.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

import anyio
import structlog

from slack_mcp.cache import TtlCache
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import InvalidInputError, SlackApiError, SlackRefusedError
from slack_mcp.core.ids import ChannelId, ConnectionId, UserId
from slack_mcp.core.model import Connection
from slack_mcp.names.fetch import Known, fetch_by_email, fetch_one, fetch_page
from slack_mcp.names.kept import EMAIL, KeptNames
from slack_mcp.names.suggest import LISTED_TTL_S, NOBODY, suggest_names
from slack_mcp.names.walk import Walk
from slack_mcp.ports.names import NameChange, NameKind, Suggestions
from slack_mcp.ports.slack import SlackWebs

MAX_ENTRIES: Final = 50_000
LOOKUPS_AT_ONCE: Final = 8
MAX_LOOKUPS: Final = 50
"""Ids that are asked about one by one for one answer; names beyond it are left out."""
SWEEP_FROM: Final = 20
MAX_SWEEP_PAGES: Final = 3

CHANNEL_ID: Final = re.compile(r"[CGD][A-Z0-9]{5,}")
USER_ID: Final = re.compile(r"[UW][A-Z0-9]{5,}")
_CHANNEL_MENTION: Final = re.compile(r"<#([CGD][A-Z0-9]{5,})(?:\|[^<>]*)?>")
_USER_MENTION: Final = re.compile(r"<@([UW][A-Z0-9]{5,})(?:\|[^<>]*)?>")
# https://example.slack.com/archives/C…, https://app.slack.com/client/T…/C…, https://example.slack.com/team/U…
_CHANNEL_LINK: Final = re.compile(r"https://[a-z0-9.-]+\.slack\.com/(?:archives|client/[A-Z0-9]+)/([CGD][A-Z0-9]{5,})")
_USER_LINK: Final = re.compile(r"https://[a-z0-9.-]+\.slack\.com/(?:team|user/@?)/?([UW][A-Z0-9]{5,})")
_EMAIL: Final = re.compile(r"[^\s@<>]+@[^\s@<>]+\.[^\s@<>]+")
_GONE: Final = frozenset({"user_not_found", "user_not_visible", "channel_not_found", "bot_not_found"})

_log = structlog.get_logger(__name__)


class CachedNames:
    """`ports.names.Names`.

    Args:
        slack: the Web API of each connection.
        clock: lets the entries age.
        max_entries: channels and people kept at most, of all connections together.
    """

    def __init__(self, *, slack: SlackWebs, clock: Clock, max_entries: int = MAX_ENTRIES) -> None:
        self._slack = slack
        self._kept = KeptNames(clock=clock, max_entries=max_entries)
        self._walks: dict[tuple[ConnectionId, NameKind], Walk] = {}
        # Of which list all names were read a while ago; False when it was too long for that.
        self._listed: TtlCache[tuple[ConnectionId, NameKind], bool] = TtlCache(clock=clock, max_entries=max_entries)

    async def resolve_channel(self, connection: Connection, text: str) -> ChannelId:
        """Return the channel that is meant; raises InvalidInputError, SlackApiError."""
        wanted = text.strip()
        found = _read_id(wanted, CHANNEL_ID, _CHANNEL_MENTION, _CHANNEL_LINK)
        if found is not None:
            return ChannelId(found)
        name = wanted.removeprefix("#").casefold()
        channel_id = await self._find(connection, NameKind.CHANNEL, name) if name else None
        if channel_id is None:
            raise InvalidInputError(
                f"There is no channel {wanted!r} that the bot can see: SLACK_LIST_CHANNELS shows them; a private "
                "channel shows once the bot was invited to it."
            )
        return ChannelId(channel_id)

    async def resolve_user(self, connection: Connection, text: str) -> UserId:
        """Return the person that is meant; raises InvalidInputError, SlackApiError."""
        wanted = text.strip()
        found = _read_id(wanted, USER_ID, _USER_MENTION, _USER_LINK)
        if found is not None:
            return UserId(found)
        if _EMAIL.fullmatch(wanted):
            return await self._find_by_email(connection, wanted)
        name = wanted.removeprefix("@").casefold()
        user_id = await self._find(connection, NameKind.USER, name) if name else None
        if user_id is None:
            raise InvalidInputError(
                f"There is nobody called {wanted!r}: SLACK_SEARCH_USERS finds people by a part of their names; an id "
                "or an e-mail is always clear."
            )
        return UserId(user_id)

    async def find_user_names(self, connection: Connection, user_ids: Collection[str]) -> Mapping[str, str]:
        """Return the display names that could be found, by id."""
        return await self._find_names(connection, NameKind.USER, user_ids)

    async def find_channel_names(self, connection: Connection, channel_ids: Collection[str]) -> Mapping[str, str]:
        """Return the channels' names that could be found, by id."""
        return await self._find_names(connection, NameKind.CHANNEL, channel_ids)

    async def find_locale(self, connection: Connection, user_id: UserId) -> str:
        """Return the locale of a person's Slack, such as `pt-BR`; empty where Slack does not say.

        Raises:
            SlackApiError: Slack had to be asked, and did not answer.
        """
        if self._kept.is_missing(connection.connection_id, NameKind.USER, user_id):
            return ""
        known = self._kept.get(connection.connection_id, NameKind.USER, user_id)
        if known is None or known.locale is None:
            known = await self._fetch(connection, NameKind.USER, user_id)
        return "" if known is None else known.locale or ""

    async def suggest(self, connection: Connection, kind: NameKind, text: str, *, limit: int) -> Suggestions:
        """Return the names that begin with the text, then those that hold it; raises SlackApiError."""
        key = (connection.connection_id, kind)
        while (is_complete := self._listed.get(key)) is None:
            walk = self._walks.get(key)
            if walk is None:
                # A list that is too long is no error: what was seen of it is suggested.
                with suppress(InvalidInputError):
                    await self._lead(Walk(self._slack.open(connection), connection, kind), NOBODY)
                continue
            await walk.ended.wait()
            if walk.error is not None:
                raise walk.error
        return suggest_names(self._kept.list_known(*key), text, limit=limit, is_complete=is_complete)

    def forget(self, change: NameChange) -> int:
        """Drop what is not to be believed any more; returns of how many channels and people that was."""
        if change.kind is NameKind.CONNECTION:
            for kind in NameKind:
                self._listed.drop((change.connection_id, kind))
        return self._kept.forget(change)

    def clear(self) -> None:
        """Forget everything: news may have been missed."""
        self._kept.clear()
        self._listed.clear()

    async def _find(self, connection: Connection, kind: NameKind, name: str) -> str | None:
        """Return the id behind a name, None when there is none.

        Raises:
            InvalidInputError: several have the name, or there are too many to look through.
            SlackApiError: Slack had to be asked, and did not say.
        """
        while True:
            known = await self._verify(connection, kind, name)
            if known is not None or self._kept.is_missing(connection.connection_id, kind, name):
                return known
            walk = self._walks.get((connection.connection_id, kind))
            if walk is None:
                walk = Walk(self._slack.open(connection), connection, kind)
                return await self._lead(walk, name)
            await walk.ended.wait()
            if walk.error is not None:
                raise walk.error
            if walk.has_answer(name):
                return walk.get(name)

    async def _lead(self, walk: Walk, name: str) -> str | None:
        """Return what `_find` does, for whoever walks; the others wait for the end, and share its error."""
        key = (walk.connection.connection_id, walk.kind)
        self._walks[key] = walk
        try:
            with self._kept.reading(walk.connection.connection_id) as reading:
                await walk.run(name, reading)
                if walk.is_over and not reading.is_void:
                    self._listed.put(key, walk.is_complete, ttl_s=LISTED_TTL_S)
        except SlackApiError as error:
            walk.error = error
            raise
        finally:
            del self._walks[key]
            walk.ended.set()
        return walk.get(name)

    async def _verify(self, connection: Connection, kind: NameKind, name: str, *, space: str = "") -> str | None:
        """Return whose name it still is, as far as that is known; asks about one id when there was news of it."""
        of_id = self._kept.get_id(connection.connection_id, space or kind, name)
        if of_id is None:
            return None
        known = self._kept.get(connection.connection_id, kind, of_id)
        if known is None:
            known = await self._fetch(connection, kind, of_id)
        if known is not None and (known.email == name if space else name in known.names):
            return of_id
        self._kept.drop_id(connection.connection_id, space or kind, name)
        return None

    async def _find_by_email(self, connection: Connection, email: str) -> UserId:
        wanted = email.casefold()
        user_id = await self._verify(connection, NameKind.USER, wanted, space=EMAIL)
        if user_id is not None:
            return UserId(user_id)
        with self._kept.reading(connection.connection_id) as reading:
            try:
                known = await fetch_by_email(self._slack.open(connection), email)
            except SlackRefusedError as error:
                if error.slack_error != "users_not_found":
                    raise
                known = None
            if known is None:
                raise InvalidInputError(f"Nobody in the workspace has the e-mail {email}.")
            reading.keep(NameKind.USER, known)
            reading.keep_id(NameKind.USER, wanted, known.id, space=EMAIL)
        return UserId(known.id)

    async def _fetch(self, connection: Connection, kind: NameKind, of_id: str) -> Known | None:
        """Return one channel or person, None when there is none; raises SlackApiError."""
        with self._kept.reading(connection.connection_id) as reading:
            try:
                known = await fetch_one(self._slack.open(connection), kind, of_id)
            except SlackRefusedError as error:
                if error.slack_error not in _GONE:
                    raise
                known = None
            if known is None:
                reading.keep_missing(kind, of_id)
            else:
                reading.keep(kind, known)
        return known

    async def _find_names(self, connection: Connection, kind: NameKind, ids: Collection[str]) -> Mapping[str, str]:
        """Return the names by id, with a bounded number of calls; what cannot be found is left out."""
        wanted = {each for each in ids if each}
        if kind is NameKind.USER and len(self._get_unknown(connection, kind, wanted)) > SWEEP_FROM:
            await self._sweep(connection, wanted)
        # Taken now: what is dropped while others are looked up is no reason to leave a name out.
        found = {each: self._kept.get(connection.connection_id, kind, each) for each in wanted}
        unknown = self._get_unknown(connection, kind, wanted)[:MAX_LOOKUPS]
        if unknown:
            found |= await self._fetch_all(connection, kind, unknown)
        return {of_id: known.shown for of_id, known in found.items() if known is not None and known.shown}

    async def _fetch_all(self, connection: Connection, kind: NameKind, ids: Sequence[str]) -> Mapping[str, Known]:
        """Return what Slack says of the ids, asked about one by one; after an error nothing more is asked."""
        found: dict[str, Known] = {}
        limiter = anyio.CapacityLimiter(LOOKUPS_AT_ONCE)

        async with anyio.create_task_group() as tasks:

            async def look_up(of_id: str) -> None:
                async with limiter:
                    try:
                        known = await self._fetch(connection, kind, of_id)
                    except SlackApiError as error:
                        # A rate limit or a missing scope is one for all of them.
                        _log.debug("names.left_out", connection_id=connection.connection_id, error=error.slack_error)
                        tasks.cancel_scope.cancel()
                        return
                if known is not None:
                    found[of_id] = known

            for of_id in ids:
                tasks.start_soon(look_up, of_id)
        return found

    def _get_unknown(self, connection: Connection, kind: NameKind, wanted: Collection[str]) -> Sequence[str]:
        connection_id = connection.connection_id
        return [
            each
            for each in sorted(wanted)
            if self._kept.get(connection_id, kind, each) is None
            and not self._kept.is_missing(connection_id, kind, each)
        ]

    async def _sweep(self, connection: Connection, wanted: Collection[str]) -> None:
        """Read the first pages of the workspace's people: for many names that costs less than one call for each."""
        cursor: str | None = None
        with self._kept.reading(connection.connection_id) as reading:
            for _ in range(MAX_SWEEP_PAGES):
                try:
                    people, cursor = await fetch_page(self._slack.open(connection), connection, NameKind.USER, cursor)
                except SlackApiError as error:
                    _log.debug("names.left_out", connection_id=connection.connection_id, error=error.slack_error)
                    return
                for known in people:
                    reading.keep(NameKind.USER, known)
                if cursor is None or not self._get_unknown(connection, NameKind.USER, wanted):
                    return


def _read_id(text: str, whole: re.Pattern[str], mention: re.Pattern[str], link: re.Pattern[str]) -> str | None:
    """Return the id in a text that names one, None for any other text."""
    if whole.fullmatch(text):
        return text
    found = mention.fullmatch(text) or link.match(text)
    return found.group(1) if found else None
