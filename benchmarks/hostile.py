"""The longest time that one request holds up `/health`, case by case, and the cost of hostile images.

Starts `prelabel serve`, sends each request, and asks `/health` all the time from another process. Run it with `make bench-all`;
`docs/security.md` has the figures.
"""

import base64
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from servers import CONFIG, detector, family, memory, prelabel

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # the images are those of the tests

from hostile_images import NAMED, encoded, photograph

PAUSE = 0.005  # seconds between two questions
LABELS = '<RectangleLabels name="l{}" toName="image"><Label value="Person"/></RectangleLabels>'


def body(**fields: Any) -> bytes:
    """Return the body of a request for predictions."""
    return json.dumps({"tasks": [], "label_config": CONFIG, "project": "1.1", "params": {}} | fields).encode()


def old_predictions(tasks: int, predictions: int) -> list[dict[str, Any]]:
    """Return tasks with old predictions of 20 boxes each, as Label Studio sends them."""
    region = {
        "id": "d179c43efe5c83dd35e4",
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": 640,
        "original_height": 480,
        "image_rotation": 0,
        "value": {
            "x": 1.2345,
            "y": 2.34,
            "width": 30.1,
            "height": 40.2,
            "rotation": 0,
            "rectanglelabels": ["Person"],
        },
        "score": 0.87,
    }
    old = [{"id": 1, "model_version": "x@1", "score": 0.5, "result": [region] * 20}] * predictions
    return [
        {"id": number + 1, "data": {"image": PICTURE}, "annotations": [], "predictions": old} for number in range(tasks)
    ]


def data_uri(data: bytes) -> str:
    """Return an image as a data: URI."""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


PICTURE = data_uri(encoded(photograph(0, 64, 48), "JPEG", quality=30))


def config(inside: str) -> str:
    """Return a label config."""
    return f'<View><Image name="image" value="$image"/>{inside}</View>'


def task(image: object) -> dict[str, Any]:
    """Return a task with an image."""
    return {"id": 1, "data": {"image": image}}


def requests() -> Iterator[tuple[str, str, bytes]]:
    """Yield name, path and body of each request."""
    yield "one small task", "/predict", body(tasks=[task(PICTURE)])
    yield "10,000 empty tasks, broken config", "/predict", body(tasks=[{}] * 10_000, label_config="<View")
    yield "50,000 empty tasks", "/predict", body(tasks=[{}] * 50_000)
    yield "100,000 empty tasks (over the cap)", "/predict", body(tasks=[{}] * 100_000)
    yield (
        "config of 500 controls",
        "/setup",
        json.dumps(
            {"project": "1.1", "schema": config("".join(LABELS.format(number) for number in range(500)))}
        ).encode(),
    )
    yield (
        "config of 50 controls",
        "/setup",
        json.dumps(
            {"project": "1.1", "schema": config("".join(LABELS.format(number) for number in range(50)))}
        ).encode(),
    )
    yield (
        "config of 1 MB of <Text>",
        "/setup",
        json.dumps(
            {"project": "1.1", "schema": config(LABELS.format(0) + '<Text name="a" value="$a"/>' * 36_000)}
        ).encode(),
    )
    yield "host of 60,000 ß", "/predict", body(tasks=[task("http://" + "ß" * 60_000 + "/a.jpg")])
    yield "address of 10 MB", "/predict", body(tasks=[task("http://host/" + "a" * 10_000_000)])
    yield "2,000 tasks, 3 predictions each", "/predict", body(tasks=old_predictions(2000, 3))
    yield "3,000 tasks, 8 predictions each", "/predict", body(tasks=old_predictions(3000, 8))
    yield "4 inline images of 20 MB", "/predict", body(tasks=[task(data_uri(os.urandom(20_000_000)))] * 4)
    yield "39 MB of [],[],...", "/predict", b'{"tasks":[' + b"[]," * 13_000_000 + b"[]]," + body()[1:]
    yield "1 MB of [[[[", "/predict", b"[" * 1_000_000
    drawn = [{"from_name": "x", "to_name": "y", "value": {}}] * 300_000
    yield "300,000 drawn regions", "/predict", body(tasks=[task(PICTURE)], params={"context": {"result": drawn}})


def probe(url: str, results: Connection) -> None:
    """Ask /health until told to stop; gives the longest time whenever asked."""
    longest = 0.0
    while True:
        if results.poll():
            if results.recv() is None:
                return
            results.send(longest)
            longest = 0.0
        started = time.perf_counter()
        urllib.request.urlopen(f"{url}/health", timeout=600).read()
        longest = max(longest, time.perf_counter() - started)
        time.sleep(PAUSE)


def post(url: str, content: bytes) -> tuple[int, float]:
    """Post a body; gives status and seconds."""
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    started = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            answer.read()
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError:  # the answer came before the end of the body, and was lost
        status = 413
    return status, time.perf_counter() - started


def main() -> None:
    """Print a row for each case."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"PRELABEL_MODEL": detector(Path(folder)), "PRELABEL_CACHE": "memory"}
        with prelabel(**settings) as (url, process):
            ours, theirs = multiprocessing.Pipe()
            asking = multiprocessing.Process(target=probe, args=(url, theirs), daemon=True)
            asking.start()

            def measured(path: str, content: bytes) -> tuple[int, float, float]:
                time.sleep(0.3)
                ours.send("begin")
                ours.recv()
                status, seconds = post(url + path, content)
                ours.send("end")
                return status, seconds, ours.recv()

            print("| request | size | status | seconds | longest /health |\n|---|---|---|---|---|")
            for name, path, content in requests():
                status, seconds, longest = measured(path, content)
                size = f"{len(content) / 1e6:,.1f} MB"
                print(f"| {name} | {size} | {status} | {seconds:.1f} | {longest * 1e3:,.0f} ms |", flush=True)
            images(measured)
            peak = sum(memory(pid, "status", "VmHWM") for pid in family(process.pid))
            print(f"\npeak memory of the service: {peak / 1e6:,.0f} MB")
            ours.send(None)


def images(measured: Callable[[str, bytes], tuple[int, float, float]]) -> None:
    """Print a row for each hostile image, sent together with a good one."""
    print("\n| image | size | seconds | longest /health |\n|---|---|---|---|")
    for name, make in NAMED.items():
        data = make()
        took = [measured("/predict", body(tasks=[task(data_uri(data)), task(PICTURE)])) for _ in range(3)]
        seconds, longest = statistics.median(seconds for _, seconds, _ in took), max(longest for *_, longest in took)
        print(f"| {name} | {len(data) / 1e6:,.3f} MB | {seconds:.1f} | {longest * 1e3:,.0f} ms |", flush=True)


if __name__ == "__main__":
    main()
