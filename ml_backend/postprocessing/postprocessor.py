"""What is decided once per label config, and applied to each picture's detections."""

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

RULES = 3  # raise when the rules of selection or regions change, since then predictions do


@dataclass(frozen=True)
class Postprocessor:
    """A label config and thresholds, ready to turn detections into predictions.

    Attributes:
        controls: each rectangle control with its label map.
        score_threshold: lowest score that is shown, 0 to 1.
        digest: 6 hex digits that change when the policy would answer differently, and with each revision of what was learned.
        warnings: what a person should know about the config, one sentence each.
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
        """Decide the policy.

        Args:
            xml: the project's label config.
            score_threshold: lowest score that is shown, 0 to 1.
            class_list: the classes that the detector knows, to find labels that can never appear; None where that is unknown.
            overrides: what corrections have taught about the project.
            max_controls: the most rectangle controls; None for no limit.

        Raises:
            LabelConfigError: the config cannot be served; the message says what it lacks.
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
        # What each class goes to counts beside the config's words: synonyms and hierarchy may differ between releases.
        goes_to = [
            sorted((mid, assignment.label.value) for mid, assignment in label_map.captured().items())
            for _, label_map in mapped
        ]
        # What is only a wish for later decides nothing now.
        read = [
            {name: value for name, value in asdict(each).items() if name != "target_precision"} for each in controls
        ]
        # Classes that are not of Open Images go where they are called, which the controls say, or where corrections say.
        corrected = [label_map.corrected() for _, label_map in mapped]
        optional = [corrected] if any(corrected) else []
        decided = json.dumps([RULES, read, goes_to, score_threshold, *optional])
        if overrides.revision:
            decided += f" revision {overrides.revision}"
        digest = hashlib.sha256(decided.encode()).hexdigest()[:6]
        return cls(controls=mapped, score_threshold=score_threshold, digest=digest, warnings=warnings)

    @property
    def image_fields(self) -> list[ImageField]:
        """Where a task's data holds the images, each once."""
        return list(dict.fromkeys(control.image_field for control, _ in self.controls))

    def limited_to(self, drawable: Mapping[str, Collection[str]]) -> Self:
        """Return the policy with fewer labels: what it would be if the label config had no others.

        Args:
            drawable: the labels that stay, by ``from_name`` of their control. A control without any goes.
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
        """Turn what was found in a task's images into its prediction.

        Args:
            task_id: makes region ids differ between tasks.
            found: detections of each image by where it is, as many as the list there has images.
            model_version: what the prediction carries.
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
        """Yield, for each control and each of its images, what becomes of every detection in it.

        Args:
            found: detections of each image by where it is.
        """
        for control, label_map in self.controls:
            for item, detections in enumerate(found[control.image_field]):
                yield control, item, detections, select(detections, control, label_map, self.score_threshold)

    def predict_drawn(
        self, drawn: DrawnRegion, detections: Detections, task_id: object, model_version: str
    ) -> Prediction:
        """Answer a drawn rectangle with the detection that fits it best, under the drawn label, or with the rectangle itself.

        With Auto-Accept, Label Studio deletes the drawn rectangle and keeps what it is answered with, so nothing would delete it. The
        prediction's score is then 1: nothing that a person drew is in doubt. (Label Studio stores neither.)

        Args:
            drawn: what the annotator drew.
            detections: of the image that it was drawn on.
            task_id: makes region ids differ between tasks.
            model_version: what the prediction carries.
        """
        label_map = next(label_map for control, label_map in self.controls if control == drawn.control)
        row = select_detection(drawn, detections, label_map)
        identity = (task_id, model_version, drawn.region_id)
        control, item = drawn.control, drawn.item
        regions = [] if row is None else control.regions(identity, item, detections, [(row, drawn.label)])
        regions = regions or control.rectangle(region_id(*identity), item, detections, drawn.rectangle, drawn.label)
        return self._prediction(regions, [], model_version)

    def _prediction(self, regions: list[Region], hidden: Sequence[float], model_version: str) -> Prediction:
        # A pair writes one rectangle as two regions.
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
