"""canvases.* and conversations.canvases.create: documents of Markdown sections, each of which is a file too.

Rules and error codes: https://docs.slack.dev/reference/methods/canvases.edit and its neighbours.
"""

import re
import secrets
from html import escape

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.artifacts import CANVAS_TYPE, Canvas, File, Share
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.files import bury, visible_file
from slack_mcp.simulator.model import Channel, Json, SlackRefusalError
from slack_mcp.simulator.places import joined_channel, visible_channel
from slack_mcp.simulator.workspace import Workspace

CANVAS_MIMETYPE = "application/vnd.slack-docs"
LEVELS = ("read", "write", "owner")
_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_SECTION_TYPES = ("h1", "h2", "h3", "any_header")
_INSERTIONS = ("insert_after", "insert_before", "insert_at_start", "insert_at_end")


def create_canvas(workspace: Workspace, args: Args) -> Answer:
    """canvases.create: a canvas of the acting user, in a tab of `channel_id` when that is given."""
    channel = visible_channel(workspace, args, "channel_id") if args.optional("channel_id") else None
    markdown = _markdown(args.nested("document_content", dict, "canvas_creation_failed"), "canvas_creation_failed")
    file = _make(workspace, args.text("title"), markdown, channel)
    return Answer(body={"canvas_id": file.file_id})


def create_channel_canvas(workspace: Workspace, args: Args) -> Answer:
    """conversations.canvases.create: the one canvas of a channel, which its members may write."""
    channel = joined_channel(workspace, args, "channel_id")
    if any(each.channel_id == channel.channel_id for each in workspace.shelf.canvases.values()):
        raise SlackRefusalError("channel_canvas_already_exists")
    markdown = _markdown(args.nested("document_content", dict, "canvas_creation_failed"), "canvas_creation_failed")
    file = _make(workspace, args.text("title"), markdown, channel)
    workspace.shelf.canvases[file.file_id].channel_id = channel.channel_id
    file.access[channel.channel_id] = "write"
    return Answer(body={"canvas_id": file.file_id})


def edit_canvas(workspace: Workspace, args: Args) -> Answer:
    """canvases.edit: one change a call, as Slack has it."""
    file, canvas = _find(workspace, args)
    check_access(workspace, file, "write")
    changes: list[Json] | None = args.nested("changes", list, "invalid_arguments")
    if changes is None or len(changes) != 1 or not isinstance(changes[0], dict):
        raise SlackRefusalError("invalid_arguments")
    _change(file, canvas, changes[0])
    file.content = render_html(canvas)
    return Answer()


def delete_canvas(workspace: Workspace, args: Args) -> Answer:
    """canvases.delete: its owner only."""
    file, _ = _find(workspace, args)
    check_access(workspace, file, "owner")
    bury(workspace, file)
    return Answer()


def set_canvas_access(workspace: Workspace, args: Args) -> Answer:
    """canvases.access.set: read, write or owner for users or for channels, not for both in one call."""
    file, _ = _find(workspace, args)
    set_access(workspace, file, args)
    return Answer()


def delete_canvas_access(workspace: Workspace, args: Args) -> Answer:
    """canvases.access.delete."""
    file, _ = _find(workspace, args)
    drop_access(workspace, file, args)
    return Answer()


def look_up_sections(workspace: Workspace, args: Args) -> Answer:
    """canvases.sections.lookup: the ids of the sections that have one of the types and contain the text."""
    _, canvas = _find(workspace, args)
    criteria: Json | None = args.nested("criteria", dict, "invalid_arguments")
    types = (criteria or {}).get("section_types") or []
    text = str((criteria or {}).get("contains_text") or "")
    if not (types or text) or any(each not in _SECTION_TYPES for each in types):
        raise SlackRefusalError("invalid_arguments")
    found = [key for key, markdown in canvas.sections if text in markdown and _has_type(markdown, types)]
    return Answer(body={"sections": [{"id": key} for key in found]})


def canvas_content(workspace: Workspace, args: Args) -> Answer:
    """canvases.getContent: the whole canvas as Markdown or HTML."""
    file, canvas = _find(workspace, args)
    kind = args.text("content_type", "markdown")
    if kind not in ("markdown", "html"):
        raise SlackRefusalError("invalid_arguments")
    return Answer(body={"content": file.content.decode() if kind == "html" else render_markdown(canvas)})


def render_markdown(canvas: Canvas) -> str:
    """Return the sections, an empty line between them."""
    return "\n\n".join(markdown for _, markdown in canvas.sections)


def render_html(canvas: Canvas) -> bytes:
    """Return what a download of the canvas holds: an element with its section's id for each section."""
    return "".join(_render_section(key, markdown) for key, markdown in canvas.sections).encode()


def check_access(workspace: Workspace, file: File, level: str) -> None:
    """Raise SlackRefusalError restricted_action when the acting user may not do what needs `level`."""
    actor = workspace.actor.user_id
    levels = [level for key, level in file.access.items() if key == actor or _is_member(workspace, key, actor)]
    granted = max((LEVELS.index(each) for each in levels), default=-1)
    if file.user_id != actor and granted < LEVELS.index(level):
        raise SlackRefusalError("restricted_action")


def set_access(workspace: Workspace, file: File, args: Args) -> None:
    """Do what canvases.access.set and slackLists.access.set have in common."""
    level = args.text("access_level")
    check_access(workspace, file, "owner" if level == "owner" else "write")
    users, channels = _entities(workspace, args)
    if level not in LEVELS or (level == "owner" and channels):
        raise SlackRefusalError("invalid_arguments")
    for key in (*users, *channels):
        file.access[key] = level
    if level == "owner":
        file.access[file.user_id] = "write"
        file.user_id = users[0]


def drop_access(workspace: Workspace, file: File, args: Args) -> None:
    """Do what canvases.access.delete and slackLists.access.delete have in common."""
    check_access(workspace, file, "write")
    users, channels = _entities(workspace, args)
    for key in (*users, *channels):
        file.access.pop(key, None)


def _entities(workspace: Workspace, args: Args) -> tuple[list[str], list[str]]:
    users, channels = args.ids("user_ids"), args.ids("channel_ids")
    if bool(users) == bool(channels):
        raise SlackRefusalError("invalid_parameters")
    if any(each not in workspace.users for each in users):
        raise SlackRefusalError("user_not_found")
    for each in channels:
        workspace.find_channel(each)
    return users, channels


def _is_member(workspace: Workspace, channel_id: str, user_id: str) -> bool:
    channel = workspace.channels.get(channel_id)
    return channel is not None and user_id in channel.members


def _find(workspace: Workspace, args: Args) -> tuple[File, Canvas]:
    file = visible_file(workspace, args.required("canvas_id", "canvas_not_found"), "canvas_not_found")
    canvas = workspace.shelf.canvases.get(file.file_id)
    if canvas is None:
        raise SlackRefusalError("canvas_not_found")
    return file, canvas


def _make(workspace: Workspace, title: str, markdown: str, channel: Channel | None) -> File:
    title = title or "Untitled"
    file = workspace.shelf.add(
        name=title.replace(" ", "_"),
        title=title,
        content=b"",
        user_id=workspace.actor.user_id,
        created_s=int(workspace.now_s()),
        mimetype=CANVAS_MIMETYPE,
        filetype=CANVAS_TYPE,
    )
    canvas = Canvas(canvas_id=file.file_id, sections=_split(markdown))
    workspace.shelf.canvases[file.file_id] = canvas
    file.content = render_html(canvas)
    if channel is not None:
        share = Share(
            channel_id=channel.channel_id,
            channel_name=channel.name,
            kind=channel.kind,
            ts=workspace.next_ts(),
            user_id=file.user_id,
        )
        file.shares.append(share)
    return file


def _markdown(content: Json | None, refusal: str) -> str:
    if content is None:
        return ""
    markdown = content.get("markdown")
    if content.get("type") != "markdown" or not isinstance(markdown, str):
        raise SlackRefusalError(refusal)
    return markdown


def _split(markdown: str) -> list[tuple[str, str]]:
    """Return sections with new ids: headings and what stands between empty lines."""
    parts: list[list[str]] = [[]]
    for line in markdown.splitlines():
        if not line.strip():
            parts.append([])
        elif _HEADING.match(line):
            parts += [[line], []]
        else:
            parts[-1].append(line)
    return [(f"temp:C:{secrets.token_hex(14)}", "\n".join(part)) for part in parts if part]


def _change(file: File, canvas: Canvas, change: Json) -> None:
    operation, section_id = change.get("operation"), change.get("section_id")
    if operation == "rename":
        file.title = _markdown(change.get("title_content"), "canvas_editing_failed") or file.title
        return
    position = _position(canvas, section_id)
    if operation == "delete" and position is not None:
        del canvas.sections[position]
        return
    new = _split(_markdown(change.get("document_content"), "canvas_editing_failed"))
    if operation == "replace":
        start, end = (0, len(canvas.sections)) if position is None else (position, position + 1)
    else:
        start = end = _insertion_point(canvas, operation, position)
    canvas.sections[start:end] = new


def _position(canvas: Canvas, section_id: str | None) -> int | None:
    if not section_id:
        return None
    for position, (key, _) in enumerate(canvas.sections):
        if key == section_id:
            return position
    raise SlackRefusalError("canvas_editing_failed")


def _insertion_point(canvas: Canvas, operation: object, position: int | None) -> int:
    if operation == "insert_at_start":
        return 0
    if operation == "insert_at_end":
        return len(canvas.sections)
    if operation not in _INSERTIONS or position is None:
        raise SlackRefusalError("invalid_arguments")
    return position + 1 if operation == "insert_after" else position


def _has_type(markdown: str, types: list[str]) -> bool:
    heading = _HEADING.match(markdown)
    if not types:
        return True
    return heading is not None and ("any_header" in types or f"h{len(heading[1])}" in types)


def _render_section(key: str, markdown: str) -> str:
    heading = _HEADING.match(markdown)
    if heading is not None:
        level = min(len(heading[1]), 3)
        return f"<h{level} id='{key}'>{escape(heading[2])}</h{level}>"
    lines = markdown.splitlines()
    if all(line.startswith(("- ", "* ")) for line in lines):
        return f"<ul id='{key}'>" + "".join(f"<li>{escape(line[2:])}</li>" for line in lines) + "</ul>"
    return f"<p id='{key}' class='line'>{'<br/>'.join(escape(line) for line in lines)}</p>"


CANVAS_METHODS: dict[str, tuple[Method, str]] = {
    "canvases.create": (create_canvas, "canvases:write"),
    "canvases.edit": (edit_canvas, "canvases:write"),
    "canvases.delete": (delete_canvas, "canvases:write"),
    "canvases.access.set": (set_canvas_access, "canvases:write"),
    "canvases.access.delete": (delete_canvas_access, "canvases:write"),
    "canvases.sections.lookup": (look_up_sections, "canvases:read"),
    "canvases.getContent": (canvas_content, "canvases:read"),
    "conversations.canvases.create": (create_channel_canvas, "canvases:write"),
}
"""Each method with the scope it needs."""
