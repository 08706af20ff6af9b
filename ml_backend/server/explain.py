"""Makes the response of ``/explain``."""

from collections.abc import Sequence

from ml_backend.detections import Detections
from ml_backend.label_studio.controls.control import Control
from ml_backend.postprocessing.selection import FilterDecision
from ml_backend.server.schemas import ExplainedDetection, ExplainedImage


def explain_image(
    control: Control, item: int, detections: Detections, decisions: Sequence[FilterDecision]
) -> ExplainedImage:
    """Return the detections of one image with the decision on each under one control, in the order of their scores."""
    return ExplainedImage(
        from_name=control.from_name,
        to_name=control.to_name,
        item_index=item,
        width=detections.width,
        height=detections.height,
        detections=[_explain(detections, decision) for decision in decisions],
    )


def _explain(detections: Detections, decision: FilterDecision) -> ExplainedDetection:
    return ExplainedDetection(
        number=decision.row + 1,
        class_name=detections.class_names[decision.row],
        class_mid=detections.class_mids[decision.row],
        score=round(float(detections.scores[decision.row]), 4),
        box=[round(float(edge), 6) for edge in detections.boxes[decision.row]],
        fate=decision.kind,
        reason=decision.reason,
        label=decision.label,
        rule=decision.assignment.rule if decision.assignment else "",
    )
