"""A real Postgres server for tests: from PATH, else where Debian puts it. It can be stopped and started again."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from ports import free_port


def _binary(name: str) -> str:
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = shutil.which(name) or next(map(str, places), None)
    if found is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"no {name} on this machine, and these tests must not be skipped here")
        pytest.skip(f"no {name} on this machine: install the package postgresql")
    return found


class PostgresServer:
    """One server on a port of its own; every test gets a database of its own."""

    def __init__(self, folder: Path) -> None:
        # It refuses to run as root.
        self._user = "postgres" if os.getuid() == 0 else None
        self._folder = folder / "data"
        self._log = folder / "log"
        self._port = free_port()
        if self._user:
            shutil.chown(folder, self._user)
        self._run("initdb", "--pgdata", str(self._folder), "--username", "me", "--auth", "trust", "--no-sync")
        self._made = 0

    def _run(self, name: str, *arguments: str) -> None:
        command = [_binary(name), *arguments]
        done = subprocess.run(command, user=self._user, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it, or start it again."""
        # -F: after a crash, writing all databases to the disk once more takes a minute on a busy machine. Only a crash of the machine
        # itself would lose something by it.
        options = f"-p {self._port} -h 127.0.0.1 -k '' -F"
        self._run("pg_ctl", "start", "-w", "-t", "100", "-D", str(self._folder), "-l", str(self._log), "-o", options)

    def stop(self) -> None:
        """Stop it at once, as a crash does."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-D", str(self._folder))

    def new_database(self, options: str = "") -> str:
        """Create an empty database, with options of CREATE DATABASE; gives its address."""
        self._made += 1
        name = f"test{self._made}"
        with psycopg.connect(f"postgresql://me@127.0.0.1:{self._port}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {options}")
        return f"postgresql://me@127.0.0.1:{self._port}/{name}"


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server while the block lasts."""
    # Not below pytest's own folder, which only its user may enter.
    folder = Path(tempfile.mkdtemp(prefix="prelabel-postgres-"))
    folder.chmod(0o755)
    try:
        server = PostgresServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
            time.sleep(0.1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
