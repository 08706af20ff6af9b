"""A tally of what people did in a project, kept by hand, and the same figures of a report."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Sheet:
    """What was done in one annotation.

    Attributes:
        shown: what became of each box that it began with, by region id: kept, nudged, relabeled or deleted; None if it began with nothing.
        drawn: by region id, what the detector had found at each box that was drawn from scratch, got another label or was dragged away:
            hidden, other label or not found.
    """

    shown: dict[str, str] | None
    drawn: dict[str, str] = field(default_factory=dict)


@dataclass
class Tally:
    """What several people did in a project.

    Attributes:
        sheets: by annotation id; of an annotation that is updated, the last one counts.
        skipped: the same of tasks that were skipped.
        accepted: how many boxes each prediction had that was accepted in bulk, by annotation id.
        events: how many Label Studio posted about annotations.
    """

    sheets: dict[int, Sheet] = field(default_factory=dict)
    skipped: dict[int, Sheet] = field(default_factory=dict)
    accepted: dict[int, int] = field(default_factory=dict)
    events: int = 0

    def figures(self) -> Counter[str]:
        """Return each figure of the report, as the tally has it."""
        seen = [(sheet.shown, sheet.drawn) for sheet in self.sheets.values() if sheet.shown is not None]
        decisions = Counter(decision for shown, _ in seen for decision in shown.values())
        drawn = Counter(outcome for _, outcomes in seen for outcome in outcomes.values())
        added = sum(len(outcomes.keys() - shown) for shown, outcomes in seen)
        return Counter(
            {
                "kept": decisions["kept"],
                "nudged": decisions["nudged"],
                "relabeled": decisions["relabeled"],
                "deleted": decisions["deleted"],
                "added": added,
                "found": decisions.total() - decisions["deleted"] + added - drawn.total(),
                "hidden": drawn["hidden"],
                "other label": drawn["other label"],
                "not found": drawn["not found"],
                "annotations with boxes": len(seen),
                "annotations without boxes": len(self.sheets) - len(seen),
                "skipped": len(self.skipped),
                "accepted annotations": len(self.accepted),
                "accepted boxes": sum(self.accepted.values()),
            }
        )


def figures_of(report: dict[str, Any]) -> Counter[str]:
    """Return the same figures of a report, as ``prelabel report --json`` gives it."""
    total, seen = report["total"], report["seen"]
    return Counter(
        {
            **total["shown"],
            "added": seen["edits"]["added"],
            **total["drawn"],
            "annotations with boxes": seen["annotations"],
            "annotations without boxes": report["unseen"]["annotations"],
            "skipped": report["skipped"],
            "accepted annotations": report["accepted"]["annotations"],
            "accepted boxes": report["accepted"]["boxes"],
        }
    )


def print_beside(title: str, tally: Counter[str], report: Counter[str]) -> None:
    """Print a tally beside the figures of a report."""
    names = [name for name in tally | report if tally[name] or report[name]]
    lines = [f"{name:26}{tally[name]:8}{report[name]:8}" for name in names]
    print("\n".join(["", title, f"{'':26}{'tally':>8}{'report':>8}", *lines]))  # noqa: T201 - a measure to report
