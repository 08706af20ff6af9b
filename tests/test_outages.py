"""Redis dies, hangs, fills and lies in the middle of the day, and servers die: no task fails and no box is wrong.

Real ``prelabel serve`` processes with the demo detector, a real Redis, pictures over HTTP. The figures that are printed stand in
``docs/cache.md``.
"""

import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.servers import Prelabel
from picture_server import PictureServer
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from redis_server import RedisServer, redis_server
from samples import BALLOON_CONFIG, encoded
from waiting import SECONDS, wait_until

from ml_backend.demo.scenes import draw_scene, encode

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PICTURES = 60
CLIENTS = 8

Start = Callable[..., Prelabel]


@pytest.fixture
def start(tmp_path: Path, models_dir: Path) -> Iterator[Start]:
    """Give a function that starts ``prelabel serve`` with the demo detector and some settings."""
    started: list[Prelabel] = []

    def begin(port: int | None = None, **settings: str) -> Prelabel:
        usual = {
            "PRELABEL_MODEL": "demo",
            "TFHUB_CACHE_DIR": str(models_dir),
            "PRELABEL_CACHE_FILE": str(tmp_path / "cache"),
        }
        started.append(Prelabel(tmp_path, port, usual | settings))
        return started[-1]

    yield begin
    for server in started:
        server.stop()


def figure(server: Prelabel, name: str, **labels: str) -> float:
    """Return one of a server's Prometheus figures; 0 where it has none."""
    families = text_string_to_metric_families(httpx.get(f"{server.url}/metrics").text)
    samples = (sample for family in families for sample in family.samples)
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def hits(server: Prelabel, tier: str = "redis") -> float:
    """Return how many detections were found in a tier."""
    return figure(server, "prelabel_cache_reads_total", tier=tier, kind="detections", result="hit")


def ask(client: httpx.Client, server: Prelabel, *addresses: str) -> list[Any]:
    """Ask for predictions of some pictures; gives the results."""
    tasks = [{"id": 1, "data": {"image": address}} for address in addresses]
    body = {"tasks": tasks, "label_config": BALLOON_CONFIG, "project": "1.1"}
    answer = client.post(f"{server.url}/predict", json=body, timeout=120)
    assert answer.status_code == 200
    results: list[Any] = answer.json()["results"]
    return results


class Load:
    """Eight clients that ask for one picture after the other and compare each answer with the right one."""

    def __init__(self, server: Prelabel, right: dict[str, Any]) -> None:
        self._server = server
        self._right = right
        self.failed = self.wrong = self.asked = 0
        self._count = threading.Lock()

    def run(self, requests: int, *, at_least: float = 0) -> list[float]:
        """Ask so many times, and at least for so many seconds; gives the seconds that each took."""
        end = time.monotonic() + at_least
        share = requests // CLIENTS

        def client(seed: int) -> list[float]:
            chance = random.Random(seed)  # noqa: S311 - which picture is no secret
            taken: list[float] = []
            with httpx.Client() as http:
                while len(taken) < share or time.monotonic() < end:
                    address = chance.choice(list(self._right))
                    started = time.perf_counter()
                    (result,) = ask(http, self._server, address)
                    taken.append(time.perf_counter() - started)
                    with self._count:
                        self.asked += 1
                        self.failed += result == []
                        self.wrong += result not in ([], self._right[address])
            return taken

        with ThreadPoolExecutor(CLIENTS) as pool:
            return [seconds for each in pool.map(client, range(CLIENTS)) for seconds in each]


def until_hits(server: Prelabel, load: Load) -> float:
    """Return how many seconds it takes until something is found in Redis again, under load."""
    started = time.monotonic()
    before = hits(server)
    while hits(server) == before:
        load.run(CLIENTS)
        assert time.monotonic() - started < SECONDS, "hits do not come back"
    return time.monotonic() - started


def row(phase: str, seconds: list[float]) -> str:
    """Return a phase as a row of a table."""
    cuts = statistics.quantiles(seconds, n=20)
    return f"| {phase} | {len(seconds)} | {cuts[9] * 1e3:.0f} | {cuts[18] * 1e3:.0f} | {max(seconds) * 1e3:.0f} |"


def test_redis_is_killed_frozen_filled_and_overwritten(start: Start, pictures: PictureServer) -> None:
    """A thousand requests and more from eight clients: none fails, none is answered wrongly, and hits come back by themselves."""
    addresses = [pictures.add(f"/{n}.jpg", encode(draw_scene(n)[0])) for n in range(PICTURES)]
    without = start(PRELABEL_CACHE="none")
    with httpx.Client() as http:
        right = {address: ask(http, without, address)[0] for address in addresses}
    assert any(each["result"] for each in right.values())
    without.stop()
    with redis_server("--maxmemory-policy", "noeviction") as redis:
        server = start(REDIS_URL=redis.url, PRELABEL_CACHE_MEMORY_BYTES="0", PRELABEL_REMEMBER_ADDRESSES="false")
        load = Load(server, right)
        report = [row("empty", load.run(200)), row("filled", load.run(200))]
        killer = threading.Timer(0.3, redis.kill)
        killer.start()
        report.append(row("killed with SIGKILL", load.run(200)))
        killer.join()
        redis.start()
        report.append(f"hits are back {until_hits(server, load):.1f} s after the restart")
        load.run(200)
        freezer = threading.Timer(0.3, redis.freeze)
        freezer.start()
        report.append(row("frozen with SIGSTOP for 10 s", load.run(200, at_least=10)))
        freezer.join()
        redis.thaw()
        report.append(f"hits are back {until_hits(server, load):.1f} s after SIGCONT")
        redis.client.flushall()
        redis.client.config_set("maxmemory", 1)
        report.append(row("full, maxmemory with noeviction", load.run(200)))
        refused = figure(server, "prelabel_cache_errors_total", operation="write", kind="refused")
        redis.client.config_set("maxmemory", 0)
        load.run(200)
        done = threading.Event()

        def vandalize() -> None:
            while not done.is_set():
                for key in redis.client.scan_iter("prelabel:*"):
                    redis.client.set(key, os.urandom(2_000))
                time.sleep(0.05)

        vandal = threading.Thread(target=vandalize)
        vandal.start()
        report.append(row("values overwritten with random bytes", load.run(200)))
        done.set()
        vandal.join()
        corrupt = figure(server, "prelabel_cache_reads_total", result="corrupt")
    print("\n| Redis is | requests | median ms | p95 ms | longest ms |\n|---|---|---|---|---|", *report, sep="\n")  # noqa: T201 - measures to report
    print(f"{load.asked} requests: {load.failed} failed, {load.wrong} wrong")  # noqa: T201 - as above
    assert load.asked >= 1_000
    assert (load.failed, load.wrong) == (0, 0)
    assert refused > 0
    assert corrupt > 0


def test_two_servers_run_the_model_once(start: Start, redis: RedisServer, pictures: PictureServer) -> None:
    """Sixteen requests each, at the same time, for one new picture; five pictures in a row."""
    servers = [start(REDIS_URL=redis.url) for _ in range(2)]
    with ThreadPoolExecutor(32) as pool, httpx.Client(limits=httpx.Limits(max_connections=64)) as http:
        for number in range(5):
            address = pictures.add(f"/{number}.jpg", encode(draw_scene(100 + number)[0]))
            answers = list(pool.map(lambda server: ask(http, server, address), servers * 16))  # noqa: B023 - all are done before the next
            assert all(answer == answers[0] != [[]] for answer in answers)
            assert sum(figure(server, "prelabel_model_runs_total") for server in servers) == number + 1


def test_killed_holder_costs_the_others_a_wait(start: Start, redis: RedisServer, pictures: PictureServer) -> None:
    """It has the lock and dies while it decodes a large picture: the two that wait compute it, once, and nobody is lost."""
    dying, *waiting = (start(REDIS_URL=redis.url) for _ in range(3))
    noise = Image.effect_noise((7000, 7000), 60)  # 49 million pixels: decoding takes a second and more
    address = pictures.add("/large.png", encoded(noise, compress_level=1))

    def ask_alone(server: Prelabel) -> tuple[list[Any], float]:
        with httpx.Client() as http:
            started = time.monotonic()
            return ask(http, server, address), time.monotonic() - started

    with ThreadPoolExecutor(8) as pool:
        lost = pool.submit(ask_alone, dying)
        wait_until(lambda: list(redis.client.scan_iter("prelabel:locks:*")))
        dying.freeze()  # so that it does not get done before it dies
        others = [pool.submit(ask_alone, server) for server in waiting for _ in range(2)]
        time.sleep(0.3)
        dying.kill()
        assert isinstance(lost.exception(), httpx.TransportError)
        answers = [other.result() for other in others]
    assert all(result == answers[0][0] != [[]] for result, _ in answers)
    runs = sum(figure(server, "prelabel_model_runs_total") for server in waiting)
    print(f"waited {max(seconds for _, seconds in answers):.1f} s at most; {runs:.0f} model runs after the death")  # noqa: T201 - a measure to report
    assert runs == 1


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
def test_restarted_server_hits_from_the_first_request_on(
    start: Start, redis: RedisServer, pictures: PictureServer, kind: str
) -> None:
    """Nothing is computed after it."""
    addresses = [pictures.add(f"/{n}.jpg", encode(draw_scene(n)[0])) for n in range(10)]
    settings = {"REDIS_URL": redis.url} if kind == "redis" else {}
    first = start(**settings)
    with httpx.Client() as http:
        before = ask(http, first, *addresses)
        first.stop()
        second = start(**settings)
        assert ask(http, second, *addresses) == before
    assert (hits(second, kind), figure(second, "prelabel_model_runs_total")) == (10, 0)
