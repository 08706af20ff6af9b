"""A real Label Studio in an environment of its own, and real ``prelabel serve`` processes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.browser import chromium
from e2e.servers import TOKEN, LabelStudio, Material, Prelabel, StartPrelabel, install_label_studio, stop, wait_for
from playwright.sync_api import Page
from ports import free_port
from samples import stored_as
from trained.pictures import held_out


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give everything here time, such as for Label Studio to start."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def environment() -> Path:
    """Give Label Studio's environment, installed once from the lock (about a minute, 800 MB)."""
    return install_label_studio()


@pytest.fixture(scope="session")
def label_studio(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    """Give a running Label Studio."""
    studio = LabelStudio(environment, tmp_path_factory.mktemp("label-studio"))
    try:
        studio.start()
        yield studio
    finally:
        studio.close()


@pytest.fixture(scope="session")
def s3(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a real server of the S3 protocol, which lets everybody in."""
    port = free_port()
    log = tmp_path_factory.mktemp("s3") / "moto.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [environment / "bin" / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/moto-api/", process, log, 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


def _config(*labels: str) -> str:
    inside = "".join(f'<Label value="{label}"/>' for label in labels)
    return (
        '<View><Image name="image" value="$image"/>'
        f'<RectangleLabels name="label" toName="image" smart="true">{inside}</RectangleLabels></View>'
    )


@pytest.fixture(scope="session")
def material(trained_detectors: Path) -> Material:
    """Give the tests' own detector, and pictures on which it finds something."""
    chosen = [picture for picture in held_out(5) if len(picture.objects) > 3][:3]
    files = {picture.name: picture.file() for picture in chosen}
    files["rotated.jpg"] = stored_as(6, chosen[0].image, "JPEG", quality=95)
    return Material(str(trained_detectors / "hub"), _config("Kite", "Balloon", "Box"), files)


@pytest.fixture(scope="session")
def start_prelabel(
    label_studio: LabelStudio, material: Material, tmp_path_factory: pytest.TempPathFactory, models_dir: Path
) -> Iterator[StartPrelabel]:
    """Give a function that starts ``prelabel serve`` for this Label Studio; settings given as None are left out."""
    folder = tmp_path_factory.mktemp("prelabel")
    started: list[Prelabel] = []

    def start(port: int | None = None, **settings: str | None) -> Prelabel:
        usual = {
            "LABEL_STUDIO_URL": label_studio.url,
            "LABEL_STUDIO_API_KEY": TOKEN,
            "PRELABEL_MODEL": material.model,
            "TFHUB_CACHE_DIR": str(models_dir),
            "PRELABEL_KEEP_PROJECTS_CURRENT": "false",  # most tests press the buttons themselves, and count what comes of it
        }
        given = {name: value for name, value in (usual | settings).items() if value is not None}
        started.append(Prelabel(folder, port, given))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def prelabel(start_prelabel: StartPrelabel) -> Prelabel:
    """Give a server with the usual settings."""
    return start_prelabel()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """Give a page of headless Chromium."""
    with chromium() as browser:
        yield browser.new_page(viewport={"width": 1400, "height": 840})
