"""The report against a tally kept by hand: people at a real Label Studio in a real browser, one habit after the other."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from e2e.annotating import BrowserAnnotator
from e2e.browser import chromium, log_in, sign_up
from e2e.editor import Box
from e2e.habits import COMMON, CONFIG, HABITS, NOWHERE, SEEDS, Desk
from e2e.servers import TOKEN, LabelStudio, Prelabel, StartPrelabel, run_prelabel
from e2e.tally import Tally, figures_of, print_beside
from playwright.sync_api import Page
from waiting import wait_until

from ml_backend.demo.scenes import SIZE, draw_scene, encode


@dataclass
class Place:
    """What all desks share.

    Attributes:
        label_studio, server: what runs.
        settings: environment of the server, for commands beside it.
        pages: of two people who are logged in.
        tallies: what came of each case so far: by tally, by report.
    """

    label_studio: LabelStudio
    server: Prelabel
    settings: dict[str, str]
    pages: tuple[Page, Page]
    tallies: dict[str, tuple[Counter[str], Counter[str]]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def place(
    label_studio: LabelStudio, start_prelabel: StartPrelabel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Start Prelabel, and let two people log in."""
    settings = {
        "PRELABEL_MODEL": "demo",
        "PRELABEL_DATABASE_URL": f"sqlite:///{tmp_path_factory.mktemp('feedback') / 'feedback.sqlite3'}",
        "PRELABEL_CACHE_FILE": str(tmp_path_factory.mktemp("cache") / "cache.sqlite3"),
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": TOKEN,
    }
    server = start_prelabel(**settings)
    with chromium() as browser:
        first, second = (browser.new_context(viewport={"width": 1400, "height": 1000}).new_page() for _ in range(2))
        log_in(first, label_studio.url)
        sign_up(second, label_studio.url, "second@b.co")
        yield Place(label_studio, server, settings, (first, second))
    server.stop()


@pytest.mark.parametrize(
    "habit",
    [pytest.param(habit, id=habit.__name__, marks=[] if habit in COMMON else [pytest.mark.slow]) for habit in HABITS],
)
def test_report_equals_the_tally(place: Place, habit: Callable[[Desk], None]) -> None:
    """Outcome by outcome, in the report and in what is learned from."""
    studio, tally = place.label_studio, Tally()
    project = project_of_scenes(studio, habit.__name__.replace("_", " "))
    studio.connect(project, place.server.url)
    studio.retrieve(project)
    task, other = (int(each["id"]) for each in studio.tasks(project))
    (prediction,) = studio.predictions(project)[task]
    first, second = (BrowserAnnotator(page, studio, project, tally) for page in place.pages)

    def hide() -> None:
        studio.api("PATCH", f"/api/projects/{project}", json={"show_collab_predictions": False})

    before = events(place.server)
    hidden = hidden_in(SEEDS[0], prediction)
    habit(Desk(first, second, task, other, prediction["model_version"], hidden, hide))
    wait_until(
        lambda: events(place.server) >= before + tally.events and not place.server.status()["learning"]["waiting"],
        seen=lambda: (before, tally.events, place.server.status()["events"], place.server.status()["learning"]),
    )

    report = figures_of(run_prelabel(place.settings, "report", "--project", str(project), "--json"))
    place.tallies[habit.__name__] = (tally.figures(), report)
    print_beside(habit.__name__, *place.tallies[habit.__name__])
    assert report == tally.figures()
    overrides = run_prelabel(place.settings, "calibrate", "--project", str(project), "--json")
    assert sum(label["shown_before"] for label in overrides["labels"]) == boxes_to_learn_from(tally, prediction)


@pytest.mark.slow
def test_who_annotated_before_there_was_a_prediction_saw_no_boxes(place: Place) -> None:
    """Also where a draft was saved; the predictions that the tasks got later were not seen."""
    studio, tally = place.label_studio, Tally()
    project = project_of_scenes(studio, "before any prediction")
    person = BrowserAnnotator(place.pages[0], studio, project, tally)
    task, other = (int(each["id"]) for each in studio.tasks(project))
    person.open_by_row(task)
    person.draw("Box", NOWHERE)
    person.submit()
    person.open_by_row(other)
    person.draw("Kite", NOWHERE)
    person.wait_for_draft()
    person.reload()
    person.submit()
    studio.connect(project, place.server.url)
    studio.retrieve(project)
    run_prelabel(place.settings, "feedback", "sync", "--project", str(project))

    report = figures_of(run_prelabel(place.settings, "report", "--project", str(project), "--json"))
    place.tallies["before any prediction"] = (tally.figures(), report)
    print_beside("before any prediction", tally.figures(), report)
    assert report == tally.figures()
    assert report["annotations without boxes"] == 2


def test_report_equals_the_tally_of_all_habits(place: Place) -> None:
    """All of the above together: the table for people."""
    tally = sum((each for each, _ in place.tallies.values()), Counter[str]())
    report = sum((each for _, each in place.tallies.values()), Counter[str]())
    print_beside(f"all {len(place.tallies)} habits", tally, report)
    assert report == tally


def project_of_scenes(label_studio: LabelStudio, title: str) -> int:
    """Create a project with a task for each scene; gives its id."""
    project = label_studio.create_project(CONFIG, title=title)
    for seed in SEEDS:
        label_studio.upload(project, f"scene-{seed}.jpg", encode(draw_scene(seed)[0]))
    return project


def events(server: Prelabel) -> int:
    """Return how many events about annotations a server has got."""
    return sum(count for name, count in server.status()["events"].items() if name.startswith("ANNOTATION"))


def hidden_in(seed: int, prediction: dict[str, Any]) -> Box:
    """Return the one object of a scene that no box is shown for."""
    shown = {(round(each["value"]["x"]), round(each["value"]["y"])) for each in prediction["result"]}
    width, height = SIZE
    boxes = [
        (100 * each.left / width, 100 * each.top / height, 100 * each.right / width, 100 * each.bottom / height)
        for each in draw_scene(seed)[1]
    ]
    (hidden,) = (box for box in boxes if not any(abs(box[0] - x) < 2 and abs(box[1] - y) < 2 for x, y in shown))
    return hidden


def boxes_to_learn_from(tally: Tally, prediction: dict[str, Any]) -> int:
    """Return how many boxes the annotations judge that somebody made; those who saw none judge those that would be shown."""
    return sum(len(prediction["result"] if sheet.shown is None else sheet.shown) for sheet in tally.sheets.values())
