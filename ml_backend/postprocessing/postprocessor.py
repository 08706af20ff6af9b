"""From the detections of a task to its prediction, under one label config."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Self

from ml_backend.detections import Detections
from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.control import Control, ImageField
from ml_backend.label_studio.interactive import DrawnRegion
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.label_studio.regions import Prediction, Region, region_id
from ml_backend.postprocessing.interactive import select_detection
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.postprocessing.selection import FilterDecision, select
from ml_backend.postprocessing.task_score import task_score
from ml_backend.redaction import printable
from ml_backend.vocabularies.open_images import ClassList

RULES = 3  # part of the digest; raise it when the rules of selection or regions change


@dataclass(frozen=True)
class Postprocessor:
    """A label config and thresholds, ready to turn detections into predictions.

    Attributes:
        controls: each rectangle control with its label map.
        score_threshold: lowest score that is shown, 0 to 1.
        digest: 6 hex digits that change when predictions would, and with each revision of learned thresholds and labels.
        warnings: problems of the label config, one sentence each.
    """

    controls: tuple[tuple[Control, LabelMap], ...]
    score_threshold: float
    digest: str
    warnings: tuple[str, ...]
    _limited: dict[object, Self] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def from_label_config(
        cls,
        xml: str,
        *,
        score_threshold: float,
        class_list: ClassList | None,
        overrides: LabelOverrides = NO_OVERRIDES,
        max_controls: int | None = None,
    ) -> Self:
        """Parse a label config and compute its label maps.

        Args:
            xml: the project's label config.
            score_threshold: lowest score that is shown, 0 to 1.
            class_list: the classes of the detector, to find labels without any class; None where they are unknown.
            overrides: thresholds and labels that were learned from corrections of the project.
            max_controls: the largest number of rectangle controls; None for no limit.

        Raises:
            LabelConfigError: the config cannot be served; the message gives the reason.
        """
        parsed, warnings = parse_label_config(xml)
        if max_controls is not None and len(parsed) > max_controls:
            raise LabelConfigError(
                f"the label config has {len(parsed)} rectangle controls; the limit is {max_controls} (PRELABEL_MAX_CONTROLS)"
            )
        controls = [overrides.applied_to(control, score_threshold) for control in parsed]
        mapped = tuple((control, LabelMap(control, overrides=overrides)) for control in controls)
        if class_list is not None:
            warnings += _unreachable_labels(mapped)
        # The label of each class is part of the digest, since synonyms and hierarchy may differ between releases.
        goes_to = [
            sorted((mid, assignment.label.value) for mid, assignment in label_map.captured().items())
            for _, label_map in mapped
        ]
        # A target precision does not change predictions.
        read = [
            {name: value for name, value in asdict(each).items() if name != "target_precision"} for each in controls
        ]
        # Classes outside Open Images are assigned by name, which the controls determine, or by corrections.
        corrected = [label_map.corrected() for _, label_map in mapped]
        optional = [corrected] if any(corrected) else []
        decided = json.dumps([RULES, read, goes_to, score_threshold, *optional])
        if overrides.revision:
            decided += f" revision {overrides.revision}"
        digest = hashlib.sha256(decided.encode()).hexdigest()[:6]
        return cls(controls=mapped, score_threshold=score_threshold, digest=digest, warnings=warnings)

    @property
    def image_fields(self) -> list[ImageField]:
        """The fields of a task's data that hold images, each once."""
        return list(dict.fromkeys(control.image_field for control, _ in self.controls))

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
        controls = []
        for control, label_map in self.controls:
            labels = tuple(label for label in control.labels if label.value in drawable.get(control.from_name, ()))
            if labels == control.labels:
                controls.append((control, label_map))
            elif labels:
                limited = replace(control, labels=labels)
                controls.append((limited, LabelMap(limited, overrides=label_map.overrides)))
        return replace(self, controls=tuple(controls))

    def predict(
        self, task_id: object, found: Mapping[ImageField, Sequence[Detections]], model_version: str
    ) -> Prediction:
        """Turn the detections in a task's images into its prediction.

        Args:
            task_id: part of region ids, so that they differ between tasks.
            found: detections by field of the task's data, one for each image in that field.
            model_version: of the prediction.
        """
        regions: list[Region] = []
        hidden: list[float] = []
        for control, item, detections, decisions in self.explain(found):
            shown = [(each.row, each.label) for each in decisions if each.kind == "kept"]
            regions += control.regions((task_id, model_version), item, detections, shown)
            hidden += [float(detections.scores[each.row]) for each in decisions if each.kind == "below the threshold"]
        return self._prediction(regions, hidden, model_version)

    def explain(
        self, found: Mapping[ImageField, Sequence[Detections]]
    ) -> Iterator[tuple[Control, int, Detections, list[FilterDecision]]]:
        """Yield a control, the index of an image, its detections and a decision on each, for each image of each control.

        Args:
            found: detections by field of the task's data, one for each image in that field.
        """
        for control, label_map in self.controls:
            for item, detections in enumerate(found[control.image_field]):
                yield control, item, detections, select(detections, control, label_map, self.score_threshold)

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
        label_map = next(label_map for control, label_map in self.controls if control == drawn.control)
        row = select_detection(drawn, detections, label_map)
        identity = (task_id, model_version, drawn.region_id)
        control, item = drawn.control, drawn.item
        regions = [] if row is None else control.regions(identity, item, detections, [(row, drawn.label)])
        regions = regions or control.rectangle(region_id(*identity), item, detections, drawn.rectangle, drawn.label)
        return self._prediction(regions, [], model_version)

    def _prediction(self, regions: list[Region], hidden: Sequence[float], model_version: str) -> Prediction:
        # A pair of tags writes one rectangle as two regions with one id.
        scores = {region["id"]: region["score"] for region in regions if "score" in region}
        score = task_score(list(scores.values()), hidden, self.score_threshold)
        return {"result": regions, "score": score, "model_version": model_version}


def _unreachable_labels(mapped: tuple[tuple[Control, LabelMap], ...]) -> tuple[str, ...]:
    unknown: list[str] = []
    known = 0
    for control, label_map in mapped:
        reached = {assignment.label for assignment in label_map.captured().values()}
        known += len(reached)
        unknown += [label.names[0] for label in control.labels if label not in reached]
    if not unknown:
        return ()
    names = printable(", ".join(unknown[:10]), 300) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
    advice = 'give such a label predicted_values="…" with the class names or MIDs that it stands for'
    if known == 0:
        raise LabelConfigError(f"the detector knows none of the labels of this config ({names}); {advice}")
    return (f"the detector knows no class for: {names}; {advice}",)
