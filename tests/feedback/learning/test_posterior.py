"""The posterior of labels: what a class learns from its own boxes and from its relatives."""

from collections.abc import Mapping

import pytest

from ml_backend.feedback.learning.posterior import LabelPosterior, boxes_to_change

PARENTS = {"dog": ("carnivore",), "cat": ("carnivore",), "horse": ("animal",), "carnivore": ("animal",), "car": ("vehicle",), "bat": ("animal", "tool")}  # fmt: skip
Evidence = Mapping[str, Mapping[str, float]]


def posterior_of(evidence: Evidence, *labels: str) -> LabelPosterior:
    """Return the posterior over a small tree."""
    return LabelPosterior(evidence, labels or ("Stock", "Pet"), lambda known: PARENTS.get(known, ()))


def test_formula_is_that_of_the_module() -> None:
    """One horse called Stock: by hand, from the root over the animal to the horse."""
    found = posterior_of({"horse": {"Stock": 1}}).of("horse")
    root = (1 + 4 * 0.25) / 5
    animal = (1 + 0.5 * 0.8 * root) / 1.5
    assert found["Stock"] == pytest.approx((1 + 0.5 * 0.8 * animal) / 1.5)
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("evidence", "known", "low", "high"),
    [
        ({}, "dog", 0.0, 0.15),
        ({"dog": {"Pet": 1}}, "dog", 0.7, 0.9),
        ({"dog": {"Pet": 10}}, "dog", 0.9, 1.0),
        ({"dog": {"Pet": 10}}, "cat", 0.79, 0.8),
        ({"dog": {"Pet": 10}}, "horse", 0.78, 0.79),
        ({"dog": {"Pet": 10}}, "car", 0.0, 0.51),
        ({"dog": {"Pet": 10}, "horse": {"Stock": 30}}, "cat", 0.7, 0.78),
        ({"dog": {"Pet": 10}, "cat": {"": 10}}, "cat", 0.0, 0.1),
        ({"dog": {"Pet": 10}}, "bat", 0.6, 0.65),
        ({"dog": {"Gone": 10}}, "dog", 0.0, 0.15),
    ],
    ids=[
        "nobody knows anything",
        "one box is not certain",
        "ten boxes nearly are",
        "a sister learns from it",
        "a cousin learns less",
        "a stranger learns least",
        "the nearest relatives count most",
        "what nobody draws is nobody's, whatever relatives say",
        "one of two parents speaks for it",
        "a label that is gone counts nowhere",
    ],
)
def test_classes_learn_from_themselves_and_from_relatives(
    evidence: Evidence, known: str, low: float, high: float
) -> None:
    """The probability that a box of the class is a Pet."""
    assert low <= posterior_of(evidence).of(known)["Pet"] <= high


@pytest.mark.parametrize(
    ("odd", "keeps"), [(1, True), (3, True), (7, True), (9, False)], ids=["one", "three", "seven", "nine"]
)
def test_name_counts_for_eight_boxes(odd: int, keeps: bool) -> None:
    """A few odd boxes take no class away from the label of its name."""
    found = posterior_of({}).with_name("Pet", {"Stock": odd}, {})
    assert (found["Pet"] > found["Stock"]) == keeps


@pytest.mark.parametrize(
    ("own", "others", "keeps"),
    [
        ({}, {"Stock": 7}, True),
        ({}, {"Stock": 9}, False),
        ({"Stock": 2}, {"Stock": 9}, False),
        ({"Stock": 2}, {"Stock": 3}, True),
        ({"Pet": 4}, {"Stock": 30}, False),
        ({"Pet": 9}, {"Stock": 30}, True),
        ({"Stock": 9}, {"Pet": 90}, False),
    ],
    ids=[
        "others, fewer than the name counts for",
        "others, more than that",
        "both together",
        "too few together",
        "a few boxes of its own against all others",
        "enough boxes of its own",
        "enough boxes of its own for another label",
    ],
)
def test_classes_with_one_name_follow_each_other(own: dict[str, float], others: dict[str, float], keeps: bool) -> None:
    """Where the name stands for another label to people, its classes go there that nobody corrected, too."""
    found = posterior_of({}).with_name("Pet", own, others)
    assert (found["Pet"] > found["Stock"]) == keeps


def test_nobodys_boxes_take_no_class_away_from_its_name() -> None:
    """The threshold decides whether they are shown."""
    assert posterior_of({}).with_name("Pet", {"": 100}, {"": 9})["Pet"] == 1


@pytest.mark.parametrize("evidence", [{"dog": {"Pet": 4}}, {"dog": {"Pet": 7, "Stock": 2}}])
def test_so_many_boxes_change_the_label(evidence: Evidence) -> None:
    """And two fewer do not: what relatives learn from them can spare one."""
    before = posterior_of(evidence)
    count = boxes_to_change(before.of("dog"), before.boxes("dog"))
    own = dict(evidence.get("dog", {}))
    after = [
        posterior_of({**evidence, "dog": own | {"Stock": own.get("Stock", 0) + more}}).of("dog")
        for more in (count - 2, count)
    ]
    assert [each["Pet"] > each["Stock"] for each in after] == [True, False]
