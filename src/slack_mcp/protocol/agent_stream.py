"""An agent's event stream: bytes in, chunks out, and from the chunks the answer.

The stream is server-sent events that carry the AI SDK's UI message chunks, one JSON object per event, with `[DONE]` at
the end. Sources: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation and
https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol#data-stream-protocol.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from slack_mcp.core.errors import AgentStreamBrokenError

MAX_EVENT_BYTES: Final = 8 * 1024 * 1024  # a file that the agent made is one event
MAX_ANSWER_CHARS: Final = 100_000

_DONE_TYPE: Final = "[DONE]"
DONE: Final[Mapping[str, Any]] = {"type": _DONE_TYPE}
"""The chunk that stands for `data: [DONE]`."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
TOOL_RESULTS: Final = frozenset({"tool-output-available", "tool-output-error", "tool-output-denied"})
_TOOL_PREFIX: Final = "tool-"
_STEP: Final[Mapping[str, Any]] = {"type": "start-step"}
_BETWEEN_PARTS: Final = "\n\n"
_LINK: Final = re.compile(r"https://[!-;=?-~]{1,2000}")  # no blanks, and neither `<` nor `>`


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
    """Reads one run's chunks and keeps what is the answer.

    What an agent says before it uses a tool ("Let me check.") need not be part of the answer, and only the steps that
    follow tell one from the other: with `final_only` there is no answer before the end, and it is the text of the steps
    after the last tool result. Without it all that is said is the answer, and is handed out while it is said.

    Args:
        max_chars: the longest answer that is accepted, in characters.
        final_only: see above.
    """

    def __init__(self, *, max_chars: int = MAX_ANSWER_CHARS, final_only: bool = True) -> None:
        self.is_finished = False
        self._max_chars = max_chars
        self._final_only = final_only
        self._chars = 0
        self._handed_out = 0
        self._start()

    def feed(self, chunk: Mapping[str, Any]) -> str:
        """Take the next chunk and return what is new of the answer. Types that say nothing about it are ignored.

        Raises:
            AgentStreamBrokenError: the agent reported an error or gave up, the answer is too long, or it began anew
                after some of it was handed out. The agent's own words are left out: they may quote the question.
        """
        kind = chunk["type"]
        if kind == "text-delta":
            self._append(chunk)
        elif kind == "text-start":
            self._end_part(chunk)
            self._open[str(chunk.get("id"))] = self._add_part()
        elif kind == "text-end":
            self._end_part(chunk)
        elif kind == "file":
            self._add_link(chunk)
        elif kind in TOOL_RESULTS:
            self._has_tool_result = True
        elif kind == "start-step":
            self._start_step()
        elif kind == "start":
            self._restart()
        else:
            self._end(kind, chunk)
        return "" if self._final_only else self._hand_out()

    def take_answer(self) -> str:
        """Return the answer, or what is left of it, once the run has finished; empty when the agent said nothing.

        Raises:
            AgentStreamBrokenError: the stream ended before the answer did.
        """
        if not self.is_finished:
            raise AgentStreamBrokenError("The agent's answer stopped before its end.")
        if self._final_only:
            return self._join() or self._said_with_tools
        self._end_parts()
        return self._hand_out()

    def _start(self) -> None:
        self._parts: list[_Part] = []
        self._open: dict[str, _Part] = {}
        self._has_tool_result = False
        self._said_with_tools = ""

    def _restart(self) -> None:
        if self._handed_out:  # what was shown cannot be taken back here; the next try asks for the whole answer
            raise AgentStreamBrokenError("The agent's run was begun again in the middle of its answer.")
        self._start()

    def _start_step(self) -> None:
        if self._has_tool_result and self._final_only:
            # An agent may end with a tool and say nothing after it: then its last words are better than none.
            self._said_with_tools = self._join() or self._said_with_tools
            self._parts = []
        self._has_tool_result = False
        self._end_parts()  # a later step may use the same ids again

    def _append(self, chunk: Mapping[str, Any]) -> None:
        delta = chunk.get("delta")
        if not isinstance(delta, str):
            raise AgentStreamBrokenError("The agent sent a piece of text that is not text.")
        part_id = str(chunk.get("id"))
        if part_id not in self._open:
            self._open[part_id] = self._add_part()
        self._write(self._open[part_id], delta)

    def _add_link(self, chunk: Mapping[str, Any]) -> None:
        """Take the address of a file that is not sent along for a paragraph of the text."""
        url = chunk.get("url")
        if isinstance(url, str) and _LINK.fullmatch(url):
            part = self._add_part()
            self._write(part, url)
            part.is_ended = True

    def _write(self, part: "_Part", text: str) -> None:
        self._chars += len(text)
        if self._chars > self._max_chars:
            raise AgentStreamBrokenError(f"The agent's answer is longer than {self._max_chars} characters.")
        part.pieces.append(text)

    def _add_part(self) -> "_Part":
        part = _Part()
        self._parts.append(part)
        return part

    def _end_part(self, chunk: Mapping[str, Any]) -> None:
        part = self._open.pop(str(chunk.get("id")), None)
        if part is not None:
            part.is_ended = True

    def _end_parts(self) -> None:
        for part in self._open.values():
            part.is_ended = True
        self._open = {}

    def _end(self, kind: str, chunk: Mapping[str, Any]) -> None:
        if kind == "error" or (kind == "finish" and chunk.get("finishReason") == "error"):
            raise AgentStreamBrokenError("The agent's server reported an error instead of an answer.")
        if kind == "abort":
            raise AgentStreamBrokenError("The agent's run was cancelled, or replaced by another one in its thread.")
        self.is_finished = self.is_finished or kind in {"finish", _DONE_TYPE}

    def _hand_out(self) -> str:
        """Return what is new, part after part: one that begins while an earlier one goes on has to wait for it."""
        new = []
        while self._parts:
            part = self._parts[0]
            text = "".join(part.pieces)
            if part.is_begun or text.strip():
                if not part.is_begun and self._handed_out:
                    new.append(_BETWEEN_PARTS)
                part.is_begun = True
                self._handed_out += len(text)
                new.append(text)
                part.pieces = []
            if not part.is_ended:
                break
            del self._parts[0]
        return "".join(new)

    def _join(self) -> str:
        """Return the parts as paragraphs; a part is a block of text of its own."""
        texts = ("".join(part.pieces) for part in self._parts)
        return _BETWEEN_PARTS.join(text for text in texts if text.strip())


@dataclass(slots=True)
class _Part:
    """A block of text: what of it was not handed out, whether some of it was, and whether no more of it will come."""

    pieces: list[str] = field(default_factory=list)
    is_begun: bool = False
    is_ended: bool = False


def replay_message(parts: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    """Yield chunks that say what a stored message says, as far as they concern an answer: text, tools and files.

    Args:
        parts: the `parts` of an AI SDK UI message, as Mesh lists them; what is malformed is skipped. Where they do not
            tell the steps, one ends behind each tool.
    """
    known = [part for part in parts if isinstance(part, dict) and isinstance(part.get("type"), str)]
    has_steps = any(part["type"] == "step-start" for part in known)
    for number, part in enumerate(known):
        kind = part["type"]
        if kind == "step-start":
            yield _STEP
        elif kind == "text" and isinstance(part.get("text"), str):
            yield {"type": "text-start", "id": str(number)}
            yield {"type": "text-delta", "id": str(number), "delta": part["text"]}
            yield {"type": "text-end", "id": str(number)}
        elif kind == "file":
            yield part
        elif kind == "dynamic-tool" or kind.startswith(_TOOL_PREFIX):
            yield from _replay_tool(part, call_id=str(part.get("toolCallId") or number))
            if not has_steps:
                yield _STEP


def _replay_tool(part: Mapping[str, Any], *, call_id: str) -> Iterator[Mapping[str, Any]]:
    name = part.get("toolName") or str(part["type"]).removeprefix(_TOOL_PREFIX)
    yield {"type": "tool-input-available", "toolCallId": call_id, "toolName": name}
    state = f"{_TOOL_PREFIX}{part.get('state', 'output-available')}"
    if state in TOOL_RESULTS:
        yield {"type": state, "toolCallId": call_id, "output": part.get("output")}
