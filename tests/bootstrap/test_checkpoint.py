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

from ml_backend.bootstrap.checkpoint import BLOCK, Checkpoint, Counts, Surveyed, blocks
from ml_backend.bootstrap.items import Failure, ImageResult, Item, Outcome
from ml_backend.errors import BootstrapError

GONE = Failure("not there", "image_not_fetched")


def survey(journal: Checkpoint, *names: str, sort: bool = False) -> Surveyed:
    """Take in items by their names."""
    return journal.survey(map(item, names), sort=sort)


def row(name: str, note: str) -> Item:
    """Return an item of a table with two columns: its image is its key."""
    return Item(name.encode(), {"data": {"image": name, "note": note}}, variant=f"{name} {note}".encode())


def notes(journal: Checkpoint) -> list[str]:
    """Return what the second column says of the rows that are done, in order."""
    return [found.item.task["data"]["note"] for found in journal.done()]


def pending(journal: Checkpoint) -> list[str]:
    """Return the names of what is to be looked at, in order."""
    return [each.item.key.decode() for each in journal.pending()]


def done(journal: Checkpoint) -> list[str]:
    """Return the names of what is done or left alone, in order."""
    return [found.item.key.decode() for found in journal.done()]


def record_all(journal: Checkpoint) -> None:
    """Look at everything that is pending."""
    journal.record([Outcome(each.position, looked_at(balloon())) for each in journal.pending()])


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
def test_survey_orders_items(journal: Checkpoint, names: str, sort: bool, order: str, repeated: int) -> None:
    """Once and for all: the order of the journal is the order of everything that is written."""
    assert survey(journal, *names.split(), sort=sort) == Surveyed(repeated)
    assert pending(journal) == order.split()


def test_repeated_key_keeps_what_came_first(journal: Checkpoint) -> None:
    """Also where the two are far apart in the source."""
    others = (item(f"{n}") for n in range(BLOCK))
    assert journal.survey([item("a", id=1), *others, item("a", id=2)], sort=False) == Surveyed(1)
    assert next(journal.pending()).item.task["id"] == 1


def test_order_of_thousands(journal: Checkpoint) -> None:
    """More than are read at once."""
    names = [f"{n:05d}" for n in range(3 * BLOCK + 7)]
    survey(journal, *reversed(names), sort=True)
    assert pending(journal) == names


@pytest.mark.parametrize("sort", [True, False])
def test_new_items_come_after_those_that_are_known(journal: Checkpoint, sort: bool) -> None:
    """So that nothing that was written before moves."""
    survey(journal, "b", "d")
    assert survey(journal, "a", "b", "c", "d", sort=sort) == Surveyed()
    assert pending(journal) == ["b", "d", "a", "c"]


def test_what_the_source_has_no_more(journal: Checkpoint) -> None:
    """What was found in it stays; where nothing was, it is forgotten, and nothing takes its place in the order."""
    survey(journal, "a", "b", "c", "d")
    journal.record([Outcome(1, {"image": [look(balloon()["image"][0])]}), Outcome(2, {}, GONE)])
    assert survey(journal, "c") == Surveyed(missing=1)
    assert pending(journal) == ["c"]
    assert journal.counts() == Counts(pending=1, done=1, failed=0, left=0)
    survey(journal, "c", "e")
    first, second = (each.position for each in journal.pending())
    assert first == 3
    assert second > 4  # the place of what is forgotten stays empty: tasks in Label Studio are known by it


def test_what_the_source_has_no_more_is_left_out_if_that_is_wanted(journal: Checkpoint) -> None:
    """Whatever was found in it; the picture stays known, so that an item that comes back costs no run of the detector."""
    survey(journal, "a", "b", "c", "d")
    journal.record([Outcome(1, looked_at(balloon())), Outcome(2, {}, GONE), Outcome(3, looked_at(nothing()))])
    assert journal.survey([item("c"), item("e")], sort=False, leave_out_missing=True) == Surveyed(left_out=1)
    assert (done(journal), pending(journal)) == (["c"], ["e"])
    assert journal.images() == 2
    assert survey(journal, "a", "c", "e") == Surveyed()
    assert [(each.position > 4, each.item.key) for each in journal.pending()] == [(True, b"e"), (True, b"a")]


def test_items_of_one_key_are_numbered(journal: Checkpoint) -> None:
    """Other variants are other items, each for good; the same variant again is the same item."""
    first = [row("a", "1"), row("b", "1"), row("a", "2"), row("a", "1"), row("a", "3")]
    assert journal.survey(first, sort=False) == Surveyed(repeated=1)
    record_all(journal)
    assert notes(journal) == ["1", "1", "2", "3"]
    assert len(set(done(journal))) == 4
    edited = [row("a", "one"), row("b", "1"), row("a", "2"), row("a", "three")]
    assert journal.survey(edited, sort=False) == Surveyed()
    assert notes(journal) == ["one", "1", "2", "three"]
    assert pending(journal) == []


def test_items_that_older_versions_named_are_known(journal: Checkpoint) -> None:
    """Their key was the variant of now. They keep their places and what was found; no two get one key."""
    rows = [row("a", "1"), row("b", "1"), row("a", "2"), row("c", "1")]
    former = [Item(each.variant, each.task) for each in rows]
    journal.survey(former[:3], sort=False)
    record_all(journal)
    for _ in range(2):
        assert journal.survey(reversed(rows), sort=False) == Surveyed()
        assert [(found.position, found.item.key) for found in journal.done()] == [(1, b"a-2"), (2, b"b"), (3, b"a")]
        assert notes(journal) == ["1", "1", "2"]
        assert pending(journal) == ["c"]
    journal.survey([row("a", "new"), *rows[1:]], sort=False)
    assert notes(journal) == ["2", "1", "new"]


def test_item_that_older_versions_merged_with_others_is_kept_by_one_of_them(journal: Checkpoint) -> None:
    """By the one that still has the key, else by the first of the source; the others are new."""
    journal.survey([Item(b"one", {"data": {}}), Item(b"two", {"data": {}})], sort=False)
    record_all(journal)
    now = [
        Item(key, {"data": {}}, variant=variant) for key, variant in ((b"x", b"one"), (b"y", b"one"), (b"z", b"two"))
    ]
    journal.survey([*now, Item(b"two", {"data": {}})], sort=False)
    assert (done(journal), pending(journal)) == (["x", "two"], ["y", "z"])


def test_journal_with_the_tables_of_an_older_version(tmp_path: Path) -> None:
    """Its scratch table had no variants, and a survey that was broken off may have left rows in it."""
    path = tmp_path / "journal"
    with Checkpoint(path) as journal:
        journal.survey([Item(b"a 1", row("a", "1").task)], sort=False)
        record_all(journal)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE found")
        database.execute(
            "CREATE TABLE found (number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, task TEXT NOT NULL, file BLOB, "
            "remains TEXT NOT NULL, stamp TEXT NOT NULL)"
        )
        database.execute("INSERT INTO found VALUES (1, x'00', '{}', NULL, '', '')")
    with Checkpoint(path) as journal:
        assert journal.survey([row("a", "1")], sort=False) == Surveyed()
        assert (done(journal), pending(journal)) == (["a"], [])


def test_what_is_done_stays_done(journal: Checkpoint) -> None:
    """The same source again: nothing is to be looked at."""
    survey(journal, "a", "b")
    record_all(journal)
    survey(journal, "a", "b")
    assert pending(journal) == []
    assert journal.counts() == Counts(pending=0, done=2, failed=0, left=0)


@pytest.mark.parametrize("failure", [None, GONE], ids=["done", "failed"])
def test_changed_stamp_is_looked_at_again(journal: Checkpoint, failure: Failure | None) -> None:
    """The file has another size or time: what was found in it, or what was wrong with it, may be no longer so."""
    journal.survey([item("a", stamp="1"), item("b", stamp="1")], sort=False)
    journal.record([Outcome(each.position, looked_at(balloon()), failure) for each in journal.pending()])
    journal.survey([item("a", stamp="2"), item("b", stamp="1")], sort=False)
    assert pending(journal) == ["a"]
    assert journal.counts().failed == (failure is not None)


def test_left_alone_and_task_are_renewed(journal: Checkpoint) -> None:
    """Somebody annotated the one task meanwhile, and removed an annotation of the other."""
    journal.survey([item("a"), item("b", left="it has annotations")], sort=False)
    assert pending(journal) == ["a"]
    journal.survey([item("a", left="it has annotations", meta=1), item("b", meta=2)], sort=False)
    (found,) = journal.pending()
    assert found.item == item("b", meta=2)
    assert [each.item for each in journal.done()] == [item("a", left="it has annotations", meta=1)]


def test_what_is_done_stays_predicted_where_it_is_to_be_left_alone_now(journal: Checkpoint) -> None:
    """A project whose tasks have got their predictions: the output is the same as before."""
    survey(journal, "a")
    record_all(journal)
    journal.survey([item("a", left="it has this prediction already")], sort=False)
    (found,) = journal.done()
    assert found.item.left == ""
    assert journal.counts() == Counts(pending=0, done=1, failed=0, left=0)


def test_what_failed_and_is_to_be_left_alone_now_has_not_failed(journal: Checkpoint) -> None:
    """Somebody annotated it by hand because it had no prediction."""
    survey(journal, "a")
    journal.record([Outcome(1, {}, GONE)])
    journal.survey([item("a", left="it has annotations")], sort=False)
    assert done(journal) == ["a"]
    assert journal.counts() == Counts(pending=0, done=0, failed=0, left=1)
    assert not list(journal.failures())


def test_survey_that_breaks_off_changes_nothing(journal: Checkpoint) -> None:
    """Neither what was known, nor by half of what was new."""

    def broken() -> Iterator[Item]:
        yield from (item(f"new {n}", stamp="2") for n in range(2 * BLOCK))
        yield item("a", stamp="2")
        raise BootstrapError("the source is gone")

    journal.survey([item("a", stamp="1")], sort=False)
    record_all(journal)
    with pytest.raises(BootstrapError, match="the source is gone"):
        journal.survey(broken(), sort=False)
    assert (done(journal), pending(journal)) == (["a"], [])
    survey(journal, "b")
    assert pending(journal) == ["b"]


def test_pending_goes_on_while_results_are_recorded(journal: Checkpoint) -> None:
    """Each once, in order, though what is pending changes all the time, several pages long."""
    names = [f"{n:05d}" for n in range(2 * BLOCK + 3)]
    survey(journal, *names)
    seen = []
    for each in journal.pending():
        seen.append(each.item.key.decode())
        journal.record([Outcome(each.position, looked_at(nothing()))])
    assert seen == names
    assert journal.counts().done == len(names)


def test_item_comes_back_as_it_was(journal: Checkpoint, tmp_path: Path) -> None:
    """Key, task and file, whatever bytes are in their names."""
    file = tmp_path / "\udcff \n ü.jpg"
    given = Item(b"\xff \n", {"data": {"image": "\ud800", "n": 0.1, "none": None}}, file, stamp="1 2")
    journal.survey([given], sort=True)
    (back,) = journal.pending()
    assert (back.item.key, back.item.task, back.item.file) == (given.key, given.task, file)


def test_record_is_all_or_nothing(journal: Checkpoint) -> None:
    """A portion with something in it that cannot be kept leaves the journal as it was."""
    survey(journal, "a", "b")
    good, bad = Outcome(1, looked_at(balloon())), Outcome(2, {"image": [ImageResult("no digest", b"")]})
    with pytest.raises(ValueError, match="hex"):
        journal.record([good, bad])
    assert journal.counts() == Counts(pending=2, done=0, failed=0, left=0)
    assert journal.images() == 0
    journal.record([good])
    assert done(journal) == ["a"]


def test_done_has_everything_in_order(journal: Checkpoint) -> None:
    """Detections of each picture, the appearance of the first, and what was left alone in its place."""
    journal.survey([item("a"), item("b", left="it has annotations"), item("c"), item("d")], sort=False)
    kite = detections_of(("Kite", 0.5, (0, 0, 1, 1)))
    (seen,) = balloon()["image"]
    journal.record([Outcome(3, {"left": [look(kite, 2**64 - 1), look(seen, 5)], "right": [], "top": [look(kite)]})])
    journal.record([Outcome(1, {"image": [look(seen, 7)]})])
    first, alone, third = journal.done()
    assert [each.position for each in (first, alone, third)] == [1, 2, 3]
    assert (alone.item.left, alone.detections) == ("it has annotations", {})
    assert {key: [each.class_names for each in of_key] for key, of_key in third.detections.items()} == {
        "left": [("Kite",), ("Balloon",)],
        "right": [],
        "top": [("Kite",)],
    }
    assert third.perceptual_hash == 2**64 - 1
    assert first.perceptual_hash == 5  # one picture looks like itself, whoever saw it first
    assert journal.images() == 2


def test_known_picture_is_named_only(journal: Checkpoint) -> None:
    """The same bytes in another item: the digest is enough."""
    survey(journal, "a", "b")
    full = look(balloon()["image"][0], 9)
    assert not journal.has_image(full.digest)
    journal.record([Outcome(1, {"image": [full]})])
    assert journal.has_image(full.digest)
    journal.record([Outcome(2, {"image": [ImageResult(full.digest)]})])
    assert [(found.perceptual_hash, len(found.detections["image"][0])) for found in journal.done()] == [(9, 1)] * 2


def test_failed_item_keeps_the_pictures_it_had(journal: Checkpoint) -> None:
    """Of two pictures, the second was not there: the first is known when the item is tried again."""
    survey(journal, "a", "b")
    full = look(balloon()["image"][0])
    journal.record([Outcome(1, {"image": [full]}, GONE)])
    assert journal.has_image(full.digest)
    assert [(failed.key, failure) for failed, failure in journal.failures()] == [(b"a", GONE)]
    assert (pending(journal), done(journal)) == (["b"], [])


def test_failed_items_are_tried_again(journal: Checkpoint) -> None:
    """Those alone."""
    survey(journal, "a", "b", "c")
    journal.record([Outcome(1, looked_at(balloon())), Outcome(2, {}, GONE), Outcome(3, {}, GONE)])
    assert journal.counts() == Counts(pending=0, done=1, failed=2, left=0)
    assert journal.try_again() == 2
    assert pending(journal) == ["b", "c"]
    assert journal.try_again() == 0
    assert not list(journal.failures())


@pytest.mark.parametrize("total", [1, 2, 3, 7, 10, 64, 97, 500, 1001])
def test_keep_only_keeps_exactly_n_spread_evenly(tmp_path: Path, total: int) -> None:
    """For a look ahead: the gaps between those that are kept differ by one at most, and the first is one of them."""
    for number in sorted({1, 2, 3, 5, 7, total // 3, total // 2, total - 1, total, total + 1, 10 * total} - {0}):
        with Checkpoint(tmp_path / f"{number}") as journal:
            survey(journal, *(f"{n:04d}" for n in range(total)))
            journal.sample_pending(number)
            kept = [each.position for each in journal.pending()]
            assert len(kept) == min(number, total)
            gaps = {later - earlier for earlier, later in pairwise([*kept, total + 1])}
            assert kept[0] == 1
            assert max(gaps) - min(gaps) <= 1
            assert journal.counts().left == total - len(kept)


def test_keep_only_counts_what_is_pending(journal: Checkpoint) -> None:
    """What is left alone for another reason stays so, and what is done is done."""
    journal.survey([item(f"{n}", left="it has annotations" * (n % 2)) for n in range(20)], sort=False)
    journal.record([Outcome(1, looked_at(balloon()))])
    journal.sample_pending(3)
    assert len(pending(journal)) == 3
    assert [found.item.left for found in journal.done()].count("it has annotations") == 10
    with Checkpoint(journal.path.with_name("empty")) as empty:
        empty.sample_pending(5)
        assert empty.counts().total == 0


def test_claims(journal: Checkpoint) -> None:
    """A journal is of one job; what differs is named, with both values."""
    journal.claim({"source": "folder A", "detector": "demo@1"})
    journal.claim({"source": "folder A", "detector": "demo@1"})
    with pytest.raises(
        BootstrapError, match=r"another job: its detector was demo@1, now it is demo@2; name another --"
    ):
        journal.claim({"new": "1", "detector": "demo@2"})
    assert journal.fact("new") is None


def test_facts_and_the_run_outlive_the_process(tmp_path: Path) -> None:
    """Closed and opened again; each journal names a run of its own."""
    with Checkpoint(tmp_path / "journal") as journal:
        run = journal.run
        assert journal.run == run
        journal.remember("project", "7")
        journal.remember("project", "8")
        assert journal.fact("other") is None
    with Checkpoint(tmp_path / "journal") as journal, Checkpoint(tmp_path / "other") as other:
        assert (journal.run, journal.fact("project")) == (run, "8")
        assert other.run != run


def test_sent(journal: Checkpoint) -> None:
    """What each project has, the latest word counts."""
    journal.record_sent(1, [(1, 101, None), (2, 102, "v1")])
    journal.record_sent(2, [(1, 201, "v1")])
    journal.record_sent(1, [(1, 101, "v2")])
    assert journal.sent(1) == {1: (101, "v2"), 2: (102, "v1")}
    assert journal.sent(2) == {1: (201, "v1")}
    assert journal.sent(3) == {}


def test_two_processes_at_once(tmp_path: Path, journal: Checkpoint) -> None:
    """The second one is told, and the journal is free again when the first has gone."""
    program = (
        "import sys; from pathlib import Path; from ml_backend.bootstrap.checkpoint import Checkpoint\n"
        "with Checkpoint(Path(sys.argv[1])): pass"
    )
    command = [sys.executable, "-c", program, str(journal.path)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert "another run works on" in second.stderr
    with pytest.raises(BootstrapError, match="wait for it, or name another --journal"), Checkpoint(journal.path):
        pass
    journal.__exit__(None, None, None)
    with Checkpoint(journal.path):
        pass


RECORD_UNTIL_FULL = """
import resource, signal, sys
from pathlib import Path
from bootstrap_jobs import item, look, detections_of
from ml_backend.bootstrap.items import Outcome
from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.errors import BootstrapError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Checkpoint(Path(sys.argv[1])) as journal:
    journal.survey((item(f"{n:04d}") for n in range(2000)), sort=False)
    full = Path(sys.argv[1] + "-wal").stat().st_size + 400_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
    for each in journal.pending():
        rows = [("Balloon", 0.9, (n / 500, 0, 1, each.position / 3000)) for n in range(100)]
        try:
            journal.record([Outcome(each.position, {"image": [look(detections_of(*rows))]})])
        except BootstrapError as error:
            print(each.position - 1, error)
            break
    if sys.argv[2] == "kill":
        import os; sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_full_disk(tmp_path: Path, end: str) -> None:
    """It is said in a sentence, what was recorded before is there, and with room again the job goes on."""
    path = tmp_path / "journal"
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
    with Checkpoint(path) as journal:
        assert journal.counts() == Counts(pending=2000 - int(number), done=int(number), failed=0, left=0)
        assert int(number) > 5
        assert all(len(found.detections["image"][0]) == 100 for found in journal.done())
        journal.record([Outcome(int(number) + 1, looked_at(balloon()))])


def test_file_that_is_no_journal(tmp_path: Path) -> None:
    """A wrong --journal: nothing in it changes, and it is named."""
    path = tmp_path / "notes.txt"
    path.write_bytes(b"these are no pages of a database " * 1_000)
    before = path.read_bytes()
    with pytest.raises(BootstrapError, match=r"notes\.txt.*not a database"), Checkpoint(path):
        pass
    assert path.read_bytes() == before


def test_folder_in_the_journals_place(tmp_path: Path) -> None:
    """The same, and the lock is free again."""
    (tmp_path / "journal").mkdir()
    with pytest.raises(BootstrapError, match="journal"), Checkpoint(tmp_path / "journal"):
        pass


def test_other_programs_database_is_left_alone(tmp_path: Path) -> None:
    """A wrong --journal again, such as the file of the cache."""
    path = tmp_path / "precious.sqlite3"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE entries (precious TEXT)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(BootstrapError, match="precious"), Checkpoint(path):
        pass
    assert path.read_bytes() == before


def test_torn_journal(tmp_path: Path) -> None:
    """A file with damaged pages in its middle is said to be damaged, wherever that is found out."""
    path = tmp_path / "journal"
    with Checkpoint(path) as journal:
        survey(journal, *(f"{n:05d}" for n in range(5_000)))
    data = bytearray(path.read_bytes())
    data[20_000:] = b"\xaa" * (len(data) - 20_000)
    path.write_bytes(data)
    with pytest.raises(BootstrapError, match="journal"), Checkpoint(path) as journal:
        record_all(journal)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file stands where the journal's folder should be."""
    (tmp_path / "file").touch()
    with pytest.raises(BootstrapError, match="cannot be made"), Checkpoint(tmp_path / "file" / "journal"):
        pass


def test_journal_of_another_format(tmp_path: Path) -> None:
    """Made by a release that wrote other tables."""
    with Checkpoint(tmp_path / "journal") as journal:
        journal.remember("format", "0")
    with pytest.raises(BootstrapError, match="its format was 0"), Checkpoint(tmp_path / "journal"):
        pass


def test_blocks() -> None:
    """The last is of what is left, and nothing is read ahead."""
    assert list(blocks(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(blocks([], 2)) == []
    numbers = iter(range(10))
    next(blocks(numbers, 3))
    assert next(numbers) == 3


def test_tasks_are_kept_as_json(journal: Checkpoint) -> None:
    """Numbers stay the numbers they were."""
    task = json.loads('{"id": 12345678901234567890, "data": {"image": "a", "n": 0.1, "e": 1e22}}')
    journal.survey([Item(b"a", task)], sort=False)
    assert next(journal.pending()).item.task == task
