"""Parser of label configs: the control tags that Prelabel serves, with their images, labels and attributes."""

import re
from collections import Counter
from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

from label_studio_sdk.label_interface import LabelInterface

from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.control import Control
from ml_backend.label_studio.controls.registry import READERS
from ml_backend.label_studio.controls.tags import Tags
from ml_backend.redaction import printable
from ml_backend.vocabularies.class_list import ModelClass

# lxml, which the SDK uses, refuses a declared encoding in a decoded text.
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def parse_label_config(xml: str) -> tuple[tuple[Control, ...], tuple[str, ...]]:
    """Return the controls that can be served, and a sentence for each tag and label that cannot.

    Raises:
        LabelConfigError: the text is not a label config, or has no control that can be served.
    """
    try:
        tags = Tags(LabelInterface(_XML_DECLARATION.sub("", xml)))
    except Exception as error:  # the SDK raises a class of its own for XML, and various others
        raise LabelConfigError(f"the label config is not valid XML: {_first_line(error)}") from None
    controls: list[Control] = []
    problems: list[str] = []
    for read in READERS.values():
        found, unserved = read(tags)
        controls += found
        problems += unserved
    if not controls:
        others = ", ".join(sorted({tag.tag for tag in tags.controls})) or "no control tag at all"
        missing = f"the label config has no {', and no '.join(READERS)} (it has {others})"
        raise LabelConfigError("; ".join(problems) or missing)
    return tuple(controls), tuple(problems)


def label_config_for(names: Sequence[str], choices: Sequence[ModelClass] = ()) -> str:
    """Return a label config with the classes of models themselves; its task key is ``image``.

    Each label gets the class of its name only, and no box suppresses another.

    Args:
        names: labels of a rectangle control; none for no control.
        choices: classes of a classifier, for a control of which one is chosen; none for no control. Those with one name have their ids
            added.
    """
    labels = "".join(f"<Label value={quoteattr(name)}/>" for name in names)
    count = Counter(each.name for each in choices)
    shown = "".join(
        f"<Choice value={quoteattr(f'{name} ({known})' if count[name] > 1 else name)} predicted_values={quoteattr(known or name)}/>"
        for name, known in choices
    )
    boxes = (
        '<RectangleLabels name="label" toName="image" model_hierarchy="false" model_nms_iou="1">{}</RectangleLabels>'
    )
    classes = '<Choices name="choice" toName="image" choice="single" model_hierarchy="false">{}</Choices>'
    controls = (boxes.format(labels) if names else "") + (classes.format(shown) if choices else "")
    return f'<View><Image name="image" value="$image"/>{controls}</View>'


def _first_line(error: Exception) -> str:
    return printable(str(error).strip().split("\n")[0] or type(error).__name__, 200)
