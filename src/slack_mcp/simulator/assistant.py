"""assistant.threads.*: the status, title and prompts of an AI app's thread.

https://docs.slack.dev/reference/methods/assistant.threads.setStatus and its neighbours
"""

from typing import Any

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.model import Json, SlackRefusalError, parse_ts_us
from slack_mcp.simulator.places import visible_channel
from slack_mcp.simulator.workspace import Workspace

MOST_PROMPTS = 4
MOST_LOADING = 10
LONGEST_LOADING = 50
LONGEST_TITLE = 200


def set_status(workspace: Workspace, args: Args) -> Answer:
    """assistant.threads.setStatus: gone after two minutes, and with the app's next message in the thread."""
    channel = visible_channel(workspace, args, "channel_id")
    thread_ts = args.required("thread_ts")
    try:
        parse_ts_us(thread_ts)
    except ValueError as error:
        raise SlackRefusalError("invalid_thread_ts") from error
    workspace.set_status(channel, thread_ts, args.text("status"), _parse_loading(args))
    return Answer()


def set_title(workspace: Workspace, args: Args) -> Answer:
    """assistant.threads.setTitle."""
    channel = visible_channel(workspace, args, "channel_id")
    title = args.required("title")
    if len(title) > LONGEST_TITLE:
        raise SlackRefusalError("invalid_arguments")
    workspace.thread_titles[channel.channel_id, args.required("thread_ts")] = title
    return Answer()


def set_suggested_prompts(workspace: Workspace, args: Args) -> Answer:
    """assistant.threads.setSuggestedPrompts: at most four, each with a title and a message."""
    channel = visible_channel(workspace, args, "channel_id")
    prompts: list[Json] | None = args.nested("prompts", list, "invalid_arguments")
    if not prompts or len(prompts) > MOST_PROMPTS or not all(_is_prompt(each) for each in prompts):
        raise SlackRefusalError("invalid_arguments")
    workspace.thread_prompts[channel.channel_id, args.text("thread_ts")] = prompts
    return Answer()


def _parse_loading(args: Args) -> tuple[str, ...]:
    loading: list[Any] = args.nested("loading_messages", list, "invalid_arguments") or []
    if len(loading) > MOST_LOADING:
        raise SlackRefusalError("invalid_arguments")
    if not all(isinstance(each, str) and 0 < len(each) <= LONGEST_LOADING for each in loading):
        raise SlackRefusalError("invalid_arguments")
    return tuple(loading)


def _is_prompt(prompt: object) -> bool:
    return isinstance(prompt, dict) and bool(prompt.get("title")) and bool(prompt.get("message"))


ASSISTANT_METHODS: dict[str, tuple[Method, str]] = {
    "assistant.threads.setStatus": (set_status, "chat:write"),
    "assistant.threads.setTitle": (set_title, "assistant:write"),
    "assistant.threads.setSuggestedPrompts": (set_suggested_prompts, "assistant:write"),
}
"""Each method with the scope it needs."""
