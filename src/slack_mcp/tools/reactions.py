"""Emoji on messages."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, Field

from slack_mcp.core.errors import SlackRefusedError
from slack_mcp.core.model import Access
from slack_mcp.protocol.answers import mappings
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import ChannelText, MessageTs
from slack_mcp.tools.message_items import find_names
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

MAX_USERS: Final = 50
_WRITES: Final = Needs(bot=("reactions:write",))

# A name, perhaps with a skin tone, with or without the colons around it.
Emoji: TypeAlias = Annotated[
    str,
    Field(
        max_length=110,
        pattern=r"^:?[^\s:]{1,100}(?:::skin-tone-[2-6])?:?$",
        description="Its name, such as thumbsup.",
    ),
]


class ReactionArguments(Arguments):
    """Which emoji on which message."""

    channel: ChannelText
    timestamp: MessageTs
    emoji: Emoji


class ChangedResult(Result):
    """Whether anything is different now."""

    changed: bool


class GetReactionsArguments(Arguments):
    """Which message."""

    channel: ChannelText
    timestamp: MessageTs


class Person(Result):
    """Somebody who reacted."""

    id: str
    name: str | None = None


class Reaction(Result):
    """One emoji on a message."""

    name: str
    count: int
    users: Sequence[Person] = Field(description=f"At most {MAX_USERS} of them.")


class GetReactionsResult(Result):
    """The emoji on a message."""

    reactions: Sequence[Reaction]

    def render_text(self, _arguments: BaseModel) -> str:
        """Return it as Markdown."""
        return "\n".join(_render_line(each) for each in self.reactions) or "No reactions."


def _render_line(reaction: Reaction) -> str:
    who = ", ".join(f"{each.name} ({each.id})" if each.name else each.id for each in reaction.users)
    more = ", …" if reaction.count > len(reaction.users) else ""
    return f"- :{reaction.name}: {reaction.count}: {who}{more}"


async def _add(call: Call, arguments: ReactionArguments) -> ChangedResult:
    return await _mark(call, "reactions.add", arguments, already="already_reacted")


async def _remove(call: Call, arguments: ReactionArguments) -> ChangedResult:
    return await _mark(call, "reactions.remove", arguments, already="no_reaction")


async def _mark(call: Call, method: str, arguments: ReactionArguments, *, already: str) -> ChangedResult:
    channel_id = await call.resolve_channel(arguments.channel)
    try:
        await call.bot.write(method, channel=channel_id, timestamp=arguments.timestamp, name=arguments.emoji.strip(":"))
    except SlackRefusedError as error:
        if not is_refusal(error, already):
            raise
        return ChangedResult(changed=False)
    return ChangedResult(changed=True)


async def _get(call: Call, arguments: GetReactionsArguments) -> GetReactionsResult:
    channel_id = await call.resolve_channel(arguments.channel)
    answer = await call.bot.read("reactions.get", channel=channel_id, timestamp=arguments.timestamp, full=True)
    message = answer.get("message")
    reactions = mappings(message.get("reactions") if isinstance(message, Mapping) else None)
    names, _ = await find_names(call, users=[user for each in reactions for user in _get_users(each)])
    return GetReactionsResult(
        reactions=[
            Reaction(
                name=each["name"],
                count=each["count"],
                users=[Person(id=user, name=names.get(user)) for user in _get_users(each)],
            )
            for each in reactions
        ]
    )


def _get_users(reaction: Mapping[str, Any]) -> Sequence[str]:
    users: Sequence[str] = reaction.get("users") or ()
    return users[:MAX_USERS]


TOOLS: Final = (
    Tool(
        name="SLACK_ADD_REACTION",
        title="Add a reaction",
        description="Puts an emoji on a message, as the bot.",
        arguments=ReactionArguments,
        result=ChangedResult,
        run=_add,
        access=Access.WRITE,
        needs=_WRITES,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_REMOVE_REACTION",
        title="Remove a reaction",
        description="Takes an emoji of the bot's own off a message.",
        arguments=ReactionArguments,
        result=ChangedResult,
        run=_remove,
        access=Access.WRITE,
        needs=_WRITES,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_GET_REACTIONS",
        title="Show a message's reactions",
        description="Returns the emoji on a message, and who put them there.",
        arguments=GetReactionsArguments,
        result=GetReactionsResult,
        run=_get,
        needs=Needs(bot=("reactions:read",)),
    ),
)
