"""The score of a task's prediction."""

from collections.abc import Sequence

from ml_backend.label_studio.geometry import DECIMALS


def task_score(shown: Sequence[float], hidden: Sequence[float], threshold: float) -> float:
    """Return a prediction's score, by which Label Studio orders its uncertainty sampling (lowest first).

    With boxes, the score is the mean of their scores, so at least the threshold. Without boxes, it is one minus the best score below
    the threshold, but at least halfway from the threshold to 1: an image without any candidate has 1.0 and comes last, one with a
    candidate just below the threshold comes earlier, and empty images do not fill the front of the queue.

    Args:
        shown: scores of the boxes that are shown, 0 to 1.
        hidden: scores of boxes of the project's labels below their thresholds, 0 to 1.
        threshold: lowest score that is shown, 0 to 1.
    """
    if shown:
        return round(sum(shown) / len(shown), DECIMALS)
    return round(max((1 + threshold) / 2, 1 - max(hidden, default=0.0)), DECIMALS)
