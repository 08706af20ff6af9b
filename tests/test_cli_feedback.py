"""``prelabel report``, ``calibrate`` and ``feedback sync`` on corrections that are there already."""

import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from corrections import (
    AWAY,
    BOX,
    DRAWABLE,
    MIXED_CONFIG,
    MOVED,
    PEOPLE_CONFIG,
    SCENE_CONFIG,
    annotation,
    box,
    chosen,
    classified,
    seen,
)
from ports import free_port
from samples import BALLOON_CONFIG, detections_of
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

from ml_backend.cli import common
from ml_backend.cli.common import app
from ml_backend.feedback.evaluation.outcomes import DRAWN_OUTCOMES, SHOWN_OUTCOMES
from ml_backend.feedback.store.annotation_records import Annotation, put_annotation
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.detectors import CurrentDetector, put_detector
from ml_backend.feedback.store.projects import Project, put_project
from ml_backend.feedback.store.revisions import Revision, history
from ml_backend.feedback.store.trainings import Training, put_training
from ml_backend.postprocessing.overrides import LabelOverrides
from ml_backend.settings import load_settings

Run = Callable[..., Result]
KITE = ("label", "Kite")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Give a function that runs a command on a database of its own, in this process, in a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRELABEL_DATABASE_URL", f"sqlite:///{tmp_path / 'feedback.sqlite3'}")
    monkeypatch.setattr("ml_backend.cli.feedback.out.width", 200)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def keep(*annotations: Annotation, xml: str = BALLOON_CONFIG) -> None:
    """Keep annotations of project 3 in the database of the settings."""
    with closing(Database(load_settings().database_address)) as database, database.writing() as connection:
        put_project(connection, Project(3, "Kites", xml))
        for each in annotations:
            put_annotation(connection, each)


def revisions(project: int = 3) -> list[Revision]:
    """Return what was applied."""
    with closing(Database(load_settings().database_address)) as database, database.reading() as connection:
        return history(connection, project)


def kites(right: int, wrong: int) -> list[Annotation]:
    """Return annotations of a Kite of 0.6 each that is right, then of 0.5 each that is wrong; people saw them all."""
    scores = [0.6] * right + [0.5] * wrong
    return [
        annotation(
            *([box("Kite")] if number <= right else []),
            number=number,
            shown=(box("Kite"),),
            version="demo@1.2",
            images=seen(detections_of(("Kite", score, BOX))),
        )
        for number, score in enumerate(scores, 1)
    ]


def one_sentence(result: Result, status: int = 2) -> str:
    """Return the one line that a failed command wrote to standard error."""
    assert result.exit_code == status
    (line,) = result.stderr.strip().splitlines()
    assert "Traceback" not in result.stderr
    return str(line)


def answered(result: Result) -> dict[str, Any]:
    """Return what a command printed as JSON, and nothing else."""
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert isinstance(values, dict)
    return values


def rows_of(result: Result) -> dict[str, list[str]]:
    """Return the rows of the tables that a command printed, by their first cell."""
    cells = (re.split(r" {2,}", line.strip()) for line in result.stdout.splitlines() if line.startswith(" "))
    return {first: rest for first, *rest in cells}


def plain(page: Path) -> str:
    """Return the source of a page in one line, without attributes of cells and marks of direction."""
    return " ".join(re.sub(r"</?bdi>|(?<=<th) [^>]*", "", page.read_text().replace("&nbsp;", " ")).split())


def test_tables_fit_into_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No head and no figure is cut off, whatever the length of labels and versions."""
    monkeypatch.setattr(common.out, "width", 80)
    long = "a label of many words " * 5
    many = [
        annotation(box("Kite"), number=n, shown=(box("Kite"),) * 1, version="v" * 90) for n in range(10_000, 10_040)
    ]
    keep(*kites(40, 40), *many, xml=BALLOON_CONFIG.replace('"Box"', f'"{long}"'))
    for command in ("report", "calibrate"):
        printed = run(command, "--project", 3).stdout
        assert max(map(len, printed.splitlines())) <= 80
        assert "…" not in printed
        assert [head for head in HEADS[command] if head not in printed] == []


HEADS = {
    "report": (*SHOWN_OUTCOMES, *DRAWN_OUTCOMES, "Shown", "Drawn", "right", "Model version"),
    "calibrate": ("Label", "Threshold", "Shown", "Right", "Wrong spared", "Right lost"),
}


@pytest.mark.parametrize(
    ("address", "link"), [("http://studio:8080", "http://studio:8080/projects/3/data?task=1"), ("", "")]
)
def test_report_leads_to_the_tasks(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, link: str
) -> None:
    """Those with the most edits, if the address of Label Studio is known."""
    monkeypatch.setenv("LABEL_STUDIO_URL", address)
    keep(annotation(box("Balloon"), shown=(box("Kite"),), images=seen(detections_of(("Kite", 0.6, BOX)))))
    result = run("report", "--project", 3, "--html", "page.html")
    assert f"most edits: task 1 (1 relabeled) {link}".strip() in result.stdout
    assert ('<a href="' + link in (tmp_path / "page.html").read_text()) == bool(address)
    assert answered(run("report", "--project", 3, "--json"))["worst"][0]["url"] == link


def test_predictions_accepted_in_bulk_are_told_apart(run: Run) -> None:
    """On a line of their own; neither figures nor learning know of them."""
    accepted = [
        annotation(box("Kite"), number=number, shown=(box("Kite"),), accepted=True, images=seen(FOUND))
        for number in range(1, 81)
    ]
    keep(*accepted)
    values = answered(run("report", "--project", 3, "--json"))
    assert values["accepted"] == {"annotations": 80, "boxes": 80}
    assert (values["annotations"], values["total"]["precision"]["total"]) == (0, 0)
    assert values["seen"]["annotations"] == values["unseen"]["annotations"] == 0
    said = " ".join(run("report", "--project", 3).stdout.split())
    assert "80 predictions (80 boxes) were turned into annotations in bulk, without being seen" in said
    proposal = answered(run("calibrate", "--project", 3, "--json", "--target-precision", "0.5"))
    assert (proposal["annotations"], proposal["anything"]) == (0, False)


def test_annotators_have_a_row_each(run: Run) -> None:
    """By their ids where there is no token; numbered where asked, and then without ids."""
    keep(*(replace(each, annotator=11 + each.id % 2) for each in kites(3, 2)))
    for options, names in (([], ["annotator 12", "annotator 11"]), (["--anonymous"], ["annotator 1", "annotator 2"])):
        rows = rows_of(run("report", "--project", 3, *options))
        assert [rows[name] for name in names] == [["-", "-", "0", "-"]] * 2
        values = answered(run("report", "--project", 3, "--json", *options))["annotators"]
        assert [(each["name"], each["annotations"]) for each in values] == list(zip(names, (3, 2), strict=True))
        assert {each["annotator"] for each in values} == ({None} if options else {11, 12})


def test_annotators_have_ids_where_label_studio_does_not_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report comes all the same, with a sentence."""
    keep(*kites(2, 0))
    monkeypatch.setenv("LABEL_STUDIO_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "a" * 40)
    result = run("report", "--project", 3)
    assert rows_of(result)["annotator 1"] == ["-", "-", "0", "-"]
    assert "annotators are shown by their ids: Label Studio at http://127.0.0.1" in " ".join(result.stderr.split())


FOUND = detections_of(("Kite", 0.6, BOX))


def test_label_that_is_added_later_has_no_data(run: Run) -> None:
    """Figures of the old label stay as they were, in the report and for learning."""
    found = detections_of(("Kite", 0.6, BOX), ("Balloon", 0.9, AWAY))
    then = {"drawable": {"label": ("Kite",)}, "images": seen(found), "shown": (box("Kite"),)}
    made = [annotation(box("Kite"), number=number, **then) for number in range(1, 81)]
    figures = []
    for config in (BALLOON_CONFIG.replace('<Label value="Balloon"/>', ""), BALLOON_CONFIG):
        keep(*made, xml=config)
        values = answered(run("report", "--project", 3, "--json"))
        overrides = answered(run("calibrate", "--project", 3, "--json", "--target-precision", "0.9"))
        figures.append(
            (
                {each["label"]: each for each in values["labels"]},
                {each["label"]: each for each in overrides["labels"]},
                values["total"],
            )
        )
    (report, proposed, total), (report_now, proposed_now, total_now) = figures
    assert total_now == total
    assert report_now["Kite"] == report["Kite"]
    assert proposed_now["Kite"] == proposed["Kite"]
    assert report_now["Balloon"]["curve"] == []
    assert (proposed_now["Balloon"]["shown_before"], proposed_now["Balloon"]["reason"]) == (
        0,
        "0 boxes could be judged, 30 are needed",
    )


def test_annotation_whose_control_is_gone_is_left_out(run: Run) -> None:
    """With the reason, rather than with all detections wrong."""
    keep(annotation(box("Kite"), drawable={"before": ("Kite",)}, images=seen(FOUND)))
    values = answered(run("report", "--project", 3, "--json"))
    assert values["not_judged"] == {"the label config does not have their images, control or labels any more": 1}
    assert values["unseen"]["precision_now"]["total"] == 0


def test_annotations_of_another_detector_wait(run: Run) -> None:
    """Annotations are left out until they are processed again, and the revision is set aside."""
    keep(*kites(40, 40))
    assert "in force" in run("calibrate", "--project", 3, "--target-precision", "0.8", "--apply").stdout
    with closing(Database(load_settings().database_address)) as database, database.writing() as connection:
        put_detector(connection, CurrentDetector("0123abcd", "another"))
    values = answered(run("report", "--project", 3, "--json"))
    assert values["not_judged"] == {"they wait for detections of the current detector": 80}
    assert answered(run("calibrate", "--project", 3, "--json"))["annotations"] == 0


def test_report_counts_by_label_and_version(run: Run) -> None:
    """In tables, with what the figures rest on."""
    keep(*kites(3, 1), annotation(number=90, skipped=True))
    result = run("report", "--project", 3)
    assert result.exit_code == 0, result.stderr
    rows = rows_of(result)
    assert rows["Kite (small)"] == rows["All (small)"] == ["4", "3", "0", "0", "1", "75 % (30-95)"]
    assert rows["demo@1.2 (small)"] == ["4", "75 % (30-95)", "3", "100 % (44-100)"]
    assert rows["Kite"] == rows["All"] == ["3", "3", "0", "0", "0", "100 % (44-100)"]
    assert rows["Balloon (small)"][-1] == rows["Balloon"][-1] == "-"
    assert "0.2 edits per image, 4 annotations, 1 skipped" in result.stdout
    assert "No picture was audited" in result.stdout


def test_report_as_json(run: Run) -> None:
    """The same figures, for scripts."""
    keep(*kites(3, 1))
    values = answered(run("report", "--project", 3, "--json"))
    assert (values["project"], values["waiting"], values["annotations"]) == (3, 0, 4)
    assert values["total"]["shown"] == {"kept": 3, "nudged": 0, "relabeled": 0, "deleted": 1}


def test_report_writes_a_page(run: Run, tmp_path: Path) -> None:
    """Pictures that cannot be had are left out of it, and brackets are text."""
    keep(annotation(box("[/x]", MOVED), shown=(box("Kite"),), images=seen(detections_of(("Kite", 0.6, AWAY)))))
    result = run("report", "--project", 3, "--html", "page.html")
    assert result.exit_code == 0, result.stderr
    assert "the page is page.html" in result.stderr
    assert "[/x]" in result.stdout
    assert "[/x]" in (tmp_path / "page.html").read_text()


def test_report_says_what_is_left_out(run: Run) -> None:
    """Annotations that are left out, and tasks that count twice."""
    keep(
        annotation(number=1, problem="task 1: the picture is gone"),
        *kites(0, 0),
        *(annotation(number=n, task=7) for n in (2, 3)),
    )
    result = run("report", "--project", 3)
    assert "1 annotations are left out: the picture is gone" in result.stderr
    assert "1 tasks have more than one annotation" in result.stdout


def test_report_on_choices(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """By control and by choice, within 80 columns; a project of choices only has no word of boxes."""
    monkeypatch.setattr(common.out, "width", 80)
    keep(*(classified("Dog", "Cat" if n > 30 else "Dog", n) for n in range(1, 41)), xml=SCENE_CONFIG)
    printed = run("report", "--project", 3).stdout
    assert max(map(len, printed.splitlines())) <= 80
    assert "75 % (60-86)" in printed
    assert "most changes: Dog -> Cat 10" in printed
    assert "box" not in printed
    rows = rows_of(run("report", "--project", 3))
    assert rows["scene"] == ["40", "30", "10", "0", "0", "0", "75 % (60-86)"]
    assert rows["Cat"] == ["0", "-", "10", "0 % (0-28)"]


def test_choices_change_no_figure_of_boxes(run: Run) -> None:
    """The same boxes, with and without choices beside them."""
    found: dict[str, Any] = {"shown": (box("Kite"),), "images": seen(FOUND)}
    facts = [annotation(box("Kite", MOVED), **found), annotation(number=2, **found)]
    keep(*facts)
    boxes = answered(run("report", "--project", 3, "--json"))
    dog: dict[str, Any] = {
        "drawable": DRAWABLE | {"scene": ()},
        "choices": (chosen("Dog"),),
        "shown_choices": (chosen("Dog"),),
    }
    keep(*(replace(each, **dog) for each in facts), xml=MIXED_CONFIG)
    both = answered(run("report", "--project", 3, "--json"))
    assert boxes["choices"] == []
    assert [each["accuracy"]["hits"] for each in both["choices"]] == [2]
    assert both | {"choices": [], "basis": ""} == boxes | {"basis": ""}
    assert "boxes and choices" in both["basis"]


def test_calibration_of_choices_is_answered_in_a_sentence(run: Run) -> None:
    """Their thresholds are those of the label config."""
    keep(*(classified("Dog", "Cat", n) for n in range(1, 41)), xml=SCENE_CONFIG)
    for options in ([], ["--apply"]):
        printed = " ".join(run("calibrate", "--project", 3, *options).stdout.split())
        assert "thresholds of choices are not learned: model_score_threshold in the label config sets them" in printed
        assert printed.endswith("nothing would change")
    assert answered(run("calibrate", "--project", 3, "--json"))["anything"] is False
    assert revisions() == []


def test_calibrate_shows_and_changes_nothing(run: Run) -> None:
    """Without --apply; a second time it says the same."""
    keep(*kites(40, 40))
    results = [run("calibrate", "--project", 3, "--target-precision", "0.8") for _ in range(2)]
    assert [each.exit_code for each in results] == [0, 0]
    assert results[0].stdout == results[1].stdout
    assert rows_of(results[0])["Kite"][:2] == ["0.30", "80"]
    assert rows_of(results[0])["would be"][:2] == ["0.51", "40"]
    assert "0 boxes could be judged, 30 are needed" in results[0].stdout
    assert "nothing is changed yet: --apply applies these changes" in results[0].stdout
    assert revisions() == []


def test_calibrate_as_json(run: Run) -> None:
    """Proposal and evidence; with --apply, the revision that it became."""
    keep(*kites(40, 40))
    asked = ("calibrate", "--project", 3, "--target-precision", "0.8", "--json")
    proposed = answered(run(*asked))
    assert (proposed["revision"], proposed["applied"], proposed["anything"]) == (0, False, True)
    assert proposed["learned"] == {"thresholds": [["label", "Kite", 0.51]], "classes": [], "branches": []}
    (kite,) = (each for each in proposed["labels"] if each["label"] == "Kite")
    assert (kite["shown_before"], kite["shown_after"], kite["right_after"]) == (80, 40, 40)
    applied = answered(run(*asked, "--apply"))
    assert (applied["revision"], applied["applied"]) == (1, True)
    now = {"labels": 0, "effort": 0}  # they compare with what is in force
    assert answered(run(*asked)) | now == applied | {"applied": False, "anything": False} | now


def test_calibrate_applies_and_goes_back(run: Run) -> None:
    """Each is a revision with author and evidence; a calibration without changes is none."""
    keep(*kites(40, 40))
    asked = ("calibrate", "--project", 3, "--target-precision", "0.8")
    assert "in force: revision 1 of project 3" in run(*asked, "--apply", "--author", "ann").stdout
    assert "nothing would change; revision 1 stays in force" in run(*asked, "--apply").stdout
    (first,) = revisions()
    assert (first.author, first.overrides, first.evidence["annotations"]) == (
        "ann",
        LabelOverrides.of({KITE: 0.51}),
        80,
    )
    result = run("calibrate", "--project", 3, "--revert", "--author", "[/x]")
    assert "in force: revision 2 of project 3, which reverts to the state before any" in result.stdout
    second = revisions()[1]
    assert (second.author, second.overrides) == ("[/x]", LabelOverrides())
    assert "all revisions of project 3 are reverted already" in one_sentence(
        run("calibrate", "--project", 3, "--revert")
    )
    assert "in force: revision 3" in run(*asked, "--apply").stdout


def test_calibrate_shows_labels_of_classes(run: Run) -> None:
    """With the boxes that they rest on, and what it takes to change them."""
    xml = PEOPLE_CONFIG.replace('"Worker"', '"[b]Worker"')
    images = seen(detections_of(("Person", 0.9, BOX)))
    keep(*(annotation(box("[b]Worker"), number=n, images=images) for n in range(1, 21)), xml=xml)
    result = run("calibrate", "--project", 3)
    printed = " ".join(result.stdout.split())
    assert "Person Person -> [b]Worker 20 [b]Worker 71 % 13 of another" in printed


def test_report_shows_labels_of_classes_and_the_last_training(run: Run, tmp_path: Path) -> None:
    """The table of ``calibrate``, and the changes that the next training would make: in the terminal, on the page and as JSON."""
    images = seen(detections_of(("Person", 0.9, BOX)))
    keep(*(annotation(box("Worker"), number=n, images=images) for n in range(1, 21)), xml=PEOPLE_CONFIG)
    with closing(Database(load_settings().database_address)) as database:
        put_training(database, Training(3, "ann", "suggested", 0, "Person -> Worker"))
    printed = " ".join(run("report", "--project", 3, "--html", "page.html").stdout.split())
    assert "Person Person -> Worker 20 Worker 71 % 13 of another" in printed
    assert "by ann: suggested; Person -> Worker" in printed
    assert "calibrate --apply or Start Training would change, expected -" in printed
    page = plain(tmp_path / "page.html")
    assert "<th>Person</th><td>Person → Worker</td><td>71 %</td> <td>20 Worker</td><td>13 of another label</td>" in page
    assert "by ann: suggested. Person -&gt; Worker" in page
    learning = answered(run("report", "--project", 3, "--json"))["learning"]
    assert (learning["would_change"], learning["last_training"]["outcome"]) == (True, "suggested")
    assert learning["classes"][0]["class_name"] == "Person"
    assert learning["effort"]["in_all"]["high"] < 0


def test_calibrate_shows_classes_with_several_labels(run: Run, tmp_path: Path) -> None:
    """They become a revision like any other, and go with it."""
    xml = PEOPLE_CONFIG.replace('"Worker"', '"near"').replace('"Clothing"', '"far"')
    places = {"near": (0.1, 0.1, 0.9, 0.5), "far": (0.5, 0.6, 0.6, 0.65)}
    images = seen(detections_of(*(("papalote", 0.9, each) for each in places.values())))
    drawn = [box(label, each) for label, each in places.items()]
    drawable = {"label": ("Person", "near", "far")}
    keep(*(annotation(*drawn, number=n, drawable=drawable, images=images) for n in range(1, 11)), xml=xml)
    result = run("calibrate", "--project", 3, "--apply", "--author", "ann")
    assert re.search(r"papalote +- -> far / near +10 near, 10 far +99 % +by the box", result.stdout)
    assert "size, place and colours of each box say which of them it gets" in " ".join(result.stdout.split())
    (revision,) = revisions()
    ((control, known, split),) = revision.overrides.splits
    assert (control, known, split.labels) == ("label", "papalote", ("far", "near"))
    run("report", "--project", 3, "--html", "page.html")
    page = plain(tmp_path / "page.html")
    assert "<th>papalote</th><td>far / near</td><td>99 %</td> <td>10 near, 10 far</td><td>by the box</td>" in page
    assert "nothing would change" in run("calibrate", "--project", 3).stdout
    run("calibrate", "--project", 3, "--revert")
    assert revisions()[-1].overrides.splits == ()


def test_calibrate_shows_seconds_a_picture(run: Run) -> None:
    """Now and then, with an interval."""
    images = seen(detections_of(("Kite", 0.2, BOX)))
    keep(*(annotation(box("Kite"), number=n, images=images) for n in range(1, 41)))
    printed = " ".join(run("calibrate", "--project", 3).stdout.split())
    assert "s a picture now, " in printed
    assert "; expected on other pictures: -" in printed


def test_target_precision_says_what_it_costs(run: Run) -> None:
    """Seconds a picture, beside thresholds by effort."""
    images = seen(detections_of(("Kite", 0.5, BOX)))
    keep(*kites(40, 40), *(annotation(box("Kite"), number=n, images=images) for n in range(1000, 1040)))
    costly = run("calibrate", "--project", 3, "--target-precision", "0.8")
    assert "the target precision costs" in " ".join(costly.stderr.split())
    assert "the target precision costs" not in run("calibrate", "--project", 3).stderr


@pytest.mark.parametrize("name", ["DRAW", "DELETE", "ADJUST", "RELABEL", "LOOK"])
def test_seconds_of_edits_are_settings(run: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each of them, in place of what is measured or assumed."""
    keep(*kites(6, 0))
    monkeypatch.setenv(f"PRELABEL_SECONDS_{name}", "31")
    seconds = answered(run("calibrate", "--project", 3, "--json"))["effort"]["seconds"]
    assert [key for key, value in seconds.items() if value == 31] == [name.lower()]


def test_report_is_of_what_is_in_force(run: Run) -> None:
    """Calibrated thresholds, until they are reverted."""
    keep(*kites(40, 40))
    thresholds = []
    for then in (("--apply", "--target-precision", "0.8"), ("--revert",), ()):
        values = answered(run("report", "--project", 3, "--json"))
        thresholds += [each["threshold"] for each in values["labels"] if each["label"] == "Kite"]
        if then:
            assert run("calibrate", "--project", 3, *then).exit_code == 0
    assert thresholds == [0.3, 0.51, 0.3]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["report"], "project 3 has no annotations in .* `prelabel feedback sync --project 3`"),
        (["calibrate"], "project 3 has no annotations"),
        (["calibrate", "--apply", "--json"], "project 3 has no annotations"),
        (["calibrate", "--revert"], "project 3 has no revision to revert"),
        (["calibrate", "--apply", "--revert"], "--apply and --revert: choose one"),
        (["calibrate", "--target-precision", "0"], "--target-precision 0.0: expected a number between 0 and 1"),
        (["calibrate", "--target-precision", "1"], "--target-precision 1.0: expected a number between 0 and 1"),
        (["calibrate", "--target-precision", "90"], "--target-precision 90.0: expected a number between 0 and 1"),
        (["calibrate", "--target-precision", "nan"], "--target-precision nan: expected a number between 0 and 1"),
        (["feedback", "sync", "--model", "demo"], r"LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY \(a token"),
    ],
    ids=["report on nothing", "nothing to learn from", "nothing to apply", "nothing to revert", "both", "target 0", "target 1", "in percent", "no number", "no token"],
)  # fmt: skip
def test_mistakes_get_one_sentence(run: Run, tmp_path: Path, command: Sequence[str], words: str) -> None:
    """Status 2, no trace, and no database made for it."""
    assert re.search(words, one_sentence(run(*command, "--project", 3)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("others", [False, True], ids=["never written", "of other projects alone"])
@pytest.mark.parametrize("command", ["report", "calibrate"])
def test_database_that_knows_nothing_of_a_project_is_named(
    run: Run, command: str, others: bool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service may keep corrections in another one. The setting that chooses it is named; passwords are not."""
    url = make_url(database_url)
    if url.host:
        url = url.set(password="hunter2")
    monkeypatch.setenv("PRELABEL_DATABASE_URL", url.render_as_string(hide_password=False))
    if others:
        keep()
    said = one_sentence(run(command, "--project", 4))
    assert f"{url.host or ''}/{url.database}: connect" in said.replace(f":{url.port}", "")
    assert "set PRELABEL_DATABASE_URL to the database" in said
    assert "hunter2" not in said


def test_report_without_annotations_names_the_database(run: Run, tmp_path: Path) -> None:
    """The project is known there, and its annotations may be in another one."""
    keep()
    result = run("report", "--project", 3)
    assert result.exit_code == 0
    assert f"project 3 has no annotations in the database sqlite:///{tmp_path / 'feedback.sqlite3'}" in result.stderr


@pytest.mark.parametrize("command", [["report"], ["calibrate"], ["report", "--json"]], ids=" ".join)
def test_label_config_that_cannot_be_served(run: Run, command: Sequence[str]) -> None:
    """A sentence that names what it lacks."""
    keep(*kites(1, 0), xml="<View/>")
    assert "RectangleLabels" in one_sentence(run(*command, "--project", 3))


@pytest.mark.parametrize("command", [["report"], ["calibrate"], ["calibrate", "--revert"]], ids=" ".join)
def test_database_that_is_none(run: Run, tmp_path: Path, command: Sequence[str]) -> None:
    """A file of something else is named, and left as it is."""
    file = tmp_path / "feedback.sqlite3"
    file.write_text("no database" * 100)
    assert "feedback.sqlite3 cannot be used: file is not a database" in one_sentence(run(*command, "--project", 3))
    assert file.read_text() == "no database" * 100


def test_page_that_cannot_be_written(run: Run) -> None:
    """A folder that is not there."""
    keep(*kites(1, 0))
    assert "no/page.html: No such file or directory" in one_sentence(
        run("report", "--project", 3, "--html", "no/page.html")
    )


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("PRELABEL_TARGET_PRECISION", "90", "PRELABEL_TARGET_PRECISION='90' cannot be used"),
        ("PRELABEL_DATABASE_URL", "mysql://host/x", "PRELABEL_DATABASE_URL"),
    ],
    ids=["target", "database"],
)
def test_settings_that_cannot_be_used(
    run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    """They are named."""
    monkeypatch.setenv(variable, value)
    assert words in one_sentence(run("calibrate", "--project", 3))


def test_projects_target_goes_before_the_settings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the option before both."""
    xml = BALLOON_CONFIG.replace('toName="image">', 'toName="image" model_target_precision="0.7">')
    monkeypatch.setenv("PRELABEL_TARGET_PRECISION", "0.6")
    targets = []
    for config, option in ((BALLOON_CONFIG, []), (xml, []), (xml, ["--target-precision", "0.8"])):
        keep(*kites(1, 0), xml=config)
        values = answered(run("calibrate", "--project", 3, "--json", *option))
        targets.append({each["target"] for each in values["labels"]})
    assert targets == [{0.6}, {0.7}, {0.8}]


def test_default_database_is_in_the_home_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no database is set."""
    monkeypatch.delenv("PRELABEL_DATABASE_URL")
    keep(*kites(2, 0))
    assert answered(run("report", "--project", 3, "--json"))["annotations"] == 2
    assert (Path(os.environ["PRELABEL_HOME"]) / "feedback.sqlite3").exists()
