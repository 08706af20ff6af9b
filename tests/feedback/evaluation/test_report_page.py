"""The page, as a browser reads it."""

import base64
import io
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from corrections import (
    AWAY,
    BOX,
    MIXED_CONFIG,
    MOVED,
    SCENE_CONFIG,
    annotation,
    box,
    cell,
    classified,
    postprocessor_of,
    seen,
)
from PIL import Image
from samples import balloon_scene, detections_of

from ml_backend.feedback.evaluation.annotators import named
from ml_backend.feedback.evaluation.outcomes import DRAWN_OUTCOMES, SHOWN_OUTCOMES
from ml_backend.feedback.evaluation.report import Report, make_report
from ml_backend.feedback.evaluation.report_images import CANDIDATE_COLOURS, COLOURS
from ml_backend.feedback.evaluation.report_page import PLOT, render
from ml_backend.feedback.store.projects import Project
from ml_backend.feedback.store.revisions import Revision
from ml_backend.images.drawing import Box, draw_boxes
from ml_backend.postprocessing.overrides import NO_OVERRIDES

EVIL = "<script>alert('x')</script>\"&{{ 7 * 7 }} Größe 🪁"
PROJECT = Project(3, "Kites", "<View/>")
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Reads a page: its elements with their attributes, and its text; elements that are closed out of order are an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element in."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag != "bdi":  # stands around a part of a sentence
            self.words.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element in that has no content."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        if tag == "p" and self._open[-1] != "p":
            return
        assert self._open.pop() == tag
        if tag != "bdi":
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        """Take text in."""
        if self._open[-1:] != ["title"] or "svg" not in self._open:  # what a pointer shows
            self.words.append(data)

    @property
    def text(self) -> str:
        """The visible text, in one line."""
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


NOTHING_LEARNED: dict[str, Any] = {
    "last_training": None,
    "would_change": False,
    "summary": "nothing to change",
    "classes": [],
    "relatives": 0,
    "effort": {"in_all": None},
}


def report_of(*labels: str, **more: Any) -> Report:
    """Return the report on one annotation per label, each with a kept box, a deleted one and one added under that label."""
    found = detections_of(("Kite", 0.75, BOX), ("Kite", 0.5, AWAY))
    shown = (box("Kite"), box("Kite", AWAY))
    facts = [
        annotation(box("Kite"), box(label, cell(90)), number=number, **({"shown": shown, "images": seen(found)} | more))
        for number, label in enumerate(labels, 1)
    ]
    return make_report(facts, postprocessor_of())


def page_of(
    report: Report, *, project: Project = PROJECT, revision: Any = None, waiting: int = 0, images: Any = None
) -> Page:
    """Render a page and read it."""
    html = render(report, project, revision, waiting, images or {}, NOTHING_LEARNED)
    html.encode()
    return Page(html)


def test_page_of_a_project_without_annotations_says_so() -> None:
    """No share of nothing, and no empty image."""
    page = page_of(report_of())
    for words in (
        "There are no annotations yet.",
        "No revision is in force.",
        "No annotation began with a prediction.",
        "There are no boxes to show yet.",
        "No image had any edits.",
    ):
        assert words in page.text
    assert "None" not in page.text.replace("No image had any edits.", "")
    assert "nan" not in page.text.split()


def test_page_needs_nothing_beside_it() -> None:
    """Nothing is fetched, and nothing runs."""
    image = Image.fromarray(balloon_scene())
    page = page_of(report_of("Box"), images={1: image})
    assert not {"script", "link", "iframe", "object"} & {name for name, _ in page.elements}
    addresses = [
        value for _, attributes in page.elements for name in ("src", "href") for value in [attributes.get(name)]
    ]
    assert all(value is None or value.startswith("data:") for value in addresses)
    style = "".join(page.words[:20])
    assert "url(" not in style
    assert "@import" not in style


def test_picture_is_in_the_page() -> None:
    """With its boxes drawn, whatever is written on them."""
    drawn = draw_boxes(balloon_scene(), [Box(np.array(BOX, np.float32), EVIL, COLOURS["deleted"])])
    page = page_of(report_of("Box"), images={1: drawn})
    (image,) = page.all("img")
    kind, _, data = (image["src"] or "").partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as read:
        assert read.size == drawn.size
        assert np.abs(np.asarray(read, float) - np.asarray(drawn, float)).mean() < 8
    assert image["alt"] == "task 1 with boxes"


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ({}, "The image cannot be shown"),
        ({1: ""}, "The image cannot be shown"),
        ({1: f"gone {EVIL}"}, f"The image cannot be shown: gone {EVIL}"),
        ({99: "of another"}, "The image cannot be shown"),
    ],
    ids=["nobody drew it", "no reason", "a reason", "a reason of another"],
)
def test_picture_that_cannot_be_had_is_said_so(images: dict[int, str], words: str) -> None:
    """With the reason, as text."""
    page = page_of(report_of("Box"), images=images)
    assert words in page.text
    assert "of another" not in page.text
    assert page.all("img") == []


@pytest.mark.parametrize(
    ("project", "title"),
    [(PROJECT, "Kites"), (Project(3, EVIL, ""), EVIL), (Project(3, "", ""), "Project 3")],
    ids=["a name", "a name with markup", "no name"],
)
def test_page_is_called_like_the_project(project: Project, title: str) -> None:
    """By its number where it has no name."""
    assert f"{title}: how accurate the boxes are" in page_of(report_of(), project=project).text


def test_what_people_wrote_is_text() -> None:
    """Labels, versions and authors with markup; no element comes of it."""
    plain = page_of(report_of("Box"))
    revision = Revision(3, 2, 1, 0, NO_OVERRIDES, "", EVIL, "2026-01-01T00:00:00+00:00", {})
    evil = page_of(report_of(EVIL, version=EVIL), revision=revision)
    assert [name for name, _ in evil.elements if name in {"script", "b"}] == [
        name for name, _ in plain.elements if name in {"script", "b"}
    ]
    assert f"{EVIL} not in the label config any more" in evil.text
    assert f"In force: revision 2 of project 3, which reverts to 1, by {EVIL}" in evil.text
    assert evil.text.count(EVIL) == 3


def test_notes_stand_where_there_is_something_to_note() -> None:
    """Waiting events, annotations that are left out, odd regions, tasks that were annotated twice."""
    facts = [annotation(number=number, task=1, problem="task 1: gone", odd={"rotated": 2}) for number in (1, 2)]
    text = page_of(make_report(facts, postprocessor_of()), waiting=5).text
    for words in (
        "5 events wait to be processed.",
        "2 annotations are left out: gone",
        "1 tasks have more than one annotation.",
        "Regions that are not plain rectangles: 4 rotated.",
    ):
        assert words in text
    assert "wait to be processed" not in page_of(report_of()).text


def test_box_without_a_label_has_a_name() -> None:
    """In the table and below its curve."""
    assert "(no label)" in page_of(report_of("")).text


def cells_of(page: Page) -> list[str | None]:
    """Return the words of the coloured cells of confusion tables."""
    return [each["title"] for each in page.all("td") if each.get("title")]


def test_choices_have_a_section_by_control() -> None:
    """Accuracy, figures by choice, the confusion table with words, and links to some tasks; nothing about boxes."""
    facts = [classified("Dog", EVIL.replace(" ", "_") if n > 3 else "Dog", n) for n in range(1, 5)]
    report = make_report([*facts, classified("", "Cat", 5)], postprocessor_of(SCENE_CONFIG), link="task/{}".format)
    page = page_of(report)
    evil = EVIL.replace(" ", "_")
    assert "Kites: how accurate the choices are" in page.text
    assert "75 % (30\u201395) of the shown choices of scene were kept" in page.text
    assert "Choices were shown 4 times: 3 kept 1 changed 0 removed. Where none were shown, 1 were added" in page.text
    assert "box" not in page.text.partition("Kites: how accurate")[2]
    assert cells_of(page) == ["Dog → Dog: 3 of 4", f"Dog → {evil}: 1 of 4", "nothing → Cat: 1 of 1"]
    assert {each["href"] for each in page.all("a")} == {"task/4", "task/5"}
    assert f"{evil} not in the label config any more" in page.text
    assert not {"script", "b"} & {name for name, attributes in page.elements if name == "script"}


def test_confusion_table_has_the_most_frequent_choices_and_the_rest() -> None:
    """Thirty choices as twelve rows, the others, and nothing."""
    names = [f"c{n:02}" for n in range(30)]
    facts = [classified(name, name, 100 * n + k) for n, name in enumerate(names) for k in range(31 - n)]
    page = page_of(make_report(facts, postprocessor_of(SCENE_CONFIG)))
    assert cells_of(page) == [f"{name} → {name}: {31 - n} of {31 - n}" for n, name in enumerate(names[:12])] + [
        "others → others: 189 of 189"
    ]
    assert "the 18 less frequent choices" in page.text


def test_control_without_predictions_has_a_sentence() -> None:
    """Such as a question about the quality of the image, beside boxes."""
    facts = [classified("", "Dog"), classified(None, "Dog", 2)]
    text = page_of(make_report(facts, postprocessor_of(MIXED_CONFIG))).text
    assert "how accurate the boxes and choices are" in text
    assert "No choice was shown under this control, and 1 were added." in text
    assert "1 more were submitted by people who saw no prediction." in text


def test_every_outcome_has_a_colour() -> None:
    """In the bars and on the images."""
    assert set(COLOURS) == {*SHOWN_OUTCOMES, *DRAWN_OUTCOMES}
    facts = annotation(box("Kite", MOVED), shown=(box("Kite"), box("Kite", AWAY)), images=seen(detections_of()))
    page = page_of(make_report([facts], postprocessor_of()))
    bars = [each["aria-label"] for each in page.all("svg") if each["class"] == "bar"]
    assert bars == ["1 nudged, 1 deleted", "1 found", "1 nudged, 1 deleted"]  # by label, and by annotator
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", "".join(page.words)))
    expected = {name.replace(" ", "-"): colour for name, colour in (*COLOURS.items(), *CANDIDATE_COLOURS.items())}
    assert {name: colours.get(name) for name in expected} == expected


def test_curves_lie_inside_their_area() -> None:
    """One for each label with boxes, precision on top of its interval."""
    page = page_of(report_of("Box", "Balloon"))
    (curve,) = (each for each in page.all("svg") if each["class"] == "curve")  # the detector found Kites alone
    (band,), (recall, precision) = page.all("polygon"), page.all("polyline")
    width, height = PLOT
    assert curve["aria-label"] == (
        "Kite: at a threshold of 0.30, 50 % of the shown boxes are right, and 100 % of the 2 drawn boxes are shown"
    )
    counts = []
    for shape in (band, recall, precision):
        points = [tuple(map(float, each.split(","))) for each in (shape["points"] or "").split()]
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
        counts.append(len(points))
    assert counts == [150, 75, 75]
    (now,) = page.all("line")
    assert float(now["x1"] or 0) == pytest.approx(0.3 * width)


def test_annotators_have_a_row_each() -> None:
    """With their names as text, and dashes where there is too little."""
    report = report_of("Box")
    named(report.annotators, lambda _: EVIL)
    page = page_of(report)
    assert f"{EVIL} 1 2 1 \u2013 \u2013 \u2013" in page.text
    assert "script" not in {name for name, _ in page.elements}


def test_shares_have_their_intervals() -> None:
    """One of two shown boxes was right."""
    assert "50 % (9\u201391) of the shown boxes were right" in page_of(report_of("Box")).text
