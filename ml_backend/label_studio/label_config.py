"""Reads a Label Studio label config: which rectangle controls it has, on which images, with which labels and attributes."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.control_tags import ControlTag, LabelsTag, RectangleLabelsTag, RectangleTag
from label_studio_sdk.label_interface.object_tags import ImageTag, ObjectTag

from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.control import NMS_IOU, Control, Label
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
    drawing, problems = _drawing_tags(interface.controls)
    # Tags in lower case are served too; comments are nodes whose tag is no text.
    nodes = [node for node in interface._tree.iter() if isinstance(node.tag, str)]  # noqa: SLF001 - the SDK has parsed the text, and gives the tree to nobody
    for kind, tag_class in (("RectangleLabels", RectangleLabelsTag), ("Rectangle", RectangleTag)):
        written = sum(node.tag.lower() == kind.lower() for node in nodes)
        dropped = written - sum(isinstance(tag, tag_class) for tag in interface.controls)
        if written == dropped > 0 and not drawing:
            raise LabelConfigError(f"no <{kind}> of the label config has a name and a toName")
        if dropped:
            problems.append(
                f"{dropped} of {written} <{kind}> are not served: each needs a name of its own and a toName"
            )
    if not drawing:
        others = ", ".join(sorted({tag.tag for tag in interface.controls})) or "no control tag at all"
        raise LabelConfigError(
            f"the label config has no <RectangleLabels> control to draw boxes with, nor a <Rectangle> with <Labels> (it has {others})"
        )
    # Labels come from the tree: of those that share an alias, the SDK keeps one.
    node_of = {(node.tag, node.get("name")): node for node in nodes if node.get("toName")}
    controls: list[Control] = []
    for rectangle, labelling in drawing:
        inside = node_of[labelling.tag, labelling.name].iter()
        labels = [dict(node.attrib) for node in inside if str(node.tag).lower() == "label"]
        try:
            controls.append(_control(rectangle, labelling, labels, images))
        except _UnservedError as reason:
            problems.append(f"{_named(rectangle)} is not served: {reason}")
        else:
            problems += _labels_not_served(labelling, labels)
    if not controls:
        raise LabelConfigError("; ".join(problems))
    return tuple(controls), tuple(problems)


def _drawing_tags(tags: Collection[ControlTag]) -> tuple[list[tuple[ControlTag, ControlTag]], list[str]]:
    """Pair what draws rectangles with the tag that has its labels: itself, or the ``<Labels>`` on the same image.

    Returns:
        The pairs, and a sentence for each tag that is left over.
    """
    labels_on: dict[tuple[str, ...], list[ControlTag]] = defaultdict(list)
    for tag in tags:
        if isinstance(tag, LabelsTag):
            labels_on[tuple(tag.to_name or ())].append(tag)
    found: list[tuple[ControlTag, ControlTag]] = []
    problems: dict[str, None] = {}  # in order, each once
    for tag in tags:
        if isinstance(tag, RectangleLabelsTag):
            found.append((tag, tag))
        elif isinstance(tag, RectangleTag):
            labels_here = labels_on[tuple(tag.to_name or ())]
            if not labels_here:
                problems[f"{_named(tag)} is not served: no <Labels> has its toName"] = None
                continue
            *others, labelling = labels_here
            found.append((tag, labelling))
            for other in others:
                advice = (
                    f"a <Rectangle> gets the labels of one <Labels>, here {_named(labelling)}; move all labels there"
                )
                problems[f"{_named(other)} is not served: {advice}"] = None
    return found, list(problems)


def _labels_not_served(labelling: ControlTag, labels: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a sentence for each kind of labels of a served control that get no boxes."""
    problems = []
    unnamed = sum(not _label(each).value for each in labels)
    if unnamed:
        problems.append(
            f"{unnamed} <Label> of {_named(labelling)} are not served: they have neither a value nor an alias"
        )
    image_field = (labelling.attr or {}).get("value", "")
    if image_field.startswith("$"):
        problems.append(
            f"the labels that {_named(labelling)} takes from the task (value={quoteattr(image_field)}) are not served: only those of the label config are"
        )
    return problems


def _named(tag: ControlTag) -> str:
    return f"<{tag.tag} name={quoteattr(tag.name or '')}>"


def _control(
    rectangle: ControlTag,
    labelling: ControlTag,
    given: Sequence[Mapping[str, str]],
    objects: Mapping[str | None, ObjectTag],
) -> Control:
    """Return the control that draws with a tag.

    Args:
        rectangle: the tag that draws.
        labelling: the tag that has the labels.
        given: attributes of each of its labels.
        objects: what can be drawn on, by name.
    """
    to_name = ",".join(rectangle.to_name or ())
    if "," in to_name:
        # The editor looks tools up by the whole text: Tree.tsx and ToolManagerMixin.js of 1.23.2; <Pairwise> alone splits it.
        raise _UnservedError(
            f"its toName={quoteattr(to_name)} has several names, and Label Studio draws on none of them; give each image a control of its own"
        )
    image = objects.get(to_name)
    if not isinstance(image, ImageTag):
        raise _UnservedError(f"its toName={quoteattr(to_name)} is no <Image>")
    shown = image.attr or {}
    is_list = "valueList" in shown
    image_field = shown["valueList"] if is_list else shown.get("value", "")
    if not image_field.startswith("$") or not image_field[1:]:
        raise _UnservedError(
            f'its <Image> has value={quoteattr(image_field)}; expected one key of the task, such as value="$image"'
        )
    labels = tuple(dict.fromkeys(label for label in map(_label, given) if label.value))
    if not labels:
        raise _UnservedError("it has no <Label> with a value")
    # Of a pair, either tag may carry the attributes.
    attributes = _Attributes({**(labelling.attr or {}), **(rectangle.attr or {})})
    overlap = attributes.share("model_nms_iou")
    most = attributes.number("model_max_regions", 1, 10_000, "a whole number from 1", whole=True)
    return Control(
        from_name=rectangle.name or "",
        to_name=to_name,
        data_key=image_field[1:],
        labels=labels,
        is_list=is_list,
        labels_name="" if rectangle is labelling else labelling.name or "",
        score_threshold=attributes.share("model_score_threshold"),
        nms_iou=NMS_IOU if overlap is None else overlap,
        nms_across_labels=attributes.flag("model_nms_across_labels", default=False),
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
