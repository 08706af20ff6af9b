import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from redis_server import RedisServer
from samples import BALLOON_CONFIG, balloon_file, encoded, large_scene
from typer.main import get_command
from typer.testing import CliRunner, Result
from waiting import wait_until

from ml_backend import __version__
from ml_backend.cache.envelope import Entry, seal
from ml_backend.cache.stores.registry import open_store
from ml_backend.cli.common import app
from ml_backend.cli.drawn_decisions import COLOURS
from ml_backend.demo.run import run_demo
from ml_backend.errors import TaskError
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.pipeline.cache_keys import DETECTIONS, address_key, result_key
from ml_backend.settings import Settings, load_settings

COMMAND = [sys.executable, "-m", "ml_backend"]


@pytest.fixture
def run(models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Give a function that runs a command in a folder of its own, in this process: TensorFlow takes seconds to start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(models_dir))
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def balloon(tmp_path: Path) -> Path:
    """Give a picture file with one balloon."""
    path = tmp_path / "balloon.png"
    path.write_bytes(balloon_file())
    return path


def test_demo_names_the_scenes_that_fail(demo_detector: Detector, tmp_path: Path) -> None:
    """A machine without memory to decode them, for one."""
    with pytest.raises(TaskError, match=r"not predicted: scene-1\.jpg, scene-2\.jpg, scene-3\.jpg, scene-4\.jpg"):
        run_demo(Settings(cache="memory", image_max_pixels=1), Models(demo_detector), tmp_path)


def test_version(run: Callable[..., Result]) -> None:
    """One line."""
    assert run("--version").stdout == f"prelabel {__version__}\n"


def test_help_answers_without_what_is_slow() -> None:
    """In well under the seconds that TensorFlow takes to import: no help of any command brings it, or Redis, along."""
    script = (
        "import sys; from typer.testing import CliRunner; from ml_backend.cli import app\n"
        "for command in sys.argv[1:]:\n"
        "    result = CliRunner().invoke(app, [*command.split(), '--help'])\n"
        "    print(command, 'Usage' in result.stdout, result.exit_code, {'tensorflow', 'redis'} & {*sys.modules})\n"
    )
    names = ["", *(" ".join(each) for each in commands(get_command(app)))]
    result = subprocess.run(
        [sys.executable, "-c", script, *names], capture_output=True, text=True, timeout=100, check=True
    )
    assert result.stdout.splitlines() == [f"{name} True 0 set()" for name in names]


def commands(group: Any, *names: str) -> Iterator[tuple[str, ...]]:
    """Yield the names of all commands below one."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *names, name)
        else:
            yield (*names, name)


@pytest.mark.parametrize("names", list(commands(get_command(app))), ids=" ".join)
def test_help_is_shown_whole(names: tuple[str, ...]) -> None:
    """Brackets too, in which extras and defaults stand."""
    command: Any = get_command(app)
    for name in names:
        command = command.commands[name]
    shown = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "1000"}).stdout
    for each in command.params:
        assert (each.help or "") in shown


def test_predict_prints_a_table(run: Callable[..., Result], balloon: Path) -> None:
    """Boxes in pixels, under the names of the classes."""
    result = run("predict", "--model", "demo", balloon)
    assert result.exit_code == 0, result.stderr
    (row,) = (line for line in result.stdout.splitlines() if "balloon.png" in line)
    cells = [cell.strip() for cell in row.strip("│┃ ").split("│")]
    assert cells[:2] == ["balloon.png", "Balloon"]
    assert [int(cell) for cell in cells[3:]] == pytest.approx([40, 50, 60, 80], abs=2)


def test_predict_json_is_what_label_studio_imports(run: Callable[..., Result], balloon: Path, tmp_path: Path) -> None:
    """With the project's own label config; and only JSON on standard output."""
    (tmp_path / "config.xml").write_text(BALLOON_CONFIG.replace('"Balloon"', '"balloon"'))
    result = run("predict", "--model", "demo", "--config", "config.xml", "--json", balloon)
    (task,) = json.loads(result.stdout)
    assert task["data"] == {"image": str(balloon)}
    (prediction,) = task["predictions"]
    assert prediction["result"][0]["value"]["rectanglelabels"] == ["balloon"]


def test_predict_draws(run: Callable[..., Result], balloon: Path, tmp_path: Path) -> None:
    """The picture with its box: the edge has another colour than before."""
    run("predict", "--model", "demo", "--draw", "out", balloon)
    with Image.open(tmp_path / "out" / "balloon-boxes.png") as drawn, Image.open(balloon) as before:
        assert drawn.size == before.size
        assert drawn.getpixel((40, 60)) != before.getpixel((40, 60))


def test_drawing_overwrites_nothing(run: Callable[..., Result], balloon: Path, tmp_path: Path) -> None:
    """Neither the pictures themselves nor each other, whatever they are called."""
    for name in ("a.png", "a-boxes.png", "d/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(balloon.read_bytes())
    run("predict", "--model", "demo", "--draw", ".", "a.png", "a-boxes.png", "d/a.png")
    for name in ("a.png", "a-boxes.png", "d/a.png"):
        assert (tmp_path / name).read_bytes() == balloon.read_bytes()
    assert len(list(tmp_path.glob("*.png"))) == 6


def test_brackets_in_names_are_text(run: Callable[..., Result], balloon: Path, tmp_path: Path) -> None:
    """They mean something to the library that prints the table."""
    (tmp_path / "[red].png").write_bytes(balloon.read_bytes())
    (tmp_path / "c.xml").write_text(BALLOON_CONFIG.replace('"Balloon"', '"[/x]" predicted_values="Balloon"'))
    result = run("predict", "--model", "demo", "--config", "c.xml", "[red].png")
    assert "[red].png" in result.stdout
    assert "[/x]" in result.stdout


def test_threshold_hides(run: Callable[..., Result], balloon: Path) -> None:
    """A threshold of 1 leaves nothing of a score below."""
    result = run("predict", "--model", "demo", "--threshold", "1", balloon)
    assert "(nothing)" in result.stdout


SHAPES_ROLLED_UP = BALLOON_CONFIG.replace('"Balloon"', '"Toy"').replace('<Label value="Kite"/>', "")


def test_explain_says_what_becomes_of_each_detection(run: Callable[..., Result], balloon: Path, tmp_path: Path) -> None:
    """A table that fits 80 columns, and a picture with a legend of the decisions on it."""
    (tmp_path / "c.xml").write_text(SHAPES_ROLLED_UP)
    result = run("explain", balloon, "--config", "c.xml", "--model", "demo", "--min-score", "0", "--draw", "why.png")
    assert result.exit_code == 0, result.stderr
    assert "kept as Toy" in result.stdout
    assert "Box: below 0.30" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.width == 320
        below = drawn.crop((0, 200, 320, drawn.height)).getcolors(10_000) or ()
    squares = {colour for count, colour in below if count > 50}
    kinds = {kind for kind, colour in COLOURS.items() if tuple(bytes.fromhex(colour[1:])) in squares}
    assert kinds == {"kept", "below the threshold"}


def test_explain_names_the_view_of_each_detection(run: Callable[..., Result], tmp_path: Path) -> None:
    """With tiles there is a column of it, and it stands in the picture; the near balloon is seen in two views, and shown once."""
    (tmp_path / "c.xml").write_text(BALLOON_CONFIG)
    (tmp_path / "large.png").write_bytes(encoded(Image.fromarray(large_scene())))
    options = ("--config", "c.xml", "--model", "demo", "--tiles", "2")
    result = run("explain", tmp_path / "large.png", *options, "--draw", "why.png")
    assert result.exit_code == 0, result.stderr
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in result.stdout.splitlines() if "Balloon" in line
    ]
    views = {row[-1]: "kept" in row[-2] for row in rows}
    assert sorted(views) == ["tiles2 1.2", "tiles2 2.1", "whole"]
    assert views["tiles2 1.2"]
    assert views["tiles2 2.1"] != views["whole"]
    tasks = json.loads(run("predict", tmp_path / "large.png", *options, "--json").stdout)
    assert len(tasks[0]["predictions"][0]["result"]) == 2


@pytest.mark.parametrize(
    ("words", "old", "new"),
    [
        (["explain", "--least", "0.9"], "--least", "--min-score"),
        (["bootstrap", ".", "--chunk", "2", "--to", "tasks.json"], "--chunk", "--tasks-per-file"),
    ],
    ids=["explain", "bootstrap"],
)
def test_old_names_of_options_are_read_with_a_warning(
    run: Callable[..., Result], balloon: Path, tmp_path: Path, words: list[str], old: str, new: str
) -> None:
    """Options that were renamed keep their old names for one release."""
    (tmp_path / "c.xml").write_text(BALLOON_CONFIG)
    picture = [balloon] if words[0] == "explain" else []
    result = run(*words, *picture, "--config", "c.xml", "--model", "demo")
    assert result.exit_code == 0, result.stderr
    assert f"{old} is now called {new}" in result.stderr
    if words[0] == "explain":
        assert "with scores below 0.9" in result.stdout
    else:
        assert (tmp_path / "tasks-00001.json").exists()


def test_labels_shows_the_map(run: Callable[..., Result], tmp_path: Path) -> None:
    """Which classes each label captures by which rule, near names for those that capture none, and what is left out."""
    config = BALLOON_CONFIG.replace('"Balloon"', '"Vehicle"').replace('"Kite"', '"human"').replace('"Box"', '"Zebrra"')
    (tmp_path / "c.xml").write_text(config)
    result = run("labels", "c.xml")
    for words in ("hierarchy, Vehicle", "synonym", "nothing; near names: Zebra", "of 601 classes have no label"):
        assert words in result.stdout
    (control,) = json.loads(run("labels", "c.xml", "--json").stdout)["controls"]
    people = control["labels"][1]
    assert {each["name"]: each["rule"] for each in people["classes"]} == {
        "Person": "synonym",
        **dict.fromkeys(("Man", "Woman", "Boy", "Girl"), "hierarchy"),
    }


def test_labels_census_of_pictures(run: Callable[..., Result], tmp_path: Path) -> None:
    """What the model sees and the project does not capture, with labels to paste."""
    (tmp_path / "c.xml").write_text(BALLOON_CONFIG.replace('<Label value="Balloon"/>', ""))
    (tmp_path / "pictures" / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.PNG"):
        (tmp_path / "pictures" / name).write_bytes(balloon_file())
    (tmp_path / "pictures" / "broken.jpg").write_text("no picture")
    result = run("labels", "c.xml", "--from-images", "pictures", "--model", "demo")
    assert '<Label value="Balloon"/>' in result.stdout
    assert "broken.jpg" in result.stderr
    census = json.loads(run("labels", "c.xml", "--from-images", "pictures", "--model", "demo", "--json").stdout)[
        "missed"
    ]
    assert census == [{"model": "detector", "class_name": "Balloon", "mid": "/m/01j51", "boxes": 2, "pictures": 2}]


def test_failed_picture_is_named_and_the_others_are_done(
    run: Callable[..., Result], balloon: Path, tmp_path: Path
) -> None:
    """Status 1, one line for the failure, the table for the rest."""
    (tmp_path / "page.jpg").write_text("<!doctype html>")
    result = run("predict", "--model", "demo", "page.jpg", balloon, "missing.jpg")
    assert result.exit_code == 1
    assert "prelabel: page.jpg: it is an HTML page" in result.stderr
    assert "prelabel: missing.jpg cannot be read: No such file or directory" in result.stderr
    assert "balloon.png" in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["predict", "x.png", "--model", "/no/such/module"], {}, "no folder and no file of that name"),
        (["predict", "x.png", "--model", "demo", "--config", "none.xml"], {}, "none.xml cannot be read"),
        (["predict", "x.png", "--model", "demo", "--config", "page.xml"], {}, "not valid XML"),
        (
            ["predict", "x.png", "--threshold", "7"],
            {},
            "MODEL_SCORE_THRESHOLD='7.0' cannot be used|MODEL_SCORE_THRESHOLD=7.0",
        ),
        (["serve"], {"PORT": "many"}, "PORT='many' cannot be used: expected the port to listen on, from 1 to 65535."),
        (["serve", "--port", "0"], {}, "PORT=0 cannot be used"),
        (["serve", "--host", "192.0.2.1"], {}, r"cannot listen on 192.0.2.1:9090 \(Cannot assign"),
        (["demo", "--out", "page.xml"], {}, "page.xml/scenes: Not a directory"),
        (
            ["bootstrap", "--project", "1"],
            {"LABEL_STUDIO_URL": "http://l\ns", "LABEL_STUDIO_API_KEY": "t"},
            "LABEL_STUDIO_URL='http://l\\\\ns' cannot be used",
        ),
        (
            ["bootstrap", "--project", "1"],
            {"LABEL_STUDIO_URL": "http://ls", "LABEL_STUDIO_API_KEY": "  "},
            "projects need LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY",
        ),
        (
            ["predict", "x.png", "--model", "demo"],
            {"TFHUB_CACHE_DIR": "/proc/nope"},
            "the detector demo cannot be loaded",
        ),
    ],
    ids=[
        "no model",
        "no config",
        "broken config",
        "wrong threshold",
        "wrong environment",
        "wrong port",
        "wrong host",
        "file for a folder",
        "address with a line feed",
        "token of white space",
        "no room",
    ],
)
def test_mistakes_get_one_sentence(
    run: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    environment: dict[str, str],
    words: str,
) -> None:
    """Status 2, no trace."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "page.xml").write_text("<View")
    result = run(*arguments)
    assert result.exit_code == 2
    assert re.search(words, result.stderr)
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("environment", "status", "heads"),
    [
        ({}, 0, ["not set", "ok", "ok", "ok"]),
        ({"LABEL_STUDIO_URL": "http://127.0.0.1:1"}, 1, ["WRONG", "ok", "ok", "ok"]),
        ({"PRELABEL_MODEL": "/no/such/folder"}, 1, ["not set", "ok", "ok", "WRONG"]),
    ],
    ids=["nothing is set up", "nobody answers", "no such detector"],
)
def test_doctor_tells_wrong_from_not_set(
    run: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    status: int,
    heads: list[str],
) -> None:
    """Label Studio, cache, corrections and detector: the status is 1 only where something has to be changed."""
    for name, value in ({"PRELABEL_MODEL": "demo"} | environment).items():
        monkeypatch.setenv(name, value)
    result = run("doctor")
    assert [line[:7].strip() for line in result.stdout.splitlines()] == heads
    assert result.exit_code == status


def test_demo_ends_with_a_table_and_a_picture(run: Callable[..., Result], tmp_path: Path) -> None:
    """Each drawn object is found in its place, and it says that it was a demo."""
    result = run("demo", "--out", "demo")
    assert result.exit_code == 0, result.stderr
    assert "22 objects drawn, 22 boxes predicted by demo-shapes@" in result.stdout
    assert "was drawn as" not in result.stdout
    with Image.open(tmp_path / "demo" / "boxes.png") as sheet:
        assert sheet.width > 1000


@pytest.fixture
def served(models_dir: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start ``prelabel serve`` as a process of its own; end it afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = os.environ | {"TFHUB_CACHE_DIR": str(models_dir), "LABEL_STUDIO_API_KEY": "s3cret-token"}
    process = subprocess.Popen(
        [*COMMAND, "serve", "--model", "demo", "--host", "127.0.0.1", "--port", str(port)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def _wait_until_up(url: str, process: subprocess.Popen[str]) -> Any:
    answers: list[Any] = []

    def is_up() -> bool:
        assert process.poll() is None
        with suppress(httpx.TransportError):  # it does not listen yet
            answers.append(httpx.get(f"{url}/health").json())
        return bool(answers) and "error" not in answers[-1]

    wait_until(is_up)
    assert {answer["error"]["code"] for answer in answers[:-1]} <= {"starting"}
    return answers[-1]


def test_serve_answers_and_ends_on_a_signal(served: tuple[str, subprocess.Popen[str]]) -> None:
    """The first answer is a ready one, logs are JSON lines without secrets, and SIGTERM ends it cleanly."""
    url, process = served
    assert _wait_until_up(url, process)["status"] == "UP"
    body = {"tasks": [{"id": 1, "data": {"image": "nonsense"}}], "label_config": BALLOON_CONFIG, "project": "1.1"}
    assert httpx.post(f"{url}/predict", json=body).json() == {"results": [[]]}
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, "what shells and containers call an end by that signal"
    events = [json.loads(line) for line in log.splitlines()]
    assert {"ready", "task failed"} <= {event["event"] for event in events}
    assert "s3cret-token" not in log


@pytest.fixture(params=["sqlite", "redis"])
def kept(request: pytest.FixtureRequest, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the name of a store with five entries: three and one of two models, of different ages, and an address."""
    monkeypatch.setenv("PRELABEL_CACHE", request.param)
    monkeypatch.setenv("REDIS_URL", redis.url)
    store = open_store(load_settings())
    assert store is not None
    now = int(time.time())
    ages = {result_key(DETECTIONS, "aaaa" * 16, "2-640", f"{n}" * 64): n * 86_400 for n in range(3)}
    ages |= {result_key(DETECTIONS, "bbbb" * 16, "2-640", "0" * 64): 0, address_key("http://host/a.jpg"): 0}

    async def fill() -> None:
        await store.write({key: seal(key, Entry(b"x" * 100, now - age)) for key, age in ages.items()})
        await store.close()

    asyncio.run(fill())
    return str(request.param)


def test_cache_stats_counts_by_model(run: Callable[..., Result], kept: str) -> None:
    """Entries, bytes, and how old the oldest is."""
    shown = run("cache", "stats").stdout
    rows = [line.split("│")[1:3] for line in shown.splitlines() if "│" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [["a" * 16, "3"], ["addresses", "1"], ["b" * 16, "1"]]
    assert shown.startswith(f"{kept}: ")
    assert "oldest entry: 2.0 days" in shown


@pytest.mark.parametrize(
    ("options", "deleted"),
    [
        ([], 5),
        (["--model", "aaaaaaaa"], 3),
        (["--older-than", "36h"], 1),
        (["--model", "bbbb", "--older-than", "1d"], 0),
    ],
)
def test_cache_clear_deletes_the_selected_entries(
    run: Callable[..., Result], kept: str, options: list[str], deleted: int
) -> None:
    """And prints how many."""
    result = run("cache", "clear", "--yes", *options)
    assert result.exit_code == 0, result.stderr
    assert (f"{deleted} entries deleted" if deleted else "nothing to delete") in result.stdout
    left = re.findall(r"^│ \w+ +│ (\d+) +│", run("cache", "stats").stdout, re.MULTILINE)
    assert sum(map(int, left)) == 5 - deleted


def test_cache_clear_asks_first(run: Callable[..., Result], kept: str) -> None:
    """With the number; no is no."""
    refused = CliRunner().invoke(app, ["cache", "clear"], input="n\n")
    assert "Delete 5 entries in" in refused.stdout
    assert refused.exit_code == 1
    assert "5 entries deleted" in CliRunner().invoke(app, ["cache", "clear"], input="y\n").stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["stats"], {"PRELABEL_CACHE": "memory"}, "keeps nothing beyond the running server"),
        (["stats"], {"REDIS_URL": "redis://127.0.0.1:1"}, "Redis does not answer"),
        (["clear", "--older-than", "old"], {}, "such as 12h or 7d"),
        (["clear", "--older-than", f"{10**400}d"], {}, "such as 12h or 7d"),
        (["clear", "--model", "mobilenet"], {}, "hex digits of a fingerprint"),
    ],
)
def test_cache_says_what_is_wrong(
    run: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    words: str,
) -> None:
    """In a sentence, with status 2."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    result = run("cache", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
