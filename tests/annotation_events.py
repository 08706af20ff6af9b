"""Events as Label Studio sends them, with an annotation that can be told from the next one."""

import json

from samples import BALLOON_CONFIG

PROJECT = 3


def created(number: int, image: str, label: str = "Balloon", label_config: str = BALLOON_CONFIG) -> bytes:
    """Return the body of the event of a new annotation with one box, whose width is that of :func:`width_of`."""
    value = {"x": 1, "y": 1, "width": width_of(number), "height": 5, "rotation": 0, "rectanglelabels": [label]}
    region = {"id": "r", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": value}
    annotation = {"id": number, "task": number, "result": [region], "updated_at": "2026-01-01"}
    body = {
        "action": "ANNOTATION_CREATED",
        "project": {"id": PROJECT, "label_config": label_config},
        "annotation": annotation,
        "task": {"id": number, "data": {"image": image}},
    }
    return json.dumps(body).encode()


def width_of(number: int) -> int:
    """Return the width of an annotation's box, in percent of the image."""
    return 1 + number % 90
