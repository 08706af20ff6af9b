"""``<Choices>`` and ``<Taxonomy>`` on images: classes of the whole image."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast
from xml.sax.saxutils import quoteattr

from label_studio_sdk.label_interface.control_tags import ChoicesTag, ControlTag, TaxonomyTag

from ml_backend.label_studio.controls.control import Control, Label
from ml_backend.label_studio.controls.tags import Attributes, Tags, UnservedError, label_of, named, taken_from_task
from ml_backend.label_studio.geometry import DECIMALS
from ml_backend.label_studio.regions import PATH_SEPARATOR, ChoiceRegion, ChoicesValue, region_id
from ml_backend.model_results import ModelKind

EXPECTED = "<Choices> or <Taxonomy> for an image"

ModelSource = Literal["", "classifier", "detections"]
SOURCES: tuple[ModelSource, ...] = ("", "classifier", "detections")


@dataclass(frozen=True, slots=True)
class TaxonomyItem(Label):
    """One ``<Choice>`` of a ``<Taxonomy>``; its value is the whole path as a text.

    Attributes:
        path: the values on the way to it, as results have them.
        is_leaf: whether no choice is below it.
    """

    path: tuple[str, ...] = ()
    is_leaf: bool = True


@dataclass(frozen=True, slots=True)
class ChoicesControl(Control):
    """A control that classifies a whole image, or all images of a list together.

    Attributes:
        multiple: whether several choices can hold at once.
        per_item: whether each image of a list has choices of its own.
        source: the results that decide; empty for the classifier where there is one, else the detections.
    """

    multiple: bool = False
    per_item: bool = False
    source: ModelSource = ""

    @property
    def model(self) -> ModelKind:
        """The kind of model whose results it shows."""
        return "detector" if self.source == "detections" else "classifier"

    def decisive(self) -> dict[str, Any]:
        """Return everything that decides on its regions, as plain JSON values."""
        return {"kind": type(self).__name__, **asdict(self)}

    def regions(
        self, identity: Sequence[object], item: int, chosen: Sequence[tuple[Label, float]]
    ) -> list[ChoiceRegion]:
        """Write the choices that hold as the region that the editor of Label Studio stores; none where nothing holds.

        Args:
            identity: task and model version, which make region ids unique together with control and image.
            item: index of the image in its list; 0 where all images are classified together.
            chosen: choices with their scores; the score of the region is their mean.
        """
        if not chosen:
            return []
        region: ChoiceRegion = {
            "id": region_id(*identity, self.from_name, self.to_name, item),
            "from_name": self.from_name,
            "to_name": self.to_name,
            "type": self._type,
            "value": self._value([label for label, _ in chosen]),
            "score": round(sum(score for _, score in chosen) / len(chosen), DECIMALS),
        }
        if self.per_item:  # the editor of 1.23.2 shows no choice without it, also where there is one image
            region["item_index"] = item
        return [region]

    @property
    def _type(self) -> Literal["choices", "taxonomy"]:
        return "choices"

    def _value(self, chosen: Sequence[Label]) -> ChoicesValue:
        return {"choices": list(dict.fromkeys(label.value for label in chosen))}


@dataclass(frozen=True, slots=True)
class TaxonomyControl(ChoicesControl):
    """A ``<Taxonomy>``: choices in a tree, of which whole paths are chosen.

    Attributes:
        leaves_only: whether only choices without others below them can be chosen.
        max_usages: the most paths that can be chosen; None for no limit.
    """

    leaves_only: bool = False
    max_usages: int | None = None

    @property
    def _type(self) -> Literal["choices", "taxonomy"]:
        return "taxonomy"

    def _value(self, chosen: Sequence[Label]) -> ChoicesValue:
        return {"taxonomy": [list(label.path) for label in chosen if isinstance(label, TaxonomyItem)]}


def read(tags: Tags) -> tuple[list[Control], list[str]]:
    """Return the controls of a label config that classify images, and a sentence for each problem: tags and choices that are not served."""
    controls: list[Control] = []
    problems: list[str] = tags.dropped("Choices", ChoicesTag) + tags.dropped("Taxonomy", TaxonomyTag)
    for tag in tags.controls:
        if not isinstance(tag, ChoicesTag | TaxonomyTag) or not tags.is_on_image(tag):
            continue
        try:
            control, unserved = _control(tags, tag)
        except UnservedError as reason:
            problems.append(f"{named(tag)} is not served: {reason}")
        else:
            controls.append(control)
            problems += unserved
    return controls, problems


def _control(tags: Tags, tag: ControlTag) -> tuple[ChoicesControl, list[str]]:
    to_name, image = tags.image_of(tag)
    attributes = Attributes(tag.attr or {})
    if attributes.flag("perRegion", default=False):
        raise UnservedError('perRegion="true" asks about regions, and Prelabel classifies whole images only')
    is_taxonomy = isinstance(tag, TaxonomyTag)
    if is_taxonomy and attributes.given.get("apiUrl"):
        raise UnservedError("its choices come from an apiUrl; only those of the label config are served")
    labels, problems = _choices(tags, tag, is_taxonomy=is_taxonomy)
    if not labels:
        raise UnservedError("; ".join(problems) or "it has no <Choice> with a value")
    source = attributes.given.get("model_source", "")
    if source not in SOURCES:
        raise UnservedError(f'model_source={quoteattr(source)} cannot be used: expected "classifier" or "detections"')
    common: dict[str, Any] = {
        "from_name": tag.name or "",
        "to_name": to_name,
        "data_key": image.key,
        "labels": tuple(labels),
        "is_list": image.is_list,
        "score_threshold": attributes.share("model_score_threshold"),
        "hierarchy": attributes.flag("model_hierarchy", default=True),
        "skip": attributes.flag("model_skip", default=False),
        "per_item": attributes.flag("perItem", default=False),
        "source": cast("ModelSource", source),
    }
    most = attributes.number("maxUsages", 1, 10_000, "a whole number from 1", whole=True)
    if not is_taxonomy:
        return ChoicesControl(**common, multiple=attributes.given.get("choice") == "multiple"), problems
    return (
        TaxonomyControl(
            **common,
            multiple=most != 1,
            leaves_only=attributes.flag("leafsOnly", default=False),
            max_usages=None if most is None else int(most),
        ),
        problems,
    )


def _choices(tags: Tags, tag: ControlTag, *, is_taxonomy: bool) -> tuple[list[Label], list[str]]:
    """Return the choices of a tag, each once, and a sentence for each kind of choices that cannot be served."""
    node = tags.node(tag)
    problems = taken_from_task(tag, "choices")
    if is_taxonomy:
        return list(dict.fromkeys(_items(node, ()))), problems
    given = [label_of(inner.attrib) for inner in _below(node)]
    if any(True for inner in _below(node) for _ in _below(inner)):
        raise UnservedError("it has a <Choice> inside another one; a <Taxonomy> serves such trees")
    if unnamed := sum(not label.value for label in given):
        problems.append(f"{unnamed} <Choice> of {named(tag)} are not served: they have neither a value nor an alias")
    return list(dict.fromkeys(label for label in given if label.value)), problems


def _items(node: Any, above: tuple[str, ...]) -> Iterator[TaxonomyItem]:
    for inner in _below(node):
        label = label_of(inner.attrib)
        if not label.value:
            continue
        path = (*above, label.value)
        whole = asdict(label) | {"value": PATH_SEPARATOR.join(path)}
        yield TaxonomyItem(**whole, path=path, is_leaf=not any(True for _ in _below(inner)))
        yield from _items(inner, path)


def _below(node: Any) -> Iterator[Any]:
    """Yield the nearest ``<Choice>`` nodes below a node; layout tags may stand in between."""
    for inner in node:
        if str(inner.tag).lower() == "choice":
            yield inner
        elif isinstance(inner.tag, str):
            yield from _below(inner)
