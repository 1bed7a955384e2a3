"""User groups: named groups of people that can be mentioned together."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.model import Access
from slack_mcp.protocol.answers import mappings, number, text
from slack_mcp.tools.call import Call
from slack_mcp.tools.channel_items import shorten
from slack_mcp.tools.listing import Item, ListArguments, ListResult, Position, fit
from slack_mcp.tools.membership import Member
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

MAX_MEMBERS: Final = 500
MAX_DEFAULT_CHANNELS: Final = 50
_READS: Final = Needs(bot=("usergroups:read",))
_WRITES: Final = Needs(bot=("usergroups:write",))
_ID: Final = re.compile(r"(?:<!subteam\^)?(S[A-Z0-9]{5,})(?:\|[^<>]*)?>?")
_GroupText = Annotated[str, Field(min_length=1, max_length=200, description="User group: id or @handle.")]
_Text = Annotated[str, Field(min_length=1, max_length=300)]


class ListUsergroupsArguments(ListArguments):
    """Which groups."""

    include_disabled: bool = Field(default=False, description="Disabled ones too.")


class UsergroupItem(Item):
    """A user group."""

    id: str
    name: str
    handle: str
    description: str | None = None
    user_count: int | None = None
    is_disabled: bool | None = None

    def render_line(self) -> str:
        """Return it as one line."""
        marks = [
            self.id,
            self.name,
            f"{self.user_count} members" if self.user_count is not None else "",
            "disabled" if self.is_disabled else "",
        ]
        note = f": {shorten(self.description)}" if self.description else ""
        return f"- @{self.handle} ({', '.join(filter(None, marks))}){note}"


class ListUsergroupsResult(ListResult):
    """User groups."""

    ITEMS: ClassVar[str] = "usergroups"

    usergroups: Sequence[UsergroupItem]


class GroupMembersArguments(ListArguments):
    """Of which group."""

    usergroup: _GroupText


class GroupMembersResult(ListResult):
    """Who is in the group."""

    ITEMS: ClassVar[str] = "users"

    users: Sequence[Member]


class CreateUsergroupArguments(Arguments):
    """The new group."""

    name: str = Field(min_length=1, max_length=200, description="Unique in the workspace.")
    handle: str | None = Field(default=None, min_length=1, max_length=100, description="To mention it by; unique.")
    description: str | None = Field(default=None, max_length=500)
    channels: list[_Text] = Field(
        default_factory=list, max_length=MAX_DEFAULT_CHANNELS, description="Channels that its members are put into."
    )


class UpdateUsergroupArguments(Arguments):
    """What to change; what is left out stays."""

    usergroup: _GroupText
    name: str | None = Field(default=None, min_length=1, max_length=200)
    handle: str | None = Field(default=None, min_length=1, max_length=100)
    description: str | None = Field(default=None, max_length=500)
    channels: list[_Text] | None = Field(
        default=None, min_length=1, max_length=MAX_DEFAULT_CHANNELS, description="All of its default channels."
    )


class SetMembersArguments(Arguments):
    """All of the group's members."""

    usergroup: _GroupText
    user_ids: list[_Text] = Field(
        min_length=1, max_length=MAX_MEMBERS, description="Everybody who shall be in it: ids, @names or e-mails."
    )


class UsergroupResult(Result):
    """The group as it is now."""

    usergroup: UsergroupItem


async def _list_usergroups(call: Call, arguments: ListUsergroupsArguments) -> ListUsergroupsResult:
    groups = [_read_group(each) for each in await _fetch_groups(call, include_disabled=arguments.include_disabled)]
    shown, cursor = _cut(groups, arguments)
    return ListUsergroupsResult(usergroups=shown, next_cursor=cursor)


async def _get_members(call: Call, arguments: GroupMembersArguments) -> GroupMembersResult:
    group_id = await _resolve_group(call, arguments.usergroup)
    answer = await call.bot.read("usergroups.users.list", usergroup=group_id, include_disabled=True)
    listed = answer.get("users")
    members = [Member(id=each) for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    start = Position.parse(arguments.cursor).skip
    names = await call.services.names.find_user_names(
        call.connection, [each.id for each in members[start : start + arguments.limit]]
    )
    shown, cursor = _cut([Member(id=each.id, name=names.get(each.id)) for each in members], arguments)
    return GroupMembersResult(users=shown, next_cursor=cursor)


async def _create(call: Call, arguments: CreateUsergroupArguments) -> UsergroupResult:
    channels = [await call.resolve_channel(each) for each in arguments.channels]
    answer = await call.bot.write(
        "usergroups.create",
        name=arguments.name,
        handle=arguments.handle,
        description=arguments.description,
        channels=",".join(channels) or None,
        include_count=True,
    )
    group = _read_group(answer.get("usergroup") or {})
    call.targets.append(group.id)
    return UsergroupResult(usergroup=group)


async def _update(call: Call, arguments: UpdateUsergroupArguments) -> UsergroupResult:
    changes: dict[str, Any] = {
        "name": arguments.name,
        "handle": arguments.handle,
        "description": arguments.description,
        "channels": arguments.channels,
    }
    if all(each is None for each in changes.values()):
        raise InvalidInputError("Give at least one of name, handle, description and channels.")
    group_id = await _resolve_group(call, arguments.usergroup)
    if arguments.channels is not None:
        changes["channels"] = ",".join([await call.resolve_channel(each) for each in arguments.channels])
    answer = await call.bot.write("usergroups.update", usergroup=group_id, include_count=True, **changes)
    return UsergroupResult(usergroup=_read_group(answer.get("usergroup") or {}))


async def _set_members(call: Call, arguments: SetMembersArguments) -> UsergroupResult:
    group_id = await _resolve_group(call, arguments.usergroup)
    people = dict.fromkeys([await call.resolve_user(each) for each in arguments.user_ids])
    answer = await call.bot.write(
        "usergroups.users.update", usergroup=group_id, users=",".join(people), include_count=True
    )
    return UsergroupResult(usergroup=_read_group(answer.get("usergroup") or {}))


async def _resolve_group(call: Call, given: str) -> str:
    """Return the id of the group that is meant; raises InvalidInputError."""
    found = _ID.fullmatch(given.strip())
    if found is not None:
        return found.group(1)
    wanted = given.strip().removeprefix("@").casefold()
    groups = await _fetch_groups(call, include_disabled=True)
    for key in ("handle", "name"):  # one group's name may be another's handle
        for group in groups:
            if text(group, key).casefold() == wanted:
                return text(group, "id")
    raise InvalidInputError(f"There is no user group {given!r}: SLACK_LIST_USERGROUPS shows those that there are.")


async def _fetch_groups(call: Call, *, include_disabled: bool) -> Sequence[Mapping[str, Any]]:
    """Return all groups; Slack does not page them: https://docs.slack.dev/reference/methods/usergroups.list."""
    answer = await call.bot.read("usergroups.list", include_count=True, include_disabled=include_disabled)
    return mappings(answer.get("usergroups"))


def _read_group(group: Mapping[str, Any]) -> UsergroupItem:
    return UsergroupItem(
        id=text(group, "id"),
        name=text(group, "name"),
        handle=text(group, "handle"),
        description=text(group, "description") or None,
        user_count=number(group, "user_count"),
        is_disabled=bool(number(group, "date_delete")) or None,
    )


def _cut(items: Sequence[Any], arguments: ListArguments) -> tuple[Sequence[Any], str | None]:
    """Return (a page of a list that Slack gave whole, the cursor of the next)."""
    start = Position.parse(arguments.cursor).skip
    shown = fit(items[start : start + arguments.limit], arguments)
    end = start + len(shown)
    return shown, Position(None, end).render() if end < len(items) else None


TOOLS: Final = (
    Tool(
        name="SLACK_LIST_USERGROUPS",
        title="List user groups",
        description="Lists the user groups (@handles that stand for several people).",
        arguments=ListUsergroupsArguments,
        result=ListUsergroupsResult,
        run=_list_usergroups,
        needs=_READS,
    ),
    Tool(
        name="SLACK_GET_USERGROUP_MEMBERS",
        title="List a user group's members",
        description="Lists who is in a user group.",
        arguments=GroupMembersArguments,
        result=GroupMembersResult,
        run=_get_members,
        needs=_READS,
    ),
    Tool(
        name="SLACK_CREATE_USERGROUP",
        title="Create a user group",
        description="Creates an empty user group; SLACK_SET_USERGROUP_MEMBERS fills it.",
        arguments=CreateUsergroupArguments,
        result=UsergroupResult,
        run=_create,
        access=Access.WRITE,
        needs=_WRITES,
    ),
    Tool(
        name="SLACK_UPDATE_USERGROUP",
        title="Change a user group",
        description="Changes a user group's name, handle, description or default channels.",
        arguments=UpdateUsergroupArguments,
        result=UsergroupResult,
        run=_update,
        access=Access.WRITE,
        needs=_WRITES,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_SET_USERGROUP_MEMBERS",
        title="Replace a user group's members",
        description=(
            "Replaces all members of a user group: whoever is not named is removed. To add somebody, name those of "
            "SLACK_GET_USERGROUP_MEMBERS too."
        ),
        arguments=SetMembersArguments,
        result=UsergroupResult,
        run=_set_members,
        access=Access.WRITE,
        needs=_WRITES,
        is_destructive=True,
        is_idempotent=True,
    ),
)
