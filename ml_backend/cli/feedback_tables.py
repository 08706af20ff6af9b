"""The tables of ``prelabel report`` and ``prelabel calibrate``, which fit into 80 columns."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from ml_backend.cli.common import complain, out
from ml_backend.feedback.evaluation.annotators import AnnotatorFigures
from ml_backend.feedback.evaluation.choice_outcomes import CHOICE_OUTCOMES, ChoiceOutcomes
from ml_backend.feedback.evaluation.outcomes import DRAWN_OUTCOMES, SHOWN_OUTCOMES
from ml_backend.feedback.evaluation.report import Report
from ml_backend.feedback.evaluation.statistics import Share
from ml_backend.feedback.evaluation.tallies import Outcomes
from ml_backend.feedback.evaluation.threshold_stats import MIN_BOXES
from ml_backend.feedback.learning.calibration import CHOICES_ONLY, Proposal
from ml_backend.feedback.learning.class_labels import ClassLabel
from ml_backend.feedback.learning.project_calibration import CalibrationResult
from ml_backend.feedback.store.trainings import Training

WORST = 5  # listed tasks, and pairs of choices
CHOICES = 12  # of one control, in its table
CLASSES = 20  # in the table of classes


def print_report(report: Report) -> None:
    """Print outcomes by label, by model version and by choice, and sentences on their basis."""
    if report.has_boxes:
        _print_boxes(report)
    if report.choices:
        _print_choices(report)
    for sentence in _sentences(report):
        out.print(sentence, highlight=False, markup=False)
    for why, count in report.left_out.items():
        complain(f"{count} annotations are left out: {why}", style="yellow")
    out.print(report.basis(), highlight=False, markup=False)
    for each in report.worst[:WORST]:
        edits = ", ".join(f"{count} {kind}" for kind, count in each.edits.items() if count)
        out.print(
            f"most edits: task {each.task} ({edits}) {each.url}".rstrip(), highlight=False, markup=False, soft_wrap=True
        )


def _print_boxes(report: Report) -> None:
    several = len({where.control for where in report.labels}) > 1
    labels = {
        (where.label or "(no label)") + (f" [{where.control}]" if several else ""): each
        for where, each in report.labels.items()
    }
    rows = [*labels.items(), ("All", report.total)]
    out.print(table("Shown boxes, by label", ["Label", "Shown", *SHOWN_OUTCOMES, "right"], map(_shown, rows)))
    out.print(table("Drawn boxes, by label", ["Label", "Drawn", *DRAWN_OUTCOMES, "had been\nshown"], map(_drawn, rows)))
    versions = [(name or "(unknown)", each) for name, each in report.versions.items()]
    if versions:
        heads = ["Model version", "Shown", "right", "Drawn", "had been\nshown"]
        out.print(table("By model version", heads, map(_both, versions)))
    if report.annotators:
        _print_annotators(report.annotators)


def _print_annotators(annotators: Sequence[AnnotatorFigures]) -> None:
    counts = [
        [
            escape(each.name),
            str(each.annotations),
            str(each.shown.total()),
            *(str(each.shown[name]) for name in SHOWN_OUTCOMES),
            str(each.drawn),
        ]
        for each in annotators
    ]
    heads = ["Annotator", "Annotations", "Shown", *SHOWN_OUTCOMES, "drawn"]
    out.print(table("Boxes, by annotator", heads, counts))
    rows = []
    for each in annotators:
        seconds, agreement, excess = each.median_seconds, each.agreement.to_json(), each.excess.to_json()
        rows.append(
            [
                escape(each.name),
                "-" if seconds is None else f"{seconds:.1f} ({len(each.seconds_a_box)})",
                _interval(agreement["f1"], agreement["low"], agreement["high"]),
                str(agreement["tasks"]),
                _interval(excess["value"], excess["low"], excess["high"], sign="+"),
            ]
        )
    heads = ["Annotator", "s a box", "agrees with\nothers (F1)", "on tasks", "kept too\noften"]
    out.print(table("Time and agreement, by annotator", heads, rows))


def _print_choices(report: Report) -> None:
    rows = [
        [
            escape(control),
            str(each.shown),
            *(str(each.outcomes[name]) for name in CHOICE_OUTCOMES),
            _percent(each.accuracy),
        ]
        for control, each in report.choices.items()
    ]
    heads = ["Control", "Shown", *CHOICE_OUTCOMES, "kept, of\nshown"]
    out.print(table("Choices, by control", heads, rows))
    for control, each in report.choices.items():
        if each.shown:
            _print_control(control, each)


def _print_control(control: str, choices: ChoiceOutcomes) -> None:
    found = [
        [escape(name), str(precision.total), _percent(precision), str(recall.total), _percent(recall)]
        for name, (precision, recall) in choices.by_choice().items()
        if precision.total or recall.total
    ]
    heads = ["Choice", "Shown", "right", "Submitted", "had been\nshown"]
    out.print(table(f"Choices of {escape(control)}", heads, found[:CHOICES]))
    if len(found) > CHOICES:
        out.print(f"and {len(found) - CHOICES} more choices: --json has all of them", highlight=False)
    unseen = choices.accuracy_unseen
    if unseen.total:
        seen = _percent(choices.accuracy)
        out.print(
            f"kept by annotators who saw the choices: {seen}; the same from those who did not: {_percent(unseen)}",
            highlight=False,
        )
    pairs = [
        f"{shown or '(nothing)'} -> {submitted or '(nothing)'} {count}"
        for shown, submitted, count in choices.confusions()[:WORST]
    ]
    if pairs:
        out.print(f"most changes: {', '.join(pairs)}", highlight=False, markup=False, soft_wrap=True)


def _sentences(report: Report) -> Iterable[str]:
    seen = report.seen
    if seen.annotations:
        edits = seen.edits.total() / seen.annotations
        yield f"{edits:.1f} edits per image, {report.annotations} annotations, {report.skipped} skipped"
    if report.accepted:
        yield report.acceptance()
    if report.unseen.annotations and report.has_boxes:
        (now, _), (then, _) = report.group(saw_predictions=False), report.group(saw_predictions=True)
        yield f"right, from annotators who saw no boxes: {_percent(now)}; who saw boxes: {_percent(then)}"
    if report.twice:
        yield f"{report.twice} tasks have more than one annotation; all of them count"


def _shown(row: tuple[str, Outcomes]) -> list[str]:
    name, outcomes = row
    counts = [outcomes.shown.total(), *(outcomes.shown[each] for each in SHOWN_OUTCOMES)]
    return [_name(name, outcomes), *map(str, counts), _percent(outcomes.precision)]


def _drawn(row: tuple[str, Outcomes]) -> list[str]:
    name, outcomes = row
    counts = [outcomes.drawn.total(), *(outcomes.drawn[each] for each in DRAWN_OUTCOMES)]
    return [escape(name), *map(str, counts), _percent(outcomes.recall)]


def _both(row: tuple[str, Outcomes]) -> list[str]:
    name, outcomes = row
    shown, drawn = str(outcomes.shown.total()), str(outcomes.drawn.total())
    return [_name(name, outcomes), shown, _percent(outcomes.precision), drawn, _percent(outcomes.recall)]


def _name(name: str, outcomes: Outcomes) -> str:
    return escape(name) + (" (small)" if outcomes.shown.total() < MIN_BOXES else "")


def print_proposal(proposal: Proposal) -> None:
    """Print the changes of a proposal: labels of classes, thresholds, and the boxes lost and spared."""
    if not proposal.labels:
        out.print(CHOICES_ONLY, highlight=False)
        return
    _print_classes(proposal, proposal.corrected)
    rows = []
    for label in proposal.labels:
        before, after = label.precision_before, label.precision_after
        rows.append(
            [escape(label.where.label), f"{label.threshold_before:.2f}", str(before.total), _percent(before), "", ""]
        )
        if label.threshold_after != label.threshold_before or before != after:
            spared, lost = str(label.wrong_spared), str(label.right_lost)
            rows.append(["  would be", f"{label.threshold_after:.2f}", str(after.total), _percent(after), spared, lost])
    heads = ["Label", "Threshold", "Shown", "Right", "Wrong spared", "Right lost"]
    out.print(table(f"Thresholds, from {proposal.annotations} annotations", heads, rows))
    for reason, names in _by_reason(proposal).items():
        keep = "keeps its threshold" if len(names) == 1 else "keep their thresholds"
        out.print(f"{', '.join(names)} {keep}: {reason}", highlight=False, markup=False)
    _print_effort(proposal)


def print_learning(last: Training | None, result: CalibrationResult) -> None:
    """Print learned labels of classes, the last training, and the changes that the next one would make."""
    _print_classes(result.proposal, [each for each in result.proposal.corrected if each.learned or each.changes])
    if last is not None:
        told = f"last training: {last.at}, by {last.author}: {last.outcome}; {last.message}"
        out.print(told, highlight=False, markup=False, soft_wrap=True)
    if result.proposal.anything:
        expected = f", expected {result.proposal.effort.in_all}" if result.proposal.effort.in_all else ""
        told = f"calibrate --apply or Start Training would change{expected}: {result.summary()}"
        out.print(told, highlight=False, markup=False, soft_wrap=True)


def _by_reason(proposal: Proposal) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for label in proposal.labels:
        if label.reason:
            found.setdefault(label.reason, []).append(label.where.label)
    return found


def _print_classes(proposal: Proposal, seen: Sequence[ClassLabel]) -> None:
    """Print the labels of some classes, and a sentence on those that nobody corrected."""
    rows = []
    for each in seen[:CLASSES]:
        label = f"{each.before or '-'} -> {each.after}" if each.changes else each.after
        boxes = ", ".join(
            f"{weight:.0f} {name or 'of nobody'}" for name, weight in each.evidence.items() if weight >= 0.5
        )
        change = "by the box" if each.split else f"{each.boxes_to_change} of another"
        rows.append(
            [escape(each.class_name), escape(label), escape(boxes or "few"), f"{100 * each.highest:.0f} %", change]
        )
    if rows:
        heads = ["Class", "Label", "Boxes", "Probability", "Changes after"]
        out.print(table("Labels that people give to classes", heads, rows, texts=3))
    if any(each.split for each in seen):
        out.print(
            "a class with several labels: size, place and colours of each box say which of them it gets",
            highlight=False,
        )
    if len(seen) > CLASSES:
        out.print(f"and {len(seen) - CLASSES} more classes: --json has all of them", highlight=False)
    relatives = len(proposal.classes) - len(proposal.corrected)
    if relatives:
        out.print(f"{relatives} classes that nobody corrected have the label of their relatives", highlight=False)


def _print_effort(proposal: Proposal) -> None:
    """Print the seconds a picture now and then, and what a target precision costs."""
    effort = proposal.effort
    if not effort.pictures:
        return
    seconds = ", ".join(f"{name} {value:.3g}" for name, value in effort.seconds.to_json().items())
    expected = ""
    if proposal.anything and effort.in_all is not None:
        expected = f"; expected on other pictures: {effort.in_all}"
    out.print(
        f"effort: {effort.before:.1f} s a picture now, {effort.after:.1f} s then{expected} ({seconds})",
        highlight=False,
        markup=False,
    )
    cost = effort.after - effort.by_effort
    if any(label.target is not None for label in proposal.labels) and cost > 0:
        complain(
            f"the target precision costs {cost:.1f} s a picture: without one, thresholds are set by effort "
            f"({effort.by_effort:.1f} s a picture)",
            style="yellow",
        )


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> Table:
    """Return a table; its first columns are texts that may wrap, the others figures that do not."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, head in enumerate(heads):
        if place < texts:
            table.add_column(head, overflow="fold")
        else:
            table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _percent(share: Share) -> str:
    return _interval(share.value, *share.interval)


def _interval(value: float | None, low: float, high: float, sign: str = "") -> str:
    """Return a share or a difference with its interval, in percent; ``+`` shows the sign of both."""
    if value is None:
        return "-"
    to = " to " if sign else "-"
    return f"{100 * value:{sign}.0f} % ({100 * low:{sign}.0f}{to}{100 * high:{sign}.0f})"
