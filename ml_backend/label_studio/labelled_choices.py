"""Parser of the choices in regions, drawn or predicted. Regions are untrusted input and may have any form."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ml_backend.label_studio.controls.choices import ChoicesControl, TaxonomyControl
from ml_backend.label_studio.controls.control import Control
from ml_backend.label_studio.labelled_boxes import MAX_LABEL_LENGTH, item_of, score_of
from ml_backend.label_studio.regions import PATH_SEPARATOR
from ml_backend.redaction import printable

MAX_CHOICES = 1000  # of one region; the rest are left out


class LabelledChoices(NamedTuple):
    """The choices of one region.

    Attributes:
        control: ``from_name`` of the control.
        item: index of the image in the control's list; 0 where all images are classified together.
        choices: texts, each once; a path through the tree of a ``<Taxonomy>`` is one text.
        score: of the predicted region, 0 to 1; 0 for chosen ones.
    """

    control: str
    item: int
    choices: tuple[str, ...]
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class ReadChoices:
    """The choices in a list of regions.

    Attributes:
        choices: of each region of a control that classifies images.
        odd: number of irregular regions by kind: ``unreadable`` (what is no choice is left out) and ``too many choices`` (cut).
    """

    choices: list[LabelledChoices] = field(default_factory=list)
    odd: Counter[str] = field(default_factory=Counter)


def read_choices(regions: object, controls: Sequence[Control]) -> ReadChoices:
    """Read the choices in the ``result`` of an annotation or a prediction; other regions are left to ``read_regions``.

    Args:
        regions: a list of regions, or any other value.
        controls: the controls of the project.
    """
    read = ReadChoices()
    classifying = {control.from_name: control for control in controls if isinstance(control, ChoicesControl)}
    for region in regions if isinstance(regions, list) and classifying else ():
        control = classifying.get(str(region.get("from_name"))) if isinstance(region, dict) else None
        if control is not None:
            _read_region(region, control, read)
    return read


def _read_region(region: Mapping[str, Any], control: ChoicesControl, read: ReadChoices) -> None:
    is_taxonomy = isinstance(control, TaxonomyControl)
    value = region.get("value")
    given = value.get("taxonomy" if is_taxonomy else "choices") if isinstance(value, dict) else None
    values = given if isinstance(given, list) else [given]
    texts = [_path(each) if is_taxonomy else _text(each) for each in values[:MAX_CHOICES]]
    read.odd["unreadable"] += None in texts
    read.odd["too many choices"] += len(values) > MAX_CHOICES
    chosen = tuple(dict.fromkeys(text for text in texts if text is not None))
    item = item_of(region) if control.per_item else 0
    read.choices.append(LabelledChoices(control.from_name, item, chosen, score_of(region)))


def _text(value: object) -> str | None:
    return printable(value, MAX_LABEL_LENGTH) if isinstance(value, str) and value else None


def _path(value: object) -> str | None:
    if not isinstance(value, list) or not value or not all(isinstance(part, str) and part for part in value):
        return None
    return printable(PATH_SEPARATOR.join(value), MAX_LABEL_LENGTH)
