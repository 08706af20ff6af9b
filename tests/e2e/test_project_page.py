"""The page of a project in a browser, without a Label Studio."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from e2e.browser import SCREENSHOTS, chromium
from kite_project import AUTH, LEARNED, PROJECT, USER, keep, kite, kites
from picture_server import PictureServer
from playwright.sync_api import Browser, Page
from revision_steps import past_of
from samples import BALLOON_CONFIG, balloon_file
from typer.testing import CliRunner

from ml_backend.cli.common import app as command_line
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.revisions import revert
from ml_backend.inference.detector import Detector
from ml_backend.settings import Settings

Serve = Callable[..., str]
Open = Callable[..., Page]
EVIL = "<img src=x onerror=alert(1)>\u202e" + "long " * 60


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a browser."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Give the address of an empty database."""
    return f"sqlite:///{tmp_path / 'feedback.sqlite3'}"


@pytest.fixture
def project(
    serve: Serve, browser: Browser, demo_detector: Detector, file: str, pictures: PictureServer
) -> Iterator[Open]:
    """Give a function that keeps kites, starts the service and opens the page; nothing may fail in its scripts, or leave its origin."""
    image = pictures.add("/balloon.png", balloon_file())
    troubles: list[str] = []
    requests: list[str] = []
    said_by_browser: list[str] = []
    origins: set[str] = set()
    contexts = []

    def open_page(
        width: int = 1280,
        scheme: Literal["light", "dark"] = "light",
        password: str = AUTH[1],
        kept: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Page:
        keep(Settings(database_url=file), *kites(demo_detector, image), detector=demo_detector, **(kept or {}))
        url = serve(**{"database_url": file, "target_precision": 0.9, "learn": "off", **USER, **settings})
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            http_credentials={"username": AUTH[0], "password": password, "origin": url},
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(dialog.message))
        page.on("request", lambda asked: requests.append(asked.url))
        page.on("console", lambda said: said_by_browser.append(said.text))
        origins.add(url)
        page.goto(f"{url}/projects/{PROJECT}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []
    assert [each for each in requests if not each.startswith(tuple(origins))] == []
    assert [each for each in said_by_browser if "Content Security Policy" in each] == []


def wait_for_all(page: Page) -> None:
    """Wait until every section is there."""
    page.locator("#worst").wait_for()
    page.wait_for_function("!document.querySelector('[data-soon]')")


def authors(file: str) -> list[str]:
    """Return the authors of the revisions."""
    database = Database(file)
    found = [each.author for each in past_of(database)]
    database.close()
    return found


def test_proposal_is_applied_and_taken_back_by_mouse(project: Open, file: str) -> None:
    """After a confirmation that lists the changes; the page then has them, and says so."""
    page = project()
    page.get_by_role("button", name="Apply these changes…").click()
    dialog = page.get_by_role("dialog", name="Apply these changes to project 3?")
    assert f"threshold of Kite: 0.3 → {LEARNED}" in dialog.inner_text()
    dialog.get_by_role("button", name="Cancel").click()
    assert authors(file) == []
    page.get_by_role("button", name="Apply these changes…").click()
    dialog.get_by_role("button", name="Apply", exact=True).click()
    page.get_by_text("In force: revision 1 of project 3.").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Revisions"
    assert authors(file) == ["lead"]
    page.get_by_text("Nothing would change now").wait_for()
    page.get_by_role("button", name="Take back revision 1…").click()
    dialog = page.get_by_role("dialog", name="Take back revision 1 of project 3?")
    assert f"threshold of Kite: {LEARNED} → 0.3" in dialog.inner_text()
    dialog.get_by_role("button", name="Take back", exact=True).click()
    page.get_by_text("In force: revision 2 of project 3, which reverts to the state before any.").wait_for()
    assert authors(file) == ["lead", "lead"]


def test_proposal_is_applied_and_taken_back_by_keyboard(project: Open, file: str) -> None:
    """The focus goes into the dialog, stays there, and comes back."""
    page = project()
    opener = page.get_by_role("button", name="Apply these changes…")
    opener.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "Cancel"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "Apply these changes…"
    for name, said in (("Apply these changes…", "revision 1 of"), ("Take back revision 1…", "revision 2 of")):
        page.get_by_role("button", name=name).focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.get_by_text(f"In force: {said}").wait_for()
    assert authors(file) == ["lead", "lead"]


def test_stale_proposal_is_refused(project: Open, file: str, demo_detector: Detector) -> None:
    """In the dialog, with a sentence; the reader sees the new one after closing it."""
    page = project()
    page.get_by_role("button", name="Apply these changes…").click()
    database = Database(file)
    page.evaluate("document.querySelector('#apply input').value = '0'.repeat(32)")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Apply", exact=True).click()
    dialog.get_by_text("Nothing was changed: the proposal has changed since it was shown").wait_for()
    dialog.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Apply these changes…").click()
    page.evaluate(
        "fetch('3/figures').then(each => each.text()).then(text => {"
        "document.querySelector('#apply input').value = text.match(/name=.digest. value=.([0-9a-f]+)/)[1]})"
    )
    page.wait_for_function("!document.querySelector('#apply input').value.startsWith('0000')")
    dialog.get_by_role("button", name="Apply", exact=True).click()
    page.get_by_role("button", name="Take back revision 1…").click()
    revert(database, PROJECT, author="somebody else")
    dialog.get_by_role("button", name="Take back", exact=True).click()
    dialog.get_by_text("Nothing was changed: revision 2 of project 3").wait_for()
    database.close()
    assert authors(file) == ["lead", "somebody else"]


def test_numbers_are_those_of_the_report(project: Open, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of labels and of annotators, cell by cell."""
    page = project()
    wait_for_all(page)
    monkeypatch.setenv("PRELABEL_DATABASE_URL", file)
    monkeypatch.setenv("PRELABEL_TARGET_PRECISION", "0.9")
    values = json.loads(CliRunner().invoke(command_line, ["report", "--project", str(PROJECT), "--json"]).stdout)

    def rows(section: str) -> list[list[str]]:
        found = page.locator(f"#{section} tbody tr").all()
        return [[" ".join(cell.inner_text().split()) for cell in row.locator("th, td").all()] for row in found]

    def percent(share: dict[str, Any]) -> str:
        if share["value"] is None:
            return "\u2013"
        return f"{100 * share['value']:.0f} % ({100 * share['low']:.0f}\u2013{100 * share['high']:.0f})"

    shown = {row[0].partition(" small")[0]: row for row in rows("labels")}
    for label in values["labels"]:
        row = shown[label["label"]]
        assert row[1:3] == [f"{label['threshold']:.2f}", str(label["precision"]["total"])]
        assert (row[4], row[5], row[7]) == (
            percent(label["precision"]),
            str(label["recall"]["total"]),
            percent(label["recall"]),
        )
    annotators = {row[0]: row[1:3] for row in rows("annotators")}
    assert annotators == {
        each["name"]: [str(each["annotations"]), str(sum(each["shown"].values()))] for each in values["annotators"]
    }
    assert f"Kite: at a threshold of 0.30, {100 * 40 / 60:.0f} % of the shown boxes are right" in str(
        page.locator("svg.curve").first.get_attribute("aria-label")
    )


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_can_be_used_by_everybody(project: Open, width: int, scheme: Literal["light", "dark"]) -> None:
    """Nothing serious is found by axe, with all details open and in the dialog; nothing runs off the page; pictures come as they are reached."""
    page = project(width, scheme)
    wait_for_all(page)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    for picture in page.locator("img").all():
        picture.scroll_into_view_if_needed()
        page.wait_for_function("each => each.complete && each.naturalWidth > 0", arg=picture.element_handle())
    assert page.locator("img").count() > 0
    page.evaluate("scrollTo(0, 0)")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"project-{width}-{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious(page) == []
    page.get_by_role("button", name="Apply these changes…").click()
    page.screenshot(path=SCREENSHOTS / f"project-apply-{width}-{scheme}.png")
    assert serious(page) == []
    box = page.get_by_role("dialog").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def serious(page: Page) -> list[str]:
    """Return what keeps people from using the page."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in {"serious", "critical"}]


@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_names_do_no_harm(project: Open, width: int) -> None:
    """Titles and labels with markup, reversed writing and three hundred letters neither run nor run off."""
    escaped = EVIL.replace("<", "&lt;")
    page = project(width, kept={"title": EVIL[:190], "xml": BALLOON_CONFIG.replace('"Balloon"', f'"{escaped}"')})
    wait_for_all(page)
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("h1").inner_text().startswith("<img src=x onerror=alert(1)>")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_page_keeps_itself_current_and_what_is_open(project: Open, file: str, demo_detector: Detector) -> None:
    """New figures come by themselves and are announced; the reader's place, open details and the focus stay."""
    page = project()
    wait_for_all(page)
    details = page.locator("#thresholds details").first
    details.locator("summary").click()
    page.locator("#revisions").scroll_into_view_if_needed()
    details.locator("summary").focus()
    page.evaluate("scrollTo(0, document.querySelector('#thresholds').offsetTop + 40)")
    before = page.evaluate("document.querySelector('#thresholds').getBoundingClientRect().top")
    more = [kite(n, 0.6, right=True, detector=demo_detector.fingerprint[:8]) for n in range(61, 70)]
    keep(Settings(database_url=file), *more)
    page.wait_for_timeout(3000)  # figures rest after a computation
    for _ in range(30):
        page.evaluate("refresh()")
        page.wait_for_timeout(300)
        if page.locator(".tile b").first.inner_text() == "69":
            break
    assert page.locator(".tile b").first.inner_text() == "69"
    assert re.match(r"Updated at .*: .*Progress", page.locator("#state").inner_text())
    assert page.locator("#state").get_attribute("role") == "status"
    assert details.get_attribute("open") is not None
    assert page.evaluate("document.activeElement.textContent") == "Numbers of Kite"
    assert abs(page.evaluate("document.querySelector('#thresholds').getBoundingClientRect().top") - before) <= 2


def test_reader_is_told_while_figures_are_computed(project: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is there at once, with a bar that goes away when the figures come."""
    monkeypatch.setattr("ml_backend.server.pages.project.WAIT_SECONDS", 0)
    page = project()
    page.get_by_text("They will be here as soon as they are done.").wait_for()
    assert page.locator("#state").inner_text() == "The figures are being computed."
    assert page.get_by_role("progressbar", name="Computing the figures").is_visible()
    wait_for_all(page)
    assert not page.locator("#busy").is_visible()
    assert page.locator("#state").inner_text().startswith("Figures of ")


def test_open_dialog_is_left_alone(project: Open, file: str, demo_detector: Detector) -> None:
    """A reader who is deciding sees the proposal that stands there, which is refused if it has changed."""
    page = project()
    page.get_by_role("button", name="Apply these changes…").click()
    page.wait_for_timeout(3000)
    keep(Settings(database_url=file), kite(61, 0.45, right=True, detector=demo_detector.fingerprint[:8]))
    for _ in range(5):
        page.evaluate("refresh()")
        page.wait_for_timeout(300)
    assert page.get_by_role("dialog").is_visible()


def test_wrong_password_shows_nothing(serve: Serve, browser: Browser, file: str) -> None:
    """Neither the page nor its figures."""
    url = serve(database_url=file, **USER)
    context = browser.new_context(http_credentials={"username": "lead", "password": "wrong"})
    page = context.new_page()
    answer = page.goto(f"{url}/projects/{PROJECT}")
    assert answer is not None
    assert answer.status == 401
    assert page.locator("h1").count() == 0
    context.close()


def test_without_a_script_the_figures_are_a_page(
    serve: Serve, browser: Browser, file: str, demo_detector: Detector
) -> None:
    """And its forms apply and take back, too."""
    keep(Settings(database_url=file), *kites(demo_detector), detector=demo_detector)
    url = serve(database_url=file, target_precision=0.9, learn="off", **USER)
    context = browser.new_context(
        java_script_enabled=False, http_credentials={"username": AUTH[0], "password": AUTH[1], "origin": url}
    )
    page = context.new_page()
    page.goto(f"{url}/projects/{PROJECT}")
    page.get_by_role("link", name="the figures as a page of their own").click()
    page.get_by_text("Apply these changes…").click()
    page.get_by_role("button", name="Apply", exact=True).click()
    page.get_by_text("Take back revision 1…").click()
    page.get_by_role("button", name="Take back", exact=True).click()
    page.get_by_text("Back to the state before any.").wait_for()
    context.close()
    assert authors(file) == ["lead", "lead"]


def test_status_page_leads_to_the_project(serve: Serve, browser: Browser, file: str) -> None:
    """And the project back to all."""
    url = serve(database_url=file)
    httpx.post(f"{url}/setup", json={"project": f"{PROJECT}.1", "schema": BALLOON_CONFIG})
    page = browser.new_page()
    page.goto(f"{url}/status")
    page.get_by_role("link", name=f"Project {PROJECT}").click()
    page.get_by_role("heading", name="No corrections yet").wait_for()
    page.get_by_role("link", name="All projects").click()
    page.get_by_role("heading", name=f"Project {PROJECT}").wait_for()
    page.close()
