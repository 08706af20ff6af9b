"""What annotators do in Label Studio, one habit after the other: each is a function, and the annotators keep the tally."""

from collections.abc import Callable
from dataclasses import dataclass

from e2e.annotating import BrowserAnnotator
from e2e.editor import Box

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


COMMON: list[Callable[[Desk], None]] = [
    edited,
    draft_of_a_row,
    two_people_at_once,
]  # of each kind one; the others take long
HABITS: list[Callable[[Desk], None]] = [
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
