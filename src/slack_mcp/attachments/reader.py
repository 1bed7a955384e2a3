"""What the files of a message say: fetched, recognised by their bytes, and opened where they can do no harm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import structlog

from slack_mcp.attachments.formats import Format
from slack_mcp.attachments.outcomes import Reason, render_note
from slack_mcp.attachments.places import Places
from slack_mcp.attachments.sandbox import Sandbox
from slack_mcp.attachments.source import Source, find_name, find_source, must_be_asked_for
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import (
    AgentError,
    AgentNotConfiguredError,
    InvalidInputError,
    MeshApiError,
    SlackApiError,
    StoreError,
    TokenRevokedError,
)
from slack_mcp.core.model import Connection
from slack_mcp.ports.agent import AgentImage
from slack_mcp.ports.attachments import Audio, FileKind, FileText, ReadFiles, Transcriber
from slack_mcp.ports.slack import SlackWeb, SlackWebs
from slack_mcp.protocol.file_content import decode_text, find_image_type, find_recording_type

MAX_FILES: Final = 20
MAX_IMAGES: Final = 8
MAX_TEXT_BYTES: Final = 500_000
FILES_AT_ONCE: Final = 8
FILES_OF_A_CONNECTION_AT_ONCE: Final = 3
# Recordings are heard in this time too.
READ_TIMEOUT_S: Final = 180.0
_HTML: Final = "text/html"
_ZIP: Final = b"PK\x03\x04"
_PDF: Final = b"%PDF-"
_BLANK: Final = b"\xef\xbb\xbf \t\r\n\0"
# In UTF-16 most characters take two bytes and in UTF-8, which is counted, one.
_PLAIN_BYTES: Final = 2 * MAX_TEXT_BYTES
_CONTINUED: Final = range(0x80, 0xC0)
_SAMPLE_CHARS: Final = 4_096
_MAX_CONTROL_SHARE: Final = 0.05

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class _Basket:
    """What has been read so far, and what is left of the limits."""

    language: str
    images: list[AgentImage] = field(default_factory=list)
    texts: list[FileText] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    text_bytes_left: int = MAX_TEXT_BYTES

    def add_text(self, name: str, kind: FileKind, text: str, *, is_cut: bool) -> Reason | None:
        """Keep as much of the text as there is room for; returns what is to be said."""
        if not text.strip():
            return Reason.EMPTY
        encoded = text.encode("utf-8", "replace")
        kept = encoded[: self.text_bytes_left].decode("utf-8", "ignore")
        is_cut = is_cut or len(encoded) > self.text_bytes_left
        self.text_bytes_left = max(0, self.text_bytes_left - len(encoded))
        if kept:
            self.texts.append(FileText(name=name, kind=kind, text=kept, is_cut=is_cut))
        return Reason.CUT if is_cut else None

    def note(self, name: str, reason: Reason) -> None:
        """Keep a sentence for people."""
        self.notes.append(render_note(self.language, name, reason))


class FileReader:
    """Reads files; see `ports.attachments.Attachments.read`.

    Args:
        webs: fetch the files.
        sandbox: opens them.
        transcribers: the first that serves a connection hears its recordings.
        max_file_bytes: the largest file that is fetched.
        timeout_s: the longest time for all files of a message.
    """

    def __init__(
        self,
        *,
        webs: SlackWebs,
        sandbox: Sandbox,
        transcribers: Sequence[Transcriber],
        max_file_bytes: int,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._webs = webs
        self._sandbox = sandbox
        self._transcribers = transcribers
        self._max_file_bytes = max_file_bytes
        self._timeout_s = timeout_s
        self._places = Places(total=FILES_AT_ONCE, per_connection=FILES_OF_A_CONNECTION_AT_ONCE)

    async def read(self, connection: Connection, files: Sequence[Mapping[str, Any]], *, language: str) -> ReadFiles:
        """Return what the files say; raises TokenRevokedError."""
        basket = _Basket(language=language)
        web = self._webs.open(connection)
        done = 0
        with anyio.move_on_after(self._timeout_s):
            for file in files[:MAX_FILES]:
                reason = await self._read_one(connection, web, file, basket)
                done += 1
                if reason is not None:
                    basket.note(find_name(file), reason)
        for file in files[done:MAX_FILES]:
            basket.note(find_name(file), Reason.TOO_COSTLY)
        if len(files) > MAX_FILES:
            basket.notes.append(render_sentence(language, Sentence.FILES_TOO_MANY, count=str(MAX_FILES)))
        return ReadFiles(images=tuple(basket.images), texts=tuple(basket.texts), notes=tuple(basket.notes))

    async def _read_one(
        self, connection: Connection, web: SlackWeb, file: Mapping[str, Any], basket: _Basket
    ) -> Reason | None:
        """Put what the file says into the basket; returns what is to be said of it."""
        started_s = anyio.current_time()
        size = 0
        async with self._places.take(connection.connection_id):
            try:
                fetched = await self._fetch(web, file)
                if isinstance(fetched, Reason):
                    reason: Reason | None = fetched
                else:
                    source, content = fetched
                    size = len(content)
                    reason = await self._open(connection, source, content, basket)
            except TokenRevokedError:
                raise
            except (SlackApiError, InvalidInputError) as error:
                _log.info("file.not_given", connection_id=connection.connection_id, code=error.code)
                reason = Reason.NOT_GIVEN
        _log.info(
            "file.read",
            connection_id=connection.connection_id,
            outcome="read" if reason is None else reason.value,
            bytes=size,
            duration_ms=round(1000 * (anyio.current_time() - started_s)),
        )
        return reason

    async def _fetch(self, web: SlackWeb, file: Mapping[str, Any]) -> tuple[Source, bytes] | Reason:
        if must_be_asked_for(file):
            told = (await web.read("files.info", file=file.get("id"))).get("file")
            file = told if isinstance(told, Mapping) else {}
        source = find_source(file, max_bytes=self._max_file_bytes)
        if isinstance(source, Reason):
            return source
        fetched = await web.download(source.url, max_bytes=self._max_file_bytes)
        # A page that is none of the known ones that ask to sign in, in place of a file that is no page.
        if fetched.mimetype == _HTML and source.mimetype != _HTML and not source.is_canvas:
            return Reason.NOT_GIVEN
        return source, fetched.content

    async def _open(self, connection: Connection, source: Source, content: bytes, basket: _Basket) -> Reason | None:
        """Recognise the file by its bytes, and put what is in it into the basket."""
        if source.is_canvas:
            return await self._parse(Format.CANVAS, FileKind.TEXT, source, content, basket)
        if find_image_type(content) is not None:
            return await self._look(source, content, basket)
        recording_type = find_recording_type(content)
        if recording_type is not None:
            return await self._hear(connection, source, content, recording_type, basket)
        if content[: len(_BLANK) + len(_PDF)].lstrip(_BLANK).startswith(_PDF):
            return await self._parse(Format.PDF, FileKind.PDF, source, content, basket)
        if content.startswith(_ZIP):
            return await self._parse(Format.DOCX, FileKind.DOCX, source, content, basket)
        return _add_plain_text(source, content, basket)

    async def _parse(
        self, kind: Format, named: FileKind, source: Source, content: bytes, basket: _Basket
    ) -> Reason | None:
        parsed = await self._sandbox.parse(kind, content, max_text_bytes=basket.text_bytes_left)
        if not parsed.text:
            return parsed.reason or Reason.EMPTY
        return basket.add_text(source.name, named, parsed.text, is_cut=parsed.reason is not None)

    async def _look(self, source: Source, content: bytes, basket: _Basket) -> Reason | None:
        if len(basket.images) >= MAX_IMAGES:
            return Reason.TOO_MANY_IMAGES
        parsed = await self._sandbox.parse(Format.IMAGE, content, max_text_bytes=0)
        if parsed.picture is None:
            return parsed.reason or Reason.BROKEN
        picture = parsed.picture
        basket.images.append(AgentImage(name=source.name, mimetype=picture.mimetype, content=picture.content))
        return None

    async def _hear(
        self, connection: Connection, source: Source, content: bytes, mimetype: str, basket: _Basket
    ) -> Reason | None:
        transcriber = next((each for each in self._transcribers if each.serves(connection)), None)
        if transcriber is None:
            return Reason.NO_TRANSCRIBER
        audio = Audio(name=source.name, mimetype=mimetype, content=content)
        try:
            text = await transcriber.transcribe(connection, audio)
        except AgentNotConfiguredError:
            return Reason.NOT_REACHABLE
        except (AgentError, MeshApiError, StoreError) as error:
            _log.warning("file.not_heard", connection_id=connection.connection_id, code=error.code)
            return Reason.NOT_HEARD
        return basket.add_text(source.name, FileKind.AUDIO, text, is_cut=False)


def _add_plain_text(source: Source, content: bytes, basket: _Basket) -> Reason | None:
    end = min(len(content), _PLAIN_BYTES)
    while end < len(content) and content[end] in _CONTINUED:
        end -= 1  # the limit may stand in the middle of a character
    text = decode_text(content[:end], source.mimetype)
    if text is None or _is_noise(text):
        return Reason.UNKNOWN_KIND
    return basket.add_text(source.name, FileKind.TEXT, text, is_cut=end < len(content))


def _is_noise(text: str) -> bool:
    """Tell whether the text is bytes of something else: no text has many control characters."""
    sample = text[:_SAMPLE_CHARS]
    controls = sum(1 for char in sample if char < " " and not char.isspace())
    return controls > _MAX_CONTROL_SHARE * len(sample)
