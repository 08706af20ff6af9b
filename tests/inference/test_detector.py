from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from samples import balloon_scene

from ml_backend.errors import ModelError
from ml_backend.inference.detector import Detector
from ml_backend.vocabularies.open_images import open_images_classes


def test_concurrent_runs_do_not_mix(demo_detector: Detector) -> None:
    """Pictures of different sizes at the same time each get their own answer."""
    scenes = [balloon_scene(width, 200) for width in range(200, 240)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(demo_detector.run, scenes))
    for scene, detections in zip(scenes, found, strict=True):
        width = scene.shape[1]
        assert detections.width == width
        assert detections.boxes[0, 3] * width == pytest.approx(100, abs=1.5)


def test_size_is_that_of_the_picture(demo_detector: Detector) -> None:
    """Width and height are not swapped."""
    found = demo_detector.run(np.zeros((30, 70, 3), np.uint8))
    assert (found.width, found.height) == (70, 30)


def test_trained_detector_says_that_it_speaks_open_images(trained_detector: Detector) -> None:
    """Known from its outputs, so labels that it can never return are found early."""
    assert trained_detector.classes == open_images_classes().classes()


def test_failure_of_the_model_is_one_sentence(trained_detector: Detector) -> None:
    """A picture that the graph cannot take is that picture's error, without a trace of the graph."""
    with pytest.raises(ModelError, match="failed on an image of 40000 x 1 pixels") as caught:
        trained_detector.run(np.zeros((1, 40_000, 3), np.uint8))
    assert "\n" not in str(caught.value)
