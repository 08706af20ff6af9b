"""The adapter for the official ``label-studio-ml`` runner: the same pipeline behind its base class.

It works with 1.0.9, the only release on PyPI, and with 2.x, which exists as a Git repository only. ``docs/label-studio.md`` shows how to
start either, and lists the differences between 1.0.9 and :mod:`ml_backend.server`.

Settings come from the environment, as for ``prelabel serve``. The runner creates a model object for each request. All of them share
the models, which the process loads at the first request. A process forked after that cannot use them: TensorFlow does not survive a fork.
"""

import asyncio
import atexit
import functools
import os
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from label_studio_ml.model import LabelStudioMLBase

from ml_backend.errors import PrelabelError
from ml_backend.feedback.learning.revisions import CurrentRevisions
from ml_backend.feedback.store.database import Database
from ml_backend.inference.models import Models
from ml_backend.label_studio.project_id import parse_project_id
from ml_backend.pipeline.prediction import Answer, Pipeline
from ml_backend.settings import load_settings

T = TypeVar("T")


class _Engine:
    """Models and a pipeline on an event loop in a thread of their own, with blocking methods."""

    def __init__(self) -> None:
        self._settings = load_settings()
        models = Models.load(self._settings)
        self._loop = asyncio.new_event_loop()
        database = Database(self._settings.database_address)
        revisions = CurrentRevisions(database, models.main.fingerprint)
        revisions.start()
        # A daemon, since the runner never tells when it is done: the process must be able to end.
        threading.Thread(target=self._loop.run_forever, name="prelabel", daemon=True).start()
        self.pipeline: Pipeline = self._run(Pipeline(self._settings, models, revisions.overrides).__aenter__())
        atexit.register(database.close)
        atexit.register(revisions.close)
        atexit.register(lambda: self._run(self.pipeline.__aexit__(None, None, None)))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def predict(self, tasks: Sequence[object], label_config: str, context: object, project: str) -> list[Answer]:
        """Predict tasks, or answer the drawn rectangle of a context; blocks until done or until the deadline."""
        deadline = self._settings.predict_deadline
        return self._run(
            self.pipeline.predict(tasks, label_config, project=project, deadline=deadline, context=context)
        )


_loading = threading.Lock()


@functools.lru_cache(maxsize=1)
def _engine_of(_: int) -> _Engine:
    return _Engine()


def engine() -> _Engine:
    """Return the engine of this process; the first call loads the models."""
    with _loading:  # concurrent first requests must load the models once
        return _engine_of(os.getpid())


class PrelabelModel(LabelStudioMLBase):  # type: ignore[misc]  # the runner has no type information
    """The pipeline with the interface of the runner."""

    def __init__(self, project_id: str | None = None, label_config: str | None = None, **kwargs: Any) -> None:
        self._label_config = label_config or ""
        number = parse_project_id(project_id)
        self._project = "runner" if number is None else str(number)
        # 1.0.9 names a host with /setup, and makes objects without one for events, in forks that must not load a detector.
        if "hostname" in kwargs:
            engine().pipeline.label_studios.learn(self._project, kwargs["hostname"], kwargs.get("access_token"))
        if hasattr(LabelStudioMLBase, "setup"):  # 2.x
            super().__init__(project_id=project_id, label_config=self._label_config)
        else:
            super().__init__(**kwargs)  # without the config, which it would parse
            self.label_config = self._label_config

    def use_label_config(self, label_config: str) -> None:
        """Ignore the label config (2.x): the pipeline parses it itself, and answers a broken one as the service does."""

    def setup(self) -> None:
        """Set the model version of predictions in the runner (2.x)."""
        self.set("model_version", engine().pipeline.postprocessors.version_for(self._label_config, self._project))

    def predict(self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **_: Any) -> list[Any]:
        """Return one entry for each task, in order, as the service does: a prediction, or ``[]`` where the task failed.

        Args:
            tasks: Label Studio tasks.
            context: the regions that an annotator drew, in interactive mode; 2.x passes ``{}`` where the request has none.
        """
        answers = engine().predict(tasks, self._label_config, context, self._project)
        return [[] if isinstance(answer, PrelabelError) else answer for answer in answers]

    def fit(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Ignore an event. 1.0.9 calls this with tasks first, 2.x with ``event`` and ``data``.

        Revisions that ``prelabel calibrate`` has applied are used here too.
        """
        return {}
