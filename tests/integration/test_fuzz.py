"""A small piece of what `make fuzz` does: any input at any door, and nothing that must not be."""

import random
from pathlib import Path

import pytest
from fuzz.campaign import judge, run_campaign
from fuzz.doors import Doors
from fuzz.mutate import CANARY, mutate_bytes, mutate_json
from fuzz.service import Answer, make_raw, open_service
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

pytestmark = pytest.mark.anyio

INPUTS = 600


async def test_any_input_at_any_door_is_answered_well(tmp_path: Path) -> None:
    seed = random.randrange(10**9)  # noqa: S311 - inputs come again from their seed
    with capture_logs() as logs:
        async with open_service(tmp_path) as service:
            report = await run_campaign(service, inputs=INPUTS, seed=seed)
    assert report.problems == [], f"seed {seed}"
    assert sum(report.statuses.values()) == INPUTS
    # Each door was gone through, and each was knocked at in vain.
    for door in ("events", "commands", "interactive", "mcp, first era"):
        assert report.statuses[door, 200], door
        assert report.statuses[door, 400], door
    assert [line for line in logs if line["event"].endswith("crashed")] == []


def test_what_must_not_be_is_seen() -> None:
    sent = f"{CANARY} text"
    for answer in (
        Answer(500, "internal_error"),
        Answer(503, "something else"),
        Answer(-1, ""),
        Answer(-2, "ValueError"),
        Answer(0, ""),
        Answer(400, f"not {CANARY}"),
        Answer(200, f"xoxb-{CANARY}-token-1"),
        Answer(200, "canary-signing-secret-1"),
    ):
        assert judge(answer, sent=sent, is_raw=False), answer
    for answer in (Answer(200, sent), Answer(503, "overloaded"), Answer(404, f"Method not found {CANARY}")):
        assert judge(answer, sent=sent, is_raw=False) is None, answer
    assert judge(Answer(0, ""), sent=sent, is_raw=True) is None


@given(st.integers(min_value=0))
def test_a_seed_gives_the_same_inputs_again(seed: int) -> None:
    def make() -> list[object]:
        chance = random.Random(seed)  # noqa: S311 - as above
        doors = Doors(key="k")
        made = [door(chance) for door in doors.all.values()]
        return [*made, mutate_bytes(chance, make_raw(chance, made[0])), mutate_json(chance, {"a": [1, "b"]})]

    assert make() == make()
