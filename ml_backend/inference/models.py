"""The models of a service: a detector, a classifier, or both."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Self

from ml_backend.errors import ModelContractError
from ml_backend.inference.classifier import Classifier
from ml_backend.inference.detector import Detector
from ml_backend.inference.hub import Progress
from ml_backend.model_results import ModelKind
from ml_backend.settings import Settings
from ml_backend.vocabularies.class_list import ModelClass
from ml_backend.vocabularies.class_names import ClassNames, read_class_names


@dataclass(frozen=True)
class Models:
    """The models of a service, at least one."""

    detector: Detector | None = None
    classifier: Classifier | None = None

    @classmethod
    def load(cls, settings: Settings, progress: Progress = lambda _: None) -> Self:
        """Load the models of the settings.

        The class list of the settings goes to the classifier if it fits there, and to the detector otherwise.

        Raises:
            SettingsError: the class list cannot be read.
            ModelLoadError: a model cannot be loaded, or its classes are unknown.
        """
        names = None if settings.class_names is None else read_class_names(settings.class_names)
        options: dict[str, Any] = {
            "workers": settings.inference_workers,
            "progress": progress,
            "runtime": settings.runtime,
            "precision": settings.precision,
        }
        folder = settings.tfhub_cache_dir
        for kind, handle in ((Detector, settings.detector), (Classifier, settings.classifier)):
            if handle is not None:
                kind.check(handle, folder)
        classifier = detector = None
        if settings.classifier is not None:
            classifier = Classifier.load(settings.classifier, folder, class_names=names, **options)
        if settings.detector is not None:
            left = None if classifier is not None and classifier.uses_class_names else names
            detector = Detector.load(settings.detector, folder, class_names=left, **options)
        if names is not None:
            _check_use(names, [each for each in (detector, classifier) if each is not None])
        return cls(detector, classifier)

    @property
    def all(self) -> list[Detector | Classifier]:
        """The models, the detector first."""
        return [each for each in (self.detector, self.classifier) if each is not None]

    @property
    def main(self) -> Detector | Classifier:
        """The detector, or the classifier where there is none: the model that corrections are counted for."""
        return self.all[0]

    @property
    def classes(self) -> dict[ModelKind, tuple[ModelClass, ...] | None]:
        """The classes of each model; None for a model with unknown classes."""
        return {kind: model.classes for kind, model in self.by_kind.items()}

    @property
    def by_kind(self) -> dict[ModelKind, Detector | Classifier]:
        """The models by their kind, the detector first."""
        return {model.kind: model for model in self.all}

    def chosen(self, kinds: Collection[ModelKind]) -> list[Detector | Classifier]:
        """Return the models of some kinds, the detector first."""
        return [model for kind, model in self.by_kind.items() if kind in kinds]

    @property
    def notes(self) -> list[str]:
        """Sentences about assumptions that people should know."""
        return [each.note for each in self.all if each.note]


def _check_use(names: ClassNames, models: list[Detector | Classifier]) -> None:
    if any(model.uses_class_names for model in models):
        return
    counts = " and ".join(
        f"the {each.kind} knows its {'classes' if each.classes is None else f'{len(each.classes)} classes'} itself"
        for each in models
    )
    raise ModelContractError(
        f"{names} and fits no model ({counts}): leave out PRELABEL_CLASS_NAMES, or correct the list"
    )
