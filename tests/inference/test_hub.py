import gc
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from picture_server import Answer, PictureServer

from ml_backend.errors import ModelLoadError
from ml_backend.inference import demo_model
from ml_backend.inference.detector import Detector
from ml_backend.inference.hub import check_source, load_module, model_name


@pytest.fixture(scope="module")
def module(models_dir: Path) -> Path:
    """Give the folder of a module that loads."""
    return demo_model.build(models_dir)


@pytest.fixture(scope="module")
def archive(module: Path) -> bytes:
    """Give the same module as a .tar.gz, as TensorFlow Hub sends it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path in sorted(module.rglob("*")):
            tar.add(path, path.relative_to(module), recursive=False)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def _collect_what_the_hub_leaves_open() -> Iterator[None]:
    """TensorFlow Hub never closes its HTTP responses; collect them here, where it is known whose they are."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def waits() -> list[str]:
    """Collect what is said while waiting."""
    return []


def test_folder(module: Path, tmp_path: Path, waits: list[str]) -> None:
    """A folder is loaded where it is."""
    loaded, folder = load_module(str(module), tmp_path, waits.append)
    assert "default" in loaded.signatures
    assert folder == str(module)


def test_archive_file_is_unpacked_once(archive: bytes, tmp_path: Path, waits: list[str]) -> None:
    """A .tar.gz that was brought to this machine by hand works like a download."""
    (tmp_path / "module.tar.gz").write_bytes(archive)
    _, first = load_module(str(tmp_path / "module.tar.gz"), tmp_path / "cache", waits.append)
    _, second = load_module(str(tmp_path / "module.tar.gz"), tmp_path / "cache", waits.append)
    assert first == second
    assert Path(first).is_relative_to(tmp_path / "cache")


def test_archive_of_a_folder_is_entered(module: Path, tmp_path: Path, waits: list[str]) -> None:
    """People pack the folder as often as the files in it."""
    with tarfile.open(tmp_path / "module.tar.gz", "w:gz") as tar:
        tar.add(module, "detector")
    loaded, _ = load_module(str(tmp_path / "module.tar.gz"), tmp_path / "cache", waits.append)
    assert "default" in loaded.signatures


def test_download_is_kept(archive: bytes, pictures: PictureServer, tmp_path: Path, waits: list[str]) -> None:
    """The second start asks nobody."""
    url = pictures.add("/detector/1", archive)
    _, folder = load_module(url, tmp_path, waits.append)
    load_module(url, tmp_path, waits.append)
    assert Path(folder).is_relative_to(tmp_path)
    assert [path for path, _ in pictures.requests] == ["/detector/1?tf-hub-format=compressed"]
    assert f"fetching {url}" in waits


@pytest.mark.parametrize(
    "damage",
    ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001", "emptied graph"],
)
def test_broken_download_is_fetched_once_more(
    archive: bytes, pictures: PictureServer, tmp_path: Path, waits: list[str], damage: str
) -> None:
    """What cleaners of temporary folders and full disks leave behind is recognised, removed and fetched anew."""
    url = pictures.add("/detector/1", archive)
    _, folder = load_module(url, tmp_path, waits.append)
    if damage == "emptied graph":
        (Path(folder) / "saved_model.pb").write_bytes(b"\xff\xff")
    else:
        (Path(folder) / damage).unlink()
    loaded, _ = load_module(url, tmp_path, waits.append)
    assert "default" in loaded.signatures
    assert len(pictures.requests) == 2
    assert any("fetching it again" in wait for wait in waits)


def test_broken_download_without_network_is_an_error_and_not_a_loop(
    archive: bytes, pictures: PictureServer, tmp_path: Path, waits: list[str]
) -> None:
    """It is fetched once more, not for ever."""
    url = pictures.add("/detector/1", archive)
    _, folder = load_module(url, tmp_path, waits.append)
    (Path(folder) / "saved_model.pb").unlink()
    pictures.add("/detector/1", Answer(status=503))
    with pytest.raises(ModelLoadError, match="503"):
        load_module(url, tmp_path, waits.append)
    assert (Path(folder) / "variables").is_dir(), "what was there is still there, for a person to mend"


@pytest.mark.parametrize("where", ["elsewhere", "cache/mine", "cache"])
def test_users_own_folder_is_never_removed(module: Path, tmp_path: Path, waits: list[str], where: str) -> None:
    """Only what was fetched is, also where the user keeps a module inside the folder of downloads, or as that folder."""
    mine = tmp_path / where
    shutil.copytree(module, mine)
    (mine / "saved_model.pb").write_bytes(b"\xff\xff")
    (mine / "notes").write_text("mine")
    with pytest.raises(ModelLoadError):
        load_module(str(mine), tmp_path / "cache", waits.append)
    assert (mine / "notes").exists()
    assert (mine / "variables").is_dir()


def test_lock_of_a_killed_process_is_not_waited_for(
    archive: bytes, pictures: PictureServer, tmp_path: Path, waits: list[str]
) -> None:
    """TensorFlow Hub would wait ten minutes for it."""
    url = pictures.add("/detector/1", archive)
    _, folder = load_module(url, tmp_path, waits.append)
    shutil.rmtree(folder)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    Path(folder + ".lock").write_text(f"{socket.gethostname()}.{dead.pid}.abc")
    load_module(url, tmp_path, waits.append)
    assert len(pictures.requests) == 2


def test_lock_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    """Another start may be downloading right now."""
    from ml_backend.inference.hub import _remove_dead_locks

    lock = tmp_path / "x.lock"
    lock.write_text(f"{socket.gethostname()}.{os.getpid()}.abc")
    _remove_dead_locks(tmp_path)
    assert lock.exists()


@pytest.mark.parametrize(
    ("handle", "cause"),
    [
        ("/no/such/folder", "no folder and no file"),
        ("http://127.0.0.1:1/detector/1", "Connection refused"),
        (
            "https://no-such-host.invalid/google/openimages_v4/ssd/mobilenet_v2/1",
            "Name or service not known|name resolution",
        ),
        ("{server}/missing", "404"),
        ("{server}/page", "valid module"),
        ("{file}", "not a gzip file|could not be opened"),
    ],
    ids=["missing folder", "refused", "no network", "not found", "a web page", "no archive"],
)
def test_what_cannot_be_loaded_names_handle_cause_and_ways_out(
    pictures: PictureServer, tmp_path: Path, waits: list[str], handle: str, cause: str
) -> None:
    """The person who reads it can go on at once."""
    pictures.add("/page", b"<html>Sign in</html>")
    (tmp_path / "text.tar.gz").write_text("no archive")
    handle = handle.format(server=pictures.url, file=tmp_path / "text.tar.gz")
    with pytest.raises(ModelLoadError, match=cause) as caught:
        Detector.load(handle, tmp_path / "cache", workers=1, progress=waits.append)
    for words in (handle, "PRELABEL_MODEL=", f"TFHUB_CACHE_DIR={tmp_path / 'cache'}", "prelabel demo"):
        assert words in str(caught.value)


def test_source_is_asked_only_before_the_first_download(
    archive: bytes, pictures: PictureServer, tmp_path: Path, waits: list[str]
) -> None:
    """And no more than the head of the answer is read then; afterwards the model starts without a network."""
    pictures.add("/detector.tar.gz", archive)
    handle = f"{pictures.url}/detector.tar.gz"
    check_source(handle, tmp_path)
    load_module(handle, tmp_path, waits.append)
    del pictures.answers["/detector.tar.gz"]
    check_source(handle, tmp_path)
    with pytest.raises(ModelLoadError, match="404"):
        check_source(handle, tmp_path / "another folder")


def test_signatures_in_addresses_are_not_shown(tmp_path: Path, waits: list[str]) -> None:
    """Neither while waiting nor in the error."""
    with pytest.raises(ModelLoadError) as caught:
        load_module("http://me:s3cret@127.0.0.1:1/detector.tar.gz?X-Sig=s3cret", tmp_path, waits.append)
    assert "s3cret" not in str(caught.value) + str(waits)


@pytest.mark.parametrize(
    ("handle", "name"),
    [
        ("demo", "demo-shapes"),
        ("https://tfhub.dev/google/openimages_v4/ssd/mobilenet_v2/1", "openimages_v4-ssd-mobilenet_v2"),
        (
            "https://www.kaggle.com/models/google/openimages-v4/tensorFlow1/ssd-mobilenet-v2/1",
            "openimages-v4-ssd-mobilenet-v2",
        ),
        ("https://host/files/detector.tar.gz?version=2", "files-detector"),
        ("gs://bucket/detectors/cars/3", "detectors-cars"),
        ("/models/my detector/", "my-detector"),
        ("/models/detector.tgz", "detector"),
    ],
)
def test_model_name_is_short_and_safe(handle: str, name: str) -> None:
    """It becomes part of the model version, which Label Studio shows."""
    assert model_name(handle) == name
