"""What is to be reached, and whether it was: every number that was promised, in one place."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.report import Row, render_number

# What runs on a shared machine cannot tell from the same.
FLAT: Final = 1.25
BOUNDED: Final = 1.1
HEADER: Final = ("target", "goal", "measured", "reach", "")
NOT_HERE: Final = "original"
NOT_MEASURED: Final = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A number to reach.

    Attributes:
        name: what it is of.
        row: the key of the row that has it.
        figure: which of the row's figures, as `Row.get` takes it.
        limit: the number.
        is_most: it must not be passed; else it must be reached.
        unit: of both.
    """

    name: str
    row: str
    figure: str
    limit: float
    is_most: bool
    unit: str


def at_least(name: str, row: str, figure: str, limit: float, unit: str) -> Goal:
    """Return a goal for what cannot be too large."""
    return Goal(name=name, row=row, figure=figure, limit=limit, is_most=False, unit=unit)


def at_most(name: str, row: str, figure: str, limit: float, unit: str) -> Goal:
    """Return a goal for what cannot be too small."""
    return Goal(name=name, row=row, figure=figure, limit=limit, is_most=True, unit=unit)


GOALS: Final[Sequence[Goal]] = (
    at_least("durable acks, PostgreSQL, to Bolt for Python (async)", "acks.postgresql.64", "ratio:bolt", 5, "x"),
    at_least("durable acks, PostgreSQL, to the original's ack without a journal", NOT_HERE, "median", 1.5, "x"),
    at_least("durable acks, PostgreSQL, two processes to one", "acks.postgresql-2.64", "ratio:one", 1.6, "x"),
    at_least("durable acks, SQLite, to Bolt for Python (async)", "acks.sqlite.64", "ratio:bolt", 3, "x"),
    at_most("durable ack, PostgreSQL, p99 at its limit with 64 connections", "acks.postgresql.64", "p99", 50, "ms"),
    at_most("durable ack, PostgreSQL, p99 at 500 per second", "rates.postgresql.500", "p99", 10, "ms"),
    at_least("event to answer", "answers.postgresql", "median", 1_000, "/s"),
    at_least("backlog of events that lead to nothing", "drain.postgresql", "median", 5_000, "/s"),
    at_most("event at idle, 200 to first Slack call, p50", "pickup.postgresql", "p50", 10, "ms"),
    at_least("tools/call, 2025-11-25", "tools.call.2025-11-25", "median", 1_200, "/s"),
    at_least("tools/call, 2026-07-28", "tools.call.2026-07-28", "median", 1_200, "/s"),
    at_most("directory hit", "directory.hit", "median", 1, "µs"),
    at_most("directory miss, p50", "directory.miss.postgresql", "p50", 2, "ms"),
    at_most("change seen by another pod, p99", "directory.change", "p99", 50, "ms"),
    at_most("start to ready, PostgreSQL", "start.postgresql", "median", 2, "s"),
    at_most("start to ready, SQLite", "start.sqlite", "median", 2, "s"),
    at_most("resident memory, idle", "memory.idle.postgresql", "median", 120, "MB"),
    at_most("CPU of an ack, 100,000 connections stored to 1", "stored.many", "ratio:single", FLAT, "x"),
    at_most("directory miss, among 100,000 connections to 1", "stored.miss", "ratio:miss", FLAT, "x"),
    at_most("memory, ever more connections asked for", "memory.stored", "ratio:full", BOUNDED, "x"),
    at_most("CPU of an ack, full journal to an empty one", "journal.acks.many", "ratio:empty", FLAT, "x"),
    at_most("CPU of an event's work, full journal to an empty one", "journal.work.many", "ratio:empty", FLAT, "x"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A goal beside what was measured.

    Attributes:
        measured: None when it was not.
    """

    goal: Goal
    measured: float | None

    @property
    def reach(self) -> float | None:
        """How far it went: 1 is exactly there, more is better."""
        if self.measured is None:
            return None
        if self.goal.is_most:
            return self.goal.limit / self.measured if self.measured else float("inf")
        return self.measured / self.goal.limit

    @property
    def word(self) -> str:
        """What to say of it."""
        if self.goal.row == NOT_HERE:
            return "not part of this repository"
        if self.reach is None:
            return NOT_MEASURED
        return "met" if self.reach >= 1 else "not met"

    def render(self) -> tuple[str, ...]:
        """Return the cells."""
        goal = self.goal
        limit = f"{'≤' if goal.is_most else '≥'} {render_number(goal.limit)} {goal.unit}"
        measured = "" if self.measured is None else f"{render_number(self.measured)} {goal.unit}"
        return (goal.name, limit, measured, "" if self.reach is None else f"{self.reach:.2f}", self.word)

    def render_json(self) -> dict[str, Any]:
        """Return the numbers."""
        goal = self.goal
        return {
            "name": goal.name,
            "row": goal.row,
            "figure": goal.figure,
            "limit": goal.limit,
            "is_most": goal.is_most,
            "unit": goal.unit,
            "measured": self.measured,
            "reach": self.reach,
            "verdict": self.word,
        }


def judge(rows: Iterable[Row], goals: Sequence[Goal] = GOALS) -> list[Verdict]:
    """Return a verdict on each goal."""
    by_key = {row.key: row for row in rows}
    return [
        Verdict(goal=goal, measured=by_key[goal.row].get(goal.figure) if goal.row in by_key else None) for goal in goals
    ]


def render_sum(verdicts: Sequence[Verdict]) -> str:
    """Return how many were met."""
    measured = [each for each in verdicts if each.reach is not None]
    met = sum(each.word == "met" for each in measured)
    return f"{met} of {len(measured)} targets met; {len(verdicts) - len(measured)} not measured."
