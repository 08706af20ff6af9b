"""The table of a benchmark: one figure a line, with its spread, its target, and whether it was reached; and the picture of it."""

import json
import operator
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

REACHED, MISSED = "#2a6f97", "#c0392b"  # colours
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


class Target(NamedTuple):
    """The bound of a figure."""

    kind: Literal["at least", "at most", "below"]
    bound: float

    def reached_by(self, figure: float) -> bool:
        """Tell whether a figure is within the bound."""
        compare: dict[str, Callable[[float, float], bool]] = {
            "at least": operator.ge,
            "at most": operator.le,
            "below": operator.lt,
        }
        return compare[self.kind](figure, self.bound)


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        scene: the name of the figure.
        figures: one for each round.
        target: None for a figure that is reported only.
        unit: empty for a ratio, which the picture shows.
        note: the times behind a ratio.
        digits: of the printed figures after the point.
    """

    scene: str
    figures: list[float]
    target: Target | None = None
    unit: str = ""
    note: str = ""
    digits: int = 2

    @property
    def median(self) -> float:
        """The median of all rounds, which is compared with the target."""
        return statistics.median(self.figures)

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None without a target."""
        return None if self.target is None else self.target.reached_by(self.median)

    def __str__(self) -> str:
        target = "" if self.target is None else f"{self.target.kind} {self.target.bound:g} {self.unit}".rstrip()
        figure = f"{spread(self.figures, self.digits)} {self.unit}".rstrip()
        reached = {None: "", True: "yes", False: "no"}[self.reached]
        return f"| {self.scene} | {target} | {figure} | {reached} | {self.note} |"


@dataclass
class Table:
    """Lines, printed as they come, in Markdown."""

    lines: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        """Print a line and keep it."""
        if not self.lines:
            print("| scene | target | measured | reached | |\n|---|---|---|---|---|")
        self.lines.append(line)
        print(line, flush=True)

    def save(self, path: Path) -> None:
        """Write the lines as JSON."""
        path.write_text(json.dumps([asdict(line) for line in self.lines], indent=1))


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a file that :meth:`Table.save` has written."""
    lines = json.loads(path.read_text())
    return [Line(**each | {"target": Target(*each["target"]) if each["target"] else None}) for each in lines]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return the median with the smallest and the largest value; or the only value."""
    middle, low, high = (f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def plot(lines: Sequence[Line], path: Path) -> None:
    """Draw the ratios with their spread and their targets: those with a lower bound above those with an upper one."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    bounded = [(line, line.target) for line in lines if line.target is not None and not line.unit]
    least = [each for each in bounded if each[1].kind == "at least"]
    panels = {"higher is better": least, "lower is better": [each for each in bounded if each not in least]}
    heights = [max(1, len(panel)) for panel in panels.values()]
    size = (9, 1.6 + 0.36 * sum(heights))
    figure, axes = plt.subplots(2, figsize=size, height_ratios=heights, layout="constrained")
    for (title, panel), axis in zip(panels.items(), axes, strict=True):
        for place, (line, target) in enumerate(reversed(panel)):
            color = REACHED if line.reached else MISSED
            ends = [min(line.figures), max(line.figures)]
            axis.plot(ends, [place, place], color=color, linewidth=3, alpha=0.35)
            axis.plot(line.median, place, "o", color=color)
            axis.plot(target.bound, place, "|", color="black", markersize=14, markeredgewidth=2)
            above = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center", "size": 8, "color": color}
            axis.annotate(f"{line.median:.{line.digits}f}", (line.median, place), **above)
        axis.set_yticks(range(len(panel)), [line.scene for line, _ in reversed(panel)])
        axis.set_ylim(-0.6, heights[0 if panel is least else 1] - 0.4)
        axis.set_xscale("log")
        axis.set_title(title, loc="left", fontsize=10)
        shown = [value for line, target in panel for value in (*line.figures, target.bound)] or [1.0]
        axis.set_xlim(min(shown) / 1.3, max(shown) * 1.6)
        ticks = [tick for tick in TICKS if min(shown) / 1.3 <= tick <= max(shown) * 1.6]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    legend = [
        Line2D([], [], marker="o", color=REACHED, label="median, smallest to largest: target reached"),
        Line2D([], [], marker="o", color=MISSED, label="not reached"),
        Line2D([], [], marker="|", linestyle="", color="black", markersize=12, markeredgewidth=2, label="target"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)
