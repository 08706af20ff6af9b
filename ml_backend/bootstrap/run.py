"""One run of ``prelabel bootstrap``, from the request to the exit status.

Modules that import TensorFlow are imported after the request has been checked, so that a wrong request fails at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.bootstrap.existing_tasks import ExistingTaskPolicy
from ml_backend.bootstrap.failures import write_failures
from ml_backend.bootstrap.job import Engine, Job, Reporter
from ml_backend.bootstrap.outputs import check_outputs, checkpoint_beside
from ml_backend.bootstrap.project_client import Studio
from ml_backend.bootstrap.sinks.preview import MAX_IMAGES, draw_sheet
from ml_backend.bootstrap.sinks.registry import open_sink
from ml_backend.bootstrap.sinks.sink import SinkOptions
from ml_backend.bootstrap.sources.files import DRY_RUN
from ml_backend.bootstrap.sources.project import ProjectTasks
from ml_backend.bootstrap.sources.registry import open_source
from ml_backend.bootstrap.sources.source import LOCAL_FILES, Source, SourceOptions
from ml_backend.errors import LabelConfigError
from ml_backend.feedback.learning.revisions import CurrentRevisions
from ml_backend.feedback.store.database import Database
from ml_backend.images.perceptual_hash import HASH_VERSION
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.model_results import TILING, ModelKind, tiles_of
from ml_backend.pipeline.cache_keys import input_shaping
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.served_controls import served_controls
from ml_backend.settings import Settings

if TYPE_CHECKING:
    from ml_backend.inference.models import Models

DONE, FAILURES = 0, 1
INTERRUPTED, OUTPUT_CLOSED = 130, 141  # 128 + SIGINT and 128 + SIGPIPE, as shells have it


@dataclass(frozen=True)
class Request:
    """The request of a user; ``prelabel bootstrap --help`` describes the options.

    Attributes:
        source: the text of a source, or the id of a Label Studio project.
        to: the texts of sinks.
        label_config: XML.
    """

    source: str | int
    to: Sequence[str]
    label_config: str
    image_prefix: str = LOCAL_FILES
    tasks_per_file: int = 0
    dry_run: int = 0
    retry_failures: bool = False
    leave_out_missing: bool = False
    include_annotated: bool = False
    refresh_stale: bool = False
    title: str = "Prelabel"
    engine: Literal["local", "ray"] = "local"
    workers: int = 2
    overwrite: bool = False
    checkpoint: Path | None = None


class Run:
    """One run.

    Args:
        request: of the user.
        settings: as for the service.

    Raises:
        PrelabelError: the request is wrong.
    """

    def __init__(self, request: Request, settings: Settings) -> None:
        self._request = request
        # Results from the cache would make the estimate too good.
        self._settings = settings.model_copy(update={"cache": "none"}) if request.dry_run else settings
        parsed, _ = parse_label_config(request.label_config)
        self._image_fields = list(dict.fromkeys(control.image_field for control in parsed))
        models: dict[ModelKind, str | None] = {"detector": settings.detector, "classifier": settings.classifier}
        controls, unserved = served_controls(
            parsed, [kind for kind, handle in models.items() if handle is not None], settings.tiles
        )
        if not controls:
            raise LabelConfigError("; ".join(unserved))
        self._options = options = SinkOptions(
            settings, request.label_config, controls, request.tasks_per_file, request.title
        )
        self._sinks = [open_sink(text, options) for text in request.to]
        self._remote = [sink for sink in self._sinks if sink.remote]
        self._project = next((sink.project for sink in self._remote), None)
        self._source: Source | None = None
        self._source_for: Callable[[ExistingTaskPolicy], Source]
        if isinstance(request.source, int):
            self._project = number = request.source
            own = number in [sink.project for sink in self._remote]
            studio = Studio.of(settings)
            self._source_for = lambda policy: ProjectTasks(studio, number, policy, own)
        else:
            self._source = source = open_source(
                request.source, SourceOptions(self._image_fields, request.image_prefix, request.include_annotated)
            )
            self._source_for = lambda _: source
        name = "prelabel-bootstrap" if self._project is None else f"prelabel-project-{self._project}"
        self._path = request.checkpoint or checkpoint_beside(self._sinks, name)

    def do(self, load: Callable[[], Models], report_to: Callable[[Postprocessor], Reporter]) -> int:
        """Run the job and return the exit status.

        Args:
            load: loads the models; called after everything else has been checked.
            report_to: makes the reporter.

        Raises:
            PrelabelError: the run could not begin or go on; recorded outcomes are kept.
        """
        request = self._request
        with self._open_checkpoint() as checkpoint:
            if not request.dry_run:
                check_outputs(checkpoint, self._sinks, self._source, overwrite=request.overwrite)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            models = load()
            job = self._job(checkpoint, models, report_to)
            try:
                job.survey(leave_out_missing=request.leave_out_missing)
                pending = checkpoint.counts().pending
                if request.dry_run:
                    checkpoint.sample_pending(request.dry_run)
                elif request.retry_failures:
                    checkpoint.retry_failures()
                job.examine(self._engine(models, job.postprocessor.models))
                if request.dry_run:
                    return self._end_dry_run(job, pending)
                job.write(self._sinks)
            except KeyboardInterrupt:
                job.reporter.ended(
                    checkpoint.counts(), f"interrupted; the same command goes on from here ({self._path})"
                )
                return INTERRUPTED
            return self._end(job)

    def _job(self, checkpoint: Checkpoint, models: Models, report_to: Callable[[Postprocessor], Reporter]) -> Job:
        from ml_backend.pipeline.model_version import model_version

        request = self._request
        threshold = self._settings.model_score_threshold
        overrides = self._overrides(models.main.fingerprint)
        postprocessor = Postprocessor.from_label_config(
            request.label_config,
            score_threshold=threshold,
            classes=models.classes,
            overrides=overrides,
            tiles=self._settings.tiles,
        )
        version = model_version(models.chosen(postprocessor.models), self._settings, postprocessor.digest)
        policy = ExistingTaskPolicy(version, request.include_annotated, request.refresh_stale)
        source = self._source_for(policy)
        checkpoint.claim(self._identity(source, checkpoint, models, postprocessor.models))
        reporter = report_to(postprocessor)
        for sentence in postprocessor.warnings:
            reporter.note(sentence)
        for sink in self._sinks:
            if postprocessor.choices and not sink.holds_choices:
                reporter.note(f"{sink.output} gets boxes only: {sink.form} has no place for choices")
        if self._remote:
            reporter.note(f"the policy for existing tasks: {policy}")
        return Job(source, checkpoint, postprocessor, policy, reporter, self._settings.holdout_fraction)

    def _overrides(self, fingerprint: str) -> LabelOverrides:
        """Return the overrides in force for the project of the source or of the sinks, as the service would use them."""
        if self._project is None:
            return NO_OVERRIDES
        with closing(Database(self._settings.database_address)) as database:
            revisions = CurrentRevisions(database, fingerprint)
            revisions.refresh()
            return revisions.overrides(str(self._project))

    @contextmanager
    def _open_checkpoint(self) -> Iterator[Checkpoint]:
        if self._request.dry_run:
            with tempfile.TemporaryDirectory() as folder, Checkpoint(Path(folder) / "checkpoint") as checkpoint:
                yield checkpoint
        else:
            with Checkpoint(self._path) as checkpoint:
                yield checkpoint

    def _identity(
        self, source: Source, checkpoint: Checkpoint, models: Models, needed: Collection[ModelKind]
    ) -> dict[str, str]:
        """Return the properties of the job that must not change.

        Models are those that the label config needs, and those that it needed in an earlier run, whose results the checkpoint has.
        """
        tiles = {"tiles": str(TILING)} if tiles_of(needed) or checkpoint.recall("tiles") is not None else {}
        kinds = [kind for kind in models.by_kind if kind in needed or checkpoint.recall(kind) is not None]
        return {
            "source": source.name,
            "image keys": ", ".join(field.key + "[]" * field.is_list for field in self._image_fields),
            **{model.kind: f"{model.name}@{model.fingerprint}" for model in models.chosen(kinds)},
            "input": input_shaping(self._settings.model_input_max_side),
            "appearance": HASH_VERSION,
            **tiles,
        }

    def _engine(self, models: Models, needed: Collection[ModelKind]) -> Engine:
        if self._request.engine == "ray":
            from ml_backend.bootstrap.engines.ray import RayEngine

            return RayEngine(self._settings, models.chosen(needed), self._request.workers)
        from ml_backend.bootstrap.engines.local import LocalEngine

        return LocalEngine(self._settings, models)

    def _end_dry_run(self, job: Job, pending: int) -> int:
        predictions = [each for each in job.predictions if each.images]
        sheet = self._beside(DRY_RUN)
        if predictions:
            draw_sheet(predictions[:MAX_IMAGES], sheet, self._options)
        job.reporter.estimated(pending, sheet)
        for item, failure in job.checkpoint.failures():
            job.reporter.note(f"{item.name}: {failure.reason}")
        return DONE

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name.removesuffix(".journal") + suffix)

    def _end(self, job: Job) -> int:
        path = self._beside(".failures.csv")
        failed = write_failures(job.checkpoint, path)
        advice = f"{failed} failed, as {path} says; --retry-failures tries them again" if failed else ""
        job.reporter.ended(job.checkpoint.counts(), advice)
        return FAILURES if failed else DONE
