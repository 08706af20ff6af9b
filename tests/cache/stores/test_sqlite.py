import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from ml_backend.cache.envelope import Entry, seal, unseal
from ml_backend.cache.stores.sqlite import SqliteStore
from ml_backend.cache.stores.store import StoreUnavailableError
from ml_backend.errors import CacheError

ROOM = 10_000_000


def store_in(path: Path) -> SqliteStore:
    """Return a store in a file."""
    return SqliteStore(path, ROOM)


async def test_entries_outlive_the_process(tmp_path: Path) -> None:
    """Closed and opened again."""
    first = store_in(tmp_path / "cache.sqlite3")
    await first.write({"prelabel:a": b"kept"})
    await first.close()
    second = store_in(tmp_path / "cache.sqlite3")
    assert await second.read(["prelabel:a"]) == {"prelabel:a": b"kept"}
    await second.close()


async def test_killed_process_costs_nothing_that_was_written(tmp_path: Path) -> None:
    """Entries are on the disk when the write returns."""
    path = tmp_path / "cache.sqlite3"
    program = (
        "import asyncio, os, signal, sys; from pathlib import Path\n"
        "from ml_backend.cache.stores.sqlite import SqliteStore\n"
        "async def main():\n"
        "    store = SqliteStore(Path(sys.argv[1]), 10**7)\n"
        "    await store.write({'prelabel:a': b'kept'})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, path)
    assert await process.wait() == -signal.SIGKILL
    store = store_in(path)
    assert await store.read(["prelabel:a"]) == {"prelabel:a": b"kept"}
    await store.close()


async def test_several_processes_share_a_file(tmp_path: Path) -> None:
    """Four connections write at the same time, and each reads what the others wrote."""
    path = tmp_path / "cache.sqlite3"
    stores = [store_in(path) for _ in range(4)]
    await asyncio.gather(
        *(store.write({f"prelabel:{n}:{i}": os.urandom(500)}) for n, store in enumerate(stores) for i in range(50))
    )
    assert [(await store.usage()).entries for store in stores] == [200] * 4
    for store in stores:
        await store.close()


async def test_new_file_suits_its_entries(tmp_path: Path) -> None:
    """Pages that hold several entries, a file that shrinks when they are deleted, and a mark by which it is known as ours."""
    path = tmp_path / "cache.sqlite3"
    store = store_in(path)
    await store.write({"prelabel:a": b"1"})
    await store.close()
    with closing(sqlite3.connect(path)) as database:
        pragmas = ("page_size", "auto_vacuum", "journal_mode", "application_id", "user_version")
        found = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    assert found == [16_384, 2, "wal", 0x504C4231, 1]


@pytest.mark.parametrize("damage", ["no database", "torn"])
async def test_damaged_file_is_put_aside(tmp_path: Path, damage: str) -> None:
    """It is a cache: it begins anew, and nobody has to do anything."""
    path = tmp_path / "cache.sqlite3"
    if damage == "torn":
        whole = store_in(path)
        await whole.write({f"prelabel:{n}": os.urandom(5_000) for n in range(100)})
        await whole.close()
        data = bytearray(path.read_bytes())
        data[200 : len(data) // 2] = os.urandom(len(data) // 2 - 200)
        path.write_bytes(data)
    else:
        path.write_bytes(b"these are no pages of a database " * 1_000)
    store = store_in(path)
    await store.write({"prelabel:a": b"new"})
    assert await store.read(["prelabel:a"]) == {"prelabel:a": b"new"}
    assert path.with_name("cache.sqlite3.damaged").exists()
    await store.close()


async def test_other_programs_database_is_left_alone(tmp_path: Path) -> None:
    """PRELABEL_CACHE_FILE names a wrong file: nothing in it changes, and the setting is named."""
    path = tmp_path / "precious.sqlite3"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA auto_vacuum = full")
        database.execute("CREATE TABLE entries (precious TEXT)")
    database.close()
    before = path.read_bytes()
    store = store_in(path)
    with pytest.raises(StoreUnavailableError, match="PRELABEL_CACHE_FILE"):
        await store.write({"prelabel:a": b"1"})
    await store.close()
    assert path.read_bytes() == before


async def test_entries_of_another_schema_are_forgotten(tmp_path: Path) -> None:
    """A file of ours, of another version, is begun anew."""
    path = tmp_path / "cache.sqlite3"
    old = store_in(path)
    await old.write({"prelabel:a": b"old"})
    await old.close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 0")
    database.close()
    store = store_in(path)
    assert await store.read(["prelabel:a"]) == {}
    await store.write({"prelabel:a": b"new"})
    assert await store.read(["prelabel:a"]) == {"prelabel:a": b"new"}
    await store.close()


async def test_locked_file_is_away_and_recovers(tmp_path: Path) -> None:
    """Another process holds it for long: a write waits once, and later all is well."""
    store = store_in(tmp_path / "cache.sqlite3")
    await store.write({"prelabel:a": b"1"})
    other = sqlite3.connect(tmp_path / "cache.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked"):
        await store.write({"prelabel:b": b"2"})
    assert await store.read(["prelabel:a"]) == {"prelabel:a": b"1"}
    other.execute("ROLLBACK")
    other.close()
    await store.write({"prelabel:b": b"2"})
    await store.close()


@pytest.mark.parametrize("place", ["file/cache.sqlite3", "folder"])
async def test_place_that_cannot_be_had(tmp_path: Path, place: str) -> None:
    """A file in the folder's place, a folder in the file's place."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    store = store_in(tmp_path / place)
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        await store.read(["prelabel:a"])
    await store.close()


async def test_any_damage_is_survived(tmp_path: Path) -> None:
    """Bits flipped anywhere in the file: reads and writes give what was written, or an error of the cache, and end."""
    path = tmp_path / "cache.sqlite3"
    chance = random.Random(1)  # noqa: S311 - which bits is no secret
    small = 1_000_000
    old = {f"prelabel:{n}": Entry(bytes([n]) * 3_000, n) for n in range(200)}
    new = {f"prelabel:new{n}": Entry(bytes([n]) * 10_000, n) for n in range(80)}
    came: Counter[str] = Counter()
    for turn in range(60):
        path.unlink(missing_ok=True)
        store = SqliteStore(path, small)
        await store.write(sealed(old))
        await store.close()
        data = bytearray(path.read_bytes())
        for _ in range(40):
            data[chance.randrange(100 if turn % 2 else 0, len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        store = SqliteStore(path, small)
        for wanted in (old, new):
            try:
                async with asyncio.timeout(30):
                    if wanted is new:
                        await store.write(sealed(new))
                    found = await store.read(list(wanted))
                    await store.usage()
            except CacheError:
                continue
            for key, value in found.items():
                try:
                    assert unseal(key, value) == wanted[key]
                    came["right"] += 1
                except ValueError:  # flipped within the value, which the checksum tells
                    came["damaged"] += 1
        await store.close()
    assert came["right"] > came["damaged"] > 0
    assert path.with_name("cache.sqlite3.damaged").exists()


def sealed(entries: Mapping[str, Entry]) -> dict[str, bytes]:
    """Return entries as stores keep them."""
    return {key: seal(key, entry) for key, entry in entries.items()}


async def test_file_that_is_deleted_or_replaced_is_opened_anew(tmp_path: Path) -> None:
    """A person tidies up, or another process has put it aside: nobody goes on in a file without a name."""
    path = tmp_path / "cache.sqlite3"
    one, other = store_in(path), store_in(path)
    await one.write({"prelabel:a": b"1"})
    assert await other.read(["prelabel:a"])
    path.unlink()
    await one.write({"prelabel:b": b"2"})
    assert await other.read(["prelabel:a", "prelabel:b"]) == {"prelabel:b": b"2"}
    await one.close()
    await other.close()


async def test_file_is_its_owners_only(tmp_path: Path) -> None:
    """What is in it tells which pictures were looked at."""
    store = store_in(tmp_path / "cache.sqlite3")
    await store.write({"prelabel:a": b"1"})
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}  # noqa: ASYNC240 - nobody waits here
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3  # the file, its log, and what is shared of that
    await store.close()
