"""Pictures as a project of Label Studio, and all of them corrected through its API, as the interface does it: drawn ones, or others."""

from collections.abc import Collection, Mapping
from urllib.parse import quote

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
    """Create a project whose tasks are the drawn pictures, in the order of their drawing; gives its id."""
    files = {picture.name: picture.file() for picture in held_out(COUNT)}
    return import_files(label_studio, files, label_config, title)


def import_files(label_studio: LabelStudio, files: Mapping[str, bytes], label_config: str, title: str) -> int:
    """Create a project whose tasks are image files, in their order; gives its id."""
    project = label_studio.create_project(label_config, title=title)
    folder = label_studio.files / title
    folder.mkdir(exist_ok=True)
    storage = {"project": project, "path": str(folder), "use_blob_urls": True, "title": title}
    label_studio.api("POST", "/api/storages/localfiles", json=storage)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    images = [f"/data/local-files/?d={quote(title)}/{name}" for name in files]
    label_studio.import_tasks(project, [{"data": {"image": image}} for image in images])
    return project


def correct_all(
    label_studio: LabelStudio, project: int, annotator: Annotator, labels: Collection[str] = LABELS
) -> dict[int, str]:
    """Correct the one prediction of each task, by the truth about some labels; gives the names of the pictures by task id."""
    known = {
        name: {label: boxes for label, boxes in of_image.items() if label in labels}
        for name, of_image in truth().items()
    }
    return correct_each(label_studio, project, annotator, known, dict.fromkeys(known, SIZE))


def correct_each(
    label_studio: LabelStudio,
    project: int,
    annotator: Annotator,
    wanted: Mapping[str, Truth],
    sizes: Mapping[str, tuple[int, int]],
) -> dict[int, str]:
    """Correct the one prediction of each task.

    Args:
        label_studio: that has the project.
        project: its id.
        annotator: whose corrections they are.
        wanted: the boxes of each picture, by its name.
        sizes: width and height of each picture in pixels, by its name.

    Returns:
        The names of the pictures by task id.
    """
    names: dict[int, str] = {}
    predictions = label_studio.predictions(project)
    for task in label_studio.tasks(project):
        number = int(task["id"])
        name = names[number] = task["data"]["image"].rpartition("/")[2]
        (prediction,) = predictions[number]
        annotation = annotator.correct(prediction, wanted[name], sizes[name])
        label_studio.api("POST", f"/api/tasks/{number}/annotations", json=annotation)
    return names
