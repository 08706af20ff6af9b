"""Parser of label configs: the control tags that Prelabel serves, with their images, labels and attributes."""

import re
from xml.sax.saxutils import quoteattr

from label_studio_sdk.label_interface import LabelInterface

from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.control import Control
from ml_backend.label_studio.controls.registry import READERS
from ml_backend.label_studio.controls.tags import Tags
from ml_backend.redaction import printable

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
        missing = f"the label config has no {', no '.join(READERS)} (it has {others})"
        raise LabelConfigError("; ".join(problems) or missing)
    return tuple(controls), tuple(problems)


def label_config_for(names: tuple[str, ...]) -> str:
    """Return a label config with one rectangle control that has a label for each of ``names``; its task key is ``image``.

    Each label gets the class of its name only, and no box suppresses another: the output of the detector itself.
    """
    labels = "".join(f"<Label value={quoteattr(name)}/>" for name in names)
    return (
        '<View><Image name="image" value="$image"/>'
        f'<RectangleLabels name="label" toName="image" model_hierarchy="false" model_nms_iou="1">{labels}</RectangleLabels></View>'
    )


def _first_line(error: Exception) -> str:
    return printable(str(error).strip().split("\n")[0] or type(error).__name__, 200)
