import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from picture_server import Answer, PictureServer, picture_server
from PIL import Image
from samples import balloon_file, balloon_scene, encoded
from waiting import until

from ml_backend.errors import ImageFetchError
from ml_backend.images.references import parse_reference
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.label_studio.connections import LabelStudio, LabelStudios
from ml_backend.metrics import Metrics
from ml_backend.pipeline.image_inference import ImageInference
from ml_backend.settings import Settings

UPLOAD = "/data/upload/1/73f47284-balloon.png"
OTHER = encoded(Image.fromarray(balloon_scene(300)))


@pytest.fixture
def looking(demo_detector: Detector) -> Callable[..., Any]:
    """Give a function that opens pictures with some settings; what it gives looks at one and counts what that took."""

    @asynccontextmanager
    async def open_pictures(**settings: Any) -> AsyncIterator[Callable[..., Any]]:
        given, metrics = Settings(**settings), Metrics()
        home = LabelStudios.from_settings(given).configured
        async with ImageInference(given, Models(demo_detector), metrics) as pictures:

            async def detect(value: str, at: LabelStudio | None = home, task: int = 7) -> tuple[int, str]:
                before = {name: metrics.value("prelabel_fetches_total", outcome=name) for name in OUTCOMES}
                seen = await pictures.infer(parse_reference(value), ["detector"], at, task)
                after = {name: metrics.value("prelabel_fetches_total", outcome=name) for name in OUTCOMES}
                return seen.results.boxes.width, next(name for name in OUTCOMES if after[name] > before[name])

            yield detect

    return open_pictures


OUTCOMES = ("transfer", "unchanged", "remembered")


@pytest.fixture
def label_studio() -> Iterator[PictureServer]:
    """Give a second server, on a second loopback address, in Label Studio's place."""
    with picture_server("127.0.0.2") as server:
        yield server


@pytest.mark.parametrize(
    ("headers", "again"),
    [
        ({"ETag": '"a"'}, "unchanged"),
        ({"Last-Modified": "Sun, 22 Nov 2015 12:00:00 GMT"}, "unchanged"),
        ({}, "transfer"),
        ({"ETag": '"a"', "Cache-Control": "no-store"}, "transfer"),
    ],
)
async def test_unchanged_picture_is_not_transferred_again(
    looking: Callable[..., Any], pictures: PictureServer, headers: dict[str, str], again: str
) -> None:
    """Where the server says what it has; else it is fetched each time."""
    url = pictures.add("/a.png", Answer(balloon_file(), headers=headers))
    async with looking() as detect:
        assert [await detect(url) for _ in range(3)] == [(320, "transfer"), (320, again), (320, again)]


async def test_changed_picture_is_computed_anew(looking: Callable[..., Any], pictures: PictureServer) -> None:
    """The server says so, and its word is asked for each time."""
    url = pictures.add("/a.png", Answer(balloon_file(), headers={"ETag": '"1"'}))
    async with looking() as detect:
        assert await detect(url) == (320, "transfer")
        pictures.add("/a.png", Answer(OTHER, headers={"ETag": '"2"'}))
        assert await detect(url) == (300, "transfer")
        assert await detect(url) == (300, "unchanged")


async def test_restart_remembers(looking: Callable[..., Any], pictures: PictureServer) -> None:
    """What is known of addresses lies beside the detections."""
    url = pictures.add("/a.png", Answer(balloon_file(), headers={"ETag": '"1"'}))
    async with looking() as detect:
        await detect(url)
    async with looking() as detect:
        assert await detect(url) == (320, "unchanged")


async def test_forgotten_detections_make_a_transfer(looking: Callable[..., Any], pictures: PictureServer) -> None:
    """An address alone is no picture: nothing conditional is asked where the answer could not be used."""
    url = pictures.add("/a.png", Answer(balloon_file(), headers={"ETag": '"1"'}))
    async with looking(cache="memory", memory_cache_bytes=700) as detect:  # room for the address only
        assert [await detect(url) for _ in range(2)] == [(320, "transfer")] * 2
    assert "If-None-Match" not in pictures.headers_of("/a.png")


async def test_off_by_setting(looking: Callable[..., Any], pictures: PictureServer) -> None:
    """PRELABEL_REMEMBER_ADDRESSES=false fetches each time."""
    url = pictures.add("/a.png", Answer(balloon_file(), headers={"ETag": '"1"'}))
    async with looking(remember_addresses=False) as detect:
        assert [await detect(url) for _ in range(2)] == [(320, "transfer")] * 2


async def test_presigned_address_signed_anew(looking: Callable[..., Any], pictures: PictureServer) -> None:
    """The same picture, though no letter of the signature is."""
    url = pictures.add("/a.png", Answer(balloon_file(), headers={"ETag": '"1"'}))
    async with looking() as detect:
        assert await detect(f"{url}?AWSAccessKeyId=k&Expires=1&Signature=11") == (320, "transfer")
        assert await detect(f"{url}?AWSAccessKeyId=k&Expires=2&Signature=22") == (320, "unchanged")


async def test_upload_is_asked_for_once(looking: Callable[..., Any], label_studio: PictureServer) -> None:
    """Its name carries a hash, so the second look costs no request at all."""
    label_studio.add(UPLOAD, balloon_file())
    async with looking(label_studio_url=label_studio.url, label_studio_api_key="a" * 40) as detect:
        assert [await detect(UPLOAD) for _ in range(2)] == [(320, "transfer"), (320, "remembered")]
        assert await detect(label_studio.url + UPLOAD) == (320, "remembered")
    assert len(label_studio.requests) == 1


async def test_upload_of_a_label_studio_that_nobody_configured(
    looking: Callable[..., Any], label_studio: PictureServer
) -> None:
    """Only a request named it: it is asked each time, so that it can refuse."""
    label_studio.add(UPLOAD, Answer(balloon_file(), headers={"ETag": '"1"'}))
    named = LabelStudio(label_studio.url, None, trusted=False)
    async with looking() as detect:
        assert [await detect(UPLOAD, named) for _ in range(2)] == [(320, "transfer"), (320, "unchanged")]


async def test_one_path_in_two_label_studios(
    looking: Callable[..., Any], label_studio: PictureServer, pictures: PictureServer
) -> None:
    """They are two pictures, whatever the paths and tags say."""
    label_studio.add(UPLOAD, Answer(balloon_file(), headers={"ETag": '"1"'}))
    pictures.add(UPLOAD, Answer(OTHER, headers={"ETag": '"1"'}))
    async with looking() as detect:
        for _ in range(2):
            assert (await detect(UPLOAD, LabelStudio(label_studio.url, None)))[0] == 320
            assert (await detect(UPLOAD, LabelStudio(pictures.url, None)))[0] == 300


async def test_redirect_to_another_host(
    looking: Callable[..., Any], label_studio: PictureServer, pictures: PictureServer
) -> None:
    """The one that sent the picture is asked about it, under a new signature; the one in between is not."""
    stored = pictures.add("/a.png", Answer(balloon_file(), headers={"ETag": '"1"'}))
    where = "/tasks/7/presign/"
    async with looking(label_studio_url=label_studio.url) as detect:
        for signature, took in (("11", "transfer"), ("22", "unchanged")):
            signed = f"{stored}?AWSAccessKeyId=k&Expires=1&Signature={signature}"
            label_studio.add(where, Answer(status=303, headers={"Location": signed}))
            assert await detect("s3://bucket/a.png") == (320, took)
        assert "If-None-Match" not in label_studio.requests[-1][1]
        assert pictures.headers_of("/a.png?AWSAccessKeyId=k&Expires=1&Signature=22")["If-None-Match"] == '"1"'
        # The same address is answered by somebody else now, with the same tag: that is another picture.
        with picture_server("127.0.0.3") as elsewhere:
            moved = elsewhere.add("/a.png", Answer(OTHER, headers={"ETag": '"1"'}))
            label_studio.add(where, Answer(status=303, headers={"Location": moved}))
            assert await detect("s3://bucket/a.png") == (300, "transfer")


async def test_cloud_storage_is_resolved_for_each_task(
    looking: Callable[..., Any], label_studio: PictureServer
) -> None:
    """The same URI in two projects' storages can be two pictures, or one that only one of them may see."""
    label_studio.add("/tasks/1/presign/", Answer(balloon_file(), delay=0.2))
    label_studio.add("/tasks/2/presign/", Answer(OTHER, delay=0.2))
    async with looking(label_studio_url=label_studio.url) as detect:
        (first, _), (second, _) = await asyncio.gather(detect("s3://b/a.png", task=1), detect("s3://b/a.png", task=2))
        assert (first, second) == (320, 300)
        with pytest.raises(ImageFetchError):
            await detect("s3://b/a.png", task=3)


async def test_signature_is_a_permission(looking: Callable[..., Any], pictures: PictureServer) -> None:
    """Who has none, or one that has expired, shares no flight with who has."""
    path, good = "/a.png", Answer(balloon_file(), held=True)
    pictures.add(path, good)
    async with looking() as detect:
        waiting = asyncio.create_task(detect(f"{pictures.url}{path}?X-Amz-Signature=good"))
        await until(lambda: pictures.requests)
        pictures.add(path, Answer(status=403))
        with pytest.raises(ImageFetchError):
            await detect(f"{pictures.url}{path}?X-Amz-Signature=expired")
        pictures.release()
        await waiting


async def test_what_one_token_saw_is_not_shown_to_another(
    looking: Callable[..., Any], label_studio: PictureServer
) -> None:
    """Tokens that came with /setup: each project has to be let in itself."""
    label_studio.add(UPLOAD, balloon_file())
    homes = LabelStudios.from_settings(Settings(label_studio_url=label_studio.url))
    for project, token in (("1", "first"), ("2", "second")):
        homes.learn(project, label_studio.url, token)
    async with looking(label_studio_url=label_studio.url) as detect:
        await detect(UPLOAD, homes.of("1"))
        label_studio.add(UPLOAD, Answer(status=403))
        with pytest.raises(ImageFetchError):
            await detect(UPLOAD, homes.of("2"))


async def test_no_address_stands_in_the_cache(
    looking: Callable[..., Any], pictures: PictureServer, tmp_path: Path
) -> None:
    """They can hold passwords and tokens."""
    pictures.add("/a.png", Answer(balloon_file(), headers={"ETag": '"1"'}))
    secret = pictures.url.replace("//", "//me:hunter2@") + "/a.png?token=s3cret"
    async with looking(cache_file=tmp_path / "cache") as detect:
        assert [await detect(secret) for _ in range(2)] == [(320, "transfer"), (320, "unchanged")]
    kept = (tmp_path / "cache").read_bytes()
    assert not [word for word in (b"hunter2", b"s3cret", b"127.0.0.1") if word in kept]


async def test_odd_tag_is_no_error(looking: Callable[..., Any], pictures: PictureServer) -> None:
    """A byte beyond ASCII in a header cannot be sent back; the picture is fetched each time."""
    url = pictures.add("/a.png", Answer(balloon_file(), headers={"ETag": '"caf\u00e9"'}))
    async with looking() as detect:
        assert [await detect(url) for _ in range(2)] == [(320, "transfer")] * 2


async def test_closing_ends_what_is_computed(looking: Callable[..., Any], pictures: PictureServer) -> None:
    """No task of ours is left behind."""
    url = pictures.add("/a.png", Answer(balloon_file(), held=True))
    before = asyncio.all_tasks()
    async with looking() as detect:
        waiting = asyncio.create_task(detect(url))
        await until(lambda: pictures.requests)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() == before
