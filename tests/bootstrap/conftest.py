"""Checkpoints, and whole jobs whose results are given rather than computed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from bootstrap_jobs import Row, looked_at
from samples import BALLOON_CONFIG

from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.bootstrap.items import Outcome
from ml_backend.bootstrap.job import JobPredictions
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.served_controls import KnownClasses
from ml_backend.vocabularies.imagenet import imagenet_classes


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    """Give an empty checkpoint."""
    with Checkpoint(tmp_path / "checkpoint") as checkpoint:
        yield checkpoint


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Callable[..., JobPredictions]]:
    """Give a function that makes a job, all done, of items with what was found in their pictures; None is to be left alone."""
    with ExitStack() as open_checkpoints:

        def made(*rows: Row, config: str = BALLOON_CONFIG) -> JobPredictions:
            number = len(list(tmp_path.glob("job-*.lock")))
            checkpoint = open_checkpoints.enter_context(Checkpoint(tmp_path / f"job-{number}"))
            checkpoint.survey((item for item, _ in rows), sort=False)
            found = {item.key: pictures for item, pictures in rows}
            checkpoint.record(
                [Outcome(each.position, looked_at(found[each.key] or {})) for each in checkpoint.pending()]
            )
            classes: KnownClasses = {"detector": None, "classifier": imagenet_classes()}
            postprocessor = Postprocessor.from_label_config(config, score_threshold=0.3, classes=classes)
            return JobPredictions(checkpoint, postprocessor, "demo@01234567.abcdef", with_scores=True)

        yield made
