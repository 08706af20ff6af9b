"""Annotations and boxes by day."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.feedback.store.database import seconds_of


@dataclass(frozen=True, slots=True)
class Day:
    """The work of one day.

    Attributes:
        date: ISO 8601, UTC.
        annotations: whose last change was on that day.
        boxes: in them.
    """

    date: str
    annotations: int
    boxes: int


@dataclass
class DayTally:
    """Counts annotations and their boxes by the day of their last change; a change on a later day moves an annotation there.

    Skipped annotations and predictions that were accepted in bulk do not count: nobody drew or checked their boxes.

    Attributes:
        passed: annotations of any kind so far.
        annotations: by day.
        boxes: by day.
    """

    passed: int = 0

    annotations: Counter[date] = field(default_factory=Counter)
    boxes: Counter[date] = field(default_factory=Counter)

    def through(self, annotations: Iterable[Annotation]) -> Iterator[Annotation]:
        """Count annotations while they pass."""
        for each in annotations:
            if not each.skipped and not each.accepted and (seconds := seconds_of(each.updated_at)):
                day = datetime.fromtimestamp(seconds, UTC).date()
                self.annotations[day] += 1
                self.boxes[day] += len(each.drawn)
            self.passed += 1
            yield each

    def last(self, most: int) -> list[Day]:
        """Return the days up to the last one with an annotation, from the first one on, but at most so many; empty ones among them."""
        if not self.annotations:
            return []
        first, last = min(self.annotations), max(self.annotations)
        count = min((last - first).days + 1, most)
        days = [last - timedelta(days=before) for before in reversed(range(count))]
        return [Day(day.isoformat(), self.annotations[day], self.boxes[day]) for day in days]
