from __future__ import annotations

import gc
import json
import os
import signal
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bootstrap_jobs import IMAGE_FIELDS, NEEDS, item_of_file
from picture_server import Answer, PictureServer
from PIL import Image
from samples import balloon_file, balloon_scene, encoded

from ml_backend.bootstrap import worker as examine
from ml_backend.bootstrap.checkpoint import Checkpoint, Counts
from ml_backend.bootstrap.engines import local
from ml_backend.bootstrap.engines.local import KEPT_AT_ONCE, LocalEngine
from ml_backend.bootstrap.items import Item, Needs, Outcome
from ml_backend.detections import Detections
from ml_backend.errors import BootstrapError
from ml_backend.inference.models import Models
from ml_backend.inference.runtimes.runtime import RunError
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.logs import configure_logging
from ml_backend.settings import Settings

if TYPE_CHECKING:
    from ml_backend.inference.classifier import Classifier
    from ml_backend.inference.detector import Detector

Run = Callable[..., list[list[Outcome]]]


@pytest.fixture(autouse=True)
def _pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "PAUSES", (0.01,))
    monkeypatch.setattr(local, "KEPT_EVERY", 1_000)


@pytest.fixture
def run(demo_detector: Detector, checkpoint: Checkpoint) -> Run:
    """Give a function that looks at everything in the checkpoint, and gives the portions in which outcomes were kept."""

    def looked(also: Callable[[Sequence[Outcome]], None] = lambda _: None, **settings: Any) -> list[list[Outcome]]:
        portions: list[list[Outcome]] = []

        def keep(outcomes: Sequence[Outcome]) -> None:
            if outcomes:
                checkpoint.record(outcomes)
                portions.append(list(outcomes))
                also(outcomes)

        LocalEngine(Settings(**{"cache": "none"} | settings), Models(demo_detector)).run(checkpoint, NEEDS, keep)
        return portions

    return looked


def fill(checkpoint: Checkpoint, folder: Path, number: int, different: int) -> None:
    """Let a checkpoint have so many files of balloons, of which some are copies."""
    folder.mkdir(exist_ok=True)
    for n in range(number):
        width = 320 + n % different
        (folder / f"{n:04d}.png").write_bytes(encoded(Image.fromarray(balloon_scene(width)), compress_level=1))
    checkpoint.survey((item_of_file(path, folder) for path in folder.iterdir()), sort=True)


def runs(portions: list[list[Outcome]]) -> int:
    """Return how often the detector ran."""
    return sum(
        image.computed
        for outcomes in portions
        for outcome in outcomes
        for images in outcome.images.values()
        for image in images
    )


def test_everything_is_looked_at(
    run: Run, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And kept in portions, the last of what is left."""
    monkeypatch.setattr(local, "KEPT_EVERY", 3600)
    fill(checkpoint, tmp_path / "in", 2 * KEPT_AT_ONCE + 10, 3)
    assert [len(portion) for portion in run()] == [KEPT_AT_ONCE, KEPT_AT_ONCE, 10]
    assert checkpoint.counts() == Counts(pending=0, done=2 * KEPT_AT_ONCE + 10, failed=0, left=0)
    assert [Detections.from_bytes(images["image"][0].detections).width for _, images in checkpoint.done()][:4] == [
        320,
        321,
        322,
        320,
    ]
    assert run() == []


def test_same_bytes_under_many_names_are_one_picture(run: Run, checkpoint: Checkpoint, tmp_path: Path) -> None:
    """The detector runs once for each content, whether they come at the same time, in one portion, or later."""
    fill(checkpoint, tmp_path / "in", KEPT_AT_ONCE + 20, 2)
    assert runs(run()) == 2
    assert checkpoint.images() == 2
    fill(checkpoint, tmp_path / "in", 2 * KEPT_AT_ONCE, 2)
    assert runs(run()) == 0


def test_what_the_cache_knows_is_not_computed(
    run: Run, demo_detector: Detector, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """It is the service's own."""
    fill(checkpoint, tmp_path / "in", 10, 5)
    assert runs(run(cache="sqlite", cache_file=tmp_path / "cache")) == 5
    with Checkpoint(tmp_path / "other") as other:
        fill(other, tmp_path / "in", 10, 5)
        found: list[Outcome] = []
        settings = Settings(cache="sqlite", cache_file=tmp_path / "cache")
        LocalEngine(settings, Models(demo_detector)).run(other, NEEDS, found.extend)
    assert runs([found]) == 0


def test_outcomes_are_kept_in_time(
    run: Run, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow pictures do not wait for a full portion: little is lost if the machine goes down."""
    monkeypatch.setattr(local, "KEPT_EVERY", 0)
    fill(checkpoint, tmp_path / "in", 5, 5)
    assert [len(portion) for portion in run()] == [1] * 5


def test_failures_end_nothing(run: Run, checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Each is of its own item."""
    fill(checkpoint, tmp_path / "in", 6, 6)
    (tmp_path / "in" / "0002.png").write_bytes(b"no picture")
    (tmp_path / "in" / "0003.png").unlink()
    run()
    assert checkpoint.counts() == Counts(pending=0, done=4, failed=2, left=0)
    assert [item.name for item, _ in checkpoint.failures()] == ["0002.png", "0003.png"]


def test_unforeseen_error_is_a_failure_of_its_item(
    demo_detector: Detector, checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job goes on, and the log has the trace."""
    configure_logging("error")

    def stumble(pixels: Any) -> Any:
        if pixels.shape[1] == 322:
            raise KeyError("boxes")
        return demo_detector.function(pixels)

    fill(checkpoint, tmp_path / "in", 4, 4)
    stumbling = replace(demo_detector, function=stumble)
    LocalEngine(Settings(cache="none"), Models(stumbling)).run(checkpoint, NEEDS, checkpoint.record)
    assert checkpoint.counts() == Counts(pending=0, done=3, failed=1, left=0)
    ((item, failure),) = checkpoint.failures()
    assert (item.name, failure.code) == ("0002.png", "internal")
    assert failure.reason == "an error inside Prelabel (KeyError); its log has the details"
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert (event["event"], event["item"]) == ("image failed unexpectedly", "0002.png")
    assert event["exception"][0]["exc_type"] == "KeyError"


def test_few_places(run: Run, checkpoint: Checkpoint, tmp_path: Path) -> None:
    """One picture at a time gives the same."""
    fill(checkpoint, tmp_path / "in", 5, 3)
    assert runs(run(max_concurrent_images=1)) == 3
    assert checkpoint.counts().done == 5


def test_refused_token_ends_it_and_what_was_done_is_kept(
    run: Run, checkpoint: Checkpoint, tmp_path: Path, pictures: PictureServer
) -> None:
    """One sentence, though many pictures are refused at the same time."""
    fill(checkpoint, tmp_path / "in", 5, 5)
    run()
    for n in range(40):
        pictures.add(f"/data/upload/1/{n}.png", Answer(status=401, delay=0.3))
    refused = (Item(b"x%d" % n, {"data": {"image": f"/data/upload/1/{n}.png"}}) for n in range(40))
    checkpoint.survey(refused, sort=False)
    with pytest.raises(BootstrapError, match="LABEL_STUDIO_API_KEY"):
        run(label_studio_url=pictures.url, label_studio_api_key="a" * 40)
    assert checkpoint.counts() == Counts(pending=40, done=5, failed=0, left=0)


def test_end_of_the_disk_ends_it(run: Run, checkpoint: Checkpoint, tmp_path: Path) -> None:
    """The first portion is there, the second could not be kept."""
    fill(checkpoint, tmp_path / "in", 3 * KEPT_AT_ONCE, 2)
    portions = 0

    def full(outcomes: Sequence[Outcome]) -> None:
        nonlocal portions
        portions += 1
        if portions == 2:
            raise BootstrapError("no room")

    with pytest.raises(BootstrapError, match="no room"):
        run(full)
    assert 0 < checkpoint.counts().done < 3 * KEPT_AT_ONCE


@pytest.mark.parametrize("cause", ["a full disk", "an interrupt"])
def test_nothing_is_kept_that_refers_to_what_was_not(
    demo_detector: Detector, checkpoint: Checkpoint, tmp_path: Path, cause: str
) -> None:
    """After a portion that could not be kept: all that is done can be written."""
    fill(checkpoint, tmp_path / "in", 4 * KEPT_AT_ONCE, 1)
    portions = 0

    def keep(outcomes: Sequence[Outcome]) -> None:
        nonlocal portions
        portions += 1
        if portions == 1 and outcomes:
            raise BootstrapError("no room") if cause == "a full disk" else KeyboardInterrupt
        checkpoint.record(outcomes)

    with pytest.raises((BootstrapError, KeyboardInterrupt)):
        LocalEngine(Settings(cache="none"), Models(demo_detector)).run(checkpoint, NEEDS, keep)
    gc.collect()  # asyncio logs the interrupt of the lost task now, and not during a later test
    assert len(list(checkpoint.done())) == checkpoint.counts().done


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_interrupt(
    run: Run, checkpoint: Checkpoint, tmp_path: Path, interrupt: signal.Signals, request: pytest.FixtureRequest
) -> None:
    """Ctrl-C and what supervisors send end it alike: what was done is kept, and the rest can go on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    fill(checkpoint, tmp_path / "in", 6 * KEPT_AT_ONCE, 2)
    with pytest.raises(KeyboardInterrupt):
        run(lambda _: os.kill(os.getpid(), interrupt), max_concurrent_images=2)
    done = checkpoint.counts().done
    assert 0 < done < 6 * KEPT_AT_ONCE  # a slow machine keeps a portion after a second
    run()
    assert checkpoint.counts() == Counts(pending=0, done=6 * KEPT_AT_ONCE, failed=0, left=0)


def test_picture_over_http(run: Run, checkpoint: Checkpoint, pictures: PictureServer) -> None:
    """As any other."""
    url = pictures.add("/a.png", balloon_file())
    checkpoint.survey([Item(b"a", {"data": {"image": url}})], sort=False)
    run()
    ((_, images),) = checkpoint.done()
    assert Detections.from_bytes(images["image"][0].detections).width == 320


@dataclass(frozen=True)
class Both:
    """A detector and a classifier that count their runs."""

    models: Models
    runs: Counter[str]


@pytest.fixture(scope="module")
def loaded_classifier(tiny_classifier: Path, models_dir: Path) -> Classifier:
    """Give the classifier that the tests build, loaded."""
    from ml_backend.inference.classifier import Classifier

    return Classifier.load(str(tiny_classifier), models_dir, workers=2)


@pytest.fixture
def both(demo_detector: Detector, loaded_classifier: Classifier) -> Both:
    """Give two models whose runs are counted."""
    runs: Counter[str] = Counter()

    def counted(kind: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run_and_count(pixels: Any) -> Any:
            runs[kind] += 1
            return function(pixels)

        return run_and_count

    detector = replace(demo_detector, function=counted("detector", demo_detector.function))
    classifier = replace(loaded_classifier, function=counted("classifier", loaded_classifier.function))
    return Both(Models(detector, classifier), runs)


BOTH: Needs = {IMAGE_FIELDS[0]: ["detector", "classifier"]}
CHOICES: Needs = {IMAGE_FIELDS[0]: ["classifier"]}
FRONT, BACK = ImageField("front", is_list=False), ImageField("back", is_list=False)


@pytest.mark.parametrize(
    ("before", "now", "again"),
    [
        (NEEDS, BOTH, "classifier"),
        (CHOICES, BOTH, "detector"),
        (NEEDS, CHOICES, "classifier"),
    ],
    ids=["choices after boxes", "boxes after choices", "choices instead of boxes"],
)
def test_only_what_lacks_is_computed(
    both: Both, checkpoint: Checkpoint, tmp_path: Path, before: Needs, now: Needs, again: str
) -> None:
    """One model's results are in the checkpoint, which is enough: that model does not run again, with no cache at all."""
    fill(checkpoint, tmp_path / "in", 12, 12)
    engine = LocalEngine(Settings(cache="none"), both.models)
    engine.run(checkpoint, before, checkpoint.record)
    known = [images for _, images in checkpoint.done()]
    both.runs.clear()
    assert checkpoint.require(now) == 12
    fill(checkpoint, tmp_path / "in", 14, 14)
    engine.run(checkpoint, now, checkpoint.record)
    assert both.runs[again] == 14
    assert both.runs.total() - both.runs[again] == 2 * (len(now[IMAGE_FIELDS[0]]) - 1), "the two new ones need both"
    results = [images["image"][0] for _, images in checkpoint.done()]
    assert all(result.kinds >= set(now[IMAGE_FIELDS[0]]) for result in results)
    for result, images in zip(results, known, strict=False):
        (first,) = images["image"]
        assert (first.detections or result.detections, first.classification or result.classification) == (
            result.detections,
            result.classification,
        )


def test_same_order_of_models_does_not_matter(both: Both, tmp_path: Path) -> None:
    """Both at once, or one after the other: the checkpoint holds the same."""
    found = []
    for number, order in enumerate(([BOTH], [NEEDS, BOTH], [CHOICES, BOTH])):
        with Checkpoint(tmp_path / f"checkpoint-{number}") as checkpoint:
            fill(checkpoint, tmp_path / "in", 9, 4)
            for needs in order:
                checkpoint.require(needs)
                LocalEngine(Settings(cache="none"), both.models).run(checkpoint, needs, checkpoint.record)
            found.append(list(checkpoint.done()))
    assert found[0] == found[1] == found[2]


def test_one_file_on_two_images_with_models_of_their_own(both: Both, checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Boxes are wanted on the front and choices on the back: that one model has examined a file says nothing of the other."""
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(encoded(Image.fromarray(balloon_scene(320 + n))))
    sides = [(0, 1), (1, 0), (2, 2), (0, 2), (1, 1)]
    inline = ["data:image/png;base64," + b64encode((tmp_path / f"{n}.png").read_bytes()).decode() for n in range(3)]
    items = [
        Item(b"%d" % n, {"data": {"front": inline[front], "back": inline[back]}})
        for n, (front, back) in enumerate(sides)
    ]
    checkpoint.survey(items, sort=False)
    needs: Needs = {FRONT: ["detector"], BACK: ["classifier"]}
    LocalEngine(Settings(cache="none", max_concurrent_images=1), both.models).run(checkpoint, needs, checkpoint.record)
    assert both.runs == {"detector": 3, "classifier": 3}
    assert checkpoint.require(needs) == 0
    for _, images in checkpoint.done():
        assert images["front"][0].detections
        assert images["back"][0].classification


def test_duplicate_of_an_image_whose_item_failed_between_its_models(
    both: Both, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """The first item has the boxes of its front and no back; a second one with the same file needs its choices as well."""
    file = "data:image/png;base64," + b64encode(balloon_file()).decode()
    items = [
        Item(b"broken", {"data": {"front": file, "back": "data:image/png;base64,AAAA"}}),
        Item(b"whole", {"data": {"front": file, "back": file}}),
    ]
    checkpoint.survey(items, sort=False)
    needs: Needs = {FRONT: ["detector"], BACK: ["classifier"]}
    LocalEngine(Settings(cache="none", max_concurrent_images=1), both.models).run(checkpoint, needs, checkpoint.record)
    assert checkpoint.counts() == Counts(pending=0, done=1, failed=1, left=0)
    assert both.runs == {"detector": 1, "classifier": 1}
    ((_, images),) = checkpoint.done()
    assert images["back"][0].kinds == {"detector", "classifier"}


def test_classifier_that_fails_on_an_image(both: Both, checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Its item fails with the reason, and the others are done."""

    def fail(_: Any) -> Any:
        raise RunError("no such operation")

    assert both.models.classifier is not None
    failing = Models(both.models.detector, replace(both.models.classifier, function=fail))
    fill(checkpoint, tmp_path / "in", 2, 2)
    LocalEngine(Settings(cache="none"), failing).run(checkpoint, BOTH, checkpoint.record)
    reasons = [failure.reason for _, failure in checkpoint.failures()]
    assert len(reasons) == 2
    assert all("the classifier failed on an image of 32" in reason for reason in reasons), reasons
