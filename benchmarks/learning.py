"""The accuracy of boxes before and after a calibration, on photographs that were not part of it.

The shared photographs with their ground truth are split at random, twenty times: people correct one part, thresholds and labels are
calibrated, and the other part is evaluated. Run it with `make bench`; `docs/human-in-the-loop.md` has the figures.
Needs the shared folder.
"""

import asyncio
import json
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
from labels import LABELS, SHARED, config, rolled_up, truth
from servers import load_detector

from ml_backend.feedback.evaluation.threshold_stats import gather, labels_of, threshold_in
from ml_backend.feedback.learning.calibration import propose
from ml_backend.feedback.store.annotation_records import AnnotatedImage, Annotation
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.labelled_boxes import LabelledBox
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.settings import Settings

mpl.use("agg")
import matplotlib.pyplot as plt

SPLITS = 20
TARGETS = (0.7, 0.8, 0.9)
THRESHOLD = 0.3
CORRECTIONS = (0, 10, 50, 200)
INVENTED = {"Person": "Two-legged", "Vehicle": "Goes places", "Animal": "Four-legged"}
ONE_LABEL = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    f'<Label value="Object" predicted_values="{",".join(LABELS)}"/></RectangleLabels></View>'
)
DRAWABLE = {"label": (*LABELS, *INVENTED.values(), "Object")}
PLOT = Path(__file__).parent.parent / "docs" / "images" / "learning.png"


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of the shown boxes on some photographs."""

    shown: int
    right: int
    drawn: int
    images: int

    @property
    def precision(self) -> float:
        """Share of right boxes; 1 if none is shown."""
        return self.right / self.shown if self.shown else 1.0

    @property
    def wrong(self) -> float:
        """Wrong boxes per image."""
        return (self.shown - self.right) / self.images


def postprocessor_of(xml: str, overrides: LabelOverrides = NO_OVERRIDES) -> Postprocessor:
    """Return the postprocessor of a label config."""
    return Postprocessor.from_label_config(xml, score_threshold=THRESHOLD, overrides=overrides)


def accuracy_of(annotations: Sequence[Annotation], postprocessor: Postprocessor) -> dict[str, Accuracy]:
    """Return the accuracy under a postprocessor by label, and that of all labels under an empty name."""
    stats = gather(annotations, postprocessor)
    found = {}
    for where in labels_of(postprocessor):
        share = stats.of(where).precision(threshold_in(postprocessor, where))
        found[where.label] = Accuracy(share.total, share.hits, stats.of(where).drawn.total(), len(annotations))
    every = list(found.values())
    shown, right, drawn = sum(e.shown for e in every), sum(e.right for e in every), sum(e.drawn for e in every)
    return found | {"": Accuracy(shown, right, drawn, len(annotations))}


async def photographs(detector: Detector) -> dict[str, Annotation]:
    """Return an annotation of each photograph, by file name, with its ground truth as drawn boxes."""
    source = ImageField("image", is_list=False)
    annotations = {}
    async with Pipeline(Settings(cache="memory"), Models(detector)) as pipeline:
        for number, (name, boxes) in enumerate(sorted(truth(rolled_up()).items()), 1):
            task = {"id": number, "data": {"image": SHARED / "photos" / "images" / name}}
            (seen,) = (await pipeline.infer(task, {source: ["detector"]}))[source]
            drawn = tuple(
                LabelledBox("label", 0, label, (edges[0], edges[1], edges[2], edges[3]))
                for label, rows in boxes.items()
                for edges in rows.tolist()
            )
            image = AnnotatedImage("image", 0, name, seen.results.boxes)
            annotations[name] = Annotation(
                number, 1, number, 1, "2026", skipped=False, drawn=drawn, drawable=DRAWABLE, images=(image,)
            )
    return annotations


def thresholds(annotations: Sequence[Annotation], xml: str, labels: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """Calibrate thresholds on one half, and evaluate them on the other; print and return the rows."""
    figures: dict[str, dict[str, list[float]]] = {}
    print(
        f"\n### {len(annotations)} photographs, {SPLITS} random halves, {', '.join(labels)}, threshold before {THRESHOLD}\n"
    )
    print(
        "| target | label | set in | precision before | after | target held | wrong boxes per image before | after | right boxes lost |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for target in TARGETS:
        rows: dict[str, list[tuple[Accuracy, Accuracy]]] = defaultdict(list)
        for split in range(SPLITS):
            learned_from, others = halves(annotations, split)
            proposal = propose(
                lambda half=learned_from: half,  # type: ignore[misc]
                xml,
                NO_OVERRIDES,
                score_threshold=THRESHOLD,
                targets=lambda _, wanted=target: wanted,  # type: ignore[misc]
            )
            before, after = (
                accuracy_of(others, postprocessor_of(xml)),
                accuracy_of(others, postprocessor_of(xml, proposal.overrides)),
            )
            for change in proposal.labels:
                if not change.reason:
                    rows[change.where.label].append((before[change.where.label], after[change.where.label]))
            rows["all labels"].append((before[""], after[""]))
        for label in (*labels, "all labels"):
            if label in rows:
                figures[f"{label} {target}"] = _print_row(target, label, rows[label])
            else:
                print(f"| {target} | {label} | 0 of {SPLITS} | | | | | | |")
    return figures


def _print_row(target: float, label: str, pairs: Sequence[tuple[Accuracy, Accuracy]]) -> dict[str, list[float]]:
    befores, afters = [each for each, _ in pairs], [each for _, each in pairs]
    held = sum(each.precision >= target for each in afters)
    right = sum(each.right for each in befores)
    lost = right - sum(each.right for each in afters)
    figures = {"before": [each.precision for each in befores], "after": [each.precision for each in afters]}
    print(
        f"| {target} | {label} | {len(pairs)} of {SPLITS} | {_spread(figures['before'])} | {_spread(figures['after'])} | {held} of {len(pairs)} "
        f"| {statistics.mean(each.wrong for each in befores):.2f} | {statistics.mean(each.wrong for each in afters):.2f} "
        f"| {100 * lost / right:.0f} % |"
    )
    return figures


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def halves(annotations: Sequence[Annotation], split: int) -> tuple[list[Annotation], list[Annotation]]:
    """Return two random halves of the photographs."""
    shuffled = shuffle(annotations, split)
    return shuffled[: len(shuffled) // 2], shuffled[len(shuffled) // 2 :]


def shuffle(annotations: Sequence[Annotation], split: int) -> list[Annotation]:
    """Return the photographs in a random order, the same for the same number."""
    return random.Random(split).sample(list(annotations), len(annotations))  # noqa: S311 - decides who goes where


def invented(annotations: Sequence[Annotation]) -> dict[int, list[float]]:
    """Calibrate three invented labels from more and more corrections; print and return the share of drawn boxes under the right one."""
    xml = invented_config()
    renamed = [rename(each) for each in annotations]
    found: dict[int, list[float]] = defaultdict(list)
    precision: dict[int, list[float]] = defaultdict(list)
    taught: dict[int, Counter[str]] = defaultdict(Counter)
    ceiling = []
    for split in range(SPLITS):
        order = shuffle(renamed, split)
        pool = until(order, max(CORRECTIONS))
        rest = order[len(pool) :]
        told = accuracy_of(rest, postprocessor_of(invented_config(taught=True)))[""]
        ceiling.append(told.right / told.drawn)
        for count in CORRECTIONS:
            corrected = until(pool, count)
            proposal = propose(
                lambda half=corrected: half,  # type: ignore[misc]
                xml,
                NO_OVERRIDES,
                score_threshold=THRESHOLD,
                targets=lambda _: 0.7,
            )
            after = accuracy_of(rest, postprocessor_of(xml, replace(proposal.overrides, thresholds=())))[""]
            found[count].append(after.right / after.drawn)
            precision[count].append(after.precision)
            taught[count].update({each.label for each in proposal.relabelings})
    print(
        f"\n### Three invented labels ({', '.join(f'{new} for {old}' for old, new in INVENTED.items())}), {SPLITS} random orders\n"
    )
    print(
        "| corrections | drawn boxes shown under the right label | precision of what is shown | labels that had been taught something |"
    )
    print("|---|---|---|---|")
    for count in CORRECTIONS:
        labels = ", ".join(f"{label} in {taught[count][label]}" for label in INVENTED.values()) if count else "none"
        shown = _spread(precision[count]) if any(found[count]) else "nothing is shown"
        print(f"| {count} | {_spread(found[count])} | {shown} | {labels} |")
    print(f"| with predicted_values | {_spread(ceiling)} | | |")
    return dict(found) | {-1: ceiling}


def invented_config(*, taught: bool = False) -> str:
    """Return a label config with the invented labels; ``taught`` gives them ``predicted_values``."""
    meaning = {new: f' predicted_values="{old}"' if taught else "" for old, new in INVENTED.items()}
    labels = "".join(f'<Label value="{new}"{meaning[new]}/>' for new in INVENTED.values())
    return (
        '<View><Image name="image" value="$image"/>'
        f'<RectangleLabels name="label" toName="image">{labels}</RectangleLabels></View>'
    )


def as_one(annotation: Annotation) -> Annotation:
    """Return an annotation with one label for all boxes."""
    return replace(annotation, drawn=tuple(box._replace(label="Object") for box in annotation.drawn))


def rename(annotation: Annotation) -> Annotation:
    """Return an annotation with the invented labels."""
    drawn = tuple(box._replace(label=INVENTED[box.label]) for box in annotation.drawn if box.label in INVENTED)
    return replace(annotation, drawn=drawn)


def until(annotations: Sequence[Annotation], boxes: int) -> list[Annotation]:
    """Return the first photographs with at least a number of drawn boxes together."""
    taken: list[Annotation] = []
    for annotation in annotations:
        if sum(len(each.drawn) for each in taken) >= boxes:
            break
        taken.append(annotation)
    return taken


def draw(figures: Mapping[str, dict[str, list[float]]], found: Mapping[int, list[float]]) -> None:
    """Draw both figures into one image."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    for place, target in enumerate(TARGETS):
        row = figures.get(f"Object {target}")
        if row is None:
            continue
        for offset, name, colour in ((-0.12, "before", "#999999"), (0.12, "after", "#1b8a3d")):
            first = place == 0
            left.scatter(
                [place + offset] * len(row[name]),
                row[name],
                s=18,
                alpha=0.5,
                color=colour,
                label=name if first else None,
            )
        left.hlines(target, place - 0.35, place + 0.35, color="#d62839", label="target" if place == 0 else None)
    left.set_xticks(range(len(TARGETS)), [str(target) for target in TARGETS])
    left.set(
        title="One label for everything: precision on the other half",
        xlabel="target precision",
        ylim=(0.4, 1.02),
        xlim=(-0.5, 2.5),
    )
    left.legend(loc="lower right")
    counts = list(CORRECTIONS)
    right.boxplot([found[count] for count in counts], tick_labels=[str(count) for count in counts])
    right.axhline(statistics.mean(found[-1]), color="#1d6fd1", linestyle="--", label="told by predicted_values")
    right.set(
        title="Invented labels: drawn boxes that were shown right",
        xlabel="corrected boxes",
        ylabel="share",
        ylim=(-0.02, 0.7),
    )
    right.legend(loc="upper left")
    figure.tight_layout()
    figure.savefig(PLOT, dpi=110, metadata={"Software": None})


def main() -> None:
    """Measure."""
    model = SHARED / "models" / "openimages-subset-detector-hub"
    if not model.exists():
        print(f"{model} is needed")
        return
    annotations = list(asyncio.run(photographs(load_detector(str(model)))).values())
    figures = thresholds(annotations, config(), LABELS)
    figures |= thresholds([as_one(each) for each in annotations], ONE_LABEL, ["Object"])
    found = invented(annotations)
    draw(figures, found)
    print(json.dumps({"boxes drawn": sum(len(each.drawn) for each in annotations)}))


if __name__ == "__main__":
    main()
