"""Reads annotations of Label Studio and payloads of trusted events; both may hold any values."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ml_backend.errors import FeedbackError, LabelConfigError
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.feedback.store.database import storable
from ml_backend.label_studio.controls.control import Control
from ml_backend.label_studio.events import MAX_ID
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.label_studio.labelled_boxes import number


def without_regions(annotation: Mapping[str, Any], project: int, task: int) -> Annotation:
    """Return the record of an annotation, without regions and images."""
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        who = who.get("id")
    seconds = number(annotation.get("lead_time"))
    return Annotation(
        id=int(annotation["id"]),
        project=project,
        task=task,
        annotator=who if isinstance(who, int) and 0 < who <= MAX_ID else None,
        updated_at=updated_at_of(annotation),
        skipped=bool(annotation.get("was_cancelled")),
        seconds=seconds if 0 <= seconds < math.inf else None,
    )


def updated_at_of(annotation: Mapping[str, Any]) -> str:
    """Return the time of the last update of an annotation, as a text that the database accepts."""
    return storable(str(annotation.get("updated_at") or ""), 60)


def has_id(annotation: object) -> bool:
    """Tell whether an annotation has a valid id."""
    given = annotation.get("id") if isinstance(annotation, dict) else None
    return isinstance(given, int) and not isinstance(given, bool) and 0 < given <= MAX_ID


@lru_cache(maxsize=16)
def controls_of(label_config: str) -> Sequence[Control]:
    """Return the controls of a label config; none if it cannot be served."""
    try:
        return parse_label_config(label_config)[0]
    except LabelConfigError:
        return ()


def read_payload(payload: bytes, max_config_length: int) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return annotation, task and label config of a trusted event; the first two are empty for an event about a project.

    Args:
        payload: of the event.
        max_config_length: most characters of the label config.

    Raises:
        FeedbackError: a part has a wrong type, or the label config is too long.
    """
    values = json.loads(payload)
    annotation, task, label_config = values["annotation"] or {}, values["task"] or {}, values["label_config"]
    if not isinstance(annotation, dict) or not isinstance(task, dict) or not isinstance(label_config, str):
        raise FeedbackError("the event does not hold annotation, task and label config")
    if len(label_config) > max_config_length:
        raise FeedbackError("the event's label config is over the limit (PRELABEL_LABEL_CONFIG_MAX_BYTES)")
    return annotation, task, label_config
