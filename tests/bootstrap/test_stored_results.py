"""Done is what the present label config needs; what another one needed is kept."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from bootstrap_jobs import NEEDS, Seen, balloon, chances, classified, item, look, looked_at, nothing

from ml_backend.bootstrap.checkpoint import Checkpoint, Counts
from ml_backend.bootstrap.items import Failure, Item, Needs, Outcome
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.model_results import ModelKind, ModelResults

IMAGE, BACK = ImageField("image", is_list=False), ImageField("back", is_list=False)
BOTH: Needs = {IMAGE: ["detector", "classifier"]}
CHOICES: Needs = {IMAGE: ["classifier"]}
GONE = Failure("not there", "image_not_fetched")
(BALLOON,) = balloon()["image"]
SEEN: dict[str, Seen] = {
    "detector": BALLOON,
    "classifier": classified(balloon=0.9),
    "both": ModelResults(BALLOON, chances(balloon=0.9)),
}


def done_with(checkpoint: Checkpoint, seen: str, *keys: str) -> None:
    """Let a checkpoint have one item, done by some models."""
    checkpoint.survey([item("a", stamp="1")], sort=False)
    checkpoint.record([Outcome(1, {key: [look(SEEN[seen])] for key in keys or ["image"]})])


def names(checkpoint: Checkpoint) -> tuple[list[str], list[str]]:
    """Return what is pending, and what outputs get."""
    return [each.key.decode() for each in checkpoint.pending()], [each.key.decode() for each, _ in checkpoint.done()]


@pytest.mark.parametrize(
    ("seen", "needs", "is_done", "why"),
    [
        ("detector", NEEDS, True, "the same label config"),
        ("detector", BOTH, False, "choices were added"),
        ("detector", CHOICES, False, "choices took the place of boxes"),
        ("classifier", BOTH, False, "boxes were added"),
        ("classifier", NEEDS, False, "boxes took the place of choices"),
        ("both", NEEDS, True, "choices were removed"),
        ("both", CHOICES, True, "boxes were removed"),
        ("both", {IMAGE: ["detector"], BACK: ["detector"]}, False, "a second image, which nobody has looked at"),
    ],
)
def test_done_is_what_the_label_config_needs(
    checkpoint: Checkpoint, seen: str, needs: Needs, is_done: bool, why: str
) -> None:
    """Outputs never get an item that lacks a result."""
    done_with(checkpoint, seen)
    assert checkpoint.require(needs) == (not is_done), why
    assert names(checkpoint) == (([], ["a"]) if is_done else (["a"], [])), why
    assert checkpoint.require(needs) == 0, "the second time there is nothing new"


def test_each_image_needs_its_own_models(checkpoint: Checkpoint) -> None:
    """The front has boxes, the back choices: either can be the one that lacks."""
    done_with(checkpoint, "classifier", "image", "back")
    assert checkpoint.require({IMAGE: ["classifier"], BACK: ["classifier"]}) == 0
    assert checkpoint.require({IMAGE: ["classifier"], BACK: ["detector"]}) == 1


def test_list_lacks_what_one_of_its_images_lacks(checkpoint: Checkpoint) -> None:
    """An empty list lacks nothing."""
    pages = ImageField("pages", is_list=True)
    checkpoint.survey([item("some"), item("none")], sort=False)
    checkpoint.record([Outcome(1, {"pages": [look(SEEN["both"]), look(SEEN["detector"])]}), Outcome(2, {"pages": []})])
    assert checkpoint.require({pages: ["classifier"]}) == 1
    assert names(checkpoint) == (["some"], ["none"])


def test_pending_again_it_knows_what_there_is(checkpoint: Checkpoint) -> None:
    """By digest, for those who examine it: none of it is computed again."""
    done_with(checkpoint, "detector")
    checkpoint.require(BOTH)
    (pending,) = checkpoint.pending()
    assert pending.known == {look(BALLOON).digest: {"detector"}}


def test_tiles_are_added_and_kept(checkpoint: Checkpoint) -> None:
    """Each number of tiles is a result of its own: what was done without them is done again with them, and the other way round it is done."""
    whole = look(BALLOON, 5)
    in_tiles = replace(whole, detections=b"", tiles={"tiles2": nothing()["image"][0].to_bytes()})
    tiles: Needs = {IMAGE: ["detector", "tiles2"]}
    more: Needs = {IMAGE: ["detector", "tiles3"]}
    done_with(checkpoint, "detector")
    assert checkpoint.require(tiles) == 1
    (pending,) = checkpoint.pending()
    assert pending.known == {whole.digest: {"detector"}}
    checkpoint.record([Outcome(1, {"image": [in_tiles]})])
    assert checkpoint.known_results(whole.digest) == {"detector", "tiles2"}
    (((_, images)),) = checkpoint.done()
    (found,) = images["image"]
    assert found.tiles == in_tiles.tiles
    assert found.detections == whole.detections
    assert [checkpoint.require(needs) for needs in (NEEDS, tiles, more)] == [0, 0, 1]


@pytest.mark.parametrize("first", ["detector", "classifier"])
def test_what_is_added_completes_what_there_is(checkpoint: Checkpoint, first: ModelKind) -> None:
    """The result of one model comes after that of the other; neither is replaced."""
    whole = look(SEEN["both"], 5)
    parts = [replace(whole, classification=b""), replace(whole, detections=b"")]
    checkpoint.survey([item("a")], sort=False)
    for part in parts if first == "detector" else reversed(parts):
        checkpoint.record([Outcome(1, {"image": [part]})])
    checkpoint.record([Outcome(1, {"image": [replace(whole, detections=b"other", classification=b"other")]})])
    assert checkpoint.known_results(whole.digest) == {"detector", "classifier"}
    assert [images for _, images in checkpoint.done()] == [{"image": [whole]}]


def test_former_label_config_again_costs_nothing(checkpoint: Checkpoint) -> None:
    """Somebody tried choices and took them back: what was done with boxes is done, without a request."""
    done_with(checkpoint, "detector")
    checkpoint.require(BOTH)
    assert checkpoint.require(NEEDS) == 0
    assert names(checkpoint) == ([], ["a"])


def test_former_label_config_after_a_failure(checkpoint: Checkpoint) -> None:
    """The image could not be fetched again: it failed for choices, and has its boxes as before."""
    done_with(checkpoint, "detector")
    checkpoint.require(BOTH)
    checkpoint.record([Outcome(1, {}, GONE)])
    assert checkpoint.counts() == Counts(pending=0, done=0, failed=1, left=0)
    checkpoint.require(BOTH)
    assert checkpoint.counts().failed == 1, "it is tried again only if somebody wants that"
    checkpoint.require(NEEDS)
    assert checkpoint.counts() == Counts(pending=0, done=1, failed=0, left=0)


def test_new_results_take_the_place_of_former_ones(checkpoint: Checkpoint) -> None:
    """Once both models have examined it, it is done under all three label configs."""
    done_with(checkpoint, "detector")
    checkpoint.require(BOTH)
    checkpoint.record([Outcome(1, {"image": [look(SEEN["both"])]})])
    for needs in (BOTH, NEEDS, CHOICES):
        assert checkpoint.require(needs) == 0
        assert names(checkpoint) == ([], ["a"])


@pytest.mark.parametrize(
    ("now", "left", "why"),
    [
        (item("a", stamp="2"), ["a"], "its file has changed, so its boxes are no longer its own"),
        (item("a", stamp="1", skip_reason="it has annotations"), [], "somebody annotated it"),
    ],
    ids=["changed", "annotated"],
)
def test_former_results_go_with_the_image(checkpoint: Checkpoint, now: Item, left: list[str], why: str) -> None:
    """They come back no more."""
    done_with(checkpoint, "detector")
    checkpoint.require(BOTH)
    checkpoint.survey([now], sort=False)
    checkpoint.require(NEEDS)
    assert names(checkpoint)[0] == left, why


def test_missing_item_with_former_results_is_kept(checkpoint: Checkpoint) -> None:
    """As one that is done; it is removed if that is wanted."""
    done_with(checkpoint, "detector")
    checkpoint.require(BOTH)
    assert checkpoint.survey([item("b")], sort=False).missing == 1
    assert names(checkpoint)[0] == ["a", "b"]
    assert checkpoint.survey([item("b")], sort=False, leave_out_missing=True).left_out == 1
    assert names(checkpoint)[0] == ["b"]


def test_skipped_items_stay_skipped(checkpoint: Checkpoint) -> None:
    """A project's task that has a prediction: nobody is told that it will be examined."""
    done_with(checkpoint, "detector")
    checkpoint.survey([item("a", stamp="1", skip_reason="it has this prediction already")], sort=False)
    assert checkpoint.require(BOTH) == 0
    ((skipped, images),) = checkpoint.done()
    assert (skipped.skip_reason, images) == ("it has this prediction already", {})


@pytest.mark.parametrize("number", [1, 501, 1203])
def test_many(checkpoint: Checkpoint, number: int) -> None:
    """More than are read at once, half of them complete."""
    checkpoint.survey((item(f"{n:04d}") for n in range(number)), sort=False)
    seen = [ModelResults(BALLOON, chances(n + 1, balloon=0.5) if n % 2 else None) for n in range(number)]
    checkpoint.record([Outcome(n + 1, {"image": [look(each)]}) for n, each in enumerate(seen)])
    assert checkpoint.require(BOTH) == (number + 1) // 2
    assert checkpoint.counts() == Counts(pending=(number + 1) // 2, done=number // 2, failed=0, left=0)


def test_checkpoint_from_before_there_were_classifiers(tmp_path: Path) -> None:
    """It has neither their table nor the column for former results: its boxes are read, and choices are pending."""
    path = tmp_path / "checkpoint"
    with Checkpoint(path) as checkpoint:
        checkpoint.survey([item("a")], sort=False)
        checkpoint.record([Outcome(1, looked_at(balloon()))])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE classifications")
        database.execute("ALTER TABLE items DROP COLUMN former")
    for _ in range(2):
        with Checkpoint(path) as checkpoint:
            assert checkpoint.require(NEEDS) == 0
            assert [images for _, images in checkpoint.done()] == [looked_at(balloon())]
    with Checkpoint(path) as checkpoint:
        assert checkpoint.require(BOTH) == 1
        assert names(checkpoint) == (["a"], [])
