"""The text of a Word document, in its order, tables row by row."""

import zipfile
from io import BytesIO
from typing import Final

import docx
from docx.table import Table

from slack_mcp.attachments.formats import Findings
from slack_mcp.attachments.outcomes import Reason

MAX_ENTRIES: Final = 2_000
# Unpacked. The library holds all of a document in memory, and of its XML many times its size.
MAX_TOTAL_BYTES: Final = 100_000_000
MAX_XML_BYTES: Final = 20_000_000
_BODY: Final = "word/document.xml"
_XML: Final = (".xml", ".rels")


def parse_docx(content: bytes) -> Findings:
    """Yield the text of each paragraph and of each row of a table.

    Whatever the parser raises for a file that is none goes through: its process ends, which says enough.
    """
    try:
        reason = _check(content)
    except zipfile.BadZipFile:
        reason = Reason.BROKEN
    if reason is not None:
        yield reason
        return
    for block in docx.Document(BytesIO(content)).iter_inner_content():
        if isinstance(block, Table):
            yield from _read_table(block)
        elif block.text.strip():
            yield f"{block.text}\n"


def _check(content: bytes) -> Reason | None:
    """Return why the archive is not unpacked, None when it can be.

    The sizes are those that it declares, and no lie helps: unpacking ends at the declared size.
    """
    with zipfile.ZipFile(BytesIO(content)) as archive:
        entries = archive.infolist()
    if len(entries) > MAX_ENTRIES or sum(each.file_size for each in entries) > MAX_TOTAL_BYTES:
        return Reason.TOO_COSTLY
    if sum(each.file_size for each in entries if each.filename.lower().endswith(_XML)) > MAX_XML_BYTES:
        return Reason.TOO_COSTLY
    if any(each.flag_bits & 1 for each in entries):
        return Reason.LOCKED
    return None if any(each.filename == _BODY for each in entries) else Reason.UNKNOWN_KIND


def _read_table(table: Table) -> Findings:
    for row in table.rows:
        # A cell that spans several columns stands there as often.
        texts = [" ".join(cell.text.split()) for cell in dict.fromkeys(row.cells)]
        if any(texts):
            yield " | ".join(texts) + "\n"
    yield "\n"
