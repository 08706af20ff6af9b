"""Threshold stats of labels, and the labels that people gave to classes."""

from typing import Any

import numpy as np
import pytest
from corrections import AWAY, BOX, MOVED, Edges, annotation, box, cell, postprocessor_of, seen
from hypothesis import example, given
from hypothesis import strategies as st
from samples import BALLOON_CONFIG, Row, detections_of

from ml_backend.feedback.evaluation.statistics import Share
from ml_backend.feedback.evaluation.threshold_stats import (
    GRID,
    LabelKey,
    LabelStats,
    begin,
    gather,
    labels_of,
    threshold_in,
)
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.regions import label_of, rectangles_in
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.overrides import LabelOverrides
from ml_backend.postprocessing.selection import as_score

KITE, BALLOON = LabelKey("label", "Kite"), LabelKey("label", "Balloon")


def test_thresholds_have_two_digits() -> None:
    """From 0.01 to 0.99, as people write them."""
    assert [f"{each:g}" for each in GRID.tolist()] == [f"{each / 100:g}" for each in range(1, 100)]


_scored = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans(), st.booleans()), max_size=30)


@given(_scored)
def test_counts_at_every_threshold_are_those_at_each(rows: list[tuple[float, bool, bool]]) -> None:
    """All at once, or one by one."""
    stats = LabelStats([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    shown, right = stats.at_every_threshold()
    assert [Share(int(hits), int(total)) for hits, total in zip(right, shown, strict=True)] == [
        stats.precision(threshold) for threshold in GRID.tolist()
    ]


@given(_scored, st.sampled_from(GRID.tolist()))
def test_annotators_who_saw_boxes_and_those_who_did_not_are_all(
    rows: list[tuple[float, bool, bool]], threshold: float
) -> None:
    """Every box is in one of the two groups."""
    stats = LabelStats([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    seen_, unseen = (stats.precision(threshold, saw_predictions=saw_predictions) for saw_predictions in (True, False))
    assert stats.precision(threshold) == Share(seen_.hits + unseen.hits, seen_.total + unseen.total)


def test_nothing_known_is_no_share() -> None:
    """A label that nobody drew and that was never found."""
    stats = LabelStats()
    assert stats.precision(0.5) == stats.recall(0.5) == Share(0, 0)
    assert [each.tolist() for each in stats.at_every_threshold()] == [[0] * 99, [0] * 99]


def test_score_on_the_threshold_is_shown() -> None:
    """As the postprocessor does it."""
    stats = LabelStats([float(np.float32(0.7))], [True], [True])
    assert [stats.precision(threshold).total for threshold in (0.69, 0.7, 0.71)] == [1, 1, 0]
    assert stats.at_every_threshold()[0].tolist() == [1] * 70 + [0] * 29


@pytest.mark.parametrize(
    ("rows", "drawn", "precision", "recall"),
    [
        ([], [], Share(0, 0), Share(0, 0)),
        ([], [BOX], Share(0, 0), Share(0, 1)),
        ([("Kite", 0.9, BOX)], [], Share(0, 1), Share(0, 0)),
        ([("Kite", 0.9, BOX)], [BOX], Share(1, 1), Share(1, 1)),
        ([("Kite", 0.2, BOX)], [BOX], Share(0, 0), Share(0, 1)),
        ([("Kite", 0.9, BOX)], [AWAY], Share(0, 1), Share(0, 1)),
        ([("Kite", 0.9, BOX), ("Kite", 0.8, MOVED)], [BOX], Share(1, 1), Share(1, 1)),
        ([("Kite", 0.9, (0, 0, 0.4, 0.4)), ("Kite", 0.8, (0, 0, 0.4, 0.24))], [(0, 0, 0.4, 0.3)], Share(1, 2), Share(1, 1)),
        ([("Kite", 0.9, BOX)], [BOX, BOX], Share(1, 1), Share(1, 2)),
        ([("Balloon", 0.9, BOX)], [BOX], Share(0, 0), Share(0, 1)),
        ([("Car", 0.9, BOX)], [BOX], Share(0, 0), Share(0, 1)),
        ([("Kite", 0.9, (1.1, 1.1, 1.2, 1.2))], [BOX], Share(0, 0), Share(0, 1)),
    ],
    ids=[
        "nothing",
        "not found",
        "wrong",
        "right",
        "below the threshold",
        "beside it",
        "suppressed boxes are not shown",
        "two on one object",
        "drawn twice",
        "another label",
        "a class of no label",
        "outside the image",
    ],
)  # fmt: skip
def test_precision_and_recall_of_a_label(rows: list[Row], drawn: list[Edges], precision: Share, recall: Share) -> None:
    """At the threshold of the postprocessor."""
    facts = annotation(*(box("Kite", edges) for edges in drawn), images=seen(detections_of(*rows)))
    known = gather([facts], postprocessor_of()).of(KITE)
    assert (known.precision(0.3), known.recall(0.3)) == (precision, recall)


def test_boxes_below_the_policys_threshold_are_known_too() -> None:
    """Otherwise no threshold could ever be lowered."""
    xml = BALLOON_CONFIG.replace('"Kite"', '"Kite" model_score_threshold="0.9"')
    facts = annotation(box("Kite"), images=seen(detections_of(("Kite", 0.1, BOX))))
    known = gather([facts], postprocessor_of(xml)).of(KITE)
    assert [known.precision(threshold).total for threshold in (0.0, 0.1, 0.11)] == [1, 1, 0]


@pytest.mark.parametrize(
    ("parts", "saw_predictions"),
    [({"shown": ()}, True), ({"shown": None}, False), ({"shown": (), "audited": True}, False)],
    ids=["boxes were seen", "there were none to see", "audited"],
)
def test_stats_say_whether_boxes_were_seen(parts: dict[str, Any], saw_predictions: bool) -> None:
    """People who see a box tend to keep it."""
    facts = annotation(box("Kite"), images=seen(detections_of(("Kite", 0.9, BOX))), **parts)
    known = gather([facts], postprocessor_of()).of(KITE)
    assert known.saw_predictions == [saw_predictions]
    assert known.recall(0.3, saw_predictions=saw_predictions) == Share(1, 1)
    assert known.recall(0.3, saw_predictions=not saw_predictions) == Share(0, 0)


@pytest.mark.parametrize(
    "facts",
    [
        annotation(skipped=True),
        annotation(box("Kite"), problem="task 1: the picture is gone"),
        annotation(box("Kite"), images=seen(detections_of(), key="other")),
        annotation(box("Kite", control="gone"), images=seen(detections_of())),
        annotation(box("Kite", item=3), images=seen(detections_of())),
        annotation(images=seen(detections_of())),
    ],
    ids=["skipped", "without images", "of another key", "of another control", "of another image", "empty"],
)
def test_annotations_without_a_statement_do_not_count(facts: Any) -> None:
    """Neither for a label nor against it."""
    stats = gather([facts], postprocessor_of())
    assert all(each == LabelStats() for each in stats.labels.values())
    assert stats.annotations == (not facts.skipped)


def test_skipped_annotation_says_nothing_whatever_it_holds() -> None:
    """A skipped task says nothing about its boxes."""
    facts = annotation(box("Kite"), skipped=True, images=seen(detections_of(("Kite", 0.9, BOX))))
    assert gather([facts], postprocessor_of()).of(KITE) == LabelStats()


def test_no_annotations_are_no_stats() -> None:
    """Each label of the config is there all the same, in its order."""
    stats = gather([], postprocessor_of())
    assert list(stats.labels) == labels_of(postprocessor_of()) == [BALLOON, KITE, LabelKey("label", "Box")]
    assert all(each == LabelStats() for each in stats.labels.values())
    assert stats == begin(stats.postprocessor)


def test_label_that_the_config_does_not_have_any_more_comes_after_the_others() -> None:
    """Its drawn boxes are counted."""
    facts = annotation(box("Gone <b>"), box(""), images=seen(detections_of(("Kite", 0.9, BOX))))
    stats = gather([facts], postprocessor_of())
    assert [where.label for where in stats.labels] == ["Balloon", "Kite", "Box", "Gone <b>", ""]
    assert stats.of(LabelKey("label", "Gone <b>")).recall(0.3) == Share(0, 1)
    assert stats.of(KITE).precision(0.3) == Share(0, 1)


@pytest.mark.parametrize(
    "xml",
    [BALLOON_CONFIG.replace('"Kite"', '"Kite" model_skip="true"'), BALLOON_CONFIG.replace('toName="image">', 'toName="image" model_skip="true">')],
    ids=["label", "control"],
)  # fmt: skip
def test_skipped_labels_could_never_be_shown(xml: str) -> None:
    """Their drawn boxes are counted, and nothing else."""
    facts = annotation(box("Kite"), images=seen(detections_of(("Kite", 0.9, BOX))))
    known = gather([facts], postprocessor_of(xml)).of(KITE)
    assert (known.scores, known.drawn.total()) == ([], 1)


_place = st.integers(0, 3).map(lambda each: each / 8)
_edges = st.tuples(_place, _place).map(lambda at: (at[0], at[1], at[0] + 0.5, at[1] + 0.5))
_rows = st.lists(st.tuples(st.sampled_from(["Kite", "Balloon"]), st.floats(0, 1, width=32), _edges), max_size=8)


@given(_rows, st.sampled_from(GRID.tolist()))
@example([("Kite", 0.7, (0.0, 0.0, 0.5, 0.5))], 0.7)
def test_boxes_at_a_threshold_are_those_that_it_would_show(rows: list[Row], threshold: float) -> None:
    """Suppression before the threshold and after it give the same."""
    found = detections_of(*rows)
    stats = gather([annotation(images=seen(found))], postprocessor_of())
    shown = postprocessor_of(score_threshold=threshold).predict(
        1, {ImageField("image", is_list=False): [ModelResults(found)]}, "v"
    )["result"]
    for where in (KITE, BALLOON):
        scores = [region["score"] for region in rectangles_in(shown) if label_of(region) == where.label]
        kept = [round(score, 4) for score in stats.of(where).scores if score >= as_score(threshold)]
        assert sorted(kept) == sorted(scores)


@pytest.mark.parametrize(
    ("control", "label", "overrides", "expected"),
    [
        ("", "", LabelOverrides(), 0.3),
        ("", "", LabelOverrides.of({("label", "Kite"): 0.7}), 0.7),
        ("0.5", "", LabelOverrides(), 0.5),
        ("0.5", "", LabelOverrides.of({("label", "Kite"): 0.7}), 0.5),
        ("0.5", "0.6", LabelOverrides.of({("label", "Kite"): 0.7}), 0.6),
        ("", "0", LabelOverrides.of({("label", "Kite"): 0.7}), 0.0),
    ],
    ids=["the settings'", "learned", "the control's", "the control's, not learned", "the label's", "nothing is hidden"],
)
def test_threshold_in_force(control: str, label: str, overrides: LabelOverrides, expected: float) -> None:
    """The label config's own goes before what was learned, and that before the settings'."""
    xml = BALLOON_CONFIG.replace('"Kite"', f'"Kite" model_score_threshold="{label}"' if label else '"Kite"')
    xml = xml.replace('toName="image"', f'toName="image" model_score_threshold="{control}"') if control else xml
    assert threshold_in(postprocessor_of(xml, overrides=overrides), KITE) == expected


@pytest.mark.parametrize(
    ("rows", "drawn", "relabeled"),
    [
        ([("Kite", 0.9, BOX)], [box("Box")], [True]),
        ([("Kite", 0.9, BOX)], [box("Kite")], [False]),
        ([("Kite", 0.9, BOX)], [], [False]),
        ([("Kite", 0.9, BOX), ("Box", 0.1, BOX)], [box("Box")], [False]),
        ([("Kite", 0.9, BOX)], [box("Box", AWAY)], [False]),
    ],
    ids=["another label", "right", "nobody's", "found under its own label", "elsewhere"],
)
def test_box_that_would_be_relabeled(rows: list[Row], drawn: Any, relabeled: list[bool]) -> None:
    """It fits a drawn box of another label, which no box of that label fits."""
    stats = gather([annotation(*drawn, images=seen(detections_of(*rows)))], postprocessor_of())
    assert stats.of(KITE).relabeled == relabeled


def test_boxes_know_their_picture_and_how_sure_their_label_is() -> None:
    """A label that was not learned is certain."""
    facts = [annotation(number=number, images=seen(detections_of(("Kite", 0.9, BOX)))) for number in (1, 2)]
    plain, learned = begin(postprocessor_of()), begin(postprocessor_of())
    learned.sure = {("label", "Kite"): 0.4}
    for stats in (plain, learned):
        for each in facts:
            stats.add_annotation(each)
    assert (plain.of(KITE).pictures, plain.pictures, plain.of(KITE).sure) == ([0, 1], 2, [1, 1])
    assert learned.of(KITE).sure == [0.4, 0.4]


def test_threshold_of_a_label_that_is_gone_is_that_of_all_others() -> None:
    """Whether the label or its control went."""
    postprocessor = postprocessor_of(overrides=LabelOverrides.of({("label", "Gone"): 0.7}))
    assert [threshold_in(postprocessor, LabelKey(*where)) for where in (("label", "Gone"), ("gone", "Kite"))] == [
        0.3,
        0.3,
    ]


def test_stats_add_up_over_annotations() -> None:
    """Two people's annotations of one image count twice."""
    found = detections_of(*(("Kite", 0.9, cell(number)) for number in range(10)))
    facts = [annotation(box("Kite", cell(0)), number=number, task=1, images=seen(found)) for number in (1, 2)]
    stats = gather(iter(facts), postprocessor_of())
    assert stats.of(KITE).precision(0.3) == Share(2, 20)
    assert stats.annotations == 2
    assert np.sum(stats.of(KITE).right) == 2
