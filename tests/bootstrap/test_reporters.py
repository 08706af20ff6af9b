import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bootstrap_jobs import PAIR_CONFIG, Seen, balloon, chances, classified, look, looked_at, nothing
from rich.console import Console
from samples import BALLOON_CONFIG, detections_of

from ml_backend.bootstrap import reporters as progress
from ml_backend.bootstrap.checkpoint import Counts
from ml_backend.bootstrap.items import Failure, Outcome
from ml_backend.bootstrap.reporters import Lines, Quiet, Watched
from ml_backend.bootstrap.survey import Surveyed
from ml_backend.bootstrap.tally import Tally
from ml_backend.model_results import ModelKind, ModelResults
from ml_backend.pipeline.image_results import ImageResult
from ml_backend.pipeline.image_work import Cost
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.served_controls import KnownClasses
from ml_backend.vocabularies.imagenet import imagenet_classes

GONE = Outcome(9, {}, Failure("gone", "image_not_fetched"))
KITES = {
    "image": [
        detections_of(*[("Kite", 0.9, (0.1 * n, 0, 0.1 * n + 0.05, 1)) for n in range(3)], ("Kite", 0.1, (0, 0, 1, 1)))
    ]
}
KNOWN = ImageResult("0" * 64)
COUNTS = Counts(pending=2, done=1_234, failed=1, left=3)
OUTCOMES = [
    Outcome(1, {"image": [ImageResult("1" * 64, looked_at(KITES)["image"][0].detections, computed=True)]}),
    Outcome(2, looked_at(balloon())),
    Outcome(3, {"image": [KNOWN]}),
    GONE,
]


def tally_of(config: str = BALLOON_CONFIG) -> Tally:
    """Return an empty tally."""
    return Tally(Postprocessor.from_label_config(config, score_threshold=0.3))


def whole_run(reporter: Quiet) -> None:
    """Report everything that can be reported."""
    reporter.surveyed(Counts(pending=5, done=1_000, failed=0, left=3), Surveyed(2, missing=7))
    reporter.note("a [label] that nobody knows")
    with reporter.examining(5):
        reporter.examined(OUTCOMES)
    reporter.wrote("9 tasks in tasks.json")
    reporter.estimated(1_009, Path("sheet.jpg"))
    reporter.ended(COUNTS, "1 failed, as failures.csv says")


@pytest.mark.parametrize(
    ("config", "labels"),
    [(BALLOON_CONFIG, {"Kite": 3, "Balloon": 1}), (PAIR_CONFIG, {"Kite": 3, "Balloon": 1})],
    ids=["RectangleLabels", "Rectangle and Labels: two regions, one box"],
)
def test_tally(config: str, labels: dict[str, int]) -> None:
    """Counts items, pictures, runs of the detector and boxes over the threshold; most frequent label first."""
    tally = tally_of(config)
    tally.add(OUTCOMES[:2])
    tally.add(OUTCOMES[2:])
    facts = tally.figures()
    seconds, rate = facts.pop("seconds"), facts.pop("per_second")
    assert (seconds >= 0, rate > 0) == (True, True)
    assert facts == {"items": 4, "failed": 1, "pictures": 3, "known": 2, "labels": labels}
    assert list(facts["labels"]) == list(labels)


def test_tally_of_nothing() -> None:
    """Divides by nothing that is zero, and takes the time of the looking alone."""
    tally = tally_of()
    assert tally.rate > 0
    tally.stop()
    before = tally.seconds
    assert tally.seconds == before
    assert json.dumps(tally.figures())


def test_pages_are_counted_under_their_own_key() -> None:
    """An item can have several pictures, here of a label config with two of them."""
    config = (
        '<View><Image name="one" value="$one"/><RectangleLabels name="a" toName="one"><Label value="Balloon"/></RectangleLabels>'
        '<Image name="two" value="$two"/><RectangleLabels name="b" toName="two"><Label value="Kite"/></RectangleLabels></View>'
    )
    tally = tally_of(config)
    (seen,) = balloon()["image"]
    tally.add([Outcome(1, {"one": [look(seen)], "two": [look(seen)]})])
    assert (tally.images, dict(tally.labels)) == (2, {"Balloon": 1})


def choices_tally(controls: str, image: str = '<Image name="image" value="$image"/>') -> Tally:
    """Return an empty tally of a label config with choices, under a classifier of ImageNet."""
    classes: KnownClasses = {"detector": None, "classifier": imagenet_classes()}
    config = f"<View>{image}{controls}</View>"
    return Tally(Postprocessor.from_label_config(config, score_threshold=0.3, classes=classes))


CHOICE = '<Choice value="Balloon"/><Choice value="Umbrella"/></Choices>'
WHAT = f'<Choices name="what" toName="image">{CHOICE}'
MORE = f'<Choices name="more" toName="image" choice="multiple">{CHOICE}'
LABELS = '<RectangleLabels name="label" toName="image"><Label value="Balloon"/></RectangleLabels>'
(BALLOON,) = balloon()["image"]


@pytest.mark.parametrize(
    ("controls", "seen", "labels", "why"),
    [
        (WHAT, classified(balloon=0.5, umbrella=0.4), {"Balloon": 1}, "one choice holds"),
        (MORE, classified(balloon=0.5, umbrella=0.4), {"Balloon": 1, "Umbrella": 1}, "both hold"),
        (WHAT, classified(balloon=0.2), {}, "below the threshold"),
        (
            WHAT + LABELS,
            ModelResults(BALLOON, chances(balloon=0.5)),
            {"Balloon": 1, "what: Balloon": 1},
            "a box and a choice of one name are two things",
        ),
        (WHAT + MORE, classified(balloon=0.5), {"what: Balloon": 1, "more: Balloon": 1}, "and so are two controls"),
        (WHAT + LABELS, classified(umbrella=0.5), {"Umbrella": 1}, "the boxes were known before"),
        (WHAT + LABELS, BALLOON, {"Balloon": 1}, "the choices were known before"),
    ],
)
def test_tally_of_choices(controls: str, seen: Seen, labels: dict[str, int], why: str) -> None:
    """Counts the pictures of each choice, beside the boxes of each label; of what is new."""
    tally = choices_tally(controls)
    tally.add([Outcome(1, {"image": [look(seen)]}), Outcome(2, {"image": [KNOWN]}), GONE])
    assert tally.labels == labels, why


def test_tally_of_lists() -> None:
    """Pages that are classified together count once, if all of them are new; with perItem each new one counts."""
    tally = choices_tally(
        WHAT + MORE.replace('choice="multiple"', 'perItem="true"'), '<Image name="image" valueList="$pages"/>'
    )
    pages = [look(classified(balloon=0.9)), look(classified(umbrella=0.9)), look(classified(balloon=0.9))]
    tally.add([Outcome(1, {"pages": pages})])
    assert tally.labels == {"what: Balloon": 1, "more: Balloon": 2, "more: Umbrella": 1}
    tally.add([Outcome(2, {"pages": [KNOWN, pages[1]]}), Outcome(3, {"pages": []})])
    assert tally.labels == {"what: Balloon": 1, "more: Balloon": 2, "more: Umbrella": 2}


def tiled_outcome(tiles: int) -> Outcome:
    """Return the outcome of an image with one balloon that is seen in the whole image, and others that are seen in tiles only."""
    found = replace(
        detections_of(*[("Balloon", 0.8, (0.1 * n, 0, 0.1 * n + 0.05, 0.1)) for n in range(tiles)]),
        views=("tiles2 1.1",) * tiles,
    )
    costs: dict[ModelKind, Cost] = {"detector": Cost(1, 0.05), "tiles2": Cost(4, 0.15)}
    return Outcome(
        1, {"image": [replace(look(BALLOON), tiles={"tiles2": found.to_bytes()}, costs=costs, computed=True)]}
    )


def test_dry_run_compares_tiles_with_whole_images(capsys: pytest.CaptureFixture[str]) -> None:
    """Side by side: the boxes of each label, the runs of the model, and the seconds, for people and for scripts."""
    config = BALLOON_CONFIG.replace('name="label"', 'name="label" model_tiles="2"')
    console = Console(record=True, width=200, file=io.StringIO())
    for reporter in (Watched(tally_of(config), console), Lines(tally_of(config))):
        with reporter.examining(2):
            reporter.examined([tiled_outcome(3), tiled_outcome(1)])
        reporter.estimated(9, Path("sheet.jpg"))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()]
    assert ["Balloon", "2", "6"] in lines
    assert ["model runs an image", "1.0", "5.0"] in lines
    assert ["seconds of a worker an image", "0.050", "0.200"] in lines
    (*_, told) = map(json.loads, capsys.readouterr().out.splitlines())
    assert told["views"] == {
        "whole": {"labels": {"Balloon": 2}, "runs": 1, "seconds": 0.05},
        "with_tiles": {"labels": {"Balloon": 6}, "runs": 5, "seconds": 0.2},
    }


def test_tally_counts_images_with_all_their_views() -> None:
    """An image whose tiles alone are new has no full count, and counts for none."""
    tally = tally_of(BALLOON_CONFIG.replace('name="label"', 'name="label" model_tiles="2"'))
    ((image,),) = tiled_outcome(2).images.values()
    tally.add([Outcome(1, {"image": [replace(image, detections=b"")]})])
    assert (tally.labels, tally.computed) == ({}, 1)


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Each an object that says which event it is, on standard output; nothing else is there."""
    whole_run(Lines(tally_of()))
    printed = capsys.readouterr()
    assert printed.err == ""
    events: list[dict[str, Any]] = [json.loads(line) for line in printed.out.splitlines()]
    assert [each["event"] for each in events] == ["surveyed", "note", "progress", "wrote", "estimated", "ended"]
    by_name = {each.pop("event"): each for each in events}
    source = {"repeated": 2, "missing": 7, "left_out": 0}
    assert by_name["surveyed"] == {"pending": 5, "done": 1_000, "failed": 0, "left": 3} | source
    assert by_name["note"] == {"text": "a [label] that nobody knows"}
    assert by_name["wrote"] == {"text": "9 tasks in tasks.json"}
    assert by_name["progress"] | {"items": 4, "failed": 1, "known": 2, "pending": 1} == by_name["progress"]
    assert by_name["progress"]["labels"] == {"Kite": 3, "Balloon": 1}
    assert by_name["estimated"]["sheet"] == "sheet.jpg"
    assert by_name["estimated"]["pending"] == 1_009
    assert by_name["ended"]["total"] == {"pending": 2, "done": 1_234, "failed": 1, "left": 3}
    assert by_name["ended"]["advice"] == "1 failed, as failures.csv says"
    assert all(isinstance(by_name[name]["eta"], int) for name in ("progress", "estimated"))


def test_progress_is_told_once_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    """However often something is done; all of it is counted."""
    reporter = Lines(tally_of())
    with reporter.examining(100):
        for _ in range(100):
            reporter.examined([GONE])
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert reporter.tally.failed == 100


def test_progress_is_told_again(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """When the second is over."""
    monkeypatch.setattr(progress, "EVERY", 0)
    reporter = Lines(tally_of())
    with reporter.examining(3):
        for _ in range(3):
            reporter.examined([GONE])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["items"], each["pending"]) for each in told] == [(1, 2), (2, 1), (3, 0)]


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing at all, and yet all is counted."""
    reporter = Quiet(tally_of())
    whole_run(reporter)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert reporter.tally.items == 4


def watched(*, terminal: bool = False, config: str = BALLOON_CONFIG) -> tuple[Watched, io.StringIO]:
    """Return what people watch, and what is written."""
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=100, _environ={"TERM": "xterm"} if terminal else {})
    return Watched(tally_of(config), console), written


@pytest.mark.parametrize("terminal", [False, True])
def test_what_people_read(terminal: bool) -> None:
    """Sentences: what is in the source, what was written, what was found, what is still to be done, and what to do."""
    reporter, written = watched(terminal=terminal)
    whole_run(reporter)
    text = written.getvalue()
    for words in (
        "1,001 in the source, 1,000 done before, 3 skipped, 2 named more than once (counted once), ",
        ", 7 missing from the source, still in the outputs (--leave-out-missing removes them)\n",
        "a [label] that nobody knows\n",
        "9 tasks in tasks.json\n",
        "Kite 3, Balloon 1\n",
        "4 examined in ",
        "all 1,009 would take about ",
        "drawn on sheet.jpg\n",
        "models ran on 1 images",
        "2 are still pending\n",
        "1 failed, as failures.csv says\n",
    ):
        assert words in text
    assert "4/5" in text or not terminal


def test_nothing_to_do() -> None:
    """No bar, no figures about nothing."""
    reporter, written = watched()
    reporter.surveyed(Counts(pending=0, done=3, failed=0, left=0), Surveyed())
    with reporter.examining(0):
        pass
    reporter.ended(Counts(pending=0, done=3, failed=0, left=0), "")
    assert written.getvalue() == "3 in the source, 3 done before\n"


def test_left_out() -> None:
    """What was taken out is in no other figure."""
    reporter, written = watched()
    reporter.surveyed(Counts(pending=0, done=3, failed=0, left=0), Surveyed(left_out=2))
    assert written.getvalue() == "3 in the source, 3 done before, 2 missing from the source, removed from the outputs\n"


def test_nothing_found() -> None:
    """It is said."""
    reporter, written = watched()
    with reporter.examining(1):
        reporter.examined([Outcome(1, looked_at(nothing()))])
    reporter.ended(Counts(pending=0, done=1, failed=0, left=0), "")
    assert "found: nothing\n" in written.getvalue()


@pytest.mark.parametrize("label", ["[/x]", "[red]"])
def test_brackets_in_labels_are_text(label: str) -> None:
    """They mean something to the library that draws the bar."""
    reporter, written = watched(
        terminal=True, config=BALLOON_CONFIG.replace('"Balloon"', f'"{label}" predicted_values="Balloon"')
    )
    with reporter.examining(1):
        reporter.examined([Outcome(1, looked_at(balloon()))])
    assert f"{label} 1" in written.getvalue()


def test_colons_in_names_are_text() -> None:
    """A file may be called like that."""
    reporter, written = watched()
    reporter.wrote("9 tasks in a:apple:b.json")
    assert written.getvalue() == "9 tasks in a:apple:b.json\n"


@pytest.mark.parametrize(
    ("items", "total", "text"), [(100, 100, "10 s"), (100, 10_000, "17 min"), (100, 1_000_000, "27.8 h")]
)
def test_estimate(monkeypatch: pytest.MonkeyPatch, items: int, total: int, text: str) -> None:
    """In the unit that people would take."""
    monkeypatch.setattr(Tally, "seconds", 10.0)
    reporter, written = watched()
    with reporter.examining(items):
        reporter.examined([GONE] * items)
    reporter.estimated(total, Path("sheet.jpg"))
    assert f"all {total:,} would take about {text}\n" in written.getvalue()
