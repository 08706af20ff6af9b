"""Reads a Label Studio label config: which rectangle controls it has, on which images, with which labels."""

import re
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.control_tags import ControlTag, RectangleLabelsTag
from label_studio_sdk.label_interface.object_tags import ImageTag, ObjectTag

from ml_backend.errors import LabelConfigError
from ml_backend.redaction import printable

# lxml, below the SDK, refuses a declared encoding in a text that is decoded already.
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


@dataclass(frozen=True, slots=True)
class Label:
    """One ``<Label>`` of a control.

    Attributes:
        value: what a region carries: the label's ``alias`` where it has one, else its ``value``.
        names: what the label is called, ``value`` and ``alias``.
        predicted_values: class names or MIDs that the attribute of that name lists.
    """

    value: str
    names: tuple[str, ...]
    predicted_values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Control:
    """One ``<RectangleLabels>`` control tag.

    Attributes:
        from_name: its ``name``.
        to_name: the ``name`` of the ``<Image>`` that it draws on.
        data_key: the key of a task's data that holds that image, or its list of images.
        is_list: whether the image tag takes a list (``valueList``).
        labels: in the order of the config.
    """

    from_name: str
    to_name: str
    data_key: str
    labels: tuple[Label, ...]
    is_list: bool = False


def parse_label_config(xml: str) -> tuple[tuple[Control, ...], tuple[str, ...]]:
    """Return the rectangle controls that can be served, and a sentence for each that cannot.

    Raises:
        LabelConfigError: the text is not a label config, or has no rectangle control that can be served.
    """
    try:
        interface = LabelInterface(_XML_DECLARATION.sub("", xml))
    except Exception as error:  # the SDK raises a class of its own for XML and whatever comes up for the rest
        raise LabelConfigError(f"the label config is not valid XML: {_first_line(error)}") from None
    images = {tag.name: tag for tag in interface.objects}
    rectangles = [tag for tag in interface.controls if isinstance(tag, RectangleLabelsTag)]
    written = len(re.findall(r"<RectangleLabels\b", xml))
    if not rectangles and written:
        raise LabelConfigError("no <RectangleLabels> of the label config has a name and a toName")
    if not rectangles:
        others = ", ".join(sorted({tag.tag for tag in interface.controls})) or "no control tag at all"
        raise LabelConfigError(
            f"the label config has no <RectangleLabels> control to draw boxes with (it has {others})"
        )
    controls: list[Control] = []
    problems: list[str] = []
    if written > len(rectangles):
        problems.append(
            f"{written - len(rectangles)} of {written} <RectangleLabels> are not served: each needs a name of its own and a toName"
        )
    for tag in rectangles:
        served = _control(tag, images)
        if isinstance(served, Control):
            controls.append(served)
        else:
            problems.append(f"<RectangleLabels name={quoteattr(tag.name or '')}> is not served: {served}")
    if not controls:
        raise LabelConfigError("; ".join(problems))
    return tuple(controls), tuple(problems)


def _control(tag: ControlTag, objects: dict[str | None, ObjectTag]) -> Control | str:
    """Return the control, or why it cannot be served."""
    to_name = tag.to_name[0] if tag.to_name else ""
    image = objects.get(to_name)
    if not isinstance(image, ImageTag):
        return f"its toName={quoteattr(to_name)} is no <Image>"
    attributes = image.attr or {}
    is_list = "valueList" in attributes
    source = attributes["valueList"] if is_list else attributes.get("value", "")
    if not source.startswith("$") or not source[1:]:
        return f'its <Image> has value={quoteattr(source)}; expected one key of the task, such as value="$image"'
    labels = tuple(_label(attributes.attr or {}) for attributes in (tag.labels_attrs or {}).values())
    labels = tuple(label for label in labels if label.value)
    if not labels:
        return "it has no <Label> with a value"
    return Control(from_name=tag.name or "", to_name=to_name, data_key=source[1:], labels=labels, is_list=is_list)


def _label(attributes: dict[str, str]) -> Label:
    value, alias = attributes.get("value", ""), attributes.get("alias", "")
    return Label(
        value=alias or value,
        names=tuple(name for name in (value, alias) if name),
        predicted_values=tuple(
            part.strip() for part in attributes.get("predicted_values", "").split(",") if part.strip()
        ),
    )


def label_config_for(names: tuple[str, ...]) -> str:
    """Return a label config with one rectangle control that has a label for each of ``names``; its task key is ``image``."""
    labels = "".join(f"<Label value={quoteattr(name)}/>" for name in names)
    return (
        '<View><Image name="image" value="$image"/>'
        f'<RectangleLabels name="label" toName="image">{labels}</RectangleLabels></View>'
    )


def _first_line(error: Exception) -> str:
    return printable(str(error).strip().split("\n")[0] or type(error).__name__, 200)
