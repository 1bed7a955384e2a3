"""What a fake agent does in a turn: its AI SDK chunks, in the order a real Mesh was seen to send them."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

Chunk = dict[str, Any]

BREAK: Chunk = {"type": "!break"}
"""Not sent: the connection is cut here."""

HOLD: Chunk = {"type": "!hold"}
"""Not sent: nothing more comes until it is released."""

GARBAGE: Chunk = {"type": "!garbage"}
"""Sent as something that is not JSON."""


def text(words: str, part_id: str = "0") -> list[Chunk]:
    half = len(words) // 2
    return [
        {"type": "text-start", "id": part_id},
        {"type": "text-delta", "id": part_id, "delta": words[:half]},
        {"type": "text-delta", "id": part_id, "delta": words[half:]},
        {"type": "text-end", "id": part_id},
    ]


def step(*chunks: Chunk) -> list[Chunk]:
    return [{"type": "start-step"}, *chunks, {"type": "finish-step"}]


def tool_call(call_id: str = "call_1") -> list[Chunk]:
    return [
        {"type": "tool-input-start", "toolCallId": call_id, "toolName": "PROBE_ECHO"},
        {"type": "tool-input-delta", "toolCallId": call_id, "inputTextDelta": "{}"},
        {"type": "tool-input-available", "toolCallId": call_id, "toolName": "PROBE_ECHO", "input": {}},
        {"type": "data-tool-metadata", "id": call_id, "data": {"latencyMs": 3}},
        {"type": "tool-output-available", "toolCallId": call_id, "output": {"content": []}},
    ]


def failed_call(call_id: str = "call_2") -> list[Chunk]:
    return [
        {"type": "tool-input-start", "toolCallId": call_id, "toolName": "conn-avixot5tlpsx0zs8gg2kz_PROBE_FAIL"},
        {"type": "tool-input-available", "toolCallId": call_id, "toolName": "PROBE_FAIL", "input": {}},
        {"type": "tool-output-error", "toolCallId": call_id, "errorText": "SECRET QUESTION"},
    ]


PICTURE = b"\x89PNG picture"
FILE: Chunk = {
    "type": "file",
    "url": f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}",
    "mediaType": "image/png",
}
LINK: Chunk = {"type": "file", "url": "https://files.example/report.pdf", "mediaType": "application/pdf"}


def start(message_id: str) -> Chunk:
    return {"type": "start", "messageId": message_id, "messageMetadata": {"created_at": 1}}


FINISH: Chunk = {"type": "finish", "finishReason": "stop", "messageMetadata": {"usage": {}}}
DONE: Chunk = {"type": "[DONE]"}
ERROR: Chunk = {"type": "error", "errorText": "SECRET QUESTION was refused by the provider"}

SCRIPTS: dict[str, Callable[[str], Sequence[Chunk]]] = {
    "ok": lambda answer: [
        {"type": "data-thread-title", "data": {"title": "A title"}, "transient": True},
        *step(*text(answer)),
        {"type": "message-metadata", "messageMetadata": {"usage": {}}},
        FINISH,
        DONE,
    ],
    "tool": lambda answer: [*step(*text("Let me check. "), *tool_call()), *step(*text(answer)), FINISH, DONE],
    "talk": lambda answer: [
        *step({"type": "reasoning-start", "id": "r"}, {"type": "reasoning-delta", "id": "r", "delta": "Hm."}),
        *step(*text("Let me check. "), *tool_call()),
        *step(*text(" "), *text("And this.", "1"), *failed_call(), FILE),
        *step(*text(answer), LINK),
        FINISH,
        DONE,
    ],
    "error": lambda _: [{"type": "start-step"}, ERROR, ERROR, DONE],
    "abort": lambda answer: [{"type": "start-step"}, *text(answer)[:2], {"type": "abort"}],
    "dies": lambda answer: [{"type": "start-step"}, *text(answer)[:2], BREAK],
    "ends": lambda answer: [{"type": "start-step"}, *text(answer)],
    "hangs": lambda answer: [{"type": "start-step"}, *text(answer)[:2], HOLD],
    "waits": lambda answer: [{"type": "start-step"}, *text(answer)[:2], HOLD, *text(answer)[2:], FINISH, DONE],
    "garbage": lambda _: [{"type": "start-step"}, GARBAGE],
    "silent": lambda _: [*step(), FINISH, DONE],
    "huge": lambda _: [*step(*text("x" * 100_001)), FINISH, DONE],
}


def to_parts(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Return a run's chunks as the parts of the message that is stored of them."""
    parts: list[Chunk] = []
    by_id: dict[str, Chunk] = {}
    for chunk in chunks:
        match chunk["type"]:
            case "start-step":
                parts.append({"type": "step-start"})
            case "text-start":
                by_id[chunk["id"]] = {"type": "text", "text": "", "state": "done"}
                parts.append(by_id[chunk["id"]])
            case "text-delta":
                by_id[chunk["id"]]["text"] += chunk["delta"]
            case "tool-input-start":
                part = {"type": f"tool-{chunk['toolName']}", "toolCallId": chunk["toolCallId"]}
                by_id[chunk["toolCallId"]] = part
                parts.append(part)
            case "tool-output-available" | "tool-output-error":
                by_id[chunk["toolCallId"]]["state"] = chunk["type"].removeprefix("tool-")
            case "file":
                parts.append(chunk)
    return parts


def render_event(chunk: Chunk) -> bytes:
    if chunk is GARBAGE:
        return b"data: {not json\n\n"
    data = "[DONE]" if chunk is DONE else json.dumps(chunk, ensure_ascii=False)
    return f"data: {data}\n\n".encode()
