"""The official runner, label-studio-ml 1.0.9 from PyPI, really serving over HTTP."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from picture_server import PictureServer
from samples import BALLOON_CONFIG, balloon_file, empty_file
from werkzeug.serving import make_server


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, models_dir: Path, tmp_path: Path) -> Iterator[str]:
    """Give the address of the runner with our model."""
    monkeypatch.setenv("PRELABEL_MODEL", "demo")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(models_dir))
    from label_studio_ml.api import init_app

    from ml_backend.model import PrelabelModel

    app = init_app(model_class=PrelabelModel, model_dir=str(tmp_path))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_runner_and_service_answer_the_same(runner: str, serve: Callable[..., str], pictures: PictureServer) -> None:
    """Boxes, an empty picture, a broken one, and a gesture: letter by letter."""
    value = {"x": 10, "y": 20, "width": 22, "height": 50, "rotation": 0, "rectanglelabels": ["Box"]}
    drawn = {"id": "r", "from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value}
    addresses = [pictures.add("/a.png", balloon_file()), pictures.add("/b.png", empty_file()), pictures.url + "/none"]
    tasks = [{"id": number, "data": {"image": address}} for number, address in enumerate(addresses, 1)]
    service = serve()
    setup = {"project": "7.1", "schema": BALLOON_CONFIG, "hostname": "http://ls", "access_token": "t"}
    for url in (runner, service):
        assert httpx.get(f"{url}/health").json()["status"] == "UP"
        assert httpx.post(f"{url}/setup", json=setup).status_code == 200
    for context in (None, {"result": [drawn]}):
        body: dict[str, Any] = {"tasks": tasks, "project": "7.1", "label_config": BALLOON_CONFIG}
        body["params"] = {"login": None, "password": None, "context": context}
        ours, theirs = (httpx.post(f"{url}/predict", json=body, timeout=60).json() for url in (service, runner))
        assert theirs["results"] == ours["results"]
        assert len(ours["results"][0]["result"]) == 1
        assert ours["results"][2] == []


def test_fit_takes_what_either_runner_gives(runner: str) -> None:
    """1.0.9 gives tasks first, 2.x an event and its data."""
    from ml_backend.model import PrelabelModel

    model = PrelabelModel(label_config=BALLOON_CONFIG)
    assert model.fit((), event="ANNOTATION_CREATED", data={}, job_id="1", workdir=".") == {}
    assert model.fit("ANNOTATION_CREATED", {}) == {}
