"""The engine of a Ray cluster: a Ray Data pipeline from the pages of the checkpoint through a pool of workers and back.

checkpoint (read on the driver's node) -> pages of items -> workers, each with the models -> outcomes of a page -> driver

A page is one row, and each row is a block, so Ray distributes whole pages. The positions of a page are fixed before the first outcome
is recorded: if Ray reads a page again after a failure, it has the same number and the same items, without those that are done.
"""

import asyncio
import importlib
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.bootstrap.items import Item, Keep, Needs, Outcome
from ml_backend.bootstrap.pending import PendingItems
from ml_backend.errors import BootstrapError, ModelLoadError, PrelabelError
from ml_backend.logs import configure_logging
from ml_backend.model_results import ModelKind
from ml_backend.redaction import printable, redact
from ml_backend.settings import Settings

try:
    import pyarrow as pa  # type: ignore[import-untyped]  # comes with Ray Data
    import ray
    import ray.data
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask
    from ray.data.exceptions import ExecutionTimeoutError
except ImportError:
    raise BootstrapError(
        "--engine ray needs Ray, which is not installed: pip install 'prelabel[ray]', or make dev in a checkout (or leave out --engine)"
    ) from None

if TYPE_CHECKING:  # it imports TensorFlow: seconds and 500 MB in each process that only reads pages
    from ml_backend.inference.classifier import Classifier
    from ml_backend.inference.detector import Detector
    from ml_backend.inference.models import Models

T = TypeVar("T")

MAX_ON_PAGE = 64  # items
PAGES_EACH = 8  # pages for each worker, at least, so that all workers end at about the same time
MAX_READS = 500  # tasks that read pages; Ray holds all of them in memory
MIN_PAGES = 16  # in such a task
THREADS = 2  # of a worker, by default: one decodes while the other runs a model
AT_ONCE = 2  # pages in a worker, so that one slow image does not hold up the others
STALLED_SECONDS = (
    3600  # without a completed page; Ray itself waits for ever for nodes and for pages that kill their worker
)
STORE_BYTES = 200_000_000  # object store of a cluster that Prelabel starts; a page has about 300 KB


class RayEngine:
    """Examines the pending items of a checkpoint on the cluster of ``RAY_ADDRESS``, or on processors of this machine.

    Args:
        settings: as for the service; those of the models and of images apply to each worker.
        models: those that the label config needs, whose files must be the same on all nodes. Workers load no others.
        workers: the number of processes, each with these models.
    """

    def __init__(self, settings: Settings, models: "Sequence[Detector | Classifier]", workers: int) -> None:
        self._settings = _for_workers(settings, models)
        self._fingerprints = {model.kind: model.fingerprint for model in models}
        self._workers = workers
        self._processors = max(1, self._settings.inference_workers - 1)  # of a worker, whose threads wait as well

    def run(self, checkpoint: Checkpoint, needs: Needs, keep: Keep) -> None:
        """Examine all pending items; their outcomes go to ``keep``, a page at a time. SIGTERM interrupts the run as Ctrl-C does.

        Raises:
            KeyboardInterrupt: the run was interrupted; recorded outcomes are kept.
            BootstrapError: the run cannot go on; recorded outcomes are kept.
        """
        pages = Pages(checkpoint.path, checkpoint.counts().pending, self._workers)
        if not pages.number:
            return
        with _ended_by_sigterm(), self._connected(), _ended_by_sigterm():  # Ray has a handler of its own
            _configure_data()
            try:
                for row in self._outcomes(pages, needs).iter_rows():
                    keep(pickle.loads(row["outcomes"]))  # noqa: S301 - our own workers'
                    if row["problem"]:
                        raise BootstrapError(row["problem"])
            except (ray.exceptions.RayError, ExecutionTimeoutError) as error:
                reason = f"Ray cannot go on: {_last_line(error)}; what is done is kept: run the same command again"
                raise BootstrapError(reason) from None
        left = checkpoint.counts().pending
        if left:
            raise BootstrapError(f"Ray has lost {left:,} items; run the same command again to examine them")

    def _outcomes(self, pages: "Pages", needs: Needs) -> Any:
        # By reference, since Ray logs the arguments of a worker.
        settings = ray.put(self._settings)
        reads = len(pages.reads)
        read = ray.data.read_datasource(pages, num_cpus=0, concurrency=min(2, reads), override_num_blocks=reads)
        workers = ray.data.ActorPoolStrategy(
            size=min(self._workers, pages.number),
            max_concurrent_calls_per_actor=AT_ONCE,
            enable_true_multi_threading=True,
        )
        return read.map_batches(
            Worker,
            batch_size=None,
            compute=workers,
            num_cpus=self._processors,
            fn_constructor_kwargs={
                "settings": settings,
                "fingerprints": self._fingerprints,
                "needs": needs,
            },
        )

    @contextmanager
    def _connected(self) -> Iterator[None]:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        os.environ.setdefault(
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
        )  # the future default of Ray, which warns about it
        address = os.environ.get("RAY_ADDRESS", "")
        if address.startswith("ray://"):
            raise BootstrapError(
                f"RAY_ADDRESS={address}: the job must run on a node of the cluster, since Ray reads the checkpoint there; "
                "start it on one, with RAY_ADDRESS=auto"
            )
        own = {
            "address": "local",
            "num_cpus": self._workers * self._processors,
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
        }
        from ml_backend.inference.runtimes.tensorflow import stderr_closed

        try:
            with stderr_closed():  # Ray's C++ code announces there that it will be quiet
                ray.init(**({} if address else own), log_to_driver=False, logging_level=logging.CRITICAL)
        except Exception as error:  # ConnectionError, RuntimeError, ValueError, …
            where = f"RAY_ADDRESS={address} cannot be used" if address else "Ray cannot be started"
            raise BootstrapError(f"{where}: {_last_line(error)}") from None
        try:
            yield
        finally:
            ray.shutdown()


class Pages(Datasource):  # type: ignore[misc]  # Ray has no types
    """The pending items of a checkpoint, read a page at a time, on the driver's node, where the checkpoint is."""

    supports_distributed_reads = False

    def __init__(self, checkpoint: Path, pending: int, workers: int) -> None:
        super().__init__()
        size = max(1, min(MAX_ON_PAGE, pending // (workers * PAGES_EACH)))
        with PendingItems.of_file(checkpoint) as items:
            starts = items.page_starts(size)
        self.number = len(starts)
        each = max(MIN_PAGES, -(-self.number // MAX_READS))
        starts.append(sys.maxsize)
        self.reads = [partial(_read, checkpoint, starts[i : i + each + 1]) for i in range(0, self.number, each)]

    def estimate_inmemory_data_size(self) -> int | None:
        """Return None: pages are small, and Ray needs no estimate."""
        return None

    def get_read_tasks(self, *_: object, **__: object) -> list[ReadTask]:
        """Return the tasks that read all pages, in order."""
        return [ReadTask(read, BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None)) for read in self.reads]


def _read(checkpoint: Path, starts: Sequence[int]) -> Iterator[pa.Table]:
    for first, end in pairwise(starts):
        with PendingItems.of_file(
            checkpoint
        ) as items:  # for one page only, so that SQLite's log does not grow meanwhile
            page = items.between(first, end)
        yield pa.table({"items": [pickle.dumps(page)]})


class Worker:
    """The models in a process of their own, with the event loop in which images are fetched."""

    def __init__(self, settings: Any, fingerprints: Mapping[ModelKind, str], needs: Needs) -> None:
        from ml_backend.bootstrap.worker import open_worker

        settings = ray.get(settings)
        configure_logging("error")
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._in_flight = asyncio.Semaphore(settings.max_concurrent_images)
        self._problem = ""
        # Returned with a page, since Ray shows an exception from here as a stack trace.
        try:
            models = _load(settings)
        except PrelabelError as error:
            self._problem = f"on {socket.gethostname()}: {error}"
            return
        for model in models.all:
            fingerprint = fingerprints[model.kind]
            if model.fingerprint != fingerprint:
                self._problem = (
                    f"{model.handle} on {socket.gethostname()} is another {model.kind} than here "
                    f"({model.fingerprint[:8]}, not {fingerprint[:8]}): put the same files on all nodes"
                )
                return
        self._opened = open_worker(settings, models, needs, known=lambda _: ())
        self._worker = self._wait_for(self._opened.__aenter__())

    def __call__(self, page: dict[str, Any]) -> dict[str, list[Any]]:
        """Examine the items of a page; returns their outcomes, and the reason if the job cannot go on."""
        outcomes: list[Outcome] = []
        problem = self._problem or self._wait_for(self._examine(pickle.loads(page["items"][0]), outcomes))  # noqa: S301 - the driver's
        return {"outcomes": [pickle.dumps(outcomes)], "problem": [problem]}

    async def _examine(self, items: Sequence[Item], outcomes: list[Outcome]) -> str:
        """Examine the items of a page; returns the reason if the job cannot go on, or an empty text."""

        async def examine(item: Item) -> None:
            async with self._in_flight:
                outcomes.append(await self._worker.examine(item))

        problem = ""
        try:
            async with asyncio.TaskGroup() as group:
                for item in items:
                    group.create_task(examine(item))
        except* BootstrapError as errors:
            problem = str(errors.exceptions[0])
        return problem

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _load(settings: Settings) -> "Models":
    from ml_backend.inference.models import Models

    try:
        return Models.load(settings)
    except ModelLoadError:
        time.sleep(5)  # another worker of this node may be unpacking the same files
        return Models.load(settings)


def _for_workers(settings: Settings, models: "Sequence[Detector | Classifier]") -> Settings:
    """Return settings with absolute paths, for other nodes, without the models and the secrets that workers do not need."""
    threads = settings.inference_workers if "inference_workers" in settings.model_fields_set else THREADS
    kinds = {model.kind for model in models}
    class_names = settings.class_names if any(model.uses_class_names for model in models) else None
    return settings.model_copy(
        update={
            "model": _absolute(settings.detector) if "detector" in kinds else None,
            "classifier": _absolute(settings.classifier) if "classifier" in kinds else None,
            "class_names": class_names and class_names.absolute(),
            "inference_workers": threads,
            "tfhub_cache_dir": settings.tfhub_cache_dir.absolute(),
            "cache_file": settings.cache_file.absolute(),
            "basic_auth_user": None,
            "basic_auth_pass": None,
        }
    )


def _absolute(handle: str | None) -> str | None:
    """Return the handle of a model with the absolute path of a folder or archive."""
    from ml_backend.inference import demo_model

    if handle is None or "://" in handle or handle == demo_model.HANDLE:
        return handle
    return str(Path(handle).expanduser().absolute())


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _configure_data() -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = STALLED_SECONDS
    context.target_max_block_size = 1  # byte: each row is a block
    # Ray has log files of its own; otherwise some of its messages would go to our standard output.
    vars(importlib.import_module("ray._private.worker"))["_worker_logs_enabled"] = False  # as its debugger does
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL + 1)


def _last_line(error: Exception) -> str:
    lines = str(error).split("\n")
    return printable(redact(next(filter(str.strip, reversed(lines)), type(error).__name__).strip()), 300)
