"""Restarts of several services behind a balancer, one after the other, under load: requests that fail, and events lost or processed twice.

Two and three services with the trained detector on one Redis and one Postgres, all on the machine that also sends. Run it by itself, some
minutes each; `docs/kubernetes.md` has the figures.
"""

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psycopg
from servers import MODEL, SHARED

sys.path.append(
    str(Path(__file__).parent.parent / "tests")
)  # the services, the balancer and the load are those of the test

from picture_server import picture_server
from postgres_server import postgres_server
from redis_server import redis_server
from several_services import COUNT_WRITES, WRITTEN_TWICE, Load, services, shared_settings
from waiting import wait_until

from ml_backend.feedback.store.annotation_records import annotations_of
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.event_queue import pending


def measure(count: int, restarts: int, minutes: float) -> None:
    """Print a row."""
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_server() as redis,
        postgres_server() as postgres,
        picture_server() as pictures,
    ):
        address = postgres.new_database()
        settings = shared_settings(redis.url, address, MODEL, Path(folder) / "models")
        with services(count, Path(folder), **settings) as (running, front):
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute(COUNT_WRITES)
            load = Load(front.port, pictures, sorted((SHARED / "photos" / "images").iterdir()))
            stops, starts = [], []
            with load.running():
                end = time.monotonic() + 60 * minutes
                for number in range(restarts):
                    if time.monotonic() > end:
                        break
                    one = running[number % count]
                    stops.append(one.stop())
                    begin = time.monotonic()
                    one.start()
                    one.wait()
                    starts.append(time.monotonic() - begin)
            with closing(Database(address)) as database:
                wait_until(lambda: not pending(database)[0])
                with database.reading() as connection:
                    kept = {each.id for each in annotations_of(connection, 3)} if connection else set()
        with psycopg.connect(address) as connection:
            twice = len(connection.execute(WRITTEN_TWICE).fetchall())
    late = sum(1 for status in load.events.values() if status == 503)
    print(
        f"| {count} | {len(starts)} | {load.predicted:,} | {len(load.failures)} | {statistics.median(load.seconds):.2f} | {max(load.seconds):.1f} "
        f"| {len(load.events):,} | {late} | {len(set(load.events) - kept)} | {twice} "
        f"| {statistics.median(stops):.1f} | {statistics.median(starts):.1f} |",
        flush=True,
    )
    for failure in load.failures[:10]:
        print(failure)


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--restarts", type=int, default=20)
    options.add_argument("--minutes", type=float, default=60, help="after which no other restart begins")
    options.add_argument("--services", type=int, nargs="+", default=[2, 3])
    given = options.parse_args()
    print(
        "| services | restarts | tasks predicted | failed | /setup and /predict s | longest s | events | late (503) | lost | processed twice | stop s | start s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for count in given.services:
        measure(count, given.restarts, given.minutes)


if __name__ == "__main__":
    main()
