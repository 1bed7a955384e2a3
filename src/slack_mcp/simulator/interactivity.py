"""The forms that Slack sends when a person uses a command, a button, a shortcut or a modal. Pure.

Shapes: https://docs.slack.dev/reference/interaction-payloads/block_actions-payload and its neighbours,
https://docs.slack.dev/interactivity/implementing-slash-commands
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slack_mcp.simulator.deliveries import Door
from slack_mcp.simulator.keeping import View
from slack_mcp.simulator.model import Json, SlackRefusalError
from slack_mcp.simulator.render import render_message
from slack_mcp.simulator.tickets import ResponseUrl
from slack_mcp.simulator.views import render_view
from slack_mcp.simulator.workspace import Workspace

_TOKEN = "deprecated-verification-token"  # noqa: S105 - no secret, Slack sends it to everybody
_CHOICES = {
    "static_select": "selected_option",
    "external_select": "selected_option",
    "radio_buttons": "selected_option",
    "overflow": "selected_option",
    "checkboxes": "selected_options",
    "multi_static_select": "selected_options",
    "multi_external_select": "selected_options",
    "users_select": "selected_user",
    "multi_users_select": "selected_users",
    "channels_select": "selected_channel",
    "multi_channels_select": "selected_channels",
    "conversations_select": "selected_conversation",
    "multi_conversations_select": "selected_conversations",
    "datepicker": "selected_date",
    "timepicker": "selected_time",
    "datetimepicker": "selected_date_time",
    "rich_text_input": "rich_text_value",
}
"""Under which key an element of a type has what was chosen; text inputs and buttons have `value`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is posted to the app: the fields, and what a test wants to know of them."""

    door: Door
    fields: Mapping[str, str]
    payload: Json
    response_url: ResponseUrl | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """An interactive element with the block it is in."""

    block_id: str
    body: Json

    @property
    def action_id(self) -> str:
        """The app's name for it."""
        return str(self.body.get("action_id", ""))


def command_form(workspace: Workspace, user: str, channel: str, command: str, text: str = "") -> Form:
    """Return the form of a slash command. Raises SlackRefusalError channel_not_found, user_not_found."""
    place = workspace.find_channel(channel)
    response = workspace.tickets.make_response_url(channel, user)
    names = {"channel": place.name, "im": "directmessage"}
    fields = {
        "token": _TOKEN,
        "team_id": workspace.team_id,
        "team_domain": _domain(workspace),
        "channel_id": channel,
        "channel_name": names.get(place.kind, "privategroup"),
        "user_id": user,
        "user_name": _user(workspace, user)["username"],
        "command": command,
        "text": text,
        "api_app_id": workspace.install.app_id,
        "is_enterprise_install": "false",
        "response_url": address_of(workspace, response, "commands"),
        "trigger_id": workspace.make_trigger_id(user),
    }
    return Form(door="commands", fields=fields, payload=dict(fields), response_url=response)


def click_form(
    workspace: Workspace, user: str, channel: str, ts: str, action_id: str, *, value: Any = None, block_id: str = ""
) -> Form:
    """Return the block_actions form of using an element of a message, an ephemeral one too.

    `value` says of a button which of several with this action_id, of other elements what is chosen in them.

    Raises:
        SlackRefusalError: channel_not_found, user_not_found, message_not_found, action_not_found.
    """
    place = workspace.find_channel(channel)
    message = place.messages.get(ts)
    note = next((each for each in workspace.ephemerals if each.channel_id == channel and each.ts == ts), None)
    shown = message or note
    if shown is None:
        raise SlackRefusalError("message_not_found")
    rendered: Json = {} if message is None else render_message(message, workspace.install)
    blocks = identified(rendered.get("blocks") or shown.blocks or [])
    action = _action(workspace, find_element(blocks, action_id, value, block_id), value)
    response = workspace.tickets.make_response_url(
        channel, user, message_ts=ts, thread_ts=shown.thread_ts, is_ephemeral=message is None
    )
    container: Json = {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": message is None}
    if shown.thread_ts is not None:
        container["thread_ts"] = shown.thread_ts
    payload = _base(workspace, "block_actions", user) | {
        "container": container,
        "trigger_id": workspace.make_trigger_id(user),
        "channel": {"id": channel, "name": place.name},
        "state": {"values": {}},
        "response_url": address_of(workspace, response, "actions"),
        "actions": [action],
    }
    if message is not None:
        payload["message"] = rendered | {"blocks": blocks}
    return _interaction(payload, response)


def view_click_form(workspace: Workspace, user: str, view: View, action_id: str, value: Any = None) -> Form:
    """Return the block_actions form of using an element of an open modal or of the home tab."""
    blocks = identified(view.content.get("blocks") or [])
    payload = _base(workspace, "block_actions", user) | {
        "container": {"type": "view", "view_id": view.view_id},
        "trigger_id": workspace.make_trigger_id(user),
        "view": render_view(workspace, view) | {"blocks": blocks},
        "actions": [_action(workspace, find_element(blocks, action_id, value), value)],
    }
    return _interaction(payload)


def submission_form(workspace: Workspace, user: str, view: View, values: Mapping[str, Any]) -> Form:
    """Return the view_submission form of a modal. `values` by action_id; inputs that are not named are empty.

    Raises:
        SlackRefusalError: user_not_found, action_not_found for a name that no input has.
    """
    blocks = identified(view.content.get("blocks") or [])
    inputs = [each for each in elements_of(blocks) if each.action_id]
    if set(values) - {each.action_id for each in inputs}:
        raise SlackRefusalError("action_not_found")
    state: dict[str, Json] = {}
    for each in inputs:
        if each.body.get("type") != "button":
            chosen = _chosen(each.body, values.get(each.action_id))
            state.setdefault(each.block_id, {})[each.action_id] = {"type": each.body.get("type")} | chosen
    payload = _base(workspace, "view_submission", user) | {
        "trigger_id": workspace.make_trigger_id(user),
        "view": render_view(workspace, view) | {"blocks": blocks, "state": {"values": state}},
        "response_urls": [],
    }
    return _interaction(payload)


def closing_form(workspace: Workspace, user: str, view: View, *, is_cleared: bool = False) -> Form:
    """Return the view_closed form of a modal. Slack sends it only for views with notify_on_close."""
    return _interaction(
        _base(workspace, "view_closed", user) | {"view": render_view(workspace, view), "is_cleared": is_cleared}
    )


def shortcut_form(workspace: Workspace, user: str, callback_id: str) -> Form:
    """Return the form of a global shortcut."""
    payload = _base(workspace, "shortcut", user) | {
        "callback_id": callback_id,
        "trigger_id": workspace.make_trigger_id(user),
        "action_ts": workspace.next_ts(),
    }
    return _interaction(payload)


def message_shortcut_form(workspace: Workspace, user: str, channel: str, ts: str, callback_id: str) -> Form:
    """Return the message_action form of a message's menu."""
    place = workspace.find_channel(channel)
    message = place.messages.get(ts)
    if message is None:
        raise SlackRefusalError("message_not_found")
    own_ts = ts if message.bot_id == workspace.install.bot_id else None  # an app replaces no message of others
    response = workspace.tickets.make_response_url(channel, user, message_ts=own_ts, thread_ts=message.thread_ts)
    payload = _base(workspace, "message_action", user) | {
        "callback_id": callback_id,
        "trigger_id": workspace.make_trigger_id(user),
        "action_ts": workspace.next_ts(),
        "message_ts": ts,
        "channel": {"id": channel, "name": place.name},
        "message": render_message(message, workspace.install),
        "response_url": address_of(workspace, response, "actions"),
    }
    return _interaction(payload, response)


def suggestion_form(workspace: Workspace, user: str, view: View, action_id: str, typed: str) -> Form:
    """Return the block_suggestion form of typing into an external select of a modal."""
    blocks = identified(view.content.get("blocks") or [])
    element = find_element(blocks, action_id)
    payload = _base(workspace, "block_suggestion", user) | {
        "container": {"type": "view", "view_id": view.view_id},
        "view": render_view(workspace, view) | {"blocks": blocks},
        "action_id": action_id,
        "block_id": element.block_id,
        "value": typed,
    }
    return _interaction(payload)


def address_of(workspace: Workspace, response: ResponseUrl, kind: str) -> str:
    """Return a response URL as text; `kind` is commands or actions, as in Slack's own."""
    return f"{workspace.shelf.base_url}/{kind}/{workspace.team_id}/{response.ticket}"


def identified(blocks: Sequence[Json]) -> list[Json]:
    """Return the blocks, each with a block_id: Slack makes one where the app gave none."""
    return [{"block_id": f"block{number}"} | each for number, each in enumerate(blocks)]


def elements_of(blocks: Sequence[Json]) -> Iterator[Element]:
    """Yield everything interactive in the blocks: elements, accessories and inputs."""
    for block in blocks:
        inner = [block.get("element"), block.get("accessory"), *(block.get("elements") or [])]
        for each in inner:
            if isinstance(each, dict):
                yield Element(block_id=block["block_id"], body=each)


def find_element(blocks: Sequence[Json], action_id: str, value: Any = None, block_id: str = "") -> Element:
    """Return the element of that name, or raise SlackRefusalError action_not_found."""
    for each in elements_of(blocks):
        is_other_button = each.body.get("type") == "button" and value not in (None, each.body.get("value"))
        if each.action_id == action_id and block_id in ("", each.block_id) and not is_other_button:
            return each
    raise SlackRefusalError("action_not_found")


def _interaction(payload: Json, response: ResponseUrl | None = None) -> Form:
    return Form(door="interactive", fields={"payload": json.dumps(payload)}, payload=payload, response_url=response)


def _base(workspace: Workspace, kind: str, user: str) -> Json:
    return {
        "type": kind,
        "team": {"id": workspace.team_id, "domain": _domain(workspace)},
        "user": _user(workspace, user),
        "api_app_id": workspace.install.app_id,
        "token": _TOKEN,
        "enterprise": None,
        "is_enterprise_install": False,
    }


def _user(workspace: Workspace, user_id: str) -> dict[str, str]:
    user = workspace.users.get(user_id)
    if user is None:
        raise SlackRefusalError("user_not_found")
    return {"id": user_id, "username": user.name, "name": user.name, "team_id": workspace.team_id}


def _domain(workspace: Workspace) -> str:
    return workspace.team_name.lower().replace(" ", "-")


def _action(workspace: Workspace, element: Element, value: Any) -> Json:
    chosen = _chosen(element.body, value)
    kept = {key: element.body[key] for key in ("type", "action_id", "text", "style") if key in element.body}
    return kept | {"block_id": element.block_id, "action_ts": workspace.next_ts()} | chosen


def _chosen(element: Json, value: Any) -> Json:
    """Return what an element says once `value` was chosen or typed in it; options are named by their value."""
    kind = element.get("type")
    if kind in ("button", "icon_button"):
        return {"value": element["value"]} if "value" in element else {}
    if kind == "feedback_buttons":
        return _rated(element, value)
    key = _CHOICES.get(str(kind), "value")
    if key == "selected_options":
        return {key: [_option(element, each) for each in value or []]}
    if key == "selected_option":
        return {key: None if value is None else _option(element, value)}
    return {key: value}


def _rated(element: Json, value: Any) -> Json:
    """Return the text and the value of the one of two feedback buttons that has the value."""
    for name in ("positive_button", "negative_button"):
        button = element.get(name) or {}
        if button.get("value") == value:
            return {"text": button.get("text"), "value": value}
    raise SlackRefusalError("option_not_found")


def _option(element: Json, value: str) -> Json:
    groups = [group.get("options") or [] for group in element.get("option_groups") or []]
    for option in (*(element.get("options") or []), *(each for group in groups for each in group)):
        if option.get("value") == value:
            return dict(option)
    if "external" in element["type"]:
        return {"text": {"type": "plain_text", "text": value, "emoji": True}, "value": value}
    raise SlackRefusalError("option_not_found")
