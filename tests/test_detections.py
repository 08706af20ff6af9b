from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.detections import Detections, iou


def detections(**changes: Any) -> Detections:
    """Return two valid detections, with some parts replaced."""
    parts: dict[str, Any] = {
        "boxes": np.array([[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]], np.float32),
        "scores": np.array([0.9, 0.5], np.float32),
        "class_names": ("Person", "Car"),
        "class_mids": ("/m/01g317", "/m/0k4j"),
        "width": 640,
        "height": 480,
    }
    return Detections(**(parts | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"boxes": np.zeros((3, 4), np.float32)}, r"boxes: expected float32 \[2, 4\], got float32 \[3, 4\]"),
        ({"boxes": np.zeros((2, 4))}, r"boxes: expected float32 \[2, 4\], got float64 \[2, 4\]"),
        ({"boxes": np.full((2, 4), np.nan, np.float32)}, "boxes: expected finite"),
        ({"scores": np.zeros(3, np.float32)}, r"scores: expected float32 \[2\], got float32 \[3\]"),
        ({"scores": np.array([1.5, 0], np.float32)}, "scores: expected numbers from 0 to 1"),
        ({"scores": np.array([np.nan, 0], np.float32)}, "scores: expected numbers from 0 to 1"),
        ({"class_mids": ("/m/0k4j",)}, "class_mids: expected 2 entries, one per class name, got 1"),
        ({"views": ("",)}, "views: expected 2 entries, one per class name, or none, got 1"),
        ({"colours": np.zeros((1, 6), np.uint8)}, r"colours: expected uint8 \[2, 6\], got uint8 \[1, 6\]"),
        ({"colours": np.zeros((2, 6), np.int8)}, r"colours: expected uint8 \[2, 6\], got int8 \[2, 6\]"),
        ({"width": 0}, "expected at least 1 pixel, got 0 x 480"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], words: str) -> None:
    """The message names what was expected and what came."""
    with pytest.raises(ValueError, match=words):
        detections(**changes)


def test_arrays_cannot_be_changed() -> None:
    """A value that several tasks share stays what it is."""
    with pytest.raises(ValueError, match="read-only"):
        detections().boxes[0, 0] = 1


@pytest.mark.parametrize("views", [(), ("", "tiles2 1.2")])
def test_views_are_written_where_there_are_some(views: tuple[str, ...]) -> None:
    """Without them the bytes are those of versions that had no tiles, which can read them."""
    written = detections(views=views).to_bytes()
    assert Detections.from_bytes(written).views == views
    assert ("views" in msgpack.unpackb(written)) == bool(views)


@pytest.mark.parametrize("fields", [{"views": ["", 7]}, {"view_of": [0, 5]}, {"view_of": [0]}])
def test_views_that_do_not_fit_are_refused(fields: dict[str, Any]) -> None:
    """Stores are not trusted: neither numbers as names, nor places that are not there, nor too few."""
    written = msgpack.unpackb(detections(views=("", "tiles2 1.2")).to_bytes())
    with pytest.raises(ValueError, match=r"."):
        Detections.from_bytes(msgpack.packb(written | fields))


COLOURS = [[200, 128, 128, 0, 3, 0], [0] * 6]


@pytest.mark.parametrize("colours", [None, COLOURS, COLOURS[::-1], [[0] * 6] * 2], ids=["none", "one", "last", "zeros"])
def test_colours_are_written_where_there_are_some(colours: list[list[int]] | None) -> None:
    """Without them the bytes are those of versions that had no colours, and those versions ignore them."""
    given = None if colours is None else np.array(colours, np.uint8)
    written = detections(colours=given).to_bytes()
    read = Detections.from_bytes(written).colours
    assert (None if read is None else read.tolist()) == colours
    assert ("colours" in msgpack.unpackb(written)) == (colours is not None)


def test_unknown_colours_at_the_end_take_no_space() -> None:
    """Detections are sorted by score, and those with low scores have no colours."""
    with_one = detections(colours=np.array(COLOURS, np.uint8)).to_bytes()
    assert len(msgpack.unpackb(with_one)["colours"]) == 5


@pytest.mark.parametrize("colours", [b"123456789012X", "text", 7, [1, 2]])
def test_colours_that_do_not_fit_are_refused(colours: Any) -> None:
    """Stores are not trusted: neither more than there are boxes, nor anything but bytes."""
    written = msgpack.unpackb(detections().to_bytes())
    with pytest.raises(ValueError, match=r"."):
        Detections.from_bytes(msgpack.packb(written | {"colours": colours}))


def test_chosen_detections_keep_their_colours() -> None:
    """Each its own."""
    chosen = detections(colours=np.array(COLOURS, np.uint8)).chosen([1, 0, 0]).colours
    assert chosen is not None
    assert chosen.tolist() == [COLOURS[1], COLOURS[0], COLOURS[0]]


finite = st.floats(-2, 2, width=32)
rows = st.lists(
    st.tuples(
        st.tuples(finite, finite, finite, finite),
        st.floats(0, 1, width=32),
        st.sampled_from(["Person", "Car", "Größe", ""]),
        st.sampled_from(["/m/01g317", ""]),
    ),
    max_size=8,
)


@given(rows, st.integers(1, 100_000), st.integers(1, 100_000))
def test_codec_round_trip_is_exact(rows: list[Any], width: int, height: int) -> None:
    """What is read back equals what was written, to the last bit."""
    written = Detections(
        boxes=np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        scores=np.array([row[1] for row in rows], np.float32),
        class_names=tuple(row[2] for row in rows),
        class_mids=tuple(row[3] for row in rows),
        width=width,
        height=height,
    )
    read = Detections.from_bytes(written.to_bytes())
    np.testing.assert_array_equal(read.boxes, written.boxes)
    np.testing.assert_array_equal(read.scores, written.scores)
    assert (read.class_names, read.class_mids) == (written.class_names, written.class_mids)
    assert (read.width, read.height) == (width, height)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\xc1",
        b"pickle",
        msgpack.packb([1, 2]),
        msgpack.packb({"version": 1}),
        msgpack.packb({**msgpack.unpackb(detections().to_bytes()), "version": 2}),
        msgpack.packb({**msgpack.unpackb(detections().to_bytes()), "name_of": [7, 7]}),
        msgpack.packb({**msgpack.unpackb(detections().to_bytes()), "names": [1, 2]}),
        msgpack.packb({**msgpack.unpackb(detections().to_bytes()), "size": [8.5, 9]}),
        detections().to_bytes()[:-3],
    ],
    ids=[
        "empty",
        "not msgpack",
        "text",
        "a list",
        "fields missing",
        "another version",
        "index out of range",
        "names that are numbers",
        "half a pixel",
        "cut short",
    ],
)
def test_foreign_bytes_are_refused(packed: bytes) -> None:
    """Whatever lies in a store under our key, it becomes detections or a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011 - the texts differ, the class is the promise
        Detections.from_bytes(packed)


@pytest.mark.parametrize(
    ("box", "other", "expected"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1], 1),
        ([0, 0, 1, 1], [0, 0, 0.5, 1], 0.5),
        ([0, 0, 0.5, 0.5], [0.25, 0.25, 0.75, 0.75], 1 / 7),
        ([0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], 0),
        ([0, 0, 0.2, 0.2], [0.5, 0.5, 1, 1], 0),
        ([0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5], 0),
        ([0.6, 0.6, 0.5, 0.5], [0, 0, 1, 1], 0),
    ],
    ids=["same", "half", "quarter of each", "touching", "apart", "no area", "edges swapped"],
)
def test_iou(box: list[float], other: list[float], expected: float) -> None:
    """Intersection over union, whichever comes first."""
    one, two = np.array([box], np.float32), np.array([other], np.float32)
    assert iou(one, two)[0, 0] == pytest.approx(expected)
    assert iou(two, one)[0, 0] == pytest.approx(expected)
