"""A detector and a classifier together: each image is fetched and decoded once, and each model runs once on it."""

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from picture_server import PictureServer
from PIL import Image
from samples import balloon_file, encoded

from ml_backend.images.decoding.pool import DecoderPool
from ml_backend.inference.classifier import Classifier
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.settings import Settings

VIEW = '<View><Image name="image" value="$image"/>{}</View>'
BOXES = '<RectangleLabels name="box" toName="image"><Label value="Balloon"/></RectangleLabels>'
CHOICES = '<Choices name="what" toName="image"><Choice value="Aircraft"/><Choice value="Frog"/></Choices>'


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give a list that grows with each image that is decoded."""
    sizes: list[int] = []
    decode = DecoderPool.decode

    def noting(self: DecoderPool, data: bytes, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(data))
        return decode(self, data, *args, **kwargs)

    monkeypatch.setattr(DecoderPool, "decode", noting)
    return sizes


def red_file(side: int = 40) -> bytes:
    """Return a PNG file of one red."""
    return encoded(Image.fromarray(np.full((side, side, 3), (250, 10, 10), np.uint8)))


@pytest.mark.parametrize(
    ("controls", "runs"),
    [(BOXES, (1, 0)), (CHOICES, (0, 1)), (BOXES + CHOICES, (1, 1))],
    ids=["boxes", "choices", "both"],
)
async def test_models_run_once_if_they_are_needed(
    demo_detector: Detector,
    colour_classifier: Classifier,
    pictures: PictureServer,
    decoded: list[int],
    controls: str,
    runs: tuple[int, int],
) -> None:
    """One request and one decoded image for all models; a repeated image costs nothing; a model that no control needs does not run."""
    url = pictures.add("/a.png", balloon_file())
    async with Pipeline(Settings(cache="memory"), Models(demo_detector, colour_classifier)) as pipeline:
        for again in range(2):
            task = {"id": 1 + again, "data": {"image": url}}
            (answer,) = await pipeline.predict([task], VIEW.format(controls))
            assert isinstance(answer, dict)
        counted = [
            pipeline.metrics.value("prelabel_model_runs_total", model=kind) for kind in ("detector", "classifier")
        ]
    assert tuple(counted) == runs
    assert len(decoded) == 1


async def test_second_model_decodes_what_the_first_one_has_cached(
    demo_detector: Detector, colour_classifier: Classifier, pictures: PictureServer, decoded: list[int]
) -> None:
    """Choices that are added to a project later compute the choices alone."""
    task = {"id": 1, "data": {"image": pictures.add("/a.png", balloon_file())}}
    async with Pipeline(Settings(cache="memory"), Models(demo_detector, colour_classifier)) as pipeline:
        await pipeline.predict([task], VIEW.format(BOXES))
        await pipeline.predict([task], VIEW.format(BOXES + CHOICES))
        assert pipeline.metrics.value("prelabel_model_runs_total", model="detector") == 1
        assert pipeline.metrics.value("prelabel_model_runs_total", model="classifier") == 1
    assert len(decoded) == 2


def test_service_answers_boxes_and_choices(
    serve: Callable[..., str], colour_classifier: Classifier, pictures: PictureServer
) -> None:
    """Over HTTP, as Label Studio asks: a choice by the classifier beside boxes; the version names both models."""
    url = serve(classifier=colour_classifier)
    tasks = [
        {"id": 1, "data": {"image": pictures.add("/a.png", balloon_file())}},
        {"id": 2, "data": {"image": pictures.add("/b.png", red_file())}},
    ]
    body = {"tasks": tasks, "label_config": VIEW.format(BOXES + CHOICES), "project": "1.1"}
    first, second = httpx.post(f"{url}/predict", json=body, timeout=60).json()["results"]
    assert [each["type"] for each in first["result"]] == ["rectanglelabels", "choices"]
    (choice,) = [each for each in second["result"] if each["type"] == "choices"]
    assert choice["value"] == {"choices": ["Aircraft"]}
    assert choice["score"] > 0.9
    assert first["model_version"].startswith("demo-shapes+colour-classifier@")


def test_classifier_alone_serves_choices_and_names_the_boxes(
    serve: Callable[..., str], colour_classifier: Classifier, pictures: PictureServer
) -> None:
    """Boxes need a detector: the status page says so, and the choices are predicted."""
    url = serve(detector=None, classifier=colour_classifier)
    config = VIEW.format(BOXES + CHOICES)
    version = httpx.post(f"{url}/setup", json={"schema": config, "project": "1.1"}).json()["model_version"]
    task = {"id": 1, "data": {"image": pictures.add("/a.png", red_file())}}
    body = {"tasks": [task], "label_config": config, "project": "1.1"}
    (answer,) = httpx.post(f"{url}/predict", json=body, timeout=60).json()["results"]
    assert [each["type"] for each in answer["result"]] == ["choices"]
    assert answer["model_version"] == version
    status = httpx.get(f"{url}/status").json()
    assert [model["kind"] for model in status["models"]] == ["classifier"]
    assert "'box' is not served: it needs a detector" in " ".join(status["projects"]["1"]["config_warnings"])


async def test_boxes_of_a_service_with_both_models_are_as_without(
    demo_detector: Detector, colour_classifier: Classifier
) -> None:
    """A classifier that is added to a service changes no version of projects that have boxes only."""
    versions = []
    for models in (Models(demo_detector), Models(demo_detector, colour_classifier)):
        async with Pipeline(Settings(cache="memory"), models) as pipeline:
            versions.append(pipeline.postprocessors.version_for(VIEW.format(BOXES)))
    assert versions[0] == versions[1]


async def test_version_covers_both_models(demo_detector: Detector, colour_classifier: Classifier) -> None:
    """Another classifier makes another version for choices, also where boxes stand beside them."""
    versions = set()
    other = Classifier(**{**vars(colour_classifier), "fingerprint": "f" * 64})
    for classifier in (colour_classifier, other):
        async with Pipeline(Settings(cache="memory"), Models(demo_detector, classifier)) as pipeline:
            versions |= {pipeline.postprocessors.version_for(VIEW.format(each)) for each in (CHOICES, BOXES + CHOICES)}
    assert len(versions) == 4
