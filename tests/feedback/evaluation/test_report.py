"""Figures of a project, from facts."""

import json
from typing import Any

import pytest
from corrections import AWAY, BOX, MOVED, annotation, box, cell, postprocessor_of, seen
from samples import BALLOON_CONFIG, detections_of

from ml_backend.feedback.evaluation.outcomes import DRAWN_OUTCOMES, SHOWN_OUTCOMES
from ml_backend.feedback.evaluation.report import WORST, Report, make_report
from ml_backend.feedback.evaluation.statistics import Share
from ml_backend.feedback.evaluation.threshold_stats import LabelKey
from ml_backend.feedback.store.annotation_records import Annotation

KITE = LabelKey("label", "Kite")
FOUND = detections_of(("Kite", 0.9, BOX), ("Balloon", 0.2, AWAY))
SHOWN = (box("Kite"),)


def report_on(*annotations: Annotation, xml: str = BALLOON_CONFIG) -> Report:
    """Return the report on annotations under the postprocessor of a label config."""
    return make_report(iter(annotations), postprocessor_of(xml))


def corrected(*drawn: Any, number: int = 1, **more: Any) -> Annotation:
    """Return an annotation that began with a Kite, on an image with a hidden Balloon."""
    return annotation(*drawn, number=number, **({"shown": SHOWN, "images": seen(FOUND), "version": "v1"} | more))


def plain(report: Report) -> Any:
    """Return the report as scripts get it."""
    return json.loads(json.dumps(report.to_json(), allow_nan=False))


def test_report_on_nothing_says_so() -> None:
    """Each label of the config is there, with shares of nothing."""
    report = report_on()
    values = plain(report)
    assert values["basis"] == "There are no annotations yet."
    assert [(each["label"], each["in_config"], each["small_sample"]) for each in values["labels"]] == [
        ("Balloon", True, True),
        ("Kite", True, True),
        ("Box", True, True),
    ]
    assert values["total"]["precision"] == {"hits": 0, "total": 0, "value": None, "low": 0.0, "high": 1.0}
    assert (values["annotations"], values["worst"], values["versions"]) == (0, [], [])
    assert values["seen"]["edits_per_picture"] is values["seen"]["median_seconds"] is None
    assert report.group(saw_predictions=True) == report.group(saw_predictions=False) == (Share(0, 0), Share(0, 0))


@pytest.mark.parametrize(
    ("drawn", "shown", "drawn_outcomes", "precision", "recall"),
    [
        ([box("Kite")], {"kept": 1}, {"found": 1}, Share(1, 1), Share(1, 1)),
        ([box("Kite", MOVED)], {"nudged": 1}, {"found": 1}, Share(1, 1), Share(1, 1)),
        ([box("Box")], {"relabeled": 1}, {"other label": 1}, Share(0, 1), Share(0, 1)),
        ([], {"deleted": 1}, {}, Share(0, 1), Share(0, 0)),
        ([box("Kite"), box("Balloon", AWAY)], {"kept": 1}, {"found": 1, "hidden": 1}, Share(1, 1), Share(1, 2)),
        ([box("Box", AWAY)], {"deleted": 1}, {"other label": 1}, Share(0, 1), Share(0, 1)),
        ([box("Box", (0, 0.8, 0.1, 0.9))], {"deleted": 1}, {"not found": 1}, Share(0, 1), Share(0, 1)),
    ],
    ids=["kept", "nudged", "relabeled", "deleted", "a hidden one added", "another label of a hidden one", "one that nobody found"],
)  # fmt: skip
def test_outcomes_are_counted(
    drawn: Any, shown: dict[str, int], drawn_outcomes: dict[str, int], precision: Share, recall: Share
) -> None:
    """In total, and by the version that was shown."""
    report = report_on(corrected(*drawn))
    total = report.total
    assert (dict(total.shown), dict(total.drawn)) == (shown, drawn_outcomes)
    assert (total.precision, total.recall) == (precision, recall)
    assert report.versions == {"v1": total}
    values = plain(report)["total"]
    assert values["shown"] == dict.fromkeys(SHOWN_OUTCOMES, 0) | shown
    assert values["drawn"] == dict.fromkeys(DRAWN_OUTCOMES, 0) | drawn_outcomes


def test_labels_are_told_apart() -> None:
    """Shown boxes count under what was shown, drawn ones under what was drawn, gone labels after those of the config."""
    report = report_on(corrected(box("<b>&")), corrected(box("Kite"), box("Gone", AWAY), number=2))
    assert report.labels[KITE].precision == Share(1, 2)
    assert report.labels[KITE].recall == Share(1, 1)
    assert [(each["label"], each["in_config"]) for each in plain(report)["labels"]] == [
        ("Balloon", True),
        ("Kite", True),
        ("Box", True),
        ("<b>&", False),
        ("Gone", False),
    ]


@pytest.mark.parametrize(("boxes", "small"), [(29, True), (30, False)])
def test_labels_of_few_boxes_are_marked(boxes: int, small: bool) -> None:
    """Below what a threshold may rest on."""
    shown = tuple(box("Kite", cell(number)) for number in range(boxes))
    (kite,) = (each for each in plain(report_on(corrected(*shown, shown=shown)))["labels"] if each["label"] == "Kite")
    assert kite["small_sample"] is small


def test_skipped_annotations_are_counted_and_nothing_else() -> None:
    """Neither do they make a task one of several annotations."""
    report = report_on(corrected(box("Kite"), task=1), annotation(skipped=True, number=2, task=1, seconds=5.0))
    assert (report.annotations, report.skipped, report.twice) == (1, 1, 0)
    assert report.seen.seconds == report.unseen.seconds == []


def test_annotations_without_pictures_are_counted_by_their_reason() -> None:
    """Whatever the task, and by itself where no task is named."""
    report = report_on(
        annotation(box("Kite"), number=1, problem="task 1: the picture is gone: 404"),
        annotation(box("Kite"), number=2, problem="task 2: the picture is gone: 404", odd={"rotated": 1}),
        annotation(box("Kite"), number=3, problem="the label config cannot be served", seconds=9.0),
    )
    assert report.left_out == {"the picture is gone: 404": 2, "the label config cannot be served": 1}
    assert (report.annotations, report.seen.annotations, report.unseen.annotations) == (3, 0, 0)
    assert report.total.drawn.total() == 0
    assert report.odd == {"rotated": 1}
    assert report.basis() == "There are no annotations yet."


def test_tasks_with_several_annotations_are_told() -> None:
    """Each counts once, however many it has."""
    report = report_on(
        *(corrected(box("Kite"), number=number, task=task) for number, task in enumerate([7, 7, 7, 8, 9, 9]))
    )
    assert (report.twice, report.annotations) == (2, 6)


def test_odd_regions_are_added_up() -> None:
    """By kind."""
    report = report_on(*(corrected(number=number, odd={"rotated": 1, "other control": number}) for number in (1, 2)))
    assert plain(report)["odd_regions"] == {"rotated": 2, "other control": 3}


@pytest.mark.parametrize(
    ("parts", "seen_", "unseen", "audited"),
    [
        ({}, 1, 0, 0),
        ({"shown": ()}, 1, 0, 0),
        ({"shown": None}, 0, 1, 0),
        ({"shown": (), "audited": True}, 0, 1, 1),
    ],
    ids=["boxes seen", "an empty prediction seen", "no prediction", "audited"],
)
def test_people_who_saw_boxes_are_told_from_those_who_did_not(
    parts: dict[str, Any], seen_: int, unseen: int, audited: int
) -> None:
    """Edits and outcomes are of the former alone; boxes that would be shown now are compared with both."""
    report = report_on(corrected(box("Kite"), box("Balloon", AWAY), seconds=5.0, **parts))
    assert (report.seen.annotations, report.unseen.annotations, report.audited) == (seen_, unseen, audited)
    assert (len(report.seen.seconds), len(report.unseen.seconds)) == (seen_, unseen)
    assert report.unseen.edits.total() == 0
    assert bool(report.versions) == bool(seen_)
    assert report.group(saw_predictions=bool(seen_)) == (Share(1, 1), Share(1, 2))
    assert report.group(saw_predictions=not seen_) == (Share(0, 0), Share(0, 0))


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ([corrected()], ["No picture was audited: 1 of 1 annotations"]),
        ([corrected(), corrected(number=2, shown=None)], ["1 of 2 annotations", "1 annotations began without boxes"]),
        ([corrected(), corrected(number=2, shown=(), audited=True)], ["1 of 2 annotations are of audited pictures"]),
    ],
    ids=["nobody audited", "some without predictions", "audited"],
)  # fmt: skip
def test_report_says_what_it_rests_on(annotations: list[Annotation], words: list[str]) -> None:
    """In a sentence that knows of bias."""
    basis = report_on(*annotations).basis()
    assert all(each in basis for each in words)


def test_effort_is_edits_a_picture_and_the_median_of_the_seconds() -> None:
    """Somebody always goes for a coffee, and some are not timed."""
    seconds = [4.0, 6.0, 100_000.0, None]
    drawn = [[box("Kite")], [], [box("Box"), box("Balloon", AWAY)], [box("Kite", MOVED)]]
    report = report_on(
        *(
            corrected(*boxes, number=number, seconds=each)
            for number, (boxes, each) in enumerate(zip(drawn, seconds, strict=True))
        )
    )
    values = plain(report)["seen"]
    assert values["edits"] == {"nudged": 1, "relabeled": 1, "deleted": 1, "added": 1}
    assert (values["edits_per_picture"], values["median_seconds"], values["timed"]) == (1.0, 6.0, 3)


def test_edits_of_people_who_saw_no_boxes_are_unknown() -> None:
    """The page has a dash there; a script reads that they edited nothing."""
    assert plain(report_on(corrected(box("Balloon", AWAY), shown=None)))["unseen"]["edits_per_picture"] is None


def test_worst_pictures_come_by_their_edits_and_then_by_their_ids() -> None:
    """A dozen at most; those that took none are not among them, nor those where no boxes were seen."""
    facts = [
        corrected(*(box("Box", cell(place)) for place in range(number % 5)), number=number, task=100 + number, shown=())
        for number in range(30, 0, -1)
    ]
    facts.append(corrected(*(box("Box", cell(place)) for place in range(50)), number=99, shown=None))
    worst = report_on(*facts).worst
    assert len(worst) == WORST == 12
    assert [(each.edits.total(), each.annotation, each.task) for each in worst] == [
        (4, 4, 104), (4, 9, 109), (4, 14, 114), (4, 19, 119), (4, 24, 124), (4, 29, 129),
        (3, 3, 103), (3, 8, 108), (3, 13, 113), (3, 18, 118), (3, 23, 123), (3, 28, 128),
    ]  # fmt: skip


def test_worst_picture_has_its_boxes_with_their_outcomes() -> None:
    """Shown ones, then drawn ones; and its reference if the task has a single image."""
    (worst,) = report_on(corrected(box("Kite", MOVED), box("Balloon", AWAY))).worst
    assert [(each.label, each.outcome) for each in worst.boxes] == [
        ("Kite", "nudged"),
        ("Kite", "found"),
        ("Balloon", "hidden"),
    ]
    assert (worst.reference, dict(worst.edits)) == ("0.jpg", {"nudged": 1, "added": 1})
    several = BALLOON_CONFIG.replace('value="$image"', 'valueList="$image"')
    (worst,) = report_on(corrected(images=seen(FOUND, FOUND)), xml=several).worst
    assert worst.reference == ""


def test_versions_are_told_apart() -> None:
    """An unknown one too."""
    report = report_on(corrected(box("Kite")), corrected(number=2, version="v2"), corrected(number=3, version=""))
    assert {name: each.precision for name, each in report.versions.items()} == {
        "v1": Share(1, 1),
        "v2": Share(0, 1),
        "": Share(0, 1),
    }
    assert report.total.precision == Share(1, 3)


def test_curve_has_a_point_for_each_threshold_that_shows_something() -> None:
    """With what is shown there, and what of it is right."""
    report = report_on(corrected(box("Kite"), images=seen(detections_of(("Kite", 0.5, BOX), ("Kite", 0.25, AWAY)))))
    curve = report.curve(KITE)
    assert [point["threshold"] for point in curve] == [number / 100 for number in range(1, 51)]
    assert {(point["shown"], point["right"], point["drawn"]) for point in curve[:25]} == {(2, 1, 1)}
    assert {(point["shown"], point["right"], point["drawn"]) for point in curve[25:]} == {(1, 1, 1)}
    assert report.curve(LabelKey("label", "Box")) == report.curve(LabelKey("gone", "Gone")) == []


def test_figures_are_of_the_config_as_it_is_now() -> None:
    """A removed label was shown and counts, with the general threshold."""
    report = report_on(corrected(box("Kite")), xml=BALLOON_CONFIG.replace('"Kite"', '"Dragon"'))
    (kite,) = (each for each in plain(report)["labels"] if each["label"] == "Kite")
    assert (kite["in_config"], kite["threshold"], kite["precision"]["hits"]) == (False, 0.3, 1)
    assert report.group(saw_predictions=True) == (Share(0, 0), Share(0, 1))


def test_asking_changes_no_figure() -> None:
    """A report can be printed twice."""
    report = report_on(corrected(box("Kite"), box("Gone", AWAY)))
    assert plain(report) == plain(report)


@pytest.mark.parametrize(
    ("changes", "xml", "why"),
    [
        ({"lost": True}, BALLOON_CONFIG, "predictions have been deleted"),
        ({"shown": ()}, BALLOON_CONFIG.replace("$image", "$photo"), "does not have their images"),
    ],
    ids=["what was shown is lost", "the label config names another key"],
)
def test_annotations_that_say_nothing_of_shown_boxes_are_told(changes: dict[str, Any], xml: str, why: str) -> None:
    """They are in neither group, and the reader learns how many there are."""
    made = annotation(box("Balloon"), images=seen(detections_of(("Balloon", 0.9, BOX))), **changes)
    figures = make_report([made], postprocessor_of(xml))
    ((reason, count),) = figures.left_out.items()
    assert (why in reason, count, figures.annotations) == (True, 1, 1)
    assert not figures.total.shown
    assert not figures.total.drawn
    assert figures.seen.annotations == figures.unseen.annotations == 0
