"""What an engineer sees who connects Prelabel to Label Studio 1.23.2: each test is one scene, up to what is stored."""

from typing import Any

import httpx
import pytest
from e2e.servers import LabelStudio, Material, Prelabel, StartPrelabel
from label_studio_sdk.label_interface import LabelInterface
from picture_server import Answer, PictureServer
from PIL import Image
from samples import empty_file
from waiting import wait_until

Box = tuple[str, float, float, float, float]


def boxes(prediction: dict[str, Any]) -> list[Box]:
    """Return the rectangles of a prediction: label, x, y, width, height in percent."""
    values = [region["value"] for region in prediction["result"]]
    return [(v["rectanglelabels"][0], v["x"], v["y"], v["width"], v["height"]) for v in values]


def fill(label_studio: LabelStudio, material: Material, *, connect: str | None = None) -> int:
    """Create a project with all pictures uploaded, and a backend if asked."""
    project = label_studio.create_project(material.labels)
    for name, data in material.files.items():
        label_studio.upload(project, name, data)
    if connect:
        label_studio.connect(project, connect)
    return project


def one_each(stored: dict[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the prediction of each task, which must be exactly one."""
    assert [len(predictions) for predictions in stored.values()] == [1] * len(stored)
    return [predictions[0] for predictions in stored.values()]


def test_uploads_are_predicted_and_stored_as_answered(
    label_studio: LabelStudio, material: Material, prelabel: Prelabel
) -> None:
    """Connected, asked once for all tasks: one prediction each, that of the service, in the displayed frame."""
    project = fill(label_studio, material)
    backend = label_studio.connect(project, prelabel.url)
    assert backend["readable_state"] == "Connected"
    label_studio.retrieve(project)
    predictions = one_each(label_studio.predictions(project))
    interface = LabelInterface(material.labels)
    for task, prediction in zip(label_studio.tasks(project), predictions, strict=True):
        body = {"tasks": [task], "label_config": material.labels, "project": f"{project}.1"}
        (answer,) = httpx.post(f"{prelabel.url}/predict", json=body, timeout=60).json()["results"]
        assert prediction["result"] == answer["result"]
        assert prediction["model_version"] == answer["model_version"] == backend["model_version"]
        assert prediction["score"] == pytest.approx(answer["score"])
        assert interface.validate_prediction({key: prediction[key] for key in ("result", "score", "model_version")})
        assert boxes(prediction)
    rotated = predictions[list(material.files).index("rotated.jpg")]
    with Image.open(_as_file(material.files["rotated.jpg"])) as stored:
        assert {(r["original_width"], r["original_height"]) for r in rotated["result"]} == {
            (stored.height, stored.width)
        }


def _as_file(data: bytes) -> Any:
    import io

    return io.BytesIO(data)


def test_opening_a_task_shows_its_boxes(label_studio: LabelStudio, material: Material, prelabel: Prelabel) -> None:
    """Without any button: the labelling page gets them with the task."""
    project = fill(label_studio, material, connect=prelabel.url)
    task = label_studio.tasks(project)[0]["id"]
    assert boxes(label_studio.open_task(project, task)["predictions"][0])
    assert [bool(each) for each in label_studio.predictions(project).values()] == [True] + [False] * (
        len(material.files) - 1
    )


def test_same_version_is_not_asked_again_and_a_change_of_labels_is(
    label_studio: LabelStudio, material: Material, start_prelabel: StartPrelabel
) -> None:
    """Neither a second press nor a restart makes duplicates; a new label makes Label Studio ask, under a new version."""
    server = start_prelabel()
    project = fill(label_studio, material, connect=server.url)
    label_studio.retrieve(project)
    first = one_each(label_studio.predictions(project))
    label_studio.retrieve(project)
    assert server.status(project)["predicted"] == len(first)

    server.stop()
    again = start_prelabel(port=server.port)
    label_studio.retrieve(project)
    assert one_each(label_studio.predictions(project)) == first
    assert again.status(project)["predicted"] == 0

    changed = material.labels.replace("</RectangleLabels>", '<Label value="Bird"/></RectangleLabels>')
    label_studio.api("PATCH", f"/api/projects/{project}", json={"label_config": changed})
    label_studio.retrieve(project)
    assert again.status(project)["predicted"] == len(first)
    versions = {p["model_version"] for each in label_studio.predictions(project).values() for p in each}
    assert len(versions) == 2
    again.stop()


def test_same_photograph_in_two_projects_runs_the_model_once(
    label_studio: LabelStudio, material: Material, prelabel: Prelabel
) -> None:
    """Uploaded twice, it has two addresses in Label Studio and one content."""
    runs = prelabel.status()["model_runs"]["detector"]
    data = next(iter(material.files.values())) + b"seen nowhere else"
    stored = []
    for name in ("street.jpg", "again.jpg"):
        project = label_studio.create_project(material.labels)
        label_studio.upload(project, name, data)
        label_studio.connect(project, prelabel.url)
        label_studio.retrieve(project)
        stored += one_each(label_studio.predictions(project))
    assert boxes(stored[0]) == boxes(stored[1]) != []
    assert prelabel.status()["model_runs"]["detector"] == runs + 1


def test_broken_picture_costs_only_its_own_task(
    label_studio: LabelStudio, material: Material, prelabel: Prelabel, pictures: PictureServer
) -> None:
    """It stays unpredicted and is asked for again; an empty picture is predicted as empty."""
    good = next(iter(material.files.values()))
    page = pictures.add("/b.jpg", b"<!doctype html>")
    addresses = [pictures.add("/a.jpg", good), page, pictures.add("/c.png", empty_file()), pictures.url + "/none.jpg"]
    project = label_studio.create_project(material.labels)
    label_studio.import_tasks(project, [{"data": {"image": address}} for address in addresses])
    label_studio.connect(project, prelabel.url)
    label_studio.retrieve(project)
    stored = list(label_studio.predictions(project).values())
    assert [len(each) for each in stored] == [1, 0, 1, 0]
    assert boxes(stored[0][0])
    assert stored[2][0]["result"] == []
    assert stored[2][0]["score"] >= 0.5
    assert "could not be fetched as an image" in prelabel.status(project)["failures"][-1]["cause"]
    assert "HTML page" in prelabel.log.read_text()

    pictures.add("/b.jpg", good)
    label_studio.retrieve(project)
    assert [len(each) for each in label_studio.predictions(project).values()] == [1, 1, 1, 0]


@pytest.mark.slow
def test_deadline_stores_what_is_done_and_a_later_press_finishes(
    label_studio: LabelStudio, material: Material, start_prelabel: StartPrelabel, pictures: PictureServer
) -> None:
    """Four of twelve pictures are slower than the deadline: the others are stored, and nothing is fetched twice for the rest."""
    server = start_prelabel(PRELABEL_PREDICT_DEADLINE="3")
    data = next(iter(material.files.values()))
    addresses = [pictures.add(f"/{n}.jpg", Answer(data + bytes([n]), held=n >= 8)) for n in range(12)]
    project = label_studio.create_project(material.labels)
    label_studio.import_tasks(project, [{"data": {"image": address}} for address in addresses])
    label_studio.connect(project, server.url)

    def stored_after_a_press() -> int:
        label_studio.retrieve(project)
        return sum(map(len, label_studio.predictions(project).values()))

    wait_until(lambda: stored_after_a_press() == 8)  # after one press, where the machine has nothing else to do
    pictures.release()
    wait_until(lambda: stored_after_a_press() == 12)
    one_each(label_studio.predictions(project))
    assert len(pictures.requests) == len(addresses)
    server.stop()


@pytest.mark.parametrize("form", ["absolute", "relative"])
def test_local_files_storage(label_studio: LabelStudio, material: Material, prelabel: Prelabel, form: str) -> None:
    """Files below the document root, in a folder with a space; tasks hold absolute URLs, or relative ones in older data."""
    folder = label_studio.files / f"my {form} pictures"
    folder.mkdir()
    data = next(iter(material.files.values()))
    (folder / "a b&c.jpg").write_bytes(data)
    project = label_studio.create_project(material.labels)
    storage = {
        "project": project,
        "path": str(folder),
        "regex_filter": ".*jpg",
        "use_blob_urls": True,
        "title": "files",
    }
    created = label_studio.api("POST", "/api/storages/localfiles", json=storage)
    label_studio.api("POST", f"/api/storages/localfiles/{created['id']}/sync")
    (task,) = label_studio.tasks(project)
    assert task["data"]["image"].startswith(f"{label_studio.url}/data/local-files/?d=")
    if form == "relative":
        relative = task["data"]["image"].removeprefix(label_studio.url)
        label_studio.api("PATCH", f"/api/tasks/{task['id']}", json={"data": {"image": relative}})
    label_studio.connect(project, prelabel.url)
    label_studio.retrieve(project)
    assert boxes(one_each(label_studio.predictions(project))[0])


@pytest.mark.parametrize("presign", [True, False], ids=["redirect to a signed address", "proxied"])
def test_cloud_storage(
    label_studio: LabelStudio, material: Material, prelabel: Prelabel, s3: str, presign: bool
) -> None:
    """Label Studio has the keys: tasks hold ``s3://``, and Prelabel asks Label Studio to resolve them."""
    bucket = f"bucket-{presign}".lower()
    httpx.put(f"{s3}/{bucket}").raise_for_status()
    httpx.put(f"{s3}/{bucket}/dir/k ey.jpg", content=next(iter(material.files.values()))).raise_for_status()
    project = label_studio.create_project(material.labels)
    storage = {
        "project": project,
        "bucket": bucket,
        "regex_filter": ".*jpg",
        "use_blob_urls": True,
        "presign": presign,
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
        "region_name": "us-east-1",
        "s3_endpoint": s3,
        "title": "cloud",
        "recursive_scan": True,
    }
    created = label_studio.api("POST", "/api/storages/s3", json=storage)
    label_studio.api("POST", f"/api/storages/s3/{created['id']}/sync")
    label_studio.connect(project, prelabel.url)
    label_studio.retrieve(project)
    assert boxes(one_each(label_studio.predictions(project))[0]), prelabel.status(project)


def test_personal_access_token(label_studio: LabelStudio, material: Material, start_prelabel: StartPrelabel) -> None:
    """What Label Studio 1.23 gives to its users by default."""
    token = label_studio.api("POST", "/api/token/")["token"]
    server = start_prelabel(LABEL_STUDIO_API_KEY=token)
    assert server.status()["label_studio"]["ok"]
    project = fill(label_studio, material, connect=server.url)
    label_studio.retrieve(project)
    assert all(boxes(prediction) for prediction in one_each(label_studio.predictions(project)))
    server.stop()


@pytest.mark.slow
def test_wrong_token_is_said_where_a_person_looks(
    label_studio: LabelStudio, material: Material, start_prelabel: StartPrelabel
) -> None:
    """Tasks stay unpredicted, and both the page and the failures say which setting to change."""
    server = start_prelabel(LABEL_STUDIO_API_KEY="0" * 40)
    project = fill(label_studio, material, connect=server.url)
    label_studio.retrieve(project)
    assert not any(label_studio.predictions(project).values())
    assert "LABEL_STUDIO_API_KEY" in server.status()["label_studio"]["finding"]
    assert "LABEL_STUDIO_API_KEY" in server.status(project)["failures"][0]["cause"]
    server.stop()


@pytest.mark.slow
def test_nothing_configured_but_what_setup_says(
    label_studio: LabelStudio, material: Material, start_prelabel: StartPrelabel
) -> None:
    """Address and token of ``/setup`` are enough where legacy tokens are on."""
    server = start_prelabel(LABEL_STUDIO_URL=None, LABEL_STUDIO_API_KEY=None)
    project = fill(label_studio, material, connect=server.url)
    label_studio.retrieve(project)
    assert all(boxes(prediction) for prediction in one_each(label_studio.predictions(project)))
    server.stop()


@pytest.mark.slow
def test_basic_authentication(label_studio: LabelStudio, material: Material, start_prelabel: StartPrelabel) -> None:
    """With user and password saved in Label Studio it works; without them it is not connected."""
    server = start_prelabel(BASIC_AUTH_USER="me", BASIC_AUTH_PASS="secret")
    project = fill(label_studio, material)
    refused = {"url": server.url, "project": project, "title": "Prelabel"}
    with pytest.raises(AssertionError, match="400"):
        label_studio.api("POST", "/api/ml", json=refused)
    credentials = {"auth_method": "BASIC_AUTH", "basic_auth_user": "me", "basic_auth_pass": "secret"}
    label_studio.connect(project, server.url, **credentials)
    label_studio.retrieve(project)
    assert all(boxes(prediction) for prediction in one_each(label_studio.predictions(project)))
    server.stop()


def test_interactive_mode_snaps(label_studio: LabelStudio, material: Material, prelabel: Prelabel) -> None:
    """A hasty rectangle comes back as the object's, under the drawn label; nothing is stored."""
    project = fill(label_studio, material)
    backend = label_studio.connect(project, prelabel.url, is_interactive=True)
    task = label_studio.tasks(project)[0]
    body = {"tasks": [task], "label_config": material.labels, "project": f"{project}.1"}
    (known,) = httpx.post(f"{prelabel.url}/predict", json=body, timeout=60).json()["results"]
    target = known["result"][0]
    hasty = {**target["value"], "x": target["value"]["x"] + 2, "width": target["value"]["width"] - 1}
    drawn = {**target, "id": "oTm7QDHtaf", "value": hasty, "origin": "manual"}
    answer = label_studio.api(
        "POST",
        f"/api/ml/{backend['id']}/interactive-annotating",
        json={"task": task["id"], "context": {"result": [drawn]}},
    )
    (region,) = answer["data"]["result"]
    assert region["value"] == target["value"]
    assert not any(label_studio.predictions(project).values())


def test_webhook_events_are_counted(label_studio: LabelStudio, material: Material, prelabel: Prelabel) -> None:
    """Label Studio made the webhook by itself when the backend was connected; a submitted annotation arrives."""

    def events() -> int:
        return int(prelabel.status()["events"].get("ANNOTATION_CREATED", 0))

    before = events()
    project = fill(label_studio, material, connect=prelabel.url)
    task = label_studio.tasks(project)[0]["id"]
    label_studio.api("POST", f"/api/tasks/{task}/annotations/", json={"result": [], "lead_time": 1})
    wait_until(lambda: events() == before + 1)  # it is posted beside the answer


def test_config_that_cannot_be_served_still_connects(
    label_studio: LabelStudio, material: Material, prelabel: Prelabel
) -> None:
    """Tasks can be opened and labelled by hand; the page says why no boxes come."""
    config = '<View><Image name="image" value="$image"/><BrushLabels name="b" toName="image"><Label value="Car"/></BrushLabels></View>'
    project = label_studio.create_project(config)
    label_studio.upload(project, "a.jpg", next(iter(material.files.values())))
    assert label_studio.connect(project, prelabel.url)["readable_state"] == "Connected"
    (task,) = label_studio.tasks(project)
    assert label_studio.open_task(project, task["id"])["predictions"] == []
    assert "no <RectangleLabels> control" in prelabel.status(project)["config_problem"]


@pytest.mark.slow
def test_prediction_validation_switched_on(label_studio: LabelStudio, material: Material, prelabel: Prelabel) -> None:
    """A Label Studio that checks each prediction against the config stores them all the same."""
    label_studio.start(fflag_feat_utc_210_prediction_validation_15082025="true")
    try:
        project = fill(label_studio, material, connect=prelabel.url)
        label_studio.retrieve(project)
        assert all(boxes(prediction) for prediction in one_each(label_studio.predictions(project)))
    finally:
        label_studio.start()
