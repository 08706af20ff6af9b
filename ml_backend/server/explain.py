"""Makes the response of ``/explain``."""

from ml_backend.detections import Detections
from ml_backend.postprocessing.explanation import ExplainedBoxes, ExplainedChoices, Explanation
from ml_backend.postprocessing.selection import FilterDecision
from ml_backend.server.schemas import (
    ExplainedChoice,
    ExplainedClass,
    ExplainedClassification,
    ExplainedDetection,
    ExplainedImage,
    ExplainResponse,
)

MAX_CLASSES = 20


def explain(explanation: Explanation) -> ExplainResponse:
    """Return the decisions on the detections and the choices of a task."""
    return ExplainResponse(
        images=[_explain_boxes(each) for each in explanation.boxes],
        classifications=[_explain_choices(each) for each in explanation.choices],
    )


def _explain_boxes(explained: ExplainedBoxes) -> ExplainedImage:
    detections = explained.detections
    return ExplainedImage(
        from_name=explained.control.from_name,
        to_name=explained.control.to_name,
        item_index=explained.item,
        width=detections.width,
        height=detections.height,
        detections=[_explain_detection(detections, decision) for decision in explained.decisions],
    )


def _explain_detection(detections: Detections, decision: FilterDecision) -> ExplainedDetection:
    return ExplainedDetection(
        number=decision.row + 1,
        class_name=detections.class_names[decision.row],
        view=detections.view(decision.row) or "whole",
        class_mid=detections.class_mids[decision.row],
        score=round(float(detections.scores[decision.row]), 4),
        box=[round(float(edge), 6) for edge in detections.boxes[decision.row]],
        fate=decision.kind,
        reason=decision.reason,
        label=decision.label,
        rule=decision.assignment.rule if decision.assignment else "",
    )


def _explain_choices(explained: ExplainedChoices) -> ExplainedClassification:
    control = explained.served.control
    return ExplainedClassification(
        from_name=control.from_name,
        to_name=control.to_name,
        item_index=explained.item,
        source=control.source,
        choices=[
            ExplainedChoice(
                choice=decision.choice.value, score=round(decision.score, 4), fate=decision.kind, reason=decision.reason
            )
            for decision in explained.decisions
        ],
        classes=[
            ExplainedClass(
                class_name=each.name,
                class_id=each.id,
                probability=round(probability, 6),
                choice=assignment.label.value if assignment else "",
                rule=assignment.rule if assignment else "",
            )
            for each, probability, assignment in explained.classes[:MAX_CLASSES]
        ],
    )
