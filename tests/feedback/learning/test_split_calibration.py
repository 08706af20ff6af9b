"""Calibration where people give one class several labels: from corrections to the label of each box."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from corrections import annotation, box, postprocessor_of, seen
from samples import BALLOON_CONFIG, Row, detections_of

from ml_backend.detections import Detections
from ml_backend.feedback.learning.calibration import Proposal, propose
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.regions import label_of, rectangles_in
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides

LARGE, SMALL = (0.1, 0.1, 0.9, 0.5), (0.5, 0.6, 0.6, 0.65)
BRIGHT, DARK = (220, 128, 128, 20, 3, 3), (40, 128, 128, 20, 3, 3)
Colours = tuple[int, int, int, int, int, int]


def config_of(*labels: str) -> str:
    """Return a label config."""
    tags = "".join(f'<Label value="{label}"/>' for label in labels)
    return (
        '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
        f"{tags}</RectangleLabels></View>"
    )


CROWD, TRAFFIC = config_of("near", "far"), config_of("light", "dark")


def found(*rows: Row, colours: Sequence[Colours] = ()) -> Detections:
    """Return detections, with the colours of each box where they are given."""
    plain = detections_of(*rows)
    return replace(plain, colours=np.array(colours, np.uint8)) if colours else plain


def people(large: str = "near", small: str = "far", *, pictures: int = 10, name: str = "papalote") -> list[Annotation]:
    """Return pictures with a large and a small box of a class each, under two labels."""
    drawable = {"label": ("near", "far", "light", "dark", "Person", "Kite", "Balloon")}
    return [
        annotation(
            box(large, LARGE),
            box(small, SMALL),
            number=number,
            drawable=drawable,
            images=seen(found((name, 0.9, LARGE), (name, 0.8, SMALL))),
        )
        for number in range(1, pictures + 1)
    ]


def cars(light: str = "light", dark: str = "dark") -> list[Annotation]:
    """Return pictures with a bright and a dark box each, now the one larger and now the other."""
    facts = []
    for number, each in enumerate(people(light, dark), 1):
        places = (LARGE, SMALL) if number % 2 else (SMALL, LARGE)
        rows: list[Row] = [("papalote", 0.9, places[0]), ("papalote", 0.8, places[1])]
        drawn = (box(light, places[0]), box(dark, places[1]))
        facts.append(replace(each, drawn=drawn, images=seen(found(*rows, colours=[BRIGHT, DARK]))))
    return facts


def learned(
    facts: list[Annotation], xml: str = CROWD, current: LabelOverrides = NO_OVERRIDES, target: float | None = None
) -> Proposal:
    """Propose what annotations teach, where the settings' threshold is 0.3."""
    return propose(lambda: iter(facts), xml, current, score_threshold=0.3, targets=lambda _: target)


def answered(overrides: LabelOverrides, xml: str, detections: Detections) -> list[str]:
    """Return the labels of the regions of a prediction."""
    postprocessor = postprocessor_of(xml, overrides=overrides)
    prediction = postprocessor.predict(1, {ImageField("image", is_list=False): [ModelResults(detections)]}, "v")
    return [label_of(region) for region in rectangles_in(prediction["result"])]


@pytest.mark.parametrize("pictures", [5, 10, 60])
@pytest.mark.parametrize(("large", "small"), [("near", "far"), ("far", "near")])
def test_size_tells_near_from_far(large: str, small: str, pictures: int) -> None:
    """After ten corrected boxes, each box has its own label."""
    overrides = learned(people(large, small, pictures=pictures)).overrides
    assert answered(overrides, CROWD, found(("papalote", 0.9, SMALL), ("papalote", 0.9, LARGE))) == [small, large]


def test_colours_tell_light_from_dark() -> None:
    """Where the size does not."""
    overrides = learned(cars(), TRAFFIC).overrides
    both = found(("papalote", 0.9, SMALL), ("papalote", 0.9, LARGE), colours=[DARK, BRIGHT])
    assert answered(overrides, TRAFFIC, both) == ["dark", "light"]


def test_records_without_colours_teach_sizes() -> None:
    """Older records have none; boxes with colours are then told apart by their sizes."""
    overrides = learned(people()).overrides
    both = found(("papalote", 0.9, SMALL), ("papalote", 0.9, LARGE), colours=[DARK, BRIGHT])
    assert answered(overrides, CROWD, both) == ["far", "near"]


@pytest.mark.parametrize(
    ("facts", "xml"),
    [
        (people("near", "near"), CROWD),
        (people("near", "far", pictures=1), CROWD),
        (cars("light", "light"), TRAFFIC),
        (people("Kite", "Balloon"), BALLOON_CONFIG),
        (people("Kite", "Balloon", name="Kite"), BALLOON_CONFIG),
        ([*people("near", "far", pictures=5), *people("far", "near", pictures=5)], CROWD),
        ([*people(pictures=10), *people("Kite", "Kite", pictures=10)], config_of("near", "far", "Kite")),
        (people(pictures=10), CROWD.replace('value="far"', 'value="far" model_skip="true"')),
        (people(pictures=10), CROWD.replace('value="far"', 'value="far" predicted_values="papalote"')),
    ],
    ids=[
        "one label",
        "one box each",
        "one label, two looks",
        "labels that have classes by their names",
        "a class that the detector confuses with another",
        "no difference",
        "most boxes have another label",
        "the other label is skipped",
        "the label config says where the class goes",
    ],
)
def test_labels_that_are_not_split_stay_as_they_were(facts: list[Annotation], xml: str) -> None:
    """No split is proposed, and none is written."""
    proposal = learned(facts, xml)
    assert proposal.overrides.splits == ()
    assert "splits" not in proposal.overrides.to_json()
    assert all(each.split is None for each in proposal.classes)


@pytest.mark.parametrize(("target", "xml"), [(None, CROWD), (0.5, CROWD), (None, config_of("Person", "far"))])
def test_proposal_that_was_applied_proposes_nothing_new(target: float | None, xml: str) -> None:
    """From the same annotations; also where one of the labels is the class's own name."""
    facts = people("Person" if "Person" in xml else "near", name="Person", pictures=20)
    first = learned(facts, xml, target=target)
    assert first.anything
    assert len(first.overrides.splits) > 0
    second = learned(facts, xml, first.overrides, target)
    assert (second.overrides, second.anything, second.relabelings) == (first.overrides, False, [])


def test_class_with_a_name_keeps_it_for_a_part_of_its_boxes() -> None:
    """Small people are "far", the others stay Person."""
    xml = config_of("Person", "far")
    overrides = learned(people("Person", name="Person", pictures=20), xml).overrides
    assert answered(overrides, xml, found(("Person", 0.9, SMALL), ("Person", 0.9, LARGE))) == ["far", "Person"]


def test_relatives_are_told_apart_alike() -> None:
    """Who corrects cars teaches buses, too."""
    overrides = learned(people(name="Car")).overrides
    assert answered(overrides, CROWD, found(("Bus", 0.9, SMALL), ("Bus", 0.9, LARGE))) == ["far", "near"]


def test_proposal_says_what_it_rests_on() -> None:
    """All labels of the class, and the boxes under each."""
    proposal = learned(people())
    (each,) = proposal.classes
    assert (each.before, each.after, each.evidence) == ("", "near / far", {"near": 10, "far": 10})
    assert each.to_json()["split"] == ["near", "far"]
    assert each.highest == pytest.approx(sum(each.split.probabilities) if each.split else 0)
