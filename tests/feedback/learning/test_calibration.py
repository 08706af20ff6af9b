"""Calibration: thresholds and labels of classes from corrections, and the reasons for none."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import pytest
from corrections import BOX, PEOPLE_CONFIG, annotation, box, cell, postprocessor_of, seen
from samples import BALLOON_CONFIG, Row, detections_of

from ml_backend.detections import Detections
from ml_backend.errors import LabelConfigError
from ml_backend.feedback.evaluation.statistics import Share, wilson
from ml_backend.feedback.evaluation.threshold_stats import GRID, MIN_BOXES, LabelKey, gather
from ml_backend.feedback.learning.calibration import LabelChange, Proposal, propose
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides

KITE = ("label", "Kite")
TARGET = 0.8


def taught(
    annotations: Sequence[Annotation],
    xml: str = BALLOON_CONFIG,
    current: LabelOverrides = NO_OVERRIDES,
    *,
    target: float | None = TARGET,
) -> Proposal:
    """Propose what annotations teach, where the settings' threshold is 0.3."""

    def targets(control: RectangleControl) -> float | None:
        return control.target_precision or target

    return propose(lambda: iter(annotations), xml, current, score_threshold=0.3, targets=targets)


def change_of(proposal: Proposal, label: str = "Kite") -> LabelChange:
    """Return what becomes of a label."""
    (change,) = (each for each in proposal.labels if each.where.label == label)
    return change


def kites(*groups: tuple[float, int, int], class_name: str = "Kite", label: str = "Kite") -> list[Annotation]:
    """Return annotations, each with one detection on an image of its own.

    Args:
        groups: score, how many of them are right, and how many are wrong.
        class_name: what the detector calls them.
        label: what people call those that are right.
    """
    outcomes = chain.from_iterable([(score, True)] * right + [(score, False)] * wrong for score, right, wrong in groups)
    return [
        annotation(
            *([box(label)] if right else []),
            number=number,
            images=seen(detections_of((class_name, score, BOX))),
        )
        for number, (score, right) in enumerate(outcomes, 1)
    ]


@pytest.mark.parametrize(("boxes", "learns"), [(0, False), (1, False), (29, False), (30, True), (31, True)])
def test_threshold_rests_on_thirty_boxes(boxes: int, learns: bool) -> None:
    """All of them right; below that a label keeps what it has, and the reason says how many there are."""
    proposal = taught(kites((0.5, boxes, 0)))
    change = change_of(proposal)
    assert (change.threshold_after, proposal.anything) == ((0.01, True) if learns else (0.3, False))
    assert change.reason == ("" if learns else f"{boxes} boxes could be judged, 30 are needed")
    assert proposal.overrides == (LabelOverrides.of({KITE: 0.01}) if learns else NO_OVERRIDES)


@pytest.mark.parametrize(("tiles", "learns"), [(0, False), (2, True), (3, False)])
def test_boxes_in_tiles_count_for_controls_with_these_tiles(tiles: int, learns: bool) -> None:
    """Thresholds are learned of the boxes that would be shown."""
    facts = [
        replace(each, images=seen(replace(each.images[0].detections, views=("tiles2 1.1",))))
        for each in kites((0.5, 40, 0))
    ]
    proposal = propose(
        lambda: iter(facts), BALLOON_CONFIG, NO_OVERRIDES, score_threshold=0.3, targets=lambda _: TARGET, tiles=tiles
    )
    assert (change_of(proposal).threshold_after == 0.01) == learns


def test_boxes_of_one_picture_count_each() -> None:
    """Thirty on one image, or one on each of thirty."""
    rows: list[Row] = [("Kite", 0.5, cell(number)) for number in range(30)]
    drawn = [box("Kite", cell(number)) for number in range(30)]
    assert change_of(taught([annotation(*drawn, images=seen(detections_of(*rows)))])).threshold_after == 0.01


@pytest.mark.parametrize(
    ("groups", "threshold"),
    [
        ([(0.6, 40, 0), (0.5, 0, 40)], 0.51),
        ([(0.6, 40, 0), (0.5, 0, 2)], 0.01),
        ([(0.6, 40, 0), (0.2, 0, 40)], 0.21),
        ([(0.9, 20, 0), (0.6, 20, 0), (0.5, 0, 40)], 0.51),
        ([(0.6, 40, 0), (0.5, 40, 0), (0.4, 0, 40)], 0.41),
        ([(0.9, 100, 0), (0.8, 0, 20), (0.7, 100, 0), (0.6, 0, 200)], 0.61),
        ([(0.985, 40, 0), (0.975, 0, 40)], 0.98),
        ([(0.005, 0, 500), (0.5, 40, 0)], 0.01),
    ],
    ids=[
        "just above what is wrong",
        "a few wrong ones do no harm",
        "lowered below the settings' threshold",
        "two groups together are enough",
        "the lowest, not the best",
        "past a bad stretch further up",
        "high up",
        "the lowest that there is",
    ],
)
def test_lowest_threshold_that_reaches_the_target_is_learned(
    groups: list[tuple[float, int, int]], threshold: float
) -> None:
    """So that as much as possible is shown."""
    change = change_of(taught(kites(*groups)))
    assert (change.threshold_after, change.reason) == (threshold, "")
    assert change.precision_after.interval[0] >= TARGET


def test_no_lower_threshold_would_reach_the_target() -> None:
    """By looking at each of them, with right and wrong ones mixed over the whole range."""
    facts = kites(*((score / 100, score // 10, (100 - score) // 20) for score in range(2, 100, 3)))
    change = change_of(taught(facts))
    known = gather(facts, postprocessor_of()).of(LabelKey(*KITE))
    reached = [
        threshold
        for threshold in GRID.tolist()
        for share in [known.precision(threshold)]
        if share.total >= MIN_BOXES and wilson(*share)[0] >= TARGET
    ]
    assert change.threshold_after == min(reached)
    assert 0.01 < change.threshold_after < 0.99


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ([(0.5, 20, 20)], "precision is surely above 0.35 at most (at 0.01), 0.8 is wanted"),
        ([(0.5, 0, 40)], "precision is surely above 0.00 at most (at 0.01), 0.8 is wanted"),
        ([(0.6, 29, 0), (0.5, 0, 20)], "precision is surely above 0.45 at most (at 0.01), 0.8 is wanted"),
        ([(0.6, 30, 10), (0.5, 0, 20)], "precision is surely above 0.60 at most (at 0.51), 0.8 is wanted"),
    ],
    ids=["half are wrong", "all are wrong", "too few are left above the wrong ones", "better, and not enough"],
)
def test_target_that_no_threshold_reaches_teaches_nothing(groups: list[tuple[float, int, int]], reason: str) -> None:
    """The label keeps what it has, and the reason says how far one could get."""
    proposal = taught(kites(*groups))
    assert (change_of(proposal).reason, proposal.overrides, proposal.anything) == (reason, NO_OVERRIDES, False)


@pytest.mark.parametrize(
    ("xml", "reason", "threshold"),
    [
        (BALLOON_CONFIG.replace('"Kite"', '"Kite" model_score_threshold="0.4"'), "the label config states 0.4", 0.4),
        (BALLOON_CONFIG.replace('toName="image">', 'toName="image" model_score_threshold="0">'), "the label config states 0", 0.0),
        (BALLOON_CONFIG.replace('"Kite"', '"Kite" model_skip="true"'), "the label config hides the label (model_skip)", 0.3),
        (BALLOON_CONFIG.replace('toName="image">', 'toName="image" model_skip="true">'), "the label config hides the label (model_skip)", 0.3),
    ],
    ids=["threshold of the label", "threshold of the control", "label skipped", "control skipped"],
)  # fmt: skip
@pytest.mark.parametrize("current", [NO_OVERRIDES, LabelOverrides.of({KITE: 0.7})], ids=["nothing", "learned before"])
def test_label_config_wins(xml: str, reason: str, threshold: float, current: LabelOverrides) -> None:
    """Whatever corrections say, and whatever they said before."""
    proposal = taught(kites((0.6, 40, 0), (0.5, 0, 40)), xml, current)
    change = change_of(proposal)
    assert (change.reason, proposal.anything) == (reason, False)
    if "model_skip" not in reason:
        assert change.threshold_before == change.threshold_after == threshold


def test_each_control_has_its_own_target() -> None:
    """As its ``model_target_precision`` says."""
    facts = kites((0.9, 40, 0), (0.5, 70, 10))
    assert change_of(taught(facts, target=0.9)).threshold_after == 0.51
    strict = BALLOON_CONFIG.replace('toName="image">', 'toName="image" model_target_precision="0.7">')
    change = change_of(taught(facts, strict, target=0.9))
    assert (change.target, change.threshold_after) == (0.7, 0.01)


@pytest.mark.parametrize(
    ("facts", "threshold"),
    [([], 0.7), (kites((0.5, 20, 20)), 0.7), (kites((0.5, 40, 0)), 0.01)],
    ids=["no annotation any more", "target out of reach", "better known now"],
)
def test_what_was_learned_stays_until_something_better_is_known(facts: list[Annotation], threshold: float) -> None:
    """Too few boxes are no reason to forget."""
    proposal = taught(facts, current=LabelOverrides.of({KITE: 0.7}))
    assert proposal.overrides == LabelOverrides.of({KITE: threshold})
    assert (change_of(proposal).threshold_before, change_of(proposal).threshold_after) == (0.7, threshold)


def test_learned_thresholds_of_labels_that_are_gone_go_too() -> None:
    """No revision is needed then."""
    proposal = taught([], current=LabelOverrides.of({("label", "Gone"): 0.7, ("gone", "Kite"): 0.7}))
    assert (proposal.overrides, proposal.anything) == (NO_OVERRIDES, False)


def test_no_annotations_teach_nothing() -> None:
    """Each label says why."""
    proposal = taught([])
    assert (proposal.annotations, proposal.anything, proposal.relabelings) == (0, False, [])
    assert [each.where.label for each in proposal.labels] == ["Balloon", "Kite", "Box"]
    assert {each.reason for each in proposal.labels} == {"0 boxes could be judged, 30 are needed"}


def test_annotations_without_a_statement_teach_nothing() -> None:
    """Skipped, without images, or under a label that the config does not have any more."""
    facts = [annotation(skipped=True, number=number) for number in range(1, 41)]
    facts += [annotation(box("Kite"), problem="gone", number=number) for number in range(41, 81)]
    facts += kites((0.9, 40, 0), class_name="Car", label="Gone")
    proposal = taught(facts)
    assert (proposal.anything, proposal.overrides, proposal.relabelings) == (False, NO_OVERRIDES, [])


def test_label_config_that_cannot_be_served_is_an_error() -> None:
    """Rather than nothing learned."""
    with pytest.raises(LabelConfigError):
        taught([], "<View/>")


def workers(count: int, *others: Annotation, found: Detections | None = None) -> list[Annotation]:
    """Return annotations in which a Person is called Worker, and some more."""
    images = seen(found or detections_of(("Person", 0.9, BOX)))
    return [annotation(box("Worker"), number=number, images=images) for number in range(1, count + 1)] + list(others)


def persons(count: int, label: str = "Person") -> list[Annotation]:
    """Return annotations in which a Person is called by some label; empty for nobody's."""
    drawn = [box(label)] if label else []
    images = seen(detections_of(("Person", 0.9, BOX)))
    return [annotation(*drawn, number=number, images=images) for number in range(1001, 1001 + count)]


@pytest.mark.parametrize(
    ("facts", "moves"),
    [
        (workers(8), False),
        (workers(9), True),
        (workers(40, *persons(31)), True),
        (workers(40, *persons(32)), False),
        (workers(20, *persons(100, "")), True),
        (workers(20, *persons(5, "Clothing")), True),
        (persons(40, "Gone"), False),
        (persons(40, ""), False),
        (persons(40), False),
        ([], False),
    ],
    ids=[
        "eight, as many as the name counts for",
        "nine",
        "more than the name and its boxes",
        "as many as the name and its boxes",
        "nobody's boxes are a question of the threshold",
        "a third label",
        "a label that is gone",
        "all are nobody's",
        "what it is called already",
        "no annotations",
    ],
)
def test_class_leaves_the_label_of_its_name_where_more_boxes_have_another(facts: list[Annotation], moves: bool) -> None:
    """The name counts for eight boxes, so a few odd boxes change nothing."""
    proposal = taught(facts, PEOPLE_CONFIG, target=0.999)
    moved = {each.class_name: each.label for each in proposal.relabelings}
    assert moved.get("Person") == ("Worker" if moves else None)
    assert set(moved) <= {"Person", "Man", "Woman", "Boy", "Girl"}  # these follow its name
    assert (("label", "Person", "Worker") in proposal.overrides.classes) == moves
    assert proposal.anything == moves


@pytest.mark.parametrize(
    ("xml", "learns"),
    [
        (PEOPLE_CONFIG, True),
        (PEOPLE_CONFIG.replace('"Person"', '"Person" predicted_values="Person"'), False),
        (PEOPLE_CONFIG.replace('"Person"', '"Person" predicted_values="/m/01g317"'), False),
        (PEOPLE_CONFIG.replace('"Worker"', '"Worker" predicted_values="Person"'), False),
        (PEOPLE_CONFIG.replace('"Worker"', '"Worker" model_skip="true"'), False),
        (PEOPLE_CONFIG.replace('toName="image">', 'toName="image" model_skip="true">'), False),
        (PEOPLE_CONFIG.replace('<Label value="Person"/>', ""), True),
        (PEOPLE_CONFIG.replace('"Worker"', '"Helper" alias="Worker"'), True),
        (PEOPLE_CONFIG.replace('"Worker"', '"Helper"'), False),
    ],
    ids=[
        "by name",
        "predicted_values say where it goes",
        "predicted_values name its MID",
        "predicted_values say so already",
        "the label is skipped",
        "the control is skipped",
        "the class went nowhere",
        "the label's alias",
        "the label was renamed since",
    ],
)
def test_class_may_go_only_where_the_label_config_leaves_it_open(xml: str, learns: bool) -> None:
    """Its ``predicted_values`` and ``model_skip`` win."""
    proposal = taught(workers(40), xml, target=0.999)
    assert [each.label for each in proposal.relabelings if each.evidence] == (["Worker"] if learns else [])


def test_class_without_a_name_is_never_relabeled() -> None:
    """Detectors give the empty name to whatever their class list lacks; nobody knows what that is."""
    unnamed = detections_of(("", 0.9, BOX))
    assert taught(workers(40, found=unnamed), PEOPLE_CONFIG, target=0.999).relabelings == []


def test_relabeling_says_where_the_class_went_before() -> None:
    """By its readable name, also where it is known by its MID; nowhere is empty."""
    named = detections_of(("Person", 0.9, BOX))
    found = Detections(named.boxes, named.scores, ("Person",), ("/m/01g317",), named.width, named.height)
    xml = PEOPLE_CONFIG.replace('<Label value="Person"/>', "")
    relabelings = taught(workers(20, found=found), xml).relabelings
    (each,) = (each for each in relabelings if each.evidence)
    assert (each.known, each.class_name, each.before, each.label) == ("/m/01g317", "Person", "", "Worker")
    assert each.evidence == {"Worker": 20}
    assert {"Man", "Woman"} <= {each.class_name for each in relabelings} <= {"Person", "Man", "Woman", "Boy", "Girl"}


def test_people_may_change_their_minds() -> None:
    """Labels of classes follow from all annotations, and not from earlier revisions."""
    current = LabelOverrides.of({}, {("label", "Person"): "Worker", ("label", "Hat"): "Clothing"})
    proposal = taught(persons(40), PEOPLE_CONFIG, current, target=0.999)
    (each,) = proposal.relabelings
    assert (each.before, each.label) == ("Worker", "Person")
    assert proposal.overrides.classes == ()


def test_thresholds_are_learned_as_if_the_class_went_there_already() -> None:
    """Boxes of the class are wrong under the old label, and right under the new one."""
    facts = workers(40)
    proposal = taught(facts, PEOPLE_CONFIG)
    assert proposal.overrides.thresholds == (("label", "Worker", 0.01),)
    assert ("label", "Person", "Worker") in proposal.overrides.classes
    person, worker = change_of(proposal, "Person"), change_of(proposal, "Worker")
    assert (person.precision_before, person.precision_after) == (Share(0, 40), Share(0, 0))
    assert (worker.precision_before, worker.precision_after) == (Share(0, 0), Share(40, 40))
    assert (person.wrong_spared, person.right_lost, worker.wrong_spared, worker.right_lost) == (40, 0, 0, -40)


MIXED = kites((0.9, 40, 2), (0.6, 40, 3), (0.4, 10, 60), (0.2, 5, 50)) + kites((0.9, 50, 1), (0.2, 40, 0), class_name="Box", label="Box")  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "xml"),
    [
        (kites((0.6, 40, 0), (0.5, 0, 40)), BALLOON_CONFIG),
        (kites((0.5, 20, 20)), BALLOON_CONFIG),
        (MIXED, BALLOON_CONFIG),
        (workers(40), PEOPLE_CONFIG),
        (workers(40, *persons(30, "")), PEOPLE_CONFIG),
        ([], BALLOON_CONFIG),
    ],
    ids=["threshold", "nothing", "several labels", "label for a class", "both", "no annotations"],
)
def test_proposal_that_was_applied_proposes_nothing_new(facts: list[Annotation], xml: str) -> None:
    """From the same annotations."""
    first = taught(facts, xml)
    second = taught(facts, xml, first.overrides)
    assert (second.overrides, second.anything, second.relabelings) == (first.overrides, False, [])
    assert [each.threshold_before for each in second.labels] == [each.threshold_after for each in first.labels]
    assert all(each.wrong_spared == each.right_lost == 0 for each in second.labels)


def test_class_that_is_right_where_it_goes_stays_there_when_the_one_above_it_goes_elsewhere() -> None:
    """People call a Person Worker and a Man Person."""
    images = seen(detections_of(("Man", 0.9, BOX)))
    men = [annotation(box("Person"), number=number, images=images) for number in range(101, 141)]
    facts = workers(40, *men)
    first = taught(facts, PEOPLE_CONFIG, target=0.999)
    assert change_of(first, "Person").precision_after == Share(40, 40)
    assert taught(facts, PEOPLE_CONFIG, first.overrides, target=0.999).relabelings == []


def test_class_of_the_detectors_own_is_something_to_apply() -> None:
    """Label for a class that Open Images does not have."""
    proposal = taught(kites((0.9, 40, 0), class_name="papalote"), target=0.999)
    assert proposal.overrides.classes == (("label", "papalote", "Kite"),)
    assert proposal.anything


def test_threshold_that_is_in_force_already_is_nothing_to_apply() -> None:
    """A revision that changes no box would have all predictions asked for again."""
    proposal = taught(kites((0.9, 40, 0), (0.295, 0, 40)))
    assert change_of(proposal).threshold_before == change_of(proposal).threshold_after == 0.3
    assert not proposal.anything


def test_spared_and_lost_boxes_are_those_that_a_new_threshold_hides() -> None:
    """Counted box by box: right ones, wrong ones, and those of other labels not at all."""
    proposal = taught(MIXED)
    kite, box_, balloon = (change_of(proposal, label) for label in ("Kite", "Box", "Balloon"))
    assert (kite.threshold_before, kite.threshold_after) == (0.3, 0.41)
    assert (kite.wrong_spared, kite.right_lost) == (60, 10)
    assert (box_.threshold_after, box_.wrong_spared, box_.right_lost) == (0.01, 0, -40)
    assert (balloon.wrong_spared, balloon.right_lost) == (0, 0)
    whole = [gather(MIXED, postprocessor_of(overrides=overrides)) for overrides in (NO_OVERRIDES, proposal.overrides)]
    thresholds = (
        [each.threshold_before for each in proposal.labels],
        [each.threshold_after for each in proposal.labels],
    )
    shares = [
        [known.of(each.where).precision(at) for each, at in zip(proposal.labels, under, strict=True)]
        for known, under in zip(whole, thresholds, strict=True)
    ]
    before, after = ((sum(each.hits for each in of), sum(each.total for each in of)) for of in shares)
    assert sum(each.right_lost for each in proposal.labels) == before[0] - after[0]
    assert sum(each.wrong_spared for each in proposal.labels) == (before[1] - before[0]) - (after[1] - after[0])


def test_proposal_is_plain_json() -> None:
    """It is kept as the evidence of a revision."""
    proposal = taught(workers(40, *persons(1)), PEOPLE_CONFIG)
    values = json.loads(json.dumps(proposal.to_json(), allow_nan=False))
    assert values["annotations"] == 41
    (relabeling,) = values["classes"]
    assert (relabeling["known"], relabeling["label"], relabeling["evidence"]) == (
        "Person",
        "Worker",
        {"Person": 1, "Worker": 40},
    )
    assert values["effort"]["pictures"] == 41
    (worker,) = (each for each in values["labels"] if each["label"] == "Worker")
    assert (worker["shown_after"], worker["right_after"], worker["threshold_before"]) == (41, 40, 0.3)
    assert worker["precision_after_interval"] == pytest.approx(wilson(40, 41))


def test_pair_of_tags_learns_under_the_name_of_its_rectangle() -> None:
    """Which is what draws the box."""
    xml = (
        '<View><Image name="image" value="$image"/><Rectangle name="label" toName="image"/>'
        '<Labels name="what" toName="image"><Label value="Kite"/></Labels></View>'
    )
    assert taught(kites((0.6, 40, 0), (0.5, 0, 40)), xml).overrides == LabelOverrides.of({KITE: 0.51})


def by_effort(facts: list[Annotation], xml: str = BALLOON_CONFIG, current: LabelOverrides = NO_OVERRIDES) -> Proposal:
    """Propose what annotations teach without a target."""
    return taught(facts, xml, current, target=None)


@pytest.mark.parametrize(
    ("facts", "low", "high"),
    [
        (kites((0.1, 40, 0)), 0.0, 0.06),
        (kites((0.5, 0, 40)), 0.55, 1.0),
        (kites((0.1, 20, 20)), 0.0, 0.09),
        (kites((0.1, 2, 38)), 0.3, 0.3),
        (kites((0.1, 4, 0)), 0.3, 0.3),
        ([], 0.3, 0.3),
    ],
    ids=[
        "hidden boxes are right",
        "shown boxes are wrong",
        "half are worth it",
        "two of forty are not",
        "four pictures",
        "none",
    ],
)
def test_threshold_by_effort_shows_what_saves_more_than_it_costs(
    facts: list[Annotation], low: float, high: float
) -> None:
    """At the default seconds, from a probability of 0.22 on; in doubt the threshold stays."""
    change = change_of(by_effort(facts))
    assert low <= change.threshold_after <= high
    assert bool(change.reason) == (low == high)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (kites((0.1, 4, 0)), "4 pictures could be judged, 5 are needed"),
        (kites((0.29, 2, 5)), "which is not surely less"),
    ],
    ids=["too few pictures", "not sure"],
)
def test_threshold_that_stays_says_why(facts: list[Annotation], reason: str) -> None:
    """And nothing is proposed."""
    proposal = by_effort(facts)
    assert reason in change_of(proposal).reason
    assert not proposal.anything


def test_effort_is_counted_now_and_then() -> None:
    """Forty hidden boxes that people draw, all shown then: 10 seconds each, and then an adjustment of 4 in 68 % of the cases."""
    effort = by_effort(kites((0.1, 40, 0))).effort
    assert (effort.pictures, effort.before) == (40, 11)
    assert effort.after == effort.by_effort == pytest.approx(1 + 0.68 * 4)
    assert effort.saving is not None
    assert effort.saving.is_sure


def test_target_precision_costs_seconds() -> None:
    """It hides boxes that would be worth showing."""
    effort = taught(kites((0.5, 40, 0), (0.4, 60, 40)), target=0.9).effort
    assert effort.by_effort < effort.after


def test_doubtful_class_needs_a_higher_score() -> None:
    """Three of four robots are kites: shown from a higher score than a Kite."""
    facts = kites((0.9, 3, 1), class_name="papalote")
    proposal = by_effort(facts)
    ((_, known, label),) = proposal.overrides.classes
    ((_, _, threshold),) = proposal.overrides.class_thresholds
    (learned,) = proposal.classes
    assert (known, label) == ("papalote", "Kite")
    assert threshold == pytest.approx(0.3 / learned.probability, abs=0.001)


def test_stated_threshold_counts_for_classes_in_doubt() -> None:
    """Score times probability reaches it."""
    xml = BALLOON_CONFIG.replace('"Kite"', '"Kite" model_score_threshold="0.5"')
    proposal = by_effort(kites((0.9, 3, 1), class_name="papalote"), xml)
    ((_, _, threshold),) = proposal.overrides.class_thresholds
    assert threshold == pytest.approx(0.5 / proposal.classes[0].probability, abs=0.001)


@pytest.mark.parametrize(
    "facts",
    [kites((0.1, 40, 0)), kites((0.5, 0, 40)), kites((0.6, 30, 9), (0.2, 9, 30), class_name="papalote"), MIXED],
    ids=["lowered", "raised", "a learned class", "several labels"],
)
def test_proposal_by_effort_that_was_applied_proposes_nothing_new(facts: list[Annotation]) -> None:
    """From the same annotations."""
    first = by_effort(facts)
    assert first.anything
    second = by_effort(facts, current=first.overrides)
    assert (second.overrides, second.anything, second.relabelings) == (first.overrides, False, [])
