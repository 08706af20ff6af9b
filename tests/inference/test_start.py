"""The start of commands with a model that is converted already."""

import base64
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image
from ports import free_port
from waiting import wait_until

pytest.importorskip("openvino", reason="there is no OpenVINO for this platform")

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
        "TFHUB_CACHE_DIR": str(folder / "models"),
        "PRELABEL_CLASSIFIER": str(colour_classifier_dir),
    }
    assert "balloon" in run(environment, "predict", "images/red.png", "--config", "config.xml")
    for name in ("tensorflow", "tensorflow_hub"):
        (folder / "blocked" / name).mkdir(parents=True)
        (folder / "blocked" / name / "__init__.py").write_text(f"raise RuntimeError('{name} is imported')")
    return environment | {"PYTHONPATH": str(folder / "blocked")}


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
    ("handle", "cause"),
    [
        pytest.param("/no/such/folder", "no folder and no file", id="missing folder"),
        pytest.param("http://127.0.0.1:1/detector/1", "Connection refused", id="refused"),
        pytest.param(
            "https://no-such-host.invalid/detector/1", "Name or service not known|name resolution", id="no network"
        ),
        pytest.param("http://me:s3cret@no-such-host.invalid/detector", "cannot send the user", id="with a password"),
    ],
)
def test_model_that_cannot_be_had_ends_the_start_without_tensorflow(
    without_tensorflow: dict[str, str], handle: str, cause: str
) -> None:
    """A container that is restarted until the model is there costs no seconds of a processor each time."""
    environment = without_tensorflow | {"PRELABEL_MODEL": handle, "PORT": str(free_port())}
    command = [sys.executable, "-m", "ml_backend", "serve"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.search(cause, done.stderr)
    assert "s3cret" not in done.stderr
    assert "is imported" not in done.stderr
