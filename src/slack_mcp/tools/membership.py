"""Who is in a channel, and who joins, leaves, is invited or removed."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError, SlackRefusedError
from slack_mcp.core.model import Access
from slack_mcp.protocol.answers import get_cursor, text
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import ChannelText, UserText
from slack_mcp.tools.listing import Item, ListArguments, ListResult, Position, fit
from slack_mcp.tools.needs import CHANNELS_READ, Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

MAX_INVITED: Final = 100  # https://docs.slack.dev/reference/methods/conversations.invite
_MANAGES: Final = Needs(bot=(("channels:manage", "groups:write"),))
_INVITES: Final = Needs(bot=(("channels:manage", "channels:write.invites", "groups:write", "groups:write.invites"),))


class MembersArguments(ListArguments):
    """Of which channel."""

    channel: ChannelText


class Member(Item):
    """Somebody in a channel."""

    id: str
    name: str | None = None

    def render_line(self) -> str:
        """Return it as one line."""
        return f"- @{self.name} ({self.id})" if self.name else f"- {self.id}"


class MembersResult(ListResult):
    """Who is in the channel."""

    ITEMS: ClassVar[str] = "people"

    members: list[str] = Field(description="Ids.")
    names: dict[str, str] = Field(description="By id.")

    @property
    def people(self) -> Sequence[Member]:
        """The members with their names."""
        return [Member(id=each, name=self.names.get(each)) for each in self.members]


class ChannelArguments(Arguments):
    """Which channel."""

    channel: ChannelText


class ChangedResult(Result):
    """Whether anything is different now."""

    channel: str
    changed: bool


class InviteArguments(Arguments):
    """Whom to invite, and where."""

    channel: ChannelText
    user_id: UserText | None = None
    user_ids: list[Annotated[str, Field(min_length=1, max_length=300)]] = Field(
        default_factory=list, max_length=MAX_INVITED, description="Several people, in place of user_id."
    )


class RefusedInvitation(Result):
    """Somebody who was not invited."""

    user: str
    error: str


class InviteResult(Result):
    """What came of it."""

    channel: str
    changed: bool = Field(description="False when nobody was added: they are in the channel already.")
    invited: list[str]
    refused: list[RefusedInvitation] | None = None


class RemoveArguments(Arguments):
    """Whom to remove, and where."""

    channel: ChannelText
    user_id: UserText


async def _get_members(call: Call, arguments: MembersArguments) -> MembersResult:
    channel_id = await call.resolve_channel(arguments.channel)
    position = Position.parse(arguments.cursor)
    answer = await call.bot.read(
        "conversations.members", channel=channel_id, limit=arguments.limit, cursor=position.page
    )
    listed = answer.get("members")
    ids = [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    rest = ids[position.skip :]
    names = await call.services.names.find_user_names(call.connection, rest)
    shown = fit([Member(id=each, name=names.get(each)) for each in rest], arguments)
    read = position.skip + len(shown)
    following = get_cursor(answer)
    cursor = Position(position.page, read) if read < len(ids) else Position(following) if following else None
    return MembersResult(
        members=[each.id for each in shown],
        names={each.id: each.name for each in shown if each.name},
        next_cursor=None if cursor is None else cursor.render(),
    )


async def _join(call: Call, arguments: ChannelArguments) -> ChangedResult:
    channel_id = await call.resolve_channel(arguments.channel)
    answer = await call.bot.write("conversations.join", channel=channel_id)
    return ChangedResult(channel=channel_id, changed=answer.get("warning") != "already_in_channel")


async def _leave(call: Call, arguments: ChannelArguments) -> ChangedResult:
    channel_id = await call.resolve_channel(arguments.channel)
    answer = await call.bot.write("conversations.leave", channel=channel_id)
    return ChangedResult(channel=channel_id, changed=answer.get("not_in_channel") is not True)


async def _invite(call: Call, arguments: InviteArguments) -> InviteResult:
    if (arguments.user_id is None) == (not arguments.user_ids):
        raise InvalidInputError("Give either user_id or user_ids.")
    channel_id = await call.resolve_channel(arguments.channel)
    given = arguments.user_ids if arguments.user_id is None else [arguments.user_id]
    people: list[str] = list(dict.fromkeys([await call.resolve_user(each) for each in given]))
    try:
        answer = await call.bot.write(
            "conversations.invite",
            channel=channel_id,
            users=",".join(people),
            force=True if len(people) > 1 else None,
        )
    except SlackRefusedError as error:
        if not is_refusal(error, "already_in_channel"):
            raise
        return InviteResult(channel=channel_id, changed=False, invited=[])
    refused = [
        RefusedInvitation(user=text(each, "user"), error=text(each, "error")) for each in _read_errors(answer, people)
    ]
    invited = [each for each in people if each not in {one.user for one in refused}]
    return InviteResult(channel=channel_id, changed=bool(invited), invited=invited, refused=refused or None)


async def _remove(call: Call, arguments: RemoveArguments) -> ChangedResult:
    channel_id = await call.resolve_channel(arguments.channel)
    user_id = await call.resolve_user(arguments.user_id)
    try:
        await call.bot.write("conversations.kick", channel=channel_id, user=user_id)
    except SlackRefusedError as error:
        if not is_refusal(error, "not_in_channel"):
            raise
        raise InvalidInputError(
            f"Slack says not_in_channel: {user_id}, or the bot, is not in {channel_id}; SLACK_GET_CHANNEL_MEMBERS "
            "shows who is."
        ) from None
    return ChangedResult(channel=channel_id, changed=True)


def _read_errors(answer: Mapping[str, Any], people: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Return what Slack says of those whom it did not invite."""
    errors = answer.get("errors")
    return [each for each in errors if text(each, "user") in people] if isinstance(errors, list) else []


TOOLS: Final = (
    Tool(
        name="SLACK_GET_CHANNEL_MEMBERS",
        title="List a channel's members",
        description="Lists who is in a channel.",
        arguments=MembersArguments,
        result=MembersResult,
        run=_get_members,
        needs=Needs(bot=(CHANNELS_READ,)),
    ),
    Tool(
        name="SLACK_JOIN_CHANNEL",
        title="Join a channel",
        description="Lets the bot join a public channel. Into a private one somebody in it has to invite the bot.",
        arguments=ChannelArguments,
        result=ChangedResult,
        run=_join,
        access=Access.WRITE,
        needs=Needs(bot=("channels:join",)),
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_LEAVE_CHANNEL",
        title="Leave a channel",
        description="Lets the bot leave a channel. It cannot come back into a private one by itself.",
        arguments=ChannelArguments,
        result=ChangedResult,
        run=_leave,
        access=Access.WRITE,
        needs=_MANAGES,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_INVITE_TO_CHANNEL",
        title="Invite people to a channel",
        description="Adds people to a channel that the bot is in. They are notified.",
        arguments=InviteArguments,
        result=InviteResult,
        run=_invite,
        access=Access.WRITE,
        needs=_INVITES,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_REMOVE_FROM_CHANNEL",
        title="Remove somebody from a channel",
        description="Removes a person from a channel that the bot is in.",
        arguments=RemoveArguments,
        result=ChangedResult,
        run=_remove,
        access=Access.WRITE,
        needs=_MANAGES,
        is_destructive=True,
    ),
)
