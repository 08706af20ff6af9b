"""Outcomes of choices: what was shown against what was submitted, set by set and choice by choice."""

import json
from typing import Any

import pytest
from corrections import SCENE_CONFIG, annotation, chosen, classified, postprocessor_of
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.feedback.evaluation.choice_outcomes import (
    EXAMPLES,
    ChoiceOutcomes,
    ShownAndSubmitted,
    shown_and_submitted,
)
from ml_backend.feedback.evaluation.report import Report, make_report
from ml_backend.feedback.evaluation.statistics import Share
from ml_backend.feedback.store.annotation_records import Annotation


def case(shown: str, submitted: str) -> ShownAndSubmitted:
    """Return a case from words."""
    return ShownAndSubmitted("scene", frozenset(shown.split()), frozenset(submitted.split()))


def counted(*cases: tuple[str, str]) -> ChoiceOutcomes:
    """Return the outcomes of cases that somebody saw, each the case of a task of its own."""
    outcomes = ChoiceOutcomes(("Dog", "Cat", "Boat"))
    for number, each in enumerate(cases, 1):
        outcomes.add(case(*each), classified("", "", number))
    return outcomes


def report_on(*annotations: Annotation, xml: str = SCENE_CONFIG) -> Report:
    """Return the report on annotations of a project of scenes."""
    return make_report(annotations, postprocessor_of(xml))


@pytest.mark.parametrize(
    ("shown", "submitted", "outcome", "pairs"),
    [
        ("Dog", "Dog", "kept", ["Dog>Dog"]),
        ("Dog", "Cat", "changed", ["Dog>Cat"]),
        ("Dog", "", "removed", ["Dog>"]),
        ("", "Dog", "added", [">Dog"]),
        ("", "", "empty", [">"]),
        ("Dog Cat", "Cat Dog", "kept", ["Cat>Cat", "Dog>Dog"]),
        ("Dog Cat", "Dog Boat", "changed", ["Cat>Boat", "Dog>Dog"]),
        ("Dog Cat", "Dog", "changed", ["Cat>", "Dog>Dog"]),
        ("Dog", "Dog Cat", "changed", [">Cat", "Dog>Dog"]),
        ("Dog Cat", "Boat", "changed", [">Boat", "Cat>", "Dog>"]),
        ("Dog", "Cat Boat", "changed", [">Boat", ">Cat", "Dog>"]),
        ("Dog Cat", "", "removed", ["Cat>", "Dog>"]),
        ("", "Dog Cat", "added", [">Cat", ">Dog"]),
    ],
    ids=[
        "the same",
        "another",
        "none any more",
        "one where none was shown",
        "none, and none was shown",
        "the same set in another order",
        "one of two exchanged",
        "one of two removed",
        "one more",
        "one in place of two: nobody knows of which",
        "two in place of one",
        "all removed",
        "several where none was shown",
    ],
)
def test_outcome_and_pairs_of_a_case(shown: str, submitted: str, outcome: str, pairs: list[str]) -> None:
    """Kept means the same set; each shown and each submitted choice is in one pair."""
    of = case(shown, submitted)
    assert of.outcome == outcome
    assert sorted(f"{before}>{after}" for before, after in of.pairs()) == pairs


_sets = st.frozensets(st.sampled_from("abcdef"))


@given(st.lists(st.tuples(_sets, _sets), max_size=5))
def test_rows_of_the_confusion_table_are_the_shown_choices_and_columns_the_submitted_ones(
    cases: list[tuple[frozenset[str], frozenset[str]]],
) -> None:
    """So precision and recall can be read from it; the rest summed changes no sum."""
    outcomes = ChoiceOutcomes()
    for shown, submitted in cases:
        outcomes.add(ShownAndSubmitted("scene", shown, submitted), classified("", ""))
    for choice, (precision, recall) in outcomes.by_choice().items():
        assert precision.total == sum(choice in shown for shown, _ in cases)
        assert recall.total == sum(choice in submitted for _, submitted in cases)
        assert precision.hits == recall.hits == sum(choice in shown & submitted for shown, submitted in cases)
    for largest in (0, 2, 10):
        names, cells = outcomes.table(largest)
        assert len(cells) == len(names) + 2 <= largest + 2
        for place, name in enumerate(names):
            precision, recall = outcomes.by_choice()[name]
            assert (sum(cells[place]), sum(row[place] for row in cells)) == (precision.total, recall.total)
        assert sum(map(sum, cells)) == outcomes.pairs.total()
    assert outcomes.outcomes.total() == len(cases)


def test_figures_of_a_control() -> None:
    """Accuracy is of shown choices; choices of the label config without any figures are there too."""
    outcomes = counted(("Dog", "Dog"), ("Dog", "Dog"), ("Dog", "Cat"), ("Cat", ""), ("", "Cat"), ("", ""))
    assert (outcomes.accuracy, outcomes.shown, outcomes.edits) == (Share(2, 4), 4, 3)
    assert outcomes.by_choice() == {
        "Dog": (Share(2, 3), Share(2, 2)),
        "Cat": (Share(0, 1), Share(0, 2)),
        "Boat": (Share(0, 0), Share(0, 0)),
    }
    assert outcomes.confusions() == [("", "Cat", 1), ("Cat", "", 1), ("Dog", "Cat", 1)]
    assert outcomes.table(1) == (["Dog"], [[2, 1, 0], [0, 0, 1], [0, 1, 1]])


def test_some_tasks_of_each_change_are_named() -> None:
    """To look at; kept choices need none."""
    outcomes = counted(*[("Dog", "Cat")] * 5, ("Dog", "Dog"))
    (confusion,) = outcomes.to_json("scene")["confusions"]
    assert confusion == {"shown": "Dog", "submitted": "Cat", "count": 5, "tasks": list(range(1, EXAMPLES + 1))}


def test_report_is_plain_json() -> None:
    """With intervals, choices that are gone, and null for nothing."""
    (values,) = json.loads(
        json.dumps(report_on(classified("Dog", "Wolf"), classified("", "Dog", 2)).to_json(), allow_nan=False)
    )["choices"]
    assert (values["control"], values["unseen"]) == ("scene", 0)
    assert values["outcomes"] == {"kept": 0, "changed": 1, "removed": 0, "added": 1, "empty": 0}
    assert values["accuracy"] == Share(0, 1).to_json() | {"low": 0.0}
    assert {each["choice"]: each["in_config"] for each in values["choices"]} == {
        "Dog": True,
        "Wolf": False,
        "Cat": True,
        "Boat": True,
    }
    assert [(each["shown"], each["submitted"]) for each in values["confusions"]] == [(None, "Dog"), ("Dog", "Wolf")]


@pytest.mark.parametrize(
    ("more", "unseen", "left_out"),
    [
        ({}, 0, {}),
        ({"shown": None, "shown_choices": None}, 1, {}),
        ({"audited": True}, 0, {}),
        ({"shown_choices": None}, 1, {}),
        ({"skipped": True}, 0, {}),
        ({"accepted": True}, 0, {}),
        ({"lost": True, "shown": None, "shown_choices": None}, 0, {"their predictions have been deleted, so the shown choices are unknown": 1}),
        ({"problem": "task 1: gone"}, 0, {"gone": 1}),
        ({"drawable": {}}, 0, {"the label config does not have their images, control or labels any more": 1}),
    ],
    ids=["seen", "no prediction", "withheld", "of a version without choices", "skipped", "accepted in bulk", "prediction deleted", "no image", "control added later"],
)  # fmt: skip
def test_only_predictions_that_somebody_saw_are_judged(
    more: dict[str, Any], unseen: int, left_out: dict[str, int]
) -> None:
    """The others are counted by their reason, as for boxes."""
    report = report_on(classified("Dog", "Cat", **more))
    scene = report.choices["scene"]
    assert (scene.outcomes.total(), scene.unseen, dict(report.left_out)) == (int(not more), unseen, left_out)
    assert (report.skipped, report.accepted) == (int("skipped" in more), int("accepted" in more))


def test_withheld_choices_are_compared_with_those_of_people_who_did_not_see_them() -> None:
    """Apart from all other figures: nobody kept them because they were there."""
    report = report_on(
        classified("Dog", "Dog"),
        *(classified("Dog", word, n, audited=True) for n, word in enumerate(["Dog", "Cat", ""], 2)),
        classified("", "Cat", 5, audited=True),
    )
    scene = report.choices["scene"]
    assert (scene.accuracy, scene.accuracy_unseen, scene.unseen) == (Share(1, 1), Share(1, 3), 0)
    assert report.basis() == (
        "4 of 5 annotations are of audited pictures, where no choices were shown. Where the two groups differ by more than their "
        "intervals, people kept choices because they were there."
    )
    assert report.seen.edits.total() == 0


def test_two_annotators_of_a_task_are_two() -> None:
    """Both count, and the report says so."""
    report = report_on(*(classified("Dog", word, number, task=7) for number, word in enumerate(["Dog", "Cat"], 1)))
    assert (report.choices["scene"].accuracy, report.twice) == (Share(1, 2), 1)


@pytest.mark.parametrize("fingerprint", ["0123abcd", ""])
def test_another_detector_leaves_choices_as_they_are(fingerprint: str) -> None:
    """Records without detections wait for none."""
    facts = [classified("Dog", "Dog", detector="89abcdef")]
    report = make_report(facts, postprocessor_of(SCENE_CONFIG), fingerprint)
    assert (report.choices["scene"].accuracy, dict(report.left_out)) == (Share(1, 1), {})


def test_images_of_a_list_count_one_by_one_where_each_has_its_own_choices() -> None:
    """By their places; several regions of one place are one set."""
    given = annotation(
        drawable={"scene": ()},
        choices=(chosen("Dog", item=0), chosen("Cat", item=2), chosen("Boat", item=2)),
        shown_choices=(chosen("Dog", item=0), chosen("Dog", item=1), chosen("Cat", "Boat", item=2)),
    )
    assert [each.outcome for each in shown_and_submitted(given, ["scene", "other"])] == ["kept", "removed", "kept"]


def test_effort_counts_choices_where_any_were_shown() -> None:
    """A question that Prelabel never answers is no correction of it."""
    asked = classified("Dog", "Cat", choices=(chosen("Cat"), chosen("good", control="quality")))
    xml = SCENE_CONFIG.replace(
        "</View>", '<Choices name="quality" toName="image"><Choice value="good"/></Choices></View>'
    )
    for drawable, edits in (({"scene": (), "quality": ()}, 1), ({"quality": ()}, None)):
        report = make_report(
            [Annotation(**{name: getattr(asked, name) for name in asked.__slots__} | {"drawable": drawable})],
            postprocessor_of(xml),
        )
        values = report.to_json()["seen"]
        assert values["edits"].get("choices") == edits
        assert values["edits_per_picture"] == (edits or 0)
