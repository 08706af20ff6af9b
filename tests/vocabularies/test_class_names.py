import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_backend.errors import SettingsError
from ml_backend.vocabularies import class_names
from ml_backend.vocabularies.class_names import MAX_BYTES, ClassNames, read_class_names

Write = Callable[[str, "str | bytes"], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a function that writes a file and returns its path."""

    def written(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "cat\ndog\n", {1: "cat", 2: "dog"}),
        ("a.TXT", "cat\r\n dog \r\n\r\n", {1: "cat", 2: "dog"}),
        ("a.txt", b"\xef\xbb\xbfcat\ndog", {1: "cat", 2: "dog"}),
        ("a.txt", "background\ncat", {0: "background", 1: "cat"}),
        ("a.txt", "__Background__\ncat", {0: "__Background__", 1: "cat"}),
        ("a.txt", "???\nperson\n???", {0: "???", 1: "person", 2: "???"}),
        ("a.txt", "crane\ncrane", {1: "crane", 2: "crane"}),
        ("a.txt", "tench, Tinca  tinca\nnan", {1: "tench, Tinca tinca", 2: "nan"}),
        ("a.txt", "Straßenschild\n猫", {1: "Straßenschild", 2: "猫"}),
        ("a.txt", "n\u00e9\u2028x\ny", {1: "n\u00e9 x", 2: "y"}),
        ("a.csv", "cat\ndog\n", {1: "cat", 2: "dog"}),
        ("a.csv", "0,cat\n1,dog\n", {0: "cat", 1: "dog"}),
        ("a.csv", "\ufeff1;cat\r\n2;dog, small\r\n", {1: "cat", 2: "dog, small"}),
        ("a.csv", "1\tcat\n2\tdog\n", {1: "cat", 2: "dog"}),
        ("a.csv", "ID,Name\n1,cat\n3,dog\n", {1: "cat", 3: "dog"}),
        ("a.csv", "name,colour,id\ncat,red,2\ndog,blue,1\n", {1: "dog", 2: "cat"}),
        ("a.csv", "class,name\n0,cat\n1,dog\n", {0: "cat", 1: "dog"}),
        ("a.csv", "name\nbackground\ncat\n", {0: "background", 1: "cat"}),
        ("a.csv", '1,"a ""big"" cat"\n2,"dog, or\nwolf"\n', {1: 'a "big" cat', 2: "dog, or wolf"}),
        ("a.csv", "/m/01yrx,Cat\n/m/0bt9lr,Dog\n", {1: "/m/01yrx", 2: "/m/0bt9lr"}),
        ("a.csv", "7\n8\n", {1: "7", 2: "8"}),
        ("a.json", '["cat", "dog"]', {1: "cat", 2: "dog"}),
        ("a.json", '["background", "cat"]', {0: "background", 1: "cat"}),
        ("a.json", '{"0": "cat", "1": "dog"}', {0: "cat", 1: "dog"}),
        ("a.json", '{"0": ["n02123045", "tabby"], "1": ["n02085620", "Chihuahua"]}', {0: "tabby", 1: "Chihuahua"}),
        ("a.json", '[{"id": 18, "name": "dog", "supercategory": "animal"}]', {18: "dog"}),
        ("a.json", '["a\\ud800"]', {1: "a\\ud800"}),
        ("a.pbtxt", "item {\n  id: 1\n  name: 'cat'\n}\nitem {\n  id: 2\n  name: 'dog'\n}\n", {1: "cat", 2: "dog"}),
        ("a.pbtxt", 'item { name: "/m/01yrx" id: 1 display_name: "Cat" }', {1: "Cat"}),
        ("a.pbtxt", 'item: < id: 1, name: "cat"; > item{id:2 name:"dog"}', {1: "cat", 2: "dog"}),
        ("a.pbtxt", '# item { id: 9 name: "x" }\nitem { # a cat\n id: 1 # one\n name: "#1 cat" }', {1: "#1 cat"}),
        ("a.pbtxt", 'item { id: 1 name: "a } b { c" }', {1: "a } b { c"}),
        (
            "a.pbtxt",
            'item { keypoints { id: 7 label: "nose" } keypoints { id: 8 } ancestor_ids: ["a", "b"] name: "face" id: 3 }',
            {3: "face"},
        ),
        ("a.pbtxt", r'item { id: 1 name: "caf\303\251 \"x\" \u00e9\x21" }', {1: 'café "x" é!'}),
        ("a.pbtxt", 'item { id: 1 name: "hot " "dog" }', {1: "hot dog"}),
        ("a.pbtxt", '\ufeffitem { id: 0 name: "background" } item { id: 1 name: "cat" }', {0: "background", 1: "cat"}),
    ],
    ids=[
        "a name in each line",
        "line ends and spaces",
        "byte order mark",
        "background first: counts from 0",
        "another spelling of it",
        "gaps of label maps for TensorFlow Lite",
        "ImageNet has two cranes",
        "commas, and a name that looks like no number",
        "any script",
        "other ends of lines stand within a line",
        "one column",
        "numbers in front",
        "semicolons and a byte order mark, as Excel writes",
        "tabs",
        "named columns, numbers with a gap",
        "columns in any order",
        "class is the number where there is a name",
        "a column of names, background first",
        "quotes and a line end within",
        "other ids in front are the names",
        "digits are names where they stand alone",
        "a list",
        "a list, background first",
        "by number",
        "ImageNet's own index",
        "categories of COCO",
        "half a character",
        "a label map",
        "the displayed name counts",
        "other brackets and separators",
        "comments",
        "braces within a name",
        "blocks within an item",
        "escapes",
        "a text in two parts",
        "background, byte order mark",
    ],
)
def test_names_are_read_with_their_numbers(
    write: Write, name: str, content: str | bytes, expected: dict[int, str]
) -> None:
    """From each of the four kinds of files."""
    assert read_class_names(write(name, content)).names == expected


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "", "it has no names"),
        ("a.txt", "\ufeff \n\n", "it has no names"),
        ("a.txt", "cat\n\ndog", "the class 2 has no name"),
        ("a.txt", "x" * 501, "the class 1 has no name, or one of more than 500 characters"),
        ("a.txt", "cat\nd\x00g", r"the name of the class 2 has a control character: 'd\\x00g'"),
        ("a.txt", "cat\nKäse".encode("latin-1"), "its byte 6 is not UTF-8"),
        ("a.txt", "cat".encode("utf-16"), "its byte 1 is not UTF-8"),
        ("a.csv", "", "it has no names"),
        ("a.csv", "id\n1\n2", "its first line names no column of names"),
        ("a.csv", "Nr,Bezeichnung\n1,cat\n2,dog", "its first line names no column of names"),
        ("a.csv", "id,name\n1,cat\n2\n", r"line 3 has too few columns \(1\)"),
        ("a.csv", "id,name\n1,cat\n2,\n", "the class 2 has no name"),
        ("a.csv", "id,name\n1,cat\nx,dog\n", "the number 'x' is not a whole number from 0"),
        ("a.csv", "id,name\n1,cat\n1,dog\n", "the number 1 stands there twice"),
        ("a.csv", "cat\n\ndog", "the class 2 has no name"),
        ("a.csv", '1,"cat\n2,dog', "unexpected end of data"),
        ("a.csv", "x" * 200_000, "field larger than field limit"),
        ("a.json", "", "line 1 column 1"),
        ("a.json", "[", "line 1 column 2"),
        ("a.json", "3", "it holds something else"),
        ("a.json", "null", "it holds something else"),
        ("a.json", "[]", "it has no names"),
        ("a.json", "{}", "it has no names"),
        ("a.json", '["cat", 2]', "it holds something else"),
        ("a.json", "[NaN, NaN]", "it holds something else"),
        ("a.json", '[{"name": "cat"}]', "it holds something else"),
        ("a.json", '{"1": "cat", "1": "dog"}', "'1' stands there twice"),
        ("a.json", '{"1": "cat", "01": "dog"}', "the number 1 stands there twice"),
        ("a.json", '{"cat": 0, "dog": 1}', "the number 'cat' is not a whole number"),
        ("a.json", '{"1": 5}', "the name of the class 1 is not a text: 5"),
        ("a.json", '{"1": NaN}', "the name of the class 1 is not a text: nan"),
        ("a.json", '{"1": []}', r"the name of the class 1 is not a text: \[\]"),
        ("a.json", '[{"id": 1.0, "name": "cat"}]', "the number 1.0 is not a whole number"),
        ("a.json", '[{"id": true, "name": "cat"}]', "the number True is not a whole number"),
        ("a.json", '[{"id": null, "name": "cat"}]', "the number None is not a whole number"),
        ("a.json", '[{"id": -1, "name": "cat"}]', "the number -1 is not a whole number from 0"),
        ("a.json", '[{"id": 1e400, "name": "cat"}]', "the number inf is not a whole number"),
        ("a.json", '[{"id": 12345678901, "name": "cat"}]', "the number 12345678901 is not a whole number"),
        ("a.json", '[{"id": [1], "name": "cat"}]', r"the number \[1\] is not a whole number"),
        ("a.json", '[{"id": 1, "name": ["cat"]}]', r"the name of the class 1 is not a text: \['cat'\]"),
        ("a.json", DEEP, "it is nested too deeply"),
        ("a.pbtxt", "", "it has no names"),
        ("a.pbtxt", "cat\ndog", "it has no names"),
        ("a.pbtxt", "item {\n}\n\nitem { id: 1 name: 'a' }", "the item in line 1 has no id or no name"),
        ("a.pbtxt", "item { id: 1 name: 'a' }\nitem { name: 'b' }", "the item in line 2 has no id or no name"),
        ("a.pbtxt", "item { id: 1 name: 'a' }\nitem { id: 2", "the block in line 2 does not end"),
        ("a.pbtxt", "item { id: 1 name: 'a' }\n}", "line 2 has an unexpected }"),
        ("a.pbtxt", "item {\n id: 1\n name: 'a\n}", "line 3 has an unexpected '"),
        ("a.pbtxt", "item { id: -1 name: 'a' }", "the number '-1' is not a whole number"),
        ("a.pbtxt", "item { id: 1 name: 'a' } item { id: 1 name: 'b' }", "the number 1 stands there twice"),
    ],
)
def test_other_files_are_refused_with_the_place_and_the_expected_form(
    write: Write, name: str, content: str | bytes, words: str
) -> None:
    """A list that is read wrongly would give every image wrong labels; each message ends with the form to write."""
    path = write(name, content)
    with pytest.raises(SettingsError, match=words) as caught:
        read_class_names(path)
    message = str(caught.value)
    assert message.startswith(f"PRELABEL_CLASS_NAMES={path} is no class list: ")
    assert class_names.READERS[path.suffix][1] in message
    assert len(message) < 1000


@pytest.mark.parametrize("name", ["names.yaml", "names", "names.txt.gz", ".txt"])
def test_kind_of_file_is_known_by_its_suffix(write: Write, name: str) -> None:
    """Others are not guessed; the message names the four kinds."""
    with pytest.raises(SettingsError, match=r"expected a file named \.txt, \.csv, \.json, \.pbtxt"):
        read_class_names(write(name, "cat"))


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    """A missing file, and a folder."""
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(SettingsError, match=r"missing\.txt cannot be read: No such file"):
        read_class_names(tmp_path / "missing.txt")
    with pytest.raises(SettingsError, match=r"folder\.txt cannot be read: Is a directory"):
        read_class_names(tmp_path / "folder.txt")


def test_huge_files_are_refused_and_not_cut_off(tmp_path: Path) -> None:
    """Half a list would fit no model, or the wrong one. No more than the limit is read."""
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(10 * 1000**3)  # sparse
    with pytest.raises(SettingsError, match="it has more than 10,000,000 bytes"):
        read_class_names(path)


@pytest.mark.parametrize(
    "content",
    ["item { id: 1 name: 'a' }\n", "item" + " " * 1000, '"' + "\\" * 999, "a" * 1000, "item {" * 100, "#" * 1000],
)
def test_label_maps_of_full_length_take_no_minutes(write: Write, content: str) -> None:
    """The time grows with the length, and not with its square: the time limit of the test is the measure."""
    path = write("long.pbtxt", (content * (MAX_BYTES // len(content)))[:MAX_BYTES])
    with pytest.raises(SettingsError):
        read_class_names(path)


@pytest.mark.parametrize(
    ("names", "count", "expected"),
    [
        ({1: "cat", 2: "dog"}, 2, ("cat", "dog")),
        ({0: "cat", 1: "dog"}, 2, ("cat", "dog")),
        ({1: "cat", 2: "dog"}, 3, ("background", "cat", "dog")),
        ({0: "background", 1: "cat", 2: "dog"}, 3, ("background", "cat", "dog")),
        ({0: "background", 1: "cat", 2: "dog"}, 2, None),
        ({0: "cat", 1: "dog"}, 3, None),
        ({1: "cat", 3: "dog"}, 2, None),
        ({1: "cat", 3: "dog"}, 3, None),
        ({2: "cat", 3: "dog"}, 2, None),
        ({1: "cat", 2: "dog"}, 4, None),
        ({1: "cat", 2: "dog"}, 1, None),
    ],
    ids=[
        "from 1",
        "from 0",
        "an output for the background in front",
        "named background",
        "a background that the model does not have",
        "from 0, so nothing is in front",
        "a gap",
        "a gap as long",
        "from 2",
        "shorter",
        "longer",
    ],
)
def test_outputs_of_a_classifier_are_named_in_order(
    names: dict[int, str], count: int, expected: tuple[str, ...] | None
) -> None:
    """A classifier has outputs and no numbers: their count decides whether a list fits."""
    assert ClassNames("a.txt", names).outputs(count) == expected


@pytest.mark.parametrize(
    ("names", "counts", "expected"),
    [
        ({1: "cat", 2: "dog"}, (2,), {1: "cat", 2: "dog"}),
        ({1: "cat", 2: "dog"}, (1, 2), {1: "cat", 2: "dog"}),
        ({1: "cat", 2: "dog"}, (), {1: "cat", 2: "dog"}),
        ({0: "background", 1: "cat"}, (1,), {1: "cat"}),
        ({0: "__background__", 1: "cat"}, (), {1: "cat"}),
        ({1: "cat", 4: "dog"}, (4,), {1: "cat", 4: "dog"}),
        ({1: "cat", 4: "dog"}, (2,), None),
        ({0: "cat", 1: "dog"}, (2,), None),
        ({0: "cat", 1: "dog"}, (1,), None),
        ({0: "cat", 1: "dog"}, (), None),
        ({0: "background"}, (), None),
        ({1: "cat", 2: "dog"}, (3,), None),
    ],
    ids=[
        "from 1",
        "one of two possible counts",
        "any count",
        "the background has no number there",
        "another spelling of it",
        "gaps are no classes",
        "numbers beyond the count",
        "from 0: each name would be that of its neighbour",
        "from 0, by its last number",
        "from 0, with any count",
        "nothing but the background",
        "shorter",
    ],
)
def test_classes_of_a_detector_count_from_one(
    names: dict[int, str], counts: tuple[int, ...], expected: dict[int, str] | None
) -> None:
    """A detector returns numbers of classes, as its label map gave them in training."""
    assert ClassNames("a.txt", names).from_one(counts) == expected


def test_length_and_numbers_are_told_in_messages() -> None:
    """So a person sees why a list does not fit."""
    assert str(ClassNames("a.csv", {3: "c", 1: "a"})) == "the list in a.csv has 2 names, numbered from 1 to 3"


def test_digest_is_that_of_numbers_and_names(write: Write) -> None:
    """The same list in another file or order is the same list; another name or number is another."""
    digests = [
        read_class_names(write(name, content)).digest
        for name, content in [
            ("a.txt", "cat\ndog"),
            ("b.json", json.dumps({"2": "dog", "1": "cat"})),
            ("c.txt", "dog\ncat"),
            ("d.json", json.dumps({"0": "cat", "1": "dog"})),
            ("e.txt", "cat\nDog"),
        ]
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4
    assert len(digests[0]) == 64
