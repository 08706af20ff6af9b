"""What is decided once per label config, and applied to each picture's detections."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from ml_backend.detections import Detections
from ml_backend.errors import LabelConfigError
from ml_backend.labels.config import Control, parse_label_config
from ml_backend.labels.mapping import LabelMap
from ml_backend.labels.regions import Prediction, Region, rectangle, region, region_id, task_score
from ml_backend.open_images import ClassList

RULES = 1  # raise when the rules of mapping, selection or regions change, since then predictions do


@dataclass(frozen=True)
class Policy:
    """A label config and thresholds, ready to turn detections into predictions.

    Attributes:
        controls: each rectangle control with its label map.
        score_threshold: lowest score that is shown, 0 to 1.
        digest: 6 hex digits that change exactly when the policy would answer differently.
        warnings: what a person should know about the config, one sentence each.
    """

    controls: tuple[tuple[Control, LabelMap], ...]
    score_threshold: float
    digest: str
    warnings: tuple[str, ...]

    @classmethod
    def from_label_config(cls, xml: str, *, score_threshold: float, class_list: ClassList | None) -> Self:
        """Decide the policy.

        Args:
            xml: the project's label config.
            score_threshold: lowest score that is shown, 0 to 1.
            class_list: the classes that the detector knows, to find labels that can never appear; None where that is unknown.

        Raises:
            LabelConfigError: the config cannot be served; the message says what it lacks.
        """
        controls, warnings = parse_label_config(xml)
        mapped = tuple((control, LabelMap(control.labels)) for control in controls)
        if class_list is not None:
            warnings += _unreachable_labels(mapped, class_list)
        decided = json.dumps([RULES, [asdict(control) for control in controls], score_threshold])
        digest = hashlib.sha256(decided.encode()).hexdigest()[:6]
        return cls(controls=mapped, score_threshold=score_threshold, digest=digest, warnings=warnings)

    @property
    def data_keys(self) -> tuple[str, ...]:
        """Keys of a task's data that hold the images, each once."""
        return tuple(dict.fromkeys(control.data_key for control, _ in self.controls))

    def predict(self, task_id: object, detections_by_key: Mapping[str, Detections], model_version: str) -> Prediction:
        """Turn the detections of a task's images, by data key, into its prediction."""
        regions: list[Region] = []
        hidden: list[float] = []
        for control, label_map in self.controls:
            detections = detections_by_key[control.data_key]
            size = (detections.width, detections.height)
            for row, (name, mid) in enumerate(zip(detections.class_names, detections.class_mids, strict=True)):
                label = label_map.label_for(name, mid)
                value = rectangle(detections.boxes[row], label) if label is not None else None
                if value is None:
                    continue
                score = float(detections.scores[row])
                if score < self.score_threshold:
                    hidden.append(score)
                    continue
                regions.append(region(region_id(task_id, model_version, control, row), control, value, score, size))
        score = task_score([each["score"] for each in regions], hidden)
        return {"result": regions, "score": score, "model_version": model_version}


def _unreachable_labels(mapped: tuple[tuple[Control, LabelMap], ...], class_list: ClassList) -> tuple[str, ...]:
    unknown: list[str] = []
    known = 0
    for control, label_map in mapped:
        reached = label_map.labels_reached(class_list)
        known += len(reached)
        unknown += [label.value for label in control.labels if label.value not in reached]
    if not unknown:
        return ()
    names = ", ".join(unknown[:10]) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
    advice = 'give such a label predicted_values="…" with the class names or MIDs that it stands for'
    if known == 0:
        raise LabelConfigError(f"the detector knows none of the labels of this config ({names}); {advice}")
    return (f"the detector knows no class for: {names}; {advice}",)
