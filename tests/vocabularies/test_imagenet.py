import hashlib
import json

import pytest

from ml_backend.vocabularies.class_list import read_rows
from ml_backend.vocabularies.imagenet import BACKGROUND, imagenet_class, imagenet_classes, imagenet_synsets

SYNSETS = imagenet_synsets()


def below(synset: str) -> list[str]:
    """Return the names of the classes below a synset."""
    return [
        each.name
        for each in imagenet_classes()
        if synset in {up for level in SYNSETS.ancestors(each.id) for up in level}
    ]


def sha256(text: str) -> str:
    """Return the digest of a text, 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def test_order_is_that_of_the_published_classifiers() -> None:
    """1001 outputs: the background, then the 1000 classes by their first names, as in TensorFlow's ImageNetLabels.txt (10,483 bytes)."""
    names = "\n".join(each.name for each in (BACKGROUND, *imagenet_classes()))
    assert sha256(names) == "310bbb36daf4dec629a836332d9a400ae883b435d4b68c3885b35a26f90aa079"


def test_names_and_hypernyms_are_those_of_wordnet() -> None:
    """The rows that were taken from WordNet 3.0, by their digest; only the numbers of the meanings are added."""
    rows = [
        [synset, output, "; ".join(name.rsplit(":", 1)[0] for name in names.split("; ")), hypernyms]
        for synset, output, names, hypernyms in read_rows("imagenet_synsets.csv")[1:]
    ]
    assert sha256(json.dumps(rows)) == "13701441a1c730069db5efa147bd2c82dc506496e76d56e45356d8391a03d92a"


def test_synsets_are_the_classes_and_all_above_them() -> None:
    """1860 synsets, each once, and nothing that no class needs."""
    classes = {each.id for each in imagenet_classes()}
    assert len(SYNSETS.ids) == len(set(SYNSETS.ids)) == len(SYNSETS.names) == 1860
    assert len(classes) == 1000
    above = {up for each in classes for level in SYNSETS.ancestors(each) for up in level}
    assert classes | above == set(SYNSETS.ids)


def test_hierarchy_has_one_root_and_no_circle() -> None:
    """1937 edges between synsets of the list; every way up ends at entity."""
    edges = [(child, parent) for child, parents in SYNSETS.parents.items() for parent in parents]
    assert len(edges) == len(set(edges)) == 1937
    assert {each for edge in edges for each in edge} == set(SYNSETS.ids)
    for each in SYNSETS.ids:
        above = {up for level in SYNSETS.ancestors(each) for up in level}
        assert each not in above
        assert "n00001740" in {each, *above}
    assert SYNSETS.name_by_id["n00001740"] == "entity"


def test_rows_are_well_formed() -> None:
    """Outputs from 1 to 1000, each once; names with the number of their meaning; ids of nouns."""
    head, *rows = read_rows("imagenet_synsets.csv")
    assert head == ["synset", "output", "names", "hypernyms"]
    assert sorted(int(output) for _, output, _, _ in rows if output) == list(range(1, 1001))
    for synset, _, names, hypernyms in rows:
        assert all(len(each) == 9 and each[0] == "n" and each[1:].isdecimal() for each in (synset, *hypernyms.split()))
        for name in names.split("; "):
            word, meaning = name.rsplit(":", 1)
            assert word.strip() == word != ""
            assert int(meaning) >= 1


def test_a_meaning_of_a_word_has_one_synset() -> None:
    """WordNet counts the meanings of a word, so word and number name one synset; some synsets spell a word in two ways."""
    synset_of: dict[tuple[str, str], str] = {}
    for synset, _, names, _ in read_rows("imagenet_synsets.csv")[1:]:
        for name in names.split("; "):
            word, meaning = name.casefold().rsplit(":", 1)
            assert synset_of.setdefault((word, meaning), synset) == synset


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("car", ("n02958343", "motor vehicle")),
        ("dog", ("n02084071", "canine")),
        ("cat", ("n02121620", "feline")),
        ("bird", ("n01503061", "vertebrate")),
        ("person", ("n00007846", "organism")),
        ("mouse", ("n03793489", "electronic device")),
        ("crane", ("n03126707", "lifting device")),
    ],
    ids=[
        "car:1, not the railway car, car:2",
        "a synset above classes",
        "not the domestic cat alone",
        "the animal",
        "above three classes only",
        "a class; no other synset here has the name first",
        "crane:4, not the bird, crane:5",
    ],
)
def test_names_mean_the_first_of_their_meanings(name: str, expected: tuple[str, str]) -> None:
    """WordNet numbers meanings from the most frequent one."""
    found = SYNSETS.find(name) or ""
    assert (found, SYNSETS.name_by_id[SYNSETS.parents[found][0]]) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("automobile", "n02958343"),
        ("motorcar", "n02958343"),
        ("phone", "n04401088"),
        ("BIKE", "n03790512"),
        ("car", None),
        ("people", None),
    ],
    ids=[
        "a synonym",
        "another",
        "telephone",
        "bike:1 is the motorcycle",
        "a name is no synonym",
        "no word for one thing",
    ],
)
def test_synonyms_mean_the_first_of_their_meanings(word: str, expected: str | None) -> None:
    """All names of a synset but its first are synonyms."""
    assert SYNSETS.find_synonym(word) == expected


@pytest.mark.parametrize(
    ("word", "others"),
    [("car", ["n02959942"]), ("bike", ["n02834778"]), ("plane", ["n02691156"]), ("dog", [])],
    ids=["the railway car", "the bicycle", "the airplane: the class called plane is the tool", "one meaning here"],
)
def test_other_meanings_are_known(word: str, others: list[str]) -> None:
    """So a label config with such a word can be warned of it."""
    assert list(SYNSETS.other_meanings(word)) == others


@pytest.mark.parametrize(
    ("name", "count", "member"),
    [
        ("dog", 118, "Chihuahua"),
        ("wolf", 4, "timber wolf"),
        ("bird", 59, "cock"),
        ("car", 10, "minivan"),
        ("entity", 1000, "toilet tissue"),
    ],
)
def test_classes_below_a_synset(name: str, count: int, member: str) -> None:
    """A choice of this name gets the probabilities of all of them."""
    found = below(SYNSETS.find(name) or "")
    assert member in found
    assert len(found) == count


@pytest.mark.parametrize(
    ("name", "expected"),
    [("dog", "n02084071"), ("Automobile", "n02958343"), ("n02099601", "n02099601"), ("helmet crack", "")],
    ids=["a name", "a synonym", "an id", "a class of the user's own"],
)
def test_classes_of_other_lists_get_their_synset(name: str, expected: str) -> None:
    """So their choices are found through the hierarchy; the name stays that of the list."""
    assert imagenet_class(name) == (name, expected)
