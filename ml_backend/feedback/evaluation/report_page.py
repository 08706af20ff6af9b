"""The report as one self-contained HTML file, with images and curves; and what the sections on figures show, for other pages."""

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from PIL import Image

from ml_backend import __version__
from ml_backend.feedback.evaluation.candidates import CAUTION, Candidate, Review
from ml_backend.feedback.evaluation.choice_outcomes import ChoiceOutcomes
from ml_backend.feedback.evaluation.report import Report
from ml_backend.feedback.evaluation.statistics import Share, wilson
from ml_backend.feedback.evaluation.tallies import WorstImage
from ml_backend.feedback.store.projects import Project
from ml_backend.feedback.store.revisions import Revision

TEMPLATES, ASSETS = Path(__file__).parent / "templates", Path(__file__).parent / "assets"

CONFUSED = 12  # choices with a row and a column of their own in a confusion table
LISTED = 40  # choices in the table by choice
CURVES = 24  # labels with a curve, those with most drawn boxes
SHADES = 5  # of the cells of a confusion table
ROWS = range(5, 100, 10)  # thresholds in the table below a curve, in percent

PLOT = (260, 150)  # width and height of a curve's area, in pixels

_pages = Environment(
    loader=FileSystemLoader([TEMPLATES, ASSETS]), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one label over the threshold, as points of SVG polylines.

    Attributes:
        label: of the project.
        precision, band, recall: points; the band is the 95 % interval of the precision.
        threshold: position of the present one, in pixels from the left.
        drawn: number of drawn boxes.
        told: the curve in a sentence.
        rows: some of its points, with ``threshold``, ``shown``, ``precision`` and ``recall``.
    """

    label: str
    precision: str
    band: str
    recall: str
    threshold: float
    drawn: int
    told: str
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion table.

    Attributes:
        count: the number; empty for none.
        title: the number in words.
        shade: classes of its colour, which is stronger for a larger share of its row; empty for none.
    """

    count: str
    title: str
    shade: str


@dataclass(frozen=True)
class ChoiceSection:
    """The section on one control.

    Attributes:
        control: ``from_name`` of the control.
        outcomes: of the control.
        unseen: the share of withheld choices that annotators submitted by themselves.
        listed: name, precision and recall of the most frequent choices.
        unlisted: number of the other choices that were shown or submitted.
        heads: names of the confusion table's rows and columns.
        rows: its cells.
        rest: number of choices that are summed in it.
    """

    control: str
    outcomes: ChoiceOutcomes
    unseen: Mapping[str, Any]
    listed: list[Mapping[str, Any]]
    unlisted: int
    heads: list[str]
    rows: list[list[Cell]]
    rest: int


@dataclass(frozen=True)
class Candidates:
    """The list of candidates for a second look, with crops.

    Attributes:
        review: the list.
        crops: of its candidates: drawn, or why there is none.
    """

    review: Review
    crops: Sequence[Image.Image | str]


@dataclass(frozen=True)
class Picture:
    """A picture in a list.

    Attributes:
        of: what it shows.
        url: address of the task in Label Studio; empty if unknown.
        source: address of the picture; empty for none.
        reason: why there is none, or empty; None where nothing is said about it.
    """

    of: WorstImage | Candidate
    url: str
    source: str = ""
    reason: str | None = None


def view(report: Report, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the macros of ``figures.html`` show, but for ``learning``, the last part of the JSON of ``prelabel report``. It does not hold on to the boxes that the report was made from.

    Args:
        report: the figures.
        values: the same as JSON.
    """
    drawn = sorted((label for label in values["labels"] if label["curve"]), key=lambda each: -each["recall"]["total"])
    listed = {(each["control"], each["label"]) for each in drawn[:CURVES]}
    return {
        "values": values,
        "link": report.link,
        "has_boxes": report.has_boxes,
        "subject": report.subject,
        "acceptance": report.acceptance() if report.accepted else "",
        "choices": [_section(*each) for each in zip(report.choices.values(), values["choices"], strict=True)],
        "curves": [
            _curve(each) for each in values["labels"] if each["curve"] and (each["control"], each["label"]) in listed
        ],
        "more_curves": len(drawn) - len(listed),
        "plot": PLOT,
    }


def render(  # noqa: PLR0913 - a page has many sources
    report: Report,
    project: Project,
    revision: Revision | None,
    waiting: int,
    images: Mapping[int, Image.Image | str],
    learning: Mapping[str, Any],
    candidates: Candidates | None = None,
) -> str:
    """Return the page.

    Args:
        report: the figures.
        project: of the report.
        revision: in force there.
        waiting: number of events that wait to be processed.
        images: of the worst annotations, by annotation id: drawn with boxes, or why there is none.
        learning: the last training and the next result of the calibration, as in the JSON of ``prelabel report``.
        candidates: for a second look; None for no section on them.
    """
    listed = zip(candidates.review.candidates, candidates.crops, strict=True) if candidates else ()
    return _pages.get_template("report.html").render(
        view=view(report, report.to_json()) | {"learning": learning},
        project=project,
        revision=revision,
        waiting=waiting,
        now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        pictures=[_picture(each, each.url, images.get(each.annotation, "")) for each in report.worst],
        review=candidates.review if candidates else None,
        caution=CAUTION,
        crops=[_picture(each, report.link(each.task), crop) for each, crop in listed],
    )


def _picture(of: WorstImage | Candidate, url: str, image: Image.Image | str) -> Picture:
    if isinstance(image, str):
        return Picture(of, url, reason=image)
    return Picture(of, url, "data:image/jpeg;base64," + base64.b64encode(jpeg(image)).decode())


def jpeg(image: Image.Image) -> bytes:
    """Return a picture of a page as a JPEG file."""
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=80)
    return packed.getvalue()


def _section(outcomes: ChoiceOutcomes, values: Mapping[str, Any]) -> ChoiceSection:
    known = [each for each in values["choices"] if each["precision"]["total"] or each["recall"]["total"]]
    names, counts = outcomes.table(CONFUSED)
    heads = [*names, "others", "nothing"]
    rest = len(names)
    shown = [place for place in range(len(heads)) if place != rest or len(known) > rest]
    rows = [[_cell(heads, row, column, counts[row]) for column in shown] for row in shown]
    return ChoiceSection(
        values["control"],
        outcomes,
        values["accuracy_unseen"],
        known[:LISTED],
        len(known[LISTED:]),
        [heads[place] for place in shown],
        rows,
        len(known) - rest,
    )


def _cell(heads: Sequence[str], row: int, column: int, counts: Sequence[int]) -> Cell:
    count, total = counts[column], sum(counts)
    if not count:
        return Cell("", "", "")
    kind = "wrong" if row != column else "mixed" if row == len(heads) - 2 else "right"
    shade = math.ceil(SHADES * count / total)
    return Cell(str(count), f"{heads[row]} → {heads[column]}: {count} of {total}", f"{kind} share-{shade}")


def _curve(label: Mapping[str, Any]) -> Curve:
    points = label["curve"]
    ends = [wilson(each["right"], each["shown"]) for each in points]
    thresholds = [each["threshold"] for each in points]
    drawn = points[0]["drawn"]
    rows = [
        {
            "threshold": each["threshold"],
            "shown": each["shown"],
            "precision": Share(each["right"], each["shown"]).to_json(),
            "recall": Share(each["right"], drawn).to_json(),
        }
        for each in points
    ]
    now = next((each for each in rows if each["threshold"] >= label["threshold"]), rows[-1])
    return Curve(
        label["label"],
        precision=_points(thresholds, [each["right"] / each["shown"] for each in points]),
        band=_points(thresholds + thresholds[::-1], [high for _, high in ends] + [low for low, _ in ends][::-1]),
        recall=_points(thresholds, [each["right"] / each["drawn"] if each["drawn"] else 0.0 for each in points]),
        threshold=label["threshold"] * PLOT[0],
        drawn=drawn,
        told=f"{label['label'] or '(no label)'}: at a threshold of {label['threshold']:.2f}, {_in_words(now['precision'])} of the shown boxes "
        f"are right, and {_in_words(now['recall'])} of the {drawn} drawn boxes are shown",
        rows=[each for each in rows if round(100 * each["threshold"]) in ROWS],
    )


def _in_words(share: Mapping[str, Any]) -> str:
    return "none" if share["value"] is None else f"{100 * share['value']:.0f} %"


def _points(xs: Iterable[float], ys: Iterable[float]) -> str:
    width, height = PLOT
    return " ".join(f"{x * width:.1f},{(1 - y) * height:.1f}" for x, y in zip(xs, ys, strict=True))
