"""The cost of a flood of events: latency of answers at 1,000 events a second for a minute, and of events of 10 MB.

A real service with the demo detector, on the machine that also sends; events are trusted, so they are processed meanwhile. Run it with
`make bench-all`; `docs/human-in-the-loop.md` has the figures. `--seconds` and `--rate` make it shorter; PRELABEL_DATABASE_URL, where it
is set, names the database.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from servers import FileServer, file_server, post, prelabel

ANNOTATIONS = 2_000  # each is updated again and again
CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    + "".join(f'<Label value="{name}"/>' for name in ("Balloon", "Kite", "Box", *(f"Label {n}" for n in range(40))))
    + "</RectangleLabels></View>"
)


def event(number: int, image: str, regions: int = 8) -> bytes:
    """Return the body of an event of the size that Label Studio sends, some 6 kB."""
    value = {"x": 10.5, "y": 20.5, "width": 30.25, "height": 40.75, "rotation": 0, "rectanglelabels": ["Balloon"]}
    sizes = {"original_width": 640, "original_height": 480, "image_rotation": 0, "origin": "prediction-changed"}
    region = {"id": "r", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": value, **sizes}
    annotation = {"id": number, "task": number, "result": [region] * regions, "updated_at": f"2026-01-01T{time.time()}"}
    project = {"id": 3, "label_config": CONFIG, "title": "Flood", "task_data_password": None}
    task = {"id": number, "data": {"image": image}}
    body = {"action": "ANNOTATION_UPDATED", "annotation": annotation, "project": project, "task": task}
    return json.dumps(body).encode()


async def flood(url: str, image: str, rate: int, seconds: int) -> tuple[list[float], Counter[int], float]:
    """Send events at a rate, without waiting for answers; returns latencies in s, statuses, and the delay of the sender in s."""
    bodies = [event(number + 1, image) for number in range(ANNOTATIONS)]
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    late = 0.0

    async def send(session: aiohttp.ClientSession, body: bytes) -> None:
        begin = time.perf_counter()
        async with session.post(f"{url}/webhook", data=body) as answer:
            await answer.read()
            statuses[answer.status] += 1
        latencies.append(time.perf_counter() - begin)

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as session,
        asyncio.TaskGroup() as group,
    ):
        begin = time.perf_counter()
        for number in range(rate * seconds):
            due = begin + number / rate
            pause = due - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            late = max(late, -pause)
            group.create_task(send(session, bodies[number % ANNOTATIONS]))
    return latencies, statuses, late


def report(name: str, latencies: list[float], statuses: Counter[int], note: str = "") -> None:
    """Print a row."""
    p50, p99 = (1e3 * float(np.percentile(latencies, each)) for each in (50, 99))
    over = sum(each > 0.05 for each in latencies)
    print(
        f"| {name} | {len(latencies):,} | {p50:.1f} | {p99:.1f} | {1e3 * max(latencies):.0f} | {over} | {statuses[503]} | {note} |",
        flush=True,
    )


def large(url: str, image: str) -> list[float]:
    """Send events of 10 MB, one after the other; returns latencies in s."""
    body = event(1, image, regions=34_000)

    async def send() -> list[float]:
        latencies = []
        async with aiohttp.ClientSession() as session:
            for _ in range(10):
                begin = time.perf_counter()
                async with session.post(f"{url}/webhook", data=body) as answer:
                    await answer.read()
                latencies.append(time.perf_counter() - begin)
                await asyncio.sleep(0.5)
        return latencies

    return asyncio.run(send())


def drain(url: str) -> float:
    """Wait until all events are processed; returns the seconds that it took."""
    begin = time.perf_counter()
    while _learning(url)["waiting"]:
        time.sleep(0.5)
    return time.perf_counter() - begin


def _learning(url: str) -> Any:
    with urllib.request.urlopen(f"{url}/status", timeout=60) as answer:
        return json.load(answer)["learning"]


def measure(url: str, files: FileServer, rate: int, seconds: int) -> None:
    """Print the table."""
    (image,) = files.new(1)
    post(f"{url}/predict", {"project": "3.1", "label_config": CONFIG, "tasks": [{"id": 1, "data": {"image": image}}]})
    print("| scene | events | p50 ms | p99 ms | longest ms | over 50 ms | refused | |")
    print("|---|---|---|---|---|---|---|---|")
    latencies, statuses, late = asyncio.run(flood(url, image, 20, 5))
    report("20 a second", latencies, statuses)
    latencies, statuses, late = asyncio.run(flood(url, image, rate, seconds))
    left = drain(url)
    report(
        f"{rate:,} a second for {seconds} s",
        latencies,
        statuses,
        f"all processed {left:.0f} s later; sender late by {1e3 * late:.0f} ms",
    )
    report("10 MB each, trusted: all of it is kept", large(url, image), Counter())
    drain(url)


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("--rate", type=int, default=1_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, file_server() as files:
        settings = {
            "PRELABEL_MODEL": "demo",
            "PRELABEL_TRUST_WEBHOOKS": "true",
            "PRELABEL_CACHE_FILE": str(Path(folder) / "cache.sqlite3"),
            "PRELABEL_DATABASE_URL": os.environ.get("PRELABEL_DATABASE_URL") or f"sqlite:///{folder}/feedback.sqlite3",
        }
        with prelabel(**settings) as (url, _):
            measure(url, files, given.rate, given.seconds)
        # Nobody answers there, so events only wait: this measures how soon they are on the disk.
        settings |= {"LABEL_STUDIO_URL": "http://127.0.0.1:9", "LABEL_STUDIO_API_KEY": "0" * 40}
        with prelabel(**settings) as (url, _):
            report("10 MB each, to be read back: only its numbers are kept", large(url, "x"), Counter())


if __name__ == "__main__":
    main()
