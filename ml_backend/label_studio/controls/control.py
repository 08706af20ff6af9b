"""The control tags of a label config as values: ``Control``, its labels and its image field."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

from ml_backend.model_results import ModelKind


@dataclass(frozen=True, slots=True)
class Label:
    """One ``<Label>`` or ``<Choice>`` of a control.

    Attributes:
        value: the text in regions: the label's ``alias`` where it has one, else its ``value``.
        names: ``value`` and ``alias``, those that are given.
        predicted_values: class names or MIDs in the attribute of that name.
        score_threshold: lowest score that is shown, 0 to 1; None for that of the control.
        hierarchy: whether subclasses of the label's classes are assigned to it too.
        skip: whether the label gets no regions.
    """

    value: str
    names: tuple[str, ...]
    predicted_values: tuple[str, ...] = ()
    score_threshold: float | None = None
    hierarchy: bool = True
    skip: bool = False


class ImageField(NamedTuple):
    """A field of a task's data that holds an image or a list of images.

    Attributes:
        key: in the data.
        is_list: whether the key holds a list of images rather than one.
    """

    key: str
    is_list: bool


@dataclass(frozen=True, slots=True)
class Control(ABC):
    """One control tag, or a pair of them: its labels, and the rules for them.

    Attributes:
        from_name: ``name`` of the tag.
        to_name: ``name`` of the ``<Image>`` that it belongs to.
        data_key: key of a task's data with that image, or its list of images.
        labels: in the order of the config.
        is_list: whether the image tag takes a list (``valueList``).
        score_threshold: lowest score that is shown, 0 to 1; None for that of the settings.
        hierarchy: whether classes are assigned to the labels of their superclasses.
        skip: whether the control gets no regions.
    """

    from_name: str
    to_name: str
    data_key: str
    labels: tuple[Label, ...]
    is_list: bool = False
    score_threshold: float | None = None
    hierarchy: bool = True
    skip: bool = False

    @property
    def image_field(self) -> ImageField:
        """The field of a task's data with the images that it belongs to."""
        return ImageField(self.data_key, self.is_list)

    @property
    def shown_name(self) -> str:
        """``name`` of the tag that has the labels."""
        return self.from_name

    @property
    @abstractmethod
    def model(self) -> ModelKind:
        """The kind of model whose results it shows."""

    @property
    def models(self) -> frozenset[ModelKind]:
        """The kinds of results that it shows: those of its model, and those of tiles."""
        return frozenset({self.model})

    @abstractmethod
    def decisive(self) -> dict[str, Any]:
        """Return everything that decides on its regions, as plain JSON values: a part of model versions."""
