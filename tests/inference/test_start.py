"""The start of commands with a model that is converted already."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image
from ports import free_port
from waiting import wait_until

pytest.importorskip("openvino", reason="there is no OpenVINO for this platform")

ROOT = Path(__file__).parent.parent.parent
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="kind" toName="image"><Choice value="balloon"/>'
    '<Choice value="lakeside"/></Choices></View>'
)


@pytest.fixture(scope="module")
def without_tensorflow(tmp_path_factory: pytest.TempPathFactory, colour_classifier_dir: Path) -> dict[str, str]:
    """Give the environment of commands in which importing TensorFlow fails, after a first start has converted the model."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "config.xml").write_text(CONFIG)
    (folder / "images").mkdir()
    Image.new("RGB", (60, 40), (240, 10, 10)).save(folder / "images" / "red.png")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PRELABEL_HOME": str(folder),
        "PRELABEL_CLASSIFIER": str(colour_classifier_dir),
    }
    environment["PYTHONPATH"] = os.pathsep.join((str(folder / "blocked"), str(ROOT)))
    block(folder / "blocked", "openvino_telemetry")  # at no time: it would report each import to Google Analytics
    assert "balloon" in run(environment, "predict", "images/red.png", "--config", "config.xml")
    for name in ("tensorflow", "tensorflow_hub"):
        block(folder / "blocked", name)
    return environment


def block(folder: Path, name: str) -> None:
    """Let the import of a package end the process where the folder is on the path: some libraries go on after errors at imports."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(f"raise SystemExit('{name} is imported')")


def run(environment: dict[str, str], *arguments: str) -> str:
    """Run a command in the folder with the images, and return its output."""
    command = [sys.executable, "-m", "ml_backend", *arguments]
    done = subprocess.run(
        command, cwd=environment["HOME"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("predict", "images/red.png", "--config", "config.xml"), id="predict"),
        pytest.param(("explain", "images/red.png", "--config", "config.xml"), id="explain"),
        pytest.param(("bootstrap", "images", "--config", "config.xml", "--to", "tasks.json"), id="bootstrap"),
        pytest.param(("labels", "config.xml"), id="labels"),
    ],
)
def test_commands_need_no_tensorflow(without_tensorflow: dict[str, str], arguments: tuple[str, ...]) -> None:
    """From the second start on, the converted model is all that they load."""
    run(without_tensorflow, *arguments)


def test_service_needs_no_tensorflow(without_tensorflow: dict[str, str]) -> None:
    """It predicts, and its status names the runtime."""
    port = free_port()
    command = [sys.executable, "-m", "ml_backend", "serve", "--port", str(port)]
    with subprocess.Popen(command, cwd=without_tensorflow["HOME"], env=without_tensorflow) as process:
        try:
            wait_until(lambda: process.poll() is not None or _answers(port))
            image = Path(without_tensorflow["HOME"]) / "images" / "red.png"
            address = "data:image/png;base64," + base64.b64encode(image.read_bytes()).decode()
            body = {"tasks": [{"id": 1, "data": {"image": address}}], "label_config": CONFIG, "project": "1.1"}
            (prediction,) = httpx.post(f"http://127.0.0.1:{port}/predict", json=body).json()["results"]
            assert prediction["result"][0]["value"] == {"choices": ["balloon"]}
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"PORT": "many"}, "PORT='many' cannot be used", id="no number"),
        pytest.param({"PRELABEL_CLASSIFIER": "/no/such/folder"}, "the classifier /no/such/folder", id="no classifier"),
        pytest.param(
            {"PRELABEL_MODEL": "/no/such/folder"}, "the detector /no/such/folder", id="no detector, beside a classifier"
        ),
        pytest.param(
            {"PRELABEL_CLASS_NAMES": "/no/such/file.txt"}, "PRELABEL_CLASS_NAMES=/no/such/file.txt", id="no class list"
        ),
        pytest.param({"TFHUB_CACHE_DIR": "/proc/nope"}, "TFHUB_CACHE_DIR=/proc/nope", id="no room for downloads"),
        pytest.param({"PRELABEL_MODEL": "http://127.0.0.1:1/detector"}, "Connection refused", id="refused"),
        pytest.param({"PRELABEL_MODEL": "https://no-such-host.invalid/detector"}, "cannot be loaded", id="no network"),
        pytest.param(
            {"PRELABEL_MODEL": "http://me:s3cret@host/detector"}, "cannot send the user", id="with a password"
        ),
    ],
)
def test_wrong_settings_are_told_before_tensorflow_is_imported(
    without_tensorflow: dict[str, str], settings: dict[str, str], words: str
) -> None:
    """The import takes seconds of a processor, each time that a container is restarted."""
    environment = without_tensorflow | {"PORT": str(free_port()), "PRELABEL_RUNTIME": "tensorflow"} | settings
    command = [sys.executable, "-m", "ml_backend", "serve", "--host", "127.0.0.1"]
    done = subprocess.run(
        command, cwd=environment["HOME"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "s3cret" not in done.stderr
    assert "is imported" not in done.stderr
