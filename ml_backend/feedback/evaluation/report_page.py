"""The report as one self-contained HTML file, with images and curves."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from PIL import Image

from ml_backend import __version__
from ml_backend.feedback.evaluation.candidates import CAUTION, KINDS, Review
from ml_backend.feedback.evaluation.choice_outcomes import ChoiceOutcomes
from ml_backend.feedback.evaluation.report import Report
from ml_backend.feedback.evaluation.report_images import CANDIDATE_COLOURS, COLOURS
from ml_backend.feedback.evaluation.statistics import wilson
from ml_backend.feedback.store.projects import Project
from ml_backend.feedback.store.revisions import Revision

CHOICE_COLOURS = {"kept": "#1b8a3d", "changed": "#8e3bc4", "removed": "#d62839"}
RIGHT, WRONG, MIXED = "#1b8a3d", "#d62839", "#888888"  # cells of confusion tables
CONFUSED = 12  # choices with a row and a column of their own in a confusion table
LISTED = 40  # choices in the table by choice

PLOT = (260, 150)  # width and height of a curve's area, in pixels

_pages = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one label over the threshold, as points of SVG polylines.

    Attributes:
        label: of the project.
        precision, band, recall: points; the band is the 95 % interval of the precision.
        threshold: position of the present one, in pixels from the left.
        drawn: number of drawn boxes.
    """

    label: str
    precision: str
    band: str
    recall: str
    threshold: float
    drawn: int


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion table.

    Attributes:
        count: the number; empty for none.
        title: the number in words.
        colour: stronger for a larger share of its row; empty for none.
    """

    count: str
    title: str
    colour: str


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
        learning: the last training and the next result of the calibration, as in the JSON of the report.
        candidates: for a second look; None for no section on them.
    """
    values = report.to_json()
    return _pages.get_template("report.html").render(
        report=report,
        values=values,
        project=project,
        revision=revision,
        waiting=waiting,
        now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        colours=COLOURS | CHOICE_COLOURS,
        choices=[_section(*each) for each in zip(report.choices.values(), values["choices"], strict=True)],
        learning=learning,
        curves=[_curve(label) for label in values["labels"] if label["curve"]],
        plot=PLOT,
        images=[(worst, _data_url(images.get(worst.annotation, ""))) for worst in report.worst],
        review=candidates.review if candidates else None,
        caution=CAUTION,
        kinds={kind: CANDIDATE_COLOURS[kind] for kind in KINDS},
        crops=[
            (each, _data_url(crop), crop if isinstance(crop, str) else "")
            for each, crop in zip(candidates.review.candidates, candidates.crops, strict=True)
        ]
        if candidates
        else [],
        reasons={key: value for key, value in images.items() if isinstance(value, str)},
    )


def _data_url(image: Image.Image | str) -> str:
    if isinstance(image, str):
        return ""
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()


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
    colour = WRONG if row != column else MIXED if row == len(heads) - 2 else RIGHT
    strength = round(0x18 + 0x78 * count / total)
    return Cell(str(count), f"{heads[row]} → {heads[column]}: {count} of {total}", f"{colour}{strength:02x}")


def _curve(label: Mapping[str, Any]) -> Curve:
    points = label["curve"]
    ends = [wilson(each["right"], each["shown"]) for each in points]
    thresholds = [each["threshold"] for each in points]
    return Curve(
        label["label"],
        precision=_points(thresholds, [each["right"] / each["shown"] for each in points]),
        band=_points(thresholds + thresholds[::-1], [high for _, high in ends] + [low for low, _ in ends][::-1]),
        recall=_points(thresholds, [each["right"] / each["drawn"] if each["drawn"] else 0.0 for each in points]),
        threshold=label["threshold"] * PLOT[0],
        drawn=points[0]["drawn"],
    )


def _points(xs: Iterable[float], ys: Iterable[float]) -> str:
    width, height = PLOT
    return " ".join(f"{x * width:.1f},{(1 - y) * height:.1f}" for x, y in zip(xs, ys, strict=True))
