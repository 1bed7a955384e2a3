"""files.*: uploads in three steps, and what became of them.

Rules and error codes: https://docs.slack.dev/reference/methods/files.getUploadURLExternal and its neighbours,
https://docs.slack.dev/messaging/working-with-files
"""

import secrets
from collections.abc import Callable

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.artifacts import CANVAS_TYPE, LIST_TYPE, File, Upload, new_id
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.model import Json, SlackRefusalError
from slack_mcp.simulator.paging import number_pages
from slack_mcp.simulator.places import visible_channel, writable_channel
from slack_mcp.simulator.workspace import Workspace

LONGEST_ALT_TEXT = 1000
LARGEST_SNIPPET = 1024 * 1024
FILES_PER_PAGE = 100
FORM_ONLY = frozenset({"files.getUploadURLExternal"})
"""Methods that older documents give no JSON form; taking none here keeps an app on the safe side."""

_KINDS: dict[str, Callable[[File], bool]] = {
    "all": lambda _: True,
    "images": lambda file: file.mimetype.startswith("image/"),
    "snippets": lambda file: file.mode == "snippet",
    "pdfs": lambda file: file.filetype == "pdf",
    "zips": lambda file: file.filetype == "zip",
    "spaces": lambda file: file.filetype == "space",
    "gdocs": lambda file: file.filetype == "gdoc",
    "canvases": lambda file: file.filetype == CANVAS_TYPE,
    "lists": lambda file: file.filetype == LIST_TYPE,
}


def can_see(workspace: Workspace, file: File, user_id: str) -> bool:
    """Whether a user may see a file: its own, a public one, or one shared with it or with its channels."""
    if file.user_id == user_id or file.is_public or user_id in file.access:
        return True
    reached = {share.channel_id for share in file.shares} | set(file.access)
    return any(user_id in channel.members for key in reached if (channel := workspace.channels.get(key)) is not None)


def visible_file(workspace: Workspace, file_id: str, refusal: str = "file_not_found") -> File:
    """Return a file that the acting user may see, or raise SlackRefusalError `refusal`."""
    file = workspace.shelf.find(file_id, refusal)
    if not can_see(workspace, file, workspace.actor.user_id):
        raise SlackRefusalError(refusal)
    return file


def get_upload_url(workspace: Workspace, args: Args) -> Answer:
    """files.getUploadURLExternal: where to POST the bytes, and the id that the file will have."""
    filename = args.required("filename", "missing_argument")
    length = _number(args, "length")
    if not length:
        raise SlackRefusalError("missing_argument")
    alt_txt, snippet_type = args.text("alt_txt"), args.text("snippet_type")
    if len(alt_txt) > LONGEST_ALT_TEXT:
        raise SlackRefusalError("alt_txt_too_large")
    if snippet_type and length > LARGEST_SNIPPET:
        raise SlackRefusalError("snippet_too_large")
    upload = Upload(
        file_id=new_id("F"),
        ticket=secrets.token_urlsafe(24),
        filename=filename,
        length=length,
        user_id=workspace.actor.user_id,
        alt_txt=alt_txt,
        snippet_type=snippet_type,
    )
    workspace.shelf.uploads[upload.file_id] = upload
    url = f"{workspace.shelf.base_url}/upload/v1/{upload.ticket}"
    return Answer(body={"upload_url": url, "file_id": upload.file_id})


def complete_upload(workspace: Workspace, args: Args) -> Answer:
    """files.completeUploadExternal: makes the files and, where channels are named, one message with them in each.

    The message's ts is not in the answer: Slack shares in the background, files.info shows it.
    """
    wanted: list[Json] | None = args.nested("files", list, "invalid_arguments")
    if not wanted or not all(isinstance(each, dict) for each in wanted):
        raise SlackRefusalError("invalid_arguments")
    uploads = [_finished_upload(workspace, str(each.get("id", ""))) for each in wanted]
    places = [args.text("channel_id")] if args.optional("channel_id") else args.ids("channels")
    channels = [writable_channel(workspace, Args({"channel": place})) for place in dict.fromkeys(places)]
    files = []
    for upload, each in zip(uploads, wanted, strict=True):
        workspace.shelf.uploads.pop(upload.file_id, None)
        files.append(_shelve(workspace, upload, str(each.get("title") or "")))
    envelopes: list[Json] = []
    for channel in channels:
        text, thread_ts = args.text("initial_comment"), args.optional("thread_ts")
        envelopes += workspace.post(channel, text, thread_ts=thread_ts, files=files).envelopes
    return Answer(body={"files": [{"id": each.file_id, "title": each.title} for each in files]}, envelopes=envelopes)


def file_info(workspace: Workspace, args: Args) -> Answer:
    """files.info: the file with its shares."""
    file_id = args.required("file", "file_not_found")
    if file_id in workspace.shelf.deleted:
        raise SlackRefusalError("file_deleted")
    file = visible_file(workspace, file_id)
    return Answer(
        body={
            "file": workspace.shelf.render(file, with_shares=True),
            "comments": [],
            "response_metadata": {"next_cursor": ""},
        }
    )


def file_list(workspace: Workspace, args: Args) -> Answer:
    """files.list: newest first, by channel, user, kind and time, in numbered pages."""
    me = workspace.actor.user_id
    chosen = [
        each for each in workspace.shelf.files.values() if can_see(workspace, each, me) and _is_wanted(each, args)
    ]
    if args.optional("channel"):
        place = visible_channel(workspace, args).channel_id
        chosen = [each for each in chosen if any(share.channel_id == place for share in each.shares)]
    chosen.reverse()
    page, paging = number_pages(chosen, args, default=FILES_PER_PAGE)
    return Answer(body={"files": [workspace.shelf.render(each, with_shares=True) for each in page], "paging": paging})


def file_delete(workspace: Workspace, args: Args) -> Answer:
    """files.delete: own files only. The messages stay, with a tombstone for the file."""
    file_id = args.required("file", "file_not_found")
    if file_id in workspace.shelf.deleted:
        raise SlackRefusalError("file_deleted")
    file = visible_file(workspace, file_id)
    if file.user_id != workspace.actor.user_id:
        raise SlackRefusalError("cant_delete_file")
    bury(workspace, file)
    return Answer()


def bury(workspace: Workspace, file: File) -> None:
    """Take a file away and leave its tombstone in the messages that showed it."""
    workspace.shelf.remove(file)
    for share in file.shares:
        channel = workspace.channels.get(share.channel_id)
        message = channel.messages.get(share.ts) if channel is not None else None
        if message is not None:
            message.files = [
                {"id": file.file_id, "mode": "tombstone"} if each["id"] == file.file_id else each
                for each in message.files
            ]


def _finished_upload(workspace: Workspace, file_id: str) -> Upload:
    upload = workspace.shelf.uploads.get(file_id)
    if upload is None or upload.content is None or upload.user_id != workspace.actor.user_id:
        raise SlackRefusalError("file_not_found")
    return upload


def _shelve(workspace: Workspace, upload: Upload, title: str) -> File:
    return workspace.shelf.add(
        file_id=upload.file_id,
        name=upload.filename,
        title=title,
        content=upload.content or b"",
        user_id=upload.user_id,
        created_s=int(workspace.now_s()),
        alt_txt=upload.alt_txt,
        snippet_type=upload.snippet_type,
    )


def _is_wanted(file: File, args: Args) -> bool:
    kinds = [name.strip() for name in args.text("types", "all").split(",")]
    if any(name not in _KINDS for name in kinds):
        raise SlackRefusalError("unknown_type")
    oldest_s, latest_s = _number(args, "ts_from"), _number(args, "ts_to")
    return (
        any(_KINDS[name](file) for name in kinds)
        and args.text("user", file.user_id) in ("", file.user_id)
        and (oldest_s is None or file.created_s >= oldest_s)
        and (latest_s is None or file.created_s <= latest_s)
    )


def _number(args: Args, name: str) -> int | None:
    """Return a whole number, a fraction cut off; None when absent."""
    text = args.text(name).partition(".")[0]
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise SlackRefusalError("invalid_arguments")
    return int(text)


FILE_METHODS: dict[str, tuple[Method, str]] = {
    "files.getUploadURLExternal": (get_upload_url, "files:write"),
    "files.completeUploadExternal": (complete_upload, "files:write"),
    "files.info": (file_info, "files:read"),
    "files.list": (file_list, "files:read"),
    "files.delete": (file_delete, "files:write"),
}
"""Each method with the scope it needs."""
