"""Upkeep without a Label Studio that answers; with a real one, it is tried in tests/e2e/test_queue.py."""

from collections.abc import Callable

import httpx
import pytest
from ports import free_port
from waiting import wait_until

from ml_backend.label_studio.label_config import label_config_for
from ml_backend.projects.upkeep import PROJECTS
from ml_backend.server.status import PROJECTS as SHOWN

SETUP = {"project": "7.1795326029", "schema": label_config_for(("Box",)), "hostname": "", "access_token": ""}


def upkeep_of(url: str) -> dict[str, object]:
    """Return what the status page says of project 7."""
    upkeep: dict[str, object] = httpx.get(f"{url}/status").json()["projects"]["7"]["upkeep"]
    return upkeep


def test_label_studio_that_is_away_costs_a_sentence(serve: Callable[..., str]) -> None:
    """Predictions, and the answer to /setup, do not depend on it."""
    url = serve(label_studio_url=f"http://127.0.0.1:{free_port()}", label_studio_api_key="a-token-of-mine")
    assert httpx.post(f"{url}/setup", json=SETUP).status_code == 200
    wait_until(lambda: "does not answer" in str(upkeep_of(url)["problem"]))
    assert "a-token-of-mine" not in httpx.get(f"{url}/status", headers={"Accept": "text/html"}).text


@pytest.mark.parametrize(
    "settings", [{}, {"label_studio_url": "http://127.0.0.1:1"}], ids=["no settings at all", "no token"]
)
def test_missing_token_is_named(serve: Callable[..., str], settings: dict[str, str]) -> None:
    """The token that /setup brings along is not used."""
    url = serve(**settings)
    httpx.post(f"{url}/setup", json={**SETUP, "hostname": "http://127.0.0.1:1", "access_token": "0" * 40})
    assert "LABEL_STUDIO_API_KEY" in str(upkeep_of(url)["problem"])


def test_strangers_cannot_fill_the_memory(serve: Callable[..., str]) -> None:
    """Anybody can name projects in /setup, with any text for an id."""
    url = serve(label_studio_url=f"http://127.0.0.1:{free_port()}", label_studio_api_key="x")
    with httpx.Client(base_url=url) as client:
        for name in (*map(str, range(1, PROJECTS + 20)), "../7", "7" * 50, "\u0667", ""):
            assert client.post("/setup", json={**SETUP, "project": name}).status_code == 200
        projects = client.get("/status").json()["projects"]
    assert len(projects) == SHOWN
    assert str(PROJECTS + 19) in projects
    assert "1" not in projects
