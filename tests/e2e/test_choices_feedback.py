"""Corrections of choices on a real Label Studio: predicted by a classifier, changed as in the editor, and reported."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from e2e.servers import TOKEN, LabelStudio, Prelabel, StartPrelabel, run_prelabel
from subjects import SUBJECTS, subject_file
from waiting import wait_until

LABELS = ("Elephant", "Dog", "Zebra", "Bird", "Food", "Public transport")
CHOICES = "".join(f'<Choice value="{label}"/>' for label in LABELS)
SCENE = f'<Choices name="scene" toName="image" choice="single">{CHOICES}</Choices>'
TREE = (
    '<Taxonomy name="tree" toName="image"><Choice value="Animal"><Choice value="Elephant"/><Choice value="Zebra"/>'
    '</Choice><Choice value="Vehicle"/></Taxonomy>'
)
BOXES = '<RectangleLabels name="label" toName="image"><Label value="Kite"/><Label value="Balloon"/></RectangleLabels>'
NAMES = ELEPHANTS, ZEBRAS, DOG, BIRD, FOOD, SKIPPED = (
    "elephants.jpg",
    "zebras.jpg",
    "dog.jpg",
    "bird.jpg",
    "food.jpg",
    "bus.jpg",
)
NOTHING, NEITHER = "nothing.jpg", "neither.jpg"
PICTURES: dict[str, tuple[Any, ...]] = {name: (number, SUBJECTS[number]) for number, name in enumerate(NAMES)}
PICTURES |= {NOTHING: (6,), NEITHER: (7,)}


@dataclass
class Scenes:
    """A project of pictures with predictions.

    Attributes:
        label_studio, server: what runs.
        project: its id.
        settings: environment of the server, for commands beside it.
        tasks: ids by the name of the picture.
    """

    label_studio: LabelStudio
    server: Prelabel
    project: int
    settings: dict[str, str]
    tasks: dict[str, int]

    def predicted(self, name: str) -> dict[str, Any]:
        """Return the prediction of a picture."""
        (prediction,) = self.label_studio.predictions(self.project)[self.tasks[name]]
        return prediction

    def submit(self, name: str, choices: Mapping[str, Sequence[Any]], **parts: Any) -> None:
        """Submit choices by control as the editor does: a changed choice keeps its region, a removed one has none, and no one has a size."""
        prediction = self.predicted(name)
        result = []
        for region in prediction["result"]:
            control, kind = region["from_name"], region["type"]
            if control not in choices:  # left as it is
                result.append(region | {"origin": "prediction"})
            elif wanted := list(choices[control]):
                kept = {key: region[key] for key in ("id", "from_name", "to_name", "type", "score")}
                origin = "prediction" if region["value"][kind] == wanted else "prediction-changed"
                result.append(kept | {"value": {kind: wanted}, "origin": origin})
        for control in choices.keys() - {region["from_name"] for region in prediction["result"]}:
            if wanted := list(choices[control]):
                kind = "taxonomy" if control == "tree" else "choices"
                new = {"id": f"new-{control}", "from_name": control, "to_name": "image", "type": kind}
                result.append(new | {"value": {kind: wanted}, "origin": "manual"})
        about = {"result": result, "lead_time": 4.5, "parent_prediction": prediction["id"], "was_cancelled": False}
        self.label_studio.api("POST", f"/api/tasks/{self.tasks[name]}/annotations", json=about | parts)

    def prelabel(self, *arguments: str) -> Any:
        """Run a command of Prelabel on the project; gives what it printed."""
        return run_prelabel(self.settings, *arguments, "--project", str(self.project))

    def report(self, annotations: int) -> Any:
        """Wait for the events, and return the report."""
        wait_until(
            lambda: (
                self.server.status()["learning"]["waiting"] == 0
                and self.prelabel("report", "--json")["annotations"] == annotations
            )
        )
        return self.prelabel("report", "--json")


@pytest.fixture(scope="module")
def settings(
    trained_detectors: Path,
    subject_classifier_dir: Path,
    label_studio: LabelStudio,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """Give the settings of a service with both models."""
    return {
        "PRELABEL_DATABASE_URL": f"sqlite:///{tmp_path_factory.mktemp('feedback') / 'feedback.sqlite3'}",
        "PRELABEL_MODEL": str(trained_detectors / "savedmodel"),
        "PRELABEL_CLASSIFIER": str(subject_classifier_dir),
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": TOKEN,
    }


@pytest.fixture(scope="module")
def server(start_prelabel: StartPrelabel, settings: dict[str, str]) -> Iterator[Prelabel]:
    """Give a service with both models."""
    started = start_prelabel(**settings)
    yield started
    started.stop()


def project_of(
    label_studio: LabelStudio, server: Prelabel, settings: dict[str, str], controls: str, *names: str
) -> Scenes:
    """Return a project of pictures with predictions."""
    project = label_studio.create_project(f'<View><Image name="image" value="$image"/>{controls}</View>')
    for name in names:
        label_studio.upload(project, name, subject_file(*PICTURES[name]))
    label_studio.connect(project, server.url)
    label_studio.retrieve(project)
    tasks = {task["data"]["image"].rpartition("-")[2]: int(task["id"]) for task in label_studio.tasks(project)}
    return Scenes(label_studio, server, project, settings, tasks)


def test_project_of_choices_only(
    label_studio: LabelStudio, server: Prelabel, settings: dict[str, str], tmp_path: Path
) -> None:
    """One kept, changed, removed, added and left empty each; skipped ones and those accepted in bulk count apart."""
    names = (ELEPHANTS, ZEBRAS, DOG, BIRD, FOOD, NOTHING, NEITHER, SKIPPED)
    scenes = project_of(label_studio, server, settings, SCENE, *names)
    shown = {name: [region["value"]["choices"] for region in scenes.predicted(name)["result"]] for name in names}
    assert shown == {
        ELEPHANTS: [["Elephant"]],
        ZEBRAS: [["Zebra"]],
        DOG: [["Dog"]],
        BIRD: [["Bird"]],
        FOOD: [["Food"]],
        NOTHING: [],
        NEITHER: [],
        SKIPPED: [["Public transport"]],
    }
    scenes.submit(ELEPHANTS, {"scene": ["Elephant"]})
    scenes.submit(ELEPHANTS, {"scene": ["Elephant"]}, lead_time=9)  # another person
    scenes.submit(ZEBRAS, {"scene": ["Dog"]})
    scenes.submit(DOG, {"scene": []})
    scenes.submit(NOTHING, {"scene": ["Bird"]})
    scenes.submit(NEITHER, {"scene": []})
    scenes.submit(SKIPPED, {"scene": ["Public transport"]}, was_cancelled=True)
    accepted = {"selectedItems": {"all": False, "included": [scenes.tasks[BIRD], scenes.tasks[FOOD]]}}
    path = f"/api/dm/actions?id=predictions_to_annotations&project={scenes.project}"
    label_studio.api("POST", path, json=accepted)
    assert "annotations" in scenes.prelabel("feedback", "sync")  # no event comes of the action

    report = scenes.report(6)
    (scene,) = report["choices"]
    assert scene["outcomes"] == {"kept": 2, "changed": 1, "removed": 1, "added": 1, "empty": 1}
    assert (scene["accuracy"]["hits"], scene["accuracy"]["total"], scene["unseen"]) == (2, 4, 0)
    assert {(each["shown"], each["submitted"]): each["count"] for each in scene["confusions"]} == {
        ("Zebra", "Dog"): 1,
        ("Dog", None): 1,
        (None, "Bird"): 1,
    }
    assert (report["skipped"], report["accepted"]["annotations"], report["not_judged"]) == (1, 2, {})
    assert (report["tasks_with_several_annotations"], report["odd_regions"]) == (1, {})
    assert report["seen"]["edits"]["choices"] == 3
    assert report["seen"]["median_seconds"] == 4.5
    assert report["labels"] == report["versions"] == report["worst"] == []

    assert "0 of them new or changed" in scenes.prelabel("feedback", "sync")
    learning = server.status()["learning"]
    assert (learning["outdated"], learning["problem"]) == (0, "")
    assert "thresholds of choices are not learned" in " ".join(scenes.prelabel("calibrate").split())
    (backend,) = label_studio.api("GET", f"/api/ml?project={scenes.project}")
    label_studio.api("POST", f"/api/ml/{backend['id']}/train")
    wait_until(lambda: scenes.server.status()["learning"]["trainings"][0]["project"] == scenes.project)
    training = scenes.server.status()["learning"]["trainings"][0]
    assert (training["outcome"], training["message"].split(",")[0]) == ("unchanged", "the project has choices only")
    page = tmp_path / "report.html"
    scenes.prelabel("report", "--html", str(page))
    assert f"{label_studio.url}/projects/{scenes.project}/data?task={scenes.tasks[ZEBRAS]}" in page.read_text()


def test_project_of_boxes_and_choices(label_studio: LabelStudio, server: Prelabel, settings: dict[str, str]) -> None:
    """Each control has figures of its own, and boxes have those of a project without choices."""
    scenes = project_of(label_studio, server, settings, BOXES + SCENE + TREE, ELEPHANTS, ZEBRAS)
    shown = [region for name in (ELEPHANTS, ZEBRAS) for region in scenes.predicted(name)["result"]]
    boxes = sum(region["type"] == "rectanglelabels" for region in shown)
    assert boxes > 2
    assert [region["value"]["taxonomy"] for region in shown if region["from_name"] == "tree"] == [
        [["Animal", "Elephant"]],
        [["Animal", "Zebra"]],
    ]
    scenes.submit(ELEPHANTS, {"scene": ["Dog"], "tree": [["Animal", "Elephant"]]})
    scenes.submit(ZEBRAS, {"scene": ["Zebra"], "tree": [["Animal", "Elephant"], ["Vehicle"]]})
    report = scenes.report(2)
    assert report["total"]["shown"] == {"kept": boxes, "nudged": 0, "relabeled": 0, "deleted": 0}
    assert report["seen"]["edits"] == {"nudged": 0, "relabeled": 0, "deleted": 0, "added": 0, "choices": 2}
    scene, tree = report["choices"]
    assert [(each["control"], each["accuracy"]["hits"], each["accuracy"]["total"]) for each in (scene, tree)] == [
        ("scene", 1, 2),
        ("tree", 1, 2),
    ]
    assert [(each["shown"], each["submitted"]) for each in tree["confusions"]] == [
        (None, "Animal / Elephant"),
        (None, "Vehicle"),
        ("Animal / Zebra", None),
    ]
    assert [each["label"] for each in scenes.prelabel("calibrate", "--json")["labels"]] == ["Kite", "Balloon"]
