"""``prelabel bootstrap`` with a real Label Studio: what is stored there, in which order people get it, and what survives an accident."""

import io
import json
import os
import random
import threading
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from bootstrap_command import draw_pictures, run, run_apart, running
from e2e.servers import TOKEN, LabelStudio
from PIL import Image
from samples import BALLOON_CONFIG, encoded, stored_as
from tiny_classifier import CHOICES_CONFIG

from ml_backend.demo.scenes import draw_scene, encode

KILLS = int(os.environ.get("PRELABEL_TEST_KILLS", "4"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label_studio: LabelStudio, models_dir: Path) -> Path:
    """Give a folder to run in, with a label config, and the settings for Label Studio."""
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(models_dir))
    (tmp_path / "config.xml").write_text(BALLOON_CONFIG)
    return tmp_path


@pytest.fixture
def served_folder(label_studio: LabelStudio, request: pytest.FixtureRequest) -> Path:
    """Give a folder, with a space in its name, below what Label Studio serves."""
    path = label_studio.files / f"pictures of {request.node.name[:30]}"
    path.mkdir()
    return path


def let_in(label_studio: LabelStudio, project: int, folder: Path) -> None:
    """Let a project see the pictures of a folder, without making tasks of them."""
    storage = {"project": project, "path": str(folder), "use_blob_urls": True, "title": "pictures"}
    label_studio.api("POST", "/api/storages/localfiles", json=storage)


def into_project(source: Path, folder: Path, to: str = "project:new", *more: str) -> tuple[int, list[dict[str, Any]]]:
    """Bootstrap a served folder into a project; gives the project and what was told."""
    prefix = f"/data/local-files/?d={source.name.replace(' ', '%20')}/"
    status, told, complaint = run(
        str(source),
        "--config",
        "config.xml",
        "--to",
        to,
        "--image-prefix",
        prefix,
        "--title",
        folder.name,
        *more,
        folder=folder,
    )
    assert (status, complaint) == (0, ""), told
    wrote = next(each["text"] for each in told if each["event"] == "wrote" and "in project" in each["text"])
    return int(wrote.partition("in project ")[2].split()[0]), told


def sending(source: Path, folder: Path) -> tuple[str, ...]:
    """Return what makes a project of a folder; ``tasks.json`` is written before anything is sent."""
    return (str(source), "--config", "config.xml", "--to", "tasks.json", "--to", "project:new", "--title", folder.name)


def annotate(label_studio: LabelStudio, task: int, result: list[dict[str, Any]] | None = None) -> None:
    """Submit an annotation."""
    label_studio.api("POST", f"/api/tasks/{task}/annotations/", json={"result": result or []})


def stored_ids(label_studio: LabelStudio, project: int) -> dict[int, list[int]]:
    """Return the ids of the stored predictions by task."""
    return {task: [each["id"] for each in stored] for task, stored in label_studio.predictions(project).items()}


def versions(label_studio: LabelStudio, project: int) -> dict[int, list[str]]:
    """Return the versions of the stored predictions by task."""
    stored = label_studio.predictions(project)
    return {task: sorted(each["model_version"] for each in predictions) for task, predictions in stored.items()}


def test_folder_becomes_a_project(label_studio: LabelStudio, folder: Path, served_folder: Path) -> None:
    """Each picture a task that Label Studio can show, with one prediction, the cluster too; the same command again changes nothing."""
    draw_pictures(served_folder, 12, duplicates=3)
    project, _ = into_project(served_folder, folder, "project:new", "--to", "tasks.json")
    let_in(label_studio, project, served_folder)
    stored = label_studio.predictions(project)
    tasks = json.loads((folder / "tasks.json").read_text())
    assert [len(predictions) for predictions in stored.values()] == [1] * 15
    for task, expected, (prediction,) in zip(label_studio.tasks(project), tasks, stored.values(), strict=True):
        assert task["data"] == expected["data"]
        (wanted,) = expected["predictions"]
        assert {key: prediction[key] for key in ("result", "model_version", "cluster")} == {
            key: wanted[key] for key in ("result", "model_version", "cluster")
        }
        assert prediction["score"] == pytest.approx(wanted["score"])
    shown = httpx.get(label_studio.url + tasks[0]["data"]["image"], headers={"Authorization": f"Token {TOKEN}"})
    assert shown.content == (served_folder / "picture-00000.png").read_bytes()
    described = label_studio.api("GET", f"/api/projects/{project}")
    assert (described["sampling"], described["model_version"]) == ("Uncertainty sampling", prediction["model_version"])
    assert into_project(served_folder, folder, "project:new", "--to", "tasks.json")[0] == project
    assert stored_ids(label_studio, project) == {task: [each["id"]] for task, (each,) in stored.items()}


CHOICES_OF_ALL_KINDS = (
    '<View><Image name="image" value="$image"/>'
    '<RectangleLabels name="label" toName="image"><Label value="Balloon"/><Label value="Kite"/></RectangleLabels>'
    '<Choices name="what" toName="image" model_source="classifier"><Choice value="Balloon"/><Choice value="Umbrella"/></Choices>'
    '<Choices name="more" toName="image" model_source="classifier" choice="multiple"><Choice value="Vehicle"/><Choice value="Umbrella"/></Choices>'
    '<Taxonomy name="tree" toName="image" model_source="classifier"><Choice value="Vehicle"><Choice value="Balloon"/></Choice></Taxonomy>'
    "</View>"
)


@pytest.mark.parametrize("duplicates", [0, 2], ids=["imported in bulk", "posted one by one"])
def test_choices_are_stored(
    label_studio: LabelStudio, folder: Path, served_folder: Path, tiny_classifier: Path, duplicates: int
) -> None:
    """Boxes, choices and paths through a tree are stored as they were written, and the project's own config is enough to renew them."""
    draw_pictures(served_folder, 4, duplicates=duplicates)
    (folder / "config.xml").write_text(CHOICES_OF_ALL_KINDS)
    options = ("project:new", "--to", "tasks.json", "--classifier", str(tiny_classifier))
    project, _ = into_project(served_folder, folder, *options)
    let_in(label_studio, project, served_folder)
    written = [task["predictions"][0] for task in json.loads((folder / "tasks.json").read_text())]
    stored = [prediction for (prediction,) in label_studio.predictions(project).values()]
    keys = ("result", "model_version")
    assert [{key: each[key] for key in keys} for each in stored] == [
        {key: each[key] for key in keys} for each in written
    ]
    types = {region["type"] for each in stored for region in each["result"]}
    assert types == {"rectanglelabels", "choices", "taxonomy"}

    for predictions in label_studio.predictions(project).values():
        label_studio.api("DELETE", f"/api/predictions/{predictions[0]['id']}/")
    status, _, complaint = run("--project", str(project), "--classifier", str(tiny_classifier), folder=folder)
    assert (status, complaint) == (0, "")
    again = [prediction for (prediction,) in label_studio.predictions(project).values()]
    assert [[region["value"] for region in each["result"]] for each in again] == [
        [region["value"] for region in each["result"]] for each in written
    ]
    assert {each["model_version"] for each in again} == {each["model_version"] for each in written}


def test_accepted_choices(label_studio: LabelStudio, folder: Path, served_folder: Path, tiny_classifier: Path) -> None:
    """A project of choices alone, without a detector: accepted predictions are exported with the choices that were written."""
    draw_pictures(served_folder, 3)
    (folder / "config.xml").write_text(CHOICES_CONFIG)
    prefix = f"/data/local-files/?d={served_folder.name.replace(' ', '%20')}/"
    options = (
        "--config",
        "config.xml",
        "--to",
        "project:new",
        "--to",
        "tasks.json",
        "--image-prefix",
        prefix,
        "--title",
        folder.name,
    )
    settings = {"PRELABEL_MODEL": "", "PRELABEL_CLASSIFIER": str(tiny_classifier)}
    status, told, complaint = run(str(served_folder), *options, folder=folder, **settings)
    assert (status, complaint) == (0, ""), told
    wrote = next(each["text"] for each in told if "in project" in each.get("text", ""))
    project = int(wrote.partition("in project ")[2].split()[0])
    path = f"/api/dm/actions?id=predictions_to_annotations&project={project}"
    label_studio.api("POST", path, json={"selectedItems": {"all": True, "excluded": []}})
    answer = label_studio.api("GET", f"/api/projects/{project}/export?exportType=JSON_MIN&download_all_tasks=true")
    exported = {each["image"]: each["what"] for each in answer}
    tasks = json.loads((folder / "tasks.json").read_text())
    expected = {task["data"]["image"]: task["predictions"][0]["result"][0]["value"]["choices"][0] for task in tasks}
    assert exported == expected == dict.fromkeys(expected, "Balloon")


def test_tasks_json_can_be_imported(label_studio: LabelStudio, folder: Path, served_folder: Path) -> None:
    """As it is. Of the prediction, Label Studio 1.23.2 drops the cluster and nothing else."""
    draw_pictures(served_folder, 3)
    assert run(str(served_folder), "--config", "config.xml", "--to", "tasks.json", folder=folder)[0] == 0
    project = label_studio.create_project(BALLOON_CONFIG)
    tasks = json.loads((folder / "tasks.json").read_text())
    label_studio.import_tasks(project, tasks)
    for task, (stored,) in zip(tasks, label_studio.predictions(project).values(), strict=True):
        (wanted,) = task["predictions"]
        assert stored["result"] == wanted["result"]
        assert (stored["cluster"], wanted["cluster"] > 0) == (None, True)


def frame(seed: int, number: int = 0) -> bytes:
    """Return a frame of a camera that hardly moves in front of one scene."""
    pixels = np.asarray(draw_scene(seed)[0]).astype(int)
    noise = np.random.default_rng(number).normal(0, 4, pixels.shape)
    return encoded(
        Image.fromarray(np.clip(np.roll(pixels, number % 3, axis=1) + noise, 0, 255).astype(np.uint8)), "JPEG"
    )


def test_the_queue(label_studio: LabelStudio, folder: Path, served_folder: Path) -> None:
    """Doubtful pictures come first, and one of a series of equal frames is enough until all else has been seen."""
    for number in range(8):
        (served_folder / f"frame-{number}.jpg").write_bytes(frame(4, number))
    for seed in (11, 12, 30, 31, 32, 33):
        (served_folder / f"single-{seed}.jpg").write_bytes(frame(seed))
    project, _ = into_project(served_folder, folder)
    stored = label_studio.predictions(project)
    names = {task["id"]: task["data"]["image"].rpartition("/")[2] for task in label_studio.tasks(project)}
    by_name = {names[task]: prediction for task, (prediction,) in stored.items()}
    assert len({by_name[f"frame-{number}.jpg"]["cluster"] for number in range(8)}) == 1
    assert len({prediction["cluster"] for prediction in by_name.values()}) == 7
    served = []
    for _ in range(9):
        task = label_studio.api("POST", f"/api/dm/actions?id=next_task&project={project}", json={})["id"]
        served.append(names[task])
        annotate(label_studio, task)
    assert sum(name.startswith("frame") for name in served[:7]) == 1, served
    best = min((name for name in by_name), key=lambda name: by_name[name]["score"])
    assert served[0] == best
    singles = [name for name in served[:7] if name.startswith("single")]
    assert singles == sorted(singles, key=lambda name: by_name[name]["score"])


def test_existing_tasks(label_studio: LabelStudio, folder: Path, served_folder: Path) -> None:
    """Annotations never change, predictions of other models stay, and older ones of Prelabel are replaced only on request."""
    draw_pictures(served_folder, 4)
    project, _ = into_project(served_folder, folder)
    let_in(label_studio, project, served_folder)
    first, second, third, fourth = sorted(versions(label_studio, project))
    ((ours,),) = {tuple(each) for each in versions(label_studio, project).values()}
    older = "demo-shapes@00000000.000000"
    for task, prediction in label_studio.predictions(project).items():
        label_studio.api("DELETE", f"/api/predictions/{prediction[0]['id']}/")
        for version in {first: [], second: ["other-model"], third: [older, "other-model"], fourth: []}[task]:
            label_studio.api("POST", "/api/predictions", json={"task": task, "result": [], "model_version": version})
    annotate(label_studio, fourth)

    status, told, complaint = run("--project", str(project), folder=folder)
    assert complaint == ""
    assert (status, next(each for each in told if each["event"] == "surveyed")["left"]) == (0, 2)
    assert "annotations never change" in told[0]["text"]
    assert versions(label_studio, project) == {
        first: [ours],
        second: [ours, "other-model"],
        third: [older, "other-model"],
        fourth: [],
    }
    status, _, _ = run("--project", str(project), "--refresh-stale", folder=folder)
    assert versions(label_studio, project)[third] == [ours, "other-model"]
    status, _, _ = run("--project", str(project), "--include-annotated", folder=folder)
    assert versions(label_studio, project)[fourth] == [ours]
    assert len(label_studio.open_task(project, fourth)["annotations"]) == 1
    before = stored_ids(label_studio, project)
    status, told, _ = run("--project", str(project), "--include-annotated", "--refresh-stale", folder=folder)
    assert (status, told[-1]["items"]) == (0, 0)
    assert stored_ids(label_studio, project) == before


@pytest.mark.slow
@pytest.mark.parametrize("duplicates", [0, 5], ids=["imported in bulk", "posted one by one"])
def test_killed_while_it_sends(label_studio: LabelStudio, folder: Path, served_folder: Path, duplicates: int) -> None:
    """Again and again, at random moments: in the end each picture is one task with one prediction."""
    draw_pictures(served_folder, 250, duplicates=duplicates)
    arguments = sending(served_folder, folder)
    choose = random.Random(3)  # noqa: S311 - decides when to kill
    with running(*arguments, folder=folder) as command:
        command.wait_for("wrote")
    for _ in range(KILLS):
        with running(*arguments, folder=folder) as command:
            command.wait_for("wrote")
            time.sleep(choose.uniform(0, 0.9))
    status, _, complaint = run(*arguments, folder=folder)
    assert (status, complaint) == (0, "")
    (project,) = [
        each["id"]
        for each in label_studio.api("GET", "/api/projects?page_size=1000")["results"]
        if each["title"] == folder.name
    ]
    images = Counter(task["data"]["image"] for task in label_studio.tasks(project))
    assert (len(images), set(images.values())) == (250 + duplicates, {1})
    assert {len(each) for each in versions(label_studio, project).values()} == {1}


@pytest.mark.slow
def test_label_studio_restarts_in_the_middle(label_studio: LabelStudio, folder: Path, served_folder: Path) -> None:
    """The job waits for it, and goes on where it was."""
    draw_pictures(served_folder, 300, duplicates=100)

    def restart() -> None:
        time.sleep(1.0)
        label_studio.stop()
        time.sleep(3)
        label_studio.start()

    arguments = sending(served_folder, folder)
    with running(*arguments, folder=folder) as command:
        assert command.wait_for("wrote")
        accident = threading.Thread(target=restart)
        accident.start()
        status, told, complaint = command.end()
        accident.join()
    assert (status, complaint) == (0, ""), told
    project = int(
        next(e["text"] for e in told if "in project" in e.get("text", "")).partition("in project ")[2].split()[0]
    )
    assert {len(each) for each in versions(label_studio, project).values()} == {1}
    assert len(label_studio.predictions(project)) == 400


@pytest.mark.slow
def test_token_that_is_revoked_in_the_middle(label_studio: LabelStudio, folder: Path, served_folder: Path) -> None:
    """It says which setting to change and keeps what is done; with another token the same command goes on."""
    draw_pictures(served_folder, 300, duplicates=100)
    token = label_studio.api("POST", "/api/token/")["token"]
    arguments = sending(served_folder, folder)
    with running(*arguments, folder=folder, LABEL_STUDIO_API_KEY=token) as command:
        assert command.wait_for("wrote")
        time.sleep(1.0)
        label_studio.api("POST", "/api/token/blacklist/", json={"refresh": token})
        status, _, complaint = command.end()
    if status == 2:  # an access token that was had before is good for five minutes
        assert "LABEL_STUDIO_API_KEY" in complaint
        assert "Traceback" not in complaint
    with running(*arguments, folder=folder, LABEL_STUDIO_API_KEY=token) as command:
        status, _, complaint = command.end()
    assert status == 2
    assert "LABEL_STUDIO_API_KEY" in complaint
    status, _, complaint = run(*arguments, folder=folder)
    assert (status, complaint) == (0, "")


@pytest.mark.parametrize(
    "option", [("--project", "99999"), ("--to", "project:99999", ".")], ids=["source", "destination"]
)
def test_project_that_does_not_exist(folder: Path, option: tuple[str, ...]) -> None:
    """Is told in a sentence, before anything is computed."""
    (folder / "a.png").write_bytes(encoded(Image.new("RGB", (64, 48))))
    status, told, complaint = run(*option, folder=folder)
    assert (status, told) == (2, [])
    assert "no such thing as project 99999" in complaint


def test_round_trip(label_studio: LabelStudio, folder: Path, served_folder: Path) -> None:
    """Label Studio's COCO and YOLO exports of the accepted predictions have the boxes of our own files, within a pixel, EXIF-rotated ones too."""
    for seed in (4, 11, 12):
        (served_folder / f"scene-{seed}.jpg").write_bytes(encode(draw_scene(seed)[0]))
    upright = draw_scene(30)[0]
    for orientation in (3, 6, 8):
        (served_folder / f"turned-{orientation}.jpg").write_bytes(stored_as(orientation, upright, "JPEG", quality=92))
    project, _ = into_project(served_folder, folder, "project:new", "--to", "coco:ours.json", "--to", "yolo:ours")
    let_in(label_studio, project, served_folder)
    path = f"/api/dm/actions?id=predictions_to_annotations&project={project}"
    label_studio.api("POST", path, json={"selectedItems": {"all": True, "excluded": []}})

    coco = json.loads(export(label_studio, project, "COCO").read("result.json"))
    ours_in_coco, theirs_in_coco = coco_boxes(json.loads((folder / "ours.json").read_text())), coco_boxes(coco)
    assert ours_in_coco.keys() == theirs_in_coco.keys()
    for where, box in ours_in_coco.items():
        assert box == pytest.approx(theirs_in_coco[where], abs=1), where
    yolo = export(label_studio, project, "YOLO")
    names = yolo.read("classes.txt").decode().split()
    theirs = {
        Path(name).name.partition("__")[2] or Path(name).name: lines_of(yolo.read(name).decode(), names)
        for name in yolo.namelist()
        if name.startswith("labels/") and name.endswith(".txt")
    }
    ours = {
        path.name: lines_of(path.read_text(), (folder / "ours" / "classes.txt").read_text().split())
        for path in (folder / "ours" / "labels").iterdir()
    }
    assert ours.keys() == theirs.keys()
    for name, lines in ours.items():
        assert [label for label, _ in lines] == [label for label, _ in theirs[name]]
        for (_, one), (_, other) in zip(lines, theirs[name], strict=True):
            assert one == pytest.approx(other, abs=1 / 960)


@pytest.mark.slow
def test_cloud_prefix(folder: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed and read with this machine's own keys; tasks hold the objects' URIs. What is not there is said in a sentence."""
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    httpx.put(f"{s3}/pictures").raise_for_status()
    names = ["dir/a.jpg", "dir/deep/k ey.jpg", "dir/deep/ü#.jpg", "elsewhere.jpg", "dir/notes.txt"]
    for number, name in enumerate(names):
        httpx.put(f"{s3}/pictures/{quote(name)}", content=frame(11, number)).raise_for_status()
    options = ("--config", "config.xml", "--to", "tasks.json", "--to", "yolo:out", "--to", "preview:sheets")
    status, _, complaint = run_apart("s3://pictures/dir", *options, folder=folder)
    assert (status, complaint) == (0, "")
    tasks = json.loads((folder / "tasks.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [f"s3://pictures/{name}" for name in names[:3]]
    assert all(task["predictions"][0]["result"] for task in tasks)
    assert sorted(path.name for path in (folder / "out" / "labels").iterdir()) == ["a.txt", "k ey.txt", "ü#.txt"]
    status, _, complaint = run_apart("s3://nobodys/dir", "--to", "other.json", folder=folder)
    assert status == 2
    assert "s3://nobodys/dir" in complaint
    assert "Traceback" not in complaint


def export(label_studio: LabelStudio, project: int, kind: str) -> zipfile.ZipFile:
    """Return an export of a project."""
    answer = httpx.get(
        f"{label_studio.url}/api/projects/{project}/export?exportType={kind}&download_all_tasks=true",
        headers={"Authorization": f"Token {TOKEN}"},
        timeout=120,
    )
    return zipfile.ZipFile(io.BytesIO(answer.raise_for_status().content))


def coco_boxes(coco: dict[str, Any]) -> dict[tuple[str, str, int], list[float]]:
    """Return the boxes by picture, label and place, in pixels."""
    files = {each["id"]: Path(each["file_name"]).name for each in coco["images"]}
    labels = {each["id"]: each["name"] for each in coco["categories"]}
    found: dict[tuple[str, str, int], list[float]] = {}
    for each in coco["annotations"]:
        name = files[each["image_id"]].partition("__")[2] or files[each["image_id"]]
        label = labels[each["category_id"]]
        found[name, label, sum(key[:2] == (name, label) for key in found)] = each["bbox"]
    return found


def lines_of(text: str, names: list[str]) -> list[tuple[str, list[float]]]:
    """Return label and numbers of each line, in an order of their own."""
    rows = [line.split() for line in text.splitlines()]
    return sorted((names[int(row[0])], [float(number) for number in row[1:]]) for row in rows)
