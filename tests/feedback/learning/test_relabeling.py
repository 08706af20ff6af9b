"""Labels that people give to classes of the detector: single classes, and whole branches of the hierarchy."""

from collections import Counter
from collections.abc import Mapping

import pytest
from corrections import annotation, box, cell, postprocessor_of, seen
from hypothesis import given
from hypothesis import strategies as st
from samples import Row, detections_of

from ml_backend.detections import Detections
from ml_backend.feedback.evaluation.statistics import Share
from ml_backend.feedback.evaluation.threshold_stats import ThresholdStats
from ml_backend.feedback.learning import relabeling
from ml_backend.feedback.learning.calibration import Proposal, propose
from ml_backend.feedback.learning.relabeling import Relabeling, relabelings_of
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.vocabularies.open_images import open_images_classes

CLASSES = open_images_classes()
Calls = Mapping[str, Mapping[str, int]]
"""How often people called the boxes of a class something, by its name; empty where they drew nothing there."""


def config_of(*labels: str) -> str:
    """Return a label config; a label may bring attributes along."""
    tags = "".join(
        f'<Label value="{name}" {attributes}/>' for name, _, attributes in (each.partition(" ") for each in labels)
    )
    return (
        '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
        f"{tags}</RectangleLabels></View>"
    )


FARM = config_of("Stock", "Pet")  # labels of its own invention
TREE = config_of("Stock", "Pet", "Carnivore", "Animal")  # and some that are classes above others


def known(name: str) -> str:
    """Return how the stats name a class: by its MID, where it has one."""
    return CLASSES.find(name) or name


def stats_of(calls: Calls, xml: str = FARM, overrides: LabelOverrides = NO_OVERRIDES) -> ThresholdStats:
    """Return the stats of annotations that called classes so."""
    counts = {("label", known(name)): Counter(of_class) for name, of_class in calls.items()}
    return ThresholdStats(postprocessor_of(xml, overrides=overrides), {}, counts)


def found_in(calls: Calls, xml: str = FARM, overrides: LabelOverrides = NO_OVERRIDES) -> list[tuple[str, str, bool]]:
    """Return the classes that go elsewhere: their names, labels, and whether they bring a branch along."""
    return [(each.class_name, each.label, bool(each.kinds)) for each in relabelings_of(stats_of(calls, xml, overrides))]


def learned_from(relabelings: list[Relabeling]) -> LabelOverrides:
    """Return what a proposal makes of them."""
    single = {(each.control, each.known): each.label for each in relabelings if not each.kinds}
    branches = {(each.control, each.known): each.label for each in relabelings if each.kinds}
    return LabelOverrides.of({}, single, branches)


def map_after(calls: Calls, xml: str = FARM) -> LabelMap:
    """Return where classes go when what people call them has been applied."""
    overrides = learned_from(relabelings_of(stats_of(calls, xml)))
    ((_, label_map),) = postprocessor_of(xml, overrides=overrides).rectangles
    return label_map


@pytest.mark.parametrize(
    ("calls", "label"),
    [
        ({"Stock": 16}, "Stock"),
        ({"Stock": 15}, ""),
        ({"Stock": 10}, ""),
        ({"Stock": 31, "Pet": 2}, "Stock"),
        ({"Stock": 30, "Pet": 2}, ""),
        ({"Stock": 92, "Pet": 12}, "Stock"),
        ({"Stock": 90, "Pet": 14}, ""),
        ({"Stock": 20, "": 20}, "Stock"),
        ({"Stock": 20, "": 21}, ""),
        ({"Stock": 19, "Pet": 1, "": 20}, ""),
        ({"Gone": 40}, ""),
        ({"Gone": 40, "Stock": 30}, ""),
        ({"stock": 40}, ""),
        ({"": 40}, ""),
        ({"Stock": 16, "Pet": 16}, ""),
        ({}, ""),
    ],
    ids=[
        "sixteen of one mind",
        "fifteen of one mind: 0.796",
        "as many as are needed at least: 0.72",
        "thirty-one of thirty-three: 0.804",
        "thirty of thirty-two: 0.799",
        "more and less of one mind",
        "hardly less: 0.78",
        "every other box is nobody's",
        "one more is nobody's",
        "most are nobody's or another's",
        "a label that is gone",
        "the most frequent one is gone",
        "labels are told apart by case",
        "all nobody's",
        "two labels alike",
        "none",
    ],
)
@pytest.mark.parametrize("name", ["Horse", "papalote"], ids=["of Open Images", "of the detector's own"])
def test_single_class_goes_where_people_put_it(name: str, calls: dict[str, int], label: str) -> None:
    """Often enough, consistently, and where half of its boxes at least are somebody's."""
    assert found_in({name: calls}) == ([(name, label, False)] if label else [])


@pytest.mark.parametrize(
    ("limit", "stricter", "calls"),
    [
        ("MIN_CASES", 17, {"Horse": {"Stock": 16}}),
        ("CONSISTENT", 0.81, {"Horse": {"Stock": 16}}),
        ("WORTHWHILE", 0.51, {"Horse": {"Stock": 20, "": 20}}),
        ("MIN_KINDS", 3, {"Horse": {"Stock": 10}, "Sheep": {"Stock": 10}}),
        ("MIN_OF_A_KIND", 4, {"Horse": {"Stock": 13}, "Sheep": {"Stock": 3}}),
    ],
)
def test_each_limit_decides(monkeypatch: pytest.MonkeyPatch, limit: str, stricter: float, calls: Calls) -> None:
    """Cases that just suffice do not suffice if one limit is a little stricter."""
    assert found_in(calls)
    monkeypatch.setattr(relabeling, limit, stricter)
    assert found_in(calls) == []


def test_relabeling_tells_what_it_rests_on() -> None:
    """Cases, boxes, where the class went, and the kinds that speak for a branch."""
    xml = config_of("Stock", "Carnivore")
    calls = {"Horse": {"Stock": 20, "Pet": 1, "": 9}, "Sheep": {"Stock": 15}, "Pig": {"Stock": 2}, "Bear": {"Stock": 4}}
    calls["Carnivore"] = {"Stock": 16}
    animal, carnivore = relabelings_of(stats_of(calls, xml))
    assert (animal.class_name, animal.known, animal.before) == ("Animal", known("Animal"), "")
    assert (animal.agreeing, animal.boxes) == (Share(57, 58), 67)
    assert animal.kinds == ("Bear", "Carnivore", "Horse", "Sheep")
    assert (carnivore.before, carnivore.label) == ("Carnivore", "Stock")
    assert (carnivore.agreeing, carnivore.boxes, carnivore.kinds) == (Share(16, 16), 16, ())
    assert animal.to_json()["agreeing"] == [57, 58]


@pytest.mark.parametrize(
    ("calls", "branch"),
    [
        ({"Horse": {"Stock": 10}, "Sheep": {"Stock": 10}}, "Animal"),
        ({"Horse": {"Stock": 13}, "Sheep": {"Stock": 3}}, "Animal"),
        ({"Horse": {"Stock": 12}, "Sheep": {"Stock": 3}}, ""),
        ({"Horse": {"Stock": 14}, "Sheep": {"Stock": 2}}, ""),
        ({"Horse": {"Stock": 14}, "Mammal": {"Stock": 14}}, "Animal"),
        ({"Horse": {"Stock": 14}, "Animal": {"Stock": 14}}, ""),
        ({"Horse": {"Stock": 12}, "Sheep": {"Stock": 12}, "Pig": {"Stock": 2}}, "Animal"),
        ({"Horse": {"Stock": 10, "": 5}, "Sheep": {"Stock": 10, "": 15}}, "Animal"),
        ({"Horse": {"Stock": 10, "": 5}, "Sheep": {"Stock": 10, "": 16}}, ""),
        ({"Horse": {"Stock": 10}, "Sheep": {"Stock": 10}, "Dog": {"Pet": 3}}, ""),
        ({"Horse": {"Stock": 10}, "Sheep": {"Stock": 10}, "Eagle": {"Pet": 3}}, "Mammal"),
        ({"Horse": {"Stock": 10}, "Sheep": {"Stock": 10}, "Eagle": {"": 30}}, "Mammal"),
        ({"Horse": {"Stock": 10}, "Sheep": {"Stock": 10}, "Car": {"Pet": 30}}, "Animal"),
        ({"Horse": {"Gone": 10}, "Sheep": {"Gone": 10}}, ""),
        ({"Horse": {"Stock": 10}, "Car": {"Stock": 10}}, ""),
        ({"papalote": {"Stock": 10}, "Horse": {"Stock": 10}}, ""),
    ],
    ids=[
        "two kinds, neither of them enough alone",
        "three of the second kind",
        "fifteen together",
        "two of the second kind",
        "a kind and one above it, below the branch",
        "the branch itself is none of its kinds",
        "a third kind counts for what it is",
        "half of all together are somebody's",
        "one more is nobody's",
        "a kind below that goes elsewhere",
        "a kind beside it that goes elsewhere",
        "a kind beside it that is nobody's",
        "a class of another branch",
        "a label that is gone",
        "nothing above both",
        "a class without a place in the hierarchy",
    ],
)
def test_class_above_several_that_agree_stands_for_all_of_them(calls: Calls, branch: str) -> None:
    """The most general one, with the boxes of all classes below it."""
    wider = [(name, label) for name, label, is_branch in found_in(calls) if is_branch]
    assert wider == ([(branch, "Stock")] if branch else [])


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ({"Horse": {"Stock": 20}, "Sheep": {"Stock": 20}}, [("Animal", "Stock", True)]),
        ({"Animal": {"Stock": 20}, "Horse": {"Stock": 20}, "Sheep": {"Stock": 20}}, [("Animal", "Stock", True)]),
        ({"Dog": {"Pet": 20}, "Cat": {"Pet": 20}, "Horse": {"Stock": 30}, "Sheep": {"Stock": 30}}, [("Carnivore", "Pet", True), ("Horse", "Stock", False), ("Sheep", "Stock", False)]),
        ({"Dog": {"Pet": 20}, "Horse": {"Stock": 70}, "Sheep": {"Stock": 70}}, [("Animal", "Stock", True), ("Dog", "Pet", False)]),
        ({"Dog": {"Pet": 10}, "Cat": {"Pet": 10}, "Horse": {"Stock": 70}, "Sheep": {"Stock": 70}}, [("Animal", "Stock", True), ("Carnivore", "Pet", True)]),
        ({"Horse": {"Stock": 20}, "Sheep": {"Stock": 20}, "Car": {"Stock": 20}}, [("Animal", "Stock", True), ("Car", "Stock", False)]),
        ({"Horse": {"Stock": 20}, "Sheep": {"Stock": 20}, "papalote": {"Stock": 20}}, [("Animal", "Stock", True), ("papalote", "Stock", False)]),
        ({"Horse": {"Stock": 20}, "Sheep": {"Stock": 20}, "Car": {"Pet": 20}, "Boat": {"Pet": 20}}, [("Vehicle", "Pet", True), ("Animal", "Stock", True)]),
    ],
    ids=[
        "a branch and what is below it",
        "what the branch itself is called",
        "a branch, and classes beside it",
        "a class below that goes elsewhere",
        "a branch below that goes elsewhere",
        "a class of another branch",
        "a class of the detector's own",
        "two branches",
    ],
)  # fmt: skip
def test_nothing_is_said_twice(calls: Calls, found: list[tuple[str, str, bool]]) -> None:
    """The most general class comes first, and what it brings along is not named again."""
    assert sorted(found_in(calls)) == sorted(found)
    names = [name for name, _, _ in found_in(calls)]
    assert all(
        names.index("Animal") < names.index(name) for name in ("Dog", "Carnivore") if {"Animal", name} <= {*names}
    )


TWO_KINDS = {"Dog": {"Stock": 20}, "Cat": {"Stock": 20}}
BOTH_ALONE = [("Cat", "Stock", False), ("Dog", "Stock", False)]


@pytest.mark.parametrize(
    ("xml", "found"),
    [
        (config_of("Stock"), [("Animal", "Stock", True)]),
        (FARM.replace('toName="image">', 'toName="image" model_hierarchy="false">'), BOTH_ALONE),
        (config_of('Stock model_hierarchy="false"'), BOTH_ALONE),
        (config_of("Stock", 'Pet model_hierarchy="false"'), [("Animal", "Stock", True)]),
        (config_of('Stock model_skip="true"'), []),
        (FARM.replace('toName="image">', 'toName="image" model_skip="true">'), []),
        (config_of('Stock predicted_values="Dog"'), [("Animal", "Stock", True)]),
        (config_of("Stock", 'Pet predicted_values="Dog"'), [("Animal", "Stock", True)]),
        (config_of("Stock", 'Pet predicted_values="Dog,Cat,Carnivore,Mammal,Animal"'), []),
        (config_of("Stock", 'Pet predicted_values="Animal"'), [("Mammal", "Stock", True)]),
        (config_of("Stock", "Animal"), [("Animal", "Stock", True)]),
        (config_of("Stock", "Dog"), [("Animal", "Stock", True), ("Dog", "Stock", False)]),
        (config_of("Stock", "puppy"), [("Animal", "Stock", True)]),
        (config_of("Farm", "Pet"), []),
        (config_of('Farm alias="Stock"'), [("Animal", "Stock", True)]),
    ],
    ids=[
        "nothing else",
        "hierarchy off on the control",
        "hierarchy off on the label",
        "hierarchy off on another label",
        "label skipped",
        "control skipped",
        "predicted_values send a kind there",
        "predicted_values send a kind elsewhere",
        "predicted_values send all of them elsewhere",
        "predicted_values send the most general one elsewhere",
        "the branch is a label's own name",
        "a kind is a label's own name, and needs its own",
        "a label that is no class",
        "the label was renamed since",
        "the label's alias",
    ],
)
def test_label_config_decides_what_may_be_learned(xml: str, found: list[tuple[str, str, bool]]) -> None:
    """Dogs and cats that people call the same; ``predicted_values`` and ``model_skip`` win."""
    assert sorted(found_in(TWO_KINDS, xml)) == sorted(found)


@pytest.mark.parametrize(
    ("xml", "name", "label"),
    [
        (config_of("Stock"), "Fox", "Stock"),
        (config_of("Stock"), "Eagle", "Stock"),
        (config_of("Stock"), "Animal", "Stock"),
        (config_of("Stock"), "Car", None),
        (config_of("Stock", "Fox"), "Fox", "Fox"),
        (config_of("Stock", "Bird"), "Eagle", "Bird"),
        (config_of("Stock", 'Pet predicted_values="Fox"'), "Fox", "Pet"),
        (config_of("Stock", "Dog"), "Dog", "Stock"),
        (config_of('Stock model_hierarchy="false"'), "Fox", None),
        (config_of('Stock model_hierarchy="false"'), "Dog", "Stock"),
    ],
    ids=[
        "beside them",
        "far from them",
        "above them",
        "of another branch",
        "by its own name",
        "by a name above it that is nearer",
        "by predicted_values",
        "by its own name, and corrected",
        "hierarchy off",
        "hierarchy off, and corrected",
    ],
)
def test_kinds_that_nobody_has_corrected_come_along(xml: str, name: str, label: str | None) -> None:
    """After dogs and cats were called the same; unless they go elsewhere by a rule of their own."""
    assert map_after(TWO_KINDS, xml).label_for(name, known(name)) == label


def test_two_controls_learn_apart() -> None:
    """Each by what was drawn with it."""
    xml = FARM.replace(
        "</View>", '<RectangleLabels name="other" toName="image"><Label value="Pet"/></RectangleLabels></View>'
    )
    counts = {
        (control, known(name)): Counter({label: 20})
        for control, label in (("label", "Stock"), ("other", "Pet"))
        for name in ("Dog", "Cat")
    }
    relabelings = relabelings_of(ThresholdStats(postprocessor_of(xml), {}, counts))
    assert [(each.control, each.class_name, each.label) for each in relabelings] == [
        ("label", "Animal", "Stock"),
        ("other", "Animal", "Pet"),
    ]


def test_order_of_annotations_does_not_matter() -> None:
    """The same corrections teach the same, whichever came first."""
    calls = {"Dog": {"Pet": 20}, "Cat": {"Pet": 20}, "Horse": {"Stock": 130}, "Sheep": {"Stock": 20, "Pet": 1}}
    backwards = {name: dict(reversed(each.items())) for name, each in reversed(calls.items())}
    assert relabelings_of(stats_of(calls)) == relabelings_of(stats_of(backwards))
    assert len(relabelings_of(stats_of(calls))) >= 2


@pytest.mark.parametrize(
    "overrides",
    [
        LabelOverrides.of({}, {("label", "/m/0bt9lr"): "Pet"}),
        LabelOverrides.of({}, {}, {("label", "/m/0jbk"): "Pet"}),
        LabelOverrides.of({}, {}, {("label", "/m/01lrl"): "Pet"}),
    ],
    ids=["a class", "the branch", "a branch below"],
)
def test_people_may_change_their_minds(overrides: LabelOverrides) -> None:
    """Classes and branches that were relabeled once can be relabeled again: in the end, all have the other label."""
    first = facts_of(TWO_KINDS)
    proposal = learn(first, FARM, overrides)
    for _ in range(2):
        proposal = learn(first, FARM, proposal.overrides)
    ((_, label_map),) = postprocessor_of(FARM, overrides=proposal.overrides).rectangles
    assert [label_map.label_for(name, known(name)) for name in ("Dog", "Cat")] == ["Stock", "Stock"]
    assert not proposal.anything


def facts_of(calls: Calls) -> list[Annotation]:
    """Return annotations in which people called classes so: a hundred boxes on an image, none near another."""
    cases = [(name, label) for name, each in calls.items() for label, count in each.items() for _ in range(count)]
    return [
        annotation(
            *(box(label, cell(place)) for place, (_, label) in enumerate(portion) if label),
            number=start + 1,
            images=seen(with_mids(*((name, 0.9, cell(place)) for place, (name, _) in enumerate(portion)))),
        )
        for start in range(0, len(cases), 100)
        for portion in [cases[start : start + 100]]
    ]


def with_mids(*rows: Row) -> Detections:
    """Return detections as a detector of Open Images gives them."""
    found = detections_of(*rows)
    mids = tuple(CLASSES.find(name) or "" for name in found.class_names)
    return Detections(found.boxes, found.scores, found.class_names, mids, found.width, found.height)


def learn(facts: list[Annotation], xml: str, current: LabelOverrides = NO_OVERRIDES) -> Proposal:
    """Propose labels for classes; the target is out of reach, so that no threshold is learned."""
    return propose(lambda: iter(facts), xml, current, score_threshold=0.3, targets=lambda _: 0.999)


def again(calls: Calls, xml: str = FARM) -> Proposal:
    """Return what is proposed when the first proposal has been applied."""
    facts = facts_of(calls)
    return learn(facts, xml, learn(facts, xml).overrides)


_kinds = st.sampled_from(["Animal", "Mammal", "Carnivore", "Dog", "Cat", "Fox", "Horse", "Sheep", "Eagle", "papalote"])
_calls = st.dictionaries(
    _kinds,
    st.dictionaries(st.sampled_from(["Stock", "Pet", "Gone", ""]), st.integers(1, 25), min_size=1, max_size=2),
    max_size=5,
)


@given(_calls)
def test_proposal_that_was_applied_proposes_nothing_new(calls: Calls) -> None:
    """From the same annotations, in a project whose labels are of its own invention."""
    facts = facts_of(calls)
    first = learn(facts, FARM)
    second = learn(facts, FARM, first.overrides)
    assert (second.overrides, second.anything, second.relabelings) == (first.overrides, False, [])
    assert first.anything == bool(first.relabelings)


_of_the_tree = st.dictionaries(
    _kinds,
    st.dictionaries(st.sampled_from(["Stock", "Pet", "Carnivore", "Animal", ""]), st.integers(1, 25), min_size=1, max_size=2),
    max_size=5,
)  # fmt: skip


@given(_of_the_tree)
def test_learning_from_the_same_comes_to_an_end(calls: Calls) -> None:
    """Also where labels are called like classes: nobody is asked to apply one proposal after the other for ever."""
    facts = facts_of(calls)
    proposal = learn(facts, TREE)
    for _ in range(4):
        proposal = learn(facts, TREE, proposal.overrides)
    assert not proposal.anything


@given(_calls)
def test_classes_that_are_corrected_go_where_their_relabeling_says(calls: Calls) -> None:
    """Each of them, with all others applied too."""
    relabelings = relabelings_of(stats_of(calls))
    label_map = map_after(calls)
    for each in relabelings:
        if not each.kinds:
            assert label_map.label_for(each.class_name, each.known) == each.label


def test_class_that_is_right_where_it_goes_stays_there_when_a_branch_goes_elsewhere() -> None:
    """Dogs are Animals in this project, while people call horses and sheep Stock."""
    calls = {"Dog": {"Animal": 16}, "Horse": {"Stock": 70}, "Sheep": {"Stock": 70}}
    xml = config_of("Stock", "Animal")
    assert map_after(calls, xml).label_for("Dog", known("Dog")) == "Animal"
    assert again(calls, xml).relabelings == []


def test_class_below_a_nearer_label_gets_its_own() -> None:
    """Dogs go to Carnivore, which is nearer to them than the Animal that goes elsewhere: they need their own."""
    calls = {"Dog": {"Stock": 16}, "Horse": {"Stock": 16}}
    xml = config_of("Stock", "Carnivore")
    assert map_after(calls, xml).label_for("Dog", known("Dog")) == "Stock"
    assert again(calls, xml).relabelings == []


def test_class_below_a_nearer_branch_gets_its_own() -> None:
    """Animals are Stock, Carnivores are Pets, and dogs are Stock again."""
    calls = {
        "Horse": {"Stock": 999},
        "Sheep": {"Stock": 999},
        "Cat": {"Pet": 99},
        "Fox": {"Pet": 99},
        "Dog": {"Stock": 20},
    }
    assert ("Carnivore", "Pet", True) in found_in(calls)
    assert map_after(calls).label_for("Dog", known("Dog")) == "Stock"


def test_branch_whose_own_class_goes_elsewhere_is_proposed_once() -> None:
    """People call a Carnivore that nobody knows better Pet, and all its kinds Stock."""
    calls = {"Carnivore": {"Pet": 16}, "Dog": {"Stock": 99}, "Cat": {"Stock": 99}}
    second = again(calls)
    assert not second.anything
    assert second.relabelings == []
