from slack_mcp.web.crowd import RESERVE, Crowd, Place


class Visitor:
    """A connection that knows whether it had to go."""

    def __init__(self) -> None:
        self.is_gone = False

    def give_way(self) -> None:
        self.is_gone = True


def fill(crowd: Crowd, count: int) -> list[Visitor]:
    visitors = [Visitor() for _ in range(count)]
    assert {crowd.admit(each, others=number) for number, each in enumerate(visitors)} == {Place.FREE}
    return visitors


def list_gone(visitors: list[Visitor]) -> list[int]:
    return [number for number, each in enumerate(visitors) if each.is_gone]


def test_the_one_that_rests_for_the_longest_goes_for_a_newcomer() -> None:
    crowd = Crowd(3)
    visitors = fill(crowd, 3)
    crowd.wake(visitors[0])
    crowd.rest(visitors[0])
    assert crowd.admit(Visitor(), others=3) is Place.FREE
    assert list_gone(visitors) == [1]
    assert crowd.admit(Visitor(), others=3) is Place.FREE
    assert list_gone(visitors) == [1, 2]


def test_what_is_in_work_stays_and_a_few_are_let_in_all_the_same() -> None:
    crowd = Crowd(2)
    visitors = fill(crowd, 2)
    for each in visitors:
        crowd.wake(each)
    late = Visitor()
    assert crowd.admit(late, others=2) is Place.RESERVED
    assert list_gone(visitors) == []
    crowd.wake(late)
    assert crowd.admit(Visitor(), others=2 + RESERVE) is Place.NONE
    crowd.rest(visitors[1])
    assert crowd.admit(Visitor(), others=2 + RESERVE) is Place.FREE
    assert list_gone(visitors) == [1]
