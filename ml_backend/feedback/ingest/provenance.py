"""Tells which prediction an annotation began with, and whether anybody looked at it. Label Studio 1.23.2 does not always say.

The rules, and the behaviour of Label Studio that they rest on:

- ``parent_prediction`` names the prediction, but a resumed draft is submitted without it. Regions keep the ids that the prediction gave
  them, so the prediction that has most ids in common is the one. An annotation of which no predicted region is left began with the newest
  prediction that was there before it: a task opens with that one.
- The editor sends ``lead_time``, writes an ``origin`` into regions, and keeps drafts. An annotation with none of the three was made by a
  program; it saw no boxes unless it names a prediction.
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
        regions: its ``result``, whatever that is.
        created: seconds since 1970; 0 where that is unknown.
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
    """How an annotation began.

    Attributes:
        prediction: that it began with; None where there was none, or where it is unknown.
        lost: whether there was one that is unknown.
        accepted: whether it is a prediction that was turned into an annotation in bulk, so that nobody looked at it.
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
    """Tell how an annotation began.

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
    # A program that changed a region has decided something, as a person does.
    unchanged = lost or (prediction is not None and prediction.regions == (regions or []))
    return Beginning(prediction, lost, accepted=unchanged)


def beginning_of_event(
    annotation: Mapping[str, Any], task: Mapping[str, Any], reconstructed: StoredPrediction | None
) -> Beginning:
    """Tell how an annotation of a trusted event began. The event holds no prediction, so the one that would be shown now stands for it.

    Args:
        annotation: as the event has it.
        task: as the event has it.
        reconstructed: the prediction that would be shown now; None where that cannot be worked out.
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
    # The first of equals, which is the newest.
    best = max(predictions, key=lambda each: len(ids & each.region_ids), default=None)
    if best is not None and ids & best.region_ids:
        return best, True
    return None, says_predicted(annotation)


def says_predicted(annotation: Mapping[str, Any]) -> bool:
    """Tell whether a region says that it came from a prediction, changed or not."""
    return any(str(region.get("origin")).startswith("prediction") for region in _regions(annotation.get("result")))


def _newest_before(annotation: Mapping[str, Any], predictions: Sequence[StoredPrediction]) -> StoredPrediction | None:
    """Return the newest prediction that was there when an annotation, or its draft, was first saved."""
    began = seconds_of(str(annotation.get("draft_created_at") or annotation.get("created_at") or ""))
    return next((each for each in predictions if 0 < each.created <= began), None)


def _ids(regions: object) -> set[str]:
    return {number for region in _regions(regions) if (number := region_id(region))}


def _regions(regions: object) -> Iterable[Mapping[str, Any]]:
    return [each for each in regions if isinstance(each, dict)] if isinstance(regions, list) else []
