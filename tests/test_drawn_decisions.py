from samples import BALLOON_CONFIG, detections_of

from ml_backend.cli.drawn_decisions import COLOURS, CROWDED, boxes_of, legend_of
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.explanation import ExplainedBoxes, Explanation
from ml_backend.postprocessing.postprocessor import Postprocessor


def explained(hidden: int) -> ExplainedBoxes:
    """Explain a balloon that is shown, a car that the project does not have, and so many weak kites."""
    kites = [("Kite", 0.2 - number / 1000, (0.5, number / 100, 0.6, (number + 1) / 100)) for number in range(hidden)]
    found = detections_of(("Balloon", 0.9, (0.1, 0.1, 0.3, 0.3)), ("Car", 0.8, (0.7, 0.7, 0.9, 0.9)), *kites)
    postprocessor = Postprocessor.from_label_config(BALLOON_CONFIG, score_threshold=0.3)
    (boxes,) = Explanation.of(postprocessor, {ImageField("image", is_list=False): [ModelResults(found)]}).boxes
    return boxes


def test_captions_are_numbers_of_the_table_with_label_and_score() -> None:
    """The shown box comes last, so it lies on top; hidden ones are in the order of their scores, the best above the others."""
    few = explained(2)
    boxes = boxes_of(few, few.decisions)
    assert [box.caption for box in boxes] == ["#4 Kite 0.20", "#3 Kite 0.20", "#2 Car 0.80", "#1 Balloon 0.90"]
    assert [box.colour for box in boxes] == [
        COLOURS["below the threshold"],
        COLOURS["below the threshold"],
        COLOURS["not in this project"],
        COLOURS["kept"],
    ]


def test_hidden_detections_of_a_crowd_have_numbers_only() -> None:
    """Their captions would hide the image; the table has the rest."""
    many = explained(CROWDED)
    *hidden, shown = (box.caption for box in boxes_of(many, many.decisions))
    assert shown == "#1 Balloon 0.90"
    assert hidden == [f"#{number}" for number in range(CROWDED + 2, 1, -1)]


def test_legend_names_the_decisions_that_occur() -> None:
    """With their numbers, the shown ones first."""
    assert legend_of(explained(3).decisions) == [
        (COLOURS["kept"], "shown (1)"),
        (COLOURS["below the threshold"], "hidden: below the threshold (3)"),
        (COLOURS["not in this project"], "hidden: not in this project (1)"),
    ]
    assert len(set(COLOURS.values())) == len(COLOURS)
