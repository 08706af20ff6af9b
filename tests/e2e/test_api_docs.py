from collections.abc import Callable

import httpx
import pytest
from e2e.browser import chromium

USER, PASSWORD = "me", "pa:ss word"


def test_page_shows_the_routes_without_another_host(serve: Callable[..., str]) -> None:
    """Chromium draws each operation, and opens one with its schema; nothing leaves the server, nothing fails."""
    url = serve(basic_auth_user=USER, basic_auth_pass=PASSWORD)
    asked: list[str] = []
    wrong: list[str] = []
    with chromium() as browser:
        page = browser.new_context(http_credentials={"username": USER, "password": PASSWORD}).new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("requestfailed", lambda request: wrong.append(request.url))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto(f"{url}/docs")
        page.locator("#operations-default-predict_predict_post").click()
        page.get_by_text("Predict tasks: one entry for each, in order.").wait_for()
        shown = page.locator(".opblock").count()
    api = httpx.get(f"{url}/openapi.json", auth=(USER, PASSWORD)).json()
    assert shown == sum(len(operations) for operations in api["paths"].values())
    assert [each for each in asked if not each.startswith((url, "data:"))] == []
    assert wrong == []


@pytest.mark.parametrize("name", ["redoc.standalone.js", "..%2F..%2F__init__.py", "x"])
def test_no_other_files_are_served(serve: Callable[..., str], name: str) -> None:
    """The page has three; the package's others are missing as any path is."""
    assert httpx.get(f"{serve()}/docs/{name}").status_code == 404
