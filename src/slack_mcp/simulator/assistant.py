"""assistant.threads.*: the status, title and prompts of an AI app's thread.

https://docs.slack.dev/reference/methods/assistant.threads.setStatus and its neighbours
"""

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.model import Json, SlackRefusalError
from slack_mcp.simulator.places import visible_channel
from slack_mcp.simulator.workspace import Workspace

MOST_PROMPTS = 4


def set_status(workspace: Workspace, args: Args) -> Answer:
    """assistant.threads.setStatus."""
    channel = visible_channel(workspace, args, "channel_id")
    workspace.set_status(channel, args.required("thread_ts"), args.text("status"))
    return Answer()


def set_title(workspace: Workspace, args: Args) -> Answer:
    """assistant.threads.setTitle."""
    channel = visible_channel(workspace, args, "channel_id")
    workspace.thread_titles[channel.channel_id, args.required("thread_ts")] = args.required("title")
    return Answer()


def set_suggested_prompts(workspace: Workspace, args: Args) -> Answer:
    """assistant.threads.setSuggestedPrompts: at most four, each with a title and a message."""
    channel = visible_channel(workspace, args, "channel_id")
    prompts: list[Json] | None = args.nested("prompts", list, "invalid_arguments")
    if not prompts or len(prompts) > MOST_PROMPTS or not all(_is_prompt(each) for each in prompts):
        raise SlackRefusalError("invalid_arguments")
    workspace.thread_prompts[channel.channel_id, args.text("thread_ts")] = prompts
    return Answer()


def _is_prompt(prompt: object) -> bool:
    return isinstance(prompt, dict) and bool(prompt.get("title")) and bool(prompt.get("message"))


ASSISTANT_METHODS: dict[str, tuple[Method, str]] = {
    "assistant.threads.setStatus": (set_status, "chat:write"),
    "assistant.threads.setTitle": (set_title, "assistant:write"),
    "assistant.threads.setSuggestedPrompts": (set_suggested_prompts, "assistant:write"),
}
"""Each method with the scope it needs."""
