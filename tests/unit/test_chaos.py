"""The chaos test can fail: whatever it is there to find, it finds."""

import pytest
from chaos import Attempt, Thread, Verdict, count_outside, judge, judge_all
from processes import make_workspace

ASKED = ["one", "two", "three"]


@pytest.mark.parametrize(
    ("shown", "verdict"),
    [
        (["one", "two", "three"], Verdict()),
        (["one", "three"], Verdict(lost=1)),
        ([], Verdict(lost=3)),
        (["one", "two", "two", "three"], Verdict(doubled=1)),
        (["one", "two", "three", "one", "one"], Verdict(doubled=2)),
        (["one", "three", "two"], Verdict(out_of_order=1)),
        (["one", "two", "thinking"], Verdict(lost=1, strange=1)),
    ],
)
def test_what_is_lost_doubled_or_out_of_order_is_found(shown: list[str], verdict: Verdict) -> None:
    assert judge(ASKED, shown) == verdict


def test_what_is_wrong_in_any_thread_is_found() -> None:
    workspace = make_workspace()
    threads = []
    for texts in (["one", "two"], ["two", "one"], ["one"]):
        posted = workspace.say("U0", "C1", "one")
        for text in texts:
            workspace.post(workspace.find_channel("C1"), text, thread_ts=posted.message.ts)
        threads.append(Thread(workspace, "C1", posted.message.ts, ["one", "two"]))
    assert judge_all(threads) == Verdict(lost=1, out_of_order=1)


def test_what_failed_while_nothing_was_wrong_is_found() -> None:
    attempts = [Attempt("", at_s, 0.1, 503) for at_s in (1.0, 5.0, 6.0)]
    assert count_outside(attempts, [(0.0, 2.0), (5.5, 7.0)]) == 1
