"""The official runner, label-studio-ml, really serving over HTTP: 1.0.9 from PyPI, and 2.x from the shared folder, as the documentation starts them."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from e2e.servers import stop, wait_for
from picture_server import PictureServer
from ports import free_port
from published import shared_folder
from samples import BALLOON_CONFIG, balloon_file, empty_file
from waiting import wait_until
from werkzeug.serving import make_server

from ml_backend.inference.classifier import Classifier

ROOT = Path(__file__).parent.parent
UV = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".tools" / "uv" / "bin" / "uv")
SLOW = [pytest.mark.slow, pytest.mark.timeout(600)]


def documented(version: str) -> str:
    """Return the Python lines that the documentation gives for a version of the runner."""
    text = (ROOT / "docs" / "label-studio.md").read_text()
    (lines,) = re.findall(rf"```python\n(# label-studio-ml {re.escape(version)}\n.*?)```", text, re.DOTALL)
    return str(lines)


def answers(url: str, setup: dict[str, Any], *bodies: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Return what a backend answers to ``/setup`` and then to each body for ``/predict``."""
    told = httpx.post(f"{url}/setup", json=setup, timeout=60)
    assert told.status_code == 200, told.text
    given = [httpx.post(f"{url}/predict", json=body, timeout=60) for body in bodies]
    assert [each.status_code for each in given] == [200] * len(bodies), [each.text for each in given]
    return told.json()["model_version"], [each.json()["results"] for each in given]


@pytest.fixture
def old_runner(
    monkeypatch: pytest.MonkeyPatch, models_dir: Path, colour_classifier_dir: Path, tmp_path: Path
) -> Iterator[str]:
    """Give the address of 1.0.9, in this process."""
    monkeypatch.setenv("PRELABEL_MODEL", "demo")
    monkeypatch.setenv("PRELABEL_CLASSIFIER", str(colour_classifier_dir))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(models_dir))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(documented("1.0.9"), names)  # noqa: S102 - the documentation's own lines
    server = make_server("127.0.0.1", 0, names["app"], threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def started(
    command: list[str], folder: Path, models_dir: Path, *paths: Path, classifier: Path | None = None
) -> Iterator[str]:
    """Run a command in a folder until the test is done, and give the address at which it answers.

    Args:
        command: what to run; ``{port}`` in it stands for the port.
        folder: where to run it.
        models_dir: of detectors.
        paths: of Python modules, the first ones first.
        classifier: folder of the classifier, if there is one.
    """
    port, log = free_port(), folder / "runner.log"
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    own = {
        "HOME": str(folder),
        "PRELABEL_HOME": str(folder),
        "PRELABEL_MODEL": "demo",
        "TFHUB_CACHE_DIR": str(models_dir),
    }
    if classifier is not None:
        own["PRELABEL_CLASSIFIER"] = str(classifier)
    own["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [each.format(port=port) for each in command],
            cwd=folder,
            env=kept | own,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log, 120)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


@pytest.fixture(scope="module")
def new_runner(
    models_dir: Path, colour_classifier_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Give the address of 2.x under gunicorn. It needs a package that nothing else here does."""
    shared = shared_folder("label-studio-ml 2.x answers alike; it is a Git repository only (docs/label-studio.md)")
    folder = tmp_path_factory.mktemp("runner")
    packages = folder / "packages"
    install = [UV, "pip", "install", "--quiet", "--no-config", "--python", sys.executable, "--target", str(packages)]
    subprocess.run([*install, "semver==3.0.4"], check=True)
    (folder / "wsgi.py").write_text(documented("2.x"))
    serve = [
        sys.executable,
        "-m",
        "gunicorn",
        "--bind",
        "127.0.0.1:{port}",
        "--threads",
        "4",
        "--timeout",
        "0",
        "wsgi:app",
    ]
    paths = (shared / "label-studio-ml-2x", packages, ROOT)
    with started(serve, folder, models_dir, *paths, classifier=colour_classifier_dir) as url:
        yield url


@pytest.fixture(params=["old_runner", pytest.param("new_runner", marks=SLOW)])
def runner(request: pytest.FixtureRequest) -> str:
    """Give the address of each version."""
    return str(request.getfixturevalue(request.param))


SETUP = {"project": "7.1", "schema": BALLOON_CONFIG, "hostname": "http://ls", "access_token": "t"}


def test_runner_and_service_answer_the_same(runner: str, serve: Callable[..., str], pictures: PictureServer) -> None:
    """Boxes, an empty picture, a broken one, and gestures: letter by letter."""
    value = {"x": 10, "y": 20, "width": 22, "height": 50, "rotation": 0, "rectanglelabels": ["Box"]}
    drawn = {"id": "r", "from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value}
    beside = {**drawn, "value": {**value, "x": 70, "y": 1}}
    addresses = [pictures.add("/a.png", balloon_file()), pictures.add("/b.png", empty_file()), pictures.url + "/none"]
    tasks = [{"id": number, "data": {"image": address}} for number, address in enumerate(addresses, 1)]
    body = {"tasks": tasks, "project": "7.1", "label_config": BALLOON_CONFIG}
    contexts: list[Any] = [None, {}, {"result": []}, {"result": [drawn]}, {"result": [beside]}]
    given = [{"login": None, "password": None, "context": context} for context in contexts]
    bodies = [body | {"params": params} for params in [*given, {"login": None, "password": None}]]
    service = serve()
    for url in (runner, service):
        assert httpx.get(f"{url}/health").json()["status"] == "UP"
    ours, theirs = (answers(url, SETUP, *bodies)[1] for url in (service, runner))
    assert theirs == ours
    usual, *others = ours
    assert [len(each["result"]) for each in usual[:2]] == [1, 0]
    assert usual[2] == []
    assert others[0] == others[1] == others[-1] == usual
    assert [each[0]["result"][0]["value"]["x"] for each in others[2:4]] == [pytest.approx(12.5, abs=0.5), 70]


def test_runner_answers_choices_too(
    runner: str, serve: Callable[..., str], colour_classifier: Classifier, pictures: PictureServer
) -> None:
    """Both models run behind either."""
    xml = BALLOON_CONFIG.replace(
        "</View>",
        '<Choices name="what" toName="image"><Choice value="Aircraft"/><Choice value="Lake"/></Choices></View>',
    )
    task = {"id": 1, "data": {"image": pictures.add("/a.png", balloon_file())}}
    body = {"tasks": [task], "project": "7.1", "label_config": xml, "params": {"context": None}}
    setup = SETUP | {"schema": xml}
    (_, ours), (_, theirs) = (answers(url, setup, body) for url in (serve(classifier=colour_classifier), runner))
    assert theirs == ours
    assert [each["type"] for each in ours[0][0]["result"]] == ["rectanglelabels", "choices"]


@pytest.mark.parametrize(
    ("xml", "boxes"),
    [
        pytest.param("", 0, id="empty"),
        pytest.param("<View", 0, id="no XML"),
        pytest.param("<View/>", 0, id="nothing to draw with"),
        pytest.param('<?xml version="1.0" encoding="UTF-8"?>\n' + BALLOON_CONFIG, 1, id="with an XML declaration"),
    ],
)
def test_broken_label_configs_are_answered_as_the_service_does(
    runner: str, serve: Callable[..., str], pictures: PictureServer, xml: str, boxes: int
) -> None:
    """Connecting works, and each task is answered with nothing, so that Label Studio asks again once the config is mended."""
    tasks = [{"id": number, "data": {"image": pictures.add("/a.png", balloon_file())}} for number in (1, 2)]
    body = {"tasks": tasks, "project": "7.1", "label_config": xml, "params": {"context": None}}
    (version, ours), (told, theirs) = (answers(url, SETUP | {"schema": xml}, body) for url in (serve(), runner))
    assert theirs == ours
    assert [len(each["result"]) if each else 0 for each in ours[0]] == [boxes, boxes]
    assert told in {version, "INITIAL"}  # 1.0.9 says this whatever a model does


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_version_of_the_new_runner_is_that_of_its_predictions(new_runner: str, pictures: PictureServer) -> None:
    """Or Label Studio would ask again at each press, and keep each answer."""
    tasks = [{"id": 1, "data": {"image": pictures.add("/a.png", balloon_file())}}]
    xml = BALLOON_CONFIG
    for _ in range(2):
        body = {"tasks": tasks, "project": "7.1", "label_config": xml, "params": {"context": None}}
        told, (results,) = answers(new_runner, SETUP | {"schema": xml}, body)
        assert results[0]["model_version"] == told
        xml = BALLOON_CONFIG.replace("Kite", "Ball")


EVENT = {"action": "ANNOTATION_CREATED", "project": {"id": 7, "label_config": BALLOON_CONFIG}, "annotation": {}}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_new_runner_takes_events(new_runner: str) -> None:
    """Nothing is learned from them."""
    answers(new_runner, SETUP)
    assert httpx.post(f"{new_runner}/webhook", json=EVENT, timeout=60).json() == {"result": {}, "status": "ok"}


@pytest.mark.filterwarnings(
    "ignore:.*multi-threaded:DeprecationWarning"
)  # from Python 3.12: it is the runner that forks
def test_old_runner_takes_events(old_runner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It forks a process for each, which must not load a detector: TensorFlow does not survive a fork."""
    answers(old_runner, SETUP)

    def load(_: object) -> NoReturn:
        pytest.fail("a detector is loaded")

    monkeypatch.setattr("ml_backend.model._engine_of", load)
    assert httpx.post(f"{old_runner}/webhook", json=EVENT, timeout=60).status_code == 201
    wait_until(lambda: list(tmp_path.glob("runner/*/job_result.json")))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_extra_installs_what_it_promises(models_dir: Path, tmp_path: Path, pictures: PictureServer) -> None:
    """In a fresh environment, with the runner's pins of 2021 and without this project's overrides, as plain pip resolves it; then it serves."""
    environment = tmp_path / "environment"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    install = [UV, "pip", "install", "--quiet", "--no-config", "--python", str(environment)]
    subprocess.run([*install, f"{ROOT}[label-studio-ml]"], check=True)
    (tmp_path / "serving.py").write_text(documented("1.0.9") + "import sys\napp.run(port=int(sys.argv[1]))\n")
    tasks = [{"id": 1, "data": {"image": pictures.add("/a.png", balloon_file())}}]
    body = {"tasks": tasks, "project": "7.1", "label_config": BALLOON_CONFIG, "params": {"context": None}}
    with started([str(environment / "bin" / "python"), "serving.py", "{port}"], tmp_path, models_dir) as url:
        _, (results,) = answers(url, SETUP, body)
    assert len(results[0]["result"]) == 1
