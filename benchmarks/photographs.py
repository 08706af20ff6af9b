"""The shared photographs as a project of Label Studio, and all of them corrected through its API, as the interface does it."""

import json
from collections.abc import Collection
from pathlib import Path

import labels as ground_truth
from annotator import Annotator
from e2e.servers import LabelStudio


def import_photographs(label_studio: LabelStudio, shared: Path, label_config: str, title: str) -> int:
    """Create a project whose tasks are the photographs, in the order of their names; gives its id."""
    project = label_studio.create_project(label_config, title=title)
    folder = label_studio.files / "photos"
    folder.mkdir(exist_ok=True)
    storage = {"project": project, "path": str(folder), "use_blob_urls": True, "title": "photos"}
    label_studio.api("POST", "/api/storages/localfiles", json=storage)
    files = sorted((shared / "photos" / "images").glob("*.jpg"))
    for file in files:
        (folder / file.name).write_bytes(file.read_bytes())
    images = [f"/data/local-files/?d=photos/{file.name}" for file in files]
    label_studio.import_tasks(project, [{"data": {"image": image}} for image in images])
    return project


def correct_all(
    label_studio: LabelStudio,
    project: int,
    shared: Path,
    annotator: Annotator,
    labels: Collection[str] = ground_truth.LABELS,
) -> dict[int, str]:
    """Correct the one prediction of each task, by the truth about some labels; gives the names of the photographs by task id."""
    truth = ground_truth.truth(ground_truth.rolled_up())
    images = json.loads((shared / "photos" / "instances.json").read_text())["images"]
    sizes = {each["file_name"]: (each["width"], each["height"]) for each in images}
    names: dict[int, str] = {}
    predictions = label_studio.predictions(project)
    for task in label_studio.tasks(project):
        number = int(task["id"])
        name = names[number] = task["data"]["image"].rpartition("/")[2]
        (prediction,) = predictions[number]
        wanted = {label: boxes for label, boxes in truth[name].items() if label in labels}
        annotation = annotator.correct(prediction, wanted, sizes[name])
        label_studio.api("POST", f"/api/tasks/{number}/annotations", json=annotation)
    return names
