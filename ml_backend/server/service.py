"""The parts of the running application, as a dependency of the routes."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from ml_backend.feedback.ingest.service import FeedbackService
from ml_backend.feedback.learning.revisions import CurrentRevisions, set_aside_sentence
from ml_backend.feedback.learning.trainer import Trainer
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.projects.upkeep import ProjectUpkeep
from ml_backend.server.pages.project_data import ProjectData
from ml_backend.server.pages.project_pictures import ProjectPictures
from ml_backend.server.status import ProjectStatuses
from ml_backend.settings import Settings
from ml_backend.tracing import Traces


@dataclass
class Service:
    """The parts of the running application."""

    settings: Settings
    pipeline: Pipeline
    revisions: CurrentRevisions
    feedback: FeedbackService
    trainer: Trainer
    upkeep: ProjectUpkeep
    start_warnings: list[str]
    traces: Traces | None
    projects: ProjectData
    pictures: ProjectPictures
    statuses: ProjectStatuses = field(default_factory=ProjectStatuses)

    def set_aside(self) -> list[str]:
        """Return a sentence for each project whose revision was learned with another detector."""
        return [set_aside_sentence(revision) for revision in self.revisions.set_aside()]


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceDependency = Annotated[Service, Depends(_service)]
