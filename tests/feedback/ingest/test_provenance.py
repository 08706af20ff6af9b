"""The prediction that an annotation began with, and whether anybody saw it, from the data of Label Studio 1.23.2."""

from typing import Any

import pytest

from ml_backend.feedback.ingest.provenance import Beginning, beginning_of, beginning_of_event, predictions_of

BEFORE, BETWEEN, AFTER = "2026-01-01T10:00:00Z", "2026-01-01T10:05:00.5Z", "2026-01-01T10:10:00Z"
OURS = {"id": "0a1b2c3d4e5f60718293", "value": {"rectanglelabels": ["Kite"]}, "score": 0.9}
OTHER = OURS | {"id": "93827160f5e4d3c2b1a0"}
DRAWN = {"id": "Xy_12", "value": {"rectanglelabels": ["Kite"]}, "origin": "manual"}

OLD = {"id": 7, "model_version": "v1", "created_at": BEFORE, "result": [OTHER]}
NEW = {"id": 9, "model_version": "v2", "created_at": BETWEEN, "result": [OURS]}


def began(annotation: dict[str, Any], *predictions: dict[str, Any], **more: Any) -> tuple[int | None, bool, bool]:
    """Return the prediction's id, whether it is lost, and whether it was accepted in bulk."""
    given: dict[str, Any] = {
        "parent_prediction": None,
        "created_at": AFTER,
        "lead_time": 12.5,
        "draft_created_at": None,
        "result": [],
    }
    return summary(beginning_of(given | annotation, predictions_of({"predictions": list(predictions)}), **more))


def summary(beginning: Beginning) -> tuple[int | None, bool, bool]:
    """Return it in short."""
    prediction = beginning.prediction
    return None if prediction is None else prediction.id, beginning.lost, beginning.accepted


RESUMED = {"draft_created_at": AFTER}
KEPT = OURS | {"origin": "prediction"}
RENAMED = OURS | {"origin": "prediction-changed", "value": {"rectanglelabels": ["Box"]}}


@pytest.mark.parametrize(
    ("annotation", "predictions", "expected"),
    [
        pytest.param({"parent_prediction": 7, "result": [KEPT]}, [OLD, NEW], 7, id="the parent, whatever the regions"),
        pytest.param({"parent_prediction": 7}, [OLD, NEW], 7, id="the parent, all of whose boxes were deleted"),
        pytest.param(RESUMED | {"result": [RENAMED]}, [OLD, NEW], 9, id="a resumed draft: the one that holds the region"),
        pytest.param(RESUMED | {"result": [OTHER]}, [OLD, NEW], 7, id="a resumed draft of an older prediction"),
        pytest.param(
            RESUMED | {"result": [DRAWN]}, [OLD, NEW], 9, id="a resumed draft with no predicted region left: the newest before it"
        ),
        pytest.param(RESUMED, [OLD, NEW], 9, id="a resumed draft with nothing left"),
        pytest.param(
            {"draft_created_at": BEFORE, "result": [DRAWN]}, [NEW], None, id="the draft is older than all predictions"
        ),
        pytest.param({"draft_created_at": BETWEEN}, [NEW], 9, id="a prediction of the same moment, made by opening the task"),
        pytest.param({"created_at": BEFORE}, [NEW], None, id="submitted before the first prediction"),
        pytest.param({"result": [DRAWN]}, [], None, id="no prediction at all"),
        pytest.param({"result": [DRAWN]}, [NEW | {"created_at": None}], None, id="a prediction of an unknown time"),
        pytest.param({"lead_time": None, "result": [OURS | {"id": "x"}]}, [NEW], None, id="imported by a program"),
    ],
)  # fmt: skip
def test_prediction_that_an_annotation_began_with(
    annotation: dict[str, Any], predictions: list[dict[str, Any]], expected: int | None
) -> None:
    """The one that was on the screen, though a resumed draft names none."""
    assert began(annotation, *predictions) == (expected, False, False)


def test_project_that_hides_predictions_shows_none() -> None:
    """An annotation without a predicted region then saw none."""
    assert began({"result": [DRAWN]}, NEW, are_shown=False) == (None, False, False)
    assert began({"result": [KEPT]}, NEW, are_shown=False) == (9, False, False)


@pytest.mark.parametrize(
    "annotation",
    [
        pytest.param({"parent_prediction": 8}, id="its parent was deleted"),
        pytest.param({"result": [OTHER | {"origin": "prediction"}]}, id="a region says that it was predicted"),
        pytest.param(
            RESUMED | {"result": [OTHER | {"origin": "prediction-changed"}]}, id="the same in a resumed draft"
        ),
    ],
)
def test_prediction_that_is_gone_is_lost(annotation: dict[str, Any]) -> None:
    """Boxes were seen, and nobody knows which."""
    assert began(annotation, NEW) == (None, True, False)


BULK = {"parent_prediction": 9, "lead_time": None, "result": [OURS]}


@pytest.mark.parametrize(
    ("change", "accepted"),
    [
        pytest.param({}, True, id="created from predictions in the data manager"),
        pytest.param({"result": [], "parent_prediction": 7}, True, id="an empty prediction too"),
        pytest.param({"parent_prediction": None}, True, id="known by its regions, its parent was forgotten"),
        pytest.param({"parent_prediction": 8}, True, id="its prediction was deleted since: nothing says that anybody looked"),
        pytest.param({"lead_time": 0.0}, False, id="submitted in the editor at once"),
        pytest.param({"lead_time": 2.5}, False, id="opened and updated since"),
        pytest.param({"draft_created_at": AFTER}, False, id="a draft was saved"),
        pytest.param({"result": [KEPT]}, False, id="the editor marked a region"),
        pytest.param({"result": [OURS, OURS | {"id": "x"}]}, False, id="a program added a region"),
        pytest.param({"result": []}, False, id="a program took a region away"),
    ],
)  # fmt: skip
def test_acceptance_in_bulk_is_told_from_a_look(change: dict[str, Any], accepted: bool) -> None:
    """The editor leaves a time, a draft or an origin; a changed region is a decision."""
    old = OLD | {"result": []}
    assert began(BULK | change, old, NEW)[2] == accepted


EVENT = predictions_of({"predictions": [NEW]})[0]


@pytest.mark.parametrize(
    ("annotation", "task", "expected"),
    [
        pytest.param({"parent_prediction": 3, "lead_time": 1}, {}, (9, False, False), id="it names a prediction"),
        pytest.param({"result": [KEPT]}, {}, (9, False, False), id="a region was predicted"),
        pytest.param({"lead_time": 1}, {"total_predictions": 2}, (9, False, False), id="the task had a prediction"),
        pytest.param({"lead_time": 1}, {"total_predictions": 0}, (None, False, False), id="the task had none"),
        pytest.param({"lead_time": 1}, {}, (None, False, False), id="the event does not say"),
        pytest.param({}, {"total_predictions": 2}, (None, False, False), id="a program made it"),
        pytest.param({"parent_prediction": 3, "result": [OURS]}, {}, (9, False, True), id="accepted in bulk"),
    ],
)  # fmt: skip
def test_trusted_event_tells_how_its_annotation_began(
    annotation: dict[str, Any], task: dict[str, Any], expected: tuple[int | None, bool, bool]
) -> None:
    """By the same marks; the prediction that would be shown now stands for the one that was."""
    assert summary(beginning_of_event(annotation, task, EVENT)) == expected
    if expected[0] is not None:
        assert summary(beginning_of_event(annotation, task, None)) == (None, True, expected[2])
