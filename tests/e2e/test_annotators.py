"""The report against a tally kept by hand: people at a real Label Studio in a real browser, one habit after the other."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from e2e.annotating import (
    Box,
    BrowserAnnotator,
    Tally,
    chromium,
    figures_of,
    log_in,
    sign_up,
)
from e2e.servers import TOKEN, LabelStudio, Prelabel, StartPrelabel, run_prelabel
from playwright.sync_api import Page
from waiting import wait_until

from ml_backend.demo.scenes import SIZE, draw_scene, encode

SEEDS = (13, 4)
# Of the first scene the detector shows a box, two kites and a balloon; a third kite has a score of 0.79. Boxes and balloons have a
# second detection each, as the other of the two, at about 0.15; kites have none.
CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image" model_score_threshold="0.8">'
    '<Label value="Kite"/><Label value="Balloon"/><Label value="Box"/></RectangleLabels></View>'
)
NOWHERE: Box = (45, 60, 55, 72)  # of the first scene: the detector finds nothing there


@dataclass
class Desk:
    """A project of two predicted tasks, with two people at their own browsers.

    Attributes:
        first, second: the people.
        task, other: the tasks.
        version: of their predictions.
        hidden: where the hidden kite of the first task is.
        hide_predictions: takes the project's setting back that shows predictions to annotators.
    """

    first: BrowserAnnotator
    second: BrowserAnnotator
    task: int
    other: int
    version: str
    hidden: Box
    hide_predictions: Callable[[], None]


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


def untouched(desk: Desk) -> None:
    """Boxes that nobody touches are kept; so is one that is dragged by a pixel or two."""
    desk.first.open_by_link(desk.task)
    desk.first.touch(desk.first.region("Box"))
    desk.first.submit()


def edited(desk: Desk) -> None:
    """A box is nudged, one relabeled, one deleted; the detector had not thought of a box where the kite is."""
    desk.first.open_by_row(desk.task)
    desk.first.nudge(desk.first.region("Box"))
    desk.first.relabel(desk.first.region("Kite"), "Box")
    desk.first.delete(desk.first.region("Balloon"))
    desk.first.submit()


def relabeled_as_the_detector_doubted(desk: Desk) -> None:
    """The detector had found the balloon as a box too, with a score below the threshold."""
    desk.first.open_by_row(desk.task)
    desk.first.relabel(desk.first.region("Balloon"), "Box", outcome="hidden")
    desk.first.submit()


def relabeled_and_moved(desk: Desk) -> None:
    """A box that gets another label and another place is relabeled, not deleted and added."""
    desk.first.open_by_row(desk.task)
    kite = desk.first.relabel(desk.first.region("Kite"), "Box")
    desk.first.drag(kite, 15, 45)
    desk.first.submit()


def moved_away(desk: Desk) -> None:
    """A box that keeps its label is nudged, however far it goes."""
    desk.first.open_by_row(desk.task)
    desk.first.drag(desk.first.region("Kite"), 15, 45)
    desk.first.submit()


def drawn_again(desk: Desk) -> None:
    """A box that is deleted and drawn again nearly there has another region id; the overlap tells."""
    desk.first.open_by_row(desk.task)
    desk.first.redraw(desk.first.region("Box"))
    desk.first.submit()


def drawn_from_scratch(desk: Desk) -> None:
    """One where the detector found nothing, and one that the threshold hid."""
    desk.first.open_by_row(desk.task)
    desk.first.draw("Balloon", NOWHERE, "not found")
    desk.first.draw("Kite", desk.hidden, "hidden")
    desk.first.submit()


def drawn_under_another_label(desk: Desk) -> None:
    """The detector holds the hidden kite for a kite, the annotator for a box."""
    desk.first.open_by_row(desk.task)
    desk.first.draw("Box", desk.hidden, "other label")
    desk.first.submit()


def undone(desk: Desk) -> None:
    """What was undone was not done: a deletion, a new label, a box that was drawn, a box that was dragged."""
    desk.first.open_by_row(desk.task)
    desk.first.delete(desk.first.region("Box"))
    desk.first.undo()
    desk.first.relabel(desk.first.region("Kite"), "Box")
    desk.first.undo()
    desk.first.draw("Balloon", NOWHERE)
    desk.first.undo()
    desk.first.drag(desk.first.region("Balloon"), 10, 10)
    desk.first.undo()
    desk.first.submit()


def updated(desk: Desk) -> None:
    """Of an annotation that is updated twice, the last state counts."""
    desk.first.open_by_row(desk.task)
    desk.first.nudge(desk.first.region("Box"))
    desk.first.submit()
    desk.first.delete(desk.first.region("Balloon"))
    desk.first.update()
    desk.first.relabel(desk.first.region("Kite"), "Box")
    desk.first.draw("Balloon", NOWHERE)
    desk.first.update()


def updated_from_a_draft(desk: Desk) -> None:
    """A submitted annotation is edited, left and found again."""
    desk.first.open_by_row(desk.task)
    desk.first.submit()
    desk.first.delete(desk.first.region("Balloon"))
    desk.first.wait_for_draft()
    desk.first.open_by_row(desk.other)
    desk.first.open_by_row(desk.task)
    desk.first.update()


def draft_of_a_row(desk: Desk) -> None:
    """Edited, left for another row, resumed, edited again: Label Studio forgets the prediction that it began with."""
    desk.first.open_by_row(desk.task)
    desk.first.relabel(desk.first.region("Kite"), "Box")
    desk.first.delete(desk.first.region("Balloon"))
    desk.first.wait_for_draft()
    desk.first.open_by_row(desk.other)
    desk.first.open_by_row(desk.task)
    desk.first.draw("Balloon", NOWHERE)
    desk.first.submit()


def draft_of_a_reload(desk: Desk) -> None:
    """The same when the page is loaded again."""
    desk.first.open_by_link(desk.task)
    desk.first.nudge(desk.first.region("Kite"))
    desk.first.wait_for_draft()
    desk.first.reload()
    desk.first.nudge(desk.first.region("Box"))
    desk.first.submit()


def draft_of_the_stream(desk: Desk) -> None:
    """The same in the label stream, which gives the unfinished task first."""
    task = desk.first.open_stream()
    desk.first.nudge(desk.first.region("Box"))
    desk.first.wait_for_draft()
    assert desk.first.open_stream() == task
    desk.first.delete(desk.first.region("Balloon"))
    desk.first.submit()
    desk.first.submit()


def draft_without_leaving(desk: Desk) -> None:
    """A draft that is saved meanwhile changes nothing."""
    desk.first.open_by_row(desk.task)
    desk.first.nudge(desk.first.region("Box"))
    desk.first.wait_for_draft()
    desk.first.submit()


def draft_without_any_shown_box(desk: Desk) -> None:
    """All shown boxes are deleted in a draft that is resumed: nothing of them is left to tell of the prediction."""
    desk.first.open_by_row(desk.task)
    for region in desk.first.regions:
        desk.first.delete(region)
    desk.first.draw("Balloon", NOWHERE)
    desk.first.wait_for_draft()
    desk.first.open_by_row(desk.other)
    desk.first.open_by_row(desk.task)
    desk.first.submit()


def empty(desk: Desk) -> None:
    """An empty submission says that there is nothing on the picture."""
    desk.first.open_by_row(desk.task)
    for region in desk.first.regions:
        desk.first.delete(region)
    desk.first.submit()


def skipped(desk: Desk) -> None:
    """A skipped task says nothing, though Label Studio stores its boxes with it."""
    desk.first.open_stream()
    desk.first.delete(desk.first.region("Box"))
    desk.first.skip()


def skip_taken_back(desk: Desk) -> None:
    """A skip that is taken back becomes a draft, and that an annotation."""
    task = desk.first.open_stream()
    desk.first.nudge(desk.first.region("Box"))
    desk.first.skip()
    desk.first.open_by_row(task)
    desk.first.take_skip_back()
    desk.first.delete(desk.first.region("Balloon"))
    desk.first.submit()


def begun_with_nothing(desk: Desk) -> None:
    """Whoever presses "+" has the boxes on the screen, and takes none of them; whether a draft is saved meanwhile changes nothing."""
    desk.first.open_by_row(desk.task)
    desk.first.add_empty()
    desk.first.draw("Box", NOWHERE)
    desk.first.submit()
    desk.first.open_by_row(desk.other)
    desk.first.add_empty()
    desk.first.draw("Kite", NOWHERE)
    desk.first.wait_for_draft()
    desk.first.reload()
    desk.first.submit()


def without_predictions(desk: Desk) -> None:
    """Where the project shows no predictions to annotators, the label stream begins with nothing, though they are stored."""
    desk.hide_predictions()
    assert desk.first.open_stream() == desk.task
    desk.first.draw("Box", NOWHERE)
    desk.first.submit()


def duplicated(desk: Desk) -> None:
    """A duplicate is another annotation of the same boxes: those that were changed before are changed in it too."""
    desk.first.open_by_row(desk.task)
    desk.first.nudge(desk.first.region("Box"))
    desk.first.submit()
    desk.first.duplicate()
    desk.first.relabel(desk.first.region("Kite"), "Box")
    desk.first.submit()


def duplicated_prediction(desk: Desk) -> None:
    """A person who finds somebody else's annotation begins with the prediction all the same."""
    desk.first.open_by_row(desk.task)
    desk.first.nudge(desk.first.region("Box"))
    desk.first.submit()
    desk.second.open_by_link(desk.task)
    desk.second.duplicate_prediction()
    desk.second.delete(desk.second.region("Balloon"))
    desk.second.submit()


def two_people_at_once(desk: Desk) -> None:
    """Both have opened the task before either is done; both count."""
    desk.first.open_by_link(desk.task)
    desk.second.open_by_link(desk.task)
    desk.first.nudge(desk.first.region("Box"))
    desk.second.delete(desk.second.region("Balloon"))
    desk.first.submit()
    desk.second.submit()


def corrected_by_another(desk: Desk) -> None:
    """A second person opens the first one's annotation and updates it: it is one annotation."""
    desk.first.open_by_link(desk.task)
    desk.first.nudge(desk.first.region("Box"))
    number = desk.first.submit()
    desk.second.open_by_link(desk.task)
    desk.second.relabel(desk.second.region("Kite"), "Box")
    assert desk.second.update() == number


def accepted_in_bulk(desk: Desk) -> None:
    """Nobody has looked at them; a look without a change leaves no trace."""
    desk.first.accept_in_bulk([desk.task, desk.other], desk.version)
    desk.first.open_by_row(desk.task)


def corrected_after_bulk(desk: Desk) -> None:
    """Somebody has looked at one of them: Label Studio then calls all of its regions drawn by hand, their ids tell."""
    desk.first.accept_in_bulk([desk.task, desk.other], desk.version)
    desk.first.open_by_row(desk.task)
    desk.first.nudge(desk.first.region("Box"))
    desk.first.update()


CASES: list[Callable[[Desk], None]] = [
    untouched,
    edited,
    relabeled_as_the_detector_doubted,
    relabeled_and_moved,
    moved_away,
    drawn_again,
    drawn_from_scratch,
    drawn_under_another_label,
    undone,
    updated,
    updated_from_a_draft,
    draft_of_a_row,
    draft_of_a_reload,
    draft_of_the_stream,
    draft_without_leaving,
    draft_without_any_shown_box,
    empty,
    skipped,
    skip_taken_back,
    begun_with_nothing,
    without_predictions,
    duplicated,
    duplicated_prediction,
    two_people_at_once,
    corrected_by_another,
    accepted_in_bulk,
    corrected_after_bulk,
]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.__name__) for case in CASES])
def test_report_equals_the_tally(place: Place, case: Callable[[Desk], None]) -> None:
    """Outcome by outcome, in the report and in what is learned from."""
    studio, tally = place.label_studio, Tally()
    project = project_of_scenes(studio, case.__name__.replace("_", " "))
    studio.connect(project, place.server.url)
    studio.retrieve(project)
    task, other = (int(each["id"]) for each in studio.tasks(project))
    (prediction,) = studio.predictions(project)[task]
    first, second = (BrowserAnnotator(page, studio, project, tally) for page in place.pages)

    def hide() -> None:
        studio.api("PATCH", f"/api/projects/{project}", json={"show_collab_predictions": False})

    before = events(place.server)
    hidden = hidden_in(SEEDS[0], prediction)
    case(Desk(first, second, task, other, prediction["model_version"], hidden, hide))
    wait_until(
        lambda: events(place.server) >= before + tally.events and not place.server.status()["learning"]["waiting"]
    )

    report = figures_of(run_prelabel(place.settings, "report", "--project", str(project), "--json"))
    place.tallies[case.__name__] = (tally.figures(), report)
    print_beside(case.__name__, *place.tallies[case.__name__])
    assert report == tally.figures()
    learned = run_prelabel(place.settings, "calibrate", "--project", str(project), "--json")
    assert sum(label["shown_before"] for label in learned["labels"]) == boxes_to_learn_from(tally, prediction)


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


def test_report_equals_the_tally_of_all_cases(place: Place) -> None:
    """All of the above together."""
    tally = sum((each for each, _ in place.tallies.values()), Counter[str]())
    report = sum((each for _, each in place.tallies.values()), Counter[str]())
    print_beside(f"all {len(place.tallies)} cases", tally, report)
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


def print_beside(title: str, tally: Counter[str], report: Counter[str]) -> None:
    """Print a tally beside the figures of a report."""
    names = [name for name in tally | report if tally[name] or report[name]]
    lines = [f"{name:26}{tally[name]:8}{report[name]:8}" for name in names]
    print("\n".join(["", f"{title:26}{'tally':>8}{'report':>8}", *lines]))  # noqa: T201 - a measure to report
