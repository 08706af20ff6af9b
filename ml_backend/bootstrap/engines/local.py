"""The engine of one machine: one process, and as many images at once as the settings allow."""

import asyncio
import signal
import time
from collections.abc import Iterator

from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.bootstrap.items import Item, Keep, Needs, Outcome
from ml_backend.bootstrap.stored_results import NOTHING, Known
from ml_backend.bootstrap.worker import Worker, open_worker
from ml_backend.errors import BootstrapError
from ml_backend.inference.models import Models
from ml_backend.model_results import ModelKind
from ml_backend.settings import Settings

KEPT_AT_ONCE = 64  # outcomes that are recorded together
KEPT_EVERY = 1.0  # seconds, at most, until outcomes are recorded


class LocalEngine:
    """Examines the pending items of a checkpoint on this machine.

    Args:
        settings: as for the service.
        models: run on the images.
    """

    def __init__(self, settings: Settings, models: Models) -> None:
        self._settings = settings
        self._models = models

    def run(self, checkpoint: Checkpoint, needs: Needs, keep: Keep) -> None:
        """Examine all pending items; their outcomes go to ``keep``. SIGTERM interrupts the run as Ctrl-C does.

        Raises:
            KeyboardInterrupt: the run was interrupted; recorded outcomes are kept.
            BootstrapError: the run cannot go on; recorded outcomes are kept.
        """
        try:
            asyncio.run(self._run(checkpoint, needs, keep))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        except BaseExceptionGroup as group:
            reasons, _ = group.split(BootstrapError)
            if reasons is None:
                raise
            raise _first(reasons) from None

    async def _run(self, checkpoint: Checkpoint, needs: Needs, keep: Keep) -> None:
        this = asyncio.current_task()
        if this is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
        kept = _Kept(keep)
        pending = checkpoint.pending()

        def known(digest: str) -> frozenset[ModelKind]:
            return kept.known.get(digest, NOTHING) | checkpoint.known_results(digest)

        async with open_worker(self._settings, self._models, needs, known) as worker:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self._settings.max_concurrent_images):
                        group.create_task(_work_on(pending, worker, kept))
            finally:
                kept.flush()


async def _work_on(pending: Iterator[Item], worker: Worker, kept: "_Kept") -> None:
    for item in pending:  # shared by all tasks of the group
        kept.add(await worker.examine(item))


class _Kept:
    """Outcomes that are not recorded yet, and the models whose results they have, by the digest of an image."""

    def __init__(self, keep: Keep) -> None:
        self.known: Known = {}
        self._keep = keep
        self._outcomes: list[Outcome] = []
        self._flushed = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        for image in (image for images in outcome.images.values() for image in images):
            self.known[image.digest] = self.known.get(image.digest, NOTHING) | image.kinds
        if len(self._outcomes) >= KEPT_AT_ONCE or time.monotonic() - self._flushed > KEPT_EVERY:
            self.flush()

    def flush(self) -> None:
        self._keep(self._outcomes)
        self._outcomes = []
        self.known.clear()
        self._flushed = time.monotonic()


def _first(group: BaseExceptionGroup[BootstrapError]) -> BootstrapError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
