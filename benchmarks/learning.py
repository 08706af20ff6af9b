"""What annotators are spared by learned labels and thresholds, on photographs that were not part of the learning.

The shared photographs with their ground truth are put into a random order, twenty times: people correct the first ones, thresholds and labels
are calibrated, and those after the fiftieth are evaluated. The former rules are measured beside the present ones. Effort is modelled and not
observed: see ``seconds_of``. The list of candidates for a second look is measured by `review.py`. Run it with `make bench`;
`docs/human-in-the-loop.md` has the figures. Needs the shared folder.
"""

import argparse
import asyncio
import statistics
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from corrected_photographs import (
    CENTRAL,
    HELD_BACK,
    SPLITS,
    THRESHOLD,
    Distortion,
    annotations_of,
    config_of,
    counts_of,
    learned,
    postprocessor_of,
    shuffle,
    spread,
    until,
)
from labels import COCO_CONFIG, LABELS, SHARED, config, rolled_up
from review import wrong_labels
from servers import load_detector
from share_rule import learn_by_share
from split_labels import cost_of_colours, split_labels

from ml_backend.detections import Detections, iou
from ml_backend.feedback.evaluation.matching import match
from ml_backend.feedback.evaluation.outcomes import edges_of
from ml_backend.feedback.evaluation.threshold_stats import gather, labels_of, threshold_in
from ml_backend.feedback.learning.calibration import propose
from ml_backend.feedback.learning.effort import EditSeconds
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.labelled_boxes import LabelledBox
from ml_backend.model_results import ModelResults
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.settings import Settings

MODEL = SHARED / "models" / "openimages-subset-detector-hub"
MANY = 50_000
ADJUSTED = 0.9  # IoU below which a right box is adjusted
SLOW = EditSeconds(draw=25)
Counts = tuple[int, int, int]  # boxes that are shown, right and drawn
DRAWN = {
    "posterior and thresholds by effort": "probabilities, and thresholds by effort",
    "share (former)": "16 agreeing corrections, as before",
}
INVENTED = {"Person": "Two-legged", "Vehicle": "Goes places", "Animal": "Four-legged"}
UNION = dict.fromkeys(("Vehicle", "Animal", "Furniture", "Food"), "Wanted")  # four unrelated groups under one label
SOURCE = ImageField("image", is_list=False)
DISTORTIONS: Mapping[str, Distortion] = {
    "none": lambda scores: scores,
    "squared": lambda scores: scores**2,
    "root": np.sqrt,
    "halved": lambda scores: scores * np.float32(0.5),
}


async def detected(detector: Detector) -> dict[str, Detections]:
    """Return the raw detections of each photograph, by file name."""
    found = {}
    async with Pipeline(Settings(cache="memory"), Models(detector)) as pipeline:
        for file in sorted((SHARED / "photos" / "images").glob("*.jpg")):
            (seen,) = (await pipeline.infer({"id": file.name, "data": {"image": file}}, {SOURCE: ["detector"]}))[SOURCE]
            found[file.name] = seen.results.boxes
    return found


def seconds_of(annotation: Annotation, postprocessor: Postprocessor, seconds: EditSeconds) -> float:
    """Return the seconds that a picture takes: shown boxes are matched one to one with drawn ones, those of the same label first."""
    detections = annotation.images[0].detections
    ((_, _, _, decisions),) = postprocessor.explain({SOURCE: [ModelResults(detections)]})
    kept = [each for each in decisions if each.kind == "kept"]
    overlaps = iou(detections.boxes[[each.row for each in kept]], edges_of(annotation.drawn))
    pairs = match(overlaps, [each.label for each in kept], [box.label for box in annotation.drawn])
    taken = seconds.look + seconds.delete * (len(kept) - len(pairs))
    taken += seconds.draw * (len(annotation.drawn) - len(pairs))
    for row, column in pairs:
        taken += seconds.adjust * bool(overlaps[row, column] < ADJUSTED)
        taken += seconds.relabel * (kept[row].label != annotation.drawn[column].label)
    return taken


def invented(
    raw: Mapping[str, Detections], names: Mapping[str, str], counts: Sequence[int]
) -> dict[int, dict[str, list[Counts]]]:
    """Print recall and precision of labels that the detector does not know, after so many corrected boxes; return what they are made of."""
    xml = config_of(list(names.values()))
    renamed = {known: names.get(label or "") for known, label in rolled_up().items()}
    annotations = annotations_of(raw, renamed)
    print(
        f"\n### {len(annotations)} photographs, {SPLITS} orders, {', '.join(f'{new} for {old}' for old, new in names.items())}\n"
    )
    print("| boxes | rule | recall | precision |\n|---|---|---|---|")
    rules: dict[str, Callable[[list[Annotation]], Postprocessor]] = {
        "share (former)": lambda some: postprocessor_of(xml, learn_by_share(some, list(names.values()), THRESHOLD)),
        "posterior, p* = 0.3": lambda some: _at(some, xml, 0.3),
        "posterior, p* = 1/6": lambda some: _at(some, xml, 1 / 6),
        "posterior and thresholds by effort": lambda some: postprocessor_of(xml, learned(some, xml)),
    }
    every: dict[int, dict[str, list[Counts]]] = {}
    for count in counts:
        found = every[count] = defaultdict(list)
        for split in range(SPLITS):
            order = shuffle(annotations, split)
            corrected = until(order[:HELD_BACK], count)
            for name, rule in rules.items():
                found[name].append(counts_of(order[HELD_BACK:], rule(corrected)))
        for name, rows in found.items():
            recall = spread([right / drawn for _, right, drawn in rows])
            precise = [right / shown for shown, right, _ in rows if shown]
            print(f"| {count} | {name} | {recall} | {spread(precise) if precise else 'nothing is shown'} |", flush=True)

    return every


def draw(found: Mapping[int, Mapping[str, Sequence[Counts]]], path: Path) -> None:
    """Draw recall and precision of invented labels over the number of corrected boxes: the mean of the orders, and the middle half."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    counts = sorted(found)
    titles = ("objects that get a right box (recall)", "boxes that are right (precision)")
    for place, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        for (name, words), color in zip(DRAWN.items(), ("#1b8a3d", "#999999"), strict=True):
            rows = [found[count][name] for count in counts]
            shares = [
                [100 * right / (shown if place else drawn) for shown, right, drawn in row if shown or not place]
                for row in rows
            ]
            known = [each for each, values in enumerate(shares) if len(values) > SPLITS / 2]
            low, mean, high = (
                [float(figure_of(shares[each])) for each in known]
                for figure_of in (lambda v: np.quantile(v, 0.25), np.mean, lambda v: np.quantile(v, 0.75))
            )
            x = [counts[each] for each in known]
            axis.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
            axis.plot(x, mean, "o-", color=color, label=words)
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_xscale("log")
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.minorticks_off()
        axis.set_ylim(0, 100)
        axis.yaxis.set_major_formatter("{x:.0f} %")
        axis.set_xlabel("corrected boxes")
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, loc="upper left", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _at(corrected: list[Annotation], xml: str, p: float) -> Postprocessor:
    """Return the postprocessor that shows boxes whose score times the probability of their label reaches a value."""
    stated = xml.replace('toName="image">', f'toName="image" model_score_threshold="{p}">')
    return postprocessor_of(stated, learned(corrected, stated))


def effort(raw: Mapping[str, Detections]) -> None:
    """Print seconds a picture after 20 corrected pictures."""
    print(f"\n### Seconds a picture, 20 corrected pictures, {SPLITS} orders\n")
    print("| labels | scores | drawing | no boxes | fixed 0.3 | precision 0.9 (former) | by effort | better than 0.3 |")
    print("|---|---|---|---|---|---|---|---|")
    sets = {"5": (config(), rolled_up()), "80": (COCO_CONFIG.read_text(), None)}
    for name, (xml, labels) in sets.items():
        for scores, distort in DISTORTIONS.items():
            annotations = annotations_of(raw, labels, distort)
            for drawing, seconds in (("central", CENTRAL), ("slow", SLOW)):
                _print_effort(f"| {name} | {scores} | {drawing}", annotations, xml, seconds)


def _print_effort(head: str, annotations: list[Annotation], xml: str, seconds: EditSeconds) -> None:
    rows = []
    for split in range(SPLITS):
        order = shuffle(annotations, split)
        corrected, others = order[:20], order[HELD_BACK:]
        used = [
            postprocessor_of(xml, threshold=1.01),
            postprocessor_of(xml),
            postprocessor_of(xml, replace(learned(corrected, xml, seconds, 0.9), classes=())),
            postprocessor_of(xml, learned(corrected, xml, seconds)),
        ]
        rows.append([statistics.mean(seconds_of(each, one, seconds) for each in others) for one in used])
    columns = [spread(column, 1) for column in zip(*rows, strict=True)]
    better = sum(row[3] < row[1] for row in rows)
    print(f"{head} | {' | '.join(columns)} | {better} of {SPLITS} |", flush=True)


def nothing_wrong(raw: Mapping[str, Detections]) -> None:
    """Print the largest share of right boxes that a label loses where people submit what they are shown."""
    xml = config()
    own = postprocessor_of(xml)
    annotations = []
    for each in annotations_of(raw, rolled_up()):
        detections = each.images[0].detections
        ((_, _, _, decisions),) = own.explain({SOURCE: [ModelResults(detections)]})
        kept = [one for one in decisions if one.kind == "kept"]
        drawn = tuple(LabelledBox("label", 0, one.label, tuple(detections.boxes[one.row].tolist())) for one in kept)
        annotations.append(replace(each, drawn=drawn, drawable={"label": LABELS}))
    worst = []
    for split in range(SPLITS):
        order = shuffle(annotations, split)
        after = postprocessor_of(xml, learned(order[:HELD_BACK], xml))
        stats = gather(order[HELD_BACK:], after)
        recalls = [stats.of(where).recall(threshold_in(after, where)).value for where in labels_of(after)]
        worst.append(1 - min(each for each in recalls if each is not None))
    print(f"\n### Labels of the detector's own, {HELD_BACK} corrected pictures, nothing wrong\n")
    print(f"right boxes that the worst label loses, {SPLITS} orders: {spread([100 * each for each in worst], 1)} %")


def second_looks(
    raw: Mapping[str, Detections],
) -> dict[str, tuple[Callable[[LabelOverrides], Postprocessor], list[Annotation]]]:
    """Return the sets of labels for the list of candidates: a function from overrides to the postprocessor, and annotations without errors."""
    return {
        "5": (partial(postprocessor_of, config()), annotations_of(raw, rolled_up())),
        "80": (partial(postprocessor_of, COCO_CONFIG.read_text()), annotations_of(raw, None)),
    }


def cost(raw: Mapping[str, Detections]) -> None:
    """Print the time and the memory of a calibration of many annotations, which repeat the photographs."""
    annotations = annotations_of(raw, rolled_up())

    def load() -> Iterator[Annotation]:
        return (annotations[number % len(annotations)] for number in range(MANY))

    started = time.perf_counter()
    propose(load, config(), NO_OVERRIDES, score_threshold=THRESHOLD, targets=lambda _: None)
    took = time.perf_counter() - started
    print(f"\n### Calibration of {MANY:,} made-up annotations\n\n{took:.0f} s", flush=True)
    tracemalloc.start()
    some = MANY // 10

    def load_some() -> Iterator[Annotation]:
        return (annotations[number % len(annotations)] for number in range(some))

    propose(load_some, config(), NO_OVERRIDES, score_threshold=THRESHOLD, targets=lambda _: None)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    print(f"{peak:.0f} MB at {some:,} annotations, so about {peak * MANY / some:.0f} MB")


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--plot", type=Path, help="draw the recall and precision of invented labels there")
    given = options.parse_args()
    if not MODEL.exists():
        print(f"{MODEL} is needed")
        return
    detector = load_detector(str(MODEL))
    cost_of_colours(detector)
    raw = asyncio.run(detected(detector))
    split_labels(raw)
    found = invented(raw, INVENTED, (5, 10, 20, 50, 100, 200))
    if given.plot:
        draw(found, given.plot)
    invented(raw, UNION, (20, 100))
    effort(raw)
    nothing_wrong(raw)
    wrong_labels(second_looks(raw))
    cost(raw)


if __name__ == "__main__":
    main()
