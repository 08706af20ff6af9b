"""What a page decides by thresholds in the browser is what the service decides: the same fates, the same reasons."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from e2e.browser import chromium
from e2e.servers import Prelabel
from PIL import Image
from playwright.sync_api import Page
from samples import encoded, large_scene
from subjects import BUS, DOG, ELEPHANT, ZEBRA, subject_file

from ml_backend.classification import Classification
from ml_backend.detections import Detections
from ml_backend.model_results import ModelKind, ModelResults
from ml_backend.postprocessing.explanation import Explanation
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.server.explain import explain
from ml_backend.server.pages.open_decisions import described_controls, open_decisions
from ml_backend.vocabularies.class_list import ModelClass
from ml_backend.vocabularies.imagenet import imagenet_classes

# As the page does (try.js), with the thresholds that the service tells for the label config.
DECIDE = """async ([found, controls]) => {
    const {decideBoxes, decideChoices} = await import('/assets/decisions.js');
    const of = (name) => controls.find((each) => each.control === name);
    const thresholds = (name) => new Map(of(name).labels.map((each) => [each.label, each.threshold]));
    const boxes = found.boxes.map((each) => decideBoxes(each, of(each.control), thresholds(each.control)));
    const choices = found.choices.map((each) => decideChoices(each, thresholds(each.control)));
    return {
        boxes: boxes.map((of) => of.map((each) => [each.number, each.label, each.fate, each.reason])),
        choices: choices.map((of) => of.map((each) => [each.choice, each.fate, each.reason])),
    };
}"""

LABELS = (("Kite", ""), ("Balloon", ""), ("Box", ""))


def boxes(*labels: tuple[str, str], control: str = "") -> str:
    """Return a control for boxes with labels, each with its attributes; ``{}`` in them is replaced by a threshold."""
    inside = "".join(f'<Label value="{name}" {more}/>' for name, more in labels)
    return f'<RectangleLabels name="label" toName="image" {control}>{inside}</RectangleLabels>'


def choices(inside: str, tag: str = "Choices", more: str = "") -> str:
    """Return a control for choices."""
    return f'<{tag} name="choice" toName="image" {more}>{inside}</{tag}>'


THRESHOLD = 'model_score_threshold="{}"'
ANIMALS = (
    '<Choice value="Animal"><Choice value="Dog"/><Choice value="Elephant" {}/><Choice value="Zebra"/></Choice>'
    '<Choice value="Vehicle" {}><Choice value="Trolleybus"/></Choice><Choice value="Pizza"/>'
)
FLAT = f'<Choice value="Dog"/><Choice value="Elephant" {THRESHOLD}/><Choice value="Zebra"/><Choice value="Trolleybus"/>'

CONFIGS = {
    "threshold of the control": boxes(*LABELS, control=THRESHOLD),
    "thresholds of labels": boxes(("Kite", THRESHOLD), ("Balloon", 'model_score_threshold="0.125"'), ("Box", "")),
    "suppression across labels": boxes(
        ("Kite", THRESHOLD), *LABELS[1:], control='model_nms_across_labels="true" model_nms_iou="0.2"'
    ),
    "few boxes": boxes(("Kite", THRESHOLD), *LABELS[1:], control='model_max_regions="2"'),
    "few boxes of those that suppress others": boxes(
        ("Kite", THRESHOLD), *LABELS[1:], control='model_max_regions="3" model_nms_across_labels="true" model_nms_iou="0"'
    ),
    "small boxes left out": boxes(*LABELS, control=f'model_min_area="4" {THRESHOLD}'),
    "a label that is skipped": boxes(("Kite", 'model_skip="true"'), ("Balloon", THRESHOLD)),
    "an alias": boxes(("Kite", f'alias="K &amp; &lt;1>" {THRESHOLD}'), ("Box", 'alias="Kiste"')),
    "several classes of one label": boxes(("Toy", f'predicted_values="Kite,Balloon" {THRESHOLD}'), ("Box", "")),
    "a pair of tags": '<Rectangle name="box" toName="image"/><Labels name="label" toName="image">'
    f'<Label value="Kite" {THRESHOLD}/><Label value="Balloon"/></Labels>',
    "tiles": boxes(("Kite", ""), ("Balloon", THRESHOLD), ("Box", ""), control='model_tiles="2"'),
    "one choice": choices(FLAT, more='choice="single"'),
    "several choices": choices(FLAT, more='choice="multiple"'),
    "a choice that is skipped": choices('<Choice value="Dog" model_skip="true"/><Choice value="Elephant"/>', more=THRESHOLD),
    "choices by detections": choices(f'<Choice value="Kite" {THRESHOLD}/><Choice value="Balloon"/><Choice value="Bus"/>', more='model_source="detections" choice="multiple"'),
    "one choice by detections": choices(f'<Choice value="Kite" {THRESHOLD}/><Choice value="Balloon"/>', more='model_source="detections"'),
    "a tree": choices(ANIMALS.format("", ""), "Taxonomy", THRESHOLD),
    "a tree with thresholds": choices(ANIMALS.format(THRESHOLD, 'model_score_threshold="0.5"'), "Taxonomy"),
    "a tree of which leaves are chosen": choices(ANIMALS.format(THRESHOLD, ""), "Taxonomy", 'leafsOnly="true"'),
    "a tree by detections": choices(
        f'<Choice value="Toy"><Choice value="Kite" {THRESHOLD}/><Choice value="Balloon"/></Choice><Choice value="Box"/>',
        "Taxonomy",
        'model_source="detections" maxUsages="2"',
    ),
    "a tree of which one leaf is chosen, by detections": choices(
        f'<Choice value="Toy" {THRESHOLD}><Choice value="Kite"/><Choice value="Balloon"/></Choice><Choice value="Box"/>',
        "Taxonomy",
        'model_source="detections" maxUsages="1" leafsOnly="true"',
    ),
    "boxes and choices": boxes(("Kite", THRESHOLD), ("Box", "")) + choices(FLAT),
}  # fmt: skip


THRESHOLDS = ("0", "0.1", "0.375", "0.5", "0.9")


def config(inside: str) -> str:
    """Return a label config with some controls."""
    return f'<View><Image name="image" value="$image"/>{inside}</View>'


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path, trained_detectors: Path, subject_classifier_dir: Path
) -> Iterator[str]:
    """Give the address of a service with the tests' own detector and classifier."""
    folder = tmp_path_factory.mktemp("decisions")
    settings = {
        "PRELABEL_MODEL": str(trained_detectors / "hub"),
        "PRELABEL_CLASSIFIER": str(subject_classifier_dir),
        "TFHUB_CACHE_DIR": str(models_dir),
        "PRELABEL_HOME": str(folder),
    }
    server = Prelabel(folder, None, settings)
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def page(service: str) -> Iterator[Page]:
    """Give a page of the service in Chromium."""
    with chromium() as browser:
        page = browser.new_page()
        page.goto(service)
        yield page


@dataclass(frozen=True)
class Tried:
    """A picture that the service knows.

    Attributes:
        file: its bytes.
        digest: of them.
    """

    file: bytes
    digest: str


@pytest.fixture(scope="module")
def tried(service: str) -> list[Tried]:
    """Give pictures with several things and subjects, one of them so large that it has tiles."""
    large = Image.fromarray(large_scene())
    small = Image.open(BytesIO(subject_file(3, DOG)))
    large.paste(small, (700, 200))
    files = [
        subject_file(0, ELEPHANT, ZEBRA),
        subject_file(2, BUS, DOG, ELEPHANT),
        encoded(large, "JPEG"),
    ]
    found = []
    for file in files:
        answer = httpx.post(f"{service}/try/pictures?tiles=2", content=file)
        found.append(Tried(file, answer.json()["digest"]))
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_thresholds_decide_as_the_service_does(service: str, page: Page, tried: list[Tried], name: str) -> None:
    """The decisions before thresholds come from a config without any; those of ``/explain`` from the one with thresholds."""
    fates = set()
    with httpx.Client(base_url=service) as client:
        for threshold in ("0.1", "0.375", "0.7"):
            text = config(CONFIGS[name].replace("{}", threshold))
            bare = config(CONFIGS[name].replace(THRESHOLD, "").replace('model_score_threshold="0.125"', "").replace('model_score_threshold="0.5"', ""))  # fmt: skip
            described = client.post("/try/label-config", json={"label_config": text}).json()
            assert described["problem"] == ""
            for picture in tried:
                body = {"digest": picture.digest, "label_config": bare}
                found = client.post("/try/decisions", json=body).json()
                image = "data:;base64," + base64.b64encode(picture.file).decode()
                task = {"id": 1, "data": {"image": image}}
                answer = client.post("/explain", json={"task": task, "label_config": text}).json()
                decided = page.evaluate(DECIDE, [found, described["controls"]])
                assert differences(decided, in_order(answer, found)) == [], threshold
                fates |= {each[-2] for kind in decided.values() for control in kind for each in control}
    assert len(fates) > 1


def differences(decided: Any, expected: Any) -> list[Any]:
    """Return the decisions of the browser that are others than the service's, each beside it."""
    assert [len(of) for kind in decided.values() for of in kind] == [
        len(of) for kind in expected.values() for of in kind
    ]
    pairs = (zip(*of, strict=True) for kind in decided for of in zip(decided[kind], expected[kind], strict=True))
    return [(one, other) for of in pairs for one, other in of if one != other]


def in_order(explained: Any, found: Any) -> dict[str, Any]:
    """Return the decisions of ``/explain`` on what the page has, in its order."""
    rows = []
    for control, of_page in zip(explained["images"], found["boxes"], strict=True):
        by_number = {each["number"]: each for each in control["detections"]}
        rows.append([by_number[each["number"]] for each in of_page["detections"]])
    return {
        "boxes": [[[each[key] for key in ("number", "label", "fate", "reason")] for each in of] for of in rows],
        "choices": [
            [[each["choice"], each["fate"], each["reason"]] for each in of["choices"]]
            for of in explained["classifications"]
        ],
    }


CLASSES = imagenet_classes()
KNOWN: dict[ModelKind, tuple[ModelClass, ...] | None] = {"detector": None, "classifier": CLASSES}


def crowded(seed: int) -> ModelResults:
    """Return results with many overlapping boxes, equal scores, scores between two hundredths, and boxes outside the picture."""
    chance = np.random.default_rng(seed)
    count = 60
    corners = chance.choice([-0.2, 0, 0.1, 0.25, 0.3, 0.7, 1.0], (count, 2))
    sides = chance.choice([0.0, 0.02, 0.1, 0.25, 0.3], (count, 2)) + chance.choice([0, 0.013], (count, 2))
    scores = np.where(
        chance.random(count) < 0.5, chance.integers(0, 9, count) / 8, np.round(chance.random(count), 2) + 0.005
    )
    names = tuple(chance.choice(["Kite", "Balloon", "Box", "Person"], count).tolist())
    detections = Detections(
        np.hstack([corners, corners + sides]).astype(np.float32),
        np.clip(scores, 0, 1).astype(np.float32),
        names,
        ("",) * count,
        640,
        480,
    )
    wanted = ("dalmatian", "Indian elephant", "zebra", "trolleybus", "pizza")
    indices = [index for index, each in enumerate(CLASSES) if each.name in wanted]
    probabilities = np.zeros(len(CLASSES), np.float32)
    probabilities[indices] = chance.choice([0.0, 0.125, 0.25, 0.125], len(indices))
    probabilities[0] = max(0.0, 1 - probabilities.sum())
    return ModelResults(detections, Classification(probabilities, 640, 480))


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "tiles"])
def test_equal_and_borderline_scores_decide_as_the_service_does(page: Page, name: str) -> None:
    """Ties go to the first, halves of hundredths are rounded as Python does, and overlaps are float32 on both sides."""
    for seed in range(4):
        results = crowded(seed)
        for threshold in THRESHOLDS:
            text = config(CONFIGS[name].replace("{}", threshold))
            postprocessor = Postprocessor.from_label_config(text, score_threshold=0.3, classes=KNOWN)
            found = open_decisions(postprocessor, results)
            fields = {each.image_field: [results] for each in postprocessor.controls}
            explained = explain(Explanation.of(postprocessor, fields)).model_dump()
            decided = page.evaluate(DECIDE, [found, described_controls(postprocessor)])
            assert differences(decided, in_order(explained, found)) == [], f"{threshold} {seed}"
