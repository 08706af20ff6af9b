from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_models import ANY_SIZE, saved, saved_detector

from ml_backend.errors import ModelContractError, ModelError
from ml_backend.inference.contracts import object_detection_api
from ml_backend.inference.contracts.contract import ImageInput, Signature
from ml_backend.inference.contracts.object_detection_api import ObjectDetectionApi
from ml_backend.inference.detector import Detector
from ml_backend.inference.runtimes.tensorflow import tf
from ml_backend.vocabularies.class_names import ClassNames
from ml_backend.vocabularies.coco import coco_classes

ROWS = 3
GOOD = {
    "detection_boxes": tf.zeros([1, ROWS, 4]),
    "detection_scores": tf.zeros([1, ROWS]),
    "detection_classes": tf.ones([1, ROWS]),
    "num_detections": tf.constant([2.0]),
}
LIST = ClassNames("own.txt", {1: "Helmet", 2: "Vest", 3: "Motorbike"})


def image(shape: Any = ANY_SIZE, dtype: Any = tf.uint8, name: str = "input_tensor") -> Any:
    """Return the description of an image input."""
    return tf.TensorSpec(shape, dtype, name=name)


@pytest.mark.parametrize(
    ("outputs", "given", "expected"),
    [
        (GOOD, image(), ImageInput("input_tensor", "uint8", 255)),
        (GOOD, image(dtype=tf.float32), ImageInput("input_tensor", "float32", 255)),
        (GOOD, image((None, None, None, 3), name="inputs"), ImageInput("inputs", "uint8", 255)),
        (
            {**GOOD, "detection_classes": tf.ones([1, ROWS], tf.int64)},
            image(),
            ImageInput("input_tensor", "uint8", 255),
        ),
        ({**GOOD, "num_detections": tf.constant([2])}, image(), ImageInput("input_tensor", "uint8", 255)),
        (
            {
                **GOOD,
                "detection_masks": tf.zeros([1, ROWS, 33, 33]),
                "detection_keypoints": tf.zeros([1, ROWS, 17, 2]),
                "detection_anchor_indices": tf.zeros([1, ROWS]),
            },
            image(),
            ImageInput("input_tensor", "uint8", 255),
        ),
    ],
    ids=[
        "bytes",
        "float32 has values to 255 too",
        "any batch size, other name",
        "whole numbers",
        "a whole count",
        "masks and keypoints are not read",
    ],
)
def test_contract_is_recognised_from_the_signature(
    signature: Callable[..., Signature], outputs: dict[str, Any], given: Any, expected: ImageInput
) -> None:
    """Types, shapes and names of the four outputs decide."""
    contract = object_detection_api.recognise(signature(outputs, given))
    assert contract is not None
    assert contract.input == expected
    assert contract.outputs == ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


@pytest.mark.parametrize(
    ("outputs", "given"),
    [
        ({name: output for name, output in GOOD.items() if name != "num_detections"}, [image()]),
        ({name: output[0] for name, output in GOOD.items()}, [image()]),
        ({**GOOD, "detection_classes": tf.constant([["a", "b", "c"]])}, [image()]),
        ({**GOOD, "detection_boxes": tf.zeros([2, ROWS, 4])}, [image()]),
        ({**GOOD, "detection_boxes": tf.zeros([1, ROWS, 5])}, [image()]),
        (GOOD, [image((1, 320, 320, 3))]),
        (GOOD, [image((1, None, None, 1))]),
        (GOOD, [image(None)]),
        (GOOD, [image(dtype=tf.string)]),
        (GOOD, [image(), tf.TensorSpec([1, 3], tf.int32, name="true_image_shape")]),
    ],
    ids=[
        "no count",
        "not in batches",
        "names as classes",
        "two images",
        "rotated boxes",
        "fixed size",
        "grey images",
        "no shape",
        "encoded images",
        "two inputs",
    ],
)
def test_other_signatures_are_left_to_other_contracts(
    signature: Callable[..., Signature], outputs: dict[str, Any], given: list[Any]
) -> None:
    """Where the outputs cannot be those of the contract, it does not claim the model."""
    assert object_detection_api.recognise(signature(outputs, *given)) is None


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, ()),
        ({"raw_detection_scores": tf.zeros([1, 7, 91])}, (90,)),
        (
            {"raw_detection_scores": tf.zeros([1, 7, 4]), "detection_multiclass_scores": tf.zeros([1, ROWS, 4])},
            (3,),
        ),
        ({"detection_multiclass_scores": tf.zeros([1, ROWS, 90])}, (90, 89)),
        ({"raw_detection_scores": tf.zeros([7, 91])}, ()),
        ({"raw_detection_scores": tf.zeros([1, 7, 1])}, ()),
    ],
    ids=[
        "no output tells it",
        "the background is in front",
        "SSD and Faster R-CNN have both with it",
        "CenterNet has no background; others might",
        "another shape",
        "nothing but the background",
    ],
)
def test_number_of_classes_is_that_of_the_scores_by_class(
    signature: Callable[..., Signature], more: dict[str, Any], expected: tuple[int, ...]
) -> None:
    """Their shape is all that the model tells of its classes."""
    contract = object_detection_api.recognise(signature({**GOOD, **more}, image()))
    assert contract is not None
    assert contract.class_counts == expected


@pytest.mark.parametrize("dtype", [tf.uint8, tf.float32], ids=["uint8", "float32"])
def test_images_arrive_with_values_to_255(tmp_path: Path, dtype: Any) -> None:
    """Each value of a byte, unchanged; the warm-up has passed as well."""
    detector = Detector.load(saved_detector(tmp_path, dtype=dtype), tmp_path, workers=1)
    for red in range(128, 256):
        found = detector.run(np.full((4, 6, 3), [red, 1, 2], np.uint8))
        assert found.scores.tolist() == pytest.approx([red / 255] * 2, abs=1e-7)
        assert found.boxes.tolist() == [[0.25, 0.125, 0.75, 0.5]] * 2
        assert (found.width, found.height) == (6, 4)


def test_masks_and_keypoints_are_not_read(tmp_path: Path) -> None:
    """A model with them is served as a detector of boxes."""
    more = {"detection_masks": tf.zeros([1, 2, 33, 33]), "detection_keypoints": tf.fill([1, 2, 17, 2], np.nan)}
    detector = Detector.load(saved_detector(tmp_path, **more), tmp_path, workers=1)
    assert len(detector.run(np.zeros((4, 4, 3), np.uint8))) == 2


def test_shapes_that_the_signature_leaves_open_are_read(tmp_path: Path) -> None:
    """Most exported models declare [1, N] as unknown."""

    def detect(images: Any) -> dict[str, Any]:
        rows = tf.cast(images[0, 0, 0, 0], tf.int32) // 100  # none, one or two
        return {
            "detection_boxes": tf.zeros([1, rows, 4]),
            "detection_scores": tf.ones([1, rows]),
            "detection_classes": tf.ones([1, rows]),
            "num_detections": tf.cast([rows], tf.float32),
        }

    detector = Detector.load(saved(tmp_path, detect, image()), tmp_path, workers=1)
    assert [len(detector.run(np.full((4, 4, 3), value, np.uint8))) for value in (0, 100, 200)] == [0, 1, 2]


def outputs_of(*rows: tuple[float, float], count: float | None = None, **other: Any) -> dict[str, Any]:
    """Return outputs as NumPy arrays, from class numbers and scores."""
    return {
        "detection_boxes": np.zeros([1, len(rows), 4], np.float32),
        "detection_scores": np.array([[score for _, score in rows]], np.float32),
        "detection_classes": np.array([[number for number, _ in rows]], np.float32),
        "num_detections": np.array([len(rows) if count is None else count], np.float32),
        **other,
    }


def contract_with(names: ClassNames | None = LIST, counts: tuple[int, ...] = (3,)) -> ObjectDetectionApi:
    """Return a contract with classes."""
    contract = ObjectDetectionApi("serving_default", ImageInput("input_tensor", "uint8", 255), counts)
    return contract.with_classes([outputs_of((1, 0.5))], names).contract


def test_filler_and_broken_rows_are_left_out() -> None:
    """Rows behind the count are filler whatever their score; the others as in every contract."""
    rows = [(1.0, 1.0000001), (2.0, 0.9), (3.0, 0.00099), (3.0, np.nan), (2.0, 0.3), (1.0, 0.8)]
    boxes = np.zeros([1, 6, 4], np.float32)
    boxes[0, 1, 2] = np.nan
    found = contract_with().read(outputs_of(*rows, count=5, detection_boxes=boxes), 640, 480)
    assert found.class_names == ("Helmet", "Vest")
    assert found.scores.tolist() == [1.0, pytest.approx(0.3)]


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64])
def test_classes_are_numbers_of_any_type(dtype: Any) -> None:
    """Exported models return them as float32. Names and synonyms of Open Images get its MID; a number without a name is shown as it is."""
    numbers = np.array([[1, 3, 4, 0]], dtype)
    outputs = outputs_of(*[(0, 0.5)] * 4, detection_classes=numbers)
    found = contract_with().read(outputs, 640, 480)
    assert found.class_names == ("Helmet", "Motorbike", "class 4", "class 0")
    assert found.class_mids == ("/m/0zvk5", "/m/04_sv", "", "")


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (outputs_of((1, 0.5), detection_boxes=np.zeros([1, 4])), r"boxes \[1, 4\], scores \[1, 1\]"),
        (outputs_of((1, 0.5), detection_scores=np.zeros([2, 1])), r"scores \[2, 1\]"),
        (outputs_of((1, 0.5), detection_classes=np.zeros([1, 2])), r"classes \[1, 2\]"),
        (outputs_of((1, 0.5), num_detections=np.zeros([0])), r"counts \[0\]"),
        (outputs_of((1, 0.5), num_detections=np.zeros([2])), r"counts \[2\]"),
        (outputs_of((1, 0.5), count=np.nan), "NaN or infinity"),
        (outputs_of((np.nan, 0.5)), "NaN or infinity"),
        (outputs_of((np.inf, 0.5)), "NaN or infinity"),
    ],
    ids=["boxes", "scores", "classes", "no count", "two counts", "count is NaN", "class is NaN", "class is infinite"],
)
def test_other_outputs_are_an_error_of_the_image(outputs: dict[str, Any], words: str) -> None:
    """Shapes that the signature left open can turn out wrong, and numbers can turn out to be none."""
    with pytest.raises(ModelError, match=words):
        contract_with().read(outputs, 640, 480)


def test_numbers_that_are_none_are_ignored_in_filler() -> None:
    """Nothing is said about the rows behind the count."""
    assert contract_with().read(outputs_of((1, 0.5), (np.nan, np.nan), count=1), 640, 480).class_names == ("Helmet",)


COCO_WITH_GAPS = ClassNames("coco.pbtxt", {number: each.name for number, each in coco_classes().items()})
OWN_OF_90 = ClassNames("own.txt", {number: f"part {number}" for number in range(1, 91)})
NO_LIST = "returns? (their )?numbers (of classes )?only"


@pytest.mark.parametrize(
    ("counts", "names", "rows", "expected"),
    [
        ((90,), None, [(12, 0.9)], "person"),
        ((90, 89), None, [], "person"),
        ((91, 90), None, [], "person"),
        ((90,), COCO_WITH_GAPS, [], "person"),
        ((90,), OWN_OF_90, [], "part 1"),
        ((3,), LIST, [], "Helmet"),
        ((3, 2), LIST, [], "Helmet"),
        ((), LIST, [(3, 0.9), (0, 0.0005)], "Helmet"),
        ((), None, [(18, 0.9), (90, 0.9)], "person"),
        ((), None, [(12, 0.0005), (0, 0.0)], "person"),
        ((), None, [], "person"),
    ],
    ids=[
        "COCO has 90, with gaps",
        "CenterNet of COCO",
        "the same with a background",
        "COCO, named",
        "a list goes before COCO",
        "a list of its length",
        "one of two possible lengths",
        "no number of classes: any list",
        "no number of classes: COCO",
        "gaps and 0 below the floor are noise or filler",
        "nothing in the warm-up",
    ],
)
def test_classes_are_those_of_the_list_or_of_coco(
    counts: tuple[int, ...], names: ClassNames | None, rows: list[tuple[float, float]], expected: str
) -> None:
    """The note says so where COCO is a mere assumption."""
    contract = ObjectDetectionApi("serving_default", ImageInput("input_tensor"), counts)
    prepared = contract.with_classes([outputs_of(), outputs_of(*rows)], names)
    assert prepared.contract.by_number[1].name == expected
    assert prepared.contract.classes == tuple(prepared.contract.by_number.values())
    assert prepared.uses_class_names is (names is not None)
    assert ("read as those of COCO: PRELABEL_CLASS_NAMES" in prepared.note) is (not counts and names is None)


@pytest.mark.parametrize(
    ("counts", "names", "rows", "words"),
    [
        ((3,), None, [], "has 3 classes and returns their numbers only: name its class list"),
        ((80,), None, [], "has 80 classes"),
        ((4,), LIST, [], "has 4 classes and .* own.txt has 3 names, numbered from 1 to 3"),
        ((2,), LIST, [], "has 2 classes"),
        ((90,), LIST, [], "has 90 classes and .* 3 names"),
        ((6, 5), LIST, [], "has 6 or 5 classes"),
        ((3,), ClassNames("own.json", {0: "a", 1: "b", 2: "c"}), [], "from 1, and .* numbered from 0 to 2"),
        ((), ClassNames("own.json", {0: "a", 1: "b", 2: "c"}), [], "from 1, and .* numbered from 0 to 2"),
        ((), None, [(12, 0.9)], "among them 12, which COCO does not have"),
        ((), None, [(1, 0.9), (91, 0.0)], "among them 91, which COCO does not have"),
        ((), None, [(0, 0.9)], "among them 0, which COCO does not have"),
        ((), LIST, [(7, 0.9), (5, 0.0)], "among them 5, which its list does not have; .* 3 names"),
    ],
    ids=[
        "no list",
        "COCO's classes without the gaps have other numbers",
        "a list that is too short",
        "a list that is too long",
        "a list that is given is never ignored",
        "neither of two possible lengths",
        "a list from 0",
        "a list from 0, no number of classes",
        "a gap of COCO",
        "beyond COCO, even in rows below the floor",
        "counts from 0",
        "beyond the list",
    ],
)
def test_classes_that_are_unknown_are_refused_at_the_start(
    counts: tuple[int, ...], names: ClassNames | None, rows: list[tuple[float, float]], words: str
) -> None:
    """A wrong list would name every box wrongly; each message names the setting."""
    contract = ObjectDetectionApi("serving_default", ImageInput("input_tensor"), counts)
    with pytest.raises(ModelContractError, match=words) as caught:
        contract.with_classes([outputs_of(), outputs_of(*rows)], names)
    assert str(caught.value).endswith("name its class list, numbered from 1, with PRELABEL_CLASS_NAMES")


def test_rows_behind_the_count_say_nothing_of_the_classes() -> None:
    """Filler has any number, such as -1."""
    contract = ObjectDetectionApi("serving_default", ImageInput("input_tensor"))
    rows = [(1.0, 0.9), (-1.0, 0.0), (700.0, 0.9)]
    assert contract.with_classes([outputs_of(*rows, count=1)], None).contract.by_number == coco_classes()


def test_description_names_input_and_outputs() -> None:
    """As `prelabel labels` prints it."""
    assert str(contract_with()) == (
        "signature 'serving_default': input_tensor uint8 [1,H,W,3] -> "
        "detection_boxes, detection_scores, detection_classes, num_detections"
    )
