"""The labelling page in a real browser: what is on it, read from the editor's own store, and what a person does there by mouse and keyboard."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Locator, Page

Box = tuple[float, float, float, float]  # left, top, right, bottom in percent of the displayed picture

MILLISECONDS = 60_000  # a busy machine may be slow; one that is not never waits so long
PATIENCE = 2_000  # milliseconds until something is done again that had no effect: the canvas was not painted yet

# Region ids are those of the annotation's JSON.
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
        regions: (selected?.regions ?? []).filter(region => region.bboxCoords).map(region => {
            const {left, top, right, bottom} = region.bboxCoords;
            return {id: region.cleanId, labels: [...region.labels], box: [left, top, right, bottom], selected: region.inSelection};
        }),
    };
}"""


class Region(NamedTuple):
    """A rectangle with one label, as the editor shows it."""

    id: str
    label: str
    box: Box

    @classmethod
    def stored(cls, region: dict[str, Any]) -> "Region":
        """Read a region as Label Studio stores it."""
        value = region["value"]
        corners = (value["x"], value["y"], value["x"] + value["width"], value["y"] + value["height"])
        return cls(region["id"], value["rectanglelabels"][0], corners)

    def rounded(self) -> "Region":
        """Return it without the digits that storing may change."""
        left, top, right, bottom = (round(edge, 2) for edge in self.box)
        return Region(self.id, self.label, (left, top, right, bottom))


class Editor:
    """The labelling page. Nothing in it sleeps for a fixed time: it polls, and repeats what had no effect.

    Args:
        page: logged in.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        page.set_default_timeout(MILLISECONDS)

    def read(self) -> Any:
        """Return what is on the page, as :data:`READ` has it."""
        return self.page.evaluate(READ)

    def until(self, true: Callable[[], object], milliseconds: float = MILLISECONDS) -> None:
        """Wait until something is so."""
        for _ in range(int(milliseconds / 50)):
            if true():
                return
            self.page.wait_for_timeout(50)
        assert true(), f"it did not become so: {self.read()}"

    def repeat(self, act: Callable[[], object], done: Callable[[], bool], problem: str) -> None:
        """Do something until it has had its effect."""
        for _ in range(int(MILLISECONDS / PATIENCE)):
            act()
            try:
                self.until(done, PATIENCE)
            except AssertionError:
                continue
            return
        pytest.fail(f"{problem}: {self.read()}")

    @property
    def task(self) -> int:
        """The task that is open; 0 when there is none."""
        return int(self.read()["task"])

    @property
    def is_stream(self) -> bool:
        """Whether it is the label stream."""
        return "labeling=1" in self.page.url

    @property
    def regions(self) -> list[Region]:
        """The regions of the open annotation."""
        return [Region(each["id"], each["labels"][0], tuple(each["box"])) for each in self.read()["regions"]]

    def now(self, region: Region) -> Region:
        """Return a region as it is now."""
        return next(each for each in self.regions if each.id == region.id)

    def wait_for_place(self, ready: Callable[[Any], bool]) -> None:
        """Wait until the page is ready by what is read of it, and the picture stays where it is."""
        places: list[Any] = [None]

        def is_settled() -> bool:
            state = self.read()
            places.append(state["stage"])
            return places[-1] is not None and places[-1] == places[-2] and not state["loading"] and ready(state)

        self.until(is_settled)

    def select(self, region: Region) -> None:
        """Select a region by a click into its middle."""

        def click() -> None:
            if not self._is_selected(region):
                self.page.mouse.click(*self._middle(region))

        self.repeat(click, lambda: self._is_selected(region), f"{region} cannot be selected")

    def unselect(self) -> None:
        """Press Escape, so that nothing is selected."""
        self.page.keyboard.press("Escape")
        self.until(lambda: not any(each["selected"] for each in self.read()["regions"]))

    def relabel(self, region: Region, label: str) -> Region:
        """Select a region and press the hotkey of a label."""

        def press() -> None:
            self.select(region)
            self.page.keyboard.press(self._hotkey(label))

        self.repeat(press, lambda: self.now(region).label == label, f"{region} cannot be relabeled")
        self.unselect()
        return self.now(region)

    def drag(self, region: Region, right: float, down: float) -> Region:
        """Drag a region by percent of the picture."""

        def drag() -> None:
            self.select(region)
            _, _, width, height = self.read()["stage"]
            x, y = self._middle(region)
            self._trace((x, y), (x + width * right / 100, y + height * down / 100))

        self.repeat(drag, lambda: self.now(region).box != region.box, f"{region} cannot be dragged")
        self.unselect()
        return self.now(region)

    def delete(self, region: Region) -> None:
        """Select a region and press Backspace."""

        def press() -> None:
            self.select(region)
            self.page.keyboard.press("Backspace")

        def is_gone() -> bool:
            return region.id not in {each.id for each in self.regions}

        self.repeat(press, is_gone, f"{region} cannot be deleted")

    def draw(self, label: str, box: Box) -> Region:
        """Press the hotkey of a label and draw a rectangle."""
        known = {each.id for each in self.regions}

        def draw() -> None:
            self.unselect()
            self.page.keyboard.press(self._hotkey(label))
            x, y, width, height = self.read()["stage"]
            left, top, right, bottom = box
            begin = (x + width * left / 100, y + height * top / 100)
            self._trace(begin, (x + width * right / 100, y + height * bottom / 100))

        self.repeat(draw, lambda: len(self.regions) == len(known) + 1, f"no {label} can be drawn at {box}")
        self.unselect()
        (drawn,) = (each for each in self.regions if each.id not in known)
        assert drawn.label == label
        return drawn

    def undo(self, regions: list[Region]) -> None:
        """Press Ctrl+Z until the regions are those from before."""
        self.unselect()

        def is_undone() -> bool:
            return set(self.regions) == set(regions)

        self.repeat(lambda: self.page.keyboard.press("Control+z"), is_undone, "the step cannot be undone")

    def press(self, button: str) -> None:
        """Press a button by its ``data-testid``."""
        self.page.get_by_test_id(button).click()

    def add_tab(self, act: Callable[[], object]) -> None:
        """Do something that opens another annotation of the task."""
        known = set(self.read()["tabs"])
        act()
        self.until(lambda: self.read()["tab"] not in {None, *known} and not self.read()["loading"])

    def duplicate(self, tab: Locator) -> None:
        """Press "Duplicate Annotation" in the menu of a tab."""

        def choose() -> None:
            tab.locator(".lsf-annotation-button__trigger").click()
            self.page.get_by_text("Duplicate Annotation").click()

        self.add_tab(choose)

    def _is_selected(self, region: Region) -> bool:
        return any(each["id"] == region.id and each["selected"] for each in self.read()["regions"])

    def _hotkey(self, label: str) -> str:
        return str(self.read()["hotkeys"][label])

    def _middle(self, region: Region) -> tuple[float, float]:
        x, y, width, height = self.read()["stage"]
        left, top, right, bottom = self.now(region).box
        return x + width * (left + right) / 200, y + height * (top + bottom) / 200

    def _trace(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a line with the button held down, by way of a point further on: the editor takes a jump, and a few pixels, for a click."""
        mouse = self.page.mouse
        mouse.move(*begin)
        mouse.down()
        mouse.move(end[0] + 12, end[1], steps=8)
        mouse.move(*end, steps=2)
        mouse.up()
