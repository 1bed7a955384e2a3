"""What an app says to a command or an interaction, at once or through the response URL. Pure.

https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
"""

import json
from dataclasses import replace
from typing import Any

from slack_mcp.simulator.model import Json, SlackRefusalError
from slack_mcp.simulator.tickets import ResponseUrl
from slack_mcp.simulator.workspace import Workspace


def parse_message(body: bytes) -> Json | None:
    """Return a body that is a JSON object; None for anything else."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def respond(workspace: Workspace, response: ResponseUrl, body: Json) -> list[Json]:
    """Show, replace or delete what the app answered, and return the envelopes of the events that it caused.

    Raises:
        SlackRefusalError: no_text; message_not_found when the original is gone.
    """
    if body.get("delete_original") and response.message_ts is not None:
        return _delete(workspace, response, response.message_ts)
    text, blocks = str(body.get("text") or ""), body.get("blocks")
    if not text and not blocks and not body.get("attachments"):
        raise SlackRefusalError("no_text")
    if body.get("replace_original") and response.message_ts is not None:
        return _replace(workspace, response, response.message_ts, text, blocks)
    channel = workspace.find_channel(response.channel_id)
    thread_ts = body.get("thread_ts")
    if body.get("response_type") == "in_channel":
        return workspace.post(channel, text, thread_ts=thread_ts, blocks=blocks).envelopes
    workspace.whisper(channel, response.user_id, text, thread_ts, blocks=blocks)
    return []


def _delete(workspace: Workspace, response: ResponseUrl, ts: str) -> list[Json]:
    if response.is_ephemeral:
        del workspace.ephemerals[_index(workspace, response, ts)]
        return []
    message = workspace.find_channel(response.channel_id).messages.get(ts)
    if message is None:
        raise SlackRefusalError("message_not_found")
    return workspace.delete(message).envelopes


def _replace(workspace: Workspace, response: ResponseUrl, ts: str, text: str, blocks: Any) -> list[Json]:
    if response.is_ephemeral:
        index = _index(workspace, response, ts)
        workspace.ephemerals[index] = replace(workspace.ephemerals[index], text=text, blocks=blocks)
        return []
    message = workspace.find_channel(response.channel_id).messages.get(ts)
    if message is None:
        raise SlackRefusalError("message_not_found")
    return workspace.update(message, text, blocks=blocks, metadata=None).envelopes


def _index(workspace: Workspace, response: ResponseUrl, ts: str) -> int:
    for index, note in enumerate(workspace.ephemerals):
        if note.channel_id == response.channel_id and note.ts == ts:
            return index
    raise SlackRefusalError("message_not_found")
