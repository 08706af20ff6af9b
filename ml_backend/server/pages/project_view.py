"""What the template of a project's page shows, from its data: lists, bars by day, and the changes of revisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ml_backend.feedback.evaluation.candidates import CAUTION, Candidate, Review
from ml_backend.feedback.evaluation.days import Day
from ml_backend.feedback.evaluation.report_page import Picture
from ml_backend.feedback.evaluation.tallies import WorstImage
from ml_backend.feedback.learning.override_changes import Change, changes_between, changes_of, class_names
from ml_backend.feedback.learning.project_report import ProjectState
from ml_backend.feedback.learning.revisions import set_aside_sentence
from ml_backend.feedback.store.revisions import Revision, overrides_before
from ml_backend.server.pages.computed import Made
from ml_backend.server.pages.project_data import PageFigures, PageProposal, digest_of
from ml_backend.server.pages.studio_facts import StudioFacts

REVISIONS = 50  # listed, the newest ones
CHART = (600, 90)  # width and height of the area of a chart by day, in units of its drawing
NOT_KEPT = "its address is not kept"


@dataclass(frozen=True)
class DayBars:
    """A chart by day.

    Attributes:
        what: that is counted.
        bars: left edge, top, width and height of each day's bar, the day, and its count.
        most: the largest count.
        told: the chart in a sentence.
    """

    what: str
    bars: Sequence[tuple[float, float, float, float, str, int]]
    most: int
    told: str


@dataclass(frozen=True)
class PastRevision:
    """A revision in the history.

    Attributes:
        revision: itself.
        changes: that it made.
    """

    revision: Revision
    changes: Sequence[Change]


def day_bars(what: str, days: Sequence[Day], counts: Sequence[int]) -> DayBars:
    """Return the chart of a count by day."""
    width, height = CHART
    step, most = width / max(len(days), 14), max(counts, default=0) or 1
    bars = [
        (
            round(place * step, 2),
            round(height * (1 - count / most), 2),
            round(0.8 * step, 2),
            round(height * count / most, 2),
            day.date,
            count,
        )
        for place, (day, count) in enumerate(zip(days, counts, strict=True))
    ]
    best = max(zip(counts, days, strict=True), key=lambda each: each[0])
    told = (
        f"{what} by day from {days[0].date} to {days[-1].date}: {sum(counts)} in all, most on {best[1].date}, {best[0]}"
    )
    return DayBars(what, bars, most, told)


def figures_of(made: Made[PageFigures], facts: StudioFacts) -> dict[str, Any]:
    """Return the sections on figures, with the names of annotators."""
    found, days = made.value, made.value.days
    charts = []
    if days:
        charts = [
            day_bars("Annotations", days, [each.annotations for each in days]),
            day_bars("Boxes", days, [each.boxes for each in days]),
        ]
    return {
        "view": found.view | {"values": found.named(facts)},
        "figures_at": made.at,
        "charts": charts,
        "chart_size": CHART,
        "days": [each for each in reversed(days) if each.annotations],
    }


def proposal_of(made: Made[PageProposal], view: dict[str, Any]) -> dict[str, Any]:
    """Return the section on learning."""
    found = made.value
    values = {"view": view | {"learning": found.calibration}, "proposal": found.proposal}
    return values | {"changes": found.changes, "digest": found.digest}


def pictures_of(
    kind: str, listed: Sequence[WorstImage | Candidate], view: dict[str, Any], address: str, *, shown: bool
) -> list[Picture]:
    """Return a list of pictures.

    Args:
        kind: of the list, in addresses.
        listed: what is to be seen.
        view: of the sections on figures.
        address: the way from the page's address to that of the project.
        shown: whether pictures are shown at all.
    """
    of = digest_of(listed)
    return [
        Picture(each, view["link"](each.task), "", NOT_KEPT if shown else None)
        if not shown or not each.reference
        else Picture(each, view["link"](each.task), f"{address}/pictures/{kind}/{place}?of={of}")
        for place, each in enumerate(listed)
    ]


def review_of(review: Review, view: dict[str, Any], address: str, *, shown: bool) -> dict[str, Any]:
    """Return the section on boxes to check; arguments as for :func:`pictures_of`."""
    crops = pictures_of("check", review.candidates, view, address, shown=shown)
    return {"review": review, "caution": CAUTION, "crops": crops}


def history_of(state: ProjectState, general: float) -> dict[str, Any]:
    """Return the revisions, the newest first, and what taking back the last one would change.

    Args:
        state: of the project.
        general: threshold of labels of which nothing is learned, 0 to 1.
    """
    past = state.revisions
    names = class_names(each.evidence for each in past)
    every = [PastRevision(each, changes) for each, changes in zip(past, changes_of(past, names, general), strict=True)]
    values: dict[str, Any] = {
        "revisions": every[::-1][:REVISIONS],
        "older_revisions": max(0, len(past) - REVISIONS),
        "back": None,
    }
    current = state.revision
    if current is not None:
        values["aside"] = set_aside_sentence(current) if current.is_aside(state.detector) else ""
        if current.stands_for:
            values["back"] = changes_between(current.overrides, overrides_before(past), names, general)
    return values
