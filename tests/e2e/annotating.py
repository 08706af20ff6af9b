"""A person who annotates in a real browser, by mouse and keyboard, and keeps a tally of what was done."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from e2e.servers import EMAIL, PASSWORD, LabelStudio
from playwright.sync_api import Browser, Locator, Page, sync_playwright

Box = tuple[float, float, float, float]  # left, top, right, bottom in percent of the displayed picture

MILLISECONDS = 60_000  # a busy machine may be slow; one that is not never waits so long
PATIENCE = 2_000  # milliseconds until a click is repeated that did nothing: the canvas was not painted yet
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

# What the editor shows; only read. Region ids are those of the annotation's JSON.
READ = """() => {
    const {annotationStore: store, task, isLoading, noTask} = window.Htx ?? {};
    const selected = store?.selected;
    const stage = document.querySelector('.konvajs-content')?.getBoundingClientRect();
    return {
        task: noTask ? 0 : Number(task?.id ?? 0),
        done: Boolean(noTask),
        loading: Boolean(isLoading) || !store,
        pk: selected?.pk ?? null,
        tabs: store?.annotations.map(each => each.id) ?? [],
        tab: selected?.id ?? null,
        draft: selected?.draftId ?? 0,
        parent: selected?.parent_prediction ?? null,
        stage: stage ? [stage.x, stage.y, stage.width, stage.height] : null,
        hotkeys: Object.fromEntries((selected?.names?.get('label')?.children ?? []).map(each => [each._value, each.hotkey])),
        regions: (selected?.regions ?? []).map(region => {
            const {left, top, right, bottom} = region.bboxCoords;
            return {id: region.cleanId, labels: [...region.labels], box: [left, top, right, bottom], selected: region.inSelection};
        }),
    };
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a headless Chromium; without one the test is skipped, except in continuous integration."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("Chromium is missing, and this test must not be skipped here")
        pytest.skip("needs Chromium (Debian's package chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


def log_in(page: Page, url: str) -> None:
    """Log in as the first user through the form, unless done already."""
    page.goto(f"{url}/user/login/")
    if page.locator("input[name=email]").count():
        _send_form(page, EMAIL, "/user/login")


def sign_up(page: Page, url: str, email: str) -> None:
    """Sign up as another user through the form."""
    page.goto(f"{url}/user/signup/")
    _send_form(page, email, "/user/signup")


def _send_form(page: Page, email: str, path: str) -> None:
    page.fill("input[name=email]", email)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(lambda address: path not in address)


class Region(NamedTuple):
    """A region as the editor shows it."""

    id: str
    label: str
    box: Box


@dataclass
class Sheet:
    """What was done in one annotation.

    Attributes:
        shown: what became of each box that it began with, by region id: kept, nudged, relabeled or deleted; None if it began with nothing.
        drawn: by region id, what the detector had found at each box that was drawn from scratch, got another label or was dragged away:
            hidden, other label or not found.
    """

    shown: dict[str, str] | None
    drawn: dict[str, str] = field(default_factory=dict)


@dataclass
class Tally:
    """What several people did in a project.

    Attributes:
        sheets: by annotation id; of an annotation that is updated, the last one counts.
        skipped: the same of tasks that were skipped.
        accepted: how many boxes each prediction had that was accepted in bulk, by annotation id.
        events: how many Label Studio posted about annotations.
    """

    sheets: dict[int, Sheet] = field(default_factory=dict)
    skipped: dict[int, Sheet] = field(default_factory=dict)
    accepted: dict[int, int] = field(default_factory=dict)
    events: int = 0

    def figures(self) -> Counter[str]:
        """Return each figure of the report, as the tally has it."""
        seen = [(sheet.shown, sheet.drawn) for sheet in self.sheets.values() if sheet.shown is not None]
        fates = Counter(fate for shown, _ in seen for fate in shown.values())
        drawn = Counter(outcome for _, outcomes in seen for outcome in outcomes.values())
        added = sum(len(outcomes.keys() - shown) for shown, outcomes in seen)
        return Counter(
            {
                "kept": fates["kept"],
                "nudged": fates["nudged"],
                "relabeled": fates["relabeled"],
                "deleted": fates["deleted"],
                "added": added,
                "found": fates.total() - fates["deleted"] + added - drawn.total(),
                "hidden": drawn["hidden"],
                "other label": drawn["other label"],
                "not found": drawn["not found"],
                "annotations with boxes": len(seen),
                "annotations without boxes": len(self.sheets) - len(seen),
                "skipped": len(self.skipped),
                "accepted annotations": len(self.accepted),
                "accepted boxes": sum(self.accepted.values()),
            }
        )


def figures_of(report: dict[str, Any]) -> Counter[str]:
    """Return the same figures of a report, as ``prelabel report --json`` gives it."""
    total, seen = report["total"], report["seen"]
    return Counter(
        {
            **total["shown"],
            "added": seen["edits"]["added"],
            **total["drawn"],
            "annotations with boxes": seen["annotations"],
            "annotations without boxes": report["unseen"]["annotations"],
            "skipped": report["skipped"],
            "accepted annotations": report["accepted"]["annotations"],
            "accepted boxes": report["accepted"]["boxes"],
        }
    )


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
        self._studio = label_studio
        self._project = project
        self._tally = tally
        self._drafts: dict[int, Sheet] = {}  # by draft id
        self._sheet = Sheet(None)
        self._before: list[tuple[Sheet, list[Region]]] = []  # each step, for undo

    # What is on the page

    @property
    def task(self) -> int:
        """The task that is open; 0 when the stream has no more."""
        return int(self._read()["task"])

    @property
    def regions(self) -> list[Region]:
        """The regions of the open annotation."""
        return [Region(each["id"], each["labels"][0], tuple(each["box"])) for each in self._read()["regions"]]

    def region(self, label: str, place: int = 0) -> Region:
        """Return a region of a label; the leftmost ones first."""
        return sorted((each for each in self.regions if each.label == label), key=lambda each: each.box)[place]

    # Opening

    def open_by_link(self, task: int) -> None:
        """Open a task by its address."""
        self._page.goto(f"{self._studio.url}/projects/{self._project}/data?task={task}")
        self._opened(task)

    def open_by_row(self, task: int) -> None:
        """Open a task by a click on its row, of the data manager or beside the editor."""
        if f"/projects/{self._project}/data" not in self._page.url or "labeling=1" in self._page.url:
            self.close()
        if self.task != task:  # a click on the open one closes it
            rows = self._page.get_by_test_id("table-row")
            rows.filter(has=self._checkbox(task)).click()
        self._opened(task)

    def open_stream(self) -> int:
        """Press "Label All Tasks"; gives the task that comes first, 0 if there is none."""
        self.close()
        self._page.get_by_role("button", name="Label All Tasks").click()
        return self._next(0)

    def reload(self) -> None:
        """Reload the page."""
        task = self.task
        self._page.reload()
        self._opened(task)

    def close(self) -> None:
        """Go to the data manager."""
        self._page.goto(f"{self._studio.url}/projects/{self._project}/data")
        self._page.get_by_test_id("table-row").first.wait_for(timeout=MILLISECONDS)

    # Working on regions

    def select(self, region: Region) -> None:
        """Select a region by a click into its middle."""

        def click() -> None:
            if not self._is_selected(region):
                self._page.mouse.click(*self._middle(region))

        self._repeat(click, lambda: self._is_selected(region), f"{region} cannot be selected")

    def relabel(self, region: Region, label: str, outcome: str = "other label") -> Region:
        """Give a region another label, by its hotkey.

        Args:
            region: one that was shown.
            label: the new one.
            outcome: hidden where the detector had found the object under that label too, with a score below the threshold.
        """
        with self._step(region, "relabeled"):
            self.select(region)
            self._page.keyboard.press(self._hotkey(label))
            self._until(lambda: self._now(region).label == label)
            self._unselect()
            self._sheet.drawn[region.id] = outcome
        return self._now(region)

    def touch(self, region: Region) -> Region:
        """Drag a box by a pixel, which is no correction."""
        with self._step(region, "kept"):
            self._drag(region, 0.1, 0)
        return self._now(region)

    def nudge(self, region: Region) -> Region:
        """Drag a box by a fifth of its width: its IoU with itself is then 0.67."""
        with self._step(region, "nudged"):
            self._drag(region, (region.box[2] - region.box[0]) / 5, 0)
        return self._now(region)

    def drag(self, region: Region, right: float, down: float) -> Region:
        """Drag a box to where the detector found nothing, by percent of the picture."""
        with self._step(region, "nudged"):
            self._drag(region, right, down)
            self._sheet.drawn.setdefault(region.id, "not found")
        return self._now(region)

    def delete(self, region: Region) -> None:
        """Select a region and press Backspace."""
        with self._step(region, "deleted"):
            self._delete(region)

    def draw(self, label: str, box: Box, outcome: str = "not found") -> Region:
        """Draw a box from scratch.

        Args:
            label: chosen by its hotkey.
            box: where.
            outcome: hidden, other label or not found, by what the detector had found there.
        """
        with self._step():
            drawn = self._draw(label, box)
            self._sheet.drawn[drawn.id] = outcome
        return drawn

    def redraw(self, region: Region) -> Region:
        """Delete a box and draw it anew, a little beside: it is nudged with more effort."""
        with self._step(region, "nudged"):
            self._delete(region)
            aside = (region.box[2] - region.box[0]) / 8
            left, top, right, bottom = region.box
            return self._draw(region.label, (left + aside, top, right + aside, bottom))

    def undo(self) -> None:
        """Take the last step back by Ctrl+Z."""
        sheet, regions = self._before.pop()
        self._unselect()

        def undone() -> bool:
            return set(self.regions) == set(regions)

        self._repeat(lambda: self._page.keyboard.press("Control+z"), undone, "the step cannot be undone")
        self._sheet = sheet

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
        (number,) = self._ids() & set(self._tally.skipped)
        self._page.get_by_test_id("bottombar-unskip-button").click()
        self._until(lambda: self._read()["draft"] and not self._read()["loading"] and number not in self._ids())
        self._sheet = self._drafts[self._read()["draft"]] = self._tally.skipped.pop(number)
        self._tally.events += 1

    def add_empty(self) -> None:
        """Press "+" while the prediction's boxes are on the screen: an annotation that begins with none of them."""
        seen = {each.id: "deleted" for each in self.regions}
        self._new_tab(self._page.get_by_role("button", name="Create an annotation").click)
        self._sheet = Sheet(seen)

    def duplicate(self) -> None:
        """Press "Duplicate Annotation" in the menu of the annotation that is open."""
        sheet = deepcopy(self._sheet)
        self._duplicate(self._page.locator(".lsf-annotation-button_selected"))
        self._sheet = sheet

    def duplicate_prediction(self) -> None:
        """Press "Duplicate Annotation" in the menu of the task's prediction, which stands last."""
        self._duplicate(self._page.locator(".lsf-annotation-button").last)
        self._sheet = Sheet({each.id: "kept" for each in self.regions})

    def wait_for_draft(self) -> None:
        """Wait until all that is on the page is stored as a draft."""

        def stored() -> bool:
            state, regions = self._read(), set(self.regions)
            drafts = {each["id"]: each["result"] for each in self._task_now()["drafts"]}
            kept = drafts.get(state["draft"])
            return kept is not None and set(map(_rounded, regions)) == set(map(_rounded, map(_region, kept)))

        self._until(stored)
        self._drafts[self._read()["draft"]] = self._sheet

    def accept_in_bulk(self, tasks: list[int], version: str) -> list[int]:
        """Choose rows and press "Create Annotations From Predictions"; gives the annotations' ids."""
        self.close()
        before = {each["id"] for task in tasks for each in self._annotations(task)}
        for task in tasks:
            self._choose(task)
        self._page.get_by_role("button", name="Tasks Actions").click()
        self._page.get_by_text("Create Annotations From Predictions").click()
        # The dialog proposes the project's version, which may be no prediction's.
        self._page.locator("button[data-name=model_version]").click()
        self._page.get_by_role("option", name=version).click()
        self._page.get_by_test_id("dialog-ok-button").click()
        accepted: dict[int, int] = {}

        def stored() -> bool:
            accepted.update(
                {
                    each["id"]: len(each["result"])
                    for task in tasks
                    for each in self._annotations(task)
                    if each["id"] not in before
                }
            )
            return len(accepted) == len(tasks)

        self._until(stored)
        self._tally.accepted |= accepted
        self._tally.events += 1
        return list(accepted)

    # Inside

    def _choose(self, task: int) -> None:
        chosen = self._page.get_by_label(f"Unselect Task {task}", exact=True)
        self._repeat(self._checkbox(task).click, lambda: chosen.count() == 1, f"task {task} cannot be chosen")

    def _checkbox(self, task: int) -> Locator:
        return self._page.get_by_label(f"Select Task {task}", exact=True)

    def _read(self) -> Any:
        return self._page.evaluate(READ)

    def _until(self, true: Callable[[], object], milliseconds: float = MILLISECONDS) -> None:
        for _ in range(int(milliseconds / 50)):
            if true():
                return
            self._page.wait_for_timeout(50)
        assert true(), f"it did not become so: {self._read()}"

    def _repeat(self, act: Callable[[], None], done: Callable[[], bool], problem: str) -> None:
        for _ in range(int(MILLISECONDS / PATIENCE)):
            act()
            try:
                self._until(done, PATIENCE)
            except AssertionError:
                continue
            return
        pytest.fail(f"{problem}: {self._read()}")

    def _opened(self, task: int) -> None:
        """Wait until a task is on the page with the regions that belong there, and the picture has its place."""
        places: list[Any] = []

        def ready() -> bool:
            state = self._read()
            places.append(state["stage"])
            settled = places[-1] is not None and places[-1] == places[-2:][0] and len(places) > 1
            return settled and not state["loading"] and state["task"] == task and self._is_whole(state)

        self._until(ready)
        self._begin()

    def _is_whole(self, state: Any) -> bool:
        """Tell whether all regions are there of the annotation, draft or prediction that is open."""
        stored = self._task_now()
        if state["draft"]:
            open_now = [each for each in stored["drafts"] if each["id"] == state["draft"]]
        elif state["pk"]:
            open_now = [each for each in stored["annotations"] if each["id"] == int(state["pk"])]
        elif state["parent"]:
            open_now = [each for each in stored["predictions"] if each["id"] == state["parent"]]
        else:
            shows = self._studio.api("GET", f"/api/projects/{self._project}")["show_collab_predictions"]
            return not (stored["drafts"] or stored["annotations"] or (stored["predictions"] and shows))
        wanted = {region["id"] for each in open_now for region in each["result"]}
        return bool(open_now) and {each["id"] for each in state["regions"]} == wanted

    def _next(self, before: int) -> int:
        self._until(lambda: self._read()["done"] or self.task not in {0, before})
        task = self.task
        if task:
            self._opened(task)
        return task

    def _begin(self) -> None:
        state = self._read()
        self._before = []
        if state["draft"]:
            self._sheet = self._drafts[state["draft"]]
        elif state["pk"] and int(state["pk"]) in self._tally.sheets:
            self._sheet = deepcopy(self._tally.sheets[int(state["pk"])])
        else:
            self._sheet = Sheet({each.id: "kept" for each in self.regions} or None)

    def _new_tab(self, act: Callable[[], None]) -> None:
        known = set(self._read()["tabs"])
        act()
        self._until(lambda: self._read()["tab"] not in {None, *known} and not self._read()["loading"])
        self._before = []

    def _duplicate(self, tab: Locator) -> None:
        def choose() -> None:
            tab.locator(".lsf-annotation-button__trigger").click()
            self._page.get_by_text("Duplicate Annotation").click()

        self._new_tab(choose)

    @contextmanager
    def _step(self, region: Region | None = None, fate: str = "") -> Iterator[None]:
        """Remember how things stand before a step, and count it when it is done; a fate never becomes a lesser one."""
        self._before.append((deepcopy(self._sheet), self.regions))
        yield
        if region is None:
            return
        shown = self._sheet.shown or {}
        if region.id in shown:
            shown[region.id] = max(shown[region.id], fate, key=["kept", "nudged", "relabeled", "deleted"].index)
        if fate == "deleted":
            self._sheet.drawn.pop(region.id, None)

    def _delete(self, region: Region) -> None:
        self.select(region)
        self._page.keyboard.press("Backspace")
        self._until(lambda: region.id not in {each.id for each in self.regions})

    def _draw(self, label: str, box: Box) -> Region:
        known = {each.id for each in self.regions}
        self._unselect()
        self._page.keyboard.press(self._hotkey(label))
        x, y, width, height = self._read()["stage"]
        left, top, right, bottom = box
        begin = (x + width * left / 100, y + height * top / 100)
        self._trace(begin, (x + width * right / 100, y + height * bottom / 100))
        self._until(lambda: len(self.regions) == len(known) + 1)
        self._unselect()
        (drawn,) = (each for each in self.regions if each.id not in known)
        assert drawn.label == label
        return drawn

    def _now(self, region: Region) -> Region:
        return next(each for each in self.regions if each.id == region.id)

    def _is_selected(self, region: Region) -> bool:
        return any(each["id"] == region.id and each["selected"] for each in self._read()["regions"])

    def _unselect(self) -> None:
        self._page.keyboard.press("Escape")
        self._until(lambda: not any(each["selected"] for each in self._read()["regions"]))

    def _hotkey(self, label: str) -> str:
        return str(self._read()["hotkeys"][label])

    def _middle(self, region: Region) -> tuple[float, float]:
        x, y, width, height = self._read()["stage"]
        left, top, right, bottom = self._now(region).box
        return x + width * (left + right) / 200, y + height * (top + bottom) / 200

    def _drag(self, region: Region, right: float, down: float) -> None:
        def drag() -> None:
            self.select(region)
            _, _, width, height = self._read()["stage"]
            x, y = self._middle(region)
            self._trace((x, y), (x + width * right / 100, y + height * down / 100))

        self._repeat(drag, lambda: self._now(region).box != region.box, f"{region} cannot be moved")
        self._unselect()

    def _trace(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a line with the button held down, by way of a point further on: the editor takes a jump, and a few pixels, for a click."""
        mouse = self._page.mouse
        mouse.move(*begin)
        mouse.down()
        mouse.move(end[0] + 12, end[1], steps=8)
        mouse.move(*end, steps=2)
        mouse.up()

    def _task_now(self) -> Any:
        return self._studio.api("GET", f"/api/tasks/{self.task}")

    def _annotations(self, task: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._studio.api("GET", f"/api/tasks/{task}")["annotations"]
        return found

    def _ids(self) -> set[int]:
        return {each["id"] for each in self._annotations(self.task)}

    def _send(self, button: str) -> tuple[int, Sheet]:
        """Press a button that stores the annotation; gives its id, and what was done in it."""
        task, sheet, stream = self.task, self._sheet, "labeling=1" in self._page.url
        before = {each["id"]: each["updated_at"] for each in self._annotations(task)}
        self._page.get_by_test_id(button).click()

        def new() -> list[int]:
            return [each["id"] for each in self._annotations(task) if before.get(each["id"]) != each["updated_at"]]

        self._until(new)
        (number,) = new()
        self._tally.events += 1
        if stream:
            self._next(task)
        else:
            self._until(lambda: self._read()["pk"] == str(number) and not self._read()["loading"])
            self._begin()
            self._sheet = deepcopy(sheet)
        return int(number), sheet


def _region(stored: dict[str, Any]) -> Region:
    value = stored["value"]
    corners = (value["x"], value["y"], value["x"] + value["width"], value["y"] + value["height"])
    return Region(stored["id"], value["rectanglelabels"][0], corners)


def _rounded(region: Region) -> tuple[Any, ...]:
    return (region.id, region.label, *(round(edge, 2) for edge in region.box))
