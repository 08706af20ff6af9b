"""Writes fates as the answer of ``/explain``."""

from collections.abc import Sequence

from ml_backend.detections import Detections
from ml_backend.label_studio.controls import Control
from ml_backend.postprocessing.selection import Fate
from ml_backend.server.schemas import ExplainedDetection, ExplainedImage


def explain_image(control: Control, item: int, detections: Detections, fates: Sequence[Fate]) -> ExplainedImage:
    """Return what became of the detections of one image under one control, in the order of their scores."""
    return ExplainedImage(
        from_name=control.from_name,
        to_name=control.to_name,
        item_index=item,
        width=detections.width,
        height=detections.height,
        detections=[_explain(detections, fate) for fate in fates],
    )


def _explain(detections: Detections, fate: Fate) -> ExplainedDetection:
    return ExplainedDetection(
        number=fate.row + 1,
        class_name=detections.class_names[fate.row],
        class_mid=detections.class_mids[fate.row],
        score=round(float(detections.scores[fate.row]), 4),
        box=[round(float(edge), 6) for edge in detections.boxes[fate.row]],
        fate=fate.kind,
        reason=fate.reason,
        label=fate.label,
        rule=fate.assignment.rule if fate.assignment else "",
    )
