"""Finds the prediction that an annotation began with, and whether anybody saw it. Label Studio 1.23.2 does not always name it.

The rules, and the behaviour of Label Studio that they rest on:

- ``parent_prediction`` names the prediction, but a resumed draft is submitted without it. Regions keep the ids of predicted regions, so
  the prediction with the most ids in common counts. An annotation without any of them began with the newest prediction before it.
- The editor sends ``lead_time``, writes an ``origin`` into regions, and keeps drafts. An annotation with none of the three was made by a
  program; it began without boxes unless it names a prediction.
- "Create Annotations From Predictions" copies the regions of a prediction and writes none of the three.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_backend.feedback.store.database import seconds_of
from ml_backend.label_studio.labelled_boxes import region_id
from ml_backend.redaction import printable


@dataclass(frozen=True)
class StoredPrediction:
    """A prediction as Label Studio has it.

    Attributes:
        id: of Label Studio.
        version: its model version.
        regions: its ``result``, of any type.
        created: seconds since 1970; 0 if unknown.
    """

    id: int
    version: str
    regions: object
    created: float

    @property
    def region_ids(self) -> set[str]:
        """The ids of its regions."""
        return _ids(self.regions)


@dataclass(frozen=True)
class Beginning:
    """The beginning of an annotation.

    Attributes:
        prediction: that it began with; None if there was none, or an unknown one.
        lost: whether it began with an unknown prediction.
        accepted: whether a prediction was turned into it in bulk, so that nobody saw it.
    """

    prediction: StoredPrediction | None = None
    lost: bool = False
    accepted: bool = False


def predictions_of(task: Mapping[str, Any]) -> list[StoredPrediction]:
    """Return the predictions of a task, the newest first."""
    found = [
        StoredPrediction(
            each["id"],
            printable(str(each.get("model_version") or ""), 200),
            each.get("result") or [],
            seconds_of(str(each.get("created_at") or "")),
        )
        for each in task.get("predictions") or []
        if isinstance(each, dict) and isinstance(each.get("id"), int)
    ]
    return sorted(found, key=lambda each: (each.created, each.id), reverse=True)


def beginning_of(
    annotation: Mapping[str, Any], predictions: Sequence[StoredPrediction], *, are_shown: bool = True
) -> Beginning:
    """Return the beginning of an annotation.

    Args:
        annotation: as Label Studio has it.
        predictions: of its task, the newest first.
        are_shown: whether the project shows predictions to annotators.
    """
    regions = annotation.get("result")
    edited = was_edited(annotation)
    prediction, named = _named(annotation, predictions)
    if prediction is None and not named and edited and are_shown:
        prediction = _newest_before(annotation, predictions)
    lost = prediction is None and named
    if edited or not (named or prediction):
        return Beginning(prediction, lost)
    # A program that changed a region has made a decision, as a person does.
    unchanged = lost or (prediction is not None and prediction.regions == (regions or []))
    return Beginning(prediction, lost, accepted=unchanged)


def beginning_of_event(
    annotation: Mapping[str, Any], task: Mapping[str, Any], reconstructed: StoredPrediction | None
) -> Beginning:
    """Return the beginning of an annotation in a trusted event. Events hold no predictions; the one that would be shown now is used.

    Args:
        annotation: as the event has it.
        task: as the event has it.
        reconstructed: the prediction that would be shown now; None if it cannot be reconstructed.
    """
    count = task.get("total_predictions")
    had_one = isinstance(annotation.get("parent_prediction"), int) or says_predicted(annotation)
    if not had_one and was_edited(annotation):
        had_one = isinstance(count, int) and count > 0
    if not had_one:
        return Beginning()
    return Beginning(reconstructed, lost=reconstructed is None, accepted=not was_edited(annotation))


def was_edited(annotation: Mapping[str, Any]) -> bool:
    """Tell whether an annotation was submitted in the editor."""
    return (
        annotation.get("lead_time") is not None
        or annotation.get("draft_created_at") is not None
        or any(region.get("origin") for region in _regions(annotation.get("result")))
    )


def _named(
    annotation: Mapping[str, Any], predictions: Sequence[StoredPrediction]
) -> tuple[StoredPrediction | None, bool]:
    """Return the prediction that an annotation names, and whether it names one, by its parent or by regions."""
    parent = annotation.get("parent_prediction")
    parent = parent.get("id") if isinstance(parent, dict) else parent
    if isinstance(parent, int) and not isinstance(parent, bool):
        return next((each for each in predictions if each.id == parent), None), True
    ids = _ids(annotation.get("result"))
    # max() returns the first of equals, the newest.
    best = max(predictions, key=lambda each: len(ids & each.region_ids), default=None)
    if best is not None and ids & best.region_ids:
        return best, True
    return None, says_predicted(annotation)


def says_predicted(annotation: Mapping[str, Any]) -> bool:
    """Tell whether the ``origin`` of a region is a prediction, changed or not."""
    return any(str(region.get("origin")).startswith("prediction") for region in _regions(annotation.get("result")))


def _newest_before(annotation: Mapping[str, Any], predictions: Sequence[StoredPrediction]) -> StoredPrediction | None:
    """Return the newest prediction from before an annotation, or its draft, was first saved."""
    began = seconds_of(str(annotation.get("draft_created_at") or annotation.get("created_at") or ""))
    return next((each for each in predictions if 0 < each.created <= began), None)


def _ids(regions: object) -> set[str]:
    return {number for region in _regions(regions) if (number := region_id(region))}


def _regions(regions: object) -> Iterable[Mapping[str, Any]]:
    return [each for each in regions if isinstance(each, dict)] if isinstance(regions, list) else []
