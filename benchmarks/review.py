"""How many errors in annotations the list of candidates finds.

Errors are put into a tenth of the human boxes of the shared photographs: a label swapped with another one of the photographs, a box moved by a
third to a half of its size, a box at a random place, and a box removed, a quarter each. The probabilities are fitted to these annotations, as
they will be in use. Run it with `make bench` (`benchmarks/learning.py` prints it); `docs/human-in-the-loop.md` has the figures. Needs the shared
folder.
"""

import asyncio
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ml_backend.detections import iou
from ml_backend.feedback.evaluation.candidates import KINDS, Candidate, CandidateKind, Edges
from ml_backend.feedback.learning.review import review
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.label_studio.labelled_boxes import LabelledBox
from ml_backend.postprocessing.overrides import LabelOverrides
from ml_backend.postprocessing.postprocessor import Postprocessor

SEEDS = 20
SHARE = 0.1  # of the boxes
FIRST = (20, 50)  # candidates whose precision is printed
EVERY = 10**6


@dataclass(frozen=True)
class InjectedError:
    """An error that was put into an annotation.

    Attributes:
        kind: that a perfect list would give it.
        annotation: the id.
        edges: of the wrong box, or of the removed one.
    """

    kind: CandidateKind
    annotation: int
    edges: Edges

    def is_found_by(self, candidate: Candidate) -> bool:
        """Tell whether a candidate shows this box, or the object that was removed."""
        if candidate.annotation != self.annotation:
            return False
        if self.kind != "overlooked":
            return candidate.drawn == self.edges
        box = np.array([self.edges], np.float32)
        return candidate.kind == "overlooked" and bool(
            iou(box, np.array([candidate.detected], np.float32))[0, 0] >= 0.5
        )


def with_errors(annotations: Sequence[Annotation], seed: int) -> tuple[list[Annotation], list[InjectedError]]:
    """Return annotations with errors in :data:`SHARE` of their boxes, and the errors."""
    chance = random.Random(seed)  # noqa: S311 - decides what is wrong
    labels = sorted({box.label for each in annotations for box in each.drawn})
    boxes = [(each.id, place) for each in annotations for place in range(len(each.drawn))]
    chosen = dict(zip(chance.sample(boxes, round(SHARE * len(boxes))), _kinds(), strict=False))
    errors: list[InjectedError] = []
    wrong = []
    for annotation in annotations:
        drawn: list[LabelledBox] = []
        for place, box in enumerate(annotation.drawn):
            kind = chosen.get((annotation.id, place))
            drawn += _spoilt(box, kind, labels, chance)
            if kind is not None:
                errors.append(
                    InjectedError(kind, annotation.id, box.edges if kind == "overlooked" else drawn[-1].edges)
                )
        wrong.append(replace(annotation, drawn=tuple(drawn)))
    return wrong, errors


def _kinds() -> Iterator[CandidateKind]:
    while True:
        yield from KINDS


def _spoilt(
    box: LabelledBox, kind: CandidateKind | None, labels: Sequence[str], chance: random.Random
) -> list[LabelledBox]:
    """Return what becomes of a box; a wrong one comes last."""
    ymin, xmin, ymax, xmax = box.edges
    height, width = ymax - ymin, xmax - xmin
    if kind == "another label":
        return [box._replace(label=chance.choice([label for label in labels if label != box.label]))]
    if kind == "badly placed":
        along = chance.choice([(1, 0), (0, 1), (1, 1)])
        down, right = (part * chance.choice((-1, 1)) * chance.uniform(1 / 3, 1 / 2) for part in along)
        moved = (ymin + down * height, xmin + right * width, ymax + down * height, xmax + right * width)
        inside = tuple(min(1.0, max(0.0, edge)) for edge in moved)
        return [box._replace(edges=(inside[0], inside[1], inside[2], inside[3]))]
    if kind == "nothing there":
        top, left = chance.uniform(0, 1 - height), chance.uniform(0, 1 - width)
        return [box, box._replace(edges=(top, left, top + height, left + width))]
    return [] if kind == "overlooked" else [box]


def precision_at_hits(hits: Sequence[bool], total: int) -> float:
    """Return the mean precision at each hit of a ranked list, 0 to 1; errors that are not in it count 0."""
    places = [place for place, hit in enumerate(hits, 1) if hit]
    return sum(count / place for count, place in enumerate(places, 1)) / total if total else 0.0


def figures(candidates: Sequence[Candidate], errors: Sequence[InjectedError]) -> dict[str, float]:
    """Return the precision of the first candidates of all kinds, and the average precision of each kind."""
    left = list(errors)
    found: list[CandidateKind | None] = []
    for candidate in candidates:
        error = next((each for each in left if each.is_found_by(candidate)), None)
        found.append(error.kind if error else None)
        if error:
            left.remove(error)
    totals = Counter(each.kind for each in errors)
    values = {f"first {count}": statistics.mean(each is not None for each in found[:count]) for count in FIRST}
    for kind in KINDS:
        own = [each == kind for candidate, each in zip(candidates, found, strict=True) if candidate.kind == kind]
        values[f"AP {kind}"] = precision_at_hits(own, totals[kind])
    return values


def wrong_labels(
    sets: Mapping[str, tuple[Callable[[LabelOverrides], Postprocessor], Sequence[Annotation]]],
) -> dict[str, list[dict[str, float]]]:
    """Print what the list finds, with its spread over the seeds.

    Args:
        sets: by name, a function that returns the postprocessor with overrides, and annotations without errors.

    Returns:
        The figures of each seed, by set.
    """
    print(f"\n### Candidates for a second look, errors in {SHARE:.0%} of the boxes, {SEEDS} seeds\n")
    heads = [f"precision of the first {count}" for count in FIRST] + [f"AP, {kind}" for kind in KINDS]
    print(f"| labels | boxes | {' | '.join(heads)} |\n|{'---|' * (2 + len(heads))}")
    results = {}
    for name, (own, annotations) in sets.items():
        rows = results[name] = [_of_seed(own, annotations, seed) for seed in range(SEEDS)]
        columns = [[row[key] for row in rows] for key in rows[0]]
        texts = [f"{statistics.mean(each):.2f} ({min(each):.2f} to {max(each):.2f})" for each in columns]
        print(f"| {name} | {sum(len(each.drawn) for each in annotations)} | {' | '.join(texts)} |", flush=True)
    return results


def _of_seed(
    own: Callable[[LabelOverrides], Postprocessor], annotations: Sequence[Annotation], seed: int
) -> dict[str, float]:
    wrong, errors = with_errors(annotations, seed)
    return figures(review(lambda: wrong, own, EVERY).candidates, errors)


def main() -> None:
    """Measure."""
    from learning import MODEL, detected, second_looks  # which imports this module
    from servers import load_detector

    if not MODEL.exists():
        print(f"{MODEL} is needed")
        return
    wrong_labels(second_looks(asyncio.run(detected(load_detector(str(MODEL))))))


if __name__ == "__main__":
    main()
