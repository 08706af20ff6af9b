"""The whole loop on a real Label Studio, with the tests' own detector: predicted, corrected, reported, trained, predicted again."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from annotator import Annotator
from e2e.album import LABELS, config, correct_all, import_pictures
from e2e.servers import TOKEN, LabelStudio, Prelabel, StartPrelabel, run_prelabel
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from waiting import wait_until

from ml_backend.detections import iou
from ml_backend.feedback.evaluation.statistics import wilson

TARGET = 0.8
CONFIG = config(model_target_precision=str(TARGET))


@dataclass
class Loop:
    """A project of pictures whose predictions have been corrected.

    Attributes:
        label_studio, server: what runs.
        project: its id.
        settings: environment of the server, for commands beside it.
        annotator: knows what it did.
        tasks: name of the picture by task id.
    """

    label_studio: LabelStudio
    server: Prelabel
    project: int
    settings: dict[str, str]
    annotator: Annotator
    tasks: dict[int, str]

    def prelabel(self, *arguments: str) -> Any:
        """Run a command of Prelabel; gives what it printed."""
        return run_prelabel(self.settings, *arguments)

    def report(self) -> Any:
        """Return the report."""
        return self.prelabel("report", "--project", str(self.project), "--json")


@pytest.fixture(scope="module")
def loop(
    trained_detectors: Path,
    label_studio: LabelStudio,
    start_prelabel: StartPrelabel,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Loop]:
    """Import 80 pictures, predict them, correct them all through the API as the interface does, and wait for the events."""
    settings = {
        "PRELABEL_DATABASE_URL": f"sqlite:///{tmp_path_factory.mktemp('feedback') / 'feedback.sqlite3'}",
        "PRELABEL_CACHE_FILE": str(tmp_path_factory.mktemp("cache") / "cache.sqlite3"),
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": TOKEN,
    }
    settings |= {"PRELABEL_MODEL": str(trained_detectors / "hub")}
    server = start_prelabel(**settings)
    project = import_pictures(label_studio, CONFIG, title="Pictures")
    label_studio.connect(project, server.url)
    label_studio.retrieve(project)
    annotator = Annotator()
    names = correct_all(label_studio, project, annotator)
    done = Loop(label_studio, server, project, settings, annotator, names)
    wait_until(lambda: server.status()["learning"]["waiting"] == 0 and done.report()["annotations"] == len(names))
    yield done
    server.stop()


def test_outcomes_are_what_the_annotator_did(loop: Loop) -> None:
    """Box by box: nobody tells Prelabel what was kept, moved, renamed, deleted or added."""
    report = loop.report()
    shown, done = report["total"]["shown"], loop.annotator.done
    assert {
        "kept": done["kept"],
        "nudged": done["moved"],
        "relabeled": done["relabeled"],
        "deleted": done["deleted"],
    } == shown
    assert report["seen"]["edits"]["added"] == done["added"]
    assert report["annotations"] == report["seen"]["annotations"] == len(loop.tasks)
    assert report["seen"]["median_seconds"] > 5


@pytest.mark.slow
def test_figures_equal_those_computed_from_detections_and_annotations(loop: Loop) -> None:
    """At several thresholds, from what Label Studio has stored and what `/explain` says, by another method of matching."""
    thresholds = (0.1, 0.3, 0.5, 0.75)
    shown: Counter[tuple[str, float]] = Counter()
    right: Counter[tuple[str, float]] = Counter()
    doubtful: set[tuple[str, float]] = set()  # where a score is on the threshold: `/explain` rounds scores
    everything = config(model_score_threshold="0")
    for number in loop.tasks:
        task = loop.label_studio.api("GET", f"/api/tasks/{number}")
        body = {"task": task, "label_config": everything, "project": f"{loop.project}.1"}
        answer = httpx.post(f"{loop.server.url}/explain", json=body, timeout=60).json()
        kept = [each for each in answer["images"][0]["detections"] if each["fate"] == "kept"]
        values = [region["value"] for region in task["annotations"][0]["result"]]
        for label, threshold in product(LABELS, thresholds):
            boxes = [each["box"] for each in kept if each["label"] == label and each["score"] >= threshold]
            drawn = [
                [v["y"] / 100, v["x"] / 100, (v["y"] + v["height"]) / 100, (v["x"] + v["width"]) / 100]
                for v in values
                if v["rectanglelabels"] == [label]
            ]
            if any(each["label"] == label and abs(each["score"] - threshold) < 1e-4 for each in kept):
                doubtful.add((label, threshold))
            shown[label, threshold] += len(boxes)
            right[label, threshold] += largest_matching(boxes, drawn)
    curves = {
        (label["label"], point["threshold"]): (point["shown"], point["right"])
        for label in loop.report()["labels"]
        for point in label["curve"]
    }
    direct = {where: (shown[where], right[where]) for where in {*shown} - doubtful if shown[where]}
    assert direct == {
        where: counts for where, counts in curves.items() if where[1] in thresholds and where not in doubtful
    }
    assert sum(count for count, _ in direct.values()) > 500


def largest_matching(boxes: list[Any], drawn: list[Any]) -> int:
    """Return how many boxes can have a drawn one each, with an IoU of at least one half."""
    if not boxes or not drawn:
        return 0
    overlaps = iou(np.array(boxes, np.float32), np.array(drawn, np.float32)) >= 0.5
    return int((maximum_bipartite_matching(csr_matrix(overlaps), perm_type="column") >= 0).sum())


def test_start_training_sets_thresholds_and_runs_no_model(loop: Loop) -> None:
    """The button answers with the revision; Label Studio is told another version, asks again, and the cache answers."""
    (backend,) = loop.label_studio.api("GET", f"/api/ml?project={loop.project}")
    before = loop.label_studio.predictions(loop.project)
    runs = loop.server.status()["model_runs"]
    proposed = loop.prelabel("calibrate", "--project", str(loop.project), "--json")
    assert (proposed["revision"], proposed["applied"], proposed["anything"]) == (0, False, True)

    loop.label_studio.api("POST", f"/api/ml/{backend['id']}/train")
    assert loop.server.status(loop.project)["revision"] == 1
    (kite,) = [each for each in proposed["labels"] if each["label"] == "Kite"]
    assert kite["threshold_after"] != kite["threshold_before"] == 0.3
    assert wilson(kite["right_after"], kite["shown_after"])[0] >= TARGET
    lower = round(kite["threshold_after"] - 0.01, 2)
    points = {
        point["threshold"]: point
        for label in loop.report()["labels"]
        if label["label"] == "Kite"
        for point in label["curve"]
    }
    assert all(wilson(points[t]["right"], points[t]["shown"])[0] < TARGET for t in points if t <= lower)

    loop.label_studio.retrieve(loop.project)
    after = loop.label_studio.predictions(loop.project)
    newest = {number: max(stored, key=lambda each: int(each["id"])) for number, stored in after.items()}
    assert {len(stored) for stored in after.values()} == {2}
    (old,) = {each["model_version"] for stored in before.values() for each in stored}
    (new,) = {each["model_version"] for each in newest.values()}
    assert new != old
    kites = [
        region["score"]
        for each in newest.values()
        for region in each["result"]
        if region["value"]["rectanglelabels"] == ["Kite"]
    ]
    assert len(kites) == kite["shown_after"]
    assert min(kites) >= kite["threshold_after"]
    assert loop.server.status()["model_runs"] == runs


@pytest.mark.slow
def test_training_again_changes_nothing_and_going_back_does(loop: Loop) -> None:
    """The same corrections teach the same; `--revert` brings the first boxes back, under a version that no prediction had before."""
    url, project = loop.server.url, loop.project
    answer = httpx.post(f"{url}/webhook", json={"action": "START_TRAINING", "project": {"id": project}}, timeout=90)
    assert (answer.status_code, answer.json()["status"], answer.json()["revision"]) == (201, "unchanged", 1)
    versions = {each["model_version"] for stored in loop.label_studio.predictions(project).values() for each in stored}
    assert "reverts to the state before any" in loop.prelabel("calibrate", "--project", str(project), "--revert")
    setup = {"project": f"{project}.1", "schema": CONFIG, "hostname": loop.label_studio.url, "access_token": TOKEN}

    def told() -> str:
        return str(httpx.post(f"{url}/setup", json=setup).json()["model_version"])

    wait_until(lambda: told() not in versions)
    loop.label_studio.retrieve(project)
    for stored in loop.label_studio.predictions(project).values():
        first, _, newest = sorted(stored, key=lambda each: int(each["id"]))
        assert newest["model_version"] == told()
        assert [region["value"] for region in newest["result"]] == [region["value"] for region in first["result"]]
    versions.add(told())
    loop.prelabel("calibrate", "--project", str(project), "--apply", "--author", "Ada")
    wait_until(lambda: loop.server.status(project)["revision"] == 3)
    assert told() not in versions


@pytest.mark.slow
def test_sync_changes_nothing_after_events_and_sees_what_they_did_not_say(loop: Loop) -> None:
    """The same facts whether told or looked up; a deleted annotation, a skipped task and a deleted task leave the report."""
    before = loop.report()
    said = loop.prelabel("feedback", "sync", "--project", str(loop.project))
    assert f"{len(loop.tasks)} annotations, 0 of them new or changed" in said
    assert loop.report() == before

    deleted, skipped, gone = list(loop.tasks)[:3]
    annotations = {
        number: loop.label_studio.api("GET", f"/api/tasks/{number}/annotations")[0]["id"]
        for number in (deleted, skipped)
    }
    loop.label_studio.api("DELETE", f"/api/annotations/{annotations[deleted]}/")
    loop.label_studio.api(
        "PATCH", f"/api/annotations/{annotations[skipped]}/", json={"was_cancelled": True, "result": []}
    )
    loop.label_studio.api("DELETE", f"/api/tasks/{gone}/")
    wait_until(lambda: loop.report()["annotations"] == len(loop.tasks) - 3)
    assert loop.report()["skipped"] == 1
    page = loop.server.log.parent / "report.html"
    loop.prelabel("report", "--project", str(loop.project), "--html", str(page))
    text = page.read_text()
    crops = text.count('<figure class="crop">')
    assert crops == 24
    assert text.count("data:image/jpeg;base64,") == 12 + crops
    link = f"{loop.label_studio.url}/projects/{loop.project}/data?task="
    assert text.count(f'<a href="{link}') == 12 + crops
    assert "http://" not in text.replace("http://www.w3.org", "").replace(link, "")  # it loads nothing
