"""views.* and blocks.validate: home tabs and modals.

Rules and error codes: https://docs.slack.dev/reference/methods/views.open and its neighbours.
"""

import json

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.artifacts import new_id
from slack_mcp.simulator.blocks import validate_blocks, validate_view
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.keeping import View
from slack_mcp.simulator.model import Json, SlackRefusalError
from slack_mcp.simulator.workspace import Workspace

LARGEST_PAYLOAD = 100_000
LARGEST_VIEW = 250_000


def publish(workspace: Workspace, args: Args) -> Answer:
    """views.publish: replaces a user's home view; `hash` guards against overwriting a newer one."""
    content = _view_content(args, "home")
    user_id = args.required("user_id")
    if user_id not in workspace.users:
        raise SlackRefusalError("user_not_found")
    shown = workspace.views.home.get(user_id)
    if args.optional("hash") is not None and shown is not None and shown.hash != args.text("hash"):
        raise SlackRefusalError("hash_conflict")
    return _answer(workspace, workspace.views.publish(user_id, content))


def open_view(workspace: Workspace, args: Args) -> Answer:
    """views.open: a modal, for a trigger id that is good once and for three seconds."""
    content = _view_content(args, "modal")
    _check_external_id(workspace, content)
    user_id = _take_trigger(workspace, args)
    return _answer(workspace, workspace.views.open(user_id, content))


def push(workspace: Workspace, args: Args) -> Answer:
    """views.push: a modal on top of the one that is open, three in all."""
    content = _view_content(args, "modal")
    _check_external_id(workspace, content)
    user_id = _take_trigger(workspace, args)
    below = workspace.views.top(user_id)
    if below is None:
        raise SlackRefusalError("not_found")
    return _answer(workspace, workspace.views.open(user_id, content, on=below))


def update(workspace: Workspace, args: Args) -> Answer:
    """views.update: by view_id or external_id; `hash` guards against overwriting a newer one."""
    content = _view_content(args, None)
    view = workspace.views.find(args.text("view_id"), args.text("external_id"))
    if args.optional("hash") is not None and view.hash != args.text("hash"):
        raise SlackRefusalError("hash_conflict")
    view.content, view.hash = content, new_id("h")
    return _answer(workspace, view)


def blocks_validate(_workspace: Workspace, args: Args) -> Answer:
    """blocks.validate: exactly one of blocks, message and view; what is wrong has JSON pointers into it."""
    given = [name for name in ("blocks", "message", "view") if args.optional(name) is not None]
    if len(given) != 1 or len(args.text(given[0])) > LARGEST_PAYLOAD:
        raise SlackRefusalError("invalid_arguments")
    name = given[0]
    if name == "blocks":
        errors = validate_blocks(args.nested(name, list, "invalid_arguments"))
    elif name == "view":
        errors = validate_view(args.nested(name, dict, "invalid_arguments"))
    else:
        blocks = args.nested(name, dict, "invalid_arguments").get("blocks")
        errors = validate_blocks(blocks if isinstance(blocks, list) else [], base="/blocks")
    if errors:
        raise SlackRefusalError(f"invalid_{name}", errors=errors)
    return Answer()


def render_view(workspace: Workspace, view: View) -> Json:
    """Return a view object, as https://docs.slack.dev/reference/views has it."""
    content = view.content
    body: Json = {
        "id": view.view_id,
        "team_id": workspace.team_id,
        "state": {"values": {}},
        "hash": view.hash,
        "private_metadata": "",
        "callback_id": "",
        "external_id": "",
        "title": None,
        "close": None,
        "submit": None,
        "clear_on_close": False,
        "notify_on_close": False,
        "root_view_id": view.root_id,
        "previous_view_id": view.previous_id,
        "app_id": workspace.install.app_id,
        "app_installed_team_id": workspace.team_id,
        "bot_id": workspace.install.bot_id,
    }
    return body | content


def _view_content(args: Args, kind: str | None) -> Json:
    content: Json | None = args.nested("view", dict, "invalid_arguments")
    if content is None:
        raise SlackRefusalError("invalid_arguments")
    if len(json.dumps(content)) > LARGEST_VIEW:
        raise SlackRefusalError("view_too_large")
    errors = validate_view(content)
    if kind is not None and content.get("type") != kind:
        errors.append({"pointer": "/type", "message": f"must be {kind}"})
    if errors:
        messages = [f"[ERROR] {each['message']} [json-pointer:/view{each['pointer']}]" for each in errors]
        raise SlackRefusalError("invalid_arguments", response_metadata={"messages": messages})
    return content


def _check_external_id(workspace: Workspace, content: Json) -> None:
    wanted = content.get("external_id")
    if wanted and any(each.external_id == wanted for each in workspace.views.modals.values()):
        raise SlackRefusalError("duplicate_external_id")


def _take_trigger(workspace: Workspace, args: Args) -> str:
    """Use the trigger id up and return whose it is."""
    trigger_id = args.required("trigger_id")
    user_id = workspace.trigger_users.pop(trigger_id, "")
    if not workspace.take_trigger_id(trigger_id):
        raise SlackRefusalError("expired_trigger_id")
    return user_id


def _answer(workspace: Workspace, view: View) -> Answer:
    return Answer(body={"view": render_view(workspace, view)})


VIEW_METHODS: dict[str, tuple[Method, str]] = {
    "blocks.validate": (blocks_validate, ""),
    "views.open": (open_view, ""),
    "views.publish": (publish, ""),
    "views.push": (push, ""),
    "views.update": (update, ""),
}
"""Each method with the scope it needs."""
