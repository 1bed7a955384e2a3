"""Which channels there are."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import Field

from slack_mcp.names.fetch import choose_types
from slack_mcp.protocol.answers import number, text
from slack_mcp.tools.call import Call
from slack_mcp.tools.channel_items import ChannelItem, describe_channels
from slack_mcp.tools.fields import ChannelText
from slack_mcp.tools.filtered import FilteredResult, fetch_filtered
from slack_mcp.tools.listing import ListArguments, ListResult, fetch_page
from slack_mcp.tools.needs import CHANNELS_READ, Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

_TYPES: Final = r"^(public_channel|private_channel|mpim|im)(,(public_channel|private_channel|mpim|im)){0,3}$"
# The scope of one kind of channels will do: the others are left out.
_NEEDS: Final = Needs(bot=(CHANNELS_READ,))
_SEARCH_PAGE: Final = 1_000
MAX_PREVIOUS_NAMES: Final = 5


class ListChannelsArguments(ListArguments):
    """Which channels."""

    exclude_archived: bool = Field(default=True, description="Leave archived ones out.")
    types: str | None = Field(
        default=None,
        pattern=_TYPES,
        max_length=60,
        description="Comma-separated: public_channel, private_channel, mpim, im. By default the first two.",
    )
    member_only: bool = Field(default=False, description="Only those the bot is in.")


class ListChannelsResult(ListResult):
    """Channels."""

    ITEMS: ClassVar[str] = "channels"

    channels: Sequence[ChannelItem]


class SearchChannelsArguments(ListArguments):
    """What to look for."""

    query: str = Field(min_length=1, max_length=100, description="A part of the name, topic or purpose.")
    exclude_archived: bool = Field(default=True, description="Leave archived ones out.")
    limit: int = Field(default=20, ge=1, le=200, description="Most items to return.")


class SearchChannelsResult(FilteredResult):
    """Channels."""

    ITEMS: ClassVar[str] = "channels"

    channels: Sequence[ChannelItem]


class ChannelArguments(Arguments):
    """Which channel."""

    channel: ChannelText


class ChannelDetails(ChannelItem):
    """A conversation, closely."""

    created: int | None = Field(default=None, description="Unix seconds.")
    creator: str | None = None
    creator_name: str | None = None
    is_ext_shared: bool | None = Field(default=None, description="Whether other organizations take part.")
    previous_names: list[str] | None = None


class ChannelInfoResult(Result):
    """A conversation."""

    channel: ChannelDetails


async def _list_channels(call: Call, arguments: ListChannelsArguments) -> ListChannelsResult:
    async def make(channels: Sequence[Mapping[str, Any]]) -> Sequence[ChannelItem]:
        return await describe_channels(call, channels, is_member=True if arguments.member_only else None)

    channels, cursor = await fetch_page(
        call.bot,
        "users.conversations" if arguments.member_only else "conversations.list",
        arguments,
        key="channels",
        make=make,
        types=arguments.types or choose_types(call.connection),
        exclude_archived=arguments.exclude_archived,
    )
    return ListChannelsResult(channels=channels, next_cursor=cursor)


async def _search_channels(call: Call, arguments: SearchChannelsArguments) -> SearchChannelsResult:
    wanted = arguments.query.removeprefix("#").casefold()

    def is_wanted(channel: Mapping[str, Any]) -> bool:
        notes = (text(channel.get(name), "value") for name in ("topic", "purpose"))
        return any(wanted in each.casefold() for each in (text(channel, "name"), *notes))

    async def make(channels: Sequence[Mapping[str, Any]]) -> Sequence[ChannelItem]:
        return await describe_channels(call, channels)

    channels, cursor = await fetch_filtered(
        call.bot,
        "conversations.list",
        arguments,
        key="channels",
        is_wanted=is_wanted,
        make=make,
        page_size=_SEARCH_PAGE,
        types=choose_types(call.connection),
        exclude_archived=arguments.exclude_archived,
    )
    return SearchChannelsResult(channels=channels, next_cursor=cursor)


async def _get_channel_info(call: Call, arguments: ChannelArguments) -> ChannelInfoResult:
    channel_id = await call.resolve_channel(arguments.channel)
    answer = await call.bot.read("conversations.info", channel=channel_id, include_num_members=True)
    channel = answer.get("channel") or {}
    (item,) = await describe_channels(call, [channel])
    creator = text(channel, "creator")
    names = await call.services.names.find_user_names(call.connection, [creator]) if creator else {}
    previous = channel.get("previous_names")
    return ChannelInfoResult(
        channel=ChannelDetails(
            **item.model_dump(),
            created=number(channel, "created"),
            creator=creator or None,
            creator_name=names.get(creator),
            is_ext_shared=channel.get("is_ext_shared") is True or None,
            previous_names=[each for each in previous if isinstance(each, str)][:MAX_PREVIOUS_NAMES]
            if isinstance(previous, list) and previous
            else None,
        )
    )


TOOLS: Final = (
    Tool(
        name="SLACK_LIST_CHANNELS",
        title="List channels",
        description=(
            "Lists channels: all public ones, and the private ones the bot is in. To find one, use "
            "SLACK_SEARCH_CHANNELS."
        ),
        arguments=ListChannelsArguments,
        result=ListChannelsResult,
        run=_list_channels,
        needs=_NEEDS,
    ),
    Tool(
        name="SLACK_SEARCH_CHANNELS",
        title="Search channels",
        description="Finds channels by a part of their name, topic or purpose.",
        arguments=SearchChannelsArguments,
        result=SearchChannelsResult,
        run=_search_channels,
        needs=_NEEDS,
    ),
    Tool(
        name="SLACK_GET_CHANNEL_INFO",
        title="Get a channel",
        description="Returns one channel: topic, purpose, number of members, creator, whether the bot is in it.",
        arguments=ChannelArguments,
        result=ChannelInfoResult,
        run=_get_channel_info,
        needs=_NEEDS,
    ),
)
