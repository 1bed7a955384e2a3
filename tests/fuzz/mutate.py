"""Inputs made from what really comes: recorded payloads, forms and calls, changed by chance in small and in large ways.

Pure: everything follows from the source of chance, so that a seed gives the same inputs again.
"""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

# In what is sent wherever a secret or a text could be: it may come out nowhere.
CANARY: Final = "canary"
REPLAY: Final = Path(__file__).parent.parent / "replay"

_ODD: Final[Sequence[Any]] = (
    None,
    True,
    0,
    -1,
    2**63,
    1e308,
    "",
    "\x00",
    "\ud800",
    "\U0001d54f" * 50,
    CANARY,
    "<!channel> " + CANARY,
    "1700000000.000100",
    "C1",
    "U0",
    "T1",
    [],
    {},
    [[[[[]]]]],
    {"type": CANARY},
    "x" * 5_000,
)
_PIECES: Final[Sequence[bytes]] = (
    b"\x00",
    b"\xff\xfe",
    b"\r\n\r\n",
    b"\r\n",
    b"\n",
    b"%00",
    b"%",
    b"{",
    b"}",
    b"[" * 200,
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"9" * 40,
    b"-0",
    b"1e999",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"POST /slack/events/conn_1 HTTP/1.1\r\n",
    b" " * 100,
    CANARY.encode(),
)


def load_events() -> Sequence[dict[str, Any]]:
    """Return the recorded envelopes, as from the workspace that the fuzzed service knows."""
    found = [
        json.loads(path.read_text(encoding="utf-8"))["body"]
        for folder in ("payloads", "surfaces")
        for path in sorted((REPLAY / folder).glob("**/*.json"))
    ]
    return [body for body in found if isinstance(body, dict)]


def mutate_json(chance: random.Random, value: Any, *, rate: float = 0.08) -> Any:
    """Return the value with some of its parts replaced, left out, doubled or moved."""
    if chance.random() < rate / 3:
        return chance.choice(_ODD)
    if isinstance(value, dict):
        items = [(key, mutate_json(chance, each, rate=rate)) for key, each in value.items()]
        if items and chance.random() < rate:
            items.pop(chance.randrange(len(items)))
        if chance.random() < rate:
            items.append((chance.choice(["type", "event", "user", "text", CANARY, ""]), chance.choice(_ODD)))
        return dict(items)
    if isinstance(value, list):
        changed = [mutate_json(chance, each, rate=rate) for each in value]
        if changed and chance.random() < rate:
            changed *= chance.randrange(1, 20)
        return changed
    if isinstance(value, str) and chance.random() < rate:
        return value[: chance.randrange(len(value) + 1)] + chance.choice(["", CANARY, "\x00", "😀", "<@UBOT>"])
    return value


def mutate_bytes(chance: random.Random, data: bytes, *, times: int = 3) -> bytes:
    """Return the bytes with a few pieces cut, put in, doubled or flipped."""
    changed = bytearray(data)
    for _ in range(chance.randrange(times + 1)):
        place = chance.randrange(len(changed) + 1)
        end = min(len(changed), place + chance.randrange(20))
        match chance.randrange(5):
            case 0:
                del changed[place:end]
            case 1:
                changed[place:place] = chance.choice(_PIECES)
            case 2:
                changed[place:place] = changed[place:end]
            case 3 if place < len(changed):
                changed[place] ^= 1 << chance.randrange(8)
            case _:
                changed[place:end] = chance.randbytes(end - place)
    return bytes(changed)


def dump(value: Any) -> bytes:
    """Return JSON as some sender may write it, lone surrogates included."""
    return json.dumps(value).encode()


def pick(chance: random.Random, *makers: Callable[[], bytes]) -> bytes:
    """Return what one of the makers makes."""
    return chance.choice(makers)()
