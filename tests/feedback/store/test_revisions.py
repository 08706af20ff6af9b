"""Revisions are applied and reverted, and never changed."""

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from revision_steps import EVIL, OURS, do, learned_at, past_of

from ml_backend.errors import FeedbackError
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.revisions import Revision, apply, revert
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides


@pytest.fixture
def place(tmp_path: Path) -> str:
    """Give the address of a database of its own."""
    return f"sqlite:///{tmp_path / 'feedback.sqlite3'}"


@pytest.fixture
def database(place: str) -> Iterator[Database]:
    """Give that database."""
    made = Database(place)
    yield made
    made.close()


def in_force(past: list[Revision]) -> str:
    """Return which step is in force; empty for what was there before any."""
    return f"{past[-1].overrides.thresholds[0][2] * 10:.0f}" if past and past[-1].overrides != NO_OVERRIDES else ""


def test_revision_is_read_back_as_it_was_applied(database: Database) -> None:
    """Author, evidence, and all overrides."""
    evidence: Mapping[str, Any] = {"annotations": 40, "labels": [{"label": EVIL, "target": 0.9, "low": None}]}
    revision = apply(database, 3, learned_at(0.51), detector=OURS, author=EVIL, evidence=evidence, after=0)
    assert past_of(database) == [revision]
    assert (revision.number, revision.stands_for, revision.before, revision.author) == (1, 1, 0, EVIL)
    assert (revision.overrides, revision.evidence) == (learned_at(0.51), evidence)
    assert revision.created_at.endswith("+00:00")


@pytest.mark.parametrize(
    ("steps", "force"),
    [
        ("1", "1"),
        ("12", "2"),
        ("1r", ""),
        ("12r", "1"),
        ("12rr", ""),
        ("123rr", "1"),
        ("123rrr", ""),
        ("1r2", "2"),
        ("1r2r", ""),
        ("12r3", "3"),
        ("12r3r", "1"),
        ("12r3rr", ""),
        ("12rr3r", ""),
        ("12r3r4rr", ""),
        ("11r", "1"),
    ],
    ids=lambda each: each or "nothing",
)
def test_revert_leads_to_the_state_before(database: Database, steps: str, force: str) -> None:
    """Each time one further, and to what was there before the first in the end."""
    do(database, steps)
    past = past_of(database)
    assert [each.number for each in past] == list(range(1, len(steps) + 1))
    assert in_force(past) == force


_projects = itertools.count(1)


@given(steps=st.lists(st.sampled_from("123r"), max_size=10).map("".join))
def test_applying_and_reverting_are_a_stack(steps: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A revert without a revision fails, and no revision is ever changed."""
    made = Database(f"sqlite:///{tmp_path_factory.mktemp('stack') / 'a.sqlite3'}")
    project = next(_projects)
    stack: list[str] = []
    past: list[Revision] = []
    for step in steps:
        if step == "r" and not stack:
            with pytest.raises(FeedbackError, match=r"no revision to revert|are reverted already"):
                do(made, step, project)
        else:
            do(made, step, project)
            stack = stack[:-1] if step == "r" else [*stack, step]
        before, past = past, past_of(made, project)
        assert past[: len(before)] == before
        assert in_force(past) == (stack[-1] if stack else "")
    made.close()


def test_revert_is_a_revision_that_says_so(database: Database) -> None:
    """With its author, and the reverted number."""
    do(database, "12rr")
    *_, once, twice = past_of(database)
    assert [str(each) for each in past_of(database)] == [
        "revision 1 of project 3",
        "revision 2 of project 3",
        "revision 3 of project 3, which reverts to 1",
        "revision 4 of project 3, which reverts to the state before any",
    ]
    assert (once.author, once.evidence, twice.evidence) == ("b", {"reverts": 2}, {"reverts": 1})


@pytest.mark.parametrize("steps", ["", "1r", "12rr"])
def test_there_is_a_beginning(database: Database, steps: str) -> None:
    """It cannot be reverted."""
    do(database, steps)
    with pytest.raises(FeedbackError, match="project 3"):
        revert(database, 3, author="a")
    assert len(past_of(database)) == len(steps)


def test_revert_without_a_database_creates_no_file(database: Database, tmp_path: Path) -> None:
    """A mistyped project is no reason to make a database."""
    with pytest.raises(FeedbackError, match="no revision to revert"):
        revert(database, 3, author="a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("steps", "after"),
    [("1", 0), ("12", 1), ("12", 3), ("1r", 1), ("12r", 1), ("1", -1)],
    ids=["the first again", "one was applied", "one that is not there", "one was reverted", "the one it reverts to", "negative"],
)  # fmt: skip
def test_revision_that_was_learned_under_another_is_refused(database: Database, steps: str, after: int) -> None:
    """Naming the one that came in between."""
    do(database, steps)
    before = past_of(database)
    with pytest.raises(FeedbackError, match="in force meanwhile") as refused:
        apply(database, 3, NO_OVERRIDES, detector=OURS, author="a", evidence={}, after=after)
    assert str(before[-1]) in str(refused.value)
    assert past_of(database) == before


def test_revision_after_one_that_is_gone_is_refused(database: Database) -> None:
    """The database was taken away or begun anew between learning and applying."""
    with pytest.raises(FeedbackError, match="no revision of project 3 is in force meanwhile"):
        apply(database, 3, NO_OVERRIDES, detector=OURS, author="a", evidence={}, after=5)


def test_projects_have_their_own_revisions(database: Database) -> None:
    """Numbers begin at 1 in each."""
    do(database, "12", project=3)
    do(database, "3", project=4)
    do(database, "r", project=3)
    assert [each.number for each in past_of(database, 4)] == [1]
    assert (in_force(past_of(database, 3)), in_force(past_of(database, 4))) == ("1", "3")


def test_two_processes_cannot_both_apply_the_next(database: Database, place: str) -> None:
    """The second one was calibrated under a revision that is not in force any more."""
    other = Database(place)
    apply(other, 3, learned_at(0.1), detector=OURS, author="a", evidence={}, after=0)
    with pytest.raises(FeedbackError, match="meanwhile"):
        apply(database, 3, learned_at(0.2), detector=OURS, author="b", evidence={}, after=0)
    other.close()
    assert [each.author for each in past_of(database)] == ["a"]


@given(
    st.dictionaries(st.tuples(st.text(max_size=3), st.text(max_size=3)), st.floats(0, 1), max_size=3),
    st.dictionaries(st.tuples(st.text(max_size=3), st.text(max_size=3)), st.text(max_size=3), max_size=3),
)
def test_what_was_learned_is_plain_json(
    thresholds: dict[tuple[str, str], float], classes: dict[tuple[str, str], str]
) -> None:
    """Numbers to the last bit; whatever the labels."""
    overrides = LabelOverrides.of(thresholds, classes)
    assert LabelOverrides.from_json(json.loads(json.dumps(overrides.to_json()))) == overrides
