"""The tags of a label config and their attributes, for the readers of control tags."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from xml.sax.saxutils import quoteattr

from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.control_tags import ControlTag
from label_studio_sdk.label_interface.object_tags import ImageTag

from ml_backend.label_studio.controls.control import ImageField, Label

Tag = TypeVar("Tag", bound=ControlTag)


class UnservedError(Exception):
    """A control cannot be served. The message is the reason, as the end of a sentence."""


class Tags:
    """The tags of one label config, as the Label Studio SDK parses them.

    Attributes:
        controls: the control tags that have a name of their own and a ``toName``.
    """

    def __init__(self, interface: LabelInterface) -> None:
        self.controls: list[ControlTag] = list(interface.controls)
        self._objects = {tag.name: tag for tag in interface.objects}
        # Tags in lower case are served too; comments are nodes whose tag is not a text.
        tree = interface._tree  # noqa: SLF001 - the SDK has parsed the text, but has no public access to the tree
        self._nodes = [node for node in tree.iter() if isinstance(node.tag, str)]
        # The SDK keeps the last of several tags with one name.
        self._node_of = {(node.tag, node.get("name")): node for node in self._nodes if node.get("toName")}

    def of_kind(self, kind: type[Tag]) -> list[Tag]:
        """Return the control tags of a class of the SDK."""
        return [tag for tag in self.controls if isinstance(tag, kind)]

    def dropped(self, name: str, kind: type[ControlTag]) -> list[str]:
        """Return a sentence about the tags that the SDK drops, since they lack a unique name or a ``toName``; or none.

        Args:
            name: of the tag, such as ``RectangleLabels``.
            kind: its class in the SDK.
        """
        written = sum(node.tag.lower() == name.lower() for node in self._nodes)
        dropped = written - len(self.of_kind(kind))
        if not dropped:
            return []
        return [f"{dropped} of {written} <{name}> are not served: each needs a name of its own and a toName"]

    def labels(self, tag: ControlTag) -> tuple[list[Label], list[str]]:
        """Return the labels inside a tag, each once, and a sentence for each kind of labels that cannot be served.

        They are read from the tree, since the SDK keeps only one of several labels with one alias.

        Raises:
            UnservedError: an attribute of a label cannot be used.
        """
        given = [label_of(inner.attrib) for inner in self.node(tag).iter() if str(inner.tag).lower() == "label"]
        labels = list(dict.fromkeys(label for label in given if label.value))
        problems = []
        if unnamed := sum(not label.value for label in given):
            problems.append(f"{unnamed} <Label> of {named(tag)} are not served: they have neither a value nor an alias")
        return labels, problems + taken_from_task(tag, "labels")

    def node(self, tag: ControlTag) -> Any:
        """Return the XML node of a tag."""
        return self._node_of[tag.tag, tag.name]

    def is_on_image(self, tag: ControlTag) -> bool:
        """Tell whether a tag belongs to an ``<Image>``, alone or among others."""
        return any(isinstance(self._objects.get(name), ImageTag) for name in tag.to_name or ())

    def image_of(self, tag: ControlTag) -> tuple[str, ImageField]:
        """Return the name of the ``<Image>`` that a tag belongs to, and the field of a task's data that holds its image or images.

        Raises:
            UnservedError: it belongs to no image or to several, or the image does not name one key of the task.
        """
        to_name = ",".join(tag.to_name or ())
        if "," in to_name:
            # The editor looks up tools by the whole text (Tree.tsx and ToolManagerMixin.js of 1.23.2); only <Pairwise> splits it.
            raise UnservedError(
                f"its toName={quoteattr(to_name)} has several names, and Label Studio draws on none of them; give each image a "
                "control of its own"
            )
        image = self._objects.get(to_name)
        if not isinstance(image, ImageTag):
            raise UnservedError(f"its toName={quoteattr(to_name)} is no <Image>")
        attributes = image.attr or {}
        is_list = "valueList" in attributes
        value = attributes["valueList"] if is_list else attributes.get("value", "")
        if not value.startswith("$") or not value[1:]:
            raise UnservedError(
                f'its <Image> has value={quoteattr(value)}; expected one key of the task, such as value="$image"'
            )
        return to_name, ImageField(value[1:], is_list)


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of one tag. Each method raises :class:`UnservedError` for an invalid value."""

    given: Mapping[str, Any]

    def number(self, name: str, low: float, high: float, expected: str, *, whole: bool = False) -> float | None:
        """Return a number from ``low`` to ``high``, or None where the attribute is missing."""
        text = self.given.get(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high or (whole and value % 1):
            raise UnservedError(f"{name}={quoteattr(text)} cannot be used: expected {expected}")
        return value

    def share(self, name: str) -> float | None:
        """Return a number from 0 to 1, or None where the attribute is missing."""
        return self.number(name, 0, 1, "a number from 0 to 1")

    def flag(self, name: str, *, default: bool) -> bool:
        """Return whether an attribute is ``true``; ``default`` where it is missing."""
        text = self.given.get(name)
        if text is None:
            return default
        if text.lower() not in {"true", "false"}:
            raise UnservedError(f'{name}={quoteattr(text)} cannot be used: expected "true" or "false"')
        return bool(text.lower() == "true")


def named(tag: ControlTag) -> str:
    """Return a tag as it stands in the label config, with its name."""
    return f"<{tag.tag} name={quoteattr(tag.name or '')}>"


def taken_from_task(tag: ControlTag, kind: str) -> list[str]:
    """Return a sentence about the labels or choices that a tag takes from the task; or none."""
    value = (tag.attr or {}).get("value", "")
    if not value.startswith("$"):
        return []
    return [
        f"the {kind} that {named(tag)} takes from the task (value={quoteattr(value)}) are not served: only those of the label config are"
    ]


def label_of(given: Mapping[str, Any]) -> Label:
    """Return the label of the attributes of a ``<Label>`` or ``<Choice>``; its value is empty where it has none.

    Raises:
        UnservedError: an attribute cannot be used.
    """
    attributes = Attributes(given)
    value, alias = given.get("value", ""), given.get("alias", "")
    return Label(
        value=alias or value,
        names=tuple(name for name in (value, alias) if name),
        predicted_values=tuple(part.strip() for part in given.get("predicted_values", "").split(",") if part.strip()),
        score_threshold=attributes.share("model_score_threshold"),
        hierarchy=attributes.flag("model_hierarchy", default=True),
        skip=attributes.flag("model_skip", default=False),
    )
