from pathlib import Path

import numpy as np
import pytest
from average_precision import average_precision
from trained.pictures import SIZE, coco_file, held_out

from ml_backend.inference.detector import Detector


def test_average_precision_on_pictures_that_it_has_not_seen(trained_detector: Detector, tmp_path: Path) -> None:
    """At least 0.45; 0.62 was measured on one machine, and processors compute differently."""
    pictures = held_out(60)
    ids = coco_file(pictures, tmp_path / "truth.json")
    boxes = {}
    for picture in pictures:
        found = trained_detector.run(np.asarray(picture.image))
        edges = (found.boxes * np.tile(SIZE[::-1], 2))[:, [1, 0, 3, 2]].tolist()
        boxes[ids[picture.name]] = [
            {"label": name, "score": score, "edges": each}
            for name, score, each in zip(found.class_names, found.scores.tolist(), edges, strict=True)
        ]
    assert average_precision(tmp_path / "truth.json", boxes) > 0.45


@pytest.mark.parametrize(
    ("model_format", "tags", "tables"),
    [("hub", [], 2), ("savedmodel", ["serve"], 0)],
    ids=["no tags, and names in tables", "names in vectors"],
)
def test_formats_are_those_of_published_detectors(
    trained_detectors: Path, model_format: str, tags: list[str], tables: int
) -> None:
    """A module of TensorFlow Hub's first format, and a TF2 SavedModel; both with a non-maximum suppression that OpenVINO has to be taught."""
    from tensorflow.core.protobuf import saved_model_pb2

    folder = trained_detectors / model_format
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (graph,) = saved.meta_graphs
    nodes = [*graph.graph_def.node, *(node for each in graph.graph_def.library.function for node in each.node_def)]
    operations = [node.op for node in nodes]
    assert list(graph.meta_info_def.tags) == tags
    assert operations.count("HashTableV2") == tables
    assert "CombinedNonMaxSuppression" in operations
    assert (folder / "tfhub_module.pb").exists() == (model_format == "hub")
