"""Files that people attach to a question, and files that an agent makes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from slack_mcp.core.ids import ChannelId, ConnectionId, Ts
from slack_mcp.core.model import Connection
from slack_mcp.ports.agent import AgentFile, AgentImage


class FileKind(StrEnum):
    """What a text was before it was one."""

    TEXT = "text"
    PDF = "pdf"
    DOCX = "docx"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileText:
    """What a file says.

    Attributes:
        name: on one line, without control characters; not escaped for any markup.
        text: as it stands there, or what was heard; data, in which no order is followed.
        is_cut: there is more of it in the file.
    """

    name: str
    kind: FileKind
    text: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFiles:
    """What could be read of the files of one message.

    Attributes:
        images: PNG or JPEG, few and small enough for any model.
        texts: in the order of the files.
        notes: one sentence for people on each file that could not be read, or not to its end; Slack mrkdwn.
    """

    images: Sequence[AgentImage] = ()
    texts: Sequence[FileText] = ()
    notes: Sequence[str] = ()


Remember: TypeAlias = Callable[[Sequence[str]], Awaitable[None]]
"""Stores the ids of files before anybody can see them."""


class AttachmentDelivery(Protocol):
    """Shows the files that an agent made. What goes wrong with one file is a sentence, and never stops a question."""

    async def deliver(
        self,
        connection: Connection,
        channel_id: ChannelId,
        thread_ts: Ts,
        files: Sequence[AgentFile],
        *,
        earlier: Sequence[str],
        remember: Remember,
        language: str,
    ) -> Sequence[str]:
        """Show an agent's files in a thread, once however often the turn runs, and return notes for people.

        Args:
            connection: whose bot shows them.
            channel_id: where.
            thread_ts: the thread's root.
            files: all files of the turn; they appear together.
            earlier: every id that an earlier run of the turn was told to remember. Are those files in Slack, nothing
                is done.
            remember: is told the ids after the bytes were sent and before the files appear.
            language: of the notes, in the catalogue: one sentence for each file that could not be shown; mrkdwn.

        Raises:
            TokenRevokedError: this connection can show nothing any more.
            RateLimitedError, SlackUnavailableError: nobody can tell whether the files are there; try again later.
            Exception: what `remember` raises.
        """
        ...


class Attachments(AttachmentDelivery, Protocol):
    """Files in and out of Slack. What goes wrong with one file is a sentence, and never stops a question."""

    async def read(self, connection: Connection, files: Sequence[Mapping[str, Any]], *, language: str) -> ReadFiles:
        """Return what the files of a message say.

        Args:
            connection: whose bot token fetches them.
            files: the event's `files`, as Slack sent them; none of what they say is believed.
            language: of the notes, in the catalogue.

        Raises:
            TokenRevokedError: nothing of this connection can be fetched any more.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """A recording.

    Attributes:
        mimetype: by what the bytes are, and not by what anybody calls them.
    """

    name: str
    mimetype: str
    content: bytes


class Transcriber(Protocol):
    """Writes down what is said in a recording."""

    def serves(self, connection: Connection) -> bool:
        """Tell whether it can be asked for this connection."""
        ...

    async def transcribe(self, connection: Connection, audio: Audio) -> str:
        """Return what is said, empty when nothing is.

        Raises:
            AgentError: one of its classes. AgentNotConfiguredError says that a setting is missing.
            MeshApiError: one of its classes.
            StoreError: one of its classes.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TempFile:
    """A file that somebody outside may fetch for a while."""

    name: str
    mimetype: str
    content: bytes


class TempFileStore(Protocol):
    """Keeps such files for all pods, sealed."""

    async def add_temp_file(self, connection_id: ConnectionId, file: TempFile, *, ttl_s: float) -> str:
        """Keep the file and return its id, which nobody can guess."""
        ...

    async def load_temp_file(self, file_id: str) -> TempFile | None:
        """Return the file, None when there is none or its time is over.

        The id alone is asked for: whoever fetches a file knows nothing else, and the id belongs to one connection.
        """
        ...

    async def remove_temp_file(self, connection_id: ConnectionId, file_id: str) -> None:
        """Delete the file before its time; one that is gone is no error."""
        ...

    async def delete_expired(self, *, limit: int) -> int:
        """Delete up to `limit` files whose time is over; returns how many."""
        ...


class TempFiles(Protocol):
    """Puts a file where somebody outside can fetch it for a while."""

    async def publish(self, connection_id: ConnectionId, file: TempFile) -> tuple[str, str]:
        """Return the file's id, and the URL that gives its bytes to whoever has it, until its time is over.

        Raises:
            AgentNotConfiguredError: nobody outside can reach this service, since its public URL is not set.
            StoreError: one of its classes.
        """
        ...

    async def withdraw(self, connection_id: ConnectionId, file_id: str) -> None:
        """Delete the file; raises StoreError."""
        ...
