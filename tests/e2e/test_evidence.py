"""What corrections say stays true when labels are added, and when another detector takes over: on a real Label Studio."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from annotator import Annotator
from e2e.album import LABELS, config, correct_all, import_pictures
from e2e.servers import TOKEN, LabelStudio, StartPrelabel, run_prelabel
from waiting import wait_until

from ml_backend.inference.runtimes.tensorflow import tf

TARGET = 0.8

pytestmark = pytest.mark.slow

MakeSettings = Callable[..., dict[str, str]]


@pytest.fixture
def settings_of(trained_detectors: Path, label_studio: LabelStudio, tmp_path: Path) -> MakeSettings:
    """Give a function from the name of a database, and a detector, to the environment of a service."""

    def make(database: str, model: Path = trained_detectors / "hub") -> dict[str, str]:
        return {
            "PRELABEL_MODEL": str(model),
            "PRELABEL_DATABASE_URL": f"sqlite:///{tmp_path / database}.sqlite3",
            "PRELABEL_CACHE_FILE": str(tmp_path / "cache.sqlite3"),
            "LABEL_STUDIO_URL": label_studio.url,
            "LABEL_STUDIO_API_KEY": TOKEN,
        }

    return make


def test_label_that_is_added_later_neither_counts_nor_is_counted_against(
    label_studio: LabelStudio, start_prelabel: StartPrelabel, settings_of: MakeSettings
) -> None:
    """80 annotations of a project with one label, then two more labels: the figures of the first stay, the others have no data."""
    settings = settings_of("feedback")
    server = start_prelabel(**settings)
    project = import_pictures(label_studio, config("Kite"), title="Kites")
    label_studio.connect(project, server.url)
    label_studio.retrieve(project)
    annotator = Annotator()
    tasks = correct_all(label_studio, project, annotator, labels=["Kite"])

    def figures(command: str) -> Any:
        return run_prelabel(settings, command, "--project", str(project), "--json")

    wait_until(lambda: server.status()["learning"]["waiting"] == 0 and figures("report")["annotations"] == len(tasks))
    before, learned_before = figures("report"), figures("calibrate")
    label_studio.api("PATCH", f"/api/projects/{project}", json={"label_config": config()})
    wait_until(lambda: len(figures("report")["labels"]) == len(LABELS))
    run_prelabel(settings, "feedback", "sync", "--project", str(project))
    after, learned_after = figures("report"), figures("calibrate")
    server.stop()

    lines = [f"{'':10}{'tally':>8}{'before':>8}{'after':>8}"]
    for name, count in ({"kept": 0, "moved": 0, "relabeled": 0, "deleted": 0} | annotator.done).items():
        reported = [
            report["seen"]["edits"]["added"]
            if name == "added"
            else report["total"]["shown"][name.replace("moved", "nudged")]
            for report in (before, after)
        ]
        lines.append(f"{name:10}{count:8}{reported[0]:8}{reported[1]:8}")
        assert reported == [count, count]
    print("\n".join(["", "one label, then three", *lines]))  # noqa: T201 - a measure to report

    first, *others = after["labels"]
    assert first == before["labels"][0]
    assert first["curve"]
    for other in others:
        assert (sum(other["shown"].values()), sum(other["drawn"].values()), other["curve"]) == (0, 0, [])
        assert other["precision"]["value"] is None
    overrides, *unlearned = learned_after["labels"]
    earlier = learned_before["labels"][0]
    for counted in ("shown_before", "right_before", "drawn", "threshold_before"):
        assert overrides[counted] == earlier[counted]
    # More labels share the prior of those that nobody has used, which is worth a few boxes.
    assert overrides["threshold_after"] == pytest.approx(earlier["threshold_after"], abs=0.01)
    assert overrides["shown_before"] > 100
    assert [(each["shown_before"], each["drawn"]) for each in unlearned] == [(0, 0)] * len(others)
    assert {name: before[name] for name in ("total", "seen", "versions")} == {
        name: after[name] for name in ("total", "seen", "versions")
    }


def test_evidence_belongs_to_a_detector(
    trained_detectors: Path,
    label_studio: LabelStudio,
    start_prelabel: StartPrelabel,
    settings_of: MakeSettings,
    tmp_path: Path,
) -> None:
    """What one detector taught is set aside under another one, and annotations are judged again: the figures are as if it had been the only one."""
    settings = settings_of("both")
    server = start_prelabel(**settings)
    first = server.status()["learning"]["detector"]
    project = import_pictures(label_studio, config(model_target_precision=str(TARGET)), title="Two detectors")
    backend = label_studio.connect(project, server.url)
    label_studio.retrieve(project)
    tasks = correct_all(label_studio, project, Annotator())
    label_studio.api("POST", f"/api/ml/{backend['id']}/train")
    assert server.status(project)["revision"] == 1
    before = report_of(settings, project)
    taught = threshold_of(before, "Kite")
    assert taught > 0.3
    server.stop()

    unsure = settings_of("both", less_sure(trained_detectors / "savedmodel", tmp_path))
    server = start_prelabel(port=server.port, **unsure)
    learning = server.status()["learning"]
    assert first != learning["detector"]
    assert [f"project {project}" in sentence and first in sentence for sentence in learning["set_aside"]] == [True]
    progress: list[int] = [learning["outdated"]]

    def is_done() -> bool:
        progress.append(server.status()["learning"]["outdated"])
        return not progress[-1]

    wait_until(is_done, 120)
    assert progress == sorted(progress, reverse=True)
    assert 0 < progress[0] <= len(tasks)

    after = report_of(unsure, project)
    alone = settings_of("alone", Path(unsure["PRELABEL_MODEL"]))
    run_prelabel(alone, "feedback", "sync", "--project", str(project))
    only = report_of(alone, project)
    print("\n".join(table(before, after, only)))  # noqa: T201 - a measure to report
    trained = after["learning"].pop("last_training"), only["learning"].pop("last_training")
    assert [each and each["author"] for each in trained] == ["Start Training", None]
    assert after == only
    assert after["labels"] != before["labels"]
    assert threshold_of(after, "Kite") == 0.3
    both, one = (run_prelabel(each, "calibrate", "--project", str(project), "--json") for each in (unsure, alone))
    assert (both["labels"], both["classes"]) == (one["labels"], one["classes"])

    label_studio.retrieve(project)
    newest = [max(each, key=lambda one: int(one["id"])) for each in label_studio.predictions(project).values()]
    scores = [region["score"] for each in newest for region in each["result"]]
    assert 0.3 <= min(scores) < taught, "what the first detector taught is not applied"

    label_studio.api("POST", f"/api/ml/{backend['id']}/train")
    assert server.status()["learning"]["set_aside"] == []
    assert server.status(project)["revision"] == 2
    server.stop()


def less_sure(original: Path, folder: Path) -> Path:
    """Build a detector that finds the same objects as another one and squares the scores."""
    module = tf.Module()
    module.original = tf.saved_model.load(str(original))

    def detect(images: Any) -> dict[str, Any]:
        found = module.original.signatures["default"](images)
        return {**found, "detection_scores": found["detection_scores"] ** 2}

    images = tf.TensorSpec([1, None, None, 3], tf.float32, name="images")
    module.detect = tf.function(detect, input_signature=[images])
    built = folder / "less-sure-detector"
    tf.saved_model.save(module, str(built), signatures={"default": module.detect})
    return built


def report_of(settings: dict[str, str], project: int) -> Any:
    """Return the report."""
    return run_prelabel(settings, "report", "--project", str(project), "--json")


def threshold_of(report: Any, label: str) -> float:
    """Return the threshold of a label that a report rests on."""
    return next(float(each["threshold"]) for each in report["labels"] if each["label"] == label)


def table(*reports: Any) -> list[str]:
    """Return figures of reports side by side."""
    lines = ["", f"{'':24}{'with A':>10}{'A, then B':>12}{'B alone':>10}"]
    for name in ("shown", "drawn"):
        for outcome in reports[0]["total"][name]:
            a, ab, b = (report["total"][name][outcome] for report in reports)
            lines.append(f"{outcome:24}{a:10}{ab:12}{b:10}")
    for name in ("precision_now", "recall_now"):
        a, ab, b = (f"{report['seen'][name]['hits']} of {report['seen'][name]['total']}" for report in reports)
        lines.append(f"{name:24}{a:>10}{ab:>12}{b:>10}")
    return lines
