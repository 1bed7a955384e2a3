"""Who is in the workspace."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError, SlackRefusedError
from slack_mcp.protocol.answers import text
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import UserText
from slack_mcp.tools.filtered import FilteredResult, fetch_filtered
from slack_mcp.tools.listing import ListArguments
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.tool import Arguments, Result, Tool
from slack_mcp.tools.user_items import UserDetails, UserItem, is_bot, read_details, read_item, read_real_name

_READS: Final = Needs(bot=("users:read",))
_SEARCH_PAGE: Final = 1_000


class ListUsersArguments(ListArguments):
    """Whom to list."""

    include_bots: bool = Field(default=False, description="Bots too.")
    include_deleted: bool = Field(default=False, description="Deactivated accounts too.")


class UsersResult(FilteredResult):
    """People."""

    ITEMS: ClassVar[str] = "users"

    users: Sequence[UserItem]


class SearchUsersArguments(ListUsersArguments):
    """Whom to look for."""

    query: str = Field(min_length=1, max_length=100, description="A part of the name, handle, title or e-mail.")
    limit: int = Field(default=20, ge=1, le=200, description="Most items to return.")


class UserInfoArguments(Arguments):
    """Whom."""

    user_id: UserText
    include_avatar: bool = Field(default=False, description="The picture's address too.")


class UserByEmailArguments(Arguments):
    """Whom."""

    email: str = Field(min_length=3, max_length=300, pattern=r"^[^\s@<>]+@[^\s@<>]+$", description="The whole address.")


class UserResult(Result):
    """Somebody."""

    user: UserDetails


async def _list_users(call: Call, arguments: ListUsersArguments) -> UsersResult:
    return await _fetch(call, arguments, lambda user: _is_listed(user, arguments))


async def _search_users(call: Call, arguments: SearchUsersArguments) -> UsersResult:
    wanted = arguments.query.removeprefix("@").casefold()

    def is_wanted(user: Mapping[str, Any]) -> bool:
        profile = user.get("profile")
        texts = [text(user, "name"), read_real_name(user)]
        texts += [text(profile, name) for name in ("display_name", "title", "email")]
        return _is_listed(user, arguments) and any(wanted in each.casefold() for each in texts)

    return await _fetch(call, arguments, is_wanted, page_size=_SEARCH_PAGE)


async def _fetch(call: Call, arguments: ListUsersArguments, is_wanted: Any, **options: int) -> UsersResult:
    async def make(users: Sequence[Mapping[str, Any]]) -> Sequence[UserItem]:
        return [read_item(each) for each in users]

    users, cursor = await fetch_filtered(
        call.bot, "users.list", arguments, key="members", is_wanted=is_wanted, make=make, **options
    )
    return UsersResult(users=users, next_cursor=cursor)


def _is_listed(user: Mapping[str, Any], arguments: ListUsersArguments) -> bool:
    return (arguments.include_bots or not is_bot(user)) and (
        arguments.include_deleted or user.get("deleted") is not True
    )


async def _get_user_info(call: Call, arguments: UserInfoArguments) -> UserResult:
    user_id = await call.resolve_user(arguments.user_id)
    answer = await call.bot.read("users.info", user=user_id)
    return UserResult(user=read_details(answer.get("user") or {}, with_avatar=arguments.include_avatar))


async def _get_user_by_email(call: Call, arguments: UserByEmailArguments) -> UserResult:
    try:
        answer = await call.bot.read("users.lookupByEmail", email=arguments.email)
    except SlackRefusedError as error:
        if not is_refusal(error, "users_not_found"):
            raise
        raise InvalidInputError(
            f"Nobody active in the workspace has the e-mail {arguments.email}: SLACK_SEARCH_USERS finds people by a "
            "part of it, deactivated ones too."
        ) from None
    return UserResult(user=read_details(answer.get("user") or {}))


TOOLS: Final = (
    Tool(
        name="SLACK_GET_USER_INFO",
        title="Get a person",
        description="Returns one person or bot: names, e-mail, title, status, time zone.",
        arguments=UserInfoArguments,
        result=UserResult,
        run=_get_user_info,
        needs=_READS,
    ),
    Tool(
        name="SLACK_LIST_USERS",
        title="List people",
        description="Lists the people of the workspace. To find one, use SLACK_SEARCH_USERS.",
        arguments=ListUsersArguments,
        result=UsersResult,
        run=_list_users,
        needs=_READS,
    ),
    Tool(
        name="SLACK_SEARCH_USERS",
        title="Search people",
        description="Finds people by a part of their name, handle, title or e-mail.",
        arguments=SearchUsersArguments,
        result=UsersResult,
        run=_search_users,
        needs=_READS,
    ),
    Tool(
        name="SLACK_GET_USER_BY_EMAIL",
        title="Get a person by e-mail",
        description="Returns the person with an e-mail address.",
        arguments=UserByEmailArguments,
        result=UserResult,
        run=_get_user_by_email,
        needs=Needs(bot=("users:read.email",)),
    ),
)
