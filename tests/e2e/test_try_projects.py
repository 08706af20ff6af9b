"""The page "Try it" with a real Label Studio: pictures of its projects, and label configs that are written into them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from e2e.browser import chromium
from e2e.servers import LabelStudio, Prelabel, StartPrelabel
from e2e.try_page import OpenPage, TryPage, opening
from picture_server import Answer, PictureServer
from playwright.sync_api import Browser, Route, expect
from samples import balloon_file
from trained.pictures import held_out

LOGIN = ("me", "pa:ss word")
CONFIG = (
    '<View>\n  <Image name="image" value="$image"/>\n  <RectangleLabels name="label" toName="image">\n'
    '    <Label value="Kite"/>\n    <Label value="Box"/>\n  </RectangleLabels>\n</View>'
)
OTHER = CONFIG.replace('    <Label value="Box"/>\n', '    <Label value="Balloon"/>\n')


@pytest.fixture(scope="module")
def server(start_prelabel: StartPrelabel) -> Prelabel:
    """Start the service with a password."""
    return start_prelabel(BASIC_AUTH_USER=LOGIN[0], BASIC_AUTH_PASS=LOGIN[1])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a browser."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Give a function that opens the page."""
    with opening(browser) as open_page:
        yield open_page


@pytest.fixture
def project(label_studio: LabelStudio) -> int:
    """Give a project with two pictures, and a title that is meant to do harm."""
    number = label_studio.create_project(CONFIG, title="<img src=x onerror=alert(1)>")
    for picture in [each for each in held_out(10) if len(each.objects) > 3][:2]:
        label_studio.upload(number, picture.name, picture.file())
    return number


def choose(shown: TryPage, project: int) -> None:
    """Choose a project, and wait until its label config is shown."""
    with shown.page.expect_response(f"**/try/projects/{project}"):
        shown.page.select_option("#project", str(project))
    shown.wait_until_quiet()


def label_config(studio: LabelStudio, project: int) -> str:
    """Return the label config of a project as Label Studio has it."""
    return str(studio.api("GET", f"/api/projects/{project}")["label_config"])


def open_difference(shown: TryPage) -> None:
    """Press the button that shows what would change."""
    shown.page.get_by_role("button", name="Write it into the project").click()
    expect(shown.page.locator("#write-dialog")).to_be_visible()


def test_config_is_written_after_a_look_at_the_difference(
    label_studio: LabelStudio, server: Prelabel, open_page: OpenPage, project: int
) -> None:
    """From a picture of the project to the label config in Label Studio; nothing before the confirmation, and the author is logged."""
    shown = open_page(server.url, login=LOGIN)
    expect(shown.page.locator("#project")).to_contain_text("<img src=x onerror=alert(1)>")
    choose(shown, project)
    assert shown.config == CONFIG
    shown.page.get_by_role("button", name="Task ").first.click()
    expect(shown.page.locator("#thumbnails button")).to_have_count(1)
    shown.wait_until_read()
    expect(shown.rows.first).to_be_visible()
    shown.page.get_by_label("Another label").fill("Balloon")
    shown.page.keyboard.press("Enter")
    shown.wait_until_quiet()
    shown.slider("Kite").fill("0.6")

    open_difference(shown)
    difference = shown.page.locator("#difference").inner_text()
    assert '+    <Label value="Balloon"/>' in difference
    assert '-    <Label value="Kite"/>' in difference
    assert '+    <Label value="Kite" model_score_threshold="0.6"/>' in difference
    found = Axe().run(shown.page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == []
    shown.screenshot("write-1280-light")
    shown.page.keyboard.press("Escape")
    expect(shown.page.locator("#write-dialog")).to_be_hidden()
    assert label_config(label_studio, project) == CONFIG

    shown.page.get_by_role("button", name="Write it into the project").focus()
    shown.page.keyboard.press("Enter")
    expect(shown.page.locator("#write-dialog")).to_be_visible()
    shown.page.get_by_role("button", name="Write", exact=True).focus()
    shown.page.keyboard.press("Enter")
    expect(shown.page.locator("#copied")).to_have_text(f"Written into project {project}.")
    assert label_config(label_studio, project) == shown.config
    (line,) = [json.loads(each) for each in server.log.read_text().splitlines() if f'"project": {project}' in each and "written" in each]  # fmt: skip
    assert (line["event"], line["author"]) == ("label config written", "me")
    open_difference(shown)
    expect(shown.page.locator("#write-about")).to_contain_text("has this label config already")
    expect(shown.page.get_by_role("button", name="Write", exact=True)).to_be_hidden()


def test_change_of_somebody_else_is_not_overwritten(
    label_studio: LabelStudio, server: Prelabel, open_page: OpenPage, project: int
) -> None:
    """The dialog says so, and the next look shows the difference to what there is now."""
    shown = open_page(server.url, login=LOGIN)
    choose(shown, project)
    shown.slider("Kite").fill("0.6")
    open_difference(shown)
    label_studio.api("PATCH", f"/api/projects/{project}", json={"label_config": OTHER})
    shown.page.get_by_role("button", name="Write", exact=True).click()
    expect(shown.page.locator("#write-problem")).to_contain_text("has changed meanwhile")
    assert label_config(label_studio, project) == OTHER
    shown.page.get_by_role("button", name="Cancel").click()
    open_difference(shown)
    expect(shown.page.locator("#write-problem")).to_be_hidden()
    expect(shown.page.locator("#difference")).to_contain_text('-    <Label value="Balloon"/>')


def test_refusal_of_label_studio_is_shown(
    label_studio: LabelStudio, server: Prelabel, open_page: OpenPage, project: int
) -> None:
    """Label Studio keeps a control that annotations have; its sentence is in the dialog."""
    task = label_studio.tasks(project)[0]["id"]
    region: dict[str, Any] = {
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": 480,
        "original_height": 320,
        "value": {"x": 1, "y": 1, "width": 9, "height": 9, "rotation": 0, "rectanglelabels": ["Box"]},
    }
    label_studio.api("POST", f"/api/tasks/{task}/annotations", json={"result": [region]})
    shown = open_page(server.url, login=LOGIN)
    choose(shown, project)
    shown.write(CONFIG.replace('name="label"', 'name="other"'))
    open_difference(shown)
    shown.page.get_by_role("button", name="Write", exact=True).click()
    expect(shown.page.locator("#write-problem")).to_contain_text("from_name=label")
    shown.wrong.clear()  # 502: what Label Studio refuses
    assert label_config(label_studio, project) == CONFIG


def test_slow_project_does_not_take_the_place_of_another(
    label_studio: LabelStudio, server: Prelabel, open_page: OpenPage, project: int
) -> None:
    """Somebody who chooses two quickly has the second one's config, and would write into the second one."""
    second = label_studio.create_project(OTHER, title="Second")
    shown = open_page(server.url, login=LOGIN)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    shown.page.route(f"**/try/projects/{project}", hold)
    with shown.page.expect_request(f"**/try/projects/{project}"):
        shown.page.select_option("#project", str(project))
    choose_while_held = f"**/try/projects/{second}"
    with shown.page.expect_response(choose_while_held):
        shown.page.select_option("#project", str(second))
    expect(shown.page.locator("#config")).to_have_value(OTHER)
    held[0].continue_()
    shown.wait_until_quiet()
    assert shown.config == OTHER
    open_difference(shown)
    expect(shown.page.locator("#write-about")).to_contain_text(f"Project {second} has this label config already")


def test_project_that_is_gone_is_not_written_into(
    label_studio: LabelStudio, server: Prelabel, open_page: OpenPage, project: int
) -> None:
    """It is told, no project is chosen then, and there is nothing to write into."""
    shown = open_page(server.url, login=LOGIN)
    label_studio.api("DELETE", f"/api/projects/{project}")
    shown.page.select_option("#project", str(project))
    expect(shown.page.locator("#problems p")).to_contain_text(f"project {project}")
    shown.wait_until_quiet()
    expect(shown.page.locator("#project")).to_have_value("")
    expect(shown.page.locator("#write")).to_be_hidden()
    shown.wrong.clear()


def test_pasted_address(server: Prelabel, open_page: OpenPage, pictures: PictureServer) -> None:
    """The service fetches it; what is no picture is told in one sentence that gives nothing away."""
    shown = open_page(server.url, login=LOGIN)
    shown.page.get_by_label("Address of a picture").fill(pictures.add("/balloon.png", balloon_file()))
    shown.page.keyboard.press("Enter")
    expect(shown.page.locator("#thumbnails button")).to_have_count(1)
    shown.wait_until_read()
    expect(shown.boxes.first).to_be_visible()
    shown.page.get_by_label("Address of a picture").fill(pictures.add("/x", Answer(b'{"secret": "s3cr3t"}')))
    shown.page.keyboard.press("Enter")
    expect(shown.page.locator("#problems p")).to_contain_text("could not be fetched as an image")
    assert "s3cr3t" not in shown.page.locator("body").inner_text()
    shown.wrong.clear()
