import json
import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from bootstrap_jobs import IMAGE_FIELDS

from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.sources.lists import skip_reason_of
from ml_backend.bootstrap.sources.registry import open_source
from ml_backend.bootstrap.sources.source import Source, SourceOptions
from ml_backend.errors import BootstrapError
from ml_backend.images.references import CloudReference, HttpReference, StorageReference, readable
from ml_backend.label_studio.connections import LabelStudio
from ml_backend.label_studio.controls.control import ImageField

ADDRESS = "http://host/a.jpg"


def opened(source: Path | str, image_fields: list[ImageField] = IMAGE_FIELDS, **options: Any) -> Source:
    """Open a source."""
    return open_source(str(source), SourceOptions(image_fields, **options))


def items_of(source: Path | str, image_fields: list[ImageField] = IMAGE_FIELDS, **options: Any) -> list[Item]:
    """Return everything in a source, in the order of the job."""
    inputs = opened(source, image_fields, **options)
    found = list(inputs.items())
    return sorted(found, key=lambda item: item.key) if inputs.sort else found


def names_of(source: Path | str) -> list[str]:
    """Return the names of the files in a source."""
    return [os.fsdecode(item.key) for item in items_of(source)]


def complaint(source: Path | str, image_fields: list[ImageField] = IMAGE_FIELDS) -> str:
    """Return what is said of a source that is not as it should be: one line that can be printed."""
    with pytest.raises(BootstrapError) as refusal:
        items_of(source, image_fields)
    text = str(refusal.value)
    assert text.encode().decode().isprintable(), text
    return text


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that fills a folder with files of these names."""

    def filled(*names: str) -> Path:
        root = tmp_path / "pictures"
        root.mkdir(exist_ok=True)
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * len(name))
        return root

    return filled


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes one file."""

    def written(name: str, content: bytes | str | list[Any]) -> Path:
        path = tmp_path / name
        if isinstance(content, list):
            content = json.dumps(content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


@pytest.mark.parametrize(
    ("names", "expected", "why"),
    [
        ("b.jpg a.png", "a.png b.jpg", "pictures"),
        ("d/e/f.jpg a.jpg d/a.jpg", "a.jpg d/a.jpg d/e/f.jpg", "at any depth"),
        ("a.JPG b.JpEg c.Tif d.WEBP e.avif", "a.JPG b.JpEg c.Tif d.WEBP e.avif", "suffixes in any case"),
        (".a.jpg .git/b.jpg c.jpg", "c.jpg", "nothing hidden"),
        ("a.jpg a.txt a.jpg.xml jpg a", "a.jpg", "nothing that is called otherwise"),
        ("a/b.jpg a-c.jpg", "a-c.jpg a/b.jpg", "by bytes of the whole path"),
    ],
)
def test_folder(folder: Callable[..., Path], names: str, expected: str, why: str) -> None:
    """All pictures below it."""
    assert names_of(folder(*names.split())) == expected.split()


@pytest.mark.parametrize(
    "name",
    [
        "a b.jpg",
        "quote\"s'.jpg",
        "new\nline.jpg",
        "tab\t.jpg",
        "k%20ey.jpg",
        "a#b?c&d=e+f;g.jpg",
        "ü-💡.jpg",
        "\udcff\udcfe.jpg",
        "d?/e#/ä.jpg",
        "-rf.jpg",
        "[1]*.jpg",
        "C:\\a.jpg",
    ],
)
def test_any_name_arrives(folder: Callable[..., Path], name: str) -> None:
    """Label Studio reads the path back from the address, byte by byte; the file is the one that is meant; the name can be shown."""
    (item,) = items_of(folder(name))
    query = urlsplit(item.task["data"]["image"]).query
    (path,) = parse_qs(query, errors="surrogateescape")["d"]
    assert path == name
    assert item.file is not None
    assert item.file.read_bytes() == b"x" * len(name)
    assert item.name.encode()
    assert json.loads(json.dumps(item.task)) == item.task


def test_links(folder: Callable[..., Path]) -> None:
    """A link to a file is a picture; those to folders, which go in circles here, to nowhere and to no file are passed over."""
    root = folder("d/a.jpg")
    (root / "b.jpg").symlink_to(root / "d" / "a.jpg")
    (root / "circle").symlink_to(root)
    (root / "nowhere.jpg").symlink_to(root / "gone.jpg")
    os.mkfifo(root / "pipe.jpg")
    (root / "folder.jpg").mkdir()
    assert names_of(root) == ["b.jpg", "d/a.jpg"]


def test_link_to_itself(folder: Callable[..., Path]) -> None:
    """It leads nowhere as well."""
    root = folder("a.jpg")
    (root / "self.jpg").symlink_to(root / "self.jpg")
    assert names_of(root) == ["a.jpg"]


def test_stamp_changes_with_the_file(folder: Callable[..., Path]) -> None:
    """Its size or its time."""
    root = folder("a.jpg", "b.jpg", "c.jpg")
    before = {item.key: item.stamp for item in items_of(root)}
    (root / "a.jpg").write_bytes(b"another size")
    os.utime(root / "b.jpg", ns=(1, 1))
    after = {item.key: item.stamp for item in items_of(root)}
    assert [key for key in before if before[key] != after[key]] == [b"a.jpg", b"b.jpg"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "it is empty"),
        (["a.txt", "b.txt", "c.xml", "README"], "2 .txt, 1 .xml, 1 no suffix"),
        ([".a.jpg"], "it is empty"),
    ],
)
def test_folder_without_pictures(folder: Callable[..., Path], names: list[str], words: str) -> None:
    """What is there instead, and what was looked for."""
    said = complaint(folder(*names))
    assert words in said
    assert ".jpeg" in said


def test_folder_is_not_listed_as_a_whole(folder: Callable[..., Path], tmp_path: Path) -> None:
    """Items come one at a time: what is not asked for yet is not even there."""
    root = folder(*(f"{n}/a.jpg" for n in range(20)))
    items = opened(root).items()
    assert len(list(islice(items, 2))) == 2
    for n in range(20):
        (root / f"{n}" / "a.jpg").unlink()
    with pytest.raises(StopIteration):
        next(items)


def test_folder_of_thousands(tmp_path: Path) -> None:
    """Ten thousand in a second or so, if nothing else goes on."""
    for n in range(10_000):
        (tmp_path / f"{n}.jpg").touch()
    began = time.monotonic()
    assert len(items_of(tmp_path)) == 10_000
    assert time.monotonic() - began < 10


def test_prefix_and_list_of_images(folder: Callable[..., Path]) -> None:
    """What stands in front is the user's choice; a config that wants a list gets a list of one, under each key."""
    options = SourceOptions([ImageField("one", is_list=False), ImageField("many", is_list=True)], "s3://bucket/")
    (item,) = open_source(str(folder("a b.jpg")), options).items()
    assert item.task == {"data": {"one": "s3://bucket/a%20b.jpg", "many": ["s3://bucket/a%20b.jpg"]}}


def test_folders_name_is_absolute(folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the same command in another folder is not taken for the same job."""
    root = folder("a.jpg")
    monkeypatch.chdir(root.parent)
    assert opened("pictures").name == opened("pictures/").name == opened(root).name == str(root)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", "a.jpg b.jpg"),
        ("[a]*", "a.jpg"),
        ("d/**/*.jpg", "c.jpg e/f.jpg"),
        ("**/*.JPG", "d/G.JPG"),
        ("d/*/f.jpg", "e/f.jpg"),
        ("?.jpg", "a.jpg b.jpg"),
        ("./d/../*.jpg", "a.jpg b.jpg"),
        ("a.*", "a.jpg"),
    ],
)
def test_pattern(folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, pattern: str, expected: str) -> None:
    """The pictures that it matches, named from the folder before its first wildcard, wherever one stands."""
    root = folder("a.jpg", "a.txt", "b.jpg", "d/c.jpg", "d/G.JPG", "d/e/f.jpg", ".hidden.jpg")
    assert names_of(root / pattern) == expected.split()
    monkeypatch.chdir(root)
    assert names_of(pattern) == expected.split()
    assert opened(pattern).name == os.path.abspath(root / pattern)  # noqa: PTH100 - as the source does it


def test_pattern_that_nothing_matches(folder: Callable[..., Path]) -> None:
    """Not even where files do, which are no pictures."""
    root = folder("a.txt")
    assert "no images match" in complaint(root / "*")
    assert "no images match" in complaint(root / "*.jpg")


def test_single_picture(folder: Callable[..., Path]) -> None:
    """It is named by its name alone, whatever that is."""
    root = folder("a.jpg", "b[1]*.PNG")
    assert names_of(root / "a.jpg") == ["a.jpg"]
    assert names_of(root / "b[1]*.PNG") == ["b[1]*.PNG"]


def test_single_picture_in_a_folder_with_brackets(folder: Callable[..., Path]) -> None:
    """The same."""
    root = folder("d[1]/a.jpg")
    assert names_of(root / "d[1]" / "a.jpg") == ["a.jpg"]


@pytest.mark.parametrize(
    ("content", "expected", "why"),
    [
        ("http://h/a.jpg\nhttp://h/b.jpg\n", ["http://h/a.jpg", "http://h/b.jpg"], "a line each, in their order"),
        ("\ufeffhttp://h/a.jpg\r\n\r\n  http://h/b.jpg\t\r\n", ["http://h/a.jpg", "http://h/b.jpg"], "from Windows"),
        ("# pictures\n\n   # more\nhttp://h/a.jpg#part", ["http://h/a.jpg#part"], "comments, no last line feed"),
        ("http://h/ä b.jpg\ns3://b/a.jpg", ["http://h/ä b.jpg", "s3://b/a.jpg"], "as people write them"),
        ("/data/upload/1/a.jpg\nno address", ["/data/upload/1/a.jpg", "no address"], "fetching judges, not listing"),
    ],
)
def test_list(file: Callable[..., Path], content: str, expected: list[str], why: str) -> None:
    """A task for each address."""
    items = items_of(file("list.txt", content))
    assert [item.task["data"]["image"] for item in items] == expected
    assert [item.key.decode() for item in items] == expected


def test_repeated_address_has_one_key(file: Callable[..., Path]) -> None:
    """The checkpoint counts it once, and says so."""
    items = items_of(file("list.TXT", f"{ADDRESS}\n{ADDRESS} \n"))
    assert len(items) == 2
    assert len({item.key for item in items}) == 1


@pytest.mark.parametrize(
    ("content", "data", "why"),
    [
        ("image\na.jpg\n", [{"image": "a.jpg"}], "one column"),
        (
            "\ufeffimage,id\r\na.jpg,7\r\n",
            [{"image": "a.jpg", "id": "7"}],
            "other columns go into the data; from Windows",
        ),
        ('name,image\n"a, ""b""\nc",x\n', [{"name": 'a, "b"\nc', "image": "x"}], "quoting"),
        ("image\na\n\nb\n", [{"image": "a"}, {"image": "b"}], "empty lines"),
        ("image,n\n,1\n", [{"image": "", "n": "1"}], "an empty cell fails alone, later"),
    ],
)
def test_table(file: Callable[..., Path], content: str, data: list[dict[str, str]], why: str) -> None:
    """A task for each row."""
    assert [item.task for item in items_of(file("table.csv", content))] == [{"data": row} for row in data]


def test_row_is_known_by_its_images(file: Callable[..., Path]) -> None:
    """An edited row is the same item, so that its old task goes from the outputs; two rows with one image are two."""
    image_fields = [*IMAGE_FIELDS, ImageField("back", is_list=False)]
    keys = {
        content: [
            (item.key, item.variant) for item in items_of(file("table.csv", f"image,back,n\n{content}\n"), image_fields)
        ]
        for content in ("a,b,1", "a,b,2", "b,a,1", "a,c,1")
    }
    ((first, before),), ((edited, after),), *others = keys.values()
    assert (first == edited, before == after) == (True, False)
    assert len({first, *(key for ((key, _),) in others)}) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("url,id\na,1\n", "no column 'image', where the label config says the image is (it has url, id)"),
        ("", "it has nothing"),
        ("image\n", "no rows in"),
        ("image,id\na\n", "line 2: not as many columns"),
        ("image\na,b\n", "line 2: not as many columns"),
        pytest.param('image\n"a"b\n', "line 2: ',' expected"),
        pytest.param('image\na\n"b\n', "line 3: unexpected end of data"),
        ("image\n" + "x" * 200_000, "field larger than field limit"),
        (b"image\n\xff.jpg\n", "not UTF-8 text"),
        ("image;id\na;1\n", "it has image;id"),
    ],
    ids=["column", "empty", "header", "too few", "too many", "quoting", "open quote", "huge", "Latin-1", "semicolons"],
)
def test_table_that_is_no_table(file: Callable[..., Path], content: str | bytes, words: str) -> None:
    """What is wrong, and where."""
    said = complaint(file("table.csv", content))
    assert "table.csv" in said
    assert words in said


def test_table_for_a_list_of_images(file: Callable[..., Path]) -> None:
    """A cell holds one address."""
    assert "use a .json file" in complaint(file("table.csv", "pages\na\n"), [ImageField("pages", is_list=True)])


TASK = {"id": 7, "data": {"image": ADDRESS, "more": [1, 0.1, None]}, "meta": {"a": 1}}
ANNOTATED = TASK | {"id": 8, "annotations": [{"result": []}]}


def test_export(file: Callable[..., Path]) -> None:
    """Tasks as they are, keyed by their numbers, so that changed data is found out."""
    one, other = items_of(file("export.json", [TASK, TASK | {"id": 12, "data": {"image": "b"}}]))
    assert one.task == TASK
    assert (one.key, one.skip_reason) == (b"%020d" % 7, "")
    assert one.key < other.key
    (changed,) = items_of(file("export.json", [TASK | {"data": {"image": "c"}}]))
    assert (changed.key == one.key, changed.stamp == one.stamp) == (True, False)
    (more,) = items_of(file("export.json", [TASK | {"meta": {}}]))
    assert more.stamp == one.stamp


def test_tasks_without_numbers_are_known_by_their_data(file: Callable[..., Path]) -> None:
    """In whatever order its parts stand."""
    tasks = [{"data": {"image": "a", "n": 1}}, {"data": {"n": 1, "image": "a"}}, {"data": {"image": "a", "n": 2}}]
    one, same, other = items_of(file("tasks.json", tasks))
    assert one.key == same.key != other.key


def test_tasks_with_text_ids_are_known_by_them(file: Callable[..., Path]) -> None:
    """Equal data makes them no less two; numbers, texts and data are never mistaken for each other."""
    ids = ["a", "b", "7", 7, "", None, 1.5]
    items = items_of(file("tasks.json", [{"id": each, "data": {"image": ADDRESS}} for each in ids]))
    by_id = dict(zip(ids, items, strict=True))
    assert len({by_id[each].key for each in ("a", "b", "7", 7, "")}) == 5
    assert by_id[""].key == by_id[None].key == by_id[1.5].key
    (changed,) = items_of(file("tasks.json", [{"id": "a", "data": {"image": "c"}}]))
    assert (changed.key == by_id["a"].key, changed.stamp == by_id["a"].stamp) == (True, False)


@pytest.mark.parametrize(
    ("task", "left", "why"),
    [
        ({}, False, "nothing is said of annotations"),
        ({"annotations": []}, False, "none"),
        ({"annotations": None}, False, "none"),
        ({"annotations": [{"result": []}]}, True, "even an empty one is somebody's word"),
        ({"total_annotations": 1}, True, "counted only"),
        ({"total_annotations": 0, "annotations": []}, False, "none"),
        ({"predictions": [{"result": []}]}, False, "a prediction is nobody's work"),
    ],
)
def test_annotated_tasks_are_left_alone(task: dict[str, Any], left: bool, why: str) -> None:
    """What people have drawn is not asked about again, unless they want that."""
    assert bool(skip_reason_of(task, include_annotated=False)) == left
    assert not skip_reason_of(task, include_annotated=True)


def test_annotated_tasks_of_an_export(file: Callable[..., Path]) -> None:
    """They stand in their places."""
    path = file("export.json", [TASK, ANNOTATED])
    assert [item.skip_reason for item in items_of(path)] == ["", "it has annotations"]
    assert [item.skip_reason for item in items_of(path, include_annotated=True)] == ["", ""]


DEEP = 11_000  # the encoder of Python 3.12 and 3.13 goes 10,000 deep, that of 3.11 a thousand


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not a JSON list"),
        ("hello", "is not a JSON list"),
        ('[{"data": {"image": "a"}}', "is not valid JSON"),
        ('[{"data": {"image": "a"}}] x', "is not valid JSON"),
        ('[{"data": {"image": NaN}}]', "is not valid JSON"),
        ('[{"data": {"image": 1e999}}]', "is not valid JSON"),
        (b'[{"data": {"image": "\xff"}}]', "is not valid JSON"),
        ('{"data": {"image": "a"}}', "expected a list of tasks"),
        ("[]", "no tasks in"),
        ("null", "expected a list of tasks"),
        ('[{"image": "a", "id": 1}]', "task 1: no object under 'data'; export as JSON (not JSON-MIN)"),
        ('[{"data": {"image": "a"}}, 7]', "task 2: no object under 'data'"),
        ('[{"data": ["a"]}]', "task 1: no object under 'data'"),
        pytest.param(
            '[{"data": {"image": ' + "[" * DEEP + "]" * DEEP + "}}]",
            "",
        ),
        pytest.param(
            '[{"data": {"image": "a"}, "meta": ' + "[" * DEEP + "]" * DEEP + "}]",
            "",
        ),
    ],
    ids=[
        "empty",
        "no JSON",
        "cut off",
        "more after the end",
        "NaN",
        "infinite",
        "Latin-1",
        "one task",
        "no task",
        "null",
        "JSON-MIN",
        "a number",
        "a list as data",
        "nested for ever",
        "nested for ever beside the data",
    ],
)
def test_export_that_is_none(file: Callable[..., Path], content: str | bytes, words: str) -> None:
    """What is wrong with it, and of which task, in a line."""
    path = file("export.json", content)
    with pytest.raises(BootstrapError) as refusal:
        items_of(path)
    assert "export.json" in str(refusal.value)
    assert words in str(refusal.value)


def test_complaint_about_json_is_one_line(file: Callable[..., Path]) -> None:
    """As all others."""
    complaint(file("export.json", "hello"))


def test_object_with_an_item_is_no_list(file: Callable[..., Path]) -> None:
    """Whatever its keys are called."""
    assert "expected a list of tasks" in complaint(file("export.json", json.dumps({"item": TASK})))


def test_export_is_read_a_task_at_a_time(file: Callable[..., Path]) -> None:
    """The first tasks are there before the end of the file has been seen."""
    tasks = ",".join(json.dumps(TASK | {"id": n, "data": {"image": "x" * 1_000}}) for n in range(1_000))
    items = opened(file("export.json", f"[{tasks}, broken")).items()
    assert len(list(islice(items, 100))) == 100
    with pytest.raises(BootstrapError, match="is not valid JSON"):
        list(items)


def test_list_is_read_a_line_at_a_time(file: Callable[..., Path]) -> None:
    """The same: bytes that are no text come to light when they are reached."""
    items = opened(file("list.txt", b"http://h/a.jpg\n" * 10_000 + b"\xff")).items()
    assert len(list(islice(items, 1_000))) == 1_000
    with pytest.raises(BootstrapError, match="not UTF-8 text"):
        list(items)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("list.txt", b"", "no addresses in"),
        ("list.txt", b"# nothing\n", "no addresses in"),
        ("list.txt", "h\xe4".encode("latin-1"), "not UTF-8 text"),
        ("list.txt", "h".encode("utf-16"), "not UTF-8 text"),
        ("pictures.zip", b"", "a file of no known kind: expected a folder"),
        ("pictures", b"", "a file of no known kind"),
    ],
)
def test_files_that_are_no_source(file: Callable[..., Path], name: str, content: bytes, words: str) -> None:
    """One line says what was expected."""
    said = complaint(file(name, content))
    assert name in said
    assert words in said


def test_complaint_about_a_file_of_any_name(file: Callable[..., Path]) -> None:
    """It can be printed."""
    complaint(file("l\udcff.txt", b"\xff"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gone", "gone is not there: no such file or folder"),
        ("gone/list.txt", "not there"),
        pytest.param("", "is an empty text"),
        ("a\0b", "is not there"),
        ("http://me:hunter2@host/a.jpg?sig=s3cret", "one address goes into a .txt file"),
        ("memory://bucket/", "is not a source: expected a folder"),
        ("azure-blob://b/a.jpg", "is not a source"),
    ],
)
def test_texts_that_are_no_source(text: str, words: str) -> None:
    """Told before anything else happens; without what must not be shown."""
    with pytest.raises(BootstrapError) as refusal:
        opened(text)
    assert words in str(refusal.value)
    assert not [secret for secret in ("hunter2", "s3cret") if secret in str(refusal.value)]


def test_what_vanishes_is_told(file: Callable[..., Path], folder: Callable[..., Path]) -> None:
    """Between opening and reading."""
    for path in (file("list.txt", ADDRESS), file("t.csv", "image\na"), file("e.json", [TASK])):
        inputs = opened(path)
        path.unlink()
        with pytest.raises(BootstrapError, match="cannot be read: No such file"):
            list(inputs.items())
    root = folder("a.jpg")
    inputs = opened(root)
    root.rename(root.with_name("moved"))
    with pytest.raises(BootstrapError, match="cannot be listed: No such file"):
        list(inputs.items())


def test_picture_that_vanishes_while_its_folder_is_listed(folder: Callable[..., Path]) -> None:
    """It is not a part of the job any more; all others are."""
    root = folder("a.jpg", "b.jpg")
    items = opened(root).items()
    first = next(items)
    for path in root.iterdir():
        if os.fsencode(path.name) != first.key:
            path.unlink()
    assert list(items) == []


HOME = LabelStudio("http://studio", None)


@pytest.mark.parametrize(
    ("home", "task", "own_keys", "why"),
    [
        (None, 7, True, "there is no Label Studio"),
        (HOME, None, True, "it knows no such task"),
        (HOME, "7", True, "that is no task of its own"),
        (HOME, 7, False, "it resolves the address by its task"),
    ],
)
def test_cloud_storage_is_read_with_own_keys(home: LabelStudio | None, task: object, own_keys: bool, why: str) -> None:
    """Unless Label Studio has them."""
    cloud = CloudReference("s3://b/a.jpg")
    assert readable(cloud, home, task) == (StorageReference("s3://b/a.jpg") if own_keys else cloud)
    for other in (HttpReference(ADDRESS), StorageReference("s3://b/b.jpg")):
        assert readable(other, home, task) == other
