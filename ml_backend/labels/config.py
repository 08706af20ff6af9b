"""Reads a Label Studio label config: which rectangle controls it has, on which images, with which labels and attributes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.control_tags import ControlTag, LabelsTag, RectangleLabelsTag, RectangleTag
from label_studio_sdk.label_interface.object_tags import ImageTag, ObjectTag

from ml_backend.errors import LabelConfigError
from ml_backend.labels.controls import NMS_IOU, Control, Label
from ml_backend.redaction import printable

# lxml, below the SDK, refuses a declared encoding in a text that is decoded already.
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


class _UnservedError(Exception):
    """Why one control cannot be served."""


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
    drawing = _drawing_tags(interface.controls)
    # Tags in lower case are served too; comments are nodes whose tag is no text.
    nodes = interface._tree.iter()  # noqa: SLF001 - the SDK has parsed the text, and gives the tree to nobody
    written = sum(isinstance(node.tag, str) and node.tag.lower() == "rectanglelabels" for node in nodes)
    if not drawing and written:
        raise LabelConfigError("no <RectangleLabels> of the label config has a name and a toName")
    if not drawing:
        others = ", ".join(sorted({tag.tag for tag in interface.controls})) or "no control tag at all"
        raise LabelConfigError(
            f"the label config has no <RectangleLabels> control to draw boxes with, nor a <Rectangle> with <Labels> (it has {others})"
        )
    controls: list[Control] = []
    problems: list[str] = []
    dropped = written - sum(isinstance(tag, RectangleLabelsTag) for tag, _ in drawing)
    if dropped:
        problems.append(
            f"{dropped} of {written} <RectangleLabels> are not served: each needs a name of its own and a toName"
        )
    for rectangle, labels in drawing:
        try:
            controls.append(_control(rectangle, labels, images))
        except _UnservedError as reason:
            problems.append(f"<{rectangle.tag} name={quoteattr(rectangle.name or '')}> is not served: {reason}")
    if not controls:
        raise LabelConfigError("; ".join(problems))
    return tuple(controls), tuple(problems)


def _drawing_tags(tags: Any) -> list[tuple[ControlTag, ControlTag]]:
    """Return what draws rectangles, each with the tag that has its labels: itself, or the ``<Labels>`` on the same image."""
    labels_of_image = {_to_name(tag): tag for tag in tags if isinstance(tag, LabelsTag)}
    found: list[tuple[ControlTag, ControlTag]] = []
    for tag in tags:
        if isinstance(tag, RectangleLabelsTag):
            found.append((tag, tag))
        elif isinstance(tag, RectangleTag) and _to_name(tag) in labels_of_image:
            found.append((tag, labels_of_image[_to_name(tag)]))
    return found


def _to_name(tag: ControlTag) -> str:
    return str(tag.to_name[0]) if tag.to_name else ""


def _control(rectangle: ControlTag, labelling: ControlTag, objects: Mapping[str | None, ObjectTag]) -> Control:
    to_name = _to_name(rectangle)
    image = objects.get(to_name)
    if not isinstance(image, ImageTag):
        raise _UnservedError(f"its toName={quoteattr(to_name)} is no <Image>")
    shown = image.attr or {}
    is_list = "valueList" in shown
    source = shown["valueList"] if is_list else shown.get("value", "")
    if not source.startswith("$") or not source[1:]:
        raise _UnservedError(
            f'its <Image> has value={quoteattr(source)}; expected one key of the task, such as value="$image"'
        )
    labels = tuple(_label(tag.attr or {}) for tag in (labelling.labels_attrs or {}).values())
    labels = tuple(label for label in labels if label.value)
    if not labels:
        raise _UnservedError("it has no <Label> with a value")
    # Of a pair, either tag may carry the attributes.
    attributes = _Attributes({**(labelling.attr or {}), **(rectangle.attr or {})})
    overlap = attributes.share("model_nms_iou")
    most = attributes.number("model_max_regions", 1, 10_000, "a whole number from 1", whole=True)
    return Control(
        from_name=rectangle.name or "",
        to_name=to_name,
        data_key=source[1:],
        labels=labels,
        is_list=is_list,
        labels_name="" if rectangle is labelling else labelling.name or "",
        score_threshold=attributes.share("model_score_threshold"),
        nms_iou=NMS_IOU if overlap is None else overlap,
        min_area=attributes.number("model_min_area", 0, 100, "percent of the picture's area, from 0 to 100") or 0.0,
        max_regions=None if most is None else int(most),
        hierarchy=attributes.flag("model_hierarchy", default=True),
        skip=attributes.flag("model_skip", default=False),
        target_precision=attributes.share("model_target_precision"),
    )


def _label(given: Mapping[str, str]) -> Label:
    attributes = _Attributes(given)
    value, alias = given.get("value", ""), given.get("alias", "")
    return Label(
        value=alias or value,
        names=tuple(name for name in (value, alias) if name),
        predicted_values=tuple(part.strip() for part in given.get("predicted_values", "").split(",") if part.strip()),
        score_threshold=attributes.share("model_score_threshold"),
        hierarchy=attributes.flag("model_hierarchy", default=True),
        skip=attributes.flag("model_skip", default=False),
    )


@dataclass(frozen=True, slots=True)
class _Attributes:
    """Attributes of a tag, read as what they should be."""

    given: Mapping[str, str]

    def number(self, name: str, low: float, high: float, expected: str, *, whole: bool = False) -> float | None:
        text = self.given.get(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high or (whole and value % 1):
            raise _UnservedError(f"{name}={quoteattr(text)} cannot be used: expected {expected}")
        return value

    def share(self, name: str) -> float | None:
        return self.number(name, 0, 1, "a number from 0 to 1")

    def flag(self, name: str, *, default: bool) -> bool:
        text = self.given.get(name)
        if text is None:
            return default
        if text.lower() not in {"true", "false"}:
            raise _UnservedError(f'{name}={quoteattr(text)} cannot be used: expected "true" or "false"')
        return text.lower() == "true"


def label_config_for(names: tuple[str, ...]) -> str:
    """Return a label config with one rectangle control that has a label for each of ``names``; its task key is ``image``.

    Each label takes what is called like it and nothing else, and no box suppresses another: the detector's own words.
    """
    labels = "".join(f"<Label value={quoteattr(name)}/>" for name in names)
    return (
        '<View><Image name="image" value="$image"/>'
        f'<RectangleLabels name="label" toName="image" model_hierarchy="false" model_nms_iou="1">{labels}</RectangleLabels></View>'
    )


def _first_line(error: Exception) -> str:
    return printable(str(error).strip().split("\n")[0] or type(error).__name__, 200)
