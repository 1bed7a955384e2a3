"""Opens foreign files, each in a process of its own that may do nothing but that."""

import base64
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any, Final

import anyio
import anyio.abc

import slack_mcp
from slack_mcp.attachments.formats import Format, Picture
from slack_mcp.attachments.outcomes import Reason

# What the largest picture and half a megabyte of text are in JSON, with room.
MAX_OUTPUT_BYTES: Final = 8 * 1024 * 1024
_MODULE: Final = "slack_mcp.attachments.worker"
_ROOT: Final = str(Path(slack_mcp.__file__).parent.parent)
_CHUNK_BYTES: Final = 65_536
PICTURE_TYPES: Final = ("image/png", "image/jpeg")
_REASONS: Final = frozenset(Reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """What one file may cost.

    Attributes:
        memory_bytes: of address space, the interpreter included.
        cpu_s: of computing, whole seconds.
        wall_s: of waiting for all of it.
    """

    memory_bytes: int = 768 * 1024 * 1024
    cpu_s: int = 10
    wall_s: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What was found in a file.

    Attributes:
        reason: why that is nothing, or not all; None when it is all.
    """

    text: str = ""
    picture: Picture | None = None
    reason: Reason | None = None


class Sandbox:
    """Runs the worker.

    Args:
        limits: of one file.
        max_at_once: how many files are opened at the same time, over all connections.
    """

    def __init__(self, *, limits: WorkerLimits | None = None, max_at_once: int = 2) -> None:
        self._limits = limits or WorkerLimits()
        self._places = anyio.CapacityLimiter(max_at_once)

    async def parse(self, kind: Format, content: bytes, *, max_text_bytes: int) -> Parsed:
        """Return what is in the file; whatever it does to the worker is an answer too.

        Args:
            kind: what it is taken for.
            content: the whole file.
            max_text_bytes: the longest text that is wanted, in UTF-8.
        """
        async with self._places:
            output, returncode = await self._run(kind, content, max_text_bytes)
        return _read(output, returncode)

    async def _run(self, kind: Format, content: bytes, max_text_bytes: int) -> tuple[bytes, int | None]:
        """Return what the worker said, and how it ended: None when it had to be killed."""
        limits = self._limits
        arguments = [kind.value, str(limits.memory_bytes), str(limits.cpu_s), str(max_text_bytes)]
        # Nothing of the environment goes along: it holds the keys of the service.
        async with await anyio.open_process(
            [sys.executable, "-P", "-B", "-m", _MODULE, *arguments],
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            cwd="/",
            env={"PYTHONPATH": _ROOT},
            start_new_session=True,
        ) as process:
            output = bytearray()
            returncode = None
            try:
                with anyio.move_on_after(limits.wall_s):
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(_feed, process, content)
                        is_over = await _collect(process, output)
                        tasks.cancel_scope.cancel()
                    if is_over:
                        returncode = await process.wait()
            finally:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        process.kill()
        return bytes(output), returncode


async def _feed(process: anyio.abc.Process, content: bytes) -> None:
    """Send the file; a worker that has seen enough of it hangs up."""
    stdin = process.stdin
    if stdin is None:
        return
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await stdin.send(content)
        await stdin.aclose()


async def _collect(process: anyio.abc.Process, output: bytearray) -> bool:
    """Gather what the worker says; returns False when it says more than it may."""
    stdout = process.stdout
    if stdout is None:
        return True
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            output += await stdout.receive(_CHUNK_BYTES)
            if len(output) > MAX_OUTPUT_BYTES:
                return False
    return True


def _read(output: bytes, returncode: int | None) -> Parsed:
    """Return what the lines say. They come from a process that a file may have taken over: only shapes are taken."""
    texts: list[str] = []
    picture: Picture | None = None
    reason: Reason | None = None
    is_whole = False
    for fields in map(_decode, output.splitlines()):
        is_whole = is_whole or fields.get("end") is True
        if isinstance(text := fields.get("text"), str):
            texts.append(text)
        if isinstance(name := fields.get("reason"), str) and name in _REASONS:
            reason = Reason(name)
        picture = picture or _read_picture(fields)
    if not is_whole and reason is None:
        # A worker that is killed by its limits, or fails, has met what it cannot take.
        reason = Reason.BROKEN if returncode is not None and returncode > 0 else Reason.TOO_COSTLY
    if reason is not None and any(texts):
        reason = Reason.CUT
    return Parsed(text="".join(texts), picture=picture, reason=reason)


def _read_picture(fields: Mapping[str, Any]) -> Picture | None:
    mimetype, image = fields.get("mimetype"), fields.get("image")
    if not isinstance(image, str) or mimetype not in PICTURE_TYPES:
        return None
    try:
        return Picture(mimetype=mimetype, content=base64.b64decode(image, validate=True))
    except ValueError:
        return None


def _decode(line: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
