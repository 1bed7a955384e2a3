"""Names of files that strangers chose, made safe to show and to send."""

import unicodedata
from typing import Final
from urllib.parse import quote

MAX_NAME_CHARS: Final = 100
_NAMELESS: Final = "file"
# Control characters, line and paragraph separators, halves of surrogate pairs, and what has no meaning: among the
# "format" ones are those that turn the direction of reading, so that `gpj.exe` looks like `exe.jpg`.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean_file_name(name: str) -> str:
    """Return the name on one line, without folders, unseen characters and backquotes; never empty, never long.

    Args:
        name: as somebody gave it.
    """
    base = name.replace("\\", "/").rpartition("/")[2]
    seen = "".join("" if unicodedata.category(char) in _UNSEEN else char for char in base[: 10 * MAX_NAME_CHARS])
    flat = " ".join(seen.replace("`", "'").split())
    if not flat.strip("."):
        return _NAMELESS
    if len(flat) <= MAX_NAME_CHARS:
        return flat
    # The ending says what it is.
    stem, dot, ending = flat.rpartition(".")
    tail = f"…{dot}{ending}" if stem and len(ending) <= MAX_NAME_CHARS // 4 else "…"
    return flat[: MAX_NAME_CHARS - len(tail)] + tail


def render_disposition(name: str) -> str:
    """Return the Content-Disposition of a download with this name; ASCII, whatever the name is.

    Source: https://www.rfc-editor.org/rfc/rfc6266.
    """
    return f"attachment; filename*=UTF-8''{quote(clean_file_name(name), safe='')}"
