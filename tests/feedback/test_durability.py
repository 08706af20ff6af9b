"""The service is killed while events come: each event that was answered 2xx is processed once."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
from annotation_events import PROJECT, created, width_of
from picture_server import PictureServer
from ports import free_port
from samples import balloon_file
from waiting import wait_until

from ml_backend.feedback.store.annotation_records import annotations_of
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.event_queue import pending

EVENTS = 500
KILLS = int(os.environ.get("PRELABEL_TEST_KILLS", "4"))  # twenty take about four minutes a database


class Sender(threading.Thread):
    """Sends an event a moment until all of them were answered 2xx. Label Studio would not send again; this one does, to have 500."""

    def __init__(self, port: int, image: str) -> None:
        super().__init__(daemon=True)
        self.left = list(range(1, EVENTS + 1))
        random.Random(5).shuffle(self.left)  # noqa: S311 - decides an order
        self.answered: set[int] = set()
        self._url = f"http://127.0.0.1:{port}/webhook"
        self._image = image

    def run(self) -> None:
        """Send."""
        with httpx.Client(timeout=5) as client:
            while self.left:
                number = self.left.pop()
                try:
                    status = client.post(self._url, content=created(number, self._image)).status_code
                except httpx.TransportError:
                    status = 0
                if status == 201:
                    self.answered.add(number)
                else:
                    self.left.insert(0, number)
                time.sleep(0.004 * KILLS)  # so that there is something left to send after each kill


@pytest.mark.timeout(900)
@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True)
def test_every_event_that_was_answered_is_processed_once(
    database_url: str, pictures: PictureServer, models_dir: Path, tmp_path: Path
) -> None:
    """500 events, SIGKILL at random moments of receiving and processing; refused and interrupted events may count or not."""
    image = pictures.add("/balloon.png", balloon_file())
    port = free_port()
    settings = {
        "PRELABEL_DATABASE_URL": database_url,
        "PRELABEL_TRUST_WEBHOOKS": "true",
        "PRELABEL_MODEL": "demo",
        "TFHUB_CACHE_DIR": str(models_dir),
        "PRELABEL_CACHE_FILE": str(tmp_path / "cache.sqlite3"),
    }
    sender = Sender(port, image)
    choose = random.Random(6)  # noqa: S311 - decides when to kill
    killed = 0
    for run in range(KILLS + 1):
        command = [sys.executable, "-m", "ml_backend", "serve", "--host", "127.0.0.1", "--port", str(port)]
        with (tmp_path / f"serve-{run}.log").open("wb") as log:
            process = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log)
        try:
            _wait_for_health(port, process)
            if not sender.is_alive():
                sender.start()
            if run < KILLS:
                time.sleep(choose.uniform(0.05, 1.2))
                process.send_signal(signal.SIGKILL)
                killed += process.wait() == -signal.SIGKILL
            else:
                sender.join(300)
                assert not sender.left
                _wait_until_processed(database_url)
        finally:
            process.kill()
            process.wait()
    assert killed == KILLS
    assert sender.answered == set(range(1, EVENTS + 1))
    with closing(Database(database_url)) as database, database.reading() as connection:
        kept = list(annotations_of(connection, PROJECT))
    assert [each.id for each in kept] == list(range(1, EVENTS + 1))
    for each in kept:
        (box,) = each.drawn
        assert round((box.edges[3] - box.edges[1]) * 100) == width_of(each.id)
        assert len(each.images) == 1


def _wait_for_health(port: int, process: subprocess.Popen[bytes]) -> None:
    def is_up() -> bool:
        assert process.poll() is None
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{port}/health", timeout=1).status_code == 200
        return False

    wait_until(is_up, 120)


def _wait_until_processed(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        wait_until(lambda: not pending(database)[0], 300)
