"""Operations of TensorFlow that OpenVINO 2026.4 does not translate by itself."""

from typing import Any

import numpy as np


def extensions() -> list[Any]:
    """Return the translations, for ``openvino.convert_model``."""
    from openvino.frontend.tensorflow import ConversionExtension

    return [ConversionExtension("CombinedNonMaxSuppression", _combined_non_max_suppression)]


def _combined_non_max_suppression(node: Any) -> list[Any]:
    """Translate ``tf.image.combined_non_max_suppression`` with boxes that all classes share.

    OpenVINO's ``NonMaxSuppression`` returns rows of batch, class and box, the best first. TensorFlow returns a fixed number of boxes, and
    zeros behind the last one.
    """
    import openvino.opset14 as ops

    boxes, scores, per_class, total, overlap, threshold = (node.get_input(place) for place in range(6))
    if node.get_attribute("pad_per_class") or boxes.get_partial_shape()[2] != 1:
        raise NotImplementedError("CombinedNonMaxSuppression with pad_per_class, or with boxes of each class")

    def whole(*values: int) -> Any:
        return ops.constant(np.array(values, np.int64))

    def scalar(value: int) -> Any:
        return ops.constant(np.int64(value))

    boxes = ops.squeeze(boxes, whole(2))
    size = ops.reshape(ops.convert(total, "i64"), whole(1), special_zero=False)
    found = ops.non_max_suppression(
        boxes,
        ops.transpose(scores, whole(0, 2, 1)),
        ops.convert(per_class, "i64"),
        overlap,
        threshold,
        box_encoding="corner",
        sort_result_descending=True,
        output_type="i64",
    )
    filler = ops.broadcast(ops.constant(np.float32(0)), ops.concat([size, whole(3)], 0))

    def column(rows: Any, place: int) -> Any:
        filled = ops.slice(ops.concat([rows, filler], 0), whole(0), size, whole(1), whole(0))
        return ops.gather(filled, scalar(place), scalar(1))

    rows = ops.convert(found.output(0), "f32")  # exact: there are fewer than 2**24 boxes and classes
    count = ops.minimum(ops.convert(found.output(2), "i64"), size)
    places = ops.range(scalar(0), ops.squeeze(size, whole(0)), scalar(1), output_type="i64")
    is_found = ops.convert(ops.less(places, count), "f32")
    chosen = ops.gather(ops.squeeze(boxes, whole(0)), ops.convert(column(rows, 2), "i64"), scalar(0))
    if node.get_attribute("clip_boxes"):
        chosen = ops.clamp(chosen, 0.0, 1.0)
    outputs = [
        ops.multiply(chosen, ops.unsqueeze(is_found, whole(1))),
        ops.multiply(column(found.output(1), 2), is_found),
        ops.multiply(column(rows, 1), is_found),
    ]
    return [*(ops.unsqueeze(each, whole(0)).output(0) for each in outputs), ops.convert(count, "i32").output(0)]
