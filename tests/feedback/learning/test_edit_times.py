"""The seconds of edits, from what annotations took."""

import numpy as np
import pytest
from corrections import BOX, MOVED, annotation, box, cell, postprocessor_of, seen
from samples import detections_of

from ml_backend.feedback.learning.edit_times import MIN_TIMED, EditTimes
from ml_backend.feedback.learning.effort import EditSeconds
from ml_backend.feedback.store.annotation_records import Annotation

TRUE = EditSeconds(draw=24, delete=5, adjust=8, relabel=6, look=3)


def timed(count: int, **more: object) -> list[Annotation]:
    """Return annotations with edits of all kinds that took as long as ``TRUE`` says, every tenth with a break of ten minutes."""
    chance = np.random.default_rng(5)
    found = []
    for number in range(count):
        added, deleted, nudged, relabeled = chance.integers(0, 4, 4).tolist()
        shown = [box("Kite", cell(each)) for each in range(deleted)]
        drawn = [box("Kite", cell(20 + each)) for each in range(added)]
        for each in range(nudged):
            top, left, bottom, right = cell(40 + each)
            shown.append(box("Kite", (top, left, bottom, right)))
            drawn.append(box("Kite", (top, left, bottom, right - 0.01)))
        shown += [box("Kite", cell(60 + each)) for each in range(relabeled)]
        drawn += [box("Box", cell(60 + each)) for each in range(relabeled)]
        took = TRUE.draw * added + TRUE.delete * deleted + TRUE.adjust * nudged + TRUE.relabel * relabeled + TRUE.look
        seconds = took * chance.uniform(0.9, 1.1) + 600 * (number % 10 == 0)
        facts = {"shown": tuple(shown), "seconds": seconds, "images": seen(detections_of(("Kite", 0.9, BOX)))} | more
        found.append(annotation(*drawn, number=number + 1, **facts))
    return found


def measured(annotations: list[Annotation]) -> EditSeconds | None:
    """Return what they show."""
    times = EditTimes(postprocessor_of())
    for each in annotations:
        times.add(each)
    return times.measured()


def test_times_show_the_seconds_of_each_edit() -> None:
    """In spite of breaks; the look least of all, since breaks look like it."""
    found = measured(timed(400))
    assert found is not None
    assert (found.draw, found.delete, found.adjust, found.relabel) == pytest.approx(
        (TRUE.draw, TRUE.delete, TRUE.adjust, TRUE.relabel), rel=0.15
    )


@pytest.mark.parametrize(
    ("annotations", "known"),
    [
        (timed(MIN_TIMED), True),
        (timed(MIN_TIMED - 1), False),
        (timed(MIN_TIMED, seconds=None), False),
        (timed(400, seconds=40.0), False),
        (timed(MIN_TIMED, shown=None), False),
        (timed(MIN_TIMED, lost=True), False),
        (timed(MIN_TIMED, audited=True), False),
        (timed(MIN_TIMED, accepted=True), False),
        (timed(MIN_TIMED, skipped=True), False),
    ],
    ids=[
        "enough",
        "one too few",
        "no times",
        "times that do not depend on edits",
        "no prediction",
        "prediction lost",
        "boxes withheld",
        "in bulk",
        "skipped",
    ],
)
def test_enough_annotations_have_to_tell(annotations: list[Annotation], known: bool) -> None:
    """Those with a time, of people who saw boxes."""
    assert (measured(annotations) is not None) == known


def test_edit_that_never_happens_keeps_its_default() -> None:
    """Nobody deletes anything here."""
    images = seen(detections_of(("Kite", 0.9, BOX)))
    facts = [
        annotation(
            box("Kite", MOVED),
            *(box("Kite", cell(50 + each)) for each in range(number % 5)),
            number=number,
            shown=(box("Kite"),),
            seconds=6.0 + 20 * (number % 5),
            images=images,
        )
        for number in range(1, 101)
    ]
    found = measured(facts)
    assert found is not None
    assert found.delete == pytest.approx(EditSeconds().delete, abs=0.01)
