"""An agent's event stream: bytes in, chunks out, and from the chunks the answer.

The stream is server-sent events that carry the AI SDK's UI message chunks, one JSON object per event, with `[DONE]` at
the end. Sources: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation and
https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol#data-stream-protocol.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from slack_mcp.core.errors import AgentStreamBrokenError

MAX_EVENT_BYTES: Final = 1024 * 1024
MAX_ANSWER_CHARS: Final = 100_000

_DONE_TYPE: Final = "[DONE]"
DONE: Final[Mapping[str, Any]] = {"type": _DONE_TYPE}
"""The chunk that stands for `data: [DONE]`."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_TOOL_RESULTS: Final = frozenset({"tool-output-available", "tool-output-error", "tool-output-denied"})


class ChunkParser:
    """Makes chunks of the bytes of a stream, however they are cut into pieces.

    Args:
        max_event_bytes: the largest event that is accepted, in bytes; a longer one breaks the stream.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._ends_with_cr = False
        self._is_first_line = True

    def feed(self, data: bytes) -> Iterator[Mapping[str, Any]]:
        """Yield the chunks that these bytes complete; each has a string `type`.

        An event without its closing blank line at the end of the stream is not complete and is never yielded.

        Raises:
            AgentStreamBrokenError: an event is too large, no UTF-8, no JSON object, or has no type.
        """
        for line in self._split(data):
            if line:
                self._take_field(line)
            else:
                yield from self._take_event()
        self._check_size(self._line_bytes)

    def _split(self, data: bytes) -> Iterator[bytes]:
        """Yield the complete lines; what follows the last line end is kept. CR, LF and CRLF end a line."""
        if not data:
            return
        if self._ends_with_cr and data.startswith(b"\n"):
            data = data[1:]
        self._ends_with_cr = data.endswith(b"\r")
        *lines, rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            whole = b"".join((*self._line, line))
            self._line, self._line_bytes = [], 0
            self._check_size(len(whole))
            yield whole.removeprefix(_BYTE_ORDER_MARK) if self._is_first_line else whole
            self._is_first_line = False
        if rest:
            self._line.append(rest)
            self._line_bytes += len(rest)

    def _check_size(self, more_bytes: int) -> None:
        if self._data_bytes + more_bytes > self._max_event_bytes:
            raise AgentStreamBrokenError(f"The agent sent an event of more than {self._max_event_bytes} bytes.")

    def _take_field(self, line: bytes) -> None:
        # A comment is a field without a name; `event`, `id` and `retry` mean nothing here.
        name, _, value = line.partition(b":")
        if name == b"data":
            value = value.removeprefix(b" ")
            self._data.append(value)
            self._data_bytes += len(value) + 1

    def _take_event(self) -> Iterator[Mapping[str, Any]]:
        data = b"\n".join(self._data).strip()
        self._data, self._data_bytes = [], 0
        if not data:
            return
        if data == _DONE_TYPE.encode():
            yield DONE
            return
        try:
            chunk = json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError):
            # The parser's own words quote the text, so they are left out.
            raise AgentStreamBrokenError("The agent sent an event that is not JSON.") from None
        if not isinstance(chunk, dict) or not isinstance(chunk.get("type"), str):
            raise AgentStreamBrokenError("The agent sent an event that is not a message chunk.")
        yield chunk


class AnswerReader:
    """Reads one run's chunks and keeps what is the answer: the text of the steps after the last tool result.

    What an agent says before it uses a tool ("Let me check.") is not the answer, and only the steps that follow tell
    one from the other; so there is no answer before the end.

    Args:
        max_chars: the longest answer that is accepted, in characters.
    """

    def __init__(self, *, max_chars: int = MAX_ANSWER_CHARS) -> None:
        self.is_finished = False
        self._max_chars = max_chars
        self._chars = 0
        self._start()

    def feed(self, chunk: Mapping[str, Any]) -> None:
        """Take the next chunk. Types that say nothing about the answer are ignored.

        Raises:
            AgentStreamBrokenError: the agent reported an error or gave up, or the answer is too long. The agent's own
                words are left out: they may quote the question.
        """
        kind = chunk["type"]
        if kind == "text-delta":
            self._append(chunk)
        elif kind == "text-start":
            self._open[str(chunk.get("id"))] = self._add_part()
        elif kind in _TOOL_RESULTS:
            self._has_tool_result = True
        elif kind == "start-step":
            self._start_step()
        elif kind == "start":
            self._start()
        else:
            self._end(kind, chunk)

    def take_answer(self) -> str:
        """Return the answer, once the run has finished; empty when the agent said nothing.

        Raises:
            AgentStreamBrokenError: the stream ended before the answer did.
        """
        if not self.is_finished:
            raise AgentStreamBrokenError("The agent's answer stopped before its end.")
        return self._join() or self._said_with_tools

    def _start(self) -> None:
        self._parts: list[list[str]] = []
        self._open: dict[str, list[str]] = {}
        self._has_tool_result = False
        self._said_with_tools = ""

    def _start_step(self) -> None:
        if self._has_tool_result:
            # An agent may end with a tool and say nothing after it: then its last words are better than none.
            self._said_with_tools = self._join() or self._said_with_tools
            self._parts = []
        self._has_tool_result = False
        self._open = {}  # a later step may use the same ids again

    def _append(self, chunk: Mapping[str, Any]) -> None:
        delta = chunk.get("delta")
        if not isinstance(delta, str):
            raise AgentStreamBrokenError("The agent sent a piece of text that is not text.")
        self._chars += len(delta)
        if self._chars > self._max_chars:
            raise AgentStreamBrokenError(f"The agent's answer is longer than {self._max_chars} characters.")
        part_id = str(chunk.get("id"))
        if part_id not in self._open:
            self._open[part_id] = self._add_part()
        self._open[part_id].append(delta)

    def _add_part(self) -> list[str]:
        part: list[str] = []
        self._parts.append(part)
        return part

    def _end(self, kind: str, chunk: Mapping[str, Any]) -> None:
        if kind == "error" or (kind == "finish" and chunk.get("finishReason") == "error"):
            raise AgentStreamBrokenError("The agent's server reported an error instead of an answer.")
        if kind == "abort":
            raise AgentStreamBrokenError("The agent's run was cancelled, or replaced by another one in its thread.")
        self.is_finished = self.is_finished or kind in {"finish", _DONE_TYPE}

    def _join(self) -> str:
        return _join_parts(["".join(part) for part in self._parts])


def extract_answer(parts: Sequence[Any]) -> str:
    """Return the answer from the parts of a stored message: its text after the last tool, else all of its text.

    Args:
        parts: the `parts` of an AI SDK UI message, as Mesh lists them; what is malformed is skipped.
    """
    texts: list[str] = []
    before = ""
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            continue
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind == "dynamic-tool" or kind.startswith("tool-"):
            before = _join_parts(texts) or before
            texts = []
    return _join_parts(texts) or before


def _join_parts(parts: Sequence[str]) -> str:
    """Return the parts as paragraphs; a part is a block of text of its own."""
    return "\n\n".join(part for part in parts if part.strip())
