"""The score of a task's prediction."""

from collections.abc import Sequence

from ml_backend.label_studio.geometry import DECIMALS


def task_score(shown: Sequence[float], hidden: Sequence[float], threshold: float) -> float:
    """Return a prediction's score, by which Label Studio orders its uncertainty sampling (lowest first).

    With boxes it is the mean of their scores, so at least the threshold. Without any, it is one minus the score of the best box
    that the threshold hid, but at least halfway from the threshold to 1: a picture on which nothing was even suspected is a sure
    one (1.0) and comes last, one with a near miss comes earlier, and empty pictures never crowd the front of the queue.

    Args:
        shown: scores of the boxes that are answered.
        hidden: scores of boxes of the project's labels that the threshold hid.
        threshold: lowest score that is shown, 0 to 1.
    """
    if shown:
        return round(sum(shown) / len(shown), DECIMALS)
    return round(max((1 + threshold) / 2, 1 - max(hidden, default=0.0)), DECIMALS)
