"""The classes of each label of a control, the labels without one, and the classes without a label."""

import difflib
from collections.abc import Sequence
from typing import Any

from ml_backend.label_studio.controls.choices import ChoicesControl, TaxonomyItem
from ml_backend.label_studio.controls.control import Control, Label
from ml_backend.model_results import ModelKind
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.vocabularies.class_list import ClassList, ModelClass
from ml_backend.vocabularies.imagenet import imagenet_classes, imagenet_synsets
from ml_backend.vocabularies.open_images import open_images_classes

MAX_NEAR = 50  # labels of a control that get near names: each takes up to five milliseconds, and nobody reads more


def vocabulary_of(model: ModelKind) -> ClassList:
    """Return the classes by whose hierarchy labels get theirs: those of WordNet for a classifier, of Open Images for a detector."""
    return imagenet_synsets() if model == "classifier" else open_images_classes()


def classes_of(model: ModelKind) -> tuple[ModelClass, ...]:
    """Return the classes of the published model of a kind."""
    return imagenet_classes() if model == "classifier" else open_images_classes().classes()


def label_coverage(control: Control, classes: Sequence[ModelClass] | None = None) -> dict[str, Any]:
    """Return the classes of each label as plain JSON values.

    Args:
        control: with the source of its results decided.
        classes: of the model; by default those of the published one.

    Returns:
        ``labels``, each with its ``classes`` (name, id as ``mid``, rule, and name of the ancestor that has the label), with ``below`` where
        a choice has only those of the choices below it, and with ``near`` names where no class reaches it, the first :data:`MAX_NEAR` of
        them; ``left_out``, the names of the classes without a label; ``classes``, their number; and ``notes`` on words with several meanings.
    """
    known = classes_of(control.model) if classes is None else classes
    vocabulary = vocabulary_of(control.model)
    label_map = LabelMap(control, vocabulary)
    left_out: list[str] = []
    by_label: dict[Label, list[dict[str, str]]] = {}
    for each in known:
        found = label_map.assignment(*each)
        if found is None:
            left_out.append(each.name)
            continue
        ancestor = vocabulary.name_by_id.get(found.ancestor, "")
        entry = {"name": each.name, "mid": each.id, "rule": found.rule, "ancestor": ancestor}
        by_label.setdefault(found.label, []).append(entry)
    paths = [label.path for label in by_label if isinstance(label, TaxonomyItem)]
    described: list[dict[str, Any]] = []
    unreached = 0
    for label in control.labels:
        own = by_label.get(label, [])
        is_above = isinstance(label, TaxonomyItem) and any(path[: len(label.path)] == label.path for path in paths)
        is_reached = bool(own) or is_above
        unreached += not is_reached
        near = [] if is_reached or unreached > MAX_NEAR else near_names(label.names[0], vocabulary, known)
        described.append(
            {
                "label": label.value,
                "classes": own,
                "below": is_above and not own,
                "near": near,
            }
        )
    return {
        "control": control.from_name,
        "image": control.to_name,
        "kind": "choice" if isinstance(control, ChoicesControl) else "label",
        "model": control.model,
        "labels": described,
        "left_out": left_out,
        "classes": len(known),
        "notes": label_map.ambiguities(control.labels) if control.model == "classifier" else [],
    }


def near_names(text: str, vocabulary: ClassList, classes: Sequence[ModelClass]) -> list[str]:
    """Return up to three names of classes, and of the groups above them, that are spelled nearly like a text, the nearest first."""
    names = {each.casefold(): each for each in (*vocabulary.names, *(name for name, _ in classes))}
    return [names[each] for each in difflib.get_close_matches(text.casefold(), names, n=3)]
