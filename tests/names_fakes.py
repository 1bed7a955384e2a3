"""A Slack that lists channels and people, for tests of the names."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from slack_mcp.core.errors import RateLimitedError, SlackApiError, SlackRefusedError, UserTokenMissingError
from slack_mcp.core.model import Connection
from slack_mcp.ports.slack import SlackFile


@dataclass(kw_only=True)
class ListingSlack:
    """`ports.slack.SlackWebs` of workspaces that are told apart by the connection's id.

    Attributes:
        channels, people: (connection_id, id) to the object that Slack has of it.
        page_size: how many a page holds at most.
        calls: (connection_id, method) of each call.
        gate: None, or what every call waits for.
        errors: raised in place of the next answers.
        endless: every page says that there is another.
    """

    channels: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    people: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    page_size: int = 1_000
    calls: list[tuple[str, str]] = field(default_factory=list)
    gate: anyio.Event | None = None
    errors: list[SlackApiError] = field(default_factory=list)
    endless: bool = False

    def add_channel(self, connection_id: str, of_id: str, name: str) -> None:
        self.channels[connection_id, of_id] = {"id": of_id, "name": name}

    def add_person(self, connection_id: str, of_id: str, handle: str, **profile: str) -> None:
        self.people[connection_id, of_id] = {"id": of_id, "name": handle, "profile": profile}

    def open(self, connection: Connection) -> "ListingWeb":
        return ListingWeb(self, connection.connection_id)

    def open_as_user(self, connection: Connection) -> "ListingWeb":
        raise UserTokenMissingError

    def count(self, connection_id: str) -> Counter[str]:
        return Counter(method for owner, method in self.calls if owner == connection_id)


class ListingWeb:
    """`ports.slack.SlackWeb`."""

    def __init__(self, slack: ListingSlack, connection_id: str) -> None:
        self._slack = slack
        self._owner = connection_id

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        slack = self._slack
        slack.calls.append((self._owner, method))
        answer = self._answer(method, arguments)
        if slack.gate is not None:
            await slack.gate.wait()
        if slack.errors:
            raise slack.errors.pop(0)
        if isinstance(answer, SlackApiError):
            raise answer
        return answer

    def _answer(self, method: str, arguments: Mapping[str, Any]) -> Mapping[str, Any] | SlackApiError:
        """Return what the workspace is like now; by the time it comes it may be another."""
        slack = self._slack
        match method:
            case "conversations.list":
                return self._page("channels", slack.channels, arguments)
            case "users.list":
                return self._page("members", slack.people, arguments)
            case "conversations.info":
                return self._one(method, "channel", slack.channels.get((self._owner, arguments["channel"])))
            case "users.info":
                return self._one(method, "user", slack.people.get((self._owner, arguments["user"])))
            case "bots.info":
                return {"bot": {"id": arguments["bot"], "name": "helper"}}
            case _:
                found = [
                    each
                    for (owner, _), each in slack.people.items()
                    if owner == self._owner and each["profile"].get("email") == arguments["email"]
                ]
                return {"user": found[0]} if found else SlackRefusedError(method, "users_not_found")

    def _page(self, key: str, all_: Mapping[tuple[str, str], Any], arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        listed = [each for (owner, _), each in all_.items() if owner == self._owner]
        start = int(arguments.get("cursor") or 0)
        end = start + self._slack.page_size
        following = str(end) if end < len(listed) or self._slack.endless else ""
        return {key: [dict(each) for each in listed[start:end]], "response_metadata": {"next_cursor": following}}

    @staticmethod
    def _one(method: str, key: str, found: Any) -> Mapping[str, Any] | SlackApiError:
        return {key: dict(found)} if found else SlackRefusedError(method, f"{key}_not_found")

    async def write(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        raise AssertionError(method)

    async def upload(self, upload_url: str, content: bytes) -> None:
        raise AssertionError(upload_url)

    async def download(self, url: str, *, max_bytes: int) -> SlackFile:
        raise AssertionError(url)


def make_rate_limit(method: str = "users.list") -> RateLimitedError:
    return RateLimitedError(method, 30)
