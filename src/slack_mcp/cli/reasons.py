"""What the words mean that the journal keeps of skipped and done events; docs/troubleshooting.md says the same."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from slack_mcp.core.model import EventState


class Reason(NamedTuple):
    """What a word means, and what to do; nothing to do is empty."""

    meaning: str
    remedy: str


SKIPPED: Final[Mapping[str, Reason]] = MappingProxyType(
    {
        "not_for_us": Reason("No mention, no direct message, no reply in a thread of the bot's.", "Mention the bot."),
        "channel_not_allowed": Reason(
            "The channel is not among the connection's allowed ones.",
            "Change the list in Mesh, or with `slack-mcp connections settings`.",
        ),
        "user_not_allowed": Reason(
            "The person is denied, or not among the allowed ones; or Slack does not say who it was.",
            "Change the lists in Mesh, or with `slack-mcp connections settings`.",
        ),
        "external_not_allowed": Reason(
            "The conversation is shared with another organization, or the person is of one.",
            "Set `ALLOW_EXTERNAL` in Mesh, or with `slack-mcp connections settings`.",
        ),
        "rate_limited_user": Reason(
            "The person asked more than `USER_PER_MIN` questions in a minute, and was told so.",
            "Ask again later, or raise the limit.",
        ),
        "rate_limited_channel": Reason(
            "More than `CHANNEL_PER_MIN` questions were asked in the channel in a minute.",
            "Ask again later, or raise the limit.",
        ),
        "rate_limited_bot": Reason(
            "The other bot was answered a few times already: two bots must not go on for ever.",
            "Nothing: in an hour it is answered again.",
        ),
        "own_message": Reason("The bot's own message.", ""),
        "other_bot": Reason(
            "Another bot's message. Bots are answered only with `ALLOW_BOTS`, and only when they mention this one.",
            "Nothing, or set `ALLOW_BOTS`.",
        ),
        "noise_subtype": Reason(
            "An edit, a deletion, a join and the like. What was edited is remembered as it stands now.", ""
        ),
        "event_type": Reason("Not a message.", "Take events that nobody needs out of the app's subscriptions."),
        "no_words": Reason(
            "A reply in the bot's thread without text, such as a picture.", "Mention the bot, or write something."
        ),
        "deleted": Reason("The question was deleted before anybody could begin to answer it.", ""),
        "same_message": Reason(
            "The message's other event is the one that is answered: Slack tells of a mention twice.", ""
        ),
        "agent_not_configured": Reason(
            "Nobody can answer, and the thread has been told so already.",
            "Choose an agent for the connection, or set `DEFAULT_AGENT`.",
        ),
        "trigger_only": Reason(
            "The connection leaves the answers to triggers.",
            "Switch `TRIGGER_ONLY` off, or look at the trigger's receiver.",
        ),
        "unknown_form": Reason("A form or click that is nobody's here.", ""),
        "other_workspace": Reason("A command or click of a workspace that is not the connection's.", ""),
        "names_no_news": Reason("A channel or a person changed in what no name depends on.", ""),
        "trigger_removed": Reason("The trigger was removed after the event came.", ""),
        "connection_disabled": Reason(
            "The connection is disabled: by you, or (`gone` in `connections show`) because Mesh refuses it, or "
            "(`disconnected`) because Slack took its tokens back.",
            "`slack-mcp connections enable CONNECTION_ID`, or save it in Mesh; a disconnected one with a new token.",
        ),
        "data_key_destroyed": Reason(
            "The connection was removed or disconnected in Slack after the event came, and connected again.", ""
        ),
        "token_still_valid": Reason(
            "Slack told that the app was uninstalled or a token revoked, and takes the stored one: it is a newer one.",
            "",
        ),
        "no_token_of_ours": Reason("Slack told of revoked tokens, and the connection has none of them.", ""),
        "connection_removed": Reason("The connection was removed after the event came.", ""),
        "discarded": Reason(
            "An operator ended it; the line above says what was said about it.",
            "`slack-mcp events replay` takes it up again.",
        ),
        "malformed_body": Reason(
            "A payload that this version cannot read, journalled by another one.",
            "Nothing, or go back to that version.",
        ),
    }
)

DONE: Final[Mapping[str, Reason]] = MappingProxyType(
    {
        "answered": Reason("The answer is in the thread.", ""),
        "stopped": Reason("Somebody stopped the answer; what was said until then is in the thread.", ""),
        "agent_not_configured": Reason(
            "The bot said that nobody can answer.",
            "Choose an agent for the connection, or set `DEFAULT_AGENT`. For `openai` also `OPENAI_MODEL` and a key; "
            "for `mesh` save the configuration in Mesh.",
        ),
        "nothing_to_read": Reason(
            "There were neither words nor a file that can be read, and the bot said so.",
            "The thread says of each file why.",
        ),
        "delivered": Reason("A trigger's receiver took the event.", ""),
        "disconnected": Reason(
            "Slack took the bot's token back; what belonged to the installation is gone.",
            "Install the app again and save its new token.",
        ),
        "user_token_forgotten": Reason("Slack took the user token back.", "Save a new one."),
    }
)

_TABLES: Final[Mapping[EventState, Mapping[str, Reason]]] = MappingProxyType(
    {EventState.SKIPPED: SKIPPED, EventState.DONE: DONE}
)


def find_reason(state: EventState, word: str | None) -> Reason | None:
    """Return what the word means for an event that ended so, None where there is nothing to explain."""
    return _TABLES.get(state, {}).get(word or "")
