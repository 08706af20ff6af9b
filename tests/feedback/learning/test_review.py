"""The list of candidates of a project, from annotation records."""

from functools import partial
from typing import Any

import pytest
from corrections import AWAY, BOX, PEOPLE_CONFIG, annotation, box, postprocessor_of, seen
from samples import BALLOON_CONFIG, detections_of

from ml_backend.feedback.evaluation.candidates import KINDS, Review
from ml_backend.feedback.learning.review import review
from ml_backend.feedback.store.annotation_records import Annotation

KITE_FOUND = seen(detections_of(("Kite", 0.9, BOX)))


def review_of(*annotations: Annotation, xml: str = BALLOON_CONFIG, top: int = 20) -> Review:
    """Return the candidates of annotations."""
    return review(lambda: iter(annotations), partial(_own, xml), top)


def _own(xml: str, overrides: Any) -> Any:
    return postprocessor_of(xml, overrides=overrides)


def right(count: int, start: int = 100) -> list[Annotation]:
    """Return annotations of one Kite each that the detector finds."""
    return [annotation(box("Kite"), number=number, images=KITE_FOUND) for number in range(start, start + count)]


def test_nothing_has_no_candidates() -> None:
    """All kinds are there, with none."""
    found = review_of()
    assert (found.annotations, found.drawn, list(found.candidates)) == (0, 0, [])
    assert dict(found.counts) == dict.fromkeys(KINDS, 0)
    assert found.tasks == []


def test_swapped_label_comes_first() -> None:
    """Among many right boxes, before an object that the detector is less sure of."""
    doubtful = seen(detections_of(("Kite", 0.9, BOX), ("Kite", 0.5, AWAY)))
    found = review_of(
        *right(40),
        annotation(box("Box"), number=1, task=11, images=KITE_FOUND),
        annotation(box("Kite"), number=2, task=12, images=doubtful),
    )
    first, second, *_ = found.candidates
    assert (first.kind, first.annotation, first.label, first.detected_label) == ("another label", 1, "Box", "Kite")
    assert (second.kind, second.annotation) == ("overlooked", 2)
    assert first.probability > second.probability
    assert (found.annotations, found.drawn) == (42, 42)
    assert found.tasks == [11, 12]


@pytest.mark.parametrize(
    ("more", "counts"),
    [({}, True), ({"skipped": True}, False), ({"accepted": True}, False), ({"images": (), "problem": "gone"}, False)],
    ids=["submitted", "skipped", "accepted in bulk", "image gone"],
)
def test_annotations_that_nobody_looked_at_do_not_count(more: Any, counts: bool) -> None:
    """Nor do those without images."""
    found = review_of(*right(40), annotation(box("Box"), number=1, **({"images": KITE_FOUND} | more)))
    assert found.annotations == 40 + counts
    assert ("another label" in {each.kind for each in found.candidates}) == counts


def test_list_has_the_most_probable_ones() -> None:
    """By falling probability; equal ones by the id of their annotation. Counts are of all."""
    wrong = [annotation(box("Box"), number=number, images=KITE_FOUND) for number in range(1, 6)]
    found = review_of(*right(80), *wrong, top=3)
    assert [each.annotation for each in found.candidates] == [1, 2, 3]
    assert found.counts["another label"] == 5


def test_improbable_candidates_are_not_listed() -> None:
    """A box where nothing is detected means nothing with a detector that hardly finds such objects."""
    unseen = [annotation(box("Kite"), number=number, images=seen(detections_of())) for number in range(1, 40)]
    found = review_of(*unseen)
    assert (found.drawn, list(found.candidates)) == (39, [])
    assert set(found.counts.values()) == {0}


def test_scores_count_as_corrections_show_them() -> None:
    """A detector whose boxes with 0.4 are always right contradicts with more than 0.4."""
    faint = seen(detections_of(("Kite", 0.4, BOX)))
    annotations = [annotation(box("Kite"), number=number, images=faint) for number in range(2, 82)]
    (candidate,) = review_of(*annotations, annotation(box("Box"), number=1, images=faint)).candidates
    assert candidate.kind == "another label"
    assert candidate.probability > 0.8


def test_boxes_under_labels_of_ones_own_show_it_too() -> None:
    """A class that people call by two labels half of the time each: a box of it is right, and each label with one half."""
    facts = {"images": seen(detections_of(("Person", 0.4, BOX))), "drawable": {"label": ("Worker", "Clothing")}}
    xml = PEOPLE_CONFIG.replace('<Label value="Person"/>', "")
    calls = ["Worker", "Clothing"] * 50
    annotations = [annotation(box(label), number=number, **facts) for number, label in enumerate(calls, 2)]
    missing = annotation(number=1, **facts)
    overlooked = [each for each in review_of(*annotations, missing, xml=xml).candidates if each.kind == "overlooked"]
    assert [each.annotation for each in overlooked] == [1]
    assert 0.4 < overlooked[0].probability < 0.5


def test_label_of_ones_own_is_no_contradiction() -> None:
    """People call the class by a label that the detector does not know: that is learned, and one odd label stands out."""
    facts = {"images": seen(detections_of(("Person", 0.9, BOX))), "drawable": {"label": ("Worker", "Clothing")}}
    xml = PEOPLE_CONFIG.replace('<Label value="Person"/>', "")
    found = review_of(
        *(annotation(box("Worker"), number=number, **facts) for number in range(2, 60)),
        annotation(box("Clothing"), number=1, **facts),
        xml=xml,
    )
    (first,) = found.candidates
    assert (first.kind, first.annotation, first.detected_label) == ("another label", 1, "Worker")


def test_label_that_could_not_be_drawn_contradicts_nothing() -> None:
    """It was added to the label config afterwards."""
    then = annotation(number=1, images=KITE_FOUND, drawable={"label": ("Box",)})
    assert list(review_of(*right(40), then).candidates) == []
    now = annotation(number=1, images=KITE_FOUND)
    assert review_of(*right(40), now).candidates[0].annotation == 1


def test_images_of_a_list_are_told_apart() -> None:
    """A box counts on its own image."""
    xml = BALLOON_CONFIG.replace('value="$image"', 'valueList="$images"')
    found = detections_of(("Kite", 0.9, BOX))
    images = seen(found, found, key="images")
    annotations = [annotation(box("Kite"), box("Kite", item=1), number=n, images=images) for n in range(2, 40)]
    odd = annotation(box("Kite"), box("Box", item=1), number=1, images=images)
    (candidate,) = review_of(*annotations, odd, xml=xml).candidates
    assert (candidate.kind, candidate.annotation, candidate.item) == ("another label", 1, 1)
