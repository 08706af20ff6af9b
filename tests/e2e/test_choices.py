"""Choices at the labelling page of a real Label Studio: what is checked when a task opens, and what a correction stores."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import subjects
from e2e.browser import SCREENSHOTS, log_in
from e2e.editor import Editor
from e2e.servers import LabelStudio, Prelabel, StartPrelabel
from playwright.sync_api import Page

CONFIGS = Path(__file__).parent.parent.parent / "label_config"
# Pictures, as their numbers and subjects.
ELEPHANTS, BUS, ANIMALS = (0, subjects.ELEPHANT), (1, subjects.BUS), (2, subjects.ELEPHANT, subjects.ZEBRA)

# What the editor would store, and what is checked on the page.
SHOWN = """() => {
    const store = window.Htx?.annotationStore?.selected;
    const inputs = [...document.querySelectorAll('.lsf-choice__checkbox input')];
    return {
        task: Number(window.Htx?.task?.id ?? 0),
        regions: store?.serializeAnnotation() ?? [],
        checked: inputs.filter(input => input.checked).map(input => input.name),
    };
}"""
SHOW_IMAGE = "number => window.Htx.annotationStore.selected.names.get('image').setCurrentImage(number)"


def choices(attributes: str, image: str = 'value="$image"') -> str:
    """Return a label config with five choices, one of which has an alias and a hotkey."""
    return (
        f'<View><Choices name="subject" toName="image" {attributes}><Choice value="Elephant"/><Choice value="Animal"/>'
        '<Choice value="Hund" alias="Dog" hotkey="x"/><Choice value="Transit" predicted_values="Public transport"/><Choice value="Toy"/></Choices>'
        f'<Image name="image" {image}/></View>'
    )


class Shown(NamedTuple):
    """What an annotator sees: the choices that are checked, and the regions that a submit would store."""

    checked: list[str]
    regions: list[dict[str, Any]]


class Labelling:
    """One project whose only task is open in the browser, predicted by "Retrieve Predictions"."""

    def __init__(self, studio: LabelStudio, page: Page, server: Prelabel, config: str, data: dict[str, Any]) -> None:
        self.page = page
        self.editor = Editor(page)
        self._studio = studio
        project = studio.create_project(config, title="Choices")
        studio.import_tasks(project, [{"data": data}])
        assert studio.connect(project, server.url)["readable_state"] == "Connected"
        studio.retrieve(project)
        (task,) = studio.tasks(project)
        self.number = int(task["id"])
        ((self.prediction,),) = studio.predictions(project).values()
        body = {"tasks": [task], "label_config": config, "project": f"{project}.1"}
        (self.answer,) = httpx.post(f"{server.url}/predict", json=body, timeout=60).json()["results"]
        log_in(page, studio.url)
        page.goto(f"{studio.url}/projects/{project}/data?task={self.number}")
        wanted = {region["id"] for region in self.prediction["result"]}
        self.editor.wait_for_place(lambda state: state["task"] == self.number)
        self.editor.until(lambda: {region["id"] for region in self.shown().regions} == wanted)

    def shown(self) -> Shown:
        """Return what is on the page."""
        state = self.page.evaluate(SHOWN)
        return Shown(state["checked"], state["regions"])

    def values(self) -> list[Any]:
        """Return the values of the regions that a submit would store."""
        return [region["value"] for region in self.shown().regions]

    def wait_until_checked(self, *choices: str) -> None:
        """Wait until exactly these choices are checked."""
        self.editor.until(lambda: self.shown().checked == list(choices))

    def check(self, choice: str, act: Callable[[], object] | None = None) -> None:
        """Click on a choice, or do something else with the same effect."""
        click = self.page.locator("label").filter(has_text=choice).first.click
        before = self.values()
        (act or click)()
        # The box on the page is checked before the regions have it that a submit would store, and other fields of these change by themselves.
        self.editor.until(lambda: choice in self.shown().checked and self.values() != before)

    def submit(self) -> list[dict[str, Any]]:
        """Press "Submit"; gives the regions that are stored then."""
        self.editor.press("bottombar-submit-button")
        path = f"/api/tasks/{self.number}"
        self.editor.until(lambda: self._studio.api("GET", path)["annotations"])
        (annotation,) = self._studio.api("GET", path)["annotations"]
        result: list[dict[str, Any]] = annotation["result"]
        return result


Label = Callable[..., Labelling]


@pytest.fixture(scope="module")
def server(start_prelabel: StartPrelabel, subject_classifier_dir: Path) -> Prelabel:
    """Start the service with both models."""
    return start_prelabel(PRELABEL_CLASSIFIER=str(subject_classifier_dir))


@pytest.fixture
def label(label_studio: LabelStudio, page: Page, server: Prelabel) -> Label:
    """Give a function that opens a task with some pictures."""

    def opened(config: str, *pictures: tuple[Any, ...], backend: Prelabel = server) -> Labelling:
        files = [subjects.subject_file(*picture) for picture in pictures]
        addresses = ["data:image/jpeg;base64," + base64.b64encode(data).decode() for data in files]
        return Labelling(label_studio, page, backend, config, {"image": addresses[0], "images": addresses})

    return opened


def values(regions: list[dict[str, Any]]) -> list[tuple[Any, str]]:
    """Return the choices of stored regions, and where each comes from."""
    chosen = [region for region in regions if region["type"] in {"choices", "taxonomy"}]
    return [(region["value"].get("choices") or region["value"]["taxonomy"], region["origin"]) for region in chosen]


@pytest.mark.parametrize(
    ("attributes", "picture", "checked", "corrected"),
    [
        pytest.param("", ELEPHANTS, ["Elephant"], ["Dog"], marks=pytest.mark.slow),
        pytest.param('showInline="true"', BUS, ["Transit"], ["Dog"], marks=pytest.mark.slow),
        pytest.param('choice="single-radio"', ELEPHANTS, ["Elephant"], ["Dog"], marks=pytest.mark.slow),
        ('choice="multiple" model_score_threshold="0.2"', ANIMALS, ["Elephant", "Animal"], ["Elephant", "Animal", "Dog"]),
        ('perItem="true"', ELEPHANTS, ["Elephant"], ["Dog"]),
        pytest.param('model_source="detections"', ELEPHANTS, ["Toy"], ["Dog"], marks=pytest.mark.slow),
    ],
    ids=["single", "inline", "radio", "multiple", "perItem on one image", "from detections"],
)  # fmt: skip
def test_predicted_choice_is_checked_and_a_correction_replaces_it(
    label: Label, attributes: str, picture: tuple[Any, ...], checked: list[str], corrected: list[str]
) -> None:
    """Stored as answered, checked when the task opens, and one region with the same id after a hotkey; an alias stands for its value."""
    task = label(choices(attributes), picture)
    (region,) = task.prediction["result"]
    assert task.prediction["result"] == task.answer["result"]
    assert task.prediction["score"] == pytest.approx(task.answer["score"]) == pytest.approx(region["score"])
    task.wait_until_checked(*checked)
    (open_region,) = task.shown().regions
    assert open_region == {**region, "origin": "prediction"}
    task.check("Hund", lambda: task.page.keyboard.press("x"))
    (stored,) = task.submit()
    assert stored == {**region, "value": {"choices": corrected}, "origin": "prediction-changed"}


@pytest.mark.slow
def test_choices_of_detections_need_no_classifier(label: Label, prelabel: Prelabel) -> None:
    """A service with a detector alone checks what it has a box of."""
    task = label(choices('choice="multiple"'), ELEPHANTS, backend=prelabel)
    task.wait_until_checked("Toy")
    assert values(task.submit()) == [(["Toy"], "prediction")]


def test_path_of_a_taxonomy_is_shown_and_another_added(label: Label) -> None:
    """The deepest item that is certain enough, as a path; further ones are chosen in the tree."""
    task = label((CONFIGS / "taxonomy.xml").read_text(), ELEPHANTS)
    assert task.prediction["result"] == task.answer["result"]
    tree = task.page.locator(".htx-taxonomy, [class*=taxonomy]").first
    assert "Animal / Elephant" in tree.inner_text()
    assert values(task.shown().regions) == [([["Animal", "Elephant"]], "prediction")]
    tree.locator("[class*=select-selector], span").first.click()
    task.page.get_by_text("Furniture").last.click()
    task.editor.until(lambda: ["Furniture"] in task.shown().regions[0]["value"]["taxonomy"])
    assert values(task.submit()) == [([["Animal", "Elephant"], ["Furniture"]], "prediction-changed")]


def test_boxes_and_choices_in_one_task(label: Label) -> None:
    """Boxes of the detector, choices of both models; one choice is corrected, and all else stays as predicted."""
    config = (CONFIGS / "boxes_and_choices.xml").read_text()
    config = config.replace('value="Animals" predicted_values="Animal"', 'value="Toys" predicted_values="Toy"')
    task = label(config.replace('<Label value="Animal"', '<Label value="Toy"'), ELEPHANTS)
    assert task.prediction["result"] == task.answer["result"]
    scores = [region["score"] for region in task.prediction["result"]]
    assert task.prediction["score"] == pytest.approx(sum(scores) / len(scores), abs=1e-4)
    task.wait_until_checked("Toys", "Other animal")
    task.page.wait_for_timeout(1000)  # for the canvas to be painted
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    task.page.screenshot(path=SCREENSHOTS / "boxes-and-choices.png")
    task.check("Landscape")
    stored = task.submit()
    boxes = [region for region in stored if region["type"] == "rectanglelabels"]
    assert len(boxes) == len(scores) - 2
    assert {region["origin"] for region in boxes} == {"prediction"}
    assert values(stored) == [(["Toys"], "prediction"), (["Landscape"], "prediction-changed")]


@pytest.mark.slow
def test_images_of_a_list_have_choices_together(label: Label) -> None:
    """Without ``perItem``, one choice for all images, by their mean."""
    task = label(choices('model_score_threshold="0.1"', 'valueList="$images"'), ELEPHANTS, ELEPHANTS, BUS)
    task.wait_until_checked("Elephant")
    (region,) = task.submit()
    assert "item_index" not in region


def test_images_of_a_list_have_choices_of_their_own(label: Label) -> None:
    """With ``perItem``, each page of the list shows its own choice, and a correction changes that of the page."""
    task = label(choices('perItem="true"', 'valueList="$images"'), ELEPHANTS, BUS)
    assert [region["item_index"] for region in task.prediction["result"]] == [0, 1]
    task.wait_until_checked("Elephant")
    task.page.evaluate(SHOW_IMAGE, 1)
    task.wait_until_checked("Transit")
    task.check("Hund", lambda: task.page.keyboard.press("x"))
    stored = task.submit()
    assert values(stored) == [(["Elephant"], "prediction"), (["Dog"], "prediction-changed")]
    assert [region["item_index"] for region in stored] == [0, 1]
