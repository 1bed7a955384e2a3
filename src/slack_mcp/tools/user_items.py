"""People, as the tools show them."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field

from slack_mcp.protocol.answers import text
from slack_mcp.tools.channel_items import shorten
from slack_mcp.tools.listing import Item
from slack_mcp.tools.tool import Result

SLACKBOT: Final = "USLACKBOT"  # Slack's own, which users.list does not call a bot


class UserItem(Item):
    """Somebody."""

    id: str
    name: str = Field(description="The handle.")
    real_name: str | None = None
    display_name: str | None = None
    email: str | None = None
    title: str | None = None
    is_bot: bool
    deleted: bool = Field(description="Whether the account was deactivated.")

    def render_line(self) -> str:
        """Return it as one line."""
        shown = self.display_name or self.real_name or self.name
        marks = [
            self.id,
            f"handle {self.name}" if self.name != shown else "",
            (self.real_name or "") if self.real_name != shown else "",
            self.email or "",
            "bot" if self.is_bot else "",
            "deactivated" if self.deleted else "",
        ]
        title = f": {shorten(self.title)}" if self.title else ""
        return f"- @{shown} ({', '.join(filter(None, marks))}){title}"


class UserDetails(Result):
    """Somebody, closely."""

    id: str
    name: str = Field(description="The handle.")
    real_name: str | None = None
    display_name: str | None = None
    email: str | None = Field(default=None, description="Absent without the scope users:read.email.")
    title: str | None = None
    status: str | None = None
    is_admin: bool
    is_owner: bool
    is_bot: bool
    is_guest: bool | None = None
    deleted: bool | None = None
    tz: str | None = None
    avatar_url: str | None = None


def read_item(user: Mapping[str, Any]) -> UserItem:
    """Return a person as an item: https://docs.slack.dev/reference/objects/user-object."""
    profile = user.get("profile")
    return UserItem(
        id=text(user, "id"),
        name=text(user, "name"),
        real_name=read_real_name(user) or None,
        display_name=text(profile, "display_name") or None,
        email=text(profile, "email") or None,
        title=text(profile, "title") or None,
        is_bot=is_bot(user),
        deleted=user.get("deleted") is True,
    )


def read_details(user: Mapping[str, Any], *, with_avatar: bool = False) -> UserDetails:
    """Return a person, closely."""
    profile = user.get("profile")
    status = " ".join(filter(None, (text(profile, "status_emoji"), text(profile, "status_text"))))
    return UserDetails(
        id=text(user, "id"),
        name=text(user, "name"),
        real_name=read_real_name(user) or None,
        display_name=text(profile, "display_name") or None,
        email=text(profile, "email") or None,
        title=text(profile, "title") or None,
        status=status or None,
        is_admin=user.get("is_admin") is True,
        is_owner=user.get("is_owner") is True,
        is_bot=is_bot(user),
        is_guest=user.get("is_restricted") is True or None,
        deleted=user.get("deleted") is True or None,
        tz=text(user, "tz") or None,
        avatar_url=(text(profile, "image_72") or None) if with_avatar else None,
    )


def is_bot(user: Mapping[str, Any]) -> bool:
    """Tell whether it is no person."""
    return user.get("is_bot") is True or user.get("id") == SLACKBOT


def read_real_name(user: Mapping[str, Any]) -> str:
    """Return the full name; of somebody deactivated, only the profile has it."""
    return text(user, "real_name") or text(user.get("profile"), "real_name")
