"""Direct messages, of two or of several."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.model import Access
from slack_mcp.protocol.answers import text
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import UserText
from slack_mcp.tools.listing import Item, ListArguments, ListResult, fetch_page
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

MAX_PEOPLE: Final = 8  # https://docs.slack.dev/reference/methods/conversations.open


class ListDmsArguments(ListArguments):
    """Which direct messages."""

    include_groups: bool = Field(default=False, description="Those of several people too.")


class DmItem(Item):
    """A direct message."""

    id: str = Field(description="Give it as channel.")
    user: str | None = Field(default=None, description="The person, in one of two.")
    user_name: str | None = None
    name: str | None = Field(default=None, description="Of one of several.")

    def render_line(self) -> str:
        """Return it as one line."""
        who = f"@{self.user_name or self.user}" if self.user else self.name
        return f"- {who} ({', '.join(filter(None, [self.id, self.user]))})"


class ListDmsResult(ListResult):
    """Direct messages."""

    ITEMS: ClassVar[str] = "dms"

    dms: Sequence[DmItem]


class OpenDmArguments(Arguments):
    """With whom."""

    user_id: UserText


class OpenGroupDmArguments(Arguments):
    """With whom."""

    user_ids: list[Annotated[str, Field(min_length=1, max_length=300)]] = Field(
        min_length=2, max_length=MAX_PEOPLE, description="People beside the bot: ids, @names or e-mails."
    )


class OpenedResult(Result):
    """Where to write."""

    channel_id: str = Field(description="Give it as channel.")


async def _list_dms(call: Call, arguments: ListDmsArguments) -> ListDmsResult:
    async def make(channels: Sequence[Mapping[str, Any]]) -> Sequence[DmItem]:
        people = [text(each, "user") for each in channels]
        names = await call.services.names.find_user_names(call.connection, people)
        return [
            DmItem(
                id=text(channel, "id"),
                user=user or None,
                user_name=names.get(user),
                name=text(channel, "name") or None,
            )
            for channel, user in zip(channels, people, strict=True)
        ]

    dms, cursor = await fetch_page(
        call.bot,
        "users.conversations",
        arguments,
        key="channels",
        make=make,
        types="im,mpim" if arguments.include_groups else "im",
    )
    return ListDmsResult(dms=dms, next_cursor=cursor)


async def _open_dm(call: Call, arguments: OpenDmArguments) -> OpenedResult:
    return await _open(call, [await call.resolve_user(arguments.user_id)])


async def _open_group_dm(call: Call, arguments: OpenGroupDmArguments) -> OpenedResult:
    people = list(dict.fromkeys([await call.resolve_user(each) for each in arguments.user_ids]))
    if len(people) < 2:  # noqa: PLR2004 - beside the bot
        raise InvalidInputError("user_ids: all of them are one person; SLACK_OPEN_DM opens a direct message of two.")
    return await _open(call, people)


async def _open(call: Call, people: Sequence[str]) -> OpenedResult:
    answer = await call.bot.write("conversations.open", users=",".join(people))
    channel_id = text(answer.get("channel"), "id")
    call.targets.append(channel_id)
    return OpenedResult(channel_id=channel_id)


TOOLS: Final = (
    Tool(
        name="SLACK_LIST_DMS",
        title="List direct messages",
        description="Lists the bot's direct messages, with the people in them.",
        arguments=ListDmsArguments,
        result=ListDmsResult,
        run=_list_dms,
        needs=Needs(bot=("im:read",)),
    ),
    Tool(
        name="SLACK_OPEN_DM",
        title="Open a direct message",
        description=(
            "Returns the channel of the bot's direct message with a person. Not needed for writing: the tools that "
            "take a channel take a person too."
        ),
        arguments=OpenDmArguments,
        result=OpenedResult,
        run=_open_dm,
        access=Access.WRITE,
        needs=Needs(bot=("im:write",)),
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_OPEN_GROUP_DM",
        title="Open a group direct message",
        description="Returns the channel of the direct message of the bot with two to eight people.",
        arguments=OpenGroupDmArguments,
        result=OpenedResult,
        run=_open_group_dm,
        access=Access.WRITE,
        needs=Needs(bot=("mpim:write",)),
        is_idempotent=True,
    ),
)
