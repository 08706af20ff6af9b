import hashlib

import pytest

from ml_backend.vocabularies.coco import LAST_NUMBER, coco_classes
from ml_backend.vocabularies.open_images import is_mid, open_images_classes

GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}


def test_80_classes_have_numbers_up_to_90() -> None:
    """Ten numbers have no class: things that were planned and not annotated."""
    assert set(coco_classes()) == set(range(1, LAST_NUMBER + 1)) - GAPS
    assert len({each.name for each in coco_classes().values()}) == 80


def test_numbers_and_names_are_those_of_coco() -> None:
    """Those of the categories in instances_val2017.json, by the digest of their lines."""
    lines = "\n".join(f"{number} {each.name}" for number, each in sorted(coco_classes().items()))
    digest = "bec11bedfa4a658f10d0867545dfd3e345684d9cf2cafedea89c5757c2b8ae62"
    assert hashlib.sha256(lines.encode()).hexdigest() == digest


def test_each_class_has_its_own_open_images_class() -> None:
    """So labels are found through names, synonyms and hierarchy of Open Images; no two classes become one."""
    mids = [each.id for each in coco_classes().values()]
    assert all(map(is_mid, mids))
    assert len(set(mids)) == 80


@pytest.mark.parametrize(
    ("number", "name", "same"),
    [
        (1, "person", "Person"),
        (3, "car", "Car"),
        (13, "stop sign", "Stop sign"),
        (74, "mouse", "Computer mouse"),
        (67, "dining table", "Table"),
        (90, "toothbrush", "Toothbrush"),
    ],
    ids=["the first", "as the list says", "after a gap", "not the animal", "another word", "the last"],
)
def test_classes_mean_the_same_in_open_images(number: int, name: str, same: str) -> None:
    """Where the names differ, the things do not."""
    found = coco_classes()[number]
    assert (found.name, open_images_classes().name_by_id[found.id]) == (name, same)
