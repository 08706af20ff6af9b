"""Screenshots of a real Label Studio with boxes, of `/status`, of the report and of a project's page, for :mod:`pictures`."""

from contextlib import chdir
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import labels as ground_truth
from annotator import Annotator
from e2e.album import correct_each, import_files
from e2e.browser import SHOWN, chromium, log_in
from e2e.servers import TOKEN, LabelStudio, Prelabel, install_label_studio, run_prelabel
from pictures import DETECTOR, EVERYDAY, PHOTOGRAPHS, PICTURES, SHARED, photograph
from PIL import Image
from playwright.sync_api import Browser, FloatRect, HttpCredentials
from waiting import wait_until

SHOWN_TASK = "coffee"
CONFIG = (
    EVERYDAY.read_text()
    .replace('smart="true"', 'smart="true" opacity="0.1" strokeWidth="4"')
    .replace(
        "</RectangleLabels>",
        '<Label value="Mug" background="#d2f000"/><Label value="Table" background="#00b4ff"/></RectangleLabels>',
    )
)


def take_pictures(folder: Path) -> None:
    """Start Label Studio and Prelabel in a folder, predict and correct photographs, and take screenshots."""
    label_studio = LabelStudio(install_label_studio(), folder / "label-studio")
    with chdir(folder):  # so that the pages have no path of this machine
        (folder / "models").mkdir()
        (folder / "models" / "yolox-nano").symlink_to(DETECTOR)
        settings = {
            "LABEL_STUDIO_URL": label_studio.url,
            "LABEL_STUDIO_API_KEY": TOKEN,
            "PRELABEL_MODEL": "models/yolox-nano",
            "PRELABEL_CACHE_FILE": "cache.sqlite3",
            "PRELABEL_DATABASE_URL": "sqlite:///feedback.sqlite3",
        }
        server = None
        try:
            label_studio.start()
            server = Prelabel(folder, None, settings)
            with chromium() as browser:
                corrected = correct_photographs(label_studio, server)
                take_report(browser, settings, corrected)
                take_project(browser, settings, corrected)
                train(label_studio, corrected)
                take_task(browser, label_studio, server)
                take_try(browser, server.url)
                take_status(browser, server)
        finally:
            if server is not None:
                server.stop()
            label_studio.close()


def correct_photographs(label_studio: LabelStudio, server: Prelabel) -> int:
    """Predict the shared photographs, and correct them by their ground truth as the tests' annotator does; returns the project."""
    files = {file.name: file.read_bytes() for file in sorted((SHARED / "photos" / "images").glob("*.jpg"))}
    project = import_files(label_studio, files, ground_truth.config(), title="Photographs")
    label_studio.connect(project, server.url)
    label_studio.retrieve(project)
    truth = ground_truth.truth(ground_truth.rolled_up())
    wanted = {
        name: {label: boxes for label, boxes in of_image.items() if label in ground_truth.LABELS}
        for name, of_image in truth.items()
    }
    names = correct_each(label_studio, project, Annotator(), wanted, ground_truth.image_sizes())
    wait_until(lambda: status_of(server)["learning"]["waiting"] == 0)
    print(f"{len(names)} photographs corrected")
    return project


def take_report(browser: Browser, settings: dict[str, str], project: int) -> None:
    """Take two parts of the report, its beginning and its curves: the shared photographs below them are not ours to publish."""
    run_prelabel(settings, "report", "--project", str(project), "--html", "report.html")
    page = browser.new_page(viewport={"width": 1180, "height": 900})
    page.goto(f"file://{Path('report.html').resolve()}")
    tops = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('h2')].map(each => [each.innerText, each.offsetTop]))"
    )
    parts = []
    for start, end in (
        (0, tops["What has been learned"]),
        (tops["At other thresholds"], tops["The images with the most edits"]),
    ):
        area = FloatRect(x=0, y=start, width=1180, height=end - start - 20)
        parts.append(Image.open(BytesIO(page.screenshot(full_page=True, clip=area))))
    picture = Image.new("RGB", (1180, sum(part.height for part in parts)))
    picture.paste(parts[0])
    picture.paste(parts[1], (0, parts[0].height))
    picture.save(PICTURES / "report.png", optimize=True)


def take_project(browser: Browser, settings: dict[str, str], project: int) -> None:
    """Take the beginning of the project's page, with a proposal to apply: the shared photographs below it are not ours to publish."""
    user = {"BASIC_AUTH_USER": "lead", "BASIC_AUTH_PASS": "for this picture"}
    server = Prelabel(Path.cwd(), None, settings | user | {"PRELABEL_LEARN": "off"})
    try:
        login = HttpCredentials(username=user["BASIC_AUTH_USER"], password=user["BASIC_AUTH_PASS"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, http_credentials=login)
        page.goto(f"{server.url}/projects/{project}")
        page.locator("#annotators").wait_for()
        page.wait_for_function("!document.querySelector('[data-soon]')")
        end = page.evaluate("document.querySelector('#annotators').offsetTop")
        shot = page.screenshot(full_page=True, clip=FloatRect(x=0, y=0, width=1280, height=end))
    finally:
        server.stop()
    Image.open(BytesIO(shot)).convert("RGB").save(PICTURES / "project.jpg", quality=75, optimize=True)


def train(label_studio: LabelStudio, project: int) -> None:
    """Press Start Training."""
    (backend,) = label_studio.api("GET", f"/api/ml?project={project}")
    label_studio.api("POST", f"/api/ml/{backend['id']}/train")


def take_task(browser: Browser, label_studio: LabelStudio, server: Prelabel) -> None:
    """Take a task as it opens in Label Studio, with its boxes; then let one fail, for the status page."""
    project = label_studio.create_project(CONFIG, title="Everyday things")
    for name in (SHOWN_TASK, *(name for name in PHOTOGRAPHS if name != SHOWN_TASK)):
        data = BytesIO()
        photograph(name, 640).save(data, "JPEG", quality=90)
        label_studio.upload(project, f"{name}.jpg", data.getvalue())
    label_studio.connect(project, server.url)
    label_studio.retrieve(project)
    wait_until(lambda: projects_of(server).get(str(project), {}).get("predicted", 0) >= len(PHOTOGRAPHS))
    task, *_ = label_studio.tasks(project)
    page = browser.new_page(viewport={"width": 1400, "height": 840})
    log_in(page, label_studio.url)
    page.goto(f"{label_studio.url}/projects/{project}/data?task={task['id']}")
    page.wait_for_function(
        f"() => {{ const now = ({SHOWN})(); return now.size && now.regions.length; }}", timeout=90_000
    )
    page.wait_for_timeout(5000)  # for the canvas and the thumbnails to be painted
    page.screenshot(path=PICTURES / "label-studio.jpg", type="jpeg", quality=90)
    label_studio.import_tasks(project, [{"data": {"image": "http://127.0.0.1:1/moved/street-0414.jpg"}}])
    label_studio.retrieve(project)
    wait_until(lambda: projects_of(server)[str(project)]["failed"] > 0)


def take_try(browser: Browser, url: str) -> None:
    """Take the page for trying pictures, with the public photographs, one threshold moved, and a detection pointed out."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(url)
    page.locator("html[data-ready=yes]").wait_for(state="attached")
    for name in sorted(PHOTOGRAPHS, key=lambda each: each != SHOWN_TASK):
        data = BytesIO()
        photograph(name, 640).save(data, "JPEG", quality=90)
        page.set_input_files("#files", {"name": f"{name}.jpg", "mimeType": "image/jpeg", "buffer": data.getvalue()})
        page.locator(f"#thumbnails img[alt='{name}.jpg']").wait_for()
        page.locator("#progress:empty").wait_for(state="attached")
    page.locator(".labels input").nth(1).fill("0.4")
    page.locator(".found button").first.hover()
    page.screenshot(path=PICTURES / "try.jpg", type="jpeg", quality=85, full_page=True)


def take_status(browser: Browser, server: Prelabel) -> None:
    """Take the status page when the projects have been checked."""
    wait_until(
        lambda: all(
            each["upkeep"]["findings"] and not each["upkeep"]["renewal"] for each in projects_of(server).values()
        )
    )
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto(f"{server.url}/status")
    page.screenshot(path=PICTURES / "status.png", full_page=True)
    if str(Path.cwd()) in page.content():
        print("look again: status.png names a folder of this machine")


def status_of(server: Prelabel) -> Any:
    """Return the JSON of the status page, which asks a Label Studio that may be busy."""
    return httpx.get(f"{server.url}/status", timeout=60).json()


def projects_of(server: Prelabel) -> dict[str, Any]:
    """Return the part of it on projects, by id."""
    projects: dict[str, Any] = status_of(server)["projects"]
    return projects
