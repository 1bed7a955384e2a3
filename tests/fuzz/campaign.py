"""Very many inputs, side by side, each judged; and whether the process stays as large as it was."""

import random
import re
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from fuzz.doors import Doors
from fuzz.mutate import CANARY, mutate_bytes
from fuzz.service import SIGNING_SECRET, Answer, Service, make_raw

SIDE_BY_SIDE: Final = 64
# An answer takes milliseconds; what takes this long never comes.
HANG_S: Final = 30.0
SHARE_OF_SOCKETS: Final = 0.1
CLEAR_EVERY: Final = 20_000
MAX_EXAMPLES: Final = 20
# The defined answer of a service that has too much to do: https://docs.slack.dev/apis/events-api/#retries
DEFINED: Final = frozenset({"overloaded", "store_unavailable"})
# What Python keeps for itself once it was needed.
MAX_GROWTH_BYTES: Final = 48 * 1024 * 1024
_ID: Final = re.compile(r'"id":\s*"[^"]*"')


@dataclass(kw_only=True)
class Report:
    """What became of the inputs.

    Attributes:
        statuses: how often each was answered, by door.
        problems: what must not be, with the seed of its input.
        sizes: the process's resident bytes, a tenth of the inputs apart.
        took_s: all together.
    """

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    took_s: float = 0.0
    slowest_s: float = 0.0

    @property
    def growth_bytes(self) -> int:
        """How much larger the process is at the end than after the first tenth."""
        return self.sizes[-1] - self.sizes[0] if self.sizes else 0


async def run_campaign(
    service: Service, *, inputs: int, seed: int, tell: Callable[[str], None] = lambda _line: None
) -> Report:
    """Send so many inputs and return the report."""
    doors = Doors(key=service.key)
    report = Report()
    began_s = time.monotonic()
    numbers = iter(range(inputs))
    tenth = max(1, inputs // 10)

    async def work() -> None:
        for number in numbers:
            problem = await _try_one(service, doors, report, seed=seed + number)
            if problem and len(report.problems) < MAX_EXAMPLES:
                report.problems.append(problem)
                tell(problem)
            if number % CLEAR_EVERY == CLEAR_EVERY - 1:
                await service.clear()
            if number % tenth == tenth - 1:
                report.sizes.append(get_resident_bytes())
                tell(f"{number + 1:>9} inputs, {report.sizes[-1] // 1024**2} MiB, {len(report.problems)} problems")

    async with anyio.create_task_group() as tasks:
        for _ in range(SIDE_BY_SIDE):
            tasks.start_soon(work)
    report.took_s = time.monotonic() - began_s
    return report


async def _try_one(service: Service, doors: Doors, report: Report, *, seed: int) -> str | None:
    """Send the input of a seed, and return what must not be."""
    chance = random.Random(seed)
    name, make = chance.choice(list(doors.all.items()))
    request = make(chance)
    is_raw = chance.random() < SHARE_OF_SOCKETS
    began_s = time.monotonic()
    try:
        with anyio.fail_after(HANG_S):
            if is_raw:
                name = "socket"
                data = mutate_bytes(chance, make_raw(chance, request))
                answer = await service.send(data, patience_s=HANG_S)
            else:
                answer = await service.ask(request)
    except TimeoutError:
        answer = Answer(-1, "")
    except Exception as error:  # noqa: BLE001 - what the app lets out is what is looked for
        answer = Answer(-2, f"{type(error).__name__}: {error}")
    report.slowest_s = max(report.slowest_s, time.monotonic() - began_s)
    report.statuses[name, answer.status] += 1
    problem = judge(answer, sent=request.body.decode("utf-8", "replace"), is_raw=is_raw)
    return f"seed {seed}, {name} {request.path[:80]}: {problem}" if problem else None


def judge(answer: Answer, *, sent: str, is_raw: bool) -> str | None:
    """Return what is wrong with an answer, None when nothing is."""
    if answer.status <= 0:
        # Over a socket the server may hang up on nonsense.
        return None if answer.status == 0 and is_raw else f"there was no answer: {answer.text}"
    if answer.status >= 500 and not (answer.status == 503 and any(code in answer.text for code in DEFINED)):
        return f"{answer.status}: {answer.text[:300]}"
    if SIGNING_SECRET in answer.text or f"xoxb-{CANARY}" in answer.text:
        return "a secret came out"
    # A challenge is answered with itself, a call by its id, and a method that is not known is named:
    # https://docs.slack.dev/reference/events/url_verification, https://www.jsonrpc.org/specification#response_object
    is_refusal = answer.status >= 400 and "Method not found" not in answer.text
    if is_refusal and CANARY in _ID.sub("", answer.text) and CANARY in sent:
        return f"a refusal quotes what was sent: {answer.text[:300]}"
    return None


def get_resident_bytes() -> int:
    """Return how much memory the process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
