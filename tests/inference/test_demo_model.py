from pathlib import Path

import numpy as np
import pytest
from samples import balloon_scene

from ml_backend.demo.scenes import draw_scene
from ml_backend.inference import demo_model
from ml_backend.inference.detector import Detector


def test_it_finds_a_drawn_balloon(demo_detector: Detector) -> None:
    """The box is the shape's, to the grid's fineness."""
    found = demo_detector.run(balloon_scene())
    assert found.class_names[0] == "Balloon"
    assert found.scores[0] > 0.9
    np.testing.assert_allclose(found.boxes[0] * [200, 320, 200, 320], [50, 40, 130, 100], atol=1.5)


def test_it_finds_nothing_where_nothing_is(demo_detector: Detector) -> None:
    """A picture without strong colours has no shapes."""
    assert len(demo_detector.run(np.full((50, 60, 3), 200, np.uint8))) == 0


@pytest.mark.parametrize("seed", range(12))
def test_it_finds_what_the_scenes_show(demo_detector: Detector, seed: int) -> None:
    """Every drawn object is found, in its place and by its name, and nothing else is."""
    image, drawn = draw_scene(seed)
    found = demo_detector.run(np.asarray(image))
    sure = found.scores > 0.5
    boxes = found.boxes[sure] * [image.height, image.width, image.height, image.width]
    names = np.array(found.class_names)[sure]
    assert len(boxes) == len(drawn)
    for thing in drawn:
        edges = np.array([thing.top, thing.left, thing.bottom, thing.right])
        nearest = np.abs(boxes - edges).max(axis=1).argmin()
        assert names[nearest] == thing.class_name
        assert np.abs(boxes[nearest] - edges).max() < 5


@pytest.mark.parametrize("shape", [(1, 1), (1, 100), (700, 3), (33, 47)])
def test_odd_sizes_do_no_harm(demo_detector: Detector, shape: tuple[int, int]) -> None:
    """Any height and width are taken, as the contract says: a grey picture is empty, and a red one is all one box."""
    assert len(demo_detector.run(np.full((*shape, 3), 128, np.uint8))) == 0
    found = demo_detector.run(np.full((*shape, 3), (214, 20, 40), np.uint8))
    assert (found.class_names[0], found.boxes[0].tolist()) == ("Box", [0, 0, 1, 1])
    assert (found.height, found.width) == shape


def test_it_says_that_it_is_a_demo(demo_detector: Detector) -> None:
    """Its name stands in every model version, so that nobody takes it for the real one."""
    assert demo_detector.name == "demo-shapes"


def test_it_is_built_once(models_dir: Path, demo_detector: Detector) -> None:
    """The next start finds the same files, hence the same fingerprint."""
    before = demo_model.build(models_dir).stat().st_mtime_ns
    assert demo_model.build(models_dir).stat().st_mtime_ns == before
    assert Detector.load("demo", models_dir, workers=2).fingerprint == demo_detector.fingerprint
