"""Protects files: a job replaces only outputs that it has written itself and that nobody has changed since."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.bootstrap.sinks.sink import Sink
from ml_backend.bootstrap.sources.source import Source
from ml_backend.errors import BootstrapError

WRITING = "being written"


def check_outputs(checkpoint: Checkpoint, sinks: Sequence[Sink], source: Source | None, *, overwrite: bool) -> None:
    """Check everything that the sinks would replace.

    Args:
        checkpoint: of the job, with the state of its outputs.
        sinks: of the job.
        source: of the job; None if it is not a local one.
        overwrite: whether files that the job has not made can be replaced.

    Raises:
        BootstrapError: something must not be replaced.
    """
    root = source.path if source is not None else None
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
        if sink.copies_images and root is not None and output.is_relative_to(root):
            raise BootstrapError(
                f"{output} is in the source, which would grow by its images; name a folder outside the source"
            )
        made = _made_by(checkpoint, sink.outputs)
        for path in filter(Path.exists, sink.outputs):
            if path.is_dir() and _holds_others(path, sink.contents):
                raise BootstrapError(
                    f"{path} is a folder with other things in it, and is not replaced, not even with --overwrite"
                )
            if not (overwrite or path in made):
                raise BootstrapError(_refusal(checkpoint, path))


def _refusal(checkpoint: Checkpoint, path: Path) -> str:
    if checkpoint.recall(_name(path)) is None:
        return f"{path} exists already, and this job has not made it; --overwrite replaces it"
    return f"{path} has been changed since this job wrote it; --overwrite writes it anew"


def mark_being_written(checkpoint: Checkpoint, paths: Iterable[Path]) -> None:
    """Record outputs before they are written: after a kill, half-written outputs are the job's own too."""
    for path in paths:
        checkpoint.remember(_name(path), WRITING)


def mark_written(checkpoint: Checkpoint, paths: Iterable[Path]) -> None:
    """Record the state of outputs that are complete, so that later changes are noticed."""
    for path in paths:
        checkpoint.remember(_name(path), _state_of(path))


def remove_superseded(checkpoint: Checkpoint, sinks: Sequence[Sink]) -> None:
    """Delete the outputs that the job has written with other options, unless somebody has changed them since."""
    written = {path for sink in sinks for path in sink.outputs}
    for sink in sinks:
        for path in _made_by(checkpoint, sink.superseded) - written:
            path.unlink()
            mark_written(checkpoint, [path])


def _made_by(checkpoint: Checkpoint, paths: Sequence[Path]) -> set[Path]:
    """Return those outputs of a sink that the job has made and nobody has changed since.

    If a run was killed while it wrote, all of them are the job's: it does not begin to write where there are other files.
    """
    states = {path: checkpoint.recall(_name(path)) for path in paths}
    if WRITING in states.values():
        return set(paths)
    return {path for path, state in states.items() if state == _state_of(path)}


def _name(path: Path) -> str:
    return f"output {path}"


def _state_of(path: Path) -> str:
    """Return a text that changes when a file, or any file in a folder, is changed or deleted."""
    files = [path] if path.is_file() else (each for each in path.rglob("*") if not each.is_dir())
    number = size = latest = 0
    for each in files:
        status = each.lstat()
        number, size, latest = number + 1, size + status.st_size, max(latest, status.st_mtime_ns)
    return f"{number} {size} {latest}"


def _holds_others(folder: Path, contents: Sequence[str]) -> bool:
    return any(not any(fnmatch(each.name, pattern) for pattern in contents) for each in folder.iterdir())


def checkpoint_beside(sinks: Sequence[Sink], name: str) -> Path:
    """Return the path of a job's checkpoint: beside the first output, or in the working folder if there is none.

    The suffix is still ``.journal``, the earlier name of checkpoints, so that jobs of older versions go on.
    """
    first = next((sink.output for sink in sinks if sink.output is not None), Path.cwd() / name)
    return first.with_name(f"{first.name}.journal")
