from pathlib import Path
from typing import Any

import pytest
from saved_models import saved_classifier, saved_detector

from ml_backend.errors import ModelContractError, SettingsError
from ml_backend.inference.models import Models
from ml_backend.settings import Settings


def load(tmp_path: Path, names: str | None = None, **settings: Any) -> Models:
    """Load the models of some settings, with a class list of a name in each line."""
    path = None
    if names is not None:
        path = tmp_path / "names.txt"
        path.write_text(names)
    return Models.load(Settings(tfhub_cache_dir=tmp_path / "cache", class_names=path, **settings))


@pytest.mark.parametrize(
    ("outputs", "detector", "names", "expected"),
    [
        (3, None, 3, ["classifier"]),
        (4, None, 3, ["classifier"]),
        (1001, None, None, []),
        (1001, None, 1001, ["classifier"]),
        (None, 3, 3, ["detector"]),
        (None, 0, 3, ["detector"]),
        (None, 0, None, []),
        (None, 90, None, []),
        (1001, 3, 3, ["detector"]),
        (1001, 0, 3, ["detector"]),
        (1001, 0, None, []),
        (3, 0, 3, ["classifier"]),
        (3, 90, 3, ["classifier"]),
    ],
    ids=[
        "classifier",
        "classifier with a background",
        "classifier of ImageNet",
        "classifier with other words for ImageNet",
        "detector",
        "detector that does not tell its number of classes",
        "the same as COCO's",
        "detector of COCO",
        "detector of 3, classifier of ImageNet",
        "detector of any number, classifier of ImageNet",
        "COCO and ImageNet",
        "classifier of 3, detector of any number",
        "classifier of 3, detector of COCO",
    ],
)
def test_class_list_goes_to_the_model_that_it_fits(
    tmp_path: Path, outputs: int | None, detector: int | None, names: int | None, expected: list[str]
) -> None:
    """One list for two models: the number of classes decides, and the classifier goes first."""
    models = load(
        tmp_path,
        None if names is None else "\n".join(f"part {number}" for number in range(1, names + 1)),
        classifier=None if outputs is None else saved_classifier(tmp_path / "classifier", outputs),
        model=None if detector is None else saved_detector(tmp_path / "detector", raw_classes=detector or None),
    )
    assert [each.kind for each in models.all if each.uses_class_names] == expected
    for each in models.all:
        assert any(known.name == "part 3" for known in each.classes or ()) is (each.kind in expected)
    unknown = detector == 0 and "detector" not in expected
    assert [note for note in models.notes if "read as those of COCO" in note] == models.notes
    assert len(models.notes) == unknown


def test_models_of_a_service(tmp_path: Path) -> None:
    """The detector goes first everywhere: it is the one that corrections are counted for."""
    classifier, detector = saved_classifier(tmp_path / "c", 1001), saved_detector(tmp_path / "d", raw_classes=90)
    models = load(tmp_path, model=detector, classifier=classifier)
    assert models.detector is not None
    assert [each.kind for each in models.all] == list(models.by_kind) == ["detector", "classifier"]
    assert models.main is models.detector
    assert {kind: len(classes or ()) for kind, classes in models.classes.items()} == {
        "detector": 80,
        "classifier": 1001,
    }
    assert models.chosen({"classifier"}) == [models.classifier]
    assert models.chosen(["classifier", "detector"]) == models.all
    alone = load(tmp_path, classifier=classifier)
    assert alone.main is alone.classifier
    assert alone.detector is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": "demo"}, r"has 2 names, .* fits no model \(the detector knows its 601 classes itself\)"),
        ({"outputs": 1001}, r"fits no model \(the classifier knows its 1001 classes itself\)"),
        (
            {"model": "demo", "outputs": 1001},
            r"fits no model \(the detector knows its 601 classes itself and the classifier knows its 1001 classes itself\)",
        ),
        ({"outputs": 5}, "has 5 outputs, .* has 2 names, numbered from 1 to 2: name a list of that length"),
        ({"rows": 3}, "has 3 classes .* has 2 names, numbered from 1 to 2: name its class list"),
        ({"rows": 90}, "has 90 classes .* has 2 names, numbered from 1 to 2: name its class list"),
        ({"rows": 3, "outputs": 1001}, "has 3 classes .* has 2 names, numbered from 1 to 2: name its class list"),
    ],
    ids=[
        "Open Images",
        "ImageNet",
        "both",
        "another number of outputs",
        "another number of classes",
        "COCO",
        "neither of two",
    ],
)
def test_class_list_that_fits_no_model_is_an_error(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    """A list that is ignored would be thought to be in force."""
    rows, outputs = settings.pop("rows", None), settings.pop("outputs", None)
    if rows is not None:
        settings["model"] = saved_detector(tmp_path / "detector", raw_classes=rows)
    if outputs is not None:
        settings["classifier"] = saved_classifier(tmp_path / "classifier", outputs)
    with pytest.raises(ModelContractError, match=words) as caught:
        load(tmp_path, "cat\ndog", **settings)
    assert "PRELABEL_CLASS_NAMES" in str(caught.value)
    assert str(tmp_path / "names.txt") in str(caught.value)


def test_class_list_is_read_before_any_model(tmp_path: Path) -> None:
    """A download of minutes is not lost to a typing error."""
    with pytest.raises(SettingsError, match="the class 2 has no name"):
        load(tmp_path, "cat\n\ndog", model=str(tmp_path / "no model"))
