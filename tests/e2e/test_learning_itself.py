"""Labels that the detector does not know, learned without a button: a person corrects five pictures, and the next ones open with boxes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.album import import_pictures, truth
from e2e.annotating import BrowserAnnotator
from e2e.browser import SCREENSHOTS, log_in
from e2e.servers import TOKEN, LabelStudio, Prelabel, StartPrelabel, run_prelabel
from e2e.tally import Tally
from labels import score
from playwright.sync_api import Page
from waiting import wait_until

pytestmark = pytest.mark.slow

INVENTED = {"Kite": "On a string", "Balloon": "Round", "Box": "On the ground"}
CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="On a string" background="#b5179e"/><Label value="Round" background="#1d6fd1"/>'
    '<Label value="On the ground" background="#c2570c"/></RectangleLabels></View>'
)
CORRECTED = [f"{number}-0" for number in (10001, 10003, 10004, 10006, 10009)]
OPENED = "10007-0"  # kites and balloons, among others


@pytest.fixture
def settings(trained_detectors: Path, label_studio: LabelStudio, tmp_path: Path) -> dict[str, str]:
    """Give the environment of a service that learns by itself."""
    return {
        "PRELABEL_MODEL": str(trained_detectors / "hub"),
        "PRELABEL_DATABASE_URL": f"sqlite:///{tmp_path / 'feedback.sqlite3'}",
        "PRELABEL_CACHE_FILE": str(tmp_path / "cache.sqlite3"),
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": TOKEN,
        "PRELABEL_LEARN": "auto",
        "PRELABEL_KEEP_PROJECTS_CURRENT": "true",
    }


@pytest.fixture
def server(start_prelabel: StartPrelabel, settings: dict[str, str]) -> Iterator[Prelabel]:
    """Give a service that learns by itself."""
    running = start_prelabel(**settings)
    yield running
    running.stop()


def test_boxes_appear_within_five_corrected_pictures(
    label_studio: LabelStudio, server: Prelabel, settings: dict[str, str], page: Page
) -> None:
    """At first nothing is shown under the invented labels. After the fifth picture boxes are, most of them right, and nobody pressed anything."""
    wanted = {name.removesuffix(".jpg"): by_label for name, by_label in truth(INVENTED).items()}
    project = import_pictures(label_studio, CONFIG, title="Invented labels")
    tasks = {Path(task["data"]["image"]).stem: int(task["id"]) for task in label_studio.tasks(project)}
    label_studio.connect(project, server.url)
    label_studio.retrieve(project)
    assert not any(each["result"] for stored in label_studio.predictions(project).values() for each in stored)

    (before,) = {each["model_version"] for stored in label_studio.predictions(project).values() for each in stored}

    log_in(page, label_studio.url)
    person = BrowserAnnotator(page, label_studio, project, Tally())
    for name in CORRECTED:
        person.open_by_link(tasks[name])
        for label, boxes in wanted[name].items():
            for top, left, bottom, right in (100 * boxes).tolist():
                person.draw(label, (left, top, right, bottom))
        person.submit()

    wait_until(lambda: server.status(project)["revision"] == 1)
    rest = [name for name in tasks if name not in CORRECTED]

    def newest() -> dict[str, Any]:
        stored = label_studio.predictions(project)
        return {f"{name}.jpg": max(stored[tasks[name]], key=lambda each: int(each["id"])) for name in rest}

    def versions() -> set[str]:
        return {str(each["model_version"]) for each in newest().values()}

    wait_until(lambda: len(versions()) == 1 and before not in versions(), 300)
    shown, drawn, right = score(newest(), {f"{name}.jpg": dict(wanted[name]) for name in rest})
    recall, precision = right / drawn, right / shown
    print(f"\nafter five pictures: recall {recall:.2f}, precision {precision:.2f} on {len(rest)} others")  # noqa: T201 - a measure to report
    assert recall > 0.2
    assert precision > 0.5

    person.open_by_link(tasks[OPENED])
    labels = [region.label for region in person.regions]
    page.wait_for_timeout(1000)  # for the canvas to be painted
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "learned-by-itself.png")
    assert set(labels) >= {"On a string", "Round"}
    report = run_prelabel(settings, "report", "--project", str(project), "--json")
    assert report["learning"]["last_training"]["author"] == "Prelabel itself"
    run_prelabel(settings, "calibrate", "--project", str(project), "--revert")
    wait_until(lambda: server.status(project)["revision"] == 2)
