"""The controls of a label config that the models can serve, and sentences about the others."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.choices import ChoicesControl, TaxonomyControl, TaxonomyItem
from ml_backend.label_studio.controls.control import Control, ImageField
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.model_results import ModelKind
from ml_backend.postprocessing.choices import ServedChoices
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.redaction import printable
from ml_backend.vocabularies.class_list import ModelClass
from ml_backend.vocabularies.imagenet import imagenet_synsets

KnownClasses = Mapping[ModelKind, tuple[ModelClass, ...] | None]
"""The classes of each model that there is; None for a model with unknown classes."""

ANY_MODELS: KnownClasses = {"detector": None, "classifier": None}


def needs_of(controls: Sequence[Control]) -> dict[ImageField, frozenset[ModelKind]]:
    """Return the image fields of served controls, each with the models whose results are needed."""
    found: dict[ImageField, frozenset[ModelKind]] = {}
    for control in controls:
        found[control.image_field] = found.get(control.image_field, frozenset()) | control.models
    return found


def served_controls(
    parsed: Sequence[Control], kinds: Collection[ModelKind], tiles: int = 0
) -> tuple[list[Control], list[str]]:
    """Return the controls that the models can serve, with their sources and tiles decided, and a sentence for each of the others.

    Args:
        parsed: the controls of a label config.
        kinds: the models that there are.
        tiles: number of tiles along each side for controls that do not say, at most (``PRELABEL_TILES``).
    """
    served: list[Control] = []
    problems: list[str] = []
    for given in parsed:
        control = given
        if isinstance(control, ChoicesControl) and not control.source:
            control = replace(control, source="classifier" if "classifier" in kinds else "detections")
        if isinstance(control, RectangleControl) and control.tiles is None:
            control = replace(control, tiles=tiles)
        if control.model in kinds:
            served.append(control)
            continue
        missing = "classifier (PRELABEL_CLASSIFIER)" if control.model == "classifier" else "detector (PRELABEL_MODEL)"
        problems.append(f"the control {printable(control.from_name, 100)!r} is not served: it needs a {missing}")
    return served, problems


def serve_choices(
    controls: Sequence[ChoicesControl], classes: KnownClasses
) -> tuple[tuple[ServedChoices, ...], list[str]]:
    """Return the controls that some class reaches, and a sentence for each of the others, which ask about other things."""
    found: list[ServedChoices] = []
    problems: list[str] = []
    for control in controls:
        of_model = classes[control.model]
        if control.model == "classifier":
            served = ServedChoices(control, LabelMap(control, imagenet_synsets()), of_model or ())
        else:
            served = ServedChoices(control, LabelMap(control), ())
        if of_model is None or any(served.label_map.assignment(*each) for each in of_model):
            found.append(served)
            continue
        first = printable(", ".join(label.names[0] for label in control.labels[:5]), 200)
        problems.append(
            f"the control {printable(control.from_name, 100)!r} is not served: the {control.model} knows none of its choices ({first}); "
            'predicted_values="…" gives a choice class names or ids'
        )
    return tuple(found), problems


def unreachable_labels(
    rectangles: Sequence[tuple[RectangleControl, LabelMap]],
    choices: Sequence[ServedChoices],
    classes: KnownClasses,
    *,
    teachable: bool,
) -> tuple[str, ...]:
    """Return sentences about labels and choices that no class of the models reaches, and about words with several meanings.

    Args:
        rectangles: the served controls of boxes.
        choices: the served controls of choices.
        classes: of the models.
        teachable: whether corrections of boxes can teach labels.

    Raises:
        LabelConfigError: no label of the whole config is reached, and none can be taught.
    """
    unknown: dict[ModelKind, list[str]] = {"detector": [], "classifier": []}
    known = 0
    pairs: list[tuple[Control, LabelMap]] = [*rectangles, *((each.control, each.label_map) for each in choices)]
    for control, label_map in pairs:
        of_model = classes[control.model]
        if of_model is None:
            known += 1
            continue
        reached = {label for each in of_model for label in label_map.labels_of(*each)}
        known += len(reached)
        unreached = [label for label in control.labels if label not in reached]
        if isinstance(control, TaxonomyControl):  # an item is reached by those below it
            above = {
                label.path[:depth]
                for label in reached
                if isinstance(label, TaxonomyItem)
                for depth in range(len(label.path))
            }
            unreached = [label for label in unreached if not (isinstance(label, TaxonomyItem) and label.path in above)]
        unknown[control.model] += [label_map.described(label) for label in unreached]
    advice = 'give such a label predicted_values="…" with the class names or ids that it stands for'
    problems = []
    for kind, names in unknown.items():
        if names:
            shown = printable(", ".join(names[:10]), 300) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
            problems.append((kind, shown))
    if problems and known == 0:
        reasons = "; ".join(f"the {kind} knows none of the labels of this config ({shown})" for kind, shown in problems)
        if not (teachable and rectangles):
            raise LabelConfigError(f"{reasons}; {advice}")
        return (f"{reasons}: no box is shown until corrections have taught them; or {advice}",)
    return tuple(f"the {kind} knows no class for: {shown}; {advice}" for kind, shown in problems) + tuple(
        sentence for each in choices for sentence in each.label_map.ambiguities(each.control.labels)
    )
