import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from bootstrap_jobs import balloon, item, look, looked_at, nothing
from samples import detections_of

from ml_backend.bootstrap.checkpoint import Checkpoint, Counts
from ml_backend.bootstrap.items import Failure, Item, Outcome
from ml_backend.bootstrap.pending import BLOCK
from ml_backend.bootstrap.survey import Surveyed, blocks
from ml_backend.detections import Detections
from ml_backend.errors import BootstrapError
from ml_backend.pipeline.image_results import ImageResult

GONE = Failure("not there", "image_not_fetched")


def survey(checkpoint: Checkpoint, *names: str, sort: bool = False) -> Surveyed:
    """Take in items by their names."""
    return checkpoint.survey(map(item, names), sort=sort)


def row(name: str, note: str) -> Item:
    """Return an item of a table with two columns: its image is its key."""
    return Item(name.encode(), {"data": {"image": name, "note": note}}, variant=f"{name} {note}".encode())


def notes(checkpoint: Checkpoint) -> list[str]:
    """Return what the second column says of the rows that are done, in order."""
    return [each.task["data"]["note"] for each, _ in checkpoint.done()]


def pending(checkpoint: Checkpoint) -> list[str]:
    """Return the names of what is to be looked at, in order."""
    return [each.key.decode() for each in checkpoint.pending()]


def done(checkpoint: Checkpoint) -> list[str]:
    """Return the names of what is done or left alone, in order."""
    return [each.key.decode() for each, _ in checkpoint.done()]


def record_all(checkpoint: Checkpoint) -> None:
    """Look at everything that is pending."""
    checkpoint.record([Outcome(each.position, looked_at(balloon())) for each in checkpoint.pending()])


@pytest.mark.parametrize(
    ("names", "sort", "order", "repeated"),
    [
        ("b c a", False, "b c a", 0),
        ("b c a", True, "a b c", 0),
        ("b a b a b", False, "b a", 3),
        ("a B b ä", True, "B a b ä", 0),
        ("", True, "", 0),
    ],
    ids=["the source's order", "sorted by key", "named again: counts once", "by bytes, in any locale", "nothing"],
)
def test_survey_orders_items(checkpoint: Checkpoint, names: str, sort: bool, order: str, repeated: int) -> None:
    """Once and for all: the order of the checkpoint is the order of everything that is written."""
    assert survey(checkpoint, *names.split(), sort=sort) == Surveyed(repeated)
    assert pending(checkpoint) == order.split()


def test_repeated_key_keeps_what_came_first(checkpoint: Checkpoint) -> None:
    """Also where the two are far apart in the source."""
    others = (item(f"{n}") for n in range(BLOCK))
    assert checkpoint.survey([item("a", id=1), *others, item("a", id=2)], sort=False) == Surveyed(1)
    assert next(checkpoint.pending()).task["id"] == 1


def test_order_of_thousands(checkpoint: Checkpoint) -> None:
    """More than are read at once."""
    names = [f"{n:05d}" for n in range(3 * BLOCK + 7)]
    survey(checkpoint, *reversed(names), sort=True)
    assert pending(checkpoint) == names


@pytest.mark.parametrize("sort", [True, False])
def test_new_items_come_after_those_that_are_known(checkpoint: Checkpoint, sort: bool) -> None:
    """So that nothing that was written before moves."""
    survey(checkpoint, "b", "d")
    assert survey(checkpoint, "a", "b", "c", "d", sort=sort) == Surveyed()
    assert pending(checkpoint) == ["b", "d", "a", "c"]


def test_what_the_source_has_no_more(checkpoint: Checkpoint) -> None:
    """What was found in it stays; where nothing was, it is forgotten, and nothing takes its place in the order."""
    survey(checkpoint, "a", "b", "c", "d")
    checkpoint.record([Outcome(1, {"image": [look(balloon()["image"][0])]}), Outcome(2, {}, GONE)])
    assert survey(checkpoint, "c") == Surveyed(missing=1)
    assert pending(checkpoint) == ["c"]
    assert checkpoint.counts() == Counts(pending=1, done=1, failed=0, left=0)
    survey(checkpoint, "c", "e")
    first, second = (each.position for each in checkpoint.pending())
    assert first == 3
    assert second > 4  # the place of what is forgotten stays empty: tasks in Label Studio are known by it


def test_what_the_source_has_no_more_is_left_out_if_that_is_wanted(checkpoint: Checkpoint) -> None:
    """Whatever was found in it; the picture stays known, so that an item that comes back costs no run of the detector."""
    survey(checkpoint, "a", "b", "c", "d")
    checkpoint.record([Outcome(1, looked_at(balloon())), Outcome(2, {}, GONE), Outcome(3, looked_at(nothing()))])
    assert checkpoint.survey([item("c"), item("e")], sort=False, leave_out_missing=True) == Surveyed(left_out=1)
    assert (done(checkpoint), pending(checkpoint)) == (["c"], ["e"])
    assert checkpoint.images() == 2
    assert survey(checkpoint, "a", "c", "e") == Surveyed()
    assert [(each.position > 4, each.key) for each in checkpoint.pending()] == [(True, b"e"), (True, b"a")]


def test_items_of_one_key_are_numbered(checkpoint: Checkpoint) -> None:
    """Other variants are other items, each for good; the same variant again is the same item."""
    first = [row("a", "1"), row("b", "1"), row("a", "2"), row("a", "1"), row("a", "3")]
    assert checkpoint.survey(first, sort=False) == Surveyed(repeated=1)
    record_all(checkpoint)
    assert notes(checkpoint) == ["1", "1", "2", "3"]
    assert len(set(done(checkpoint))) == 4
    edited = [row("a", "one"), row("b", "1"), row("a", "2"), row("a", "three")]
    assert checkpoint.survey(edited, sort=False) == Surveyed()
    assert notes(checkpoint) == ["one", "1", "2", "three"]
    assert pending(checkpoint) == []


def test_items_that_older_versions_named_are_known(checkpoint: Checkpoint) -> None:
    """Their key was the variant of now. They keep their places and what was found; no two get one key."""
    rows = [row("a", "1"), row("b", "1"), row("a", "2"), row("c", "1")]
    former = [Item(each.variant, each.task) for each in rows]
    checkpoint.survey(former[:3], sort=False)
    record_all(checkpoint)
    for _ in range(2):
        assert checkpoint.survey(reversed(rows), sort=False) == Surveyed()
        assert [(each.position, each.key) for each, _ in checkpoint.done()] == [(1, b"a-2"), (2, b"b"), (3, b"a")]
        assert notes(checkpoint) == ["1", "1", "2"]
        assert pending(checkpoint) == ["c"]
    checkpoint.survey([row("a", "new"), *rows[1:]], sort=False)
    assert notes(checkpoint) == ["2", "1", "new"]


def test_item_that_older_versions_merged_with_others_is_kept_by_one_of_them(checkpoint: Checkpoint) -> None:
    """By the one that still has the key, else by the first of the source; the others are new."""
    checkpoint.survey([Item(b"one", {"data": {}}), Item(b"two", {"data": {}})], sort=False)
    record_all(checkpoint)
    now = [
        Item(key, {"data": {}}, variant=variant) for key, variant in ((b"x", b"one"), (b"y", b"one"), (b"z", b"two"))
    ]
    checkpoint.survey([*now, Item(b"two", {"data": {}})], sort=False)
    assert (done(checkpoint), pending(checkpoint)) == (["x", "two"], ["y", "z"])


def test_checkpoint_with_the_tables_of_an_older_version(tmp_path: Path) -> None:
    """Its scratch table had no variants, and a survey that was broken off may have left rows in it."""
    path = tmp_path / "checkpoint"
    with Checkpoint(path) as checkpoint:
        checkpoint.survey([Item(b"a 1", row("a", "1").task)], sort=False)
        record_all(checkpoint)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE found")
        database.execute(
            "CREATE TABLE found (number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, task TEXT NOT NULL, file BLOB, "
            "remains TEXT NOT NULL, stamp TEXT NOT NULL)"
        )
        database.execute("INSERT INTO found VALUES (1, x'00', '{}', NULL, '', '')")
    with Checkpoint(path) as checkpoint:
        assert checkpoint.survey([row("a", "1")], sort=False) == Surveyed()
        assert (done(checkpoint), pending(checkpoint)) == (["a"], [])


def test_what_is_done_stays_done(checkpoint: Checkpoint) -> None:
    """The same source again: nothing is to be looked at."""
    survey(checkpoint, "a", "b")
    record_all(checkpoint)
    survey(checkpoint, "a", "b")
    assert pending(checkpoint) == []
    assert checkpoint.counts() == Counts(pending=0, done=2, failed=0, left=0)


@pytest.mark.parametrize("failure", [None, GONE], ids=["done", "failed"])
def test_changed_stamp_is_looked_at_again(checkpoint: Checkpoint, failure: Failure | None) -> None:
    """The file has another size or time: what was found in it, or what was wrong with it, may be no longer so."""
    checkpoint.survey([item("a", stamp="1"), item("b", stamp="1")], sort=False)
    checkpoint.record([Outcome(each.position, looked_at(balloon()), failure) for each in checkpoint.pending()])
    checkpoint.survey([item("a", stamp="2"), item("b", stamp="1")], sort=False)
    assert pending(checkpoint) == ["a"]
    assert checkpoint.counts().failed == (failure is not None)


def test_left_alone_and_task_are_renewed(checkpoint: Checkpoint) -> None:
    """Somebody annotated the one task meanwhile, and removed an annotation of the other."""
    checkpoint.survey([item("a"), item("b", skip_reason="it has annotations")], sort=False)
    assert pending(checkpoint) == ["a"]
    checkpoint.survey([item("a", skip_reason="it has annotations", meta=1), item("b", meta=2)], sort=False)
    (found,) = checkpoint.pending()
    assert found == item("b", meta=2)
    assert [each for each, _ in checkpoint.done()] == [item("a", skip_reason="it has annotations", meta=1)]


def test_what_is_done_stays_predicted_where_it_is_to_be_left_alone_now(checkpoint: Checkpoint) -> None:
    """A project whose tasks have got their predictions: the output is the same as before."""
    survey(checkpoint, "a")
    record_all(checkpoint)
    checkpoint.survey([item("a", skip_reason="it has this prediction already")], sort=False)
    ((found, _),) = checkpoint.done()
    assert found.skip_reason == ""
    assert checkpoint.counts() == Counts(pending=0, done=1, failed=0, left=0)


def test_what_failed_and_is_to_be_left_alone_now_has_not_failed(checkpoint: Checkpoint) -> None:
    """Somebody annotated it by hand because it had no prediction."""
    survey(checkpoint, "a")
    checkpoint.record([Outcome(1, {}, GONE)])
    checkpoint.survey([item("a", skip_reason="it has annotations")], sort=False)
    assert done(checkpoint) == ["a"]
    assert checkpoint.counts() == Counts(pending=0, done=0, failed=0, left=1)
    assert not list(checkpoint.failures())


def test_survey_that_breaks_off_changes_nothing(checkpoint: Checkpoint) -> None:
    """Neither what was known, nor by half of what was new."""

    def broken() -> Iterator[Item]:
        yield from (item(f"new {n}", stamp="2") for n in range(2 * BLOCK))
        yield item("a", stamp="2")
        raise BootstrapError("the source is gone")

    checkpoint.survey([item("a", stamp="1")], sort=False)
    record_all(checkpoint)
    with pytest.raises(BootstrapError, match="the source is gone"):
        checkpoint.survey(broken(), sort=False)
    assert (done(checkpoint), pending(checkpoint)) == (["a"], [])
    survey(checkpoint, "b")
    assert pending(checkpoint) == ["b"]


def test_pending_goes_on_while_results_are_recorded(checkpoint: Checkpoint) -> None:
    """Each once, in order, though what is pending changes all the time, several pages long."""
    names = [f"{n:05d}" for n in range(2 * BLOCK + 3)]
    survey(checkpoint, *names)
    seen = []
    for each in checkpoint.pending():
        seen.append(each.key.decode())
        checkpoint.record([Outcome(each.position, looked_at(nothing()))])
    assert seen == names
    assert checkpoint.counts().done == len(names)


def test_item_comes_back_as_it_was(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Key, task and file, whatever bytes are in their names."""
    file = tmp_path / "\udcff \n ü.jpg"
    given = Item(b"\xff \n", {"data": {"image": "\ud800", "n": 0.1, "none": None}}, file, stamp="1 2")
    checkpoint.survey([given], sort=True)
    (back,) = checkpoint.pending()
    assert (back.key, back.task, back.file) == (given.key, given.task, file)


def test_record_is_all_or_nothing(checkpoint: Checkpoint) -> None:
    """A portion with something in it that cannot be kept leaves the checkpoint as it was."""
    survey(checkpoint, "a", "b")
    good, bad = Outcome(1, looked_at(balloon())), Outcome(2, {"image": [ImageResult("no digest", b"x")]})
    with pytest.raises(ValueError, match="hex"):
        checkpoint.record([good, bad])
    assert checkpoint.counts() == Counts(pending=2, done=0, failed=0, left=0)
    assert checkpoint.images() == 0
    checkpoint.record([good])
    assert done(checkpoint) == ["a"]


def test_done_has_everything_in_order(checkpoint: Checkpoint) -> None:
    """Detections of each picture, the appearance of the first, and what was left alone in its place."""
    checkpoint.survey([item("a"), item("b", skip_reason="it has annotations"), item("c"), item("d")], sort=False)
    kite = detections_of(("Kite", 0.5, (0, 0, 1, 1)))
    (seen,) = balloon()["image"]
    checkpoint.record([Outcome(3, {"left": [look(kite, 2**64 - 1), look(seen, 5)], "right": [], "top": [look(kite)]})])
    checkpoint.record([Outcome(1, {"image": [look(seen, 7)]})])
    (first, of_first), (skipped, of_skipped), (third, of_third) = checkpoint.done()
    assert [each.position for each in (first, skipped, third)] == [1, 2, 3]
    assert (skipped.skip_reason, of_skipped) == ("it has annotations", {})
    assert {
        key: [Detections.from_bytes(each.detections).class_names for each in of_key] for key, of_key in of_third.items()
    } == {
        "left": [("Kite",), ("Balloon",)],
        "right": [],
        "top": [("Kite",)],
    }
    assert of_third["left"][0].perceptual_hash == 2**64 - 1
    assert of_first["image"][0].perceptual_hash == 5  # one picture looks like itself, whoever saw it first
    assert checkpoint.images() == 2


def test_known_picture_is_named_only(checkpoint: Checkpoint) -> None:
    """The same bytes in another item: the digest is enough."""
    survey(checkpoint, "a", "b")
    full = look(balloon()["image"][0], 9)
    assert checkpoint.known_results(full.digest) == set()
    checkpoint.record([Outcome(1, {"image": [full]})])
    assert checkpoint.known_results(full.digest) == {"detector"}
    checkpoint.record([Outcome(2, {"image": [ImageResult(full.digest)]})])
    assert [images["image"] for _, images in checkpoint.done()] == [[ImageResult(full.digest, full.detections, 9)]] * 2


def test_failed_item_keeps_the_pictures_it_had(checkpoint: Checkpoint) -> None:
    """Of two pictures, the second was not there: the first is known when the item is tried again."""
    survey(checkpoint, "a", "b")
    full = look(balloon()["image"][0])
    checkpoint.record([Outcome(1, {"image": [full]}, GONE)])
    assert checkpoint.known_results(full.digest) == {"detector"}
    assert [(failed.key, failure) for failed, failure in checkpoint.failures()] == [(b"a", GONE)]
    assert (pending(checkpoint), done(checkpoint)) == (["b"], [])


def test_failed_items_are_tried_again(checkpoint: Checkpoint) -> None:
    """Those alone."""
    survey(checkpoint, "a", "b", "c")
    checkpoint.record([Outcome(1, looked_at(balloon())), Outcome(2, {}, GONE), Outcome(3, {}, GONE)])
    assert checkpoint.counts() == Counts(pending=0, done=1, failed=2, left=0)
    assert checkpoint.retry_failures() == 2
    assert pending(checkpoint) == ["b", "c"]
    assert checkpoint.retry_failures() == 0
    assert not list(checkpoint.failures())


@pytest.mark.parametrize("total", [1, 2, 3, 7, 10, 64, 97, 500, 1001])
def test_keep_only_keeps_exactly_n_spread_evenly(tmp_path: Path, total: int) -> None:
    """For a look ahead: the gaps between those that are kept differ by one at most, and the first is one of them."""
    for number in sorted({1, 2, 3, 5, 7, total // 3, total // 2, total - 1, total, total + 1, 10 * total} - {0}):
        with Checkpoint(tmp_path / f"{number}") as checkpoint:
            survey(checkpoint, *(f"{n:04d}" for n in range(total)))
            checkpoint.sample_pending(number)
            kept = [each.position for each in checkpoint.pending()]
            assert len(kept) == min(number, total)
            gaps = {later - earlier for earlier, later in pairwise([*kept, total + 1])}
            assert kept[0] == 1
            assert max(gaps) - min(gaps) <= 1
            assert checkpoint.counts().left == total - len(kept)


def test_keep_only_counts_what_is_pending(checkpoint: Checkpoint) -> None:
    """What is left alone for another reason stays so, and what is done is done."""
    checkpoint.survey([item(f"{n}", skip_reason="it has annotations" * (n % 2)) for n in range(20)], sort=False)
    checkpoint.record([Outcome(1, looked_at(balloon()))])
    checkpoint.sample_pending(3)
    assert len(pending(checkpoint)) == 3
    assert [each.skip_reason for each, _ in checkpoint.done()].count("it has annotations") == 10
    with Checkpoint(checkpoint.path.with_name("empty")) as empty:
        empty.sample_pending(5)
        assert empty.counts().total == 0


def test_claims(checkpoint: Checkpoint) -> None:
    """A checkpoint is of one job; what differs is named, with both values."""
    checkpoint.claim({"source": "folder A", "detector": "demo@1"})
    checkpoint.claim({"source": "folder A", "detector": "demo@1"})
    with pytest.raises(
        BootstrapError, match=r"another job: its detector was demo@1, now it is demo@2; name another --"
    ):
        checkpoint.claim({"new": "1", "detector": "demo@2"})
    assert checkpoint.recall("new") is None


def test_facts_and_the_run_outlive_the_process(tmp_path: Path) -> None:
    """Closed and opened again; each checkpoint names a run of its own."""
    with Checkpoint(tmp_path / "checkpoint") as checkpoint:
        run = checkpoint.job_id
        assert checkpoint.job_id == run
        checkpoint.remember("project", "7")
        checkpoint.remember("project", "8")
        assert checkpoint.recall("other") is None
    with Checkpoint(tmp_path / "checkpoint") as checkpoint, Checkpoint(tmp_path / "other") as other:
        assert (checkpoint.job_id, checkpoint.recall("project")) == (run, "8")
        assert other.job_id != run


def test_sent(checkpoint: Checkpoint) -> None:
    """What each project has, the latest word counts."""
    checkpoint.record_sent(1, [(1, 101, None), (2, 102, "v1")])
    checkpoint.record_sent(2, [(1, 201, "v1")])
    checkpoint.record_sent(1, [(1, 101, "v2")])
    assert checkpoint.sent(1) == {1: (101, "v2"), 2: (102, "v1")}
    assert checkpoint.sent(2) == {1: (201, "v1")}
    assert checkpoint.sent(3) == {}


def test_two_processes_at_once(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """The second one is told, and the checkpoint is free again when the first has gone."""
    program = (
        "import sys; from pathlib import Path; from ml_backend.bootstrap.checkpoint import Checkpoint\n"
        "with Checkpoint(Path(sys.argv[1])): pass"
    )
    command = [sys.executable, "-c", program, str(checkpoint.path)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert "another run works on" in second.stderr
    with pytest.raises(BootstrapError, match="wait for it, or name another --checkpoint"), Checkpoint(checkpoint.path):
        pass
    checkpoint.__exit__(None, None, None)
    with Checkpoint(checkpoint.path):
        pass


RECORD_UNTIL_FULL = """
import resource, signal, sys
from pathlib import Path
from bootstrap_jobs import item, look, detections_of
from ml_backend.bootstrap.items import Outcome
from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.errors import BootstrapError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Checkpoint(Path(sys.argv[1])) as checkpoint:
    checkpoint.survey((item(f"{n:04d}") for n in range(2000)), sort=False)
    full = Path(sys.argv[1] + "-wal").stat().st_size + 400_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
    for each in checkpoint.pending():
        rows = [("Balloon", 0.9, (n / 500, 0, 1, each.position / 3000)) for n in range(100)]
        try:
            checkpoint.record([Outcome(each.position, {"image": [look(detections_of(*rows))]})])
        except BootstrapError as error:
            print(each.position - 1, error)
            break
    if sys.argv[2] == "kill":
        import os; sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_full_disk(tmp_path: Path, end: str) -> None:
    """It is said in a sentence, what was recorded before is there, and with room again the job goes on."""
    path = tmp_path / "checkpoint"
    result = subprocess.run(
        [sys.executable, "-c", RECORD_UNTIL_FULL, str(path), end],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert result.returncode == (0 if end == "exit" else -signal.SIGKILL), result.stderr
    number, _, sentence = result.stdout.partition(" ")
    assert "cannot be written" in sentence
    assert "what it holds is kept: make room" in sentence
    with Checkpoint(path) as checkpoint:
        assert checkpoint.counts() == Counts(pending=2000 - int(number), done=int(number), failed=0, left=0)
        assert int(number) > 5
        assert all(len(Detections.from_bytes(images["image"][0].detections)) == 100 for _, images in checkpoint.done())
        checkpoint.record([Outcome(int(number) + 1, looked_at(balloon()))])


def test_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    """A wrong --checkpoint: nothing in it changes, and it is named."""
    path = tmp_path / "notes.txt"
    path.write_bytes(b"these are no pages of a database " * 1_000)
    before = path.read_bytes()
    with pytest.raises(BootstrapError, match=r"notes\.txt.*not a database"), Checkpoint(path):
        pass
    assert path.read_bytes() == before


def test_folder_in_the_checkpoints_place(tmp_path: Path) -> None:
    """The same, and the lock is free again."""
    (tmp_path / "checkpoint").mkdir()
    with pytest.raises(BootstrapError, match="checkpoint"), Checkpoint(tmp_path / "checkpoint"):
        pass


def test_other_programs_database_is_left_alone(tmp_path: Path) -> None:
    """A wrong --checkpoint again, such as the file of the cache."""
    path = tmp_path / "precious.sqlite3"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE entries (precious TEXT)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(BootstrapError, match="precious"), Checkpoint(path):
        pass
    assert path.read_bytes() == before


def test_torn_checkpoint(tmp_path: Path) -> None:
    """A file with damaged pages in its middle is said to be damaged, wherever that is found out."""
    path = tmp_path / "checkpoint"
    with Checkpoint(path) as checkpoint:
        survey(checkpoint, *(f"{n:05d}" for n in range(5_000)))
    data = bytearray(path.read_bytes())
    data[20_000:] = b"\xaa" * (len(data) - 20_000)
    path.write_bytes(data)
    with pytest.raises(BootstrapError, match="checkpoint"), Checkpoint(path) as checkpoint:
        record_all(checkpoint)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file stands where the checkpoint's folder should be."""
    (tmp_path / "file").touch()
    with pytest.raises(BootstrapError, match="cannot be made"), Checkpoint(tmp_path / "file" / "checkpoint"):
        pass


def test_checkpoint_of_another_format(tmp_path: Path) -> None:
    """Made by a release that wrote other tables."""
    with Checkpoint(tmp_path / "checkpoint") as checkpoint:
        checkpoint.remember("format", "0")
    with pytest.raises(BootstrapError, match="its format was 0"), Checkpoint(tmp_path / "checkpoint"):
        pass


def test_blocks() -> None:
    """The last is of what is left, and nothing is read ahead."""
    assert list(blocks(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(blocks([], 2)) == []
    numbers = iter(range(10))
    next(blocks(numbers, 3))
    assert next(numbers) == 3


def test_tasks_are_kept_as_json(checkpoint: Checkpoint) -> None:
    """Numbers stay the numbers they were."""
    task = json.loads('{"id": 12345678901234567890, "data": {"image": "a", "n": 0.1, "e": 1e22}}')
    checkpoint.survey([Item(b"a", task)], sort=False)
    assert next(checkpoint.pending()).task == task
