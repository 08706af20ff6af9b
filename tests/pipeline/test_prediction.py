import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from picture_server import Answer, PictureServer
from PIL import Image
from samples import BALLOON_CONFIG, balloon_file, balloon_scene, empty_file, encoded
from waiting import SECONDS, until

from ml_backend.errors import PrelabelError
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.settings import Settings


def counting(detector: Detector) -> tuple[Detector, list[int]]:
    """Return a detector that writes down each run of its model."""
    runs: list[int] = []

    def run(pixels: Any) -> Any:
        runs.append(1)
        return detector.function(pixels)

    return replace(detector, function=run), runs


@pytest.fixture
def pipeline(demo_detector: Detector) -> Callable[..., Any]:
    """Give a function that opens a pipeline on a counting demo detector."""

    @asynccontextmanager
    async def open_pipeline(**settings: Any) -> AsyncIterator[tuple[Pipeline, list[int]]]:
        detector, runs = counting(demo_detector)
        async with Pipeline(Settings(**settings), Models(detector)) as pipeline:
            yield pipeline, runs

    return open_pipeline


def task(image: object, number: int = 1) -> dict[str, Any]:
    """Return a task with one image."""
    return {"id": number, "data": {"image": image}}


async def test_task_becomes_a_prediction(pipeline: Callable[..., Any], pictures: PictureServer) -> None:
    """The balloon's box comes back in percent, under the project's label, with the pipeline's version."""
    async with pipeline() as (pipe, _):
        (answer,) = await pipe.predict([task(pictures.add("/a.png", balloon_file()))], BALLOON_CONFIG)
        (region,) = answer["result"]
        assert region["value"]["rectanglelabels"] == ["Balloon"]
        assert (region["original_width"], region["original_height"]) == (320, 200)
        assert region["value"]["x"] == pytest.approx(12.5, abs=0.5)
        assert region["value"]["width"] == pytest.approx(18.75, abs=0.7)
        assert answer["model_version"] == pipe.postprocessors.version_for(BALLOON_CONFIG)


async def test_answers_stand_in_the_order_of_the_tasks(pipeline: Callable[..., Any], pictures: PictureServer) -> None:
    """Whichever is done first; a failed one stands in its place and touches no other."""
    slow = pictures.add("/slow.png", Answer(balloon_file(), delay=0.3))
    quick = pictures.add("/quick.png", balloon_file())
    tasks = [
        task(slow),
        7,
        {},
        {"data": []},
        {"data": {"picture": quick}},
        task(pictures.url + "/none.png"),
        task(quick),
    ]
    async with pipeline() as (pipe, _):
        answers = await pipe.predict(tasks, BALLOON_CONFIG)
    assert [answer.code if isinstance(answer, PrelabelError) else len(answer["result"]) for answer in answers] == [
        1,
        "bad_task",
        "bad_task",
        "bad_task",
        "bad_task",
        "image_not_fetched",
        1,
    ]
    assert "has no 'image'" in str(answers[4])
    assert "'picture'" in str(answers[4])


async def test_same_picture_runs_the_model_once(pipeline: Callable[..., Any], pictures: PictureServer) -> None:
    """Under two addresses, twice in one request, and again later: one run."""
    first, second = pictures.add("/a.png", balloon_file()), pictures.add("/b.png", balloon_file())
    async with pipeline() as (pipe, runs):
        before = await pipe.predict([task(first, 1), task(second, 2), task(first, 3)], BALLOON_CONFIG)
        again = await pipe.predict([task(first, 1)], BALLOON_CONFIG)
    assert len(runs) == 1
    assert again == before[:1]


async def test_change_of_labels_and_thresholds_runs_no_model(
    pipeline: Callable[..., Any], pictures: PictureServer
) -> None:
    """Raw detections are kept, so a new config is answered from them."""
    tasks = [task(pictures.add("/a.png", balloon_file()))]
    async with pipeline() as (pipe, runs):
        await pipe.predict(tasks, BALLOON_CONFIG)
        (answer,) = await pipe.predict(
            tasks, BALLOON_CONFIG.replace('"Balloon"', '"Ballon" predicted_values="balloon"')
        )
    assert answer["result"][0]["value"]["rectanglelabels"] == ["Ballon"]
    assert len(runs) == 1


async def test_without_memory_for_it_nothing_is_kept(pipeline: Callable[..., Any], pictures: PictureServer) -> None:
    """PRELABEL_CACHE=none computes each time, with the same answer."""
    tasks = [task(pictures.add("/a.png", balloon_file()))]
    async with pipeline(cache="none") as (pipe, runs):
        assert await pipe.predict(tasks, BALLOON_CONFIG) == await pipe.predict(tasks, BALLOON_CONFIG)
    assert len(runs) == 2


async def test_two_images_of_a_task_are_both_needed(pipeline: Callable[..., Any], tmp_path: Path) -> None:
    """Half an answer would count as a whole one in Label Studio."""
    (tmp_path / "a.png").write_bytes(balloon_file())
    config = BALLOON_CONFIG.replace(
        "</View>",
        '<Image name="rear" value="$rear"/><RectangleLabels name="r" toName="rear"><Label value="Kite"/></RectangleLabels></View>',
    )
    both = {"id": 1, "data": {"image": tmp_path / "a.png", "rear": tmp_path / "a.png"}}
    half = {"id": 2, "data": {"image": tmp_path / "a.png", "rear": tmp_path / "b.png"}}
    async with pipeline() as (pipe, _):
        whole, failed = await pipe.predict([both, half], config)
    assert len(whole["result"]) == 1
    assert failed.code == "image_not_fetched"


async def test_config_that_cannot_be_served_is_the_reason_of_every_task(pipeline: Callable[..., Any]) -> None:
    """And has a version all the same, which changes with the config."""
    async with pipeline() as (pipe, _):
        answers = await pipe.predict([task("http://x/a.png"), task("http://x/b.png")], "<View/>")
        assert [answer.code for answer in answers] == ["bad_label_config"] * 2
        assert pipe.postprocessors.version_for("<View/>") != pipe.postprocessors.version_for("<View></View>")


async def test_failure_that_nobody_thought_of_fails_one_task(
    pipeline: Callable[..., Any], pictures: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug costs the task that met it, and its text stays in the log."""
    good = pictures.add("/a.png", balloon_file())

    def parse(value: object, *limits: int) -> Any:
        if value == "trap":
            raise ZeroDivisionError("secret detail")
        return parse_reference(value, *limits)

    from ml_backend.images.references import parse_reference

    monkeypatch.setattr("ml_backend.pipeline.prediction.parse_reference", parse)
    async with pipeline() as (pipe, _):
        failed, fine = await pipe.predict([task("trap"), task(good)], BALLOON_CONFIG)
    assert failed.code == "internal"
    assert "secret" not in str(failed)
    assert len(fine["result"]) == 1


async def test_single_task_does_not_wait_behind_a_large_request(
    pipeline: Callable[..., Any], pictures: PictureServer
) -> None:
    """One request takes half of the places at most."""
    slow = [pictures.add(f"/slow-{n}.png", Answer(balloon_file(), held=True)) for n in range(12)]
    quick = pictures.add("/quick.png", balloon_file())
    async with pipeline(max_concurrent_images=4, image_timeout=600) as (pipe, _):
        large = asyncio.create_task(pipe.predict([task(url) for url in slow], BALLOON_CONFIG))
        await until(lambda: len(pictures.requests) == 2)
        async with asyncio.timeout(SECONDS):
            await pipe.predict([task(quick)], BALLOON_CONFIG)
        assert len(pictures.requests) == 3
        pictures.release()
        assert len(await large) == 12


async def test_deadline_answers_what_is_done_and_the_rest_goes_on(
    pipeline: Callable[..., Any], pictures: PictureServer
) -> None:
    """A second press finishes, without a download or a model run more than needed."""
    quick = pictures.add("/quick.png", balloon_file())
    slow = pictures.add("/slow.png", Answer(encoded(Image.fromarray(balloon_scene(300))), held=True))
    tasks = [task(quick, 1), task(slow, 2), task(quick, 3)]
    async with pipeline() as (pipe, runs), asyncio.timeout(SECONDS):
        codes = ["deadline"] * 3
        while codes != ["done", "deadline", "done"]:  # a busy machine may need more than one press
            codes = [
                getattr(answer, "code", "done") for answer in await pipe.predict(tasks, BALLOON_CONFIG, deadline=0.5)
            ]
        pictures.release()
        second = await pipe.predict(tasks, BALLOON_CONFIG)
        assert [getattr(answer, "code", "done") for answer in second] == ["done"] * 3
        assert len(runs) == 2
    assert [path for path, _ in pictures.requests].count("/slow.png") == 1


async def test_task_of_several_slow_images_ends_in_time_some_day(
    pipeline: Callable[..., Any], pictures: PictureServer
) -> None:
    """Pressed again and again, while one image after the other arrives: none is asked for twice, none is looked at twice."""
    pages = BALLOON_CONFIG.replace('value="$image"', 'valueList="$pages"')
    urls = [pictures.add(f"/{n}.png", Answer(balloon_file() + bytes([n]), held=True)) for n in range(4)]
    given = {"id": 1, "data": {"pages": urls}}
    arrived: list[str] = []
    async with pipeline() as (pipe, runs):
        for n in range(4):
            (late,) = await pipe.predict([given], pages, deadline=0.1)
            assert late.code == "deadline"
            arrived.append(f"/{n}.png")
            pictures.release(arrived[-1])
            await until(lambda: len(runs) == len(arrived))
        (answer,) = await pipe.predict([given], pages)
    assert len(answer["result"]) == 4
    assert (len(pictures.requests), len(runs)) == (4, 4)


async def test_task_that_was_done_too_late_is_answered_from_what_was_done(
    pipeline: Callable[..., Any], pictures: PictureServer
) -> None:
    """Once; after that its picture is asked for again."""
    given = task(pictures.add("/slow.png", Answer(balloon_file(), held=True)))
    async with pipeline() as (pipe, _):
        (late,) = await pipe.predict([given], BALLOON_CONFIG, deadline=0.1)
        assert late.code == "deadline"
        pictures.release()
        await until(lambda: not jobs_going_on())
        for requests in (1, 2):
            (answer,) = await pipe.predict([given], BALLOON_CONFIG)
            assert len(answer["result"]) == 1
            assert len(pictures.requests) == requests


async def test_changed_picture_is_seen_after_late_work_was_joined(
    pipeline: Callable[..., Any], pictures: PictureServer
) -> None:
    """What was answered in time in the end is no reason to trust the address once more."""
    given = task(pictures.add("/slow.png", Answer(balloon_file(), held=True)))
    async with pipeline() as (pipe, _):
        (late,) = await pipe.predict([given], BALLOON_CONFIG, deadline=0.1)
        joining = asyncio.create_task(pipe.predict([given], BALLOON_CONFIG))
        await asyncio.sleep(0)
        pictures.release()
        (joined,) = await joining
        pictures.add("/slow.png", empty_file())
        (changed,) = await pipe.predict([given], BALLOON_CONFIG)
    assert late.code == "deadline"
    assert (len(joined["result"]), len(changed["result"])) == (1, 0)


async def test_repeated_presses_add_no_work(pipeline: Callable[..., Any], pictures: PictureServer) -> None:
    """A hanging host is asked once for each picture, and does not keep others waiting."""
    hanging = [task(pictures.add(f"/h{n}.png", Answer(balloon_file(), held=True)), n) for n in range(8)]
    quick = pictures.add("/quick.png", balloon_file())
    async with pipeline(max_concurrent_images=8, image_timeout=600) as (pipe, _):
        for _ in range(4):
            answers = await pipe.predict(hanging, BALLOON_CONFIG, deadline=0.1)
            assert {answer.code for answer in answers} == {"deadline"}
        async with asyncio.timeout(SECONDS):
            await pipe.predict([task(quick)], BALLOON_CONFIG)
    assert max(Counter(path for path, _ in pictures.requests).values()) == 1


async def test_waiting_for_a_shared_picture_takes_one_place(
    pipeline: Callable[..., Any], pictures: PictureServer
) -> None:
    """Twenty requests for one slow picture leave the other places free."""
    slow = pictures.add("/slow.png", Answer(balloon_file(), held=True))
    quick = pictures.add("/quick.png", balloon_file())
    async with pipeline(max_concurrent_images=4, image_timeout=600) as (pipe, _):
        many = [asyncio.create_task(pipe.predict([task(slow, n)], BALLOON_CONFIG)) for n in range(20)]
        await until(lambda: pictures.requests)
        async with asyncio.timeout(SECONDS):
            await pipe.predict([task(quick)], BALLOON_CONFIG)
        pictures.release()
        await asyncio.gather(*many)
    assert len(pictures.requests) == 2


def jobs_going_on() -> list[asyncio.Task[Any]]:
    """Return the tasks of the event loop that predict."""
    return [each for each in asyncio.all_tasks() if "_predict_task" in repr(each)]


async def test_cancelled_request_ends_its_work(pipeline: Callable[..., Any], pictures: PictureServer) -> None:
    """Nobody will ask for it again."""
    slow = pictures.add("/slow.png", Answer(balloon_file(), held=True))
    async with pipeline() as (pipe, _):
        request = asyncio.create_task(pipe.predict([task(slow)], BALLOON_CONFIG))
        await until(lambda: pictures.requests)
        assert jobs_going_on()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await until(lambda: not jobs_going_on())


async def test_cancelled_request_leaves_what_others_wait_for(
    pipeline: Callable[..., Any], pictures: PictureServer
) -> None:
    """Two requests have joined work that was late; one of them goes away."""
    slow = task(pictures.add("/slow.png", Answer(balloon_file(), held=True)))
    async with pipeline() as (pipe, _):
        await pipe.predict([slow], BALLOON_CONFIG, deadline=0.1)
        leaving, staying = (asyncio.create_task(pipe.predict([slow], BALLOON_CONFIG)) for _ in range(2))
        await asyncio.sleep(0.2)  # for both to join
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        pictures.release()
        (answer,) = await staying
    assert len(answer["result"]) == 1


async def test_one_key_as_image_and_as_list(pipeline: Callable[..., Any], pictures: PictureServer) -> None:
    """A config that wants both of one key can be satisfied by no task, and says so."""
    both = BALLOON_CONFIG.replace(
        "</View>",
        '<Image name="many" valueList="$image"/><RectangleLabels name="r" toName="many"><Label value="Kite"/></RectangleLabels></View>',
    )
    url = pictures.add("/a.png", balloon_file())
    async with pipeline() as (pipe, _):
        single, several = await pipe.predict([task(url), task([url])], both)
    assert "no list under 'image'" in str(single)
    assert "the image is a list" in str(several)


async def test_closing_ends_what_is_still_going_on(pipeline: Callable[..., Any], pictures: PictureServer) -> None:
    """A server that stops does not wait for slow hosts."""
    slow = pictures.add("/slow.png", Answer(balloon_file(), held=True))
    async with asyncio.timeout(SECONDS), pipeline(image_timeout=600) as (pipe, _):
        await pipe.predict([task(slow)], BALLOON_CONFIG, deadline=0.1)
    assert not jobs_going_on()


async def test_list_of_images(pipeline: Callable[..., Any], pictures: PictureServer) -> None:
    """Each image of the list is looked at; a text in the list's place fails the task."""
    pages = BALLOON_CONFIG.replace('value="$image"', 'valueList="$pages"')
    url = pictures.add("/a.png", balloon_file())
    tasks = [
        {"id": 1, "data": {"pages": [url, url]}},
        {"id": 2, "data": {"pages": url}},
        {"id": 3, "data": {"pages": []}},
    ]
    async with pipeline() as (pipe, _):
        both, text, none = await pipe.predict(tasks, pages)
    assert [each["item_index"] for each in both["result"]] == [0, 1]
    assert "no list under 'pages'" in str(text)
    assert none["result"] == []


def context(x: float, label: str, **changes: Any) -> dict[str, Any]:
    """Return what Label Studio sends when a rectangle was drawn around the balloon, roughly."""
    value = {"x": x, "y": 20, "width": 22, "height": 50, "rotation": 0, "rectanglelabels": [label]}
    return {"result": [{"id": "r1", "from_name": "label", "to_name": "image", "value": value, **changes}]}


async def test_gesture_snaps_to_the_object(pipeline: Callable[..., Any], pictures: PictureServer) -> None:
    """Under the drawn label, from detections that are there already. Off the object it stays, or Auto-Accept would delete it."""
    given = task(pictures.add("/a.png", balloon_file()))
    async with pipeline() as (pipe, runs):
        (automatic,) = await pipe.predict([given], BALLOON_CONFIG)
        (snapped,) = await pipe.predict([given], BALLOON_CONFIG, context=context(10, "Kite"))
        (beside,) = await pipe.predict([given], BALLOON_CONFIG, context=context(60, "Kite"))
        (no_rectangle,) = await pipe.predict([given], BALLOON_CONFIG, context=context(10, "Zebra"))
        nothing_drawn: list[object] = [{}, {"result": []}]
        empty = [await pipe.predict([given], BALLOON_CONFIG, context=each) for each in nothing_drawn]
        (no_image,) = await pipe.predict([{"id": 1}], BALLOON_CONFIG, context=context(10, "Kite"))
    (region,), (before,) = snapped["result"], automatic["result"]
    assert region["value"] == {**before["value"], "rectanglelabels": ["Kite"]}
    assert region["id"] != before["id"]
    (kept,) = beside["result"]
    assert kept["value"] == context(60, "Kite")["result"][0]["value"]
    assert (kept["id"] == "r1", "score" in kept, beside["score"]) == (False, False, 1.0)
    (own,) = no_rectangle["result"]
    assert own == context(10, "Zebra")["result"][0] | {"id": own["id"]}
    assert own["id"] != "r1"
    assert empty == [[automatic], [automatic]]
    assert no_image.code == "bad_task"
    assert len(runs) == 1


async def test_interactive_mode_keeps_the_deadline(pipeline: Callable[..., Any], pictures: PictureServer) -> None:
    """Slow pictures do not keep an annotator waiting; the work goes on."""
    slow = [task(pictures.add(f"/{number}.png", Answer(balloon_file(), held=True)), number) for number in (1, 2)]
    async with pipeline() as (pipe, _):
        answers = await pipe.predict(slow, BALLOON_CONFIG, context=context(10, "Kite"), deadline=0.1)
        assert [answer.code for answer in answers] == ["deadline", "deadline"]
        pictures.release()
        again = await pipe.predict(slow, BALLOON_CONFIG, context=context(10, "Kite"))
    assert [len(answer["result"]) for answer in again] == [1, 1]


async def test_size_of_the_input_is_part_of_what_is_found(
    pipeline: Callable[..., Any], pictures: PictureServer
) -> None:
    """Another limit may find other things: another version, and the model runs again."""
    tasks = [task(pictures.add("/a.png", balloon_file()))]
    answers = []
    for side, again in ((640, 1), (160, 1), (640, 0)):
        async with pipeline(model_input_max_side=side) as (pipe, runs):
            answers += await pipe.predict(tasks, BALLOON_CONFIG)
            assert len(runs) == again
    first, small, last = answers
    assert first == last
    assert first["model_version"] != small["model_version"]
    (region,) = small["result"]
    assert (region["original_width"], region["original_height"]) == (320, 200)
    assert region["value"]["x"] == pytest.approx(12.5, abs=1)


async def test_audited_picture_is_answered_without_boxes(pipeline: Callable[..., Any], pictures: PictureServer) -> None:
    """With the score that it would have, so that the order of tasks says nothing, and with a version of its own."""
    tasks = [task(pictures.add("/a.png", balloon_file()))]
    answers = []
    for fraction in (0, 1):
        async with pipeline(holdout_fraction=fraction) as (pipe, _):
            answers += await pipe.predict(tasks, BALLOON_CONFIG)
    shown, in_holdout = answers
    assert (len(shown["result"]), in_holdout["result"]) == (1, [])
    assert in_holdout["score"] == shown["score"]
    assert in_holdout["model_version"] != shown["model_version"]


async def test_one_audited_picture_withholds_the_boxes_of_its_task(
    pipeline: Callable[..., Any], pictures: PictureServer
) -> None:
    """All of a list: whoever draws sees them together."""
    digest = [hashlib.sha256(balloon_file() + bytes([number])).hexdigest() for number in range(9)]
    lowest = min(range(9), key=digest.__getitem__)
    urls = [pictures.add(f"/{number}.png", balloon_file() + bytes([number])) for number in range(9)]
    others = urls[:lowest] + urls[lowest + 1 :]
    pages = BALLOON_CONFIG.replace('value="$image"', 'valueList="$pages"')
    tasks = [{"id": 1, "data": {"pages": urls}}, {"id": 2, "data": {"pages": others}}]
    async with pipeline(holdout_fraction=(int(digest[lowest][:8], 16) + 1) / 2**32) as (pipe, _):
        one, none = await pipe.predict(tasks, pages)
    assert (len(one["result"]), len(none["result"])) == (0, 8)


async def test_what_was_learned_of_the_project_counts_without_a_model_run(
    demo_detector: Detector, pictures: PictureServer
) -> None:
    """It is asked for with the project of each request; boxes and version change, and the detections stay."""
    asked: list[str | None] = []
    taught = {
        "4.1": LabelOverrides.of({}, {("label", "Balloon"): "Kite"}),
        "5.1": LabelOverrides.of({("label", "Balloon"): 1.0}),
    }

    def overrides(project: str | None) -> LabelOverrides:
        asked.append(project)
        return taught.get(project or "", NO_OVERRIDES)

    detector, runs = counting(demo_detector)
    tasks = [task(pictures.add("/a.png", balloon_file()))]
    answers: list[Any] = []
    async with Pipeline(Settings(), Models(detector), overrides) as pipe:
        for project in ("3.1", "4.1", "5.1", None):
            answers += await pipe.predict(tasks, BALLOON_CONFIG, project=project)
        versions = [pipe.postprocessors.version_for(BALLOON_CONFIG, project) for project in ("3.1", "4.1", "5.1", None)]
    labels = [[each["value"]["rectanglelabels"] for each in answer["result"]] for answer in answers]
    assert labels == [[["Balloon"]], [["Kite"]], [], [["Balloon"]]]
    assert [answer["model_version"] for answer in answers] == versions
    assert len(set(versions)) == 3
    assert len(runs) == 1
    assert asked == ["3.1", "4.1", "5.1", None] * 2


def test_model_version_has_its_form(demo_detector: Detector) -> None:
    """<model name>@<fingerprint, 8 hex>.<policy digest, 6 hex>, the same in every replica."""
    versions = {
        Pipeline(Settings(), Models(demo_detector)).postprocessors.version_for(BALLOON_CONFIG) for _ in range(2)
    }
    (version,) = versions
    name, _, rest = version.partition("@")
    fingerprint, _, digest = rest.partition(".")
    assert (name, fingerprint, len(digest)) == ("demo-shapes", demo_detector.fingerprint[:8], 6)
