"""Memory, file descriptors and threads of a service under mixed load, good and hostile, minute by minute.

Starts `prelabel serve` and asks one thing after another: new photographs, known ones, mutated files, broken requests, events, label
configs and pages. Run it with `make soak`; `docs/security.md` has the figures.
"""

import argparse
import collections
import itertools
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hostile import PICTURE, body, data_uri, post, task
from servers import CONFIG, detector, material, prelabel

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # the images are those of the tests

from hostile_images import FORMATS, encoded, mutated, photograph

EVERY = 2  # seconds between two readings


@dataclass(frozen=True)
class Reading:
    """One look at the service and its decoders: memory in MB, file descriptors, threads, processes."""

    memory: float
    descriptors: int
    threads: int
    processes: int


def read(process: int) -> Reading:
    """Look at a process and its children."""
    children = Path(f"/proc/{process}/task").glob("*/children")
    family = [process, *(int(child) for each in children for child in each.read_text(encoding="ascii").split())]
    memory = threads = descriptors = 0
    for each in family:
        try:
            status = Path(f"/proc/{each}/status").read_text(encoding="ascii").splitlines()
            descriptors += sum(1 for _ in Path(f"/proc/{each}/fd").iterdir())
        except OSError:  # a decoder that has just ended
            continue
        values = {line.partition(":")[0]: line.split()[1] for line in status if line.startswith(("Rss", "Threads"))}
        memory += int(values.get("RssAnon", 0)) + int(values.get("RssShmem", 0))
        threads += int(values["Threads"])
    return Reading(memory / 1e3, descriptors, threads, len(family))


def requests(photographs: list[bytes]) -> Iterator[tuple[str, str, bytes]]:
    """Yield kind, path and body of requests without end."""
    chance = random.Random(1)  # noqa: S311 - the same requests each time
    number = itertools.count()
    event = {
        "action": "ANNOTATION_CREATED",
        "project": {"id": 1},
        "task": {"id": 1},
        "annotation": {"id": 1, "task": 1},
    }

    def new() -> str:
        return data_uri(chance.choice(photographs) + next(number).to_bytes(8, "big"))

    def broken() -> str:
        file_format = chance.choice(list(FORMATS))
        return data_uri(mutated(encoded(photograph(), file_format, **chance.choice(FORMATS[file_format])), chance))

    kinds: list[tuple[str, int, str, Callable[[], bytes]]] = [
        ("new photographs", 6, "/predict", lambda: body(tasks=[task(new()) for _ in range(8)])),
        ("known photographs", 3, "/predict", lambda: body(tasks=[task(PICTURE)] * 8)),
        ("broken images", 3, "/predict", lambda: body(tasks=[task(broken()) for _ in range(4)] + [task(PICTURE)])),
        ("addresses of nobody", 1, "/predict", lambda: body(tasks=[task(f"http://127.0.0.1:1/{next(number)}.jpg")])),
        ("a thousand empty tasks", 1, "/predict", lambda: body(tasks=[{}] * 1000)),
        ("broken requests", 2, "/predict", lambda: b'{"tasks": [' * chance.randint(1, 1000)),
        ("events", 2, "/webhook", lambda: json.dumps(event).encode()),
        ("label configs", 2, "/setup", lambda: json.dumps(
            {"project": f"{chance.randint(1, 50)}.1", "schema": CONFIG.replace("Person", f"Person {next(number)}")}
        ).encode()),
    ]  # fmt: skip
    while True:
        kind, _, path, make = chance.choices(kinds, [weight for _, weight, *_ in kinds])[0]
        yield kind, path, make()


def main() -> None:
    """Print a row for each minute, and how the second half compares with the minutes before it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        photographs = [path.read_bytes() for path in sorted((material(Path(folder)) / "photo").iterdir())]
        settings = {
            "PRELABEL_MODEL": detector(Path(folder)),
            "PRELABEL_CACHE_FILE": f"{folder}/cache.sqlite3",
            "PRELABEL_CACHE_MEMORY_BYTES": "8MB",  # full within minutes, so that what grows after that is a leak
            "PRELABEL_DATABASE_URL": f"sqlite:///{folder}/feedback.sqlite3",
            "PRELABEL_TRUST_WEBHOOKS": "true",
        }
        with prelabel(**settings) as (url, process):
            readings: list[Reading] = []
            done = threading.Event()

            def watch() -> None:
                while not done.wait(EVERY):
                    readings.append(read(process.pid))

            watching = threading.Thread(target=watch)
            watching.start()
            answers: collections.Counter[tuple[str, int]] = collections.Counter()
            end = time.monotonic() + 60 * minutes
            for kind, path, content in requests(photographs):
                status, _ = post(url + path, content)
                answers[kind, status] += 1
                if time.monotonic() > end:
                    break
            done.set()
            watching.join()
    print("| minute | memory MB | descriptors | threads | processes |\n|---|---|---|---|---|")
    per_minute = 60 // EVERY
    for minute, start in enumerate(range(0, len(readings), per_minute), 1):
        part = readings[start : start + per_minute]
        print(
            f"| {minute} | {statistics.median(each.memory for each in part):.0f} "
            f"| {max(each.descriptors for each in part)} | {max(each.threads for each in part)} "
            f"| {max(each.processes for each in part)} |"
        )
    print("\n| requests | status | number |\n|---|---|---|")
    for (kind, status), count in sorted(answers.items()):
        print(f"| {kind} | {status} | {count} |")


if __name__ == "__main__":
    main()
