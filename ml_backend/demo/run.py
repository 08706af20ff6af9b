"""Runs the demo: draws scenes, posts them as tasks to the real server over HTTP, and draws the predicted boxes."""

import base64
import json
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ml_backend.demo.scenes import DrawnObject, draw_scene, encode
from ml_backend.errors import TaskError
from ml_backend.images.drawing import contact_sheet, draw_regions
from ml_backend.images.label_colours import colours_of
from ml_backend.inference.demo_model import SHAPES
from ml_backend.inference.models import Models
from ml_backend.label_studio.label_config import label_config_for
from ml_backend.label_studio.regions import Region, rectangles_in
from ml_backend.server.app import create_app
from ml_backend.server.running import background_server
from ml_backend.settings import Settings

SEEDS = (4, 11, 12, 30)
TILE = (640, 427)


@dataclass(frozen=True)
class DemoTask:
    """One task of the demo.

    Attributes:
        how: the form in which the image was sent to the server, for the table.
        drawn: the objects in the image.
        regions: the answer of the server.
        picture: the image with the regions drawn on it.
    """

    how: str
    drawn: list[DrawnObject]
    regions: list[Region]
    picture: Image.Image


@dataclass(frozen=True)
class DemoResult:
    """The results of a demo run.

    Attributes:
        tasks: in the order of the scenes.
        model_version: of the predictions.
        sheet: file with all images and their regions.
    """

    tasks: list[DemoTask]
    model_version: str
    sheet: Path


def run_demo(settings: Settings, models: Models, folder: Path) -> DemoResult:
    """Draw scenes, serve them over HTTP, post them as tasks to the real server, and draw the predicted boxes.

    Args:
        settings: for the server.
        models: the demo detector.
        folder: for the scenes and the image with boxes.

    Raises:
        TaskError: a scene was not predicted.
    """
    scene_folder = folder / "scenes"
    scene_folder.mkdir(parents=True, exist_ok=True)
    scenes = [draw_scene(seed) for seed in SEEDS]
    # The pixels of the last image are stored rotated, with an EXIF orientation, as phones do.
    files = [encode(image, orientation=6 if index == len(scenes) - 1 else 1) for index, (image, _) in enumerate(scenes)]
    for number, data in enumerate(files, 1):
        (scene_folder / f"scene-{number}.jpg").write_bytes(data)

    label_config = label_config_for(tuple(SHAPES))
    with _file_server(scene_folder) as images, background_server(create_app(settings, models)) as server:
        inline = "data:image/jpeg;base64," + base64.b64encode(files[0]).decode()
        addresses = [inline, *(f"{images}/scene-{number}.jpg" for number in range(2, len(files) + 1))]
        tasks = [{"id": number, "data": {"image": address}} for number, address in enumerate(addresses, 1)]
        ready = _post(f"{server}/setup", {"project": "0.0", "schema": label_config})
        answer = _post(f"{server}/predict", {"project": "0.0", "label_config": label_config, "tasks": tasks})

    failed = [f"scene-{number}.jpg" for number, result in enumerate(answer["results"], 1) if not result]
    if failed:
        raise TaskError(f"not predicted: {', '.join(failed)}; the warnings above say why")

    ways = ["data: URI", *["http"] * (len(files) - 2), "http, EXIF-rotated"]
    done = [
        DemoTask(
            way,
            drawn,
            result["result"],
            draw_regions(np.asarray(image), rectangles_in(result["result"]), colours_of(SHAPES)),
        )
        for way, (image, drawn), result in zip(ways, scenes, answer["results"], strict=True)
    ]
    sheet = folder / "boxes.png"
    contact_sheet([task.picture for task in done], TILE, columns=2).save(sheet)
    return DemoResult(done, ready["model_version"], sheet)


def overlap(region: Region, drawn: DrawnObject) -> float:
    """Return the intersection over union (IoU) of a predicted region and a drawn object, 0 to 1."""
    value = region["value"]
    x, y = region["original_width"] / 100, region["original_height"] / 100
    left, top = value["x"] * x, value["y"] * y
    right, bottom = left + value["width"] * x, top + value["height"] * y
    wide = min(right, drawn.right) - max(left, drawn.left)
    high = min(bottom, drawn.bottom) - max(top, drawn.top)
    common = max(0.0, wide) * max(0.0, high)
    both = (right - left) * (bottom - top) + (drawn.right - drawn.left) * (drawn.bottom - drawn.top)
    return common / (both - common)


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Keep the demo's output to its table."""


@contextmanager
def _file_server(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _post(url: str, body: Mapping[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310 - our own server
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({})
    )  # a proxy cannot reach this machine's loopback interface
    with direct.open(request, timeout=60) as response:
        return json.load(response)
