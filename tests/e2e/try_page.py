"""The page "Try it" in a real browser, driven as people do, and what it asked for and complained of meanwhile."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from e2e.browser import SCREENSHOTS
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

SECONDS = 60_000  # in milliseconds: a busy machine may be slow

DROP = """(files) => {
    const carried = new DataTransfer();
    for (const [name, text] of files) {
        const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
        carried.items.add(new File([bytes], name));
    }
    return carried;
}"""

OVERFLOWING = """() => [...document.querySelectorAll('body *')]
    .filter((each) => each.checkVisibility() && !each.closest('.boxes, .unseen, #marks') && each.getBoundingClientRect().right > innerWidth + 0.5)
    .filter((each) => { for (let up = each.parentElement; up; up = up.parentElement) if (getComputedStyle(up).overflowX !== 'visible') return false; return true; })
    .map((each) => each.outerHTML.slice(0, 120))"""

expect.set_options(timeout=SECONDS)

Scheme = Literal["light", "dark"]


class TryPage:
    """A page "Try it" that is open.

    Attributes:
        page: of Playwright.
        asked: the addresses of all requests so far.
        wrong: what failed: requests, and what the browser wrote about errors.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.asked: list[str] = []
        self.wrong: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("requestfailed", lambda request: self.wrong.append(f"{request.url}: {request.failure}"))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", self._on_console)
        page.set_default_timeout(SECONDS)
        page.goto(url)
        self.wait_until_ready()

    def _on_console(self, message: ConsoleMessage) -> None:
        # Refusals are answers, and axe adds a style to the page, which may not have any.
        expected = ("the server responded with a status of 4", "Applying inline style")
        if message.type == "error" and not any(each in message.text for each in expected):
            self.wrong.append(message.text)

    def wait_until_ready(self) -> None:
        """Wait until the script has started."""
        expect(self.page.locator("html[data-ready=yes]")).to_be_attached(timeout=SECONDS)

    def wait_until_read(self) -> None:
        """Wait until nothing is being read."""
        expect(self.page.locator("#progress")).to_be_empty()
        self.wait_until_quiet()

    def choose(self, *files: tuple[str, bytes]) -> None:
        """Choose files in the dialog of the browser, and wait until they are read."""
        payloads: list[Any] = [{"name": name, "mimeType": "", "buffer": data} for name, data in files]
        self.page.set_input_files("#files", payloads)
        self.wait_until_read()

    def drop(self, *files: tuple[str, bytes]) -> None:
        """Drop files onto the page, and wait until they are read."""
        texts = [[name, base64.b64encode(data).decode()] for name, data in files]
        carried = self.page.evaluate_handle(DROP, texts)
        self.page.dispatch_event("#drop", "dragover", {"dataTransfer": carried})
        self.page.dispatch_event("#drop", "drop", {"dataTransfer": carried})
        self.wait_until_read()

    @property
    def config(self) -> str:
        """The text of the label config."""
        return self.page.locator("#config").input_value()

    def write(self, text: str) -> None:
        """Put another text in place of the label config, and wait until it is read."""
        self.wait_until_quiet()
        with self.page.expect_response("**/try/label-config"):
            self.page.fill("#config", text)
        self.wait_until_quiet()

    def wait_until_quiet(self) -> None:
        """Wait until all that was asked for is there."""
        expect(self.page.locator("html[data-asking]")).to_have_count(0)

    @property
    def labels(self) -> list[str]:
        """The labels that have a slider."""
        return self.page.locator("#controls .labels li:not(.all) > label").all_inner_texts()

    def slider(self, label: str) -> Locator:
        """Return the slider of a label; ``all`` for that of all."""
        return self.page.locator("#controls .labels li").filter(
            has=self.page.locator("label", has_text=label).filter(visible=True)
        ).first.locator("input")  # fmt: skip

    @property
    def boxes(self) -> Locator:
        """The boxes that are drawn."""
        return self.page.locator(".view").first.locator(".box:not([hidden])")

    @property
    def rows(self) -> Locator:
        """The rows of the list below the picture."""
        return self.page.locator(".view").first.locator(".found li:not([hidden])")

    def table(self) -> list[tuple[str, str, str]]:
        """Return the rows of the list as name, score and the rest."""
        found: list[list[str]] = self.rows.evaluate_all(
            "(rows) => rows.map((row) => ['b', '.score', 'small'].map((each) => row.querySelector(each).textContent))"
        )
        return [(name, score, why) for name, score, why in found]

    def screenshot(self, name: str) -> None:
        """Keep a picture of the whole page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"try-{name}.png", full_page=True)

    def assert_nothing_runs_off(self) -> None:
        """Everything is within the width of the page."""
        assert self.page.evaluate("document.documentElement.scrollWidth") <= self.page.viewport_size["width"]  # type: ignore[index]
        assert self.page.evaluate(OVERFLOWING) == []

    def elsewhere(self) -> list[str]:
        """Return the requests to other places than the service."""
        return [each for each in self.asked if not each.startswith((self.url, f"blob:{self.url}"))]


OpenPage = Callable[..., TryPage]


@contextmanager
def opening(browser: Browser) -> Iterator[OpenPage]:
    """Give a function that opens the page; at the end nothing may have gone wrong, or have been asked for elsewhere."""
    opened: list[TryPage] = []

    def open_page(
        url: str, *, width: int = 1280, scheme: Scheme = "light", login: tuple[str, str] | None = None
    ) -> TryPage:
        credentials = None if login is None else {"username": login[0], "password": login[1]}
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            http_credentials=credentials,  # type: ignore[arg-type]
            permissions=["clipboard-read", "clipboard-write"],
        )
        opened.append(TryPage(context.new_page(), url))
        return opened[-1]

    yield open_page
    for each in opened:
        each.page.context.close()
        assert not each.elsewhere(), each.elsewhere()
        assert not each.wrong, each.wrong
