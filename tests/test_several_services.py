"""Several services on one Redis and one Postgres are one service, also while they are restarted one after the other."""

from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from annotation_events import PROJECT, width_of
from picture_server import PictureServer
from postgres_server import PostgresServer
from redis_server import RedisServer
from several_services import COUNT_WRITES, WRITTEN_TWICE, Load, services, shared_settings
from waiting import wait_until

from ml_backend.demo.scenes import draw_scene, encode
from ml_backend.feedback.store.annotation_records import annotations_of
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.event_queue import pending
from ml_backend.feedback.store.revisions import history

RESTARTS = 3  # benchmarks/rolling.py does twenty


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [2, 3])
def test_rolling_restart_loses_nothing(
    count: int,
    redis: RedisServer,
    postgres: PostgresServer,
    pictures: PictureServer,
    trained_detectors: Path,
    tmp_path: Path,
) -> None:
    """No task fails, no prediction changes, each event is processed once, and one service learns."""
    database_url = postgres.new_database()
    settings = shared_settings(redis.url, database_url, trained_detectors / "hub", tmp_path / "models")
    scenes = [tmp_path / f"scene-{seed}.jpg" for seed in range(10)]
    for seed, file in enumerate(scenes):
        file.write_bytes(encode(draw_scene(seed)[0]))
    with services(count, tmp_path, **settings) as (running, front):
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(COUNT_WRITES)
        load = Load(front.port, pictures, scenes)
        with load.running():
            for number in range(RESTARTS):
                one = running[number % count]
                one.stop()
                one.start()
                one.wait()
        with closing(Database(database_url)) as database:
            wait_until(lambda: not pending(database)[0])
            with database.reading() as connection:
                kept = list(annotations_of(connection, PROJECT))
                revisions = history(connection, PROJECT)
    assert load.failures == []
    assert load.predicted
    # 503: not on the disk within 40 ms, as with a single service on a busy machine; it is written all the same.
    assert set(load.events.values()) <= {201, 503}
    assert [each.id for each in kept] == sorted(load.events)
    for each in kept:
        (box,) = each.drawn
        assert round((box.edges[3] - box.edges[1]) * 100) == width_of(each.id)
    with psycopg.connect(database_url) as connection:
        written = connection.execute(WRITTEN_TWICE).fetchall()
    assert written == []
    assert len(revisions) <= 1, "the pause of an hour holds for all services together"
    assert all(front.taken.values())
