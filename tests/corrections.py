"""Annotation records that tests make themselves."""

from typing import Any

from samples import BALLOON_CONFIG

from ml_backend.detections import Detections
from ml_backend.feedback.store.annotation_records import AnnotatedImage, Annotation
from ml_backend.label_studio.labelled_boxes import LabelledBox
from ml_backend.label_studio.labelled_choices import LabelledChoices
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.postprocessing.postprocessor import Postprocessor

Edges = tuple[float, float, float, float]

BOX = (0.1, 0.1, 0.5, 0.5)
NEARLY = (0.1, 0.1, 0.5, 0.49)  # IoU 0.975 with BOX
MOVED = (0.1, 0.1, 0.5, 0.4)  # IoU 0.75
LESS = (0.1, 0.1, 0.5, 0.28)  # IoU 0.45
AWAY = (0.6, 0.6, 0.9, 0.9)

PAIR_CONFIG = (
    '<View><Image name="image" value="$image"/><Rectangle name="box" toName="image"/>'
    '<Labels name="what" toName="image"><Label value="Balloon"/><Label value="Kite"/></Labels></View>'
)
PEOPLE_CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="Person"/><Label value="Clothing"/><Label value="Worker"/></RectangleLabels></View>'
)
SCENE = (
    '<Choices name="scene" toName="image" choice="multiple"><Choice value="Dog"/><Choice value="Cat"/>'
    '<Choice value="Boat"/></Choices>'
)
SCENE_CONFIG = f'<View><Image name="image" value="$image"/>{SCENE}</View>'
MIXED_CONFIG = BALLOON_CONFIG.replace("</View>", f"{SCENE}</View>")

LABELS = ("Kite", "Balloon", "Box", "Person", "Clothing", "Worker", "Stock", "Pet", "Carnivore", "Animal", "Other")
DRAWABLE = dict.fromkeys(("label", "other", "box", "a", "b"), LABELS)


def postprocessor_of(
    xml: str = BALLOON_CONFIG, *, score_threshold: float = 0.3, overrides: LabelOverrides = NO_OVERRIDES
) -> Postprocessor:
    """Return the postprocessor of a label config, for any detector."""
    return Postprocessor.from_label_config(xml, score_threshold=score_threshold, overrides=overrides)


def box(label: str, edges: Edges = BOX, *, control: str = "label", item: int = 0) -> LabelledBox:
    """Return a box that somebody drew, or was shown."""
    return LabelledBox(control, item, label, edges)


def chosen(*texts: str, control: str = "scene", item: int = 0) -> LabelledChoices:
    """Return choices that somebody submitted, or was shown."""
    return LabelledChoices(control, item, texts)


def classified(shown: str | None, submitted: str, number: int = 1, /, **more: Any) -> Annotation:
    """Return an annotation with choices, each text as words; nothing was shown where it is None."""
    choices = (chosen(*submitted.split()),) if submitted else ()
    before = None if shown is None else (chosen(*shown.split()),) if shown else ()
    boxes = None if shown is None else ()
    facts = {"drawable": {"scene": ()}, "shown": boxes, "shown_choices": before, "choices": choices}
    return annotation(number=number, **(facts | more))


def cell(number: int) -> Edges:
    """Return one of a hundred places that lie apart from each other."""
    row, column = divmod(number, 10)
    return (row / 10, column / 10, row / 10 + 0.08, column / 10 + 0.08)


def seen(*found: Detections, key: str = "image") -> tuple[AnnotatedImage, ...]:
    """Return the images of a task, one for each set of detections."""
    return tuple(AnnotatedImage(key, item, f"{item}.jpg", each) for item, each in enumerate(found))


def annotation(*drawn: LabelledBox, number: int = 1, **more: Any) -> Annotation:
    """Return an annotation of project 3 with some boxes, made when all labels of these tests could be drawn; what nobody says is not there."""
    facts: dict[str, Any] = {
        "project": 3,
        "task": number,
        "annotator": 1,
        "updated_at": "2026-01-01T00:00:00Z",
        "skipped": False,
        "drawable": DRAWABLE,
    }
    return Annotation(id=number, drawn=drawn, **(facts | more))
