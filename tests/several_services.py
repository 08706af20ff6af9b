"""Several services behind a balancer, restarted one after the other under load. The test and the benchmark of it share this."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from annotation_events import created
from balancer import Balancer, balancer
from picture_server import PictureServer
from ports import free_port
from waiting import wait_until

from ml_backend.label_studio.label_config import label_config_for

CLIENTS = 2  # that ask for predictions
THINKING = 0.3  # seconds between the requests of one: a service that starts needs a part of the machine
KNOWN = 5  # images that are asked for again and again
PAUSE = 0.1  # seconds between events
LABELS = ["Person", "Car", "Chair", "Bottle"]
CONFIG = label_config_for(LABELS)
START_SECONDS, ANSWER_SECONDS = 300, 600  # on a busy machine

# Counts in Postgres how often each record was written.
COUNT_WRITES = """
CREATE TABLE writes (id integer);
CREATE FUNCTION count_write() RETURNS trigger AS 'BEGIN INSERT INTO writes VALUES (NEW.id); RETURN NEW; END' LANGUAGE plpgsql;
CREATE TRIGGER count_writes AFTER INSERT OR UPDATE ON prelabel_annotations FOR EACH ROW EXECUTE FUNCTION count_write();
"""
WRITTEN_TWICE = "SELECT id FROM writes GROUP BY id HAVING count(*) > 1"


def shared_settings(redis_url: str, database_url: str, model: Path, models: Path) -> dict[str, str]:
    """Return the settings of services that share a Redis and a Postgres.

    Args:
        redis_url: the address of Redis.
        database_url: the address of Postgres.
        model: folder of a detector; one that OpenVINO runs is ready after some seconds.
        models: folder of downloads and conversions.
    """
    return {
        "REDIS_URL": redis_url,
        "PRELABEL_DATABASE_URL": database_url,
        "PRELABEL_TRUST_WEBHOOKS": "true",
        "PRELABEL_LEARN": "auto",
        "PRELABEL_MODEL": str(model),
        "TFHUB_CACHE_DIR": str(models),
        # A busy machine is no failure.
        "PRELABEL_PREDICT_DEADLINE": "600",
        "PRELABEL_IMAGE_TIMEOUT": "300",
        "PRELABEL_SHUTDOWN_DELAY": "1",
        "PRELABEL_SHUTDOWN_TIMEOUT": "60",
    }


@dataclass
class Service:
    """One service, as a process that can be restarted.

    Attributes:
        port: it listens on.
        settings: environment variables.
        log: file of its standard error, to which each start appends.
    """

    port: int
    settings: Mapping[str, str]
    log: Path
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and do not wait."""
        command = [sys.executable, "-m", "ml_backend", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=os.environ | self.settings, stdout=log, stderr=log)

    def wait(self) -> None:
        """Wait until it answers."""
        wait_until(self._is_up, START_SECONDS, seen=self.log.read_text)

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=5).status_code == 200
        return False

    def stop(self) -> float:
        """Stop it as a container runtime does, and wait for its end; returns the seconds that it took."""
        assert self._process is not None
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(120)
        return time.monotonic() - started

    def kill(self) -> None:
        """End it, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def services(count: int, folder: Path, **settings: str) -> Iterator[tuple[list[Service], Balancer]]:
    """Run services behind a balancer; all of them start at the same time, on an empty database."""
    with ExitStack() as stack:
        found = [Service(free_port(), settings, folder / f"service-{number}.log") for number in range(count)]
        for each in found:
            stack.callback(each.kill)
            each.start()
        for each in found:
            each.wait()
        front = stack.enter_context(balancer([each.port for each in found]))
        wait_until(lambda: all(front.ready.values()))
        yield found, front


@dataclass
class Load:
    """Predictions and events as Label Studio asks for and sends them, until :meth:`stop`.

    Attributes:
        port: of the balancer.
        pictures: serves the images.
        photographs: files of those; each is served under many addresses, with other bytes at its end.
        predicted: number of tasks that were predicted.
        events: statuses of events, by the id of their annotation.
        failures: a sentence for each request that failed, each task that was not predicted, and each prediction that differs.
        seconds: that each /predict took.
    """

    port: int
    pictures: PictureServer
    photographs: Sequence[Path]
    predicted: int = 0
    events: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._numbers = itertools.count()
        self._first: dict[str, Any] = {}
        self._known = [self._new() for _ in range(KNOWN)]
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._predict, args=[seed]) for seed in range(CLIENTS)]
        self._threads.append(threading.Thread(target=self._send))

    def _new(self) -> str:
        """Return the address of an image that no service knows."""
        number = next(self._numbers)
        content = self.photographs[number % len(self.photographs)].read_bytes()
        return self.pictures.add(f"/{number}.jpg", content + number.to_bytes(4, "big"))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask and send while the block lasts."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in self._threads:
                thread.join()

    def _predict(self, seed: int) -> None:
        """Ask for predictions, on connections that are kept as long as the service lets them."""
        chance = random.Random(seed)  # noqa: S311 - decides an order
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=ANSWER_SECONDS) as client:
            while not self._ended.wait(THINKING):
                images = [self._new(), *chance.sample(self._known, 2)]
                tasks = [{"id": number, "data": {"image": image}} for number, image in enumerate(images, 1)]
                common = {"project": "1.1"}
                started = time.monotonic()
                try:
                    client.get("/health").raise_for_status()
                    client.post("/setup", json=common | {"schema": CONFIG}).raise_for_status()
                    asked = client.post("/predict", json=common | {"label_config": CONFIG, "tasks": tasks})
                    results = asked.raise_for_status().json()["results"]
                except httpx.HTTPError as error:
                    self.failures.append(f"/predict: {error!r}")
                    continue
                self.seconds.append(time.monotonic() - started)
                self._check(images, results)

    def _check(self, images: Sequence[str], results: Sequence[Any]) -> None:
        with self._lock:
            for image, result in zip(images, results, strict=True):
                if not result:
                    self.failures.append(f"{image} was not predicted")
                elif self._first.setdefault(image, _essence(result)) != _essence(result):
                    self.failures.append(
                        f"{image} was predicted as {_essence(result)}, and before as {self._first[image]}"
                    )
                else:
                    self.predicted += 1

    def _send(self) -> None:
        """Send an event a moment, each on a connection of its own, once, whatever the answer."""
        for number in itertools.count(1):
            if self._ended.wait(PAUSE):
                return
            content = created(number, self._known[number % KNOWN], LABELS[0], CONFIG)
            try:
                answer = httpx.post(f"http://127.0.0.1:{self.port}/webhook", content=content, timeout=ANSWER_SECONDS)
                self.events[number] = answer.status_code
            except httpx.HTTPError as error:
                self.failures.append(f"event {number}: {error!r}")

    def statuses(self) -> Counter[int]:
        """Return how many events had each status."""
        return Counter(self.events.values())


def _essence(result: Any) -> str:
    """Return a prediction without the ids of its regions."""
    regions = [{key: region[key] for key in ("value", "score")} for region in result["result"]]
    return json.dumps([result["model_version"], result["score"], regions], sort_keys=True)
