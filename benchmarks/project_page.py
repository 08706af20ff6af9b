"""What the page of a project costs with many annotations: a first view, a repeated one, and predictions meanwhile.

Prints seconds on the clock, and the memory of the service. Run it as ``python benchmarks/project_page.py --annotations 20000``.
"""

import argparse
import base64
import random
import statistics
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import httpx
from servers import memory, prelabel

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from corrections import annotation, box, cell
from samples import BALLOON_CONFIG, balloon_file, detections_of

from ml_backend.feedback.store.annotation_records import AnnotatedImage, Annotation, put_annotation
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.projects import Project, put_project

PROJECT = 3
BOXES = 8  # detections on each picture
LABELS = ("Kite", "Balloon", "Box")
IMAGE = "data:image/png;base64," + base64.b64encode(balloon_file()).decode()


def made(number: int, chance: random.Random) -> Annotation:
    """Return an annotation with detections, of which the surer ones are more often right."""
    found = [
        (chance.choice(LABELS), chance.betavariate(2, 2), cell(place)) for place in chance.sample(range(100), BOXES)
    ]
    shown = tuple(box(label, edges) for label, score, edges in found if score >= 0.3)
    drawn = [box(label, edges) for label, score, edges in found if chance.random() < score**0.5]
    images = (AnnotatedImage("image", 0, "0.jpg", detections_of(*found)),)
    facts = {"annotator": chance.randrange(1, 4), "seconds": 20.0, "version": "demo@1"}
    return annotation(*drawn, number=number, shown=shown, images=images, **facts)


def predict(url: str) -> float:
    """Predict a picture whose result is in the cache; gives the seconds."""
    body = {"tasks": [{"id": 1, "data": {"image": IMAGE}}], "label_config": BALLOON_CONFIG, "project": "9.1"}
    started = time.perf_counter()
    if not httpx.post(f"{url}/predict", json=body, timeout=60).json()["results"][0]:
        raise RuntimeError("the task was not predicted")
    return time.perf_counter() - started


def told(name: str, seconds: list[float]) -> None:
    """Print the middle, the 95th percentile and the largest of some times."""
    seconds.sort()
    p95 = seconds[int(0.95 * len(seconds))]
    print(f"{name}: {statistics.median(seconds):.3f} s, p95 {p95:.3f} s, at most {seconds[-1]:.3f} s of {len(seconds)}")


def measure(url: str, process: int) -> None:
    """Print what the page costs."""
    page = f"{url}/projects/{PROJECT}"
    predict(url)
    told("/predict alone", [predict(url) for _ in range(50)])
    print(f"memory before: {memory(process, 'status', 'VmRSS') / 1e6:.0f} MB")
    ended, meanwhile = threading.Event(), list[float]()

    def ask() -> None:
        while not ended.wait(0.1):
            meanwhile.append(predict(url))

    asking = threading.Thread(target=ask)
    asking.start()
    started = time.perf_counter()
    httpx.get(page, headers={"Accept": "text/html"}, timeout=60)
    print(f"the page: {time.perf_counter() - started:.3f} s")
    steps = {
        "figures": "The figures are being",
        "proposal": "The proposal is being",
        "boxes to check": "The list is being",
    }
    while steps:
        answer = httpx.get(f"{page}/figures", timeout=60)
        for name, words in list(steps.items()):
            if answer.status_code == 200 and words not in answer.text:
                print(f"{name}: after {time.perf_counter() - started:.1f} s")
                del steps[name]
            elif answer.status_code != 200:
                break
        time.sleep(0.5)
    ended.set()
    asking.join()
    told("/predict meanwhile", meanwhile)
    known = {"If-None-Match": answer.headers["ETag"]}
    views = []
    for _ in range(20):
        started = time.perf_counter()
        httpx.get(f"{page}/figures", headers=known, timeout=60)
        views.append(time.perf_counter() - started)
    told("a repeated view", views)
    print(
        f"memory afterwards: {memory(process, 'status', 'VmRSS') / 1e6:.0f} MB, at most {memory(process, 'status', 'VmHWM') / 1e6:.0f} MB"
    )


def main() -> None:
    """Keep annotations, start the service, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotations", type=int, default=20_000)
    count = parser.parse_args().annotations
    with tempfile.TemporaryDirectory() as folder:
        address = f"sqlite:///{folder}/feedback.sqlite3"
        chance = random.Random(1)  # noqa: S311 - made-up corrections
        with closing(Database(address)) as database, database.writing() as connection:
            put_project(connection, Project(PROJECT, "Many", BALLOON_CONFIG))
            for number in range(1, count + 1):
                put_annotation(connection, made(number, chance))
        settings = {
            "PRELABEL_MODEL": "demo",
            "PRELABEL_DATABASE_URL": address,
            "PRELABEL_HOME": folder,
            "PRELABEL_LEARN": "off",
        }
        with prelabel(**settings) as (url, process):
            print(f"{count:,} annotations with {BOXES} detections each")
            measure(url, process.pid)


if __name__ == "__main__":
    main()
