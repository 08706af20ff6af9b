"""The table of ``prelabel review``, which fits into 80 columns."""

from collections.abc import Callable

from rich.markup import escape

from ml_backend.cli.common import out
from ml_backend.cli.feedback_tables import table
from ml_backend.feedback.evaluation.candidates import CAUTION, Review


def print_review(review: Review, link: Callable[[int], str]) -> None:
    """Print the candidates, their number of each kind, and sentences on their meaning.

    Args:
        review: the candidates.
        link: returns the address of a task; empty if that of Label Studio is not set.
    """
    rows = [
        [
            each.kind,
            escape(each.label or ("(no label)" if each.drawn else "-")),
            escape(each.detected_label or "-"),
            f"{100 * each.probability:.0f} %",
            str(each.task),
            str(each.annotation),
        ]
        for each in review.candidates
    ]
    if rows:
        heads = ["Check", "Drawn", "Detected", "Probability", "Task", "Annotation"]
        out.print(table("Candidates for a second look", heads, rows, texts=3))
    counts = ", ".join(f"{count} {kind}" for kind, count in review.counts.items())
    out.print(
        f"{review.drawn} boxes in {review.annotations} annotations; candidates: {counts}", highlight=False, markup=False
    )
    out.print(CAUTION, highlight=False, markup=False)
    if rows and link(review.tasks[0]):
        out.print(f"the first task: {link(review.tasks[0])}", highlight=False, markup=False, soft_wrap=True)
