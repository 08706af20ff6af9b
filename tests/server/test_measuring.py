"""The metrics of requests and of their stages, of a real server."""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from metrics_page import samples
from picture_server import Answer, PictureServer
from PIL import Image
from samples import BALLOON_CONFIG, balloon_file, encoded
from waiting import wait_until

Serve = Callable[..., str]

TRIES = 20  # requests, of which one has to be undisturbed by other work of the machine


def photograph(seed: int) -> bytes:
    """Return a JPEG file of six million pixels that differs from any other."""
    coarse = np.random.default_rng(seed).integers(0, 255, (200, 300, 3), np.uint8)
    return encoded(Image.fromarray(coarse).resize((3000, 2000)), "JPEG", quality=90)


def predict(url: str, *images: str, client: httpx.Client | None = None) -> httpx.Response:
    """Post one task for each image; a client of its own takes 50 ms to be made."""
    tasks = [{"id": number, "data": {"image": image}} for number, image in enumerate(images, 1)]
    body = {"tasks": tasks, "label_config": BALLOON_CONFIG}
    return (httpx if client is None else client).post(f"{url}/predict", json=body, timeout=60)


def stage_seconds(url: str) -> dict[str, float]:
    """Return the sum of each stage so far, in seconds."""
    return {labels["stage"]: value for labels, value in samples(url, "prelabel_stage_seconds_sum")}


def stage_counts(url: str) -> dict[str, float]:
    """Return how often each stage was measured so far."""
    return {labels["stage"]: value for labels, value in samples(url, "prelabel_stage_seconds_count")}


@dataclass
class Timed:
    """Seconds of one request: what the client saw, what the histogram of requests has, and the sum of the stages."""

    client: float
    request: float
    stages: float

    def is_accounted_for(self) -> bool:
        """Tell whether the stages add up to 95 to 100 % of both; the clocks differ by less than a hundredth."""
        return 0.95 <= self.stages / self.client <= 1.01 and 0.95 <= self.stages / self.request <= 1.01


def timed(url: str, image: str, client: httpx.Client) -> Timed:
    """Predict one image, alone."""

    def so_far() -> tuple[float, float]:
        requests = {labels["route"]: value for labels, value in samples(url, "prelabel_request_seconds_sum")}
        return requests.get("/predict", 0), sum(stage_seconds(url).values())

    request, stages = so_far()
    started = time.perf_counter()
    answer = predict(url, image, client=client)
    waited = time.perf_counter() - started
    assert answer.json()["results"][0], "it was predicted"
    after = so_far()
    return Timed(waited, after[0] - request, after[1] - stages)


def test_stages_of_one_task_add_up_to_the_time_that_the_client_waits(serve: Serve, pictures: PictureServer) -> None:
    """Fetched from a slow server, decoded, predicted and answered: nothing takes time that no stage has."""
    url = serve()
    found: list[Timed] = []
    with httpx.Client() as client:
        while len(found) < TRIES and not (found and found[-1].is_accounted_for()):
            image = pictures.add(f"/{len(found)}.jpg", Answer(photograph(len(found)), delay=0.2))
            found.append(timed(url, image, client))
    assert found[-1].is_accounted_for(), found
    assert stage_seconds(url)["fetch"] >= 0.2 * len(found)


def test_each_stage_of_a_new_image_is_measured_once(serve: Serve, pictures: PictureServer) -> None:
    """But for the cache: looked up by address, looked up by content, written by content; this server gives no version to remember."""
    url = serve()
    predict(url, pictures.add("/a.png", balloon_file()))
    counts = stage_counts(url)
    assert counts.pop("cache") == 3
    assert counts.pop("queue_shared") == 0
    assert set(counts.values()) == {1}


def test_known_image_takes_no_worker(serve: Serve, pictures: PictureServer) -> None:
    """The second request has its stages up to the fetch, and those after the models."""
    url = serve()
    image = pictures.add("/a.png", balloon_file())
    predict(url, image)
    first = stage_counts(url)
    predict(url, image)
    again = {stage for stage, count in stage_counts(url).items() if count > first[stage]}
    assert again == set(first) - {"queue_worker", "decode", "inference", "queue_shared"}


@pytest.mark.parametrize(
    ("settings", "same", "queue"),
    [
        ({"max_concurrent_images": 1}, False, "queue_images"),
        ({}, True, "queue_shared"),
    ],
    ids=["no place in memory", "another request fetches the same image"],
)
def test_waiting_is_a_stage_of_its_own(
    serve: Serve, pictures: PictureServer, settings: dict[str, Any], same: bool, queue: str
) -> None:
    """While the first image does not arrive, the second request waits where the figures say so."""
    url = serve(**settings)
    slow = pictures.add("/slow.png", Answer(balloon_file(), held=True))
    other = slow if same else pictures.add("/other.png", balloon_file())
    with ThreadPoolExecutor(2) as clients:
        first = clients.submit(predict, url, slow)
        wait_until(lambda: pictures.requests)
        second = clients.submit(predict, url, other)
        wait_until(lambda: stage_counts(url)["queue_request"] == 2)
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 0.2)
        pictures.release()
        assert all(each.result().json()["results"][0] for each in (first, second))
    assert stage_seconds(url)[queue] >= 0.2


def test_place_in_a_request_is_waited_for(serve: Serve, pictures: PictureServer) -> None:
    """One of two tasks at a time, since a request gets half of two places: the second waits for its request, and not for memory."""
    url = serve(max_concurrent_images=2)
    predict(url, *(pictures.add(f"/{name}.png", Answer(balloon_file(), delay=0.2)) for name in "ab"))
    seconds = stage_seconds(url)
    assert seconds["queue_request"] >= 0.2 > seconds["queue_images"]


def test_failed_stage_is_measured(serve: Serve, pictures: PictureServer) -> None:
    """The time for an image that does not come was spent all the same."""
    url = serve()
    predict(url, pictures.add("/gone.png", Answer(status=404, delay=0.1)))
    assert stage_seconds(url)["fetch"] >= 0.1
    assert stage_counts(url)["decode"] == 0


def test_requests_are_counted_by_route_and_status(serve: Serve) -> None:
    """Paths that somebody invents are one route, so that nobody can make the page grow."""
    url = serve()
    for path in ("/health", "/wp-login.php", "/.env"):
        httpx.get(url + path)
    httpx.post(f"{url}/predict", content=b"{", headers={"Content-Type": "application/json"})
    counts = {
        (labels["route"], labels["status"]): value for labels, value in samples(url, "prelabel_request_seconds_count")
    }
    assert counts == {("/health", "2xx"): 1, ("other", "4xx"): 2, ("/predict", "4xx"): 1}


def test_events_are_counted_by_action(serve: Serve) -> None:
    """What anybody sends is one of the actions that are known, or unknown, or malformed."""
    url = serve()
    for event in (b'{"action": "ANNOTATION_CREATED"}', b'{"action": "x"}', b'{"action": "y"}', b"{"):
        httpx.post(f"{url}/webhook", content=event)
    counts = {labels["action"]: value for labels, value in samples(url, "prelabel_events_total")}
    assert counts == {"ANNOTATION_CREATED": 1, "unknown": 2, "malformed": 1}
    assert samples(url, "prelabel_events_waiting") == [({}, 0)]


def test_metrics_come_while_the_database_of_corrections_is_away(serve: Serve) -> None:
    """The number of events that wait is unknown then, and nothing else is missing."""
    url = serve(database_url="postgresql://prelabel@127.0.0.1:9/corrections")
    ((_, waiting),) = samples(url, "prelabel_events_waiting")
    assert math.isnan(waiting)
