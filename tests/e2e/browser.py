"""Label Studio's pages in a browser: logging in, and the boxes that the editor shows."""

from pathlib import Path

from e2e.servers import EMAIL, PASSWORD
from playwright.sync_api import Page

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


def log_in(page: Page, url: str) -> None:
    """Log in through the form, unless done already."""
    page.goto(f"{url}/user/login/")
    if page.locator("input[name=email]").count():
        page.fill("input[name=email]", EMAIL)
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(lambda address: "/user/login" not in address)
