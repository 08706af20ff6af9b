"""The 80 classes of COCO, with their numbers from 1 to 90; ten numbers have no class."""

from functools import lru_cache

from ml_backend.vocabularies.class_list import ModelClass, read_rows
from ml_backend.vocabularies.open_images import open_images_classes

LAST_NUMBER = 90


@lru_cache(maxsize=1)
def coco_classes() -> dict[int, ModelClass]:
    """Return the classes by number, with the MID of the Open Images class that means the same."""
    known = open_images_classes()
    return {
        int(number): ModelClass(name, known.find(same) or "") for number, name, same in read_rows("coco_classes.csv")
    }
