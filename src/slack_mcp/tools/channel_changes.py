"""Creating, renaming, describing and archiving channels."""

from typing import Annotated, Final

import structlog
from pydantic import AfterValidator, Field

from slack_mcp.core.errors import SlackRefusedError, StoreUnavailableError
from slack_mcp.core.model import Access
from slack_mcp.ports.names import NameChange, NameKind
from slack_mcp.ports.slack import SlackWeb
from slack_mcp.protocol.answers import text
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call
from slack_mcp.tools.channel_items import ChannelItem, describe_channels
from slack_mcp.tools.fields import ChannelText
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

MAX_NAME_CHARS: Final = 80  # https://docs.slack.dev/reference/methods/conversations.create
MAX_NOTE_CHARS: Final = 250  # https://docs.slack.dev/reference/methods/conversations.setTopic
_MANAGES: Final = Needs(bot=(("channels:manage", "groups:write"),))
_DESCRIBES: Final = Needs(
    bot=(
        (
            "channels:manage",
            "channels:write.topic",
            "groups:write",
            "groups:write.topic",
            "mpim:write",
            "mpim:write.topic",
        ),
    )
)
_USER_MANAGES: Final = ("channels:write", "groups:write")

_log = structlog.get_logger(__name__)


def _check_name(name: str) -> str:
    """Return the name; raises ValueError for one that Slack does not take."""
    if name != name.lower() or not all(each.isalnum() or each in "-_" for each in name):
        raise ValueError("a channel's name has small letters, digits, hyphens and underscores only")
    return name


_ChannelName = Annotated[
    str,
    AfterValidator(_check_name),
    Field(min_length=1, max_length=MAX_NAME_CHARS, description="Small letters, digits, - and _, without #."),
]


class CreateChannelArguments(Arguments):
    """The new channel."""

    name: _ChannelName
    is_private: bool = Field(default=False, description="Only who is invited sees it.")


class CreateChannelResult(Result):
    """The new channel."""

    channel: ChannelItem


class RenameChannelArguments(Arguments):
    """Which channel, and its new name."""

    channel: ChannelText
    name: _ChannelName


class SetTopicArguments(Arguments):
    """Which channel, and its topic."""

    channel: ChannelText
    topic: str = Field(max_length=MAX_NOTE_CHARS, description="Plain text; empty removes it.")


class SetPurposeArguments(Arguments):
    """Which channel, and its purpose."""

    channel: ChannelText
    purpose: str = Field(max_length=MAX_NOTE_CHARS, description="Plain text; empty removes it.")


class ArchiveArguments(Arguments):
    """Which channel."""

    channel: ChannelText


class ChannelChangedResult(Result):
    """Whether anything is different now."""

    channel: str
    changed: bool
    name: str | None = None


async def _create(call: Call, arguments: CreateChannelArguments) -> CreateChannelResult:
    answer = await call.bot.write(
        "conversations.create", name=arguments.name, is_private=True if arguments.is_private else None
    )
    channel = answer.get("channel") or {}
    channel_id = text(channel, "id")
    call.targets.append(channel_id)
    await _tell_of(call, channel_id)
    (item,) = await describe_channels(call, [channel], is_member=True)
    return CreateChannelResult(channel=item)


async def _rename(call: Call, arguments: RenameChannelArguments) -> ChannelChangedResult:
    channel_id = await call.resolve_channel(arguments.channel)
    answer = await call.bot.write("conversations.rename", channel=channel_id, name=arguments.name)
    await _tell_of(call, channel_id)
    name = text(answer.get("channel"), "name") or arguments.name
    return ChannelChangedResult(channel=channel_id, changed=True, name=name)


async def _set_topic(call: Call, arguments: SetTopicArguments) -> ChannelChangedResult:
    channel_id = await call.resolve_channel(arguments.channel)
    await call.bot.write("conversations.setTopic", channel=channel_id, topic=arguments.topic)
    return ChannelChangedResult(channel=channel_id, changed=True)


async def _set_purpose(call: Call, arguments: SetPurposeArguments) -> ChannelChangedResult:
    channel_id = await call.resolve_channel(arguments.channel)
    await call.bot.write("conversations.setPurpose", channel=channel_id, purpose=arguments.purpose)
    return ChannelChangedResult(channel=channel_id, changed=True)


async def _archive(call: Call, arguments: ArchiveArguments) -> ChannelChangedResult:
    return await _put(call, call.bot, "conversations.archive", arguments, already="already_archived")


async def _unarchive(call: Call, arguments: ArchiveArguments) -> ChannelChangedResult:
    return await _put(call, _choose_token(call), "conversations.unarchive", arguments, already="not_archived")


async def _put(
    call: Call, api: SlackWeb, method: str, arguments: ArchiveArguments, *, already: str
) -> ChannelChangedResult:
    channel_id = await call.resolve_channel(arguments.channel)
    try:
        await api.write(method, channel=channel_id)
    except SlackRefusedError as error:
        if not is_refusal(error, already):
            raise
        return ChannelChangedResult(channel=channel_id, changed=False)
    return ChannelChangedResult(channel=channel_id, changed=True)


def _choose_token(call: Call) -> SlackWeb:
    """Return the API that may unarchive: an archived channel has no bots in it any more, so a person's if there is."""
    connection = call.connection
    scopes = connection.user_scopes
    if connection.user_token is not None and (scopes is None or not scopes.isdisjoint(_USER_MANAGES)):
        return call.user
    return call.bot


async def _tell_of(call: Call, channel_id: str) -> None:
    """Have the channel's old name forgotten on every pod, ahead of Slack's own news of it."""
    if call.services.announcer is None:
        return
    change = NameChange(connection_id=call.connection.connection_id, kind=NameKind.CHANNEL, id=channel_id)
    try:
        await call.services.announcer.announce(change)
    except StoreUnavailableError as error:
        # What was asked for is done; the old name lives a while longer on other pods.
        _log.warning("names.untold", connection_id=call.connection.connection_id, error=str(error))


TOOLS: Final = (
    Tool(
        name="SLACK_CREATE_CHANNEL",
        title="Create a channel",
        description="Creates a channel with the bot in it; SLACK_INVITE_TO_CHANNEL adds people.",
        arguments=CreateChannelArguments,
        result=CreateChannelResult,
        run=_create,
        access=Access.WRITE,
        needs=_MANAGES,
    ),
    Tool(
        name="SLACK_RENAME_CHANNEL",
        title="Rename a channel",
        description="Renames a channel. The bot usually may rename only those that it created.",
        arguments=RenameChannelArguments,
        result=ChannelChangedResult,
        run=_rename,
        access=Access.WRITE,
        needs=_MANAGES,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_SET_TOPIC",
        title="Set a channel's topic",
        description="Replaces the topic of a channel that the bot is in: what it is about just now.",
        arguments=SetTopicArguments,
        result=ChannelChangedResult,
        run=_set_topic,
        access=Access.WRITE,
        needs=_DESCRIBES,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_SET_PURPOSE",
        title="Set a channel's purpose",
        description="Replaces the description of a channel that the bot is in: what it is for.",
        arguments=SetPurposeArguments,
        result=ChannelChangedResult,
        run=_set_purpose,
        access=Access.WRITE,
        needs=_DESCRIBES,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_ARCHIVE_CHANNEL",
        title="Archive a channel",
        description="Archives a channel for everybody: nobody can write in it any more.",
        arguments=ArchiveArguments,
        result=ChannelChangedResult,
        run=_archive,
        access=Access.WRITE,
        needs=_MANAGES,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_UNARCHIVE_CHANNEL",
        title="Unarchive a channel",
        description="Opens an archived channel again; with the user token where there is one, since Slack often "
        "does not let a bot.",
        arguments=ArchiveArguments,
        result=ChannelChangedResult,
        run=_unarchive,
        access=Access.WRITE,
        needs=Needs(bot=_MANAGES.bot, user=(_USER_MANAGES,)),
        is_destructive=True,
        is_idempotent=True,
    ),
)
