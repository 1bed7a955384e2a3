"""What a model can do about a word of Slack's: one sentence each, shown in place of the general one.

Source of the words: the method pages under https://docs.slack.dev/reference/methods.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from slack_mcp.core.errors import RateLimitedError, SlackApiError, SlackRefusedError

_LOOK_AT_THE_MESSAGE: Final = (
    "No message has this channel and ts: take both from SLACK_GET_CHANNEL_HISTORY or SLACK_GET_THREAD_REPLIES."
)
_BLOCKS: Final = "Mend the blocks; SLACK_VALIDATE_BLOCKS says what is wrong with them."
_RESTRICTED: Final = "The workspace's admins do not allow this to the app; choose another channel or ask them."

REFUSALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "not_in_channel": (
            "The bot is not in this channel: SLACK_JOIN_CHANNEL lets it into a public one; into a private one somebody "
            "has to invite it."
        ),
        "channel_not_found": (
            "The bot sees no such channel in this workspace: SLACK_LIST_CHANNELS shows those it does; a private one "
            "shows once the bot was invited."
        ),
        "is_archived": "The channel is archived: SLACK_UNARCHIVE_CHANNEL opens it again.",
        "message_not_found": _LOOK_AT_THE_MESSAGE,
        "thread_not_found": _LOOK_AT_THE_MESSAGE,
        "bad_timestamp": _LOOK_AT_THE_MESSAGE,
        "no_item_specified": _LOOK_AT_THE_MESSAGE,
        "cannot_reply_to_message": "Nobody can reply to this message: write to the channel itself.",
        "cant_update_message": "The bot can only edit its own messages: send another one.",
        "cant_delete_message": "The bot can only delete its own messages.",
        "edit_window_closed": "The workspace allows edits for a while only, which is over: send another message.",
        "streaming_state_conflict": "The message is still being written: wait until it is finished.",
        "block_mismatch": "This message's rich text cannot become other blocks: delete it and send a new one.",
        "msg_too_long": "Shorten the text, send it in several messages, or use SLACK_UPLOAD_FILE.",
        "msg_blocks_too_long": "Blocks take about 13 000 characters in all: split them, or use SLACK_UPLOAD_FILE.",
        "invalid_blocks": _BLOCKS,
        "invalid_blocks_format": _BLOCKS,
        "view_too_large": "A view takes 250 kB and 100 blocks: leave something out.",
        "not_enabled": "The app's Home tab is off: it is switched on in the app's settings under App Home.",
        "user_not_in_channel": "Only members of the channel can be shown something there: SLACK_INVITE_TO_CHANNEL.",
        "user_not_found": "There is no such person in this workspace: SLACK_LIST_USERS or SLACK_SEARCH_USERS.",
        "users_not_found": "There is no such person in this workspace: SLACK_LIST_USERS or SLACK_SEARCH_USERS.",
        "messages_tab_disabled": "The app takes no direct messages: App Home in the app's settings switches them on.",
        "cannot_dm_bot": "A bot takes no direct messages of another bot.",
        "restricted_action": _RESTRICTED,
        "restricted_action_read_only_channel": _RESTRICTED,
        "restricted_action_thread_locked": _RESTRICTED,
        "restricted_action_non_threadable_channel": "This channel has no threads: send without thread_ts.",
        "restricted_action_thread_only_channel": "This channel has only threads: give a thread_ts.",
        "already_archived": "The channel is archived already.",
        "cant_archive_general": "The workspace's general channel cannot be archived.",
        "cant_archive_required": "This channel is required in the organization and cannot be archived.",
        "cant_invite": "This person cannot be invited to this channel, such as a guest or a deactivated account.",
        "cant_invite_self": "The bot cannot invite itself: SLACK_JOIN_CHANNEL, or somebody in the channel invites it.",
        "cant_kick_from_general": "Nobody can be removed from the workspace's general channel.",
        "cant_kick_self": "SLACK_LEAVE_CHANNEL lets the bot leave.",
        "cant_leave_general": "Nobody can leave the workspace's general channel.",
        "handle_already_exists": "Another user group, channel or person has this handle: choose another.",
        "invalid_users": "One of the people is not in this workspace, or none was named.",
        "last_member": "The bot is the channel's last member: SLACK_ARCHIVE_CHANNEL ends the channel.",
        "method_not_supported_for_channel_type": "This cannot be done in this kind of conversation.",
        "name_already_exists": "Another user group has this name: SLACK_UPDATE_USERGROUP changes it.",
        "name_taken": "A channel has this name, or had it: choose another; SLACK_SEARCH_CHANNELS finds the one.",
        "no_such_subteam": "There is no such user group: SLACK_LIST_USERGROUPS shows those that there are.",
        "not_authorized": "The bot may not do this here; a channel is renamed by who created it or by an admin.",
        "not_enough_users": "Name at least two people; SLACK_OPEN_DM opens a direct message of two.",
        "paid_teams_only": "The workspace's plan does not have this.",
        "plan_upgrade_required": "The workspace's plan does not have this.",
        "too_many_users": "Name fewer people at once.",
        "ura_max_channels": "This guest is in as many channels as a guest may be.",
        "user_disabled": "This person's account is deactivated.",
        "user_is_restricted": "A guest may not do this, or not be here.",
        "time_in_past": "Give a post_at in the future, unix seconds.",
        "time_too_far": "Slack schedules at most 120 days ahead: give an earlier post_at.",
        "restricted_too_many": "At most 30 messages may be scheduled for a channel within five minutes.",
        "invalid_scheduled_message_id": (
            "SLACK_LIST_SCHEDULED_MESSAGES shows what is still scheduled; within a minute of its time it cannot be "
            "taken back."
        ),
        "invalid_name": "Give an emoji by its name, such as thumbsup; SLACK_LIST_EMOJI shows the workspace's own.",
        "too_many_emoji": "The message has as many different reactions as it can: use one that it has.",
        "too_many_reactions": "The bot has reacted to this message as often as it may.",
        "too_many_pins": "The channel has as many pins as it can: SLACK_UNPIN_MESSAGE one first.",
        "not_pinnable": "This message cannot be pinned.",
        "permission_denied": "The app may not do this in this channel.",
        "not_allowed_token_type": "This needs the other kind of token: the connection's settings take a user token.",
        "feature_not_enabled": "The workspace's plan does not have this.",
        "invalid_action_token": "An action_token is good for a short while: take the one of the message just received.",
        "query_too_long": "Give fewer words.",
        "file_not_found": "The bot sees no such file: SLACK_LIST_FILES shows those it does.",
        "file_deleted": "The file was deleted.",
        "file_not_readable": (
            "Slack asked to sign in where the file should be: the app needs the scope files:read (and to be installed "
            "again after it was added), and the bot has to be in a channel that shows the file."
        ),
        "cant_delete_file": "The bot can only delete files that it uploaded.",
        "file_uploads_disabled": "The workspace takes no files: send the text with SLACK_SEND_MESSAGE.",
        "file_upload_size_restricted": "The workspace takes no files of this size: upload a smaller one.",
        "storage_limit_reached": "The workspace has no room for more files: somebody has to delete some.",
        "posting_to_channel_denied": _RESTRICTED,
        "canvas_not_found": "The bot sees no such canvas: SLACK_LIST_FILES with types canvases shows those it does.",
        "canvas_editing_failed": (
            "Take the section_id from SLACK_READ_CANVAS with contains_text, and write plain Markdown: headings to h3, "
            "no lists in quotes."
        ),
        "canvas_creation_failed": "Write plain Markdown: headings to h3, no lists in quotes.",
        "channel_canvas_already_exists": "Change the canvas that the channel has, or leave is_channel_canvas out.",
        "free_teams_cannot_create_standalone_canvases": "On the free plan a canvas needs a channel.",
        "free_teams_cannot_edit_standalone_canvases": "On the free plan only canvases of channels can be changed.",
        "canvas_disabled_user_team": "The workspace has canvases switched off: upload a file instead.",
        "list_not_found": "The bot sees no such list: SLACK_LIST_FILES with types lists shows those it does.",
        "record_not_found": "The list has no such item: SLACK_LIST_LIST_ITEMS shows those it has.",
        "invalid_row_id": "The list has no such item: SLACK_LIST_LIST_ITEMS shows those it has.",
        "uneditable_column": "Slack fills this column itself: leave it out.",
        "over_row_maximum": "The list has as many items as it can.",
        "over_cell_fields_limit": "Give fewer values for the column.",
        "invalid_cursor": "The cursor is not good any more: begin again without one.",
    }
)
# https://docs.slack.dev/changelog/2025/05/29/rate-limit-changes-for-non-marketplace-apps
_STRICT: Final = (
    "Wait that long, then call again. An app that is distributed without being in Slack's Marketplace may read once a "
    "minute, 15 messages at a time: ask for what you need in one call, or search instead."
)
RATE_LIMITS: Final[Mapping[str, str]] = MappingProxyType(
    {"conversations.history": _STRICT, "conversations.replies": _STRICT}
)


def find_advice(error: Exception) -> str | None:
    """Return what to do about an answer of Slack's, None when there is nothing better to say than in general."""
    if isinstance(error, RateLimitedError):
        return RATE_LIMITS.get(error.method)
    if not isinstance(error, SlackRefusedError):
        return None
    advice = REFUSALS.get(error.slack_error)
    return " ".join(filter(None, (*error.details, advice))) or None


def is_refusal(error: SlackApiError, *words: str) -> bool:
    """Tell whether Slack refused with one of the words."""
    return isinstance(error, SlackRefusedError) and error.slack_error in words
