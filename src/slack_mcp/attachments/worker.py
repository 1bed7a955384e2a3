"""The process in which one foreign file is opened: `python -m slack_mcp.attachments.worker FORMAT MEMORY CPU TEXT`.

The file comes on stdin. What is found goes to stdout, one JSON object a line, as it is found: `{"text": …}`,
`{"image": …, "mimetype": …}`, `{"reason": …}`, and `{"end": true}` as a sign that nothing is missing. Before a byte of
the file is read the process gives up the memory, time and files that it has no need of; its parent gives it no
environment and no open socket. A file that unpacks without an end, or crashes its parser, ends here and harms nobody.
The process runs as the service's own user: what keeps a flaw of a parser from more than that is the container around.
"""

import base64
import json
import resource
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

from slack_mcp.attachments.formats import Finding, Findings, Format, Picture
from slack_mcp.attachments.outcomes import Reason
from slack_mcp.protocol.canvas_html import read_canvas_html

_MAX_OPEN_FILES: Final = 64


def run(kind: Format, content: bytes, *, max_text_bytes: int, write: Callable[[Mapping[str, Any]], None]) -> None:
    """Open the file and write what is in it.

    Args:
        kind: what it is taken for.
        content: the whole file.
        max_text_bytes: after so much of text, in UTF-8, nothing more is looked for.
        write: takes the lines.
    """
    left = max_text_bytes
    try:
        for finding in _PARSERS[kind](content):
            # A reason is a text too.
            if isinstance(finding, str) and not isinstance(finding, Reason):
                text = finding.encode("utf-8", "replace")
                write({"text": text[:left].decode("utf-8", "ignore")})
                left -= len(text)
                if left < 0:
                    write({"reason": Reason.CUT})
                    break
            else:
                write(_render(finding))
        write({"end": True})
    except (MemoryError, RecursionError):
        write({"reason": Reason.TOO_COSTLY})


def _render(finding: Finding) -> Mapping[str, Any]:
    if isinstance(finding, Picture):
        return {"image": base64.b64encode(finding.content).decode(), "mimetype": finding.mimetype}
    return {"reason": finding}


def _parse_image(content: bytes) -> Findings:
    from slack_mcp.attachments.parse_image import parse_image  # noqa: PLC0415 - one parser is needed, and under limits

    return parse_image(content)


def _parse_pdf(content: bytes) -> Findings:
    from slack_mcp.attachments.parse_pdf import parse_pdf  # noqa: PLC0415 - the same

    return parse_pdf(content)


def _parse_docx(content: bytes) -> Findings:
    from slack_mcp.attachments.parse_docx import parse_docx  # noqa: PLC0415 - the same

    return parse_docx(content)


def _parse_canvas(content: bytes) -> Findings:
    yield read_canvas_html(content.decode("utf-8", "replace"))


_PARSERS: Final[Mapping[Format, Callable[[bytes], Findings]]] = MappingProxyType(
    {
        Format.IMAGE: _parse_image,
        Format.PDF: _parse_pdf,
        Format.DOCX: _parse_docx,
        Format.CANVAS: _parse_canvas,
    }
)


def limit(memory_bytes: int, cpu_s: int) -> None:
    """Give up what the work does not need, for good."""
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: _MAX_OPEN_FILES,
    }
    for kind, value in limits.items():
        with suppress(ValueError):  # macOS does not limit memory; what the parsers check themselves holds there too
            resource.setrlimit(kind, (value, value))


def main() -> None:
    """Read the file, find, and say what was found."""
    kind, memory_bytes, cpu_s, max_text_bytes = sys.argv[1:]
    limit(int(memory_bytes), int(cpu_s))

    def write(line: Mapping[str, Any]) -> None:
        sys.stdout.buffer.write(json.dumps(line).encode() + b"\n")
        sys.stdout.buffer.flush()

    run(Format(kind), sys.stdin.buffer.read(), max_text_bytes=int(max_text_bytes), write=write)


if __name__ == "__main__":
    main()
