"""The text of a PDF, page by page."""

import time
from io import BytesIO
from typing import Final

from pypdf import PasswordType, PdfReader
from pypdf.errors import LimitReachedError

from slack_mcp.attachments.formats import Findings
from slack_mcp.attachments.outcomes import Reason

MAX_PAGES: Final = 300
# Less than the worker may take altogether: what was read until then is kept.
MAX_CPU_S: Final = 6.0


def parse_pdf(content: bytes) -> Findings:
    """Yield the text of each page, until there are too many of them or they take too long.

    Whatever the parser raises for a file that is none goes through: its process ends, which says enough.
    """
    started_s = time.process_time()
    reader = PdfReader(BytesIO(content), strict=False)
    # Many files have an owner's password, which forbids to print, and none to open them.
    if reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED:
        yield Reason.LOCKED
        return
    reason: Reason | None = None
    has_text = False
    for number, page in enumerate(reader.pages, 1):
        if number > MAX_PAGES or time.process_time() - started_s > MAX_CPU_S:
            reason = Reason.EMPTY
            break
        try:
            text = page.extract_text().strip()
        except (MemoryError, LimitReachedError):
            reason = Reason.TOO_COSTLY
            break
        except Exception:  # noqa: BLE001 - for a page that is damaged the parser raises anything; the others are read
            reason = Reason.BROKEN
            continue
        if text:
            has_text = True
            yield f"{text}\n\n"
    if reason is not None:
        yield Reason.CUT if has_text else reason
