"""Drawn pictures as a project of Label Studio, and all of them corrected through its API, as the interface does it."""

from collections.abc import Collection, Mapping

from annotator import Annotator, Truth
from e2e.servers import LabelStudio
from trained.pictures import SIZE, held_out

COUNT = 80
LABEL_OF = {
    "Kite": "Kite",
    "Balloon": "Balloon",
    "Box": "Office supplies",
}  # above a box in the hierarchy of Open Images
LABELS = tuple(LABEL_OF.values())


def config(*labels: str, **attributes: str) -> str:
    """Return a label config with some labels, by default with all."""
    given = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    inside = "".join(f'<Label value="{label}"/>' for label in labels or LABELS)
    return (
        '<View><Image name="image" value="$image"/>'
        f'<RectangleLabels name="label" toName="image" {given}>{inside}</RectangleLabels></View>'
    )


def truth(label_of: Mapping[str, str] = LABEL_OF) -> dict[str, Truth]:
    """Return what is on each picture, by its name."""
    return {
        picture.name: {label_of[name]: boxes for name, boxes in picture.truth().items()} for picture in held_out(COUNT)
    }


def import_pictures(label_studio: LabelStudio, label_config: str, title: str) -> int:
    """Create a project whose tasks are the pictures, in the order of their drawing; gives its id."""
    project = label_studio.create_project(label_config, title=title)
    folder = label_studio.files / "pictures"
    folder.mkdir(exist_ok=True)
    storage = {"project": project, "path": str(folder), "use_blob_urls": True, "title": "pictures"}
    label_studio.api("POST", "/api/storages/localfiles", json=storage)
    pictures = held_out(COUNT)
    for picture in pictures:
        (folder / picture.name).write_bytes(picture.file())
    images = [f"/data/local-files/?d=pictures/{picture.name}" for picture in pictures]
    label_studio.import_tasks(project, [{"data": {"image": image}} for image in images])
    return project


def correct_all(
    label_studio: LabelStudio, project: int, annotator: Annotator, labels: Collection[str] = LABELS
) -> dict[int, str]:
    """Correct the one prediction of each task, by the truth about some labels; gives the names of the pictures by task id."""
    known = truth()
    names: dict[int, str] = {}
    predictions = label_studio.predictions(project)
    for task in label_studio.tasks(project):
        number = int(task["id"])
        name = names[number] = task["data"]["image"].rpartition("/")[2]
        (prediction,) = predictions[number]
        wanted = {label: boxes for label, boxes in known[name].items() if label in labels}
        annotation = annotator.correct(prediction, wanted, SIZE)
        label_studio.api("POST", f"/api/tasks/{number}/annotations", json=annotation)
    return names
