from __future__ import annotations

import base64
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bootstrap_jobs import IMAGE_FIELDS
from picture_server import Answer, PictureServer, picture_server
from samples import balloon_file, balloon_scene, empty_file

from ml_backend.bootstrap import worker as examine
from ml_backend.bootstrap.items import Item, Outcome
from ml_backend.detections import Detections
from ml_backend.errors import BootstrapError
from ml_backend.images.perceptual_hash import perceptual_hash
from ml_backend.inference.models import Models
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.settings import Settings

if TYPE_CHECKING:
    from ml_backend.inference.detector import Detector

Examine = Callable[..., Awaitable[Outcome]]
Examining = Callable[..., AbstractAsyncContextManager[Examine]]
PAGES = [ImageField("pages", is_list=True)]
UPLOAD = "/data/upload/1/73f47284-a.png"
LATER = Answer(status=503)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "PAUSES", (0.01, 0.01))
    monkeypatch.setattr(examine, "PAUSES_AT_HOME", (0.01,) * 5)


@pytest.fixture
def label_studio() -> Iterator[PictureServer]:
    """Give a second server, on a second loopback address, in Label Studio's place."""
    with picture_server("127.0.0.2") as server:
        yield server


@pytest.fixture
def examining(demo_detector: Detector) -> Examining:
    """Give a function that opens an examiner with some settings; what it gives looks at a task."""

    @asynccontextmanager
    async def opened(
        image_fields: list[ImageField] = IMAGE_FIELDS, known: frozenset[str] = frozenset(), **settings: Any
    ) -> AsyncIterator[Examine]:
        given = Settings(**{"cache": "none"} | settings)
        async with examine.open_worker(
            given,
            Models(demo_detector),
            {field: ["detector"] for field in image_fields},
            lambda digest: {"detector"} if digest in known else (),
        ) as worker:

            async def look(image: object, *, file: Path | None = None, **task: Any) -> Outcome:
                data = {place.key: image for place in image_fields}
                return await worker.examine(Item(b"key", {"data": data, **task}, file, position=7))

            yield look

    return opened


def found(outcome: Outcome) -> dict[str, list[list[str]]]:
    """Return the names of what was surely found, by picture."""
    names: dict[str, list[list[str]]] = {}
    for key, looks in outcome.images.items():
        names[key] = []
        for look in looks:
            assert look.detections
            seen = Detections.from_bytes(look.detections)
            surely = zip(seen.class_names, seen.scores, strict=True)
            names[key].append([name for name, score in surely if score > 0.5])
    return names


async def test_picture_is_looked_at(examining: Examining, pictures: PictureServer, tmp_path: Path) -> None:
    """Wherever it is: the same digest, detections and appearance, though one run of the detector is enough."""
    (tmp_path / "a.png").write_bytes(balloon_file())
    inline = "data:image/png;base64," + base64.b64encode(balloon_file()).decode()
    url = pictures.add("/a.png", balloon_file())
    async with examining(cache="memory") as look:
        outcomes = [await look(url), await look(inline), await look("x", file=tmp_path / "a.png")]
    assert [outcome.failure for outcome in outcomes] == [None] * 3
    looks = [outcome.images["image"][0] for outcome in outcomes]
    assert [found(outcome) for outcome in outcomes] == [{"image": [["Balloon"]]}] * 3
    assert {(each.digest, each.detections, each.perceptual_hash) for each in looks} == {
        (looks[0].digest, looks[0].detections, perceptual_hash(balloon_scene()))
    }
    assert [each.computed for each in looks] == [True, False, False]


async def test_known_picture_is_not_looked_at(examining: Examining, pictures: PictureServer) -> None:
    """It is fetched, since only its bytes tell."""
    url = pictures.add("/a.png", balloon_file())
    async with examining() as look:
        (first,) = (await look(url)).images["image"]
    async with examining(known=frozenset([first.digest])) as look:
        (again,) = (await look(url)).images["image"]
    assert (again.digest, again.detections, again.computed) == (first.digest, b"", False)
    assert len(pictures.requests) == 2


async def test_list_of_images(examining: Examining, pictures: PictureServer, tmp_path: Path) -> None:
    """Looked at in its order; a file of a folder is a list of one."""
    urls = [pictures.add("/a.png", balloon_file()), pictures.add("/b.png", empty_file())]
    (tmp_path / "a.png").write_bytes(balloon_file())
    async with examining(PAGES) as look:
        assert found(await look(urls)) == {"pages": [["Balloon"], []]}
        assert found(await look([])) == {"pages": []}
        assert found(await look("x", file=tmp_path / "a.png")) == {"pages": [["Balloon"]]}


async def test_one_good_and_one_broken_picture(examining: Examining, pictures: PictureServer) -> None:
    """The item fails as a whole, with the reason; what was seen before is kept."""
    good = pictures.add("/good.png", balloon_file())
    broken = pictures.add("/broken.png?signature=s3cret", b"no picture")
    pictures.add("/broken.png", b"no picture")
    async with examining(PAGES) as look:
        outcome = await look([good, broken, good])
    assert outcome.position == 7
    assert found(outcome) == {"pages": [["Balloon"]]}
    assert outcome.failure is not None
    assert outcome.failure.code == "image_not_fetched"
    assert "/broken.png" in outcome.failure.reason
    assert "s3cret" not in outcome.failure.reason


@pytest.mark.parametrize(
    ("image", "code", "words"),
    [
        (7, "bad_image_reference", "a number"),
        ("", "bad_image_reference", "an empty text"),
        ("/etc/passwd", "bad_image_reference", "not a form of image"),
        ("/data/upload/1/a.jpg", "bad_image_reference", "set LABEL_STUDIO_URL"),
        ("http://127.0.0.9:1/a.jpg", "image_not_fetched", "cannot be fetched"),
        ("http://xn--/a.jpg", "image_not_fetched", "cannot be fetched"),
        ("http://h\ud800/a.jpg", "image_not_fetched", "cannot be fetched"),
        ("data:image/png;base64,AAAA", "image_not_readable", "data: URI"),
    ],
)
async def test_bad_images_are_failures_of_their_items(
    examining: Examining, image: object, code: str, words: str
) -> None:
    """A sentence that can be written down, and never an end of the job."""
    async with examining() as look:
        failure = (await look(image)).failure
    assert failure is not None
    assert (failure.code, words in failure.reason) == (code, True), failure
    assert failure.reason.encode()


async def test_file_that_is_gone(examining: Examining, tmp_path: Path) -> None:
    """Since the folder was listed; the same for a folder of that name."""
    async with examining() as look:
        for path in (tmp_path / "gone.png", tmp_path):
            failure = (await look("x", file=path)).failure
            assert failure is not None
            assert str(path) in failure.reason


async def test_data_without_the_key(examining: Examining) -> None:
    """The label config says where the image is."""
    async with examining(PAGES) as look:
        for outcome in (await look("no list"), await look({})):
            assert outcome.failure is not None
            assert outcome.failure.code == "bad_task"


class Restarting:
    """What a server answers: some times that it cannot, then the picture."""

    def __init__(self, server: PictureServer, path: str, answer: Answer, times: int) -> None:
        self.url = server.url + path
        self.asked = 0
        good = Answer(balloon_file())
        outer = self

        class Answers(dict[str, Answer]):
            def get(self, key: str, default: Any = None) -> Answer:
                outer.asked += 1
                return answer if outer.asked <= times else good

        server.answers = Answers()


@pytest.mark.parametrize(
    ("answer", "asked", "why"),
    [
        (LATER, 3, "it may be well again soon"),
        (Answer(status=429), 3, "too many at once"),
        (Answer(status=408), 3, "it waited too long"),
        (Answer(balloon_file(), announced=10**6), 3, "the connection broke"),
        (Answer(b""), 3, "nothing came, which is no picture yet"),
        (Answer(status=404), 1, "it is not there"),
        (Answer(status=410), 1, "it is not there any more"),
        (Answer(status=403), 1, "it is not for us"),
        (Answer(status=401), 1, "elsewhere, that is about one picture"),
        pytest.param(
            Answer(b"x", announced=10**12),
            1,
            "it will be as large again",
        ),
        pytest.param(
            Answer(status=302, headers={"Location": "http://169.254.169.254/a.png"}),
            1,
            "it will lead there again",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_asked_for_again(
    examining: Examining, pictures: PictureServer, answer: Answer, asked: int, why: str
) -> None:
    """A bad moment costs nothing; what will not change is not asked for twice."""
    server = Restarting(pictures, "/a.png", answer, asked)
    async with examining() as look:
        outcome = await look(server.url)
    assert server.asked == asked
    assert outcome.failure is not None
    assert outcome.failure.code == "image_not_fetched"


async def test_bad_moment_passes(examining: Examining, pictures: PictureServer) -> None:
    """The second time is enough, the third as well."""
    for times in (1, 2):
        server = Restarting(pictures, "/a.png", LATER, times)
        async with examining() as look:
            assert found(await look(server.url)) == {"image": [["Balloon"]]}
        assert server.asked == times + 1


async def test_file_that_is_too_large_is_not_waited_for(
    examining: Examining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not shrink."""
    monkeypatch.setattr(examine, "PAUSES", (3600,))
    (tmp_path / "a.png").write_bytes(b"x" * 2_000)
    async with examining(image_max_bytes=1_000) as look:
        failure = (await look("x", file=tmp_path / "a.png")).failure
    assert failure is not None
    assert "over the limit" in failure.reason


@pytest.mark.parametrize("image", [UPLOAD, "http://127.0.0.2:PORT" + UPLOAD, "s3://bucket/a.png"])
async def test_label_studio_that_does_not_answer_ends_the_job(examining: Examining, image: str) -> None:
    """It is asked again for two minutes, in which it may start again; then everything else would fail alike."""
    with socket.create_server(("127.0.0.2", 0)) as nobody:
        port = str(nobody.getsockname()[1])
    home = f"http://127.0.0.2:{port}"
    async with examining(label_studio_url=home, label_studio_api_key="a" * 40) as look:
        with pytest.raises(BootstrapError, match="run the same command again"):
            await look(image.replace("PORT", port), id=7)


@pytest.mark.parametrize("key", ["a" * 40, "refresh"])
async def test_token_that_is_refused_ends_the_job(examining: Examining, label_studio: PictureServer, key: str) -> None:
    """Each further picture would fail alike: it is said what to do, and nothing counts as failed. Legacy and personal tokens."""
    if key == "refresh":
        claims = base64.urlsafe_b64encode(b'{"token_type": "refresh", "exp": 9999999999}').decode().rstrip("=")
        key = f"e30.{claims}.e30"
    label_studio.add(UPLOAD, Answer(status=401))
    label_studio.add("/api/token/refresh/", Answer(status=401))
    async with examining(label_studio_url=label_studio.url, label_studio_api_key=key) as look:
        with pytest.raises(BootstrapError, match="set LABEL_STUDIO_API_KEY to a valid token, and run the same"):
            await look(UPLOAD)
    assert len(label_studio.requests) == 1


async def test_label_studio_that_has_no_such_picture(examining: Examining, label_studio: PictureServer) -> None:
    """One item fails, at once."""
    async with examining(label_studio_url=label_studio.url, label_studio_api_key="a" * 40) as look:
        assert (await look(UPLOAD)).failure is not None
    assert len(label_studio.requests) == 1
