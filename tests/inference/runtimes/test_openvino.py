"""The OpenVINO runtime: converted once, proven against TensorFlow, and started without it from then on."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_backend.detections import Detections
from ml_backend.errors import ModelLoadError
from ml_backend.inference.classifier import Classifier
from ml_backend.inference.detector import Detector
from ml_backend.inference.runtimes.openvino import comparison, graph, loading, quantization
from ml_backend.inference.runtimes.tensorflow import tf

openvino = pytest.importorskip("openvino", reason="there is no OpenVINO for this platform")

ROOT = Path(__file__).parents[3]
CLASSES = ["Cat", "Dog", "Car"]
SIDE = 10  # boxes in a row, and in a column


class _Grid(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """A detector with a convolution, a non-maximum suppression and names; it finds bright places of three colours."""

    def __init__(self, names_by_table: bool) -> None:
        super().__init__()
        kernel = np.random.default_rng(0).normal(0, 1, (5, 5, 3, len(CLASSES))).astype(np.float32)
        self.kernel = tf.Variable(kernel)
        self.table = None
        if names_by_table:
            content = tf.lookup.KeyValueTensorInitializer(tf.range(3, dtype=tf.int64), tf.constant(CLASSES))
            self.table = tf.lookup.StaticHashTable(content, "")

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32, name="images")])  # type: ignore[untyped-decorator]
    def __call__(self, images: Any) -> dict[str, Any]:
        """Return the outputs of the openimages_v4 contract."""
        small = tf.image.resize(images, [4 * SIDE, 4 * SIDE])
        scores = tf.sigmoid(tf.nn.conv2d(small, self.kernel, 4, "SAME") / 4)
        scores = tf.reshape(scores, [1, SIDE * SIDE, len(CLASSES)])
        rows, columns = (
            tf.cast(each, tf.float32) for each in tf.meshgrid(tf.range(SIDE), tf.range(SIDE), indexing="ij")
        )
        boxes = tf.stack([rows, columns, rows + 1.6, columns + 1.6], -1) / SIDE
        boxes = tf.reshape(boxes, [1, SIDE * SIDE, 1, 4])
        found = tf.image.combined_non_max_suppression(boxes, scores, 20, 30, 0.1, 0.6)
        numbers = tf.cast(found.nmsed_classes[0], tf.int64)
        return {
            "detection_boxes": found.nmsed_boxes[0],
            "detection_scores": found.nmsed_scores[0],
            "detection_class_entities": tf.gather(CLASSES, numbers)
            if self.table is None
            else self.table.lookup(numbers),
        }


@pytest.fixture(params=[False, True], ids=["names in a vector", "names in a table"])
def grid(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give the folder of a small detector."""
    module = _Grid(names_by_table=request.param)
    tf.saved_model.save(module, str(tmp_path / "grid"), signatures={"default": module.__call__})
    return tmp_path / "grid"


@pytest.fixture
def loaded(grid: Path, tmp_path: Path) -> Callable[..., Detector]:
    """Give a function that loads it with a runtime."""

    def load(runtime: str = "auto", **options: Any) -> Detector:
        return Detector.load(str(grid), tmp_path / "cache", workers=2, runtime=runtime, **options)

    return load


def photographs(number: int = 4) -> list[np.ndarray[Any, Any]]:
    """Return images that were not compared at the conversion."""
    random = np.random.default_rng(1)
    return [
        np.kron(random.integers(0, 256, (9, 12, 3)), np.ones((40, 40, 1))).astype(np.uint8)[: 300 + 20 * each]
        for each in range(number)
    ]


def test_converted_model_finds_the_same(loaded: Callable[..., Detector]) -> None:
    """Boxes, scores and names, in every image; the fingerprint is the same, so cached detections are shared."""
    ours, theirs = loaded("openvino"), loaded("tensorflow")
    assert ours.fingerprint == theirs.fingerprint
    for pixels in photographs():
        found, expected = ours.run(pixels), theirs.run(pixels)
        assert len(found) > 3
        assert comparison._compare_detections(found, expected)[0] == 0  # noqa: SLF001 - the rule itself is under test elsewhere
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    assert ours.runtime.startswith("OpenVINO; it agrees with TensorFlow: on 7 images, 0 of ")


@pytest.mark.parametrize(
    ("one", "other", "missing"),
    [
        ((0.1, 0.1, 0.5, 0.5), (0.1, 0.1, 0.5, 0.5), 0),
        ((0.1, 0.1, 0.5, 0.5), (0.1, 0.1, 0.5, 0.51), 2),
        ((0.3, 0.0, 0.6, 0.0), (0.3, 0.0, 0.6, 0.0), 0),
        ((0.3, 0.0, 0.6, 0.0), (0.3, 0.0, 0.7, 0.0), 2),
    ],
    ids=["the same", "an edge moved", "no area and the same", "no area and an edge moved"],
)
def test_boxes_are_the_same_by_overlap_or_by_edges(
    one: tuple[float, ...], other: tuple[float, ...], missing: int
) -> None:
    """A detector with a letterbox may find things in its margin, whose boxes have no area when they are cut at the image."""
    found, others = (
        Detections(
            boxes=np.array([box, (0, 0, 1, 1)], np.float32),
            scores=np.array([0.9, 0.1], np.float32),
            class_names=("Cat", "Dog"),
            class_mids=("", ""),
            width=640,
            height=480,
        )
        for box in (one, other)
    )
    assert comparison._compare_detections(found, others)[0] == missing  # noqa: SLF001 - a model that fires there is hard to make


def test_second_start_needs_no_tensorflow(loaded: Callable[..., Detector], grid: Path, tmp_path: Path) -> None:
    """Not even its import: in a process where it cannot be imported, the model answers."""
    expected = loaded().run(photographs()[0])
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "import numpy as np, pathlib\n"
        "from ml_backend.inference.detector import Detector\n"
        f"found = Detector.load({str(grid)!r}, pathlib.Path({str(tmp_path / 'cache')!r}), workers=2, runtime='auto')\n"
        f"result = found.run(np.load({str(tmp_path / 'image.npy')!r}))\n"
        "print(len(result), found.module, sorted(set(result.class_names)), found.runtime[:8])"
    )
    np.save(tmp_path / "image.npy", photographs()[0])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ}
    )
    names = sorted(set(expected.class_names))
    assert done.stdout.strip() == f"{len(expected)} None {names} OpenVINO", done.stderr


def test_second_start_draws_one_image(loaded: Callable[..., Detector], monkeypatch: pytest.MonkeyPatch) -> None:
    """It compares the conversion on one; drawing all takes as long as loading the model."""
    loaded()
    drawn = []

    def counted() -> Any:
        for image in comparison.comparison_images():
            drawn.append(image.shape)
            yield image

    monkeypatch.setattr(loading, "comparison_images", counted)
    assert loaded().module is None
    assert drawn == [(480, 640, 3)]


def damage_graph(folder: Path) -> None:
    """Cut the weights short."""
    (folder / "model.bin").write_bytes(b"\0" * 10)


def remove_graph(folder: Path) -> None:
    """Delete a file."""
    (folder / "model.xml").unlink()


def damage_record(folder: Path) -> None:
    """Break the record."""
    (folder / "record.msgpack").write_bytes(b"\xc1")


def empty(folder: Path) -> None:
    """Leave an empty folder."""
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize("harm", [damage_graph, remove_graph, damage_record, empty])
def test_damaged_conversion_is_made_again(
    loaded: Callable[..., Detector], tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """TensorFlow converts the model once more, and the next start finds it whole."""
    loaded()
    (folder,) = (tmp_path / "cache" / "openvino").iterdir()
    harm(folder)
    assert loaded().module is not None
    assert loaded().module is None


def test_conversions_that_were_interrupted_are_cleared_away(loaded: Callable[..., Detector], tmp_path: Path) -> None:
    """An hour later; a younger one may be at work."""
    parent = tmp_path / "cache" / "openvino"
    old, young = parent / "old.tmp", parent / "young.tmp"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    assert loaded().runtime.startswith("OpenVINO")
    assert (old.exists(), young.exists()) == (False, True)


def test_folder_that_cannot_be_written_leaves_tensorflow(
    loaded: Callable[..., Detector], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason, for the log and the status page."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "openvino").write_text("a file in its place")
    found = loaded()
    assert found.runtime.startswith("TensorFlow, since ")
    assert "openvino" in found.runtime
    assert len(found.run(photographs()[0])) > 3
    with pytest.raises(ModelLoadError, match="PRELABEL_RUNTIME=openvino"):
        loaded("openvino")


def test_results_that_differ_leave_tensorflow(
    loaded: Callable[..., Detector], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a conversion is not kept, but its refusal is."""
    load_graph = graph.load_graph

    def wrong(*args: Any, **kwargs: Any) -> Any:
        function = load_graph(*args, **kwargs)
        return lambda pixels: {
            name: each * np.float32(0.9) if name == "detection_scores" else each
            for name, each in function(pixels).items()
        }

    monkeypatch.setattr(loading, "load_graph", wrong)
    assert "the results of OpenVINO differ: on 7 images" in loaded().runtime
    assert [path.suffix for path in (tmp_path / "cache" / "openvino").iterdir()] == [".json"]


def test_detector_that_finds_nothing_stays_with_tensorflow(tmp_path: Path) -> None:
    """Two empty results agree, and prove nothing."""

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32, name="images")])  # type: ignore[untyped-decorator]
    def blind(images: Any) -> dict[str, Any]:
        scores = tf.zeros(5) * tf.reduce_mean(images)
        names = tf.gather(CLASSES, tf.cast(scores, tf.int64))
        return {
            "detection_boxes": scores[:, None] * tf.ones(4),
            "detection_scores": scores,
            "detection_class_entities": names,
        }

    module = tf.Module()
    module.blind = blind
    tf.saved_model.save(module, str(tmp_path / "blind"), signatures={"default": blind})
    found = Detector.load(str(tmp_path / "blind"), tmp_path / "cache", workers=2, runtime="auto")
    assert "on 7 drawn images nothing is found" in found.runtime


def test_two_processes_may_convert_at_once(grid: Path, tmp_path: Path) -> None:
    """Each converts for itself; one folder stays, and it is whole."""
    code = (
        "import pathlib\nfrom ml_backend.inference.detector import Detector\n"
        f"print(Detector.load({str(grid)!r}, pathlib.Path({str(tmp_path / 'cache')!r}), workers=2, runtime='auto').runtime[:8])"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["OpenVINO", "OpenVINO"]
    (folder,) = (tmp_path / "cache" / "openvino").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["model.bin", "model.xml", "record.msgpack"]


def test_model_that_cannot_be_converted_stays_with_tensorflow(tmp_path: Path) -> None:
    """The demo detector has loops and sets: the operations are named."""
    found = Detector.load("demo", tmp_path, workers=2, runtime="auto")
    assert found.runtime.startswith("TensorFlow, since ")
    assert found.module is not None


def test_operations_that_openvino_lacks_stay_with_tensorflow(tmp_path: Path) -> None:
    """The graph is cut in front of them; what is in front of the cut runs with OpenVINO, also after a restart."""
    grid = _Grid(names_by_table=False)

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32, name="images")])  # type: ignore[untyped-decorator]
    def spelled(images: Any) -> dict[str, Any]:
        outputs: dict[str, Any] = grid(images)
        return outputs | {"detection_class_entities": tf.strings.join(["a ", outputs["detection_class_entities"]])}

    module = tf.Module()
    module.grid, module.spelled = grid, spelled
    tf.saved_model.save(module, str(tmp_path / "spelled"), signatures={"default": spelled})
    handle, cache = str(tmp_path / "spelled"), tmp_path / "cache"
    theirs = Detector.load(handle, cache, workers=2, runtime="tensorflow")
    for _ in range(2):
        ours = Detector.load(handle, cache, workers=2, runtime="openvino")
        assert ours.runtime.startswith("OpenVINO, and TensorFlow for the operations that it does not have")
        for pixels in photographs():
            found, expected = ours.run(pixels), theirs.run(pixels)
            assert sorted(found.class_names) == sorted(expected.class_names)
            assert found.class_names[0].startswith("a ")
            np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_precision_has_a_fingerprint_of_its_own(loaded: Callable[..., Detector], precision: str) -> None:
    """Its boxes differ a little, so they are not mixed with others in the cache; the second start needs no TensorFlow either."""
    exact = loaded("openvino")
    first, second = (loaded("openvino", precision=precision) for _ in range(2))
    assert exact.fingerprint != first.fingerprint == second.fingerprint
    assert second.module is None
    pixels = photographs()[0]
    found = second.run(pixels)
    assert abs(len(exact.run(pixels)) - len(found)) <= 2
    np.testing.assert_array_equal(found.scores, first.run(pixels).scores)
    with pytest.raises(ModelLoadError, match=precision):
        loaded("tensorflow", precision=precision)


def test_quantizing_without_its_package_is_named(
    loaded: Callable[..., Detector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the extra to install; the next start can have it."""
    monkeypatch.setattr(quantization, "find_spec", lambda _: None)
    with pytest.raises(ModelLoadError, match=r"pip install 'prelabel\[int8\]'"):
        loaded("openvino", precision="int8")
    monkeypatch.undo()
    assert loaded("openvino", precision="int8").runtime.startswith("OpenVINO")


@pytest.mark.parametrize(
    "stated", [pytest.param(True, id="squares of one size"), pytest.param(False, id="squares of the image's size")]
)
def test_shape_that_is_always_the_same_is_stated(tmp_path: Path, stated: bool) -> None:
    """OpenVINO is slower where it must expect any shape. A shape that follows the image stays open, and is right for each."""
    kernel = np.random.default_rng(0).normal(0, 1, (5, 5, 3, 1001)).astype(np.float32)

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32, name="images")])  # type: ignore[untyped-decorator]
    def letterboxed(images: Any) -> dict[str, Any]:
        size = tf.shape(images)[1:3]
        longer = 64 if stated else tf.reduce_max(size)
        small = tf.image.resize(images, size * longer // tf.reduce_max(size))
        margin = longer - tf.shape(small)[1:3]
        padded = tf.pad(small, [[0, 0], [0, margin[0]], [0, margin[1]], [0, 0]])
        hot = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(padded, kernel, 4, "SAME")), [1, 2])[0, :5]
        return {
            "detection_boxes": tf.tile(tf.constant([[0.1, 0.1, 0.9, 0.9]]), [5, 1]),
            "detection_scores": tf.sigmoid(hot),
            "detection_class_entities": tf.gather(CLASSES, tf.argsort(hot) % 3),
        }

    module = tf.Module()
    module.letterboxed = letterboxed
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"default": letterboxed})
    found, expected = (
        Detector.load(str(tmp_path / "model"), tmp_path / "cache", workers=2, runtime=runtime)
        for runtime in ("openvino", "tensorflow")
    )
    for pixels in photographs():
        np.testing.assert_allclose(found.run(pixels).scores, expected.run(pixels).scores, atol=1e-4)
    (graph_file,) = tmp_path.glob("cache/openvino/*/model.xml")
    operations = openvino.Core().read_model(graph_file).get_ordered_ops()
    (convolution,) = (each for each in operations if each.get_type_name() == "Convolution")
    (resized,) = (each for each in operations if each.get_type_name() == "Pad")
    readers = {reader.get_node().get_type_name() for reader in resized.output(0).get_target_inputs()}
    assert ("Reshape" in readers, convolution.input_value(0).get_partial_shape().is_static) == (stated, stated)


def test_classifier_converts_whole(colour_classifier_dir: Path, tmp_path: Path) -> None:
    """With its resizing; the probabilities are those of TensorFlow."""
    ours, theirs = (
        Classifier.load(str(colour_classifier_dir), tmp_path, workers=2, runtime=runtime)
        for runtime in ("openvino", "tensorflow")
    )
    for pixels in photographs():
        np.testing.assert_allclose(ours.run(pixels).probabilities, theirs.run(pixels).probabilities, atol=1e-5)


def test_refusal_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that cannot be converted is not converted at each start."""
    first = Detector.load("demo", tmp_path, workers=2, runtime="auto")
    monkeypatch.setattr(loading, "_convert", None)
    assert Detector.load("demo", tmp_path, workers=2, runtime="auto").runtime == first.runtime


def test_full_disk_leaves_tensorflow(grid: Path, tmp_path: Path) -> None:
    """A file that cannot grow stands for it; nothing is left, and the next start converts the model."""
    code = (
        "import pathlib, resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from ml_backend.inference.detector import Detector\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))\n"
        f"found = Detector.load({str(grid)!r}, pathlib.Path({str(tmp_path / 'cache')!r}), workers=2, runtime='auto')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        f"again = Detector.load({str(grid)!r}, pathlib.Path({str(tmp_path / 'cache')!r}), workers=2, runtime='auto')\n"
        "print(found.runtime[:10], again.runtime[:8])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "TensorFlow OpenVINO", done.stderr
