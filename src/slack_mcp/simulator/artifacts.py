"""What a workspace keeps beside its messages: files, canvases and lists. Each of the latter two is a file as well.

Shapes: https://docs.slack.dev/reference/objects/file-object
"""

import mimetypes
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from slack_mcp.simulator.model import Json, SlackRefusalError

CANVAS_TYPE = "quip"
LIST_TYPE = "list"
_PRETTY = {CANVAS_TYPE: "Canvas", LIST_TYPE: "List", "text": "Plain Text", "markdown": "Markdown", "jpg": "JPEG"}
_FILETYPES = {"txt": "text", "md": "markdown", "py": "python", "js": "javascript", "jpeg": "jpg", "": "binary"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One message that shows a file."""

    channel_id: str
    channel_name: str
    kind: str
    ts: str
    user_id: str
    thread_ts: str | None = None


@dataclass(slots=True, kw_only=True)
class File:
    """One file.

    Attributes:
        access: who may do what beyond those who see a message with it: an id of a user or channel → read, write, owner.
        declared_bytes: the size that Slack says it has; None for that of its content.
        redirect_to: answer a download with a redirect to this URL.
        is_login_page: answer a download with Slack's login page, as it does without a token.
        served_type: the Content-Type of a download; that of the file where it is empty.
        pause_s: how long a download waits before each piece of 16 KiB.
        is_endless: a download repeats the content for ever.
    """

    file_id: str
    name: str
    title: str
    content: bytes
    mimetype: str
    filetype: str
    user_id: str
    created_s: int
    alt_txt: str = ""
    snippet_type: str = ""
    shares: list[Share] = field(default_factory=list)
    access: dict[str, str] = field(default_factory=dict)
    declared_bytes: int | None = None
    redirect_to: str | None = None
    is_login_page: bool = False
    served_type: str = ""
    pause_s: float = 0.0
    is_endless: bool = False

    @property
    def mode(self) -> str:
        """How Slack keeps it: hosted, snippet, quip or list."""
        if self.filetype in (CANVAS_TYPE, LIST_TYPE):
            return self.filetype
        return "snippet" if self.snippet_type else "hosted"

    @property
    def is_public(self) -> bool:
        """True once a message in a public channel shows it."""
        return any(share.kind == "channel" for share in self.shares)


@dataclass(slots=True, kw_only=True)
class Upload:
    """A file on its way: announced, then uploaded, then completed. `content` is None until the bytes are there."""

    file_id: str
    ticket: str
    filename: str
    length: int
    user_id: str
    alt_txt: str = ""
    snippet_type: str = ""
    content: bytes | None = None


@dataclass(slots=True, kw_only=True)
class Canvas:
    """A canvas: its sections in order, each with its id and its Markdown; `channel_id` for a channel's own canvas."""

    canvas_id: str
    sections: list[tuple[str, str]] = field(default_factory=list)
    channel_id: str | None = None


@dataclass(slots=True, kw_only=True)
class ListItem:
    """One row of a list; `fields` by column id, as Slack renders them."""

    item_id: str
    created_s: int
    created_by: str
    updated_by: str
    updated_s: int
    parent_id: str | None = None
    is_archived: bool = False
    fields: dict[str, Json] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class SlackList:
    """A list: its columns as Slack renders them, and its rows by id. `jobs` are the exports that were started."""

    list_id: str
    description_blocks: list[Json] = field(default_factory=list)
    columns: list[Json] = field(default_factory=list)
    is_todo: bool = False
    items: dict[str, ListItem] = field(default_factory=dict)
    jobs: dict[str, bytes] = field(default_factory=dict)


class Shelf:
    """The files, canvases and lists of one workspace.

    Attributes:
        team_url: the workspace's own address, which permalinks begin with.
        base_url: where this simulator serves uploads and downloads; `serve` sets it.
    """

    def __init__(self, *, team_id: str, team_url: str) -> None:
        self.team_id = team_id
        self.team_url = team_url
        self.base_url = "http://127.0.0.1:1"
        self.files: dict[str, File] = {}
        self.deleted: set[str] = set()
        self.uploads: dict[str, Upload] = {}
        self.canvases: dict[str, Canvas] = {}
        self.lists: dict[str, SlackList] = {}

    def find(self, file_id: str, refusal: str = "file_not_found") -> File:
        """Return a file, or raise SlackRefusalError `refusal`."""
        file = self.files.get(file_id)
        if file is None:
            raise SlackRefusalError(refusal)
        return file

    def add(
        self,
        *,
        name: str,
        content: bytes,
        user_id: str,
        created_s: int,
        file_id: str | None = None,
        title: str = "",
        mimetype: str = "",
        filetype: str = "",
        alt_txt: str = "",
        snippet_type: str = "",
        **serving: Any,
    ) -> File:
        """Add a file and return it; type and MIME type come from the name when they are not given.

        `serving` are further fields of a File, such as `declared_bytes`. Raises TypeError for one that it has not.
        """
        suffix = PurePosixPath(name).suffix.lower().lstrip(".")
        file = File(
            file_id=file_id or new_id("F"),
            name=name,
            title=title or name,
            content=content,
            mimetype=mimetype or mimetypes.guess_type(name)[0] or "application/octet-stream",
            filetype=filetype or snippet_type or _FILETYPES.get(suffix, suffix),
            user_id=user_id,
            created_s=created_s,
            alt_txt=alt_txt,
            snippet_type=snippet_type,
            **serving,
        )
        self.files[file.file_id] = file
        return file

    def remove(self, file: File) -> None:
        """Take a file away with everything that it was."""
        del self.files[file.file_id]
        self.canvases.pop(file.file_id, None)
        self.lists.pop(file.file_id, None)
        self.deleted.add(file.file_id)

    def render(self, file: File, *, with_shares: bool = False) -> Json:
        """Return a file object, as a message shows it or, with its shares, as files.info does."""
        name = quote(file.name, safe="")
        path = f"{self.base_url}/files-pri/{self.team_id}-{file.file_id}"
        body: Json = {
            "id": file.file_id,
            "created": file.created_s,
            "timestamp": file.created_s,
            "name": file.name,
            "title": file.title,
            "mimetype": file.mimetype,
            "filetype": file.filetype,
            "pretty_type": _PRETTY.get(file.filetype, file.filetype.upper()),
            "user": file.user_id,
            "user_team": self.team_id,
            "editable": file.mode != "hosted",
            "size": len(file.content) if file.declared_bytes is None else file.declared_bytes,
            "mode": file.mode,
            "is_external": False,
            "external_type": "",
            "is_public": file.is_public,
            "public_url_shared": False,
            "display_as_bot": False,
            "username": "",
            "url_private": f"{path}/{name}",
            "url_private_download": f"{path}/download/{name}",
            "permalink": f"{self.team_url}files/{file.user_id}/{file.file_id}/{name}",
            "has_rich_preview": False,
            "file_access": "visible",
        }
        if file.alt_txt:
            body["alt_txt"] = file.alt_txt
        return body | _render_shares(file.shares, self.team_id) if with_shares else body


def new_id(prefix: str) -> str:
    """Return a new id: the prefix and ten characters."""
    return prefix + secrets.token_hex(5).upper()


def _render_shares(shares: Iterable[Share], team_id: str) -> Json:
    places: dict[str, list[str]] = {"channels": [], "groups": [], "ims": []}
    rendered: dict[str, dict[str, list[Json]]] = {}
    for share in shares:
        place = places[{"channel": "channels", "im": "ims"}.get(share.kind, "groups")]
        if share.channel_id not in place:
            place.append(share.channel_id)
        entry: Json = {
            "reply_users": [],
            "reply_users_count": 0,
            "reply_count": 0,
            "ts": share.ts,
            "channel_name": share.channel_name,
            "team_id": team_id,
            "share_user_id": share.user_id,
        }
        if share.thread_ts is not None:
            entry["thread_ts"] = share.thread_ts
        visibility = "public" if share.kind == "channel" else "private"
        rendered.setdefault(visibility, {}).setdefault(share.channel_id, []).append(entry)
    return {**places, "shares": rendered, "comments_count": 0}
