from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import Row, detections_of

from ml_backend.label_studio.controls.control import Label
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.postprocessing.selection import as_score, select

VEHICLE, PERSON = Label("Vehicle", ("Vehicle",)), Label("Person", ("Person",))
CLOTHING = Label("Clothing", ("Clothing",))

BOX = (0.1, 0.1, 0.5, 0.5)
NEARLY = (0.1, 0.1, 0.5, 0.48)  # IoU 0.95 with BOX
PARTLY = (0.1, 0.1, 0.5, 0.35)  # IoU 0.625
LESS = (0.1, 0.1, 0.5, 0.3)  # IoU 0.5
AWAY = (0.6, 0.6, 0.9, 0.9)
THIN = (0.5, 0.5, 0.5000004, 0.9)  # 0.00004 % of the picture's height


def decisions(rows: list[Row], labels: tuple[Label, ...] = (VEHICLE, PERSON, CLOTHING), **control: Any) -> list[str]:
    """Return what becomes of each row, in words."""
    tag = RectangleControl("label", "image", "image", labels, **control)
    decided = select(detections_of(*rows), tag, LabelMap(tag), 0.3)
    assert [decision.row for decision in decided] == list(range(len(rows)))
    return [decision.reason for decision in decided]


@pytest.mark.parametrize(
    ("rows", "control", "expected"),
    [
        ([("Car", 0.81, BOX)], {}, ["kept as Vehicle 0.81"]),
        ([("Wheel", 0.81, BOX)], {}, ["not in this project (Wheel)"]),
        ([("Car", 0.29, BOX)], {}, ["below 0.30 (0.29)"]),
        ([("Car", 0.41, BOX)], {"score_threshold": 0.5}, ["below 0.50 (0.41)"]),
        ([("Car", 0.2, BOX)], {"score_threshold": 0.1}, ["kept as Vehicle 0.20"]),
        ([("Car", 0.2, BOX)], {"score_threshold": 0.0}, ["kept as Vehicle 0.20"]),
        ([("Car", 0.7, BOX)], {"score_threshold": 0.7}, ["kept as Vehicle 0.70"]),
        ([("Car", 0.9, (0.1, 0.1, 0.2, 0.2))], {"min_area": 2}, ["smaller than 2 % of the picture (1.000 %)"]),
        ([("Car", 0.9, (0.1, 0.1, 0.2, 0.2))], {"min_area": 0.5}, ["kept as Vehicle 0.90"]),
        ([("Car", 0.9, (1.1, 0.1, 1.2, 0.2))], {}, ["nothing of the box that can be drawn is inside the picture"]),
        ([("Car", 0.9, BOX)], {"skip": True}, ['model_skip="true"']),
        ([("Car", 0.9, BOX), ("Taxi", 0.8, NEARLY)], {}, ["kept as Vehicle 0.90", "suppressed by #1 (IoU 0.95)"]),
        ([("Taxi", 0.8, NEARLY), ("Car", 0.9, BOX)], {}, ["suppressed by #2 (IoU 0.95)", "kept as Vehicle 0.90"]),
        ([("Car", 0.9, BOX), ("Taxi", 0.8, PARTLY)], {}, ["kept as Vehicle 0.90", "suppressed by #1 (IoU 0.62)"]),
        ([("Car", 0.9, BOX), ("Taxi", 0.8, LESS)], {}, ["kept as Vehicle 0.90", "kept as Vehicle 0.80"]),
        (
            [("Car", 0.9, BOX), ("Taxi", 0.8, LESS)],
            {"nms_iou": 0.4},
            ["kept as Vehicle 0.90", "suppressed by #1 (IoU 0.50)"],
        ),
        ([("Car", 0.9, BOX), ("Car", 0.8, BOX)], {"nms_iou": 1.0}, ["kept as Vehicle 0.90", "kept as Vehicle 0.80"]),
        ([("Person", 0.9, BOX), ("Clothing", 0.8, NEARLY)], {}, ["kept as Person 0.90", "kept as Clothing 0.80"]),
        ([("Car", 0.25, BOX), ("Taxi", 0.2, NEARLY)], {}, ["below 0.30 (0.25)", "below 0.30 (0.20)"]),
        (
            [("Car", 0.8, BOX), ("Bus", 0.9, AWAY)],
            {"max_regions": 1},
            ["over the limit of 1 regions", "kept as Vehicle 0.90"],
        ),
        (
            [("Car", 0.9, THIN), ("Bus", 0.8, AWAY)],
            {"max_regions": 1},
            ["nothing of the box that can be drawn is inside the picture", "kept as Vehicle 0.80"],
        ),
        (
            [("Car", 0.9, BOX), ("Taxi", 0.8, NEARLY), ("Person", 0.7, AWAY)],
            {"max_regions": 2},
            ["kept as Vehicle 0.90", "suppressed by #1 (IoU 0.95)", "kept as Person 0.70"],
        ),
        ([], {}, []),
    ],
    ids=[
        "kept",
        "no label",
        "below the settings' threshold",
        "below the control's threshold",
        "the control's threshold goes before the settings'",
        "a threshold of nothing",
        "a score on the threshold, though float32 has the number a little lower",
        "too small",
        "large enough",
        "outside",
        "control skipped",
        "two classes on one object become one label",
        "the higher score wins, whichever comes first",
        "overlap over the limit",
        "overlap below the limit",
        "limit of the config",
        "limit of one suppresses nothing",
        "other labels do not suppress",
        "what is hidden suppresses nothing and is hidden for its score",
        "over the limit, weakest first",
        "what is too thin to be drawn does not count towards the limit",
        "what is suppressed does not count towards the limit",
        "nothing",
    ],
)
def test_every_detection_has_one_fate(rows: list[Row], control: dict[str, Any], expected: list[str]) -> None:
    """With a reason that has the figures."""
    assert decisions(rows, **control) == expected


def test_labels_threshold_goes_before_the_controls() -> None:
    """Label, then control, then settings."""
    strict = Label("Person", ("Person",), score_threshold=0.9)
    rows: list[Row] = [("Person", 0.8, BOX), ("Car", 0.6, AWAY)]
    assert decisions(rows, (VEHICLE, strict), score_threshold=0.5) == ["below 0.90 (0.80)", "kept as Vehicle 0.60"]


def test_skipped_label_keeps_its_classes_from_others() -> None:
    """A person does not want Taxi at all, not even as Vehicle."""
    taxi = Label("Taxi", ("Taxi",), skip=True)
    assert decisions([("Taxi", 0.9, BOX), ("Car", 0.9, AWAY)], (VEHICLE, taxi)) == [
        'model_skip="true"',
        "kept as Vehicle 0.90",
    ]


@pytest.mark.parametrize(
    ("rows", "labels", "control", "expected"),
    [
        pytest.param(
            [("Car", 0.69, BOX), ("Person", 0.45, NEARLY)],
            (VEHICLE, PERSON),
            {},
            ["kept as Vehicle 0.69", "suppressed by #1 (Vehicle, IoU 0.95)"],
            id="the better one of any label stays",
        ),
        pytest.param(
            [("Car", 0.69, BOX), ("Person", 0.45, PARTLY)],
            (VEHICLE, PERSON),
            {"nms_iou": 0.7},
            ["kept as Vehicle 0.69", "kept as Person 0.45"],
            id="overlap below the limit",
        ),
        pytest.param(
            [("Car", 0.69, BOX), ("Person", 0.45, NEARLY)],
            (Label("Vehicle", ("Vehicle",), score_threshold=0.7), PERSON),
            {},
            ["below 0.70 (0.69)", "kept as Person 0.45"],
            id="what its own threshold hides suppresses nothing",
        ),
        pytest.param(
            [("Car", 0.9, BOX), ("Taxi", 0.8, NEARLY), ("Person", 0.7, NEARLY)],
            (VEHICLE, PERSON),
            {},
            ["kept as Vehicle 0.90", "suppressed by #1 (IoU 0.95)", "suppressed by #1 (Vehicle, IoU 0.95)"],
            id="its own label comes first",
        ),
        pytest.param(
            [("Wheel", 0.9, BOX), ("Person", 0.7, NEARLY)],
            (VEHICLE, PERSON),
            {},
            ["not in this project (Wheel)", "kept as Person 0.70"],
            id="what is not in the project suppresses nothing",
        ),
        pytest.param(
            [("Car", 0.9, BOX), ("Person", 0.7, NEARLY), ("Person", 0.5, AWAY)],
            (VEHICLE, PERSON),
            {"max_regions": 2},
            ["kept as Vehicle 0.90", "suppressed by #1 (Vehicle, IoU 0.95)", "kept as Person 0.50"],
            id="what is suppressed does not count towards the limit",
        ),
    ],
)
def test_suppression_across_labels(
    rows: list[Row], labels: tuple[Label, ...], control: dict[str, Any], expected: list[str]
) -> None:
    """The reason names the label that it was suppressed by."""
    assert decisions(rows, labels, nms_across_labels=True, **control) == expected


_edge = st.sampled_from([0.1, 0.15, 0.2, 0.5])
_found = st.lists(
    st.tuples(
        st.sampled_from(["Car", "Taxi", "Person", "Clothing"]),
        st.floats(0, 1, width=32),
        st.tuples(_edge, _edge, st.just(0.6), st.sampled_from([0.6, 0.7])),
    ),
    max_size=8,
)
_thresholds = st.lists(st.sampled_from([0.0, 0.3, 0.6, 0.9]), min_size=3, max_size=3)


@given(_found, _thresholds)
def test_suppression_across_labels_only_takes_boxes_away(rows: list[Row], thresholds: list[float]) -> None:
    """Whatever the thresholds of labels are, so learning them can look at each label by itself; there it is switched off."""
    each = (VEHICLE, PERSON, CLOTHING)
    labels = tuple(replace(label, score_threshold=value) for label, value in zip(each, thresholds, strict=True))
    found = detections_of(*rows)

    def kept(default: float | None, *, across: bool) -> set[int]:
        control = RectangleControl("label", "image", "image", labels, nms_across_labels=across)
        return {
            decision.row for decision in select(found, control, LabelMap(control), default) if decision.kind == "kept"
        }

    undecided = kept(None, across=True)
    assert undecided == kept(None, across=False)
    assert kept(0.3, across=True) <= kept(0.3, across=False) <= undecided


ONE_LABEL = RectangleControl("label", "image", "image", (Label("Car", ("Car",)),))
AT = st.sampled_from([-0.1, 0.0, 0.3, 1.0, 1.1])
SIDE = st.one_of(st.floats(0, 1e-6), st.floats(-0.2, 0.5))


@given(AT, AT, SIDE, SIDE)
def test_what_is_kept_is_written(top: float, left: float, height: float, width: float) -> None:
    """And nothing else, however thin a box is and however little of it is in the picture."""
    found = detections_of(("Car", 0.9, (top, left, top + height, left + width)))
    (decision,) = select(found, ONE_LABEL, LabelMap(ONE_LABEL), 0.3)
    assert (decision.kind == "kept") == bool(ONE_LABEL.regions((), 0, found, [(0, "Car")]))


@given(st.floats(0, 1))
def test_threshold_shows_a_score_that_is_called_like_it(threshold: float) -> None:
    """Scores are float32 and thresholds are not; the next lower score is hidden."""
    score = float(np.float32(threshold))
    assert score >= as_score(threshold)
    assert float(np.nextafter(np.float32(score), np.float32(-1))) < as_score(threshold)
