import pytest
from stepping_clock import SteppingClock

from slack_mcp.bot.trace import MAX_STEPS, Trace


@pytest.mark.parametrize("count", [1, 25, 35, MAX_STEPS])
def test_steps_are_kept_as_long_as_they_are_not_too_many(count: int) -> None:
    trace = Trace((), clock=SteppingClock())
    for number in range(count):
        trace.note("slack", number=number)
    assert [step["number"] for step in trace.steps] == list(range(count))


def test_of_very_many_steps_the_middle_is_left_out_but_for_uploads() -> None:
    trace = Trace((), clock=SteppingClock())
    for number in range(200):
        trace.note("upload" if number == 100 else "slack", number=number, file="F1")
    numbers = [step["number"] for step in trace.steps]
    assert (numbers[0], numbers[-1], len(numbers)) == (0, 199, MAX_STEPS + 1)
    assert 100 in numbers
    assert trace.uploads == ("F1",)


def test_the_same_step_again_is_counted() -> None:
    trace = Trace((), clock=SteppingClock())
    for _ in range(3):
        trace.note_call("chat.appendStream", None)
    trace.note_call("chat.appendStream", "ratelimited")
    assert [(step.get("times", 1), step.get("error")) for step in trace.steps] == [(3, None), (1, "ratelimited")]
