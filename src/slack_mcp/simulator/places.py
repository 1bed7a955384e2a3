"""The channel that a call is about, as far as its caller can reach it."""

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.model import Channel, Message, SlackRefusalError
from slack_mcp.simulator.workspace import Workspace


def visible_channel(workspace: Workspace, args: Args, name: str = "channel") -> Channel:
    """Return the channel of an argument. Raises SlackRefusalError channel_not_found.

    A private channel does not exist for who is not in it: https://docs.slack.dev/reference/methods/conversations.info
    """
    channel = workspace.find_channel(args.required(name, "channel_not_found"))
    if channel.kind != "channel" and workspace.actor.user_id not in channel.members:
        raise SlackRefusalError("channel_not_found")
    return channel


def joined_channel(workspace: Workspace, args: Args, name: str = "channel") -> Channel:
    """Return the channel of an argument that the caller is in. Raises SlackRefusalError not_in_channel too."""
    channel = visible_channel(workspace, args, name)
    if workspace.actor.user_id not in channel.members:
        raise SlackRefusalError("not_in_channel")
    return channel


def writable_channel(workspace: Workspace, args: Args, name: str = "channel") -> Channel:
    """Return the channel of an argument that the caller is in and that is not archived. Raises is_archived too."""
    channel = joined_channel(workspace, args, name)
    if channel.is_archived:
        raise SlackRefusalError("is_archived")
    return channel


def readable_channel(workspace: Workspace, args: Args) -> Channel:
    """Return the channel of a call that reads messages: a person reads public ones without being in them."""
    if workspace.actor.is_bot:
        return joined_channel(workspace, args)
    return visible_channel(workspace, args)


def find_message(channel: Channel, ts: str) -> Message:
    """Return a message of the channel. Raises SlackRefusalError message_not_found."""
    message = channel.messages.get(ts)
    if message is None:
        raise SlackRefusalError("message_not_found")
    return message
