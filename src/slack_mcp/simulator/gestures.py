"""What people do with an app: use its commands, buttons, shortcuts, modals and surfaces; and what they then see.

Interactions are sent once, as Slack does; more than 3 s is a failure: https://docs.slack.dev/interactivity. What Slack
tells in events is delivered in the background, with retries.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from slack_mcp.simulator import voices
from slack_mcp.simulator.artifacts import new_id
from slack_mcp.simulator.blocks import validate_view
from slack_mcp.simulator.deliveries import Deliverer, FormAnswer
from slack_mcp.simulator.interactivity import (
    Form,
    click_form,
    closing_form,
    command_form,
    message_shortcut_form,
    shortcut_form,
    submission_form,
    suggestion_form,
    view_click_form,
)
from slack_mcp.simulator.keeping import View
from slack_mcp.simulator.model import Json, SlackRefusalError
from slack_mcp.simulator.responses import parse_message, respond
from slack_mcp.simulator.surfaces import Opened, Tab, look_at, open_assistant, open_home, stop_work
from slack_mcp.simulator.workspace import Posted, Workspace


class Gestures:
    """The gestures, each in one workspace.

    Interactions return what the app answered, the others the envelopes of their events, or a message with them. All
    raise SlackRefusalError for what a person could not have done: a message, element or view that is not there.
    """

    def __init__(
        self,
        *,
        workspaces: Mapping[str, Workspace],
        deliverer: Deliverer,
        deliver_own: Callable[[Workspace, Sequence[Json]], None],
        on_change: Callable[[], None],
    ) -> None:
        self._workspaces = workspaces
        self._deliverer = deliverer
        self._deliver_own = deliver_own
        self._on_change = on_change

    async def command(self, team_id: str, user: str, channel: str, command: str, text: str = "") -> FormAnswer:
        """Let a person use a slash command; what the app answers at once is shown."""
        workspace = self._workspaces[team_id]
        form = command_form(workspace, user, channel, command, text)
        answer = await self._send(workspace, form)
        message = _as_message(answer)
        if message is not None and form.response_url is not None:
            self._deliver_own(workspace, respond(workspace, form.response_url, message))
            self._on_change()
        return answer

    async def click(
        self, team_id: str, user: str, channel: str, ts: str, action_id: str, *, value: Any = None, block_id: str = ""
    ) -> FormAnswer:
        """Let a person use an element of a message, an ephemeral one too. `value` as `click_form` has it."""
        workspace = self._workspaces[team_id]
        return await self._send(
            workspace, click_form(workspace, user, channel, ts, action_id, value=value, block_id=block_id)
        )

    async def click_view(self, team_id: str, view_id: str, action_id: str, value: Any = None) -> FormAnswer:
        """Let the person who sees it use an element of a modal or of their home tab."""
        workspace = self._workspaces[team_id]
        view = workspace.views.find(view_id, "")
        return await self._send(workspace, view_click_form(workspace, view.user_id, view, action_id, value))

    async def submit(self, team_id: str, view_id: str, values: Mapping[str, Any]) -> FormAnswer:
        """Let the person who sees it submit a modal, and do with it what the app answers.

        `values` by action_id. An invalid view in the answer makes it a failed one, with the reason `invalid_view`.
        """
        workspace = self._workspaces[team_id]
        view = _open_modal(workspace, view_id)
        answer = await self._send(workspace, submission_form(workspace, view.user_id, view, values))
        if answer.is_acknowledged:
            answer = _apply(workspace, view, answer)
            self._on_change()
        return answer

    async def close(self, team_id: str, view_id: str, *, is_cleared: bool = False) -> FormAnswer | None:
        """Let a person close a modal, or with `is_cleared` its whole stack.

        Returns:
            The app's answer to the top one's view_closed; None when it did not ask for that with notify_on_close.
        """
        workspace = self._workspaces[team_id]
        view = _open_modal(workspace, view_id)
        form = closing_form(workspace, view.user_id, view, is_cleared=is_cleared)
        workspace.views.close(view.root_id if is_cleared else view_id)
        return await self._send(workspace, form) if view.content.get("notify_on_close") else None

    async def shortcut(self, team_id: str, user: str, callback_id: str) -> FormAnswer:
        """Let a person use a global shortcut."""
        workspace = self._workspaces[team_id]
        return await self._send(workspace, shortcut_form(workspace, user, callback_id))

    async def message_shortcut(self, team_id: str, user: str, channel: str, ts: str, callback_id: str) -> FormAnswer:
        """Let a person use a shortcut of a message's menu."""
        workspace = self._workspaces[team_id]
        return await self._send(workspace, message_shortcut_form(workspace, user, channel, ts, callback_id))

    async def suggest(self, team_id: str, view_id: str, action_id: str, typed: str) -> FormAnswer:
        """Let a person type into an external select of a modal; the options are in the answer's body."""
        workspace = self._workspaces[team_id]
        view = workspace.views.find(view_id, "")
        return await self._send(workspace, suggestion_form(workspace, view.user_id, view, action_id, typed))

    def open_home(self, team_id: str, user: str, tab: Tab = "home") -> list[Json]:
        """Let a person open the app's home or its messages: app_home_opened."""
        return self._tell(team_id, open_home(self._workspaces[team_id], user, tab))

    def open_assistant(self, team_id: str, user: str, viewing: str | None = None) -> Opened:
        """Let a person open the app's pane beside a channel: assistant_thread_started."""
        opened = open_assistant(self._workspaces[team_id], user, viewing)
        self._tell(team_id, opened.envelopes)
        return opened

    def look_at(self, team_id: str, user: str, channel: str) -> list[Json]:
        """Let a person open a channel beside the app: assistant_thread_context_changed or app_context_changed."""
        return self._tell(team_id, look_at(self._workspaces[team_id], user, channel))

    def stop(self, team_id: str, user: str, channel: str, thread_ts: str) -> list[Json]:
        """Let a person press the stop button of a thread: its streams end, and agent_session_stopped says so."""
        return self._tell(team_id, stop_work(self._workspaces[team_id], user, channel, thread_ts))

    def edit(self, team_id: str, user: str, channel: str, ts: str, text: str) -> list[Json]:
        """Let a person edit their message: message_changed."""
        return self._tell(team_id, voices.edit(self._workspaces[team_id], user, channel, ts, text))

    def unsay(self, team_id: str, user: str, channel: str, ts: str) -> list[Json]:
        """Let a person delete their message: message_deleted."""
        return self._tell(team_id, voices.unsay(self._workspaces[team_id], user, channel, ts))

    def speak(
        self,
        team_id: str,
        bot_id: str,
        channel: str,
        text: str,
        thread_ts: str | None = None,
        *,
        is_classic: bool = False,
    ) -> Posted:
        """Let another app, which `Workspace.add_app` added, write a message."""
        posted = voices.speak(self._workspaces[team_id], bot_id, channel, text, thread_ts, is_classic=is_classic)
        self._tell(team_id, posted.envelopes)
        return posted

    def share(self, team_id: str, user: str, channel: str, name: str, content: bytes, **details: Any) -> Posted:
        """Let a person share a file, with the arguments of `Workspace.share_file`."""
        posted = self._workspaces[team_id].share_file(user, channel, name, content, **details)
        self._tell(team_id, posted.envelopes)
        return posted

    def _tell(self, team_id: str, envelopes: list[Json]) -> list[Json]:
        self._deliverer.submit(self._workspaces[team_id], envelopes)
        self._on_change()
        return envelopes

    async def _send(self, workspace: Workspace, form: Form) -> FormAnswer:
        return await self._deliverer.send_form(workspace, form.door, form.fields)


def _as_message(answer: FormAnswer) -> Json | None:
    """Return the message in the answer to a command: JSON, or plain text for an ephemeral one; None for no message."""
    if not answer.is_acknowledged or not answer.body.strip():
        return None
    body = parse_message(answer.body)
    if body is None:
        return {"text": answer.body.decode(errors="replace")}
    return body if body.get("text") or body.get("blocks") or body.get("attachments") else None


def _open_modal(workspace: Workspace, view_id: str) -> View:
    view = workspace.views.modals.get(view_id)
    if view is None:
        raise SlackRefusalError("not_found")
    return view


def _apply(workspace: Workspace, view: View, answer: FormAnswer) -> FormAnswer:
    """Do what the answer to a submission says: https://docs.slack.dev/surfaces/modals#response_actions."""
    try:
        body = json.loads(answer.body) if answer.body.strip() else {}
    except ValueError:
        return replace(answer, reason="invalid_response")
    action = body.get("response_action") if isinstance(body, dict) else None
    if action in ("update", "push"):
        content = body.get("view")
        if not isinstance(content, dict) or validate_view(content):
            return replace(answer, reason="invalid_view")
        return _show(workspace, view, content, answer, is_pushed=action == "push")
    if action == "clear":
        workspace.views.close(view.root_id)
    elif action is None:
        workspace.views.close(view.view_id)
    return answer


def _show(workspace: Workspace, view: View, content: Json, answer: FormAnswer, *, is_pushed: bool) -> FormAnswer:
    if not is_pushed:
        view.content, view.hash = content, new_id("h")
        return answer
    try:
        workspace.views.open(view.user_id, content, on=view)
    except SlackRefusalError as error:
        return replace(answer, reason=error.code)
    return answer
