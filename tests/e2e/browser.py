"""Headless Chromium, people who log in to Label Studio with it, and the boxes that the editor shows them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e.servers import EMAIL, PASSWORD
from playwright.sync_api import Browser, Page, sync_playwright

SCREENSHOTS = Path(__file__).parent.parent.parent / "build" / "screenshots"

# The editor's own view of what it shows: labels and corners in percent of the displayed picture, and that picture's size.
SHOWN = """() => {
    const image = [...document.querySelectorAll('img')].find(image => image.src.startsWith('blob:'));
    const regions = window.Htx?.annotationStore?.selected?.regions ?? [];
    return {
        size: image ? [image.naturalWidth, image.naturalHeight] : null,
        regions: regions.map(region => ({labels: region.labels, ...region.bboxCoords})),
    };
}"""

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


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
