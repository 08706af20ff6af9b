"""Access to the parts of a Label Studio task. Tasks are untrusted input and may have any form."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

from ml_backend.errors import TaskError
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.redaction import printable


def task_id(task: object) -> object:
    """Return the id of a task, or None where it has none or is not an object."""
    return task.get("id") if isinstance(task, dict) else None


def is_task_id(value: object) -> TypeGuard[int]:
    """Tell whether a value can be a task id of Label Studio, 1 to 2**63 - 1, so that it is safe in an address."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 63


def data_of(task: object) -> object:
    """Return the data of a task, or None where it has none or is not an object."""
    return task.get("data") if isinstance(task, dict) else None


def images_of(task: object, image_fields: Sequence[ImageField]) -> dict[ImageField, list[object]]:
    """Return the image references of a task by field, as a list also where the field has one image.

    Raises:
        TaskError: the task lacks a field of the label config, or has another type there.
    """
    if isinstance(task, TaskError):  # from the parser of the request body
        raise task
    if not isinstance(task, dict):
        raise TaskError(f"the task is not an object but {type(task).__name__}")
    data = data_of(task)
    if not isinstance(data, dict):
        raise TaskError("the task has no object under 'data'")
    found: dict[ImageField, list[object]] = {}
    for image_field in image_fields:
        if image_field.key not in data:
            present = printable(", ".join(repr(str(key)[:50]) for key in islice(data, 10)), 200) or "nothing"
            raise TaskError(
                f"the task's data has no {image_field.key!r}, where the label config says its image is (it has {present})"
            )
        value = data[image_field.key]
        if image_field.is_list and not isinstance(value, list):
            raise TaskError(
                f"the task's data has no list under {image_field.key!r}, where the label config says its images are"
            )
        found[image_field] = value if image_field.is_list else [value]
    return found


def task_of_file(number: int, path: Path, image_fields: Sequence[ImageField]) -> dict[str, Any]:
    """Return a task whose image, in each of the fields, is one file of this machine."""
    return {
        "id": number,
        "data": {image_field.key: [path] if image_field.is_list else path for image_field in image_fields},
    }
