import base64
from collections.abc import Callable, Iterator
from typing import Literal

import httpx
import pytest
from e2e.browser import SCREENSHOTS, chromium
from playwright.sync_api import Browser
from samples import BALLOON_CONFIG, balloon_file


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a browser."""
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_runs_off_the_page(
    serve: Callable[..., str], browser: Browser, width: int, scheme: Literal["light", "dark"]
) -> None:
    """Projects, failures with long addresses, learning, models and the cache fit a telephone and a screen, in light and in dark."""
    url = serve()
    balloon = f"data:image/png;base64,{base64.b64encode(balloon_file()).decode()}"
    tasks = [
        {"id": 1, "data": {"image": balloon}},
        {"id": 1_234_567_890_123, "data": {"image": f"http://127.0.0.1:1/{'long-' * 40}name.jpg"}},
    ]
    httpx.post(f"{url}/predict", json={"tasks": tasks, "label_config": BALLOON_CONFIG, "project": "7.1"})
    httpx.post(f"{url}/setup", json={"project": f"{'odd' * 20}", "schema": "<View/>"})
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    page.goto(f"{url}/status")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"status-{width}-{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ends = page.evaluate("[...document.querySelectorAll('table, p')].map(each => each.getBoundingClientRect().right)")
    assert max(ends) <= width
    assert page.locator("h2").first.inner_text() == "Label Studio"
    assert page.locator("h2").nth(1).inner_text().startswith("Project ")
