"""The postprocessors of label configs, cached, and the model versions of their predictions."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ml_backend.errors import LabelConfigError
from ml_backend.inference.models import Models
from ml_backend.pipeline.model_version import model_version
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.settings import Settings

MAX_CONFIGS = 256  # a label config of 600 labels takes about 10 ms to read and map
MAX_CONFIG_BYTES = 8_000_000  # of all cached label configs; a postprocessor takes about fifteen times as much memory

_Key = tuple[bytes, int, LabelOverrides]  # SHA-256 and length of a label config, and what was learned for the project

OverridesProvider = Callable[[str | None], LabelOverrides]
"""Gives the overrides of a project, which is named as in requests."""


def no_overrides(_: str | None) -> LabelOverrides:
    """Return no overrides."""
    return NO_OVERRIDES


class PostprocessorCache:
    """The postprocessors for the models of a service.

    Args:
        settings: the settings of the service.
        models: of the service; their classes find labels that no class reaches.
        overrides: gives the overrides of a project; called once a request.
    """

    def __init__(self, settings: Settings, models: Models, overrides: OverridesProvider) -> None:
        self._settings = settings
        self._models = models
        self._overrides = overrides
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="label-configs")
        self._known: OrderedDict[_Key, Postprocessor | str] = OrderedDict()

    def of(self, label_config: str, project: str | None = None) -> Postprocessor:
        """Return the postprocessor of a label config. The error of a broken one is cached as well.

        Args:
            label_config: XML.
            project: the project, whose overrides apply.

        Raises:
            LabelConfigError: it cannot be served.
        """
        key = self._key(label_config, project)
        if key not in self._known:
            self._keep(key, self._decide(label_config, key[-1]))
        return self._postprocessor(key)

    async def load(self, label_config: str, project: str | None = None) -> Postprocessor:
        """Return the same as :meth:`of`, but read the label config in a thread, one at a time."""
        key = self._key(label_config, project)
        if key not in self._known:
            loop = asyncio.get_running_loop()
            self._keep(key, await loop.run_in_executor(self._reader, self._decide, label_config, key[-1]))
        return self._postprocessor(key)

    def _key(self, label_config: str, project: str | None) -> _Key:
        digest = hashlib.sha256(label_config.encode("utf-8", "backslashreplace")).digest()
        return digest, len(label_config), self._overrides(project)

    def _postprocessor(self, key: _Key) -> Postprocessor:
        self._known.move_to_end(key)
        decided = self._known[key]
        if isinstance(decided, str):
            raise LabelConfigError(decided)
        return decided

    def _keep(self, key: _Key, decided: Postprocessor | str) -> None:
        self._known[key] = decided
        while len(self._known) > 1 and (
            len(self._known) > MAX_CONFIGS or sum(size for _, size, _ in self._known) > MAX_CONFIG_BYTES
        ):
            self._known.popitem(last=False)

    def _decide(self, label_config: str, overrides: LabelOverrides) -> Postprocessor | str:
        limit = self._settings.label_config_max_bytes
        if len(label_config) > limit:
            return f"the label config has {len(label_config):,} characters; the limit is {limit:,} (PRELABEL_LABEL_CONFIG_MAX_BYTES)"
        try:
            return Postprocessor.from_label_config(
                label_config,
                score_threshold=self._settings.model_score_threshold,
                max_controls=self._settings.max_controls,
                classes=self._models.classes,
                overrides=overrides,
                tiles=self._settings.tiles,
                teachable=self._settings.reads_corrections and self._overrides is not no_overrides,
            )
        except LabelConfigError as error:
            return str(error)

    def version_of(self, postprocessor: Postprocessor) -> str:
        """Return the model version of predictions by a postprocessor."""
        return model_version(self._models.chosen(postprocessor.models), self._settings, postprocessor.digest)

    def version_for(self, label_config: str, project: str | None = None) -> str:
        """Return the model version for a project's label config. One that cannot be served has a version too, which changes with it."""
        try:
            return self.version_of(self.of(label_config, project))
        except LabelConfigError:
            return self.version_of_unserved(label_config)

    def version_of_unserved(self, label_config: str) -> str:
        """Return the :func:`model_version` under a label config that cannot be served."""
        return model_version([self._models.main], self._settings, label_config)
