"""Differences between overrides, in words."""

from dataclasses import replace

import pytest
from revision_steps import EVIL, learned_at

from ml_backend.feedback.learning.override_changes import Change, changes_between, class_names
from ml_backend.postprocessing.label_split import LabelSplit
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides

PERSON = "/m/01g317"
SPLIT = LabelSplit(("a", "b"), (0.5, 0.5), (0.0,), ((0.0, 1.0), (0.0, -1.0)), (0.2, 0.2))
OTHER = replace(SPLIT, centre=(0.5,))
NAMES = class_names([{"classes": [{"known": "gizmo", "class_name": "Gizmo"}]}])
WHERE, WHICH = ("label", "Kite"), ("label", PERSON)


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (NO_OVERRIDES, NO_OVERRIDES, []),
        (learned_at(0.5), replace(learned_at(0.5), revision=7), []),
        (NO_OVERRIDES, LabelOverrides.of({WHERE: 0.41}), [Change("threshold of Kite", "0.3", "0.41")]),
        (LabelOverrides.of({WHERE: 0.41}), NO_OVERRIDES, [Change("threshold of Kite", "0.41", "0.3")]),
        (NO_OVERRIDES, LabelOverrides.of({}, {WHICH: EVIL}), [Change("class Person", "by its name", EVIL)]),
        (
            LabelOverrides.of({}, {("label", "gizmo"): "a"}),
            LabelOverrides.of({}, {("label", "gizmo"): "b"}),
            [Change("class Gizmo", "a", "b")],
        ),
        (
            NO_OVERRIDES,
            LabelOverrides.of({}, {}, {WHICH: "a"}),
            [Change("class Person and those below it", "by its name", "a")],
        ),
        (
            LabelOverrides.of({}, {}, {}, {WHICH: 0.7}),
            NO_OVERRIDES,
            [Change("lowest score of class Person", "0.7", "that of its label")],
        ),
        (
            LabelOverrides.of({WHERE: 0.4, ("other", "Kite"): 0.4}),
            LabelOverrides.of({WHERE: 0.4, ("other", "Kite"): 0.5}),
            [Change("threshold of Kite (other)", "0.4", "0.5")],
        ),
        (
            NO_OVERRIDES,
            LabelOverrides.of({}, {WHICH: "a"}, splits={WHICH: SPLIT}),
            [Change("class Person", "by its name", "a / b")],
        ),
        (
            LabelOverrides.of({}, {WHICH: "a"}, splits={WHICH: SPLIT}),
            LabelOverrides.of({}, {WHICH: "a"}, splits={WHICH: OTHER}),
            [Change("class Person", "a / b", "a / b, told apart anew")],
        ),
    ],
    ids=[
        "nothing",
        "the number alone",
        "a threshold",
        "taken back",
        "a class",
        "a class of evidence",
        "a branch",
        "a lowest score",
        "of two controls",
        "several labels",
        "the same labels by another rule",
    ],
)
def test_changes_are_told(before: LabelOverrides, after: LabelOverrides, changes: list[Change]) -> None:
    """By the names of labels and classes; what nobody learned is what the settings and names say."""
    assert changes_between(before, after, NAMES, 0.3) == changes
