"""From the results of the models for a task's images to its prediction, under one label config."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from ml_backend.detections import Detections
from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.choices import ChoicesControl
from ml_backend.label_studio.controls.control import Control, ImageField
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.label_studio.interactive import DrawnRegion
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.label_studio.regions import ChoiceRegion, Prediction, Region, region_id
from ml_backend.model_results import ModelKind, ModelResults
from ml_backend.postprocessing.choices import ChoiceDecision, ServedChoices
from ml_backend.postprocessing.interactive import select_detection
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.postprocessing.selection import FilterDecision, select
from ml_backend.postprocessing.served_controls import (
    ANY_MODELS,
    KnownClasses,
    needs_of,
    serve_choices,
    served_controls,
    unreachable_labels,
)
from ml_backend.postprocessing.task_score import task_score

RULES = 3  # part of the digest; raise it when the rules of selection or regions change
CHOICE_RULES = 1  # the same for choices


@dataclass(frozen=True)
class Postprocessor:
    """A label config and thresholds, ready to turn the results of models into predictions.

    Attributes:
        rectangles: each rectangle control with its label map.
        choices: the controls that classify images.
        score_threshold: lowest score that is shown, 0 to 1.
        digest: 6 hex digits that change when predictions would, and with each revision of learned thresholds and labels.
        warnings: problems of the label config, one sentence each.
    """

    rectangles: tuple[tuple[RectangleControl, LabelMap], ...]
    choices: tuple[ServedChoices, ...]
    score_threshold: float
    digest: str
    warnings: tuple[str, ...]
    _limited: dict[object, Self] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def from_label_config(  # noqa: PLR0913 - settings and the parts of a project
        cls,
        xml: str,
        *,
        score_threshold: float,
        classes: KnownClasses = ANY_MODELS,
        overrides: LabelOverrides = NO_OVERRIDES,
        max_controls: int | None = None,
        tiles: int = 0,
        teachable: bool = False,
    ) -> Self:
        """Parse a label config and compute its label maps.

        Args:
            xml: the project's label config.
            score_threshold: lowest score that is shown, 0 to 1.
            classes: of the models, to serve the controls that they can, and to find labels without any class.
            overrides: thresholds and labels that were learned from corrections of the project.
            max_controls: the largest number of controls; None for no limit.
            tiles: number of tiles along each side for controls that do not say, at most (``PRELABEL_TILES``).
            teachable: whether corrections can teach labels, so that a config is served of whose labels the detector knows none.

        Raises:
            LabelConfigError: the config cannot be served; the message gives the reason.
        """
        parsed, warnings = parse_label_config(xml)
        if max_controls is not None and len(parsed) > max_controls:
            raise LabelConfigError(
                f"the label config has {len(parsed)} controls; the limit is {max_controls} (PRELABEL_MAX_CONTROLS)"
            )
        served, unserved = served_controls(parsed, classes, tiles)
        controls = [overrides.applied_to(control, score_threshold) for control in served]
        rectangles = tuple(
            (control, LabelMap(control, overrides=overrides))
            for control in controls
            if isinstance(control, RectangleControl)
        )
        choices, useless = serve_choices([each for each in controls if isinstance(each, ChoicesControl)], classes)
        unserved += useless
        if not rectangles and not choices:
            raise LabelConfigError("; ".join([*warnings, *unserved]))
        warnings += (*unserved, *unreachable_labels(rectangles, choices, classes, teachable=teachable))
        digest = _digest(rectangles, choices, score_threshold, overrides.revision)
        return cls(rectangles, choices, score_threshold, digest, warnings)

    @property
    def controls(self) -> list[Control]:
        """All controls."""
        return [control for control, _ in self.rectangles] + [each.control for each in self.choices]

    @property
    def needs(self) -> dict[ImageField, frozenset[ModelKind]]:
        """The fields of a task's data that hold images, each with the models whose results are needed."""
        return needs_of(self.controls)

    @property
    def models(self) -> frozenset[ModelKind]:
        """The models whose results are needed."""
        return frozenset().union(*self.needs.values())

    def limited_to(self, drawable: Mapping[str, Collection[str]]) -> Self:
        """Return the postprocessor of the same label config with fewer labels.

        Args:
            drawable: the labels to keep, by ``from_name`` of their control. A control without any is removed.
        """
        key = frozenset((control, frozenset(labels)) for control, labels in drawable.items())
        if key not in self._limited:
            self._limited[key] = self._limit(drawable)
        return self._limited[key]

    def _limit(self, drawable: Mapping[str, Collection[str]]) -> Self:
        rectangles = []
        for control, label_map in self.rectangles:
            labels = tuple(label for label in control.labels if label.value in drawable.get(control.from_name, ()))
            if labels == control.labels:
                rectangles.append((control, label_map))
            elif labels:
                limited = replace(control, labels=labels)
                rectangles.append((limited, LabelMap(limited, overrides=label_map.overrides)))
        return replace(self, rectangles=tuple(rectangles))

    def predict(
        self, task_id: object, found: Mapping[ImageField, Sequence[ModelResults]], model_version: str
    ) -> Prediction:
        """Turn the results for a task's images into its prediction.

        Args:
            task_id: part of region ids, so that they differ between tasks.
            found: results by field of the task's data, one for each image in that field.
            model_version: of the prediction.
        """
        identity = (task_id, model_version)
        regions: list[Region | ChoiceRegion] = []
        hidden: list[float] = []
        for control, item, detections, decisions in self.explain(found):
            shown = [(each.row, each.label) for each in decisions if each.kind == "kept"]
            regions += control.regions(identity, item, detections, shown)
            hidden += [float(detections.scores[each.row]) for each in decisions if each.kind == "below the threshold"]
        for served, item, choices in self.explain_choices(found):
            kept = [(each.choice, each.score) for each in choices if each.kind == "kept"]
            regions += served.control.regions(identity, item, kept)
            hidden += [each.score for each in choices if each.kind == "below the threshold" and not kept]
        return self._prediction(regions, hidden, model_version)

    def explain(
        self, found: Mapping[ImageField, Sequence[ModelResults]]
    ) -> Iterator[tuple[RectangleControl, int, Detections, list[FilterDecision]]]:
        """Yield a control, the index of an image, its detections and a decision on each, for each image of each rectangle control.

        Args:
            found: results by field of the task's data, one for each image in that field.
        """
        for control, label_map in self.rectangles:
            for item, results in enumerate(found[control.image_field]):
                detections = results.boxes_in(control.models)
                yield control, item, detections, select(detections, control, label_map, self.score_threshold)

    def explain_choices(
        self, found: Mapping[ImageField, Sequence[ModelResults]]
    ) -> Iterator[tuple[ServedChoices, int, list[ChoiceDecision]]]:
        """Yield a control that classifies images, the index of an image, and a decision on each choice.

        All images of a list are decided on together, under the first index, unless the control has ``perItem``. An empty list has no choices.
        """
        for served in self.choices:
            images = found[served.control.image_field]
            for item in range(len(images) if served.control.per_item else min(1, len(images))):
                yield served, item, served.decide(served.group(images, item), self.score_threshold)

    def predict_drawn(
        self, drawn: DrawnRegion, detections: Detections, task_id: object, model_version: str
    ) -> Prediction:
        """Answer a drawn rectangle with the detection that fits it best, under the drawn label, or with the rectangle itself.

        With Auto-Accept, Label Studio replaces the drawn rectangle by the answer, so an empty answer would delete it. The score of a
        prediction with the rectangle itself is 1, since a person drew it. (Label Studio stores neither.)

        Args:
            drawn: the region that the annotator drew.
            detections: of the image that it was drawn on.
            task_id: part of region ids, so that they differ between tasks.
            model_version: of the prediction.
        """
        label_map = next(label_map for control, label_map in self.rectangles if control == drawn.control)
        row = select_detection(drawn, detections, label_map)
        identity = (task_id, model_version, drawn.region_id)
        control, item = drawn.control, drawn.item
        regions = [] if row is None else control.regions(identity, item, detections, [(row, drawn.label)])
        regions = regions or control.rectangle(region_id(*identity), item, detections, drawn.rectangle, drawn.label)
        return self._prediction([*regions], [], model_version)

    def _prediction(
        self, regions: list[Region | ChoiceRegion], hidden: Sequence[float], model_version: str
    ) -> Prediction:
        # A pair of tags writes one rectangle as two regions with one id.
        scores = {region["id"]: region["score"] for region in regions if "score" in region}
        score = task_score(list(scores.values()), hidden, self.score_threshold)
        return {"result": regions, "score": score, "model_version": model_version}


def _digest(
    rectangles: Sequence[tuple[RectangleControl, LabelMap]],
    choices: Sequence[ServedChoices],
    score_threshold: float,
    revision: int,
) -> str:
    # The label of each class is part of the digest, since synonyms and hierarchy may differ between releases.
    label_maps = [label_map for _, label_map in rectangles] + [each.label_map for each in choices]
    goes_to = [
        sorted((known, assignment.label.value) for known, assignment in label_map.captured().items())
        for label_map in label_maps
    ]
    decisive = [control.decisive() for control, _ in rectangles] + [each.control.decisive() for each in choices]
    # Classes outside the vocabulary are assigned by name, which the controls determine, or by corrections.
    corrected = [label_map.corrected() for _, label_map in rectangles]
    optional: list[object] = [corrected] if any(corrected) else []
    class_thresholds = [label_map.class_thresholds() for _, label_map in rectangles]
    if any(class_thresholds):
        optional.append(class_thresholds)
    splits = [{known: split.to_json() for known, split in label_map.splits().items()} for _, label_map in rectangles]
    if any(splits):
        optional.append({"splits": splits})
    if choices:
        optional.append(CHOICE_RULES)
    decided = json.dumps([RULES, decisive, goes_to, score_threshold, *optional])
    if revision:
        decided += f" revision {revision}"
    return hashlib.sha256(decided.encode()).hexdigest()[:6]
