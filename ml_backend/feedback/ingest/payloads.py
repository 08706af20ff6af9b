"""Reads annotations as Label Studio has them, and events that are trusted. Both come from outside and may hold anything."""

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


def without_boxes(annotation: Mapping[str, Any], project: int, task: int) -> Annotation:
    """Return what an annotation is besides boxes."""
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
    """Return when an annotation was last updated, as a text that can be kept."""
    return storable(str(annotation.get("updated_at") or ""), 60)


def has_id(annotation: object) -> bool:
    """Tell whether an annotation has an id that can be one."""
    given = annotation.get("id") if isinstance(annotation, dict) else None
    return isinstance(given, int) and not isinstance(given, bool) and 0 < given <= MAX_ID


@lru_cache(maxsize=16)
def controls_of(label_config: str) -> Sequence[Control]:
    """Return the rectangle controls of a label config; none where it cannot be served."""
    try:
        return parse_label_config(label_config)[0]
    except LabelConfigError:
        return ()


def read_payload(payload: bytes, longest_config: int) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return annotation, task and label config of an event that is trusted; the first two are empty in one about the project.

    Args:
        payload: of the event.
        longest_config: the most characters of the label config.

    Raises:
        FeedbackError: they are not what they should be.
    """
    values = json.loads(payload)
    annotation, task, label_config = values["annotation"] or {}, values["task"] or {}, values["label_config"]
    if not isinstance(annotation, dict) or not isinstance(task, dict) or not isinstance(label_config, str):
        raise FeedbackError("the event does not hold annotation, task and label config")
    if len(label_config) > longest_config:
        raise FeedbackError("the event's label config is over the limit (PRELABEL_LABEL_CONFIG_MAX_BYTES)")
    return annotation, task, label_config
