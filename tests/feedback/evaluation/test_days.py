"""Annotations and boxes by day."""

import pytest
from corrections import annotation, box

from ml_backend.feedback.evaluation.days import Day, DayTally


@pytest.mark.parametrize(
    ("times", "most", "days"),
    [
        ([], 60, []),
        (["2026-01-01T00:00:00Z"], 60, [Day("2026-01-01", 1, 2)]),
        (["2026-01-01T01:00:00+02:00"], 60, [Day("2025-12-31", 1, 2)]),
        (["not a time"], 60, []),
        (
            ["2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z"],
            60,
            [Day("2026-01-01", 1, 2), Day("2026-01-02", 0, 0), Day("2026-01-03", 1, 2)],
        ),
        (["2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z"], 1, [Day("2026-01-03", 1, 2)]),
    ],
    ids=["none", "one", "another zone", "no time", "a day without work", "the last ones"],
)
def test_days_are_those_of_the_last_changes(times: list[str], most: int, days: list[Day]) -> None:
    """In UTC, with empty days between."""
    tally = DayTally()
    made = [annotation(box("Kite"), box("Box"), number=n, updated_at=each) for n, each in enumerate(times, 1)]
    assert list(tally.through(made)) == made
    assert tally.last(most) == days


@pytest.mark.parametrize("facts", [{"skipped": True}, {"accepted": True}])
def test_what_nobody_drew_does_not_count(facts: dict[str, bool]) -> None:
    """Skipped tasks, and predictions that were accepted in bulk; both pass."""
    tally = DayTally()
    list(tally.through([annotation(box("Kite"), **facts)]))
    assert (tally.last(60), tally.passed) == ([], 1)
