"""Figures of each annotator, from records."""

import json
from typing import Any

import pytest
from corrections import AWAY, BOX, LESS, MOVED, annotation, box, cell, postprocessor_of, seen
from samples import BALLOON_CONFIG, detections_of

from ml_backend.detections import Detections
from ml_backend.feedback.evaluation.annotators import AnnotatorFigures, anonymize, named
from ml_backend.feedback.evaluation.report import make_report
from ml_backend.feedback.evaluation.statistics import Share
from ml_backend.feedback.store.annotation_records import Annotation

ADA, BEN, CLEO = 11, 12, 13
MANY = tuple(cell(number) for number in range(40))


def figures_of(*annotations: Annotation) -> dict[int | None, AnnotatorFigures]:
    """Return the figures by annotator."""
    return {each.annotator: each for each in make_report(annotations, postprocessor_of()).annotators}


def work(annotator: int | None, *drawn: Any, number: int, **more: Any) -> Annotation:
    """Return an annotation that began with two Kites, on an image where the detector finds these."""
    found = detections_of(("Kite", 0.9, BOX), ("Kite", 0.8, AWAY))
    facts = {"shown": (box("Kite"), box("Kite", AWAY)), "images": seen(found), "annotator": annotator}
    return annotation(*drawn, number=number, **(facts | more))


def test_outcomes_are_told_apart_by_annotator() -> None:
    """What each did with the shown boxes, and the boxes that come from none; by falling number of annotations."""
    found = figures_of(
        work(ADA, box("Kite", MOVED), box("Box", cell(90)), number=1),
        work(BEN, box("Kite"), box("Box", AWAY), number=2),
        work(BEN, box("Kite"), box("Kite", AWAY), number=3),
        work(None, number=4),
    )
    assert [(who, each.annotations, dict(each.shown), each.drawn) for who, each in found.items()] == [
        (BEN, 2, {"kept": 3, "relabeled": 1}, 0),
        (None, 1, {"deleted": 2}, 0),
        (ADA, 1, {"nudged": 1, "deleted": 1}, 1),
    ]


@pytest.mark.parametrize(
    ("more", "shown", "drawn"),
    [
        ({"skipped": True}, None, None),
        ({"accepted": True}, None, None),
        ({"problem": "task 1: gone", "images": ()}, None, None),
        ({"shown": None}, 0, 1),
        ({"shown": (), "audited": True}, 0, 1),
        ({"shown": None, "lost": True}, 0, 0),
    ],
    ids=["skipped", "accepted in bulk", "no image", "began without a prediction", "audited", "its prediction is gone"],
)
def test_annotations_count_as_in_the_rest_of_the_report(more: Any, shown: int | None, drawn: int | None) -> None:
    """Those that the report leaves out count for nobody; drawn boxes are unknown where shown ones are."""
    found = figures_of(work(ADA, box("Kite"), number=1, **more))
    assert [(each.shown.total(), each.drawn) for each in found.values()] == ([] if shown is None else [(shown, drawn)])


@pytest.mark.parametrize(
    ("parts", "median", "timed"),
    [
        ([{"seconds": 4.0 * n} for n in (1, 2, 3, 4, 100)], 6.0, 5),
        ([{"seconds": 4.0}] * 4, None, 4),
        ([{"seconds": 4.0}] * 5 + [{"seconds": None}, {"seconds": 0.0}], 2.0, 5),
        ([{"seconds": 4.0}] * 5 + [{"seconds": 90.0, "shown": (), "audited": True}], 2.0, 5),
        ([{"seconds": 4.0}] * 5 + [{"seconds": 90.0, "shown": None}], 2.0, 5),
        ([{"seconds": 4.0}] * 5 + [{"seconds": 90.0, "shown": None, "lost": True}], 2.0, 5),
    ],
    ids=["a break counts little", "too few", "no time", "audited", "no boxes were shown", "unknown what was shown"],
)
def test_seconds_a_box_are_a_median(parts: list[Any], median: float | None, timed: int) -> None:
    """Of the time by submitted boxes (here two), over annotations whose annotators saw boxes."""
    made = [work(ADA, box("Kite"), box("Kite", AWAY), number=n, **more) for n, more in enumerate(parts, 1)]
    found = figures_of(*made)[ADA]
    assert (found.median_seconds, len(found.seconds_a_box)) == (median, timed)


def test_annotation_without_boxes_has_no_seconds_a_box() -> None:
    """Its time is that of deletions."""
    assert figures_of(work(ADA, number=1, seconds=9.0))[ADA].seconds_a_box == []


@pytest.mark.parametrize(
    ("one", "other", "matched", "boxes"),
    [
        ([box("Kite")], [box("Kite", MOVED)], 1, 2),
        ([box("Kite")], [box("Kite", LESS)], 0, 2),
        ([box("Kite")], [box("Box")], 0, 2),
        ([box("Kite"), box("Kite", MOVED)], [box("Kite")], 1, 3),
        ([box("Kite")], [], 0, 1),
        ([], [], 0, 0),
    ],
    ids=["IoU 0.75", "IoU 0.45", "another label", "one to one", "nothing drawn", "both empty"],
)
def test_agreement_is_that_of_matched_boxes(one: Any, other: Any, matched: int, boxes: int) -> None:
    """The same label, an IoU of at least 0.5, one to one; both annotators have it in common."""
    both = [work(ADA, *one, number=1, task=1), work(BEN, *other, number=2, task=1)]
    found = figures_of(*both)
    for who in (ADA, BEN):
        agreement = found[who].agreement
        assert (agreement.matched, agreement.boxes, agreement.tasks) == (matched, boxes, 1)
        assert agreement.value is None


def test_boxes_agree_on_one_image_of_a_list_only() -> None:
    """The same place on another image is another object."""
    xml = BALLOON_CONFIG.replace('value="$image"', 'valueList="$images"')
    facts = {"task": 1, "images": seen(detections_of(), detections_of(), key="images")}
    both = [work(ADA, box("Kite"), number=1, **facts), work(BEN, box("Kite", item=1), number=2, **facts)]
    people = make_report(both, postprocessor_of(xml)).annotators
    assert [(each.agreement.matched, each.agreement.boxes) for each in people] == [(0, 2), (0, 2)]


def test_agreement_has_an_f1_score() -> None:
    """Of all tasks together, from 30 boxes of both; alone, or with oneself, nobody agrees."""
    mine, theirs = [box("Kite", each) for each in MANY[:20]], [box("Kite", each) for each in MANY[10:30]]
    found = figures_of(
        work(ADA, *mine, number=1, task=1),
        work(BEN, *theirs, number=2, task=1),
        work(ADA, *mine, number=3, task=1),
        work(CLEO, *mine, number=4, task=2),
        work(None, *mine, number=5, task=2),
    )
    assert (found[ADA].agreement.boxes, found[BEN].agreement.tasks, found[CLEO].agreement.tasks) == (80, 1, 0)
    assert found[ADA].agreement.value == found[BEN].agreement.value == 0.5
    assert found[CLEO].agreement.value is None
    values = found[ADA].to_json()["agreement"]
    assert values["low"] < 0.5 < values["high"]


def kites(annotator: int, number: int, right: int, **more: Any) -> Annotation:
    """Return an annotation of 40 shown Kites, of which so many stay."""
    found = detections_of(*(("Kite", 0.9, each) for each in MANY))
    shown = tuple(box("Kite", each) for each in MANY)
    return work(annotator, *shown[:right], number=number, **({"shown": shown, "images": seen(found)} | more))


def test_kept_too_often_is_the_difference_to_audited_images() -> None:
    """Of the boxes that would be shown now, the share that is right by their work, less that on images where nobody saw boxes."""
    audit = {"shown": (), "audited": True}
    found = figures_of(kites(ADA, 1, 40), kites(BEN, 2, 30), kites(CLEO, 3, 28, **audit), kites(BEN, 4, 32, **audit))
    assert found[ADA].excess == (Share(40, 40), Share(60, 80))
    assert found[ADA].excess.value == 0.25
    assert found[BEN].excess.value == 0
    assert found[CLEO].excess.value is None  # saw no boxes
    values = {who: each.to_json()["kept_too_often"] for who, each in found.items()}
    assert 0 < values[ADA]["low"] < 0.25 < values[ADA]["high"]
    assert values[BEN]["low"] < 0 < values[BEN]["high"]


def test_boxes_that_would_not_be_shown_now_say_nothing() -> None:
    """Below the threshold, on either side."""
    faint = seen(detections_of(*(("Kite", 0.29, each) for each in MANY)))
    found = figures_of(kites(ADA, 1, 40, images=faint), kites(BEN, 2, 40, shown=(), audited=True, images=faint))
    assert found[ADA].excess == (Share(0, 0), Share(0, 0))


@pytest.mark.parametrize("more", [{"shown": None}, {"shown": (), "audited": True, "few": True}])
def test_too_few_audited_boxes_say_nothing(more: Any) -> None:
    """Annotations that began without a prediction for other reasons are no audit: somebody chose them."""
    few = more.pop("few", False)
    beside: Detections = detections_of(*(("Kite", 0.9, each) for each in MANY[: 29 if few else 40]))
    found = figures_of(kites(ADA, 1, 40), kites(BEN, 2, 20, **more | {"images": seen(beside)}))
    assert found[ADA].excess.value is None
    assert found[ADA].excess.audited.total == (29 if few else 0)


def test_names_are_those_of_the_users_or_numbers() -> None:
    """Ids where there are no names; neither where annotators are anonymous."""
    report = make_report([work(ADA, number=1), work(ADA, number=2), work(None, number=3)], postprocessor_of())
    people = report.annotators
    assert [each.name for each in people] == ["annotator 11", "(unknown)"]
    named(people, {ADA: "Ada L"}.__getitem__)
    assert [each.name for each in people] == ["Ada L", "(unknown)"]
    anonymize(people)
    values = json.loads(json.dumps(report.to_json(), allow_nan=False))["annotators"]
    assert [(each["annotator"], each["name"]) for each in values] == [(None, "annotator 1"), (None, "annotator 2")]
