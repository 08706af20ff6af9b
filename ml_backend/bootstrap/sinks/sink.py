"""What a destination is, and how its files come into being: beside their place, and into it when they are whole."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, ClassVar, Protocol

from ml_backend.bootstrap.items import Predicted
from ml_backend.errors import BootstrapError
from ml_backend.redaction import printable


class Predictions(Protocol):
    """All items of a job in order, made anew each time that they are gone through; their length is how many have pictures."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Predicted]: ...


class OneOutput:
    """What makes one file or folder.

    Args:
        output: which.
    """

    for_annotators: ClassVar[bool] = False

    def __init__(self, output: Path) -> None:
        self.output = output

    @property
    def outputs(self) -> list[Path]:
        """The one."""
        return [self.output]


class Sink(Protocol):
    """Something that predictions are written to."""

    for_annotators: ClassVar[bool]
    """Whether people correct what is written there, so that boxes may be withheld from them (``PRELABEL_HOLDOUT_FRACTION``)."""

    @property
    def output(self) -> Path | None:
        """The file or folder that it makes, or None where it makes none."""

    @property
    def outputs(self) -> list[Path]:
        """That, or the several files that it makes."""

    def write(self, predictions: Predictions) -> str:
        """Write everything; gives what was done, as a sentence without its full stop.

        Raises:
            BootstrapError: it cannot be written; what was there before is still there.
        """


@contextmanager
def replaced(path: Path, newline: str | None = None) -> Iterator[IO[str]]:
    """Give a file to write text into, which takes the place of ``path`` at the end, or goes if there was an error."""
    draft = path.with_name(path.name + ".part")
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("w", encoding="utf-8", newline=newline) as file:
                yield file
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder, which takes the place of ``path`` at the end, or goes if there was an error."""
    draft = path.with_name(path.name + ".part")
    with _explained(path):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            yield draft
            # Aside first, so that a kill in between leaves one of the two.
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
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BootstrapError(
            f"{printable(str(path), 4096)} cannot be written: {error.strerror or error}; the checkpoint has everything that was found: "
            "mend that and run the same command again"
        ) from None
