"""The queue in a browser: a project connected on Label Studio's own page gets doubtful tasks first, and shows what is in force."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from e2e.browser import SCREENSHOTS, SHOWN, log_in
from e2e.servers import TOKEN, LabelStudio, Prelabel, StartPrelabel, run_prelabel
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from waiting import wait_until

from ml_backend.demo.scenes import draw_scene, encode
from ml_backend.feedback.store import revisions
from ml_backend.feedback.store.database import Database
from ml_backend.postprocessing.overrides import LabelOverrides

SCENES = range(1, 13)
TASK = "() => window.Htx?.task?.id ?? null"
REGIONS = f"() => ({SHOWN})().regions"
HANDED_OUT = 2  # tasks that are labelled in each test of the order
FIRST_COLUMN = 170  # pixels, in which the data manager shows ids

Boxes = list[tuple[str, int, int]]


def config(*labels: str) -> str:
    """Return a label config."""
    colours = {"Kite": "#b5179e", "Balloon": "#1d6fd1", "Box": "#c2570c"}
    inside = "".join(f'<Label value="{label}" background="{colours[label]}"/>' for label in labels)
    return (
        '<View><Image name="image" value="$image"/>'
        f'<RectangleLabels name="label" toName="image">{inside}</RectangleLabels></View>'
    )


@dataclass
class Queue:
    """A project of drawn scenes, which a person connects and labels in the browser.

    Attributes:
        label_studio, server, page: what runs.
        project: its id.
        settings: environment of the server, for commands beside it.
        locked: the task that Label Studio keeps for the annotator who left the label stream with it open.
    """

    label_studio: LabelStudio
    server: Prelabel
    page: Page
    project: int
    settings: dict[str, str]
    locked: list[int] = field(default_factory=list)

    def prelabel(self, *arguments: str, status: int = 0) -> str:
        """Run a command of Prelabel; gives what it printed."""
        return str(run_prelabel(self.settings, *arguments, status=status))

    def told(self) -> str:
        """Return the version that Label Studio was told last."""
        return str(self.server.status(self.project).get("model_version"))

    def shown_version(self) -> str:
        """Return the model version of the project, which scores and queue go by."""
        return str(self.label_studio.api("GET", f"/api/projects/{self.project}")["model_version"])

    def upkeep(self) -> Any:
        """Return what the status page says of the project's upkeep."""
        return self.server.status(self.project).get("upkeep", {"findings": [], "renewal": None})

    def faults(self) -> list[str]:
        """Return what is wrong, as the status page says it."""
        return [each["sentence"] for each in self.upkeep()["findings"] if not each["ok"]]

    def current(self) -> dict[int, dict[str, Any]]:
        """Return the stored prediction of each task that scores and queue use: the newest of the project's model version."""
        version, stored = self.shown_version(), self.label_studio.predictions(self.project)
        of_version = {task: [one for one in each if one["model_version"] == version] for task, each in stored.items()}
        return {task: max(each, key=lambda one: int(one["id"])) for task, each in of_version.items() if each}

    def is_current(self) -> bool:
        """Tell whether every task has a prediction of the version that Label Studio was told last and shows."""
        has_all = len(self.current()) == len(SCENES) and self.shown_version() == self.told()
        return has_all and self.upkeep()["renewal"] is None

    def wait_for_version_after(self, version: str) -> str:
        """Wait until another version than this one is everywhere; gives it."""
        wait_until(lambda: self.shown_version() != version and self.is_current())
        return self.shown_version()

    def open_manager(self) -> None:
        """Open the data manager."""
        self.page.goto(f"{self.label_studio.url}/projects/{self.project}/data")
        self.page.get_by_role("button", name="Label All Tasks").wait_for()

    def scores_shown(self) -> list[str]:
        """Return what the data manager shows that looks like a score, from top to bottom."""
        return re.findall(r"\b[01]\.\d{3}\b", self.page.locator("body").inner_text())

    def versions(self) -> set[str]:
        """Return the versions of all stored predictions."""
        stored = self.label_studio.predictions(self.project)
        return {prediction["model_version"] for each in stored.values() for prediction in each}

    def choose(self, shown: str) -> None:
        """Choose predictions or a model in Settings, Annotation, by a part of what the page calls them."""
        self.page.goto(f"{self.label_studio.url}/projects/{self.project}/settings/annotation")
        self.page.locator("[class*=select]").get_by_text(re.compile(r"@[0-9a-f]{8}")).last.click()
        self.page.get_by_text(shown).last.click()
        with self.page.expect_response(
            lambda answer: answer.request.method == "PATCH" and "/api/projects/" in answer.url
        ):
            self.page.get_by_role("button", name="Save").click()

    def labeled(self) -> set[int]:
        """Return the tasks that have annotations."""
        return {int(task["id"]) for task in self.label_studio.tasks(self.project) if task["is_labeled"]}

    def expected_order(self) -> list[int]:
        """Return the tasks that wait, the most doubtful first, after the one that is locked."""
        scores = {task: each["score"] for task, each in self.current().items() if task not in self.labeled()}
        return sorted(scores, key=lambda task: (task not in self.locked, scores[task]))

    def label_some(self, *, as_displayed: bool = False) -> list[int]:
        """Press "Label All Tasks", or "Label Tasks As Displayed", and submit what comes; gives the tasks that came."""
        self.open_manager()
        everything = self.page.get_by_role("button", name="Label All Tasks")
        if as_displayed:
            everything.locator("xpath=following::button[1]").click()
            self.page.get_by_text("Label Tasks As Displayed").click()
        else:
            everything.click()
        came: list[int] = []
        for _ in range(HANDED_OUT):
            came.append(self.open_task(after=came))
            self.page.get_by_test_id("bottombar-submit-button").click()
        self.locked = [self.open_task(after=came)]
        return [*came, *self.locked]

    def open_task(self, after: list[int]) -> int:
        """Wait until the label stream shows another task with its boxes; gives its id."""
        self.page.wait_for_function(
            f"gone => {{ const task = ({TASK})(); return task && !gone.includes(task) && ({SHOWN})().size; }}",
            arg=after,
        )
        return int(self.page.evaluate(TASK))

    def boxes_shown(self, task: int, count: int) -> Boxes:
        """Return label and corner of the boxes in the editor, once it shows a task with as many as expected."""
        self.page.wait_for_function(
            f"([task, count]) => ({TASK})() === task && ({SHOWN})().size && ({REGIONS})().length === count",
            arg=[task, count],
        )
        shown = self.page.evaluate(REGIONS)
        return sorted((each["labels"][0], round(each["left"]), round(each["top"])) for each in shown)

    def boxes_in_force(self, task: int) -> Boxes:
        """Return the same of the answer that Prelabel itself gives now."""
        whole = self.label_studio.api("GET", f"/api/projects/{self.project}")
        data = next(each["data"] for each in self.label_studio.tasks(self.project) if each["id"] == task)
        body = {
            "tasks": [{"id": task, "data": data}],
            "label_config": whole["label_config"],
            "project": f"{self.project}.1",
        }
        (answer,) = httpx.post(f"{self.server.url}/predict", json=body, timeout=60).json()["results"]
        values = [region["value"] for region in answer["result"]]
        return sorted((each["rectanglelabels"][0], round(each["x"]), round(each["y"])) for each in values)

    def row_opens(self, task: int) -> bool:
        """Click the row of a task in the data manager, which loses clicks while it draws; tells whether the task opened."""
        cells = [(cell, cell.bounding_box()) for cell in self.page.get_by_text(str(task), exact=True).all()]
        ids = [cell for cell, box in cells if box and box["x"] < FIRST_COLUMN]
        if ids:
            ids[0].click()
            with suppress(PlaywrightTimeoutError):
                self.page.wait_for_url(f"**task={task}*", timeout=5_000)
                return True
        return False

    def boxes_by_every_way(self, task: int) -> dict[str, Boxes]:
        """Open a task by its row, by a link, and by the label stream, which begins with the locked one; gives the boxes shown."""
        count = len(self.boxes_in_force(task))
        shown = {}
        self.open_manager()
        wait_until(lambda: self.row_opens(task))
        shown["row"] = self.boxes_shown(task, count)
        self.page.goto("about:blank")
        self.page.goto(f"{self.label_studio.url}/projects/{self.project}/data?task={task}")
        shown["link"] = self.boxes_shown(task, count)
        self.open_manager()
        self.page.get_by_role("button", name="Label All Tasks").click()
        shown["label stream"] = self.boxes_shown(task, count)
        return shown


Restart = Callable[..., Prelabel]


@pytest.fixture
def restart(start_prelabel: StartPrelabel) -> Restart:
    """Give a function that starts the server of a queue again with other settings."""

    def again(queue: Queue, **settings: str) -> Prelabel:
        queue.server.stop()
        queue.settings |= settings
        return start_prelabel(queue.server.port, **queue.settings)

    return again


@pytest.fixture(scope="module")
def queue(
    label_studio: LabelStudio, start_prelabel: StartPrelabel, page: Page, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Queue]:
    """Connect a project by mouse and keyboard, retrieve its predictions, and set its sampling."""
    settings = {
        "PRELABEL_DATABASE_URL": f"sqlite:///{tmp_path_factory.mktemp('queue') / 'feedback.sqlite3'}",
        "PRELABEL_KEEP_PROJECTS_CURRENT": "true",
        "PRELABEL_MODEL": "demo",
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": TOKEN,
    }
    server = start_prelabel(**settings)
    project = label_studio.create_project(config("Kite", "Balloon"), title="Kites and balloons in a queue")
    for seed in SCENES:
        label_studio.upload(project, f"scene-{seed}.jpg", encode(draw_scene(seed)[0]))
    made = Queue(label_studio, server, page, project, settings)
    page.set_default_timeout(45_000)
    log_in(page, label_studio.url)
    page.goto(f"{label_studio.url}/projects/{project}/settings/ml")
    page.get_by_role("button", name="Add machine learning model").click()
    page.get_by_placeholder("Enter a name").click()
    page.keyboard.type("Prelabel")
    page.locator("input[name=url]").click()
    page.keyboard.type(server.url)
    page.get_by_role("button", name="Save machine learning form").click()
    page.get_by_text("Connected", exact=True).wait_for()
    label_studio.api("PATCH", f"/api/projects/{project}", json={"sampling": "Uncertainty sampling"})
    yield made
    made.server.stop()


@pytest.mark.slow
def test_scores_are_there_after_connecting_on_the_settings_page(queue: Queue) -> None:
    """Label Studio sets the model version to the name that a person typed; the score column needs that of the predictions."""
    wait_until(lambda: queue.shown_version() == queue.told())
    queue.open_manager()
    page = queue.page
    page.locator("input[type=checkbox]").first.click(force=True)
    page.get_by_text(f"{len(SCENES)} Tasks", exact=True).click()
    page.wait_for_timeout(1000)  # for the menu to unfold
    page.get_by_text("Retrieve Predictions", exact=True).click()
    page.get_by_text("OK", exact=True).click()
    wait_until(lambda: len(queue.current()) == len(SCENES))

    queue.open_manager()
    page.get_by_role("button", name="Columns").click()
    page.get_by_text("Prediction score", exact=True).click()
    page.keyboard.press("Escape")
    first = [f"{each['score']:.3f}" for _, each in sorted(queue.current().items())][:5]
    wait_until(lambda: set(first) <= set(queue.scores_shown()))
    wait_until(lambda: queue.faults() == [])


@pytest.mark.slow
def test_doubtful_tasks_come_first(queue: Queue) -> None:
    """Label All Tasks hands tasks out by the score of their prediction, the lowest first."""
    expected = queue.expected_order()
    assert expected != sorted(expected)
    assert queue.label_some() == expected[: HANDED_OUT + 1]


@pytest.mark.slow
def test_they_do_so_after_a_label_was_added(queue: Queue) -> None:
    """Boxes and scores change; all tasks get new predictions by themselves, without a run of the model."""
    before, runs = queue.shown_version(), queue.server.status()["model_runs"]
    labels = {"label_config": config("Kite", "Balloon", "Box")}
    queue.label_studio.api("PATCH", f"/api/projects/{queue.project}", json=labels)
    queue.wait_for_version_after(before)
    assert queue.server.status()["model_runs"] == runs
    expected = queue.expected_order()
    assert queue.label_some() == expected[: HANDED_OUT + 1]
    wait_until(lambda: queue.faults() == [])


@pytest.mark.slow
def test_they_do_so_after_a_revision_and_every_way_to_a_task_shows_its_boxes(queue: Queue) -> None:
    """Also where a task has a newer prediction than the label stream asks for, or an older one."""
    before, (task,) = queue.shown_version(), queue.locked
    old = queue.boxes_in_force(task)
    with closing(Database(queue.settings["PRELABEL_DATABASE_URL"])) as database:
        overrides = LabelOverrides.of({("label", label): 0.93 for label in ("Kite", "Balloon", "Box")})
        revisions.apply(database, queue.project, overrides, detector="", author="Ada", evidence={}, after=0)
    queue.wait_for_version_after(before)
    boxes = queue.boxes_in_force(task)
    assert len(boxes) < len(old)
    assert queue.boxes_by_every_way(task) == dict.fromkeys(("row", "link", "label stream"), boxes)
    expected = queue.expected_order()
    assert queue.label_some() == expected[: HANDED_OUT + 1]


@pytest.mark.slow
def test_every_way_to_a_task_shows_the_boxes_of_before_after_a_revert(queue: Queue) -> None:
    """A revert has a version of its own, so its boxes are stored beside those of the same learning before."""
    before, (task,) = queue.shown_version(), queue.locked
    reverted = queue.boxes_in_force(task)
    queue.prelabel("calibrate", "--project", str(queue.project), "--revert")
    queue.wait_for_version_after(before)
    boxes = queue.boxes_in_force(task)
    assert len(boxes) > len(reverted)
    assert queue.boxes_by_every_way(task) == dict.fromkeys(("row", "link", "label stream"), boxes)


@pytest.mark.slow
def test_labels_that_come_back_bring_their_boxes_back(queue: Queue) -> None:
    """The version is then one that tasks have already, and tasks open with it, although they have newer predictions of another."""
    (task,) = queue.locked
    before, boxes = queue.shown_version(), queue.boxes_in_force(task)
    for labels in (("Box",), ("Kite", "Balloon", "Box")):
        shown = queue.shown_version()
        queue.label_studio.api("PATCH", f"/api/projects/{queue.project}", json={"label_config": config(*labels)})
        queue.wait_for_version_after(shown)
    assert queue.shown_version() == before
    assert queue.boxes_in_force(task) == boxes
    assert queue.boxes_by_every_way(task) == dict.fromkeys(("row", "link", "label stream"), boxes)


@pytest.mark.slow
def test_another_detector_at_the_start_renews_predictions_before_anybody_calls(queue: Queue, restart: Restart) -> None:
    """A threshold of the service stands for it: Label Studio calls nobody when it shows stored predictions."""
    before, stored = queue.shown_version(), queue.label_studio.predictions(queue.project)
    queue.server = restart(queue, MODEL_SCORE_THRESHOLD="0.5")
    queue.wait_for_version_after(before)
    now = queue.label_studio.predictions(queue.project)
    assert {len(now[task]) - len(stored[task]) for task in now} == {1}


@pytest.mark.slow
def test_ordering_by_score_does_the_same_as_sampling(queue: Queue) -> None:
    """For those who cannot choose the sampling: Label Studio's settings page keeps it for another edition."""
    page = queue.page
    queue.label_studio.api("PATCH", f"/api/projects/{queue.project}", json={"sampling": "Sequential sampling"})
    wait_until(lambda: "sequential" in str(queue.upkeep()["findings"]))
    page.goto(f"{queue.label_studio.url}/projects/{queue.project}/settings")
    page.get_by_text("Uncertainty sampling").wait_for()
    assert page.get_by_text("Uncertainty sampling").is_disabled()
    queue.open_manager()
    page.get_by_role("button", name="Order by").click()
    page.locator("[class*=dropdown]").get_by_text("Prediction score", exact=True).last.click()
    expected = [f"{score:.3f}" for score in sorted(each["score"] for each in queue.current().values())]
    wait_until(lambda: (shown := queue.scores_shown()) and shown == expected[: len(shown)])
    queue.open_manager()
    wait_until(lambda: set(expected[:5]) <= set(queue.scores_shown()))
    page.wait_for_timeout(1000)  # for thumbnails to be painted
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "queue-manager.png")
    queue.locked = []  # the order of the data manager goes before the lock
    order = queue.expected_order()
    assert queue.label_some(as_displayed=True) == order[: HANDED_OUT + 1]
    page.screenshot(path=SCREENSHOTS / "queue-task.png")


@pytest.mark.slow
def test_choice_of_another_version_is_left_alone_and_named(queue: Queue) -> None:
    """Somebody who chose predictions in Settings wants those, also when labels change."""
    current = queue.shown_version()
    old = next(each for each in queue.versions() if each != current)
    queue.choose(old)
    wait_until(lambda: any(f'"{old}" was chosen' in fault for fault in queue.faults()))
    assert f'"{old}" was chosen' in queue.prelabel("doctor", status=1)
    labels = {"label_config": config("Kite", "Box")}
    queue.label_studio.api("PATCH", f"/api/projects/{queue.project}", json=labels)
    wait_until(lambda: queue.told() != current and any(queue.told() in fault for fault in queue.faults()))
    assert queue.shown_version() == old
    assert queue.versions() == queue.versions() - {queue.told()}

    queue.choose("(Connected)")
    queue.wait_for_version_after(old)
    wait_until(lambda: queue.faults() == [])  # they are of the last look, which may be older than the choice


@pytest.mark.slow
def test_missing_webhook_is_named(queue: Queue) -> None:
    """Without one no correction arrives; Label Studio drops it silently where its rules forbid the address."""
    (webhook,) = queue.label_studio.api("GET", f"/api/webhooks/?project={queue.project}")
    queue.label_studio.api("DELETE", f"/api/webhooks/{webhook['id']}/")
    address = f"{queue.server.url}/webhook"
    wait_until(lambda: any(f"no active webhook {address}" in fault for fault in queue.faults()))
    assert f"Project {queue.project} has no active webhook {address}" in queue.prelabel("doctor", status=1)
    queue.label_studio.api("POST", "/api/webhooks/", json={"project": queue.project, "url": address})
    wait_until(lambda: queue.faults() == [])


@pytest.mark.slow
def test_model_with_a_password_keeps_it(label_studio: LabelStudio, start_prelabel: StartPrelabel) -> None:
    """Label Studio tries the connection when a model is renamed, with what it is given; Prelabel does not know what it has."""
    login = {"BASIC_AUTH_USER": "ada", "BASIC_AUTH_PASS": "a-secret"}
    server = start_prelabel(PRELABEL_MODEL="demo", PRELABEL_KEEP_PROJECTS_CURRENT="true", **login)
    project = label_studio.create_project(config("Kite"), title="Behind a password")
    label_studio.connect(
        project, server.url, auth_method="BASIC_AUTH", basic_auth_user="ada", basic_auth_pass=login["BASIC_AUTH_PASS"]
    )
    version = label_studio.api("GET", f"/api/ml?project={project}")[0]["model_version"]
    wait_until(lambda: label_studio.api("GET", f"/api/projects/{project}")["model_version"] == version)
    (backend,) = label_studio.api("GET", f"/api/ml?project={project}")
    assert (backend["title"], backend["state"], backend["basic_auth_pass_is_set"]) == (version, "CO", True)
    server.stop()


@pytest.mark.slow
def test_setting_turns_it_off(label_studio: LabelStudio, prelabel: Prelabel) -> None:
    """Nothing is changed then, and the status page says what would be."""
    project = label_studio.create_project(config("Kite"), title="Left alone")
    label_studio.connect(project, prelabel.url)
    wait_until(lambda: "PRELABEL_KEEP_PROJECTS_CURRENT=true" in str(prelabel.status(project)["upkeep"]["findings"]))
    assert label_studio.api("GET", f"/api/projects/{project}")["model_version"] == "Prelabel"
