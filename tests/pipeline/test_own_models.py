"""Models that users bring, with their own class lists, on the whole way of a task."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_server import PictureServer
from PIL import Image
from samples import encoded
from saved_models import saved, saved_classifier, saved_detector

from ml_backend.errors import ModelError
from ml_backend.inference.models import Models
from ml_backend.inference.runtimes.tensorflow import tf
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.settings import Settings

CONFIG = '<View><Image name="image" value="$image"/>{control}<{inner} value="Helmet"/><{inner} value="Vest"/></{outer}></View>'
BOXES = CONFIG.format(control='<RectangleLabels name="label" toName="image">', inner="Label", outer="RectangleLabels")
CHOICES = CONFIG.format(
    control='<Choices name="choice" toName="image" model_score_threshold="0">', inner="Choice", outer="Choices"
)


def picture(value: int) -> bytes:
    """Return a PNG file of one grey."""
    return encoded(Image.fromarray(np.full((40, 60, 3), value, np.uint8)))


@pytest.mark.parametrize(
    ("variable", "save", "config"),
    [
        ("model", lambda folder: saved_detector(folder, numbers=[1], raw_classes=2), BOXES),
        ("classifier", lambda folder: saved_classifier(folder, 2), CHOICES),
    ],
    ids=["detector", "classifier"],
)
async def test_another_class_list_finds_no_cached_results(
    tmp_path: Path, pictures: PictureServer, variable: str, save: Callable[[Path], str], config: str
) -> None:
    """The model is the same and so is the image: with another list it runs anew, and each list finds its own results again."""
    handle = save(tmp_path / "model")
    task = {"id": 1, "data": {"image": pictures.add("/a.png", picture(200))}}
    seen = []
    for names in ("Helmet\nVest", "Vest\nHelmet", "Helmet\nVest"):
        path = tmp_path / "names.txt"
        path.write_text(names)
        settings = Settings.model_validate(
            {variable: handle, "class_names": path, "tfhub_cache_dir": tmp_path, "cache_file": tmp_path / "cache"}
        )
        async with Pipeline(settings, Models.load(settings)) as pipe:
            (answer,) = await pipe.predict([task], config)
            runs = sum(
                pipe.metrics.value("prelabel_model_runs_total", model=kind) for kind in ("detector", "classifier")
            )
        assert isinstance(answer, dict)
        (region,) = answer["result"]
        value: dict[str, Any] = dict(region["value"])
        seen.append((value.get("rectanglelabels") or value["choices"], runs, answer["model_version"]))
    (first, second, again) = seen
    assert [runs for _, runs, _ in seen] == [1, 1, 0]
    assert first[0] == again[0] != second[0]
    assert first[2] == again[2] != second[2]


async def test_image_on_which_the_model_fails_fails_alone(tmp_path: Path, pictures: PictureServer) -> None:
    """NaN for one image of a request: its task has the error, the others have their choices."""

    def classify(images: Any) -> dict[str, Any]:
        means = tf.reduce_mean(images, axis=[1, 2])[:, :2]
        return {"logits": tf.where(means > 0.99, np.nan, means * [7.0, -7.0])}

    folder = saved(tmp_path / "model", classify, tf.TensorSpec((None, 8, 8, 3), tf.float32))
    names = tmp_path / "names.txt"
    names.write_text("Helmet\nVest")
    settings = Settings(classifier=folder, class_names=names, tfhub_cache_dir=tmp_path, cache="memory")
    tasks = [
        {"id": number, "data": {"image": pictures.add(f"/{value}.png", picture(value))}}
        for number, value in enumerate([10, 255, 240])
    ]
    async with Pipeline(settings, Models.load(settings)) as pipe:
        for _ in range(2):  # the error is not cached, and no result of it
            first, broken, last = await pipe.predict(tasks, CHOICES)
            assert isinstance(first, dict)
            assert isinstance(last, dict)
            assert [dict(each["result"][0]["value"]) for each in (first, last)] == [{"choices": ["Helmet"]}] * 2
            assert isinstance(broken, ModelError)
            assert str(broken).endswith("the classifier returned NaN or infinity")
            assert "255.png" in str(broken)
