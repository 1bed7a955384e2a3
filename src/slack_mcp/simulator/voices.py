"""What people and other apps do with messages of their own. Nothing is delivered by this: envelopes are returned."""

from slack_mcp.simulator.model import Json, Message, SlackRefusalError
from slack_mcp.simulator.workspace import Posted, Workspace


def speak(
    workspace: Workspace,
    bot_id: str,
    channel: str,
    text: str,
    thread_ts: str | None = None,
    *,
    is_classic: bool = False,
) -> Posted:
    """Let another app, which `Workspace.add_app` added, write a message. Returns what `Workspace.say` does.

    `is_classic` makes it one of the old kind: of the subtype bot_message, with a name instead of a user.
    https://docs.slack.dev/reference/events/message/bot_message

    Raises:
        SlackRefusalError: channel_not_found, bot_not_found.
    """
    app = workspace.apps.get(bot_id)
    if app is None:
        raise SlackRefusalError("bot_not_found")
    message = Message(
        channel_id=channel,
        ts=workspace.next_ts(),
        user_id="" if is_classic else app.bot_user_id,
        bot_id=bot_id,
        app_id=app.app_id,
        bot_name=app.bot_name,
        subtype="bot_message" if is_classic else None,
        text=text,
        thread_ts=thread_ts,
    )
    return workspace.show(workspace.find_channel(channel), message)


def edit(workspace: Workspace, user: str, channel: str, ts: str, text: str) -> list[Json]:
    """Let a person edit their message: message_changed. Raises SlackRefusalError cant_update_message."""
    message = _find_own(workspace, user, channel, ts, "cant_update_message")
    return workspace.update(message, text, blocks=None, metadata=None).envelopes


def unsay(workspace: Workspace, user: str, channel: str, ts: str) -> list[Json]:
    """Let a person delete their message: message_deleted. Raises SlackRefusalError cant_delete_message."""
    return workspace.delete(_find_own(workspace, user, channel, ts, "cant_delete_message")).envelopes


def _find_own(workspace: Workspace, user: str, channel: str, ts: str, refusal: str) -> Message:
    message = workspace.find_message(channel, ts)
    if message.user_id != user:
        raise SlackRefusalError(refusal)
    return message
