"""What the attachments work with, in memory, and files to attach: good ones and hostile ones."""

import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import docx
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from slack_mcp.core.errors import SlackMcpError
from slack_mcp.core.model import Connection
from slack_mcp.ports.attachments import Audio
from slack_mcp.ports.slack import SlackFile

MP3 = b"ID3\x04" + bytes(200)


@dataclass
class FakeWeb:
    """A Web API of one workspace: `files` are what can be fetched, by URL; `refusals` are raised, by method or URL.

    What is uploaded becomes known to files.info with files.completeUploadExternal.
    """

    files: dict[str, SlackFile] = field(default_factory=dict)
    infos: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    refusals: dict[str, SlackMcpError] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    sent: dict[str, bytes] = field(default_factory=dict)
    unknown: SlackMcpError | None = None
    on_download: Callable[[], Any] | None = None

    def open(self, connection: Connection) -> "FakeWeb":
        return self

    def open_as_user(self, connection: Connection) -> "FakeWeb":
        return self

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        self._note(method, arguments)
        if method == "files.getUploadURLExternal":
            file_id = f"F{len(self.sent) + 1}"
            self.sent[file_id] = b""
            return {"ok": True, "file_id": file_id, "upload_url": f"https://files.slack.com/upload/{file_id}"}
        if method == "files.info":
            if arguments["file"] not in self.infos:
                assert self.unknown is not None
                raise self.unknown
            return {"ok": True, "file": self.infos[arguments["file"]]}
        return {"ok": True}

    async def write(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        self._note(method, arguments)
        for each in arguments.get("files", ()):
            self.infos[each["id"]] = each
        return {"ok": True}

    async def upload(self, upload_url: str, content: bytes) -> None:
        self._note("upload", {"url": upload_url})
        self.sent[upload_url.rpartition("/")[2]] = content

    async def download(self, url: str, *, max_bytes: int) -> SlackFile:
        self._note(url, {"max_bytes": max_bytes})
        if self.on_download is not None:
            await self.on_download()
        return self.files[url]

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)

    def _note(self, name: str, arguments: dict[str, Any]) -> None:
        self.calls.append((name, arguments))
        if name in self.refusals:
            raise self.refusals[name]


@dataclass
class FakeTranscriber:
    """Hears what a test says."""

    text: str = "canary words"
    error: SlackMcpError | None = None
    heard: list[Audio] = field(default_factory=list)
    is_there: bool = True

    def serves(self, connection: Connection) -> bool:
        return self.is_there

    async def transcribe(self, connection: Connection, audio: Audio) -> str:
        self.heard.append(audio)
        if self.error is not None:
            raise self.error
        return self.text


def attach(web: FakeWeb, content: bytes, *, name: str = "a.bin", mimetype: str = "", **fields: Any) -> dict[str, Any]:
    """Put a file into the workspace and return it as an event has it."""
    url = f"https://files.slack.com/{len(web.files)}/{name}"
    web.files[url] = SlackFile(
        content=content, mimetype=fields.pop("served_as", mimetype) or "application/octet-stream"
    )
    return {
        "id": f"F{len(web.files)}",
        "name": name,
        "mimetype": mimetype,
        "url_private": url,
        "size": len(content),
    } | fields


def make_image(width: int = 40, height: int = 20, *, kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """Return an image of one colour."""
    output = BytesIO()
    Image.new(mode, (width, height)).save(output, kind, **options)
    return output.getvalue()


def make_png_bomb(side: int = 50_000) -> bytes:
    """Return a PNG of a few hundred bytes that says it is huge."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def make_pdf(pages: Sequence[str] = ("canary page",), *, password: str | None = None) -> bytes:
    """Return a PDF with a line of text on each page."""
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    fonts = DictionaryObject({NameObject("/Font"): DictionaryObject({NameObject("/F1"): writer._add_object(font)})})
    for text in pages:
        page = writer.add_blank_page(300, 300)
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 10 100 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
        page[NameObject("/Resources")] = fonts
    if password is not None:
        writer.encrypt(password, algorithm="AES-256")
    output = BytesIO()
    writer.write(output)
    return output.getvalue()


def make_pdf_bomb(unpacked_bytes: int = 200_000_000) -> bytes:
    """Return a PDF whose one page unpacks to more than there is."""
    packer = zlib.compressobj(1)
    block = b"BT /F1 12 Tf 1 1 Td (canary) Tj ET\n" * 20_000
    packed = b"".join(packer.compress(block) for _ in range(unpacked_bytes // len(block))) + packer.flush()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Filter/FlateDecode/Length %d>> stream\n%b\nendstream" % (len(packed), packed),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj %b endobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 6\n0000000000 65535 f \n%btrailer <</Root 1 0 R/Size 6>>\nstartxref\n%d\n%%%%EOF" % (
        table,
        len(body),
    )
    return body + end


def make_docx(*paragraphs: str) -> bytes:
    """Return a Word document with these paragraphs."""
    document = docx.Document()
    for text in paragraphs or ("canary paragraph",):
        document.add_paragraph(text)
    output = BytesIO()
    document.save(output)
    return output.getvalue()


def make_zip(entries: Mapping[str, bytes]) -> bytes:
    """Return an archive."""
    output = BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return output.getvalue()


def make_docx_bomb(unpacked_bytes: int = 200_000_000) -> bytes:
    """Return a document that is small, and says how large it becomes."""
    output = BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("word/document.xml", "w") as entry:
        block = b" " * 1_000_000
        for _ in range(unpacked_bytes // len(block)):
            entry.write(block)
    return output.getvalue()


def make_lying_docx_bomb() -> bytes:
    """Return a document that says it becomes small and does not."""
    content = bytearray(make_docx_bomb(50_000_000))
    for at in range(len(content) - 4):
        if content[at : at + 4] == b"PK\x01\x02":
            content[at + 24 : at + 28] = struct.pack("<I", 100)
    return bytes(content)


def make_entity_docx() -> bytes:
    """Return a document whose XML becomes a billion words when its entities are replaced."""
    entities = '<!ENTITY a0 "lol">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    with zipfile.ZipFile(BytesIO(make_docx("x"))) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    xml = entries["word/document.xml"].decode().replace(">x<", ">&a9;<")
    head, tail = xml.split("?>", 1)
    entries["word/document.xml"] = f"{head}?><!DOCTYPE d [{entities}]>{tail}".encode()
    return make_zip(entries)
