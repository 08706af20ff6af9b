import tracemalloc

import pytest

from ml_backend.errors import TaskError
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.tasks import images_of, task_id

ONE, MANY = ImageField("image", is_list=False), ImageField("pages", is_list=True)


def test_images_are_lists_whatever_the_source() -> None:
    """So that what follows is the same for one image and for many."""
    task = {"id": 7, "data": {"image": "a", "pages": ["b", "c"], "text": "d"}}
    assert images_of(task, [ONE, MANY]) == {ONE: ["a"], MANY: ["b", "c"]}
    assert task_id(task) == 7


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (5, "not an object but int"),
        (None, "not an object but NoneType"),
        ([], "not an object but list"),
        ({}, "no object under 'data'"),
        ({"data": []}, "no object under 'data'"),
        ({"data": {}}, "has no 'image'.*it has nothing"),
        ({"data": {"picture": 1}}, "has no 'image'.*it has 'picture'"),
        ({"data": {"image": "a", "pages": "b"}}, "no list under 'pages'"),
        ({"data": {"image": "a", "pages": None}}, "no list under 'pages'"),
    ],
)
def test_what_is_missing_is_said(task: object, words: str) -> None:
    """With what is there instead, where that helps."""
    with pytest.raises(TaskError, match=words):
        images_of(task, [ONE, MANY])


def test_what_is_there_instead_is_shortened() -> None:
    """Keys can be anything, and many; the message does not cost what they cost."""
    data = {"\ud800" * 1_000_000: 1} | dict.fromkeys(map(str, range(100_000)))
    tracemalloc.start()
    try:
        with pytest.raises(TaskError) as caught:
            images_of({"data": data}, [ONE])
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 2000
    str(caught.value).encode()


@pytest.mark.parametrize("task", [None, 5, [], {}])
def test_ids_of_odd_tasks_are_none(task: object) -> None:
    """Nothing raises on the way to an error message."""
    assert task_id(task) is None
