"""The feedback service with what the application gives it, but without a Label Studio to read annotations back from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from ml_backend.feedback.ingest.service import FeedbackService, IngestOptions
from ml_backend.feedback.learning.project_calibration import CalibrationOptions
from ml_backend.feedback.learning.revisions import CurrentRevisions
from ml_backend.feedback.learning.trainer import Trainer
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.detectors import CurrentDetector
from ml_backend.inference.classifier import Classifier
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.pipeline.postprocessors import OverridesProvider, no_overrides
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.settings import Settings


@dataclass(frozen=True)
class Parts:
    """A feedback service, which does not listen yet, with its database and its pipeline."""

    feedback: FeedbackService
    database: Database
    pipeline: Pipeline


@asynccontextmanager
async def feedback_service(
    settings: Settings, model: Detector | Classifier, overrides: OverridesProvider = no_overrides
) -> AsyncIterator[Parts]:
    """Give a feedback service with one model, and close its database and pipeline afterwards."""
    current = CurrentDetector(model.fingerprint[:8], model.name)
    models = Models(classifier=model) if isinstance(model, Classifier) else Models(model)
    with closing(Database(settings.database_address)) as database:
        async with Pipeline(settings, models, overrides) as pipeline:
            feedback = FeedbackService(database, pipeline, current, None, IngestOptions.of(settings))
            yield Parts(feedback, database, pipeline)


@asynccontextmanager
async def training(settings: Settings, detector: Detector) -> AsyncIterator[tuple[Trainer, CurrentRevisions]]:
    """Give a trainer, and the revisions in force, beside a feedback service that listens."""
    with closing(Database(settings.database_address)) as database:
        revisions = CurrentRevisions(database, detector.fingerprint)
        async with feedback_service(settings, detector, revisions.overrides) as parts:
            trainer = Trainer(
                database,
                parts.feedback,
                revisions,
                options=CalibrationOptions.of(settings),
                timeout=settings.predict_deadline,
            )
            async with parts.feedback.listening():
                yield trainer, revisions
            await trainer.close()
