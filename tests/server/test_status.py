import base64

import httpx
import pytest
from samples import BALLOON_CONFIG, balloon_file

from ml_backend.errors import TaskError
from ml_backend.inference.classifier import Classifier
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.server.app import create_app
from ml_backend.server.running import background_server
from ml_backend.server.status import FAILURES, PROJECTS, ProjectStatuses, status_key
from ml_backend.settings import Settings


@pytest.mark.parametrize(
    ("sent", "name"), [("7.1795326029", "7"), ("7", "7"), ("a.7", "a.7"), ("\ud800", "\\ud800"), (None, "unnamed")]
)
def test_projects_are_named_by_their_id(sent: str | None, name: str) -> None:
    """Label Studio adds the time of creation behind a dot; a name in another form stays."""
    assert status_key(sent) == name


def test_tasks_are_counted_by_project() -> None:
    """The empty ones are among the predicted."""
    statuses = ProjectStatuses()
    statuses.of("7").record_predictions(2, empty=1)
    statuses.of("8").record_predictions(1, empty=0)
    counts = {name: (each["predicted"], each["empty"]) for name, each in statuses.to_json().items()}
    assert counts == {"8": (1, 0), "7": (2, 1)}


def test_versions_are_listed_once() -> None:
    """The latest first."""
    statuses = ProjectStatuses()
    for project, version in (("1", "a"), ("2", "b"), ("3", "a"), ("4", "")):
        statuses.of(project).model_version = version
    assert statuses.model_versions() == ["a", "b"]


def test_memory_is_bounded() -> None:
    """The latest projects and failures are kept, newest first."""
    statuses = ProjectStatuses()
    for project in map(str, range(PROJECTS + 5)):
        for task in range(FAILURES + 5):
            statuses.of(project).record_failures([task], 1, TaskError("broken"))
    shown = statuses.to_json()
    assert len(shown) == PROJECTS
    latest = shown[str(PROJECTS + 4)]
    assert latest["failed"] == FAILURES + 5
    assert [each["task"] for each in latest["failures"]][:2] == [str(FAILURES + 4), str(FAILURES + 3)]
    assert len(latest["failures"]) == FAILURES


def test_both_models_are_shown(colour_classifier: Classifier, demo_detector: Detector) -> None:
    """A table and a number of runs for each, the detector first; controls that are not served are notes."""
    settings = Settings()
    config = (
        '<View><Image name="image" value="$image"/><Choices name="subject" toName="image"><Choice value="Dog"/></Choices>'
        '<Choices name="parts" toName="image" perRegion="true"><Choice value="Dog"/></Choices></View>'
    )
    image = "data:image/png;base64," + base64.b64encode(balloon_file()).decode()
    with background_server(
        create_app(settings, Models(demo_detector, colour_classifier)), settings.max_connections
    ) as url:
        body = {"tasks": [{"id": 1, "data": {"image": image}}], "label_config": config, "project": "7.1"}
        (answer,) = httpx.post(f"{url}/predict", json=body, timeout=60).json()["results"]
        httpx.post(f"{url}/setup", json={"project": "7.1", "schema": config})
        report = httpx.get(f"{url}/status").json()
        page = httpx.get(f"{url}/status", headers={"Accept": "text/html"}).text
    assert answer["model_version"].startswith("colour-classifier@")
    assert [each["kind"] for each in report["models"]] == ["detector", "classifier"]
    assert report["model"] == report["models"][0]
    assert report["model_runs"] == {"detector": 0, "classifier": 1}
    assert page.index("<h2>Detector</h2>") < page.index("<h2>Classifier</h2>")
    assert "&lt;Choices name=&#34;parts&#34;&gt; is not served: perRegion" in page


def test_version_is_known_from_the_first_prediction(demo_detector: Detector) -> None:
    """Clients other than Label Studio need not ask `/setup`; a request whose tasks all fail tells nothing."""
    image = "data:image/png;base64," + base64.b64encode(balloon_file()).decode()
    with background_server(create_app(Settings(), Models(demo_detector)), 10) as url:

        def predict(image: str) -> str:
            tasks = [{"id": 1, "data": {"image": image}}]
            httpx.post(f"{url}/predict", json={"tasks": tasks, "label_config": BALLOON_CONFIG, "project": "7.1"})
            return str(httpx.get(f"{url}/status").json()["projects"]["7"]["model_version"])

        assert predict("data:image/png;base64,none") == ""
        version = predict(image)
        assert version.startswith("demo-shapes@")
        assert predict("data:image/png;base64,none") == version
        page = httpx.get(f"{url}/status", headers={"Accept": "text/html"}).text
    assert page.index("Project 7</a></h2>") < page.index("<h2>Detector</h2>")
    assert f"<code>{version}</code>" in page
