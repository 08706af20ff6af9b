"""Sees that a job writes over nothing but what it has made itself and nobody has changed since."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.bootstrap.sinks.preview import Preview
from ml_backend.bootstrap.sinks.sink import Sink
from ml_backend.bootstrap.sinks.tasks_json import TasksJson
from ml_backend.bootstrap.sinks.yolo import Yolo
from ml_backend.bootstrap.sources.files import Folder
from ml_backend.bootstrap.sources.lists import InFile
from ml_backend.bootstrap.sources.source import Source
from ml_backend.errors import BootstrapError

WRITING = "being written"


def check_outputs(checkpoint: Checkpoint, sinks: Sequence[Sink], source: Source | None, *, overwrite: bool) -> None:
    """Look at everything that would be written over.

    Args:
        checkpoint: of the job, which knows what it has written.
        sinks: what is to be written.
        source: the source.
        overwrite: whether files that are not the job's may go.

    Raises:
        BootstrapError: something is not to be written over.
    """
    root = source.root if isinstance(source, Folder) else source.path if isinstance(source, InFile) else None
    seen: set[Path] = set()
    for sink in sinks:
        output = sink.output
        if output is None:
            continue
        if output in seen:
            raise BootstrapError(f"{output} is named twice as a destination")
        seen.add(output)
        for path in (root, checkpoint.path.absolute()):
            if path is not None and path.is_relative_to(output):
                raise BootstrapError(f"{output} is, or holds, {path}; name another destination")
        if isinstance(sink, Yolo | Preview) and root is not None and output.is_relative_to(root):
            raise BootstrapError(
                f"{output} is in the source, which would grow by its pictures; name a folder elsewhere"
            )
        made = _made_by(checkpoint, sink.outputs)
        for path in filter(Path.exists, sink.outputs):
            _check(checkpoint, path, replaceable=overwrite or path in made)


def _check(checkpoint: Checkpoint, path: Path, *, replaceable: bool) -> None:
    if path.is_dir() and _holds_others(path):
        raise BootstrapError(
            f"{path} is a folder with other things in it, and is not replaced, not even with --overwrite"
        )
    if replaceable:
        return
    if checkpoint.fact(_name(path)) is None:
        raise BootstrapError(f"{path} exists already, and this job has not made it; --overwrite replaces it")
    raise BootstrapError(f"{path} has been changed since this job wrote it; --overwrite writes it anew")


@contextmanager
def recorded(checkpoint: Checkpoint, sink: Sink) -> Iterator[None]:
    """Remember what is written meanwhile, so that it is known again. After a kill, what is half done is the job's own as well."""
    before = sink.outputs
    for path in before:
        checkpoint.remember(_name(path), WRITING)
    yield
    for path in {*before, *sink.outputs}:
        checkpoint.remember(_name(path), _state_of(path))


def remove_superseded(checkpoint: Checkpoint, sinks: Sequence[Sink]) -> None:
    """Remove what the job has written with another ``--tasks-per-file``, unless somebody has changed it since."""
    written = {path for sink in sinks for path in sink.outputs}
    for sink in sinks:
        superseded = sink.superseded if isinstance(sink, TasksJson) else []
        for path in _made_by(checkpoint, superseded) - written:
            path.unlink()
            checkpoint.remember(_name(path), _state_of(path))


def _made_by(checkpoint: Checkpoint, paths: Sequence[Path]) -> set[Path]:
    """Return those files of a destination that the job has made and nobody has changed since.

    Where a run was killed while it wrote, all of them are the job's: it does not begin where there are others.
    """
    facts = {path: checkpoint.fact(_name(path)) for path in paths}
    if WRITING in facts.values():
        return set(paths)
    return {path for path, fact in facts.items() if fact == _state_of(path)}


def _name(path: Path) -> str:
    return f"output {path}"


def _state_of(path: Path) -> str:
    """Return what tells whether a file, or anything in a folder, has been changed or is gone."""
    files = [path] if path.is_file() else (each for each in path.rglob("*") if not each.is_dir())
    number = size = latest = 0
    for each in files:
        status = each.lstat()
        number, size, latest = number + 1, size + status.st_size, max(latest, status.st_mtime_ns)
    return f"{number} {size} {latest}"


def _holds_others(folder: Path) -> bool:
    ours = {"labels", "images", "classes.txt", "notes.json", "data.yaml"}
    return any(each.name not in ours and not fnmatch(each.name, "sheet-*.jpg") for each in folder.iterdir())


def checkpoint_beside(sinks: Sequence[Sink], name: str) -> Path:
    """Return where a job's checkpoint lies: beside the first output, or in the working folder where there is none."""
    first = next((sink.output for sink in sinks if sink.output is not None), Path.cwd() / name)
    return first.with_name(f"{first.name}.journal")
