"""Who gets the tokens of a bucket in one process, and who is told at once that the wait is too long."""

import pytest

from slack_mcp.budget.limits import LEASE_S, Limit
from slack_mcp.budget.line import Line, Waiter
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.budget import Lease, Urgency

PERSON, BATCH = Urgency
NOW_S = 1000.0
LATE_S = NOW_S + 100


def make_line(*, capacity: float = 8, per_s: float = 1) -> Line:
    return Line(ConnectionId("conn_1"), Limit("call:chat.update", capacity, per_s))


def serve(line: Line, granted: int, *, left: float = 0, blocked_s: float = 0, at_s: float = NOW_S) -> None:
    line.serve(Lease(granted=granted, left=left, blocked_s=blocked_s), asked_s=at_s, now_s=at_s)


def tell(waiter: Waiter) -> str:
    if not waiter.ended.is_set():
        return "waits"
    return "refused" if waiter.taken_s is None else "served"


def test_people_come_before_batch_and_both_in_the_order_they_came() -> None:
    line = make_line()
    waiters = [line.join(each, LATE_S) for each in (BATCH, PERSON, BATCH, PERSON)]
    serve(line, 3)
    assert [tell(each) for each in waiters] == ["served", "served", "waits", "served"]
    serve(line, 1)
    assert tell(waiters[2]) == "served"


def test_people_are_asked_for_first_and_batch_only_of_what_is_not_kept_for_them() -> None:
    line = make_line(capacity=8)
    for each in (PERSON, PERSON, BATCH):
        line.join(each, LATE_S)
    request = line.make_request()
    assert (request.wanted, request.spare, request.kept) == (2, 1, 4)
    assert make_line(capacity=1).make_request().kept == 0


def test_a_wait_that_would_be_too_long_ends_at_once_and_says_how_long_it_is() -> None:
    line = make_line(per_s=0.5)
    waiters = [line.join(PERSON, NOW_S + 5) for _ in range(4)]
    serve(line, 0)
    assert [tell(each) for each in waiters] == ["waits", "waits", "refused", "refused"]
    assert [each.wait_s for each in waiters] == [2, 4, 6, 8]
    assert line.ask_again_s == NOW_S + 2


def test_nobody_waits_for_a_blocked_bucket_longer_than_its_time() -> None:
    line = make_line()
    short, long = line.join(PERSON, NOW_S + 5), line.join(PERSON, NOW_S + 60)
    serve(line, 0, blocked_s=30)
    assert (tell(short), short.wait_s) == ("refused", 30)
    assert (tell(long), line.ask_again_s) == ("waits", NOW_S + 30)


def test_who_came_while_the_database_was_asked_is_asked_for_at_once() -> None:
    line = make_line()
    line.join(PERSON, LATE_S)
    line.make_request()
    line.join(PERSON, LATE_S)
    serve(line, 1, left=3)
    assert line.ask_again_s == NOW_S


def test_who_comes_does_not_wait_for_the_time_that_was_told_to_others() -> None:
    line = make_line()
    line.join(BATCH, LATE_S)
    serve(line, 0, left=2)
    assert line.ask_again_s > NOW_S
    line.join(PERSON, LATE_S)
    assert line.ask_again_s < NOW_S


def test_a_single_call_takes_one_token_and_a_row_of_calls_has_a_few_at_hand() -> None:
    line = make_line(capacity=32)
    at_s = NOW_S
    wanted = []
    for _ in range(6):
        at_s += LEASE_S / 4
        if line.take_spare(at_s) is None:
            line.join(PERSON, LATE_S)
            request = line.make_request()
            wanted.append(request.wanted + request.spare)
            serve(line, wanted[-1], at_s=at_s)
    assert wanted[:2] == [1, 1], "nothing is known of the first call's neighbours"
    assert max(wanted) > 1
    assert max(wanted) <= 1 + 32 / 8
    line.join(PERSON, LATE_S)
    serve(line, 1, at_s=at_s + LEASE_S)
    line.join(PERSON, LATE_S)
    assert line.make_request().spare == 0, "it was long ago"


def test_a_token_at_hand_is_used_for_as_long_as_it_is_young() -> None:
    line = make_line(capacity=64)
    serve(line, 2)
    assert line.take_spare(NOW_S + LEASE_S / 2) == NOW_S
    assert line.take_spare(NOW_S + LEASE_S) is None
    serve(line, 1)
    line.drop_spare()
    assert line.take_spare(NOW_S) is None


def test_the_token_of_one_who_has_left_is_anothers() -> None:
    line = make_line()
    waiter, other = line.join(PERSON, LATE_S), line.join(PERSON, LATE_S)
    line.leave(PERSON, other)
    serve(line, 1)
    line.leave(PERSON, waiter)
    assert line.take_spare(NOW_S) == NOW_S
    assert line.take_spare(NOW_S) is None


def test_when_the_database_is_silent_everybody_hears_of_it() -> None:
    line = make_line()
    waiters = [line.join(PERSON, LATE_S), line.join(BATCH, LATE_S)]
    line.fail()
    assert all(each.is_unknown and each.ended.is_set() for each in waiters)
    line.leave(PERSON, waiters[0])
    assert not line.has_waiters


@pytest.mark.parametrize(("later_s", "is_idle"), [(LEASE_S - 0.01, False), (LEASE_S, True)])
def test_a_line_is_forgotten_when_its_tokens_are_too_old(later_s: float, is_idle: bool) -> None:
    line = make_line()
    serve(line, 1)
    assert line.is_idle(NOW_S + later_s) is is_idle
    line.join(PERSON, LATE_S)
    assert not line.is_idle(LATE_S)
