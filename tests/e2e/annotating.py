"""A person who annotates in a real browser, and keeps a tally of what was done."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from e2e.editor import MILLISECONDS, Box, Editor, Region
from e2e.servers import LabelStudio
from e2e.tally import Sheet, Tally
from playwright.sync_api import Locator, Page

FATES = ["kept", "nudged", "relabeled", "deleted"]  # a box that has one of them never gets a lesser one


class BrowserAnnotator:
    """One person at the labelling page.

    Args:
        page: logged in.
        label_studio: to look up what has been stored; nothing is done through it.
        project: id of the project.
        tally: of the project.
    """

    def __init__(self, page: Page, label_studio: LabelStudio, project: int, tally: Tally) -> None:
        self._page = page
        self._editor = Editor(page)
        self._studio = label_studio
        self._project = project
        self._tally = tally
        self._drafts: dict[int, Sheet] = {}  # by draft id
        self._sheet = Sheet(None)
        self._before: list[tuple[Sheet, list[Region]]] = []  # each step, for undo

    @property
    def regions(self) -> list[Region]:
        """The regions of the open annotation."""
        return self._editor.regions

    def region(self, label: str) -> Region:
        """Return the leftmost region of a label."""
        return min((each for each in self.regions if each.label == label), key=lambda each: each.box)

    # Opening tasks

    def open_by_link(self, task: int) -> None:
        """Open a task by its address."""
        self._page.goto(f"{self._studio.url}/projects/{self._project}/data?task={task}")
        self._opened(task)

    def open_by_row(self, task: int) -> None:
        """Open a task by a click on its row, of the data manager or beside the editor."""
        if f"/projects/{self._project}/data" not in self._page.url or self._editor.is_stream:
            self.close()
        if self._editor.task != task:  # a click on the open one closes it
            self._page.get_by_test_id("table-row").filter(has=self._checkbox(task)).click()
        self._opened(task)

    def open_stream(self) -> int:
        """Press "Label All Tasks"; gives the task that comes first, 0 if there is none."""
        self.close()
        self._page.get_by_role("button", name="Label All Tasks").click()
        return self._next(0)

    def reload(self) -> None:
        """Reload the page."""
        task = self._editor.task
        self._page.reload()
        self._opened(task)

    def close(self) -> None:
        """Go to the data manager."""
        self._page.goto(f"{self._studio.url}/projects/{self._project}/data")
        self._page.get_by_test_id("table-row").first.wait_for(timeout=MILLISECONDS)

    # Working on regions

    def relabel(self, region: Region, label: str, outcome: str = "other label") -> Region:
        """Give a region another label.

        Args:
            region: one that was shown.
            label: the new one.
            outcome: hidden where the detector had found the object under that label too, with a score below the threshold.
        """
        with self._step(region, "relabeled"):
            self._sheet.drawn[region.id] = outcome
            return self._editor.relabel(region, label)

    def touch(self, region: Region) -> Region:
        """Drag a box by a pixel, which is no correction."""
        with self._step(region, "kept"):
            return self._editor.drag(region, 0.1, 0)

    def nudge(self, region: Region) -> Region:
        """Drag a box by a fifth of its width: its IoU with itself is then 0.67."""
        with self._step(region, "nudged"):
            return self._editor.drag(region, (region.box[2] - region.box[0]) / 5, 0)

    def drag(self, region: Region, right: float, down: float) -> Region:
        """Drag a box to where the detector found nothing, by percent of the picture."""
        with self._step(region, "nudged"):
            self._sheet.drawn.setdefault(region.id, "not found")
            return self._editor.drag(region, right, down)

    def delete(self, region: Region) -> None:
        """Delete a box."""
        with self._step(region, "deleted"):
            self._sheet.drawn.pop(region.id, None)
            self._editor.delete(region)

    def draw(self, label: str, box: Box, outcome: str = "not found") -> Region:
        """Draw a box from scratch.

        Args:
            label: its label.
            box: where.
            outcome: hidden, other label or not found, by what the detector had found there.
        """
        with self._step():
            drawn = self._editor.draw(label, box)
            self._sheet.drawn[drawn.id] = outcome
            return drawn

    def redraw(self, region: Region) -> Region:
        """Delete a box and draw it anew, a little beside: it is nudged with more effort."""
        with self._step(region, "nudged"):
            self._editor.delete(region)
            aside = (region.box[2] - region.box[0]) / 8
            left, top, right, bottom = region.box
            return self._editor.draw(region.label, (left + aside, top, right + aside, bottom))

    def undo(self) -> None:
        """Take the last step back."""
        self._sheet, regions = self._before.pop()
        self._editor.undo(regions)

    # Annotations

    def submit(self) -> int:
        """Press "Submit" and wait until it is stored; gives the annotation's id."""
        number, sheet = self._send("bottombar-submit-button")
        self._tally.sheets[number] = sheet
        return number

    def update(self) -> int:
        """Press "Update" and wait until it is stored; gives the annotation's id."""
        number, sheet = self._send("bottombar-update-button")
        self._tally.accepted.pop(number, None)  # somebody has looked at it now
        self._tally.sheets[number] = sheet
        return number

    def skip(self) -> int:
        """Press "Skip" in the label stream; gives the annotation's id."""
        number, sheet = self._send("bottombar-skip-button")
        self._tally.skipped[number] = sheet
        return number

    def take_skip_back(self) -> None:
        """Press "Cancel skip": Label Studio deletes the skipped annotation and makes a draft of it."""
        task = self._editor.task
        (number,) = self._stored(task).keys() & self._tally.skipped.keys()
        self._editor.press("bottombar-unskip-button")
        self._editor.until(lambda: number not in self._stored(task) and self._editor.read()["draft"])
        self._drafts[self._editor.read()["draft"]] = self._tally.skipped.pop(number)
        self._tally.events += 1
        self._opened(task)

    def add_empty(self) -> None:
        """Press "+" while the prediction's boxes are on the screen: an annotation that begins with none of them."""
        sheet = Sheet({each.id: "deleted" for each in self.regions})
        self._editor.add_tab(self._page.get_by_role("button", name="Create an annotation").click)
        self._begin(sheet)

    def duplicate(self) -> None:
        """Duplicate the annotation that is open."""
        sheet = deepcopy(self._sheet)
        self._editor.duplicate(self._page.locator(".lsf-annotation-button_selected"))
        self._begin(sheet)

    def duplicate_prediction(self) -> None:
        """Duplicate the task's prediction, whose tab stands last."""
        self._editor.duplicate(self._page.locator(".lsf-annotation-button").last)
        self._begin(Sheet({each.id: "kept" for each in self.regions}))

    def wait_for_draft(self) -> None:
        """Wait until all that is on the page is stored as a draft."""

        def is_stored() -> bool:
            regions = {each.rounded() for each in self.regions}
            drafts = {each["id"]: each["result"] for each in self._now(self._editor.task)["drafts"]}
            draft = drafts.get(self._editor.read()["draft"])
            return draft is not None and regions == {Region.stored(each).rounded() for each in draft}

        self._editor.until(is_stored)
        self._drafts[self._editor.read()["draft"]] = self._sheet

    def accept_in_bulk(self, tasks: list[int], version: str) -> None:
        """Choose rows and press "Create Annotations From Predictions"."""
        self.close()
        for task in tasks:
            self._choose(task)
        self._page.get_by_role("button", name="Tasks Actions").click()
        self._page.get_by_text("Create Annotations From Predictions").click()
        # The dialog proposes the project's version, which may be no prediction's.
        self._page.locator("button[data-name=model_version]").click()
        self._page.get_by_role("option", name=version).click()
        self._editor.press("dialog-ok-button")
        self._editor.until(lambda: all(self._stored(task) for task in tasks))
        stored = [each for task in tasks for each in self._stored(task).values()]
        self._tally.accepted |= {each["id"]: len(each["result"]) for each in stored}
        self._tally.events += 1

    # Inside

    def _choose(self, task: int) -> None:
        chosen = self._page.get_by_label(f"Unselect Task {task}", exact=True)
        self._editor.repeat(self._checkbox(task).click, lambda: chosen.count() == 1, f"task {task} cannot be chosen")

    def _checkbox(self, task: int) -> Locator:
        return self._page.get_by_label(f"Select Task {task}", exact=True)

    def _opened(self, task: int) -> None:
        """Wait until a task is on the page with the regions that belong there; then what is done to them counts."""
        self._editor.wait_for_place(lambda state: state["task"] == task and self._is_whole(state))
        state = self._editor.read()
        if state["draft"]:
            self._begin(self._drafts[state["draft"]])
        elif state["pk"] and int(state["pk"]) in self._tally.sheets:
            self._begin(deepcopy(self._tally.sheets[int(state["pk"])]))
        else:
            self._begin(Sheet({each.id: "kept" for each in self.regions} or None))

    def _is_whole(self, state: Any) -> bool:
        """Tell whether all regions are there of the annotation, draft or prediction that is open."""
        stored = self._now(state["task"])
        kinds = {"drafts": state["draft"], "annotations": state["pk"], "predictions": state["parent"]}
        kind, number = next(((kind, int(number)) for kind, number in kinds.items() if number), ("", 0))
        if not kind:
            shows = self._studio.api("GET", f"/api/projects/{self._project}")["show_collab_predictions"]
            return not (stored["drafts"] or stored["annotations"] or (stored["predictions"] and shows))
        wanted = [{region["id"] for region in each["result"]} for each in stored[kind] if each["id"] == number]
        return [{each["id"] for each in state["regions"]}] == wanted

    def _next(self, before: int) -> int:
        """Wait for the next task of the stream; 0 if there is none."""
        self._editor.until(lambda: self._editor.read()["done"] or self._editor.task not in {0, before})
        task = self._editor.task
        if task:
            self._opened(task)
        return task

    def _begin(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._before = []

    @contextmanager
    def _step(self, region: Region | None = None, decision: str = "") -> Iterator[None]:
        """Remember how things stand before a step, and what becomes of a shown box by it."""
        self._before.append((deepcopy(self._sheet), self.regions))
        yield
        shown = self._sheet.shown or {}
        if region is not None and region.id in shown:
            shown[region.id] = max(shown[region.id], decision, key=FATES.index)

    def _now(self, task: int) -> Any:
        return self._studio.api("GET", f"/api/tasks/{task}")

    def _stored(self, task: int) -> dict[int, dict[str, Any]]:
        return {each["id"]: each for each in self._now(task)["annotations"]}

    def _send(self, button: str) -> tuple[int, Sheet]:
        """Press a button that stores the annotation; gives its id, and what was done in it."""
        task, sheet, is_stream = self._editor.task, self._sheet, self._editor.is_stream
        before = {number: each["updated_at"] for number, each in self._stored(task).items()}
        self._editor.press(button)

        def new() -> list[int]:
            return [number for number, each in self._stored(task).items() if before.get(number) != each["updated_at"]]

        self._editor.until(new)
        (number,) = new()
        self._tally.events += 1
        if is_stream:
            self._next(task)
        else:
            self._editor.until(lambda: self._editor.read()["pk"] == str(number) and not self._editor.read()["loading"])
            self._begin(deepcopy(sheet))
        return number, sheet
