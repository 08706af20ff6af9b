"""The whole way, over HTTP, finds what the signatures of the models find: same boxes, same average precision, same probabilities."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from average_precision import Box, average_precision
from numpy.typing import NDArray
from picture_server import PictureServer
from PIL import Image
from samples import STORED_BY, stored_as

from ml_backend.inference.classifier import Classifier
from ml_backend.inference.contracts.openimages_v4 import SCORE_FLOOR
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.label_studio.label_config import label_config_for
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.settings import Settings
from ml_backend.vocabularies.coco import coco_classes
from ml_backend.vocabularies.imagenet import BACKGROUND, imagenet_classes
from ml_backend.vocabularies.open_images import open_images_classes

EVERY_CLASS = label_config_for(open_images_classes().names)
EVERY_CHOICE = label_config_for((), (BACKGROUND, *imagenet_classes()))
COCO = (Path(__file__).parent.parent / "label_config" / "coco.xml").read_text()


def tasks_of(addresses: list[str]) -> list[dict[str, Any]]:
    """Return one task for each picture."""
    return [{"id": number, "data": {"image": address}} for number, address in enumerate(addresses, 1)]


def predicted(url: str, addresses: list[str], label_config: str) -> list[list[dict[str, Any]]]:
    """Post all pictures in one request, and return their regions."""
    body = {"tasks": tasks_of(addresses), "label_config": label_config, "project": "1.1"}
    results = httpx.post(f"{url}/predict", json=body, timeout=110).json()["results"]
    return [result["result"] for result in results]


def answered(url: str, addresses: list[str], label_config: str = EVERY_CLASS) -> list[list[Box]]:
    """Post all pictures in one request, and turn the regions back to pixels."""
    return [[_pixels(region) for region in regions] for regions in predicted(url, addresses, label_config)]


def _pixels(region: dict[str, Any]) -> Box:
    value = region["value"]
    x, y = region["original_width"] / 100, region["original_height"] / 100
    left, top = value["x"] * x, value["y"] * y
    edges = [left, top, left + value["width"] * x, top + value["height"] * y]
    return {"label": value["rectanglelabels"][0], "score": region["score"], "edges": edges}


def called_directly(detector: Detector, pixels: NDArray[np.uint8]) -> list[Box]:
    """Call the signature by itself: picture in [0, 1] in, boxes clipped to the picture out."""
    from ml_backend.inference.runtimes.tensorflow import tf

    height, width, _ = pixels.shape
    outputs = detector.module.signatures[detector.contract.signature](
        images=tf.constant(pixels[None].astype(np.float32) / 255)
    )
    boxes = np.clip(outputs["detection_boxes"].numpy(), 0, 1) * [height, width, height, width]
    rows = zip(
        boxes.tolist(),
        outputs["detection_scores"].numpy().tolist(),
        outputs["detection_class_entities"].numpy(),
        strict=True,
    )
    return [
        {"label": name.decode(), "score": score, "edges": [left, top, right, bottom]}
        for (top, left, bottom, right), score, name in rows
        if score > 0
    ]


def photographs(shared: Path) -> tuple[Path, dict[str, int], list[Path]]:
    """Return the file of the ground truth, its image ids by file name, and the files of the photographs."""
    truth = shared / "photos" / "instances.json"
    ids = {each["file_name"]: each["id"] for each in json.loads(truth.read_text())["images"]}
    return truth, ids, sorted((shared / "photos" / "images").glob("*.jpg"))


def test_boxes_and_average_precision_equal_those_of_the_signature(
    serve: Callable[..., str],
    trained_detector: Detector,
    shared: Path,
    pictures: PictureServer,
) -> None:
    """80 photographs: every box within 0.05 pixel, AP within 0.001."""
    truth, ids, files = photographs(shared)
    url = serve(trained_detector, model_score_threshold=SCORE_FLOOR)
    served = answered(url, [pictures.add(f"/{file.name}", file.read_bytes()) for file in files])
    direct = [called_directly(trained_detector, np.asarray(Image.open(file).convert("RGB"))) for file in files]

    assert len(files) == 80
    largest = 0.0
    for ours, theirs in zip(served, direct, strict=True):
        expected = [box for box in theirs if box["score"] >= SCORE_FLOOR and _has_area(box)]
        assert [box["label"] for box in ours] == [box["label"] for box in expected]
        for one, other in zip(ours, expected, strict=True):
            assert one["score"] == pytest.approx(other["score"], abs=1e-4)
            largest = max(largest, float(np.abs(np.subtract(one["edges"], other["edges"])).max()))
    assert largest < 0.05

    ap_served = average_precision(truth, {ids[file.name]: boxes for file, boxes in zip(files, served, strict=True)})
    ap_direct = average_precision(truth, {ids[file.name]: boxes for file, boxes in zip(files, direct, strict=True)})
    print(f"AP served {ap_served:.4f}, direct {ap_direct:.4f}; largest difference of an edge {largest:.4f} pixel")  # noqa: T201 - a measure to report
    assert ap_served == pytest.approx(ap_direct, abs=0.001)
    assert ap_served > 0.25


@pytest.fixture(scope="module", params=["hub", "savedmodel"])
def converted_detector(request: pytest.FixtureRequest, shared: Path, models_dir: Path) -> tuple[Detector, Detector]:
    """Give the shared trained detector, run by OpenVINO and by TensorFlow."""
    pytest.importorskip("openvino", reason="there is no OpenVINO for this platform")
    handle = str(shared / "models" / f"openimages-subset-detector-{request.param}")
    converted, original = (
        Detector.load(handle, models_dir, workers=2, runtime=runtime) for runtime in ("openvino", "tensorflow")
    )
    return converted, original


def test_converted_detector_finds_the_same(
    serve: Callable[..., str], converted_detector: tuple[Detector, Detector], shared: Path, pictures: PictureServer
) -> None:
    """80 photographs, run by OpenVINO: every box within 0.05 pixel, AP within 0.0005; all EXIF orientations alike.

    Boxes of nearly the same score may change places.
    """
    converted, original = converted_detector
    truth, ids, files = photographs(shared)
    url = serve(converted, model_score_threshold=SCORE_FLOOR)
    served = answered(url, [pictures.add(f"/{file.name}", file.read_bytes()) for file in files])
    direct = [called_directly(original, np.asarray(Image.open(file).convert("RGB"))) for file in files]
    largest = 0.0
    for ours, theirs in zip(served, direct, strict=True):
        for box in theirs:
            if box["score"] >= SCORE_FLOOR + 1e-4 and _has_area(box):
                near = [
                    float(np.abs(np.subtract(each["edges"], box["edges"])).max())
                    for each in ours
                    if each["label"] == box["label"] and abs(each["score"] - box["score"]) < 2e-4
                ]
                largest = max(largest, min(near, default=np.inf))
    ap_served = average_precision(truth, {ids[file.name]: boxes for file, boxes in zip(files, served, strict=True)})
    ap_direct = average_precision(truth, {ids[file.name]: boxes for file, boxes in zip(files, direct, strict=True)})
    print(f"AP {ap_served:.4f}, by TensorFlow {ap_direct:.4f}; largest difference of an edge {largest:.4f} pixel")  # noqa: T201 - a measure to report
    assert largest < 0.05
    assert ap_served == pytest.approx(ap_direct, abs=0.0005)

    upright = Image.open(files[0]).convert("RGB")
    turned = [pictures.add(f"/{each}.png", stored_as(each, upright, "PNG")) for each in STORED_BY]
    first, *others = answered(url, turned)
    assert all(other == first for other in others)


def _has_area(box: Box) -> bool:
    left, top, right, bottom = box["edges"]
    return bool(right > left and bottom > top)


def test_all_exif_orientations_give_the_same_boxes_in_the_displayed_frame(
    serve: Callable[..., str], trained_detector: Detector, shared: Path, pictures: PictureServer
) -> None:
    """One photograph stored in eight ways, without loss, is displayed once, so it has one answer."""
    upright = Image.open(min((shared / "photos" / "images").glob("*.jpg"))).convert("RGB")
    addresses = [
        pictures.add(f"/{orientation}.png", stored_as(orientation, upright, "PNG")) for orientation in STORED_BY
    ]
    first, *others = answered(serve(trained_detector), addresses)
    assert len(first) >= 3
    assert all(other == first for other in others)


def as_object_detection_api(folder: Path, shared: Path) -> str:
    """Save the shared detector in the contract of the Object Detection API: bytes in, batches and COCO's numbers out."""
    from ml_backend.inference.runtimes.tensorflow import tf

    module = tf.Module()
    module.inside = tf.saved_model.load(str(shared / "models" / "openimages-subset-detector-savedmodel"))
    detect = module.inside.signatures["default"]
    line_of = {mid: line for line, mid in enumerate(open_images_classes().ids, 1)}
    numbers = np.zeros(len(line_of) + 1, np.float32)  # of COCO, by line of Open Images
    for number, each in coco_classes().items():
        numbers[line_of[each.id]] = number

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")])  # type: ignore[untyped-decorator]
    def detections(input_tensor: Any) -> Any:
        found = detect(images=tf.cast(input_tensor, tf.float32) / 255)
        scores = found["detection_scores"]
        return {
            "detection_boxes": found["detection_boxes"][None],
            "detection_scores": scores[None],
            "detection_classes": tf.gather(tf.constant(numbers), found["detection_class_labels"])[None],
            "num_detections": tf.reduce_sum(tf.cast(scores > 0, tf.float32))[None],
            "raw_detection_scores": tf.zeros([1, 1, 91]),
        }

    module.detections = detections
    tf.saved_model.save(module, str(folder), signatures={"serving_default": detections})
    return str(folder)


def test_boxes_of_both_contracts_are_the_same(
    serve: Callable[..., str], shared: Path, models_dir: Path, pictures: PictureServer
) -> None:
    """80 photographs, one network, COCO's labels: every box within 0.05 pixel, whatever the contract."""
    files = sorted((shared / "photos" / "images").glob("*.jpg"))
    addresses = [pictures.add(f"/{file.name}", file.read_bytes()) for file in files]
    handles = (
        str(shared / "models" / "openimages-subset-detector-savedmodel"),
        as_object_detection_api(models_dir / "object-detection-api", shared),
    )
    ours, theirs = (
        answered(
            serve(Detector.load(handle, models_dir, workers=2), model_score_threshold=SCORE_FLOOR), addresses, COCO
        )
        for handle in handles
    )
    assert len(files) == len(ours) == len(theirs) == 80
    assert sum(map(len, ours)) > 1000
    largest = 0.0
    for one, other in zip(ours, theirs, strict=True):
        assert [box["label"] for box in one] == [box["label"] for box in other]
        for box, same in zip(one, other, strict=True):
            assert box["score"] == pytest.approx(same["score"], abs=1e-4)
            largest = max(largest, float(np.abs(np.subtract(box["edges"], same["edges"])).max()))
    print(f"{sum(map(len, ours))} boxes; largest difference of an edge {largest:.4f} pixel")  # noqa: T201 - a measure to report
    assert largest < 0.05


CLASSES = (BACKGROUND, *imagenet_classes())
OUTPUT_OF = {each.id: output for output, each in enumerate(CLASSES)}


@pytest.fixture(scope="module")
def probabilities(shared: Path) -> dict[Path, NDArray[np.float32]]:
    """Give the 1001 probabilities of each photograph, from the classifier called as TensorFlow Hub documents it."""
    from ml_backend.inference.runtimes.tensorflow import hub, tf

    layer = hub.KerasLayer(str(shared / "models" / "imagenet-classifier-savedmodel"))

    def classified(file: Path) -> NDArray[np.float32]:
        pixels = np.asarray(Image.open(file).convert("RGB"))
        row: NDArray[np.float32] = tf.nn.softmax(layer(tf.image.resize(pixels[None] / 255, (128, 128))))[0].numpy()
        return row

    return {file: classified(file) for file in sorted((shared / "photos" / "images").glob("*.jpg"))}


@pytest.mark.parametrize(("runtime", "tolerance"), [("tensorflow", 1e-5), ("openvino", 1e-4)])
async def test_all_probabilities_equal_those_of_the_hub(
    probabilities: dict[Path, NDArray[np.float32]],
    shared: Path,
    models_dir: Path,
    pictures: PictureServer,
    runtime: str,
    tolerance: float,
) -> None:
    """80 photographs: each of 1001 probabilities. HTTP shows only the first 20, so one room below it is asked."""
    handle = str(shared / "models" / "imagenet-classifier-savedmodel")
    classifier = Classifier.load(handle, models_dir, workers=2, runtime=runtime)
    largest = 0.0
    async with Pipeline(Settings(cache="memory"), Models(classifier=classifier)) as pipeline:
        for file, expected in probabilities.items():
            task = {"id": 1, "data": {"image": pictures.add(f"/{file.name}", file.read_bytes())}}
            (explained,) = (await pipeline.explain(task, EVERY_CHOICE)).choices
            found = {OUTPUT_OF[each.id]: probability for each, probability, _ in explained.classes}
            assert len(found) == 1001
            largest = max(largest, *(abs(found[output] - float(expected[output])) for output in found))
    print(f"largest difference of a probability {largest:.1e}")  # noqa: T201 - a measure to report
    assert len(probabilities) == 80
    assert largest < tolerance


def test_choices_equal_the_classes_of_the_hub(
    serve: Callable[..., str],
    probabilities: dict[Path, NDArray[np.float32]],
    trained_classifier: Classifier,
    pictures: PictureServer,
) -> None:
    """80 photographs, over HTTP: the choice of ``/predict`` is the most probable class, and ``/explain`` shows the first 20."""
    url = serve(None, trained_classifier, model_score_threshold=0)
    addresses = [pictures.add(f"/{file.name}", file.read_bytes()) for file in probabilities]
    for regions, expected in zip(predicted(url, addresses, EVERY_CHOICE), probabilities.values(), strict=True):
        best = CLASSES[int(expected.argmax())]
        (region,) = regions
        assert region["value"]["choices"][0].removesuffix(f" ({best.id})") == best.name
        assert region["score"] == pytest.approx(float(expected.max()), abs=6e-5)  # scores have four digits
    for task, expected in zip(tasks_of(addresses), probabilities.values(), strict=True):
        shown = first_classes(url, task)
        found = [each["probability"] for each in shown]
        assert found == pytest.approx([float(expected[OUTPUT_OF[each["class_id"]]]) for each in shown], abs=1e-5)
        assert found == pytest.approx(sorted(expected.tolist(), reverse=True)[:20], abs=1e-5)


def first_classes(url: str, task: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the most probable classes of a task's image."""
    body = {"task": task, "label_config": EVERY_CHOICE}
    (explained,) = httpx.post(f"{url}/explain", json=body).json()["classifications"]
    classes: list[dict[str, Any]] = explained["classes"]
    return classes


def test_all_exif_orientations_give_the_same_probabilities(
    serve: Callable[..., str], trained_classifier: Classifier, shared: Path, pictures: PictureServer
) -> None:
    """Three photographs stored in eight ways, without loss: what is displayed is classified."""
    url = serve(None, trained_classifier, model_score_threshold=0)
    for file in sorted((shared / "photos" / "images").glob("*.jpg"))[:3]:
        upright = Image.open(file).convert("RGB")
        addresses = [
            pictures.add(f"/{file.stem}-{orientation}.png", stored_as(orientation, upright, "PNG"))
            for orientation in STORED_BY
        ]
        first, *others = [first_classes(url, task) for task in tasks_of(addresses)]
        assert first[0]["probability"] > 0.05
        assert len(others) == 7
        assert all(other == first for other in others)
