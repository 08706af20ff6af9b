"""The base class of sinks, and the one pass that feeds all sinks of a job."""

import errno
import shutil
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar, Self

from typing_extensions import override

from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.bootstrap.existing_tasks import ExistingTaskPolicy
from ml_backend.bootstrap.items import PredictedItem
from ml_backend.errors import BootstrapError
from ml_backend.label_studio.controls.control import Control
from ml_backend.redaction import printable
from ml_backend.settings import Settings

Writing = Generator[None, PredictedItem | None, str]
"""A sink at work: takes the items in order and then None, and returns a sentence about the result, without its full stop."""


@dataclass(frozen=True)
class SinkOptions:
    """The options of a command that sinks can use.

    Attributes:
        settings: as for the service.
        label_config: of the project, XML.
        controls: of the label config, those that the models can serve.
        tasks_per_file: most tasks in a file of tasks, or 0 for one file.
        title: of a new project.
    """

    settings: Settings
    label_config: str = ""
    controls: Sequence[Control] = ()
    tasks_per_file: int = 0
    title: str = "Prelabel"


@dataclass(frozen=True)
class WriteContext:
    """The job whose predictions are written.

    Attributes:
        total: the number of items with images.
        checkpoint: of the job.
        policy: for tasks that exist.
        source_project: the project whose tasks are the items, if they are a project's.
    """

    total: int
    checkpoint: Checkpoint
    policy: ExistingTaskPolicy
    source_project: int | None = None


class Sink(ABC):
    """A file, folder or project that predictions are written to.

    Attributes:
        form: how users name it, such as ``coco:FILE``.
        for_annotators: whether people correct the predictions there, so that those of the holdout have no regions
            (``PRELABEL_HOLDOUT_FRACTION``).
        holds_choices: whether its format has a place for choices.
        shows_scores: whether it has the scores of all choices, also of those that do not hold.
        copies_images: whether its folder has images, which a source around it would take in.
        contents: patterns of the names in its folder; a folder with other names is not replaced.
        remote: whether it sends to Label Studio. Such sinks are written last, under the policy for existing tasks.
        project: id of the project that it sends to, if the project exists.
        output: its file or folder; None if it has none.
    """

    form: ClassVar[str]
    for_annotators: ClassVar[bool] = False
    holds_choices: ClassVar[bool] = True
    shows_scores: ClassVar[bool] = False
    copies_images: ClassVar[bool] = False
    contents: ClassVar[tuple[str, ...]] = ()
    remote: ClassVar[bool] = False
    project: int | None = None
    output: Path | None = None

    @classmethod
    @abstractmethod
    def open(cls, name: str, options: SinkOptions) -> Self | None:
        """Return the sink of this name (the text behind the prefix), or None if the name is not a valid one.

        Raises:
            PrelabelError: the options or the project do not allow it.
        """

    @property
    def outputs(self) -> list[Path]:
        """Its files and folders, those of an earlier run included."""
        return [] if self.output is None else [self.output]

    @property
    def superseded(self) -> list[Path]:
        """Existing files of the same sink with other options, which must not stay beside its outputs."""
        return []

    @abstractmethod
    def write(self, context: WriteContext) -> Writing:
        """Write the items that are sent in.

        Raises:
            BootstrapError: they cannot be written; the outputs of an earlier run are still there.
        """


class FileSink(Sink):
    """A sink that writes one file or folder.

    Args:
        output: the file or folder.
        options: of the command.
    """

    output: Path

    def __init__(self, output: Path, options: SinkOptions) -> None:
        self.output = output
        self._options = options

    @override
    @classmethod
    def open(cls, name: str, options: SinkOptions) -> Self | None:
        return cls(Path(name).absolute(), options)


def write_all(
    sinks: Iterable[Sink], predictions: Iterable[PredictedItem], context: WriteContext
) -> Iterator[tuple[Sink, str]]:
    """Write predictions to all sinks in one pass; yields each sink when it is complete, and its sentence.

    Raises:
        BootstrapError: a sink cannot be written. Sinks that are not complete are as before.
    """
    with ExitStack() as stack:
        writings = {sink: stack.enter_context(closing(sink.write(context))) for sink in sinks}
        for writing in writings.values():
            next(writing)
        for predicted in predictions:
            for_annotators = predicted.without_regions() if predicted.in_holdout else predicted
            for sink, writing in writings.items():
                writing.send(for_annotators if sink.for_annotators else predicted)
        for sink, writing in writings.items():
            yield sink, _finish(writing)


def _finish(writing: Writing) -> str:
    try:
        writing.send(None)
    except StopIteration as end:
        return str(end.value)
    raise AssertionError("a sink did not end after the last item")


@contextmanager
def replaced(path: Path, newline: str | None = None) -> Iterator[IO[str]]:
    """Open a text file that replaces ``path`` at the end of the ``with`` block, or is deleted after an error."""
    draft = path.with_name(path.name + ".part")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("w", encoding="utf-8", newline=newline) as file:
                yield file
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Make an empty folder that replaces ``path`` at the end of the ``with`` block, or is deleted after an error."""
    draft = path.with_name(path.name + ".part")
    with explained(path):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            yield draft
            # Two renames, so that a kill in between leaves one of the two folders.
            before = path.with_name(path.name + ".before")
            shutil.rmtree(before, ignore_errors=True)
            if path.exists():
                if not path.is_dir():
                    raise NotADirectoryError(errno.ENOTDIR, "a file is in its place")
                path.replace(before)
            draft.replace(path)
            shutil.rmtree(before, ignore_errors=True)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of the file system into a :class:`BootstrapError` that names the path and the way out."""
    try:
        yield
    except OSError as error:
        raise BootstrapError(
            f"{printable(str(path), 4096)} cannot be written: {error.strerror or error}; the checkpoint has all results: "
            "repair that and run the same command again"
        ) from None
