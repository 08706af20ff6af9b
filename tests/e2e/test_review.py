"""A second look on a real Label Studio: swapped labels come near the top of the list, and into a tab of the data manager."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from annotator import Annotator
from e2e.album import LABELS, config, correct_all, import_pictures
from e2e.browser import SCREENSHOTS, log_in
from e2e.servers import EMAIL, TOKEN, LabelStudio, StartPrelabel, run_prelabel
from playwright.sync_api import Page
from waiting import wait_until

SWAPPED = 6  # annotations
TOP = 30


@dataclass
class Corrected:
    """A project of corrected pictures, in some of whose annotations a label is wrong.

    Attributes:
        label_studio: that has it.
        project: its id.
        settings: environment for commands.
        swapped: wrong label by annotation id.
    """

    label_studio: LabelStudio
    project: int
    settings: dict[str, str]
    swapped: dict[int, str]

    def prelabel(self, *arguments: str) -> Any:
        """Run a command of Prelabel on the project; gives what it printed."""
        return run_prelabel(self.settings, *arguments, "--project", str(self.project))

    def tasks_in(self, tab: int) -> list[int]:
        """Return the tasks that Label Studio shows in a tab."""
        path = f"/api/tasks?project={self.project}&view={tab}&page_size=500"
        return sorted(int(task["id"]) for task in self.label_studio.api("GET", path)["tasks"])

    def tabs(self) -> list[dict[str, Any]]:
        """Return the tabs of the project."""
        found: list[dict[str, Any]] = self.label_studio.api("GET", f"/api/dm/views/?project={self.project}")
        return found


@pytest.fixture(scope="module")
def corrected(
    trained_detectors: Path,
    label_studio: LabelStudio,
    start_prelabel: StartPrelabel,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Corrected]:
    """Predict and correct 80 pictures; then rename the surest kept box in some annotations, as a slip of the mouse does."""
    settings = {
        "PRELABEL_DATABASE_URL": f"sqlite:///{tmp_path_factory.mktemp('feedback') / 'feedback.sqlite3'}",
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": TOKEN,
        "PRELABEL_MODEL": str(trained_detectors / "hub"),
    }
    server = start_prelabel(**settings)
    project = import_pictures(label_studio, config(), title="Second look")
    label_studio.connect(project, server.url)
    label_studio.retrieve(project)
    correct_all(label_studio, project, Annotator())
    swapped = {}
    for task in label_studio.tasks(project):
        (annotation,) = label_studio.api("GET", f"/api/tasks/{task['id']}/annotations")
        kept = [region for region in annotation["result"] if region["origin"] == "prediction"]
        best = max(kept, key=lambda region: float(region["score"]), default=None)
        if best is None or best["score"] < 0.8:
            continue
        (label,) = best["value"]["rectanglelabels"]
        wrong = swapped[int(annotation["id"])] = "Balloon" if label == LABELS[-1] else LABELS[-1]
        best["value"]["rectanglelabels"] = [wrong]
        label_studio.api("PATCH", f"/api/annotations/{annotation['id']}/", json={"result": annotation["result"]})
        if len(swapped) == SWAPPED:
            break
    made = Corrected(label_studio, project, settings, swapped)
    wait_until(lambda: server.status()["learning"]["waiting"] == 0)
    yield made
    server.stop()


@pytest.mark.slow
def test_swapped_labels_are_near_the_top_and_in_a_tab(corrected: Corrected) -> None:
    """All of them among the first candidates of 80 annotations; the tab has the tasks of the list."""
    assert len(corrected.swapped) == SWAPPED
    listed = corrected.prelabel("review", "--top", str(TOP), "--tab", "--json")
    assert (listed["annotations"], len(listed["candidates"])) == (80, TOP)
    found = {each["annotation"]: each["label"] for each in listed["candidates"] if each["kind"] == "another label"}
    assert {number: found.get(number) for number in corrected.swapped} == corrected.swapped
    tab = int(listed["tab"].rpartition("=")[2])
    assert [each["data"]["title"] for each in corrected.tabs()] == ["Default", "Check these (Prelabel)"]
    assert listed["tab"] == f"{corrected.label_studio.url}/projects/{corrected.project}/data?tab={tab}"
    assert corrected.tasks_in(tab) == sorted({each["task"] for each in listed["candidates"]})
    link = f"{corrected.label_studio.url}/projects/{corrected.project}/data?task="
    assert {each["url"] == f"{link}{each['task']}" for each in listed["candidates"]} == {True}


@pytest.mark.slow
def test_tab_is_updated_and_not_repeated(corrected: Corrected) -> None:
    """Pressing again writes the same tab, and leaves the columns that somebody chose there."""
    listed = corrected.prelabel("review", "--top", str(TOP), "--tab", "--json")
    tab = int(listed["tab"].rpartition("=")[2])
    (data,) = (each["data"] for each in corrected.tabs() if each["id"] == tab)
    hidden = {"explore": ["tasks:created_at"], "labeling": []}
    body = {"project": corrected.project, "data": data | {"hiddenColumns": hidden}}
    corrected.label_studio.api("PATCH", f"/api/dm/views/{tab}/", json=body)
    before = len(corrected.tabs())
    shorter = corrected.prelabel("review", "--top", "3", "--tab", "--json")
    assert shorter["tab"] == listed["tab"]
    assert len(corrected.tabs()) == before
    assert corrected.tasks_in(tab) == sorted({each["task"] for each in shorter["candidates"]})
    (data,) = (each["data"] for each in corrected.tabs() if each["id"] == tab)
    assert (data["title"], data["hiddenColumns"]) == ("Check these (Prelabel)", hidden)


@pytest.mark.slow
def test_data_manager_shows_the_tab(corrected: Corrected, page: Page) -> None:
    """Under its title, with its tasks alone."""
    listed = corrected.prelabel("review", "--top", "8", "--tab", "--json")
    tasks = {each["task"] for each in listed["candidates"]}
    log_in(page, corrected.label_studio.url)
    page.goto(listed["tab"])
    page.get_by_text("Check these (Prelabel)").first.wait_for()
    page.get_by_text(f"{len(tasks)} / 80").or_(page.get_by_text(f"Tasks: {len(tasks)}")).first.wait_for()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "check-these.png")


@pytest.mark.slow
def test_annotators_have_the_names_of_label_studio(corrected: Corrected) -> None:
    """Here the email address, since the user has no other name; none where they are anonymous."""
    (annotator,) = corrected.prelabel("report", "--json")["annotators"]
    assert (annotator["name"], annotator["annotations"]) == (EMAIL, 80)
    assert annotator["shown"]["relabeled"] >= SWAPPED
    assert EMAIL not in str(corrected.prelabel("report", "--json", "--anonymous"))


@pytest.mark.slow
def test_page_of_the_project_is_the_report_with_progress_and_pictures(
    corrected: Corrected, start_prelabel: StartPrelabel
) -> None:
    """Counts of Label Studio's tasks, names of its users, links to its tasks, and its pictures for those with the password."""
    user = {"BASIC_AUTH_USER": "lead", "BASIC_AUTH_PASS": "secret"}
    server = start_prelabel(**corrected.settings, **user, PRELABEL_LEARN="off")
    page, auth = f"{server.url}/projects/{corrected.project}", ("lead", "secret")
    wait_until(lambda: httpx.get(page, auth=auth).json() == corrected.prelabel("report", "--json"))
    wait_until(lambda: "being computed" not in httpx.get(f"{page}/figures", auth=auth).text)
    text = httpx.get(f"{page}/figures", auth=auth).text
    for name in ("Predicted", "Annotated"):
        assert f'aria-label="{name}: 80 of 80 tasks"' in text
    assert f"<bdi>{EMAIL}</bdi>" in text
    studio = f"{corrected.label_studio.url}/projects/{corrected.project}"
    assert text.count(f'<a href="{studio}/data?task=') == 24 + 12
    assert f'<a href="{studio}">' in httpx.get(page, auth=auth, headers={"Accept": "text/html"}).text
    sources = re.findall(r'<img src="([^"]+)"', text)
    assert len(sources) == 24 + 12
    for source in (sources[0], sources[-1]):
        picture = httpx.get(f"{page.rpartition('/')[0]}/{source}", auth=auth)
        assert picture.headers["Content-Type"] == "image/jpeg"
        assert picture.headers["Cache-Control"] == "private, no-store"
        assert httpx.get(str(picture.url)).status_code == 401
    server.stop()


@pytest.mark.slow
def test_page_without_a_password_has_no_names_and_no_pictures(
    corrected: Corrected, start_prelabel: StartPrelabel
) -> None:
    """Everybody who reaches the port would read them; the counts of tasks are there."""
    server = start_prelabel(**corrected.settings, PRELABEL_LEARN="off")
    page = f"{server.url}/projects/{corrected.project}"
    values = httpx.get(page)
    (annotator,) = values.json()["annotators"]
    assert annotator["name"] == f"annotator {annotator['annotator']}"
    text = httpx.get(f"{page}/figures").text
    assert "their names are shown only to those who have a password" in text
    assert EMAIL not in values.text + text
    assert "<img" not in text
    assert 'aria-label="Annotated: 80 of 80 tasks"' in text
    server.stop()
