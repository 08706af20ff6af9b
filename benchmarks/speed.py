"""How fast Prelabel is: beside the models alone (`limits.py`) and a tutorial-style backend (`peer.py`), the same images, in turns within one run.

Prints a figure with its spread for each line, and the target beside it. Run it with `make bench`; `docs/benchmarks.md` has the figures.
Everything runs on this machine and shares its processors. Only those that a scene compares are awake.
"""

import argparse
import os
import tempfile
from pathlib import Path

import accuracy
import bootstrap
import scenes
import startup
from limits import limit, tensorflow_limits
from servers import detector, file_server, peer, predict, prelabel
from table import Table, plot, read_lines

from ml_backend.settings import available_cpus


def measure(table: Table, rounds: int, folder: Path) -> None:
    """Add all lines.

    Args:
        table: gets the lines.
        rounds: how often each scene is measured.
        folder: for files.
    """
    os.environ["TFHUB_CACHE_DIR"] = str(folder / "models")  # with no conversion yet: of the first start
    with file_server() as files:
        model = detector(folder)
        print(f"{Path(model).name}, {available_cpus()} processors, {os.uname().machine}, load {os.getloadavg()[0]:.1f}")
        print("median (smallest to largest) of rounds\n")
        settings = {
            "PRELABEL_MODEL": model,
            "LABEL_STUDIO_URL": files.url,
            "LABEL_STUDIO_API_KEY": "any",
            "PRELABEL_CACHE_FILE": f"{folder}/cache",
        }
        startup.measure(table, files, settings, str(folder), min(rounds, 3))
        accuracy.measure(table)
        with limit(model, files.photographs) as alone:
            with (
                tensorflow_limits(model, files.photographs) as tensorflow,
                prelabel(**settings) as (ours, process),
                peer(model, str(folder)) as (theirs, _),
            ):
                sides = scenes.Sides(model, ours, process.pid, theirs, tensorflow, alone, files, rounds, table)
                scenes.model_alone(sides)
                predict(ours, files.new(1))
                scenes.peak_memory(sides)
                sides.warm_up()
                with scenes.health_watched(sides):
                    scenes.new_tasks(sides)
                    scenes.one_new(sides)
                    scenes.one_known(sides)
                    scenes.many_known(sides)
                    scenes.large(sides, "12mp", 3)
                    scenes.large(sides, "24mp", 4)
                    scenes.growth(sides)
            bootstrap.measure_rate(table, model, alone, files.photographs, folder, min(rounds, 5))


def main() -> None:
    """Measure, or draw what was measured before."""
    options = argparse.ArgumentParser(description="Prelabel beside the models alone and a tutorial-style backend.")
    options.add_argument("--rounds", type=int, default=7, help="how often each scene is measured")
    options.add_argument("--plot", type=Path, help="draw the ratios and their targets there")
    options.add_argument("--json", type=Path, help="also write the lines there")
    options.add_argument("--from-json", type=Path, help="draw the lines of an earlier run instead of measuring")
    given = options.parse_args()
    table = Table()
    if given.from_json:
        for line in read_lines(given.from_json):
            table.add(line)
    else:
        with tempfile.TemporaryDirectory() as folder:
            measure(table, given.rounds, Path(folder))
    if given.json:
        table.save(given.json)
    if given.plot:
        plot(table.lines, given.plot)


if __name__ == "__main__":
    main()
