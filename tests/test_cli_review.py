"""``prelabel review`` on corrections that are there already."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from corrections import AWAY, BOX, SCENE_CONFIG, annotation, box, classified, seen
from samples import BALLOON_CONFIG, detections_of
from typer.testing import CliRunner, Result

from ml_backend.cli import common
from ml_backend.cli.common import app
from ml_backend.feedback.evaluation.candidates import CAUTION, KINDS
from ml_backend.feedback.store.annotation_records import Annotation, put_annotation
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.detectors import CurrentDetector, put_detector
from ml_backend.feedback.store.projects import Project, put_project
from ml_backend.settings import load_settings

Run = Callable[..., Result]
FOUND = seen(detections_of(("Kite", 0.9, BOX)))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Give a function that runs a command on a database of its own, in a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRELABEL_DATABASE_URL", f"sqlite:///{tmp_path / 'feedback.sqlite3'}")
    monkeypatch.setattr(common.out, "width", 80)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in (*arguments, "--project", 3)])


def keep(*annotations: Annotation, xml: str = BALLOON_CONFIG, detector: str = "") -> None:
    """Keep annotations of project 3 in the database of the settings."""
    with closing(Database(load_settings().database_address)) as database, database.writing() as connection:
        put_project(connection, Project(3, "Kites", xml))
        for each in annotations:
            put_annotation(connection, each)
        if detector:
            put_detector(connection, CurrentDetector(detector, "demo"))


def kites(count: int, wrong: int = 0) -> list[Annotation]:
    """Return annotations of one Kite each, of which the first ones are called Box."""
    return [
        annotation(box("Box" if number <= wrong else "Kite"), number=number, task=50 + number, images=FOUND)
        for number in range(1, count + 1)
    ]


def answered(result: Result) -> dict[str, object]:
    """Return what a command printed as JSON, and nothing else."""
    assert result.exit_code == 0, result.stderr
    values: dict[str, object] = json.loads(result.stdout)
    return values


def test_table_lists_candidates_and_fits_into_80_columns(run: Run) -> None:
    """With both labels, probability, task and annotation; said to be candidates."""
    long = "a label of many words " * 5
    keep(*kites(60, wrong=1), annotation(box(long), number=99, images=FOUND))
    printed = run("review").stdout
    assert max(map(len, printed.splitlines())) <= 80
    assert re.search(r"another label +Box +Kite +\d\d % +51 +1\b", printed)
    words = " ".join(printed.split())
    assert CAUTION in words
    assert "61 boxes in 61 annotations; candidates: 2 another label, 0 badly placed" in words


@pytest.mark.parametrize(("top", "listed"), [(1, [1]), (2, [1, 2]), (20, [1, 2, 3])])
def test_json_has_the_first_ones(run: Run, top: int, listed: list[int]) -> None:
    """Counts are of all; without --tab there is no tab, and without Label Studio no link."""
    keep(*kites(80, wrong=3))
    values = answered(run("review", "--json", "--top", top))
    candidates = values["candidates"]
    assert isinstance(candidates, list)
    assert [(each["annotation"], each["kind"], each["url"]) for each in candidates] == [
        (number, "another label", "") for number in listed
    ]
    assert (values["tab"], values["caution"]) == (None, CAUTION)
    assert values["counts"] == dict.fromkeys(KINDS, 0) | {"another label": 3}


def test_only_detections_of_the_current_detector_count(run: Run, tmp_path: Path) -> None:
    """Scores of another one mean something else."""
    keep(*kites(80, wrong=1), detector="12345678")
    result = run("review")
    assert "0 boxes in 0 annotations" in result.stdout
    assert f"was found in the database sqlite:///{tmp_path / 'feedback.sqlite3'}" in result.stderr


def test_project_of_choices_has_no_candidates(run: Run) -> None:
    """They have no boxes."""
    keep(classified("Dog", "Cat"), xml=SCENE_CONFIG)
    assert answered(run("review", "--json"))["candidates"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [([], "project 3 has no annotations in"), (["--tab"], "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY")],
    ids=["unknown project", "a tab without a token"],
)
def test_mistakes_get_one_sentence(run: Run, tmp_path: Path, options: list[str], words: str) -> None:
    """Status 2, and no database made for it."""
    result = run("review", *options)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_page_of_the_report_shows_them(run: Run, tmp_path: Path) -> None:
    """With links where the address of Label Studio is known, and why an image cannot be shown."""
    odd = annotation(box("Kite"), number=90, images=seen(detections_of(("Kite", 0.9, BOX), ("Box", 0.8, AWAY))))
    keep(*kites(60, wrong=1), odd)
    assert run("report", "--html", "page.html").exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert "Check these" in page
    assert "1 another label" in page
    assert "1 overlooked" in page
    assert page.count('<figure class="crop">') == 2
