"""Choices on the command line, with a classifier of the tests and the demo detector."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import subjects
import tiny_classifier
from PIL import Image
from samples import balloon_file
from subjects import subject_file
from typer.testing import CliRunner, Result

from ml_backend.cli.common import app

Run = Callable[..., Result]

ELEPHANTS, BUS = "elephants.jpg", "bus.jpg"
CHOICES = (
    '<View><Image name="image" value="$image"/><Choices name="subject" toName="image">'
    '<Choice value="Elephant"/><Choice value="Public transport"/><Choice value="Food"/></Choices></View>'
)
TAXONOMY = (
    '<View><Image name="image" value="$image"/><Taxonomy name="subject" toName="image"><Choice value="My subjects">'
    '<Choice value="Transport" predicted_values="Public transport"><Choice value="Bus"/></Choice>'
    '<Choice value="Animal"><Choice value="Elephant"/></Choice></Choice></Taxonomy></View>'
)
BOXES_AND_CHOICES = CHOICES.replace(
    "</View>",
    '<RectangleLabels name="label" toName="image"><Label value="Balloon"/></RectangleLabels>'
    '<Choices name="shows" toName="image" choice="multiple" model_source="detections"><Choice value="Balloon"/></Choices></View>',
)
UNSERVED = (
    '<Choices name="weather" toName="image"><Choice value="Sunny"/><Choice value="Rainy"/></Choices>'
    '<Choices name="regions" toName="image" perRegion="true"><Choice value="Occluded"/></Choices></View>'
)


@pytest.fixture
def run(models_dir: Path, tmp_path: Path, subject_classifier_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a function that runs a command in a folder with pictures and label configs, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(models_dir))
    monkeypatch.setenv("PRELABEL_CLASSIFIER", str(subject_classifier_dir))
    (tmp_path / ELEPHANTS).write_bytes(subject_file(0, subjects.ELEPHANT))
    (tmp_path / BUS).write_bytes(subject_file(1, subjects.BUS))
    (tmp_path / "balloon.png").write_bytes(balloon_file())
    configs = {"choices": CHOICES, "taxonomy": TAXONOMY, "both": BOXES_AND_CHOICES}
    configs["unserved"] = CHOICES.replace("</View>", UNSERVED)
    for name, xml in configs.items():
        (tmp_path / f"{name}.xml").write_text(xml)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows(result: Result) -> list[list[str]]:
    """Return the cells of the rows of all tables."""
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


@pytest.mark.parametrize(
    ("config", "images", "expected"),
    [
        ("choices", [ELEPHANTS, BUS], [[ELEPHANTS, "Elephant 1.00"], [BUS, "Public transport 1.00"]]),
        ("taxonomy", [ELEPHANTS], [[ELEPHANTS, "My subjects / Animal / Elephant 1.00"]]),
        ("choices", ["balloon.png"], [["balloon.png", "(nothing)"]]),
    ],
    ids=["one choice an image", "whole path of a tree", "no choice, and no table of boxes"],
)
def test_predict_has_a_column_for_each_control(
    run: Run, config: str, images: list[str], expected: list[list[str]]
) -> None:
    """A row for each image; with a classifier alone, no detector is loaded."""
    assert rows(run("predict", "--config", f"{config}.xml", *images)) == expected


def test_predict_shows_boxes_and_choices(run: Run) -> None:
    """Two tables: the choices of both models, and the boxes."""
    chosen, box = rows(run("predict", "--model", "demo", "--config", "both.xml", "balloon.png"))
    assert chosen[:2] == ["balloon.png", "(nothing)"]
    assert chosen[2].startswith("Balloon 0.9")
    assert box[:2] == ["balloon.png", "Balloon"]


def test_drawn_images_have_their_choices_below(run: Run, tmp_path: Path) -> None:
    """The image itself is as large as before, and the choices stand on white below it."""
    run("predict", "--config", "choices.xml", "--draw", "out", ELEPHANTS, "balloon.png")
    run("explain", "--config", "choices.xml", "--draw", "why.png", "balloon.png")
    heights = {}
    for name, file in (("chosen", f"out/{ELEPHANTS[:-4]}-boxes.png"), ("none", "out/balloon-boxes.png"), ("why", "why.png")):  # fmt: skip
        with Image.open(tmp_path / file) as drawn:
            heights[name] = drawn.height
            if name != "none":
                assert drawn.getpixel((drawn.width - 1, drawn.height - 1)) == (255, 255, 255)
    assert heights["chosen"] > 320
    assert heights["none"] == 200
    assert heights["why"] > 200  # it says that nothing was chosen


def test_explain_gives_scores_reasons_and_classes(run: Run) -> None:
    """The best choices are listed whatever their scores, with the classes that count for them."""
    result = run("explain", "--config", "choices.xml", ELEPHANTS)
    (first, *others) = [row for row in rows(result) if row[0]]
    assert first[:3] == ["Elephant", "1.00", "kept"]
    assert {row[2] for row in others} == {"below 0.30 (0.00)"}
    assert first[3].startswith("Indian")  # elephant, on the next line
    assert "subject on image, by the classifier" in result.stdout


def test_explain_says_where_a_path_goes_on(run: Run) -> None:
    """An item on the way to the chosen one is told apart from one that is not high enough."""
    told = run("explain", "--config", "taxonomy.xml", BUS).stdout.replace("│", " ")
    text = " ".join(told.split())
    assert "the path goes on to" in text
    assert "Transport / Bus" in text


def test_labels_lists_choices_and_what_is_not_served(run: Run) -> None:
    """Choices under their own name, controls that ask about other things as a sentence each."""
    result = run("labels", "unserved.xml")
    assert "hierarchy, elephant" in result.stdout
    assert "classes have no choice" in result.stdout
    assert "the control 'weather' is not served" in result.stderr
    assert 'perRegion="true" asks about regions' in result.stderr


def test_labels_of_items_above_others(run: Run) -> None:
    """An item without a class of its own stands for those below it."""
    assert "those of the choices" in run("labels", "taxonomy.xml").stdout


def test_census_tells_choices_from_labels(run: Run, tmp_path: Path) -> None:
    """A class of the detector becomes a label to paste, one of the classifier a choice with its id."""
    images = tmp_path / "images"
    images.mkdir()
    for name in (ELEPHANTS, "balloon.png"):
        (images / name).write_bytes((tmp_path / name).read_bytes())
    config = BOXES_AND_CHOICES.replace('<Choice value="Elephant"/>', "").replace("Balloon", "Kite")
    (tmp_path / "c.xml").write_text(config)
    arguments = ["labels", "c.xml", "--from-images", "images", "--model", "demo"]
    printed = run(*arguments).stdout
    assert '<Label value="Balloon"/>' in printed
    assert '<Choice value="Indian elephant" predicted_values="n02504013"/>' in printed
    missed = json.loads(run(*arguments, "--json").stdout)["missed"]
    boxes = {(each["model"], each["class_name"]): each["boxes"] for each in missed}
    assert boxes["detector", "Balloon"] == 2  # one in each picture
    assert boxes["classifier", "Indian elephant"] == 0


def test_background_is_no_choice(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output for the background stands for no class that somebody could look for, however probable it is."""
    images = tmp_path / "images"
    images.mkdir()
    for name, colour in (("grey.png", "grey"), ("red.png", "red")):
        Image.new("RGB", (64, 64), colour).save(images / name)
    monkeypatch.setenv("PRELABEL_CLASSIFIER", str(tiny_classifier.build(tmp_path / "model", background=True)))
    found = json.loads(run("labels", "choices.xml", "--from-images", "images", "--model", "demo", "--json").stdout)
    assert [each["class_name"] for each in found["missed"] if each["model"] == "classifier"] == ["balloon"]
