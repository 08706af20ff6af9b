"""Starts a real Label Studio and real ``prelabel serve`` processes; drives Label Studio through its own API, as its interface does."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from command import invoke
from filelock import FileLock
from ports import free_port

ROOT = Path(__file__).parent.parent.parent
LOCK = ROOT / "requirements" / "label-studio.txt"

TOKEN = "0123456789abcdef0123456789abcdef01234567"
EMAIL, PASSWORD = "a@b.co", "passw0rd1234"
START_SECONDS = 480  # half a minute on a quiet machine

# The three defaults that break a backend on a local address, and no calls to the outside.
ENVIRONMENT = {
    "ML_BLOCK_LOCAL_IP": "false",
    "SSRF_PROTECTION_ENABLED": "false",
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "FEATURE_FLAGS_OFFLINE": "true",
    "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
}


def install_label_studio() -> Path:
    """Install Label Studio into an environment of its own, once from the lock (about a minute, 800 MB); gives its folder."""
    folder = ROOT / ".cache" / "label-studio"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):  # several processes run the tests
        done = folder / "locked.txt"
        if not done.exists() or done.read_bytes() != LOCK.read_bytes():
            uv = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".tools" / "uv" / "bin" / "uv")
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
            sync = ["pip", "sync", "--quiet", "--compile-bytecode", "--require-hashes", "--python"]
            subprocess.run([uv, *sync, folder, LOCK], check=True)
            shutil.copy(LOCK, done)
    return folder


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    """Wait until ``url`` answers.

    Raises:
        RuntimeError: the process ended or took too long; the end of its log is in the text.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url, timeout=3).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"nothing answers at {url}; the end of the log:\n{log.read_text()[-3000:]}")


class StudioApi:
    """The API of a Label Studio, as its interface calls it.

    Args:
        url: its address.
        token: a legacy token.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Token {token}"}, timeout=300, follow_redirects=True
        )

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def api(self, method: str, path: str, **request: Any) -> Any:
        """Call the API; gives the JSON of the answer."""
        answer = self._http.request(method, path, **request)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:1000]}"
        return answer.json() if answer.content else None

    def create_project(self, label_config: str, title: str = "Prelabel") -> int:
        """Create a project; gives its id."""
        return int(self.api("POST", "/api/projects", json={"title": title, "label_config": label_config})["id"])

    def upload(self, project: int, name: str, data: bytes) -> None:
        """Upload a picture, which becomes a task."""
        self.api("POST", f"/api/projects/{project}/import", files={"file": (name, data)})

    def import_tasks(self, project: int, tasks: list[dict[str, Any]]) -> None:
        """Import tasks as JSON."""
        self.api("POST", f"/api/projects/{project}/import", json=tasks)

    def connect(self, project: int, url: str, **more: Any) -> dict[str, Any]:
        """Connect a backend; gives what Label Studio says of it."""
        backend: dict[str, Any] = self.api(
            "POST", "/api/ml", json={"url": url, "project": project, "title": "Prelabel", **more}
        )
        return backend

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """Return the tasks in the order of their ids."""
        found = self.api("GET", f"/api/tasks?project={project}&page_size=500")["tasks"]
        return sorted(found, key=lambda task: int(task["id"]))

    def retrieve(self, project: int) -> None:
        """Press "Retrieve Predictions" for all tasks."""
        path = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}"
        self.api("POST", path, json={"selectedItems": {"all": True, "excluded": []}})

    def predictions(self, project: int) -> dict[int, list[dict[str, Any]]]:
        """Return the stored predictions by task id; tasks without one have an empty list."""
        stored: dict[int, list[dict[str, Any]]] = {int(task["id"]): [] for task in self.tasks(project)}
        for prediction in self.api("GET", f"/api/predictions?project={project}"):
            stored[int(prediction["task"])].append(prediction)
        return stored

    def open_task(self, project: int, task: int) -> dict[str, Any]:
        """Open a task as the labelling page does."""
        opened: dict[str, Any] = self.api("GET", f"/api/tasks/{task}?project={project}")
        return opened


class LabelStudio(StudioApi):
    """A Label Studio on SQLite in a folder of its own."""

    def __init__(self, environment: Path, folder: Path) -> None:
        super().__init__(f"http://127.0.0.1:{free_port()}", TOKEN)
        self.files = folder / "files"
        self.files.mkdir(parents=True)
        self._command = [
            str(environment / "bin" / "label-studio"),
            "start",
            "--no-browser",
            "--internal-host=127.0.0.1",
            f"--port={self.url.rpartition(':')[2]}",
            f"--username={EMAIL}",
            f"--password={PASSWORD}",
            f"--user-token={TOKEN}",
            "--enable-legacy-api-token",
        ]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **settings: str) -> None:
        """Start, or start again with other settings and the same data."""
        self.stop()
        own = {
            "LABEL_STUDIO_BASE_DATA_DIR": str(self._folder / "data"),
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.files),
            "LABEL_STUDIO_HOST": self.url,
            "HOME": str(self._folder),
        }
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        log = self._folder / "label-studio.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=kept | ENVIRONMENT | own | settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(f"{self.url}/health", self._process, log, START_SECONDS)

    def stop(self) -> None:
        """Stop, if it runs."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def close(self) -> None:
        """Stop and forget the data."""
        super().close()
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


@dataclass(frozen=True)
class Material:
    """Pictures that the detector under test finds something on.

    Attributes:
        model: the detector's handle.
        labels: a label config that has what it finds.
        files: the bytes of the files by name; the one called ``rotated.jpg`` is stored lying on its side.
    """

    model: str
    labels: str
    files: dict[str, bytes]


class Prelabel:
    """A ``prelabel serve`` process."""

    def __init__(self, folder: Path, port: int | None, settings: dict[str, str]) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"prelabel-{self.port}.log"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ml_backend", "serve", "--host", "127.0.0.1", "--port", str(self.port)],
                env=os.environ | settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for(f"{self.url}/health", self._process, self.log, 240)
        except RuntimeError:
            self.stop()
            raise

    def stop(self) -> None:
        """End it."""
        stop(self._process)

    def freeze(self) -> None:
        """Let it hang."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait()

    def status(self, project: int | None = None) -> Any:
        """Return the status page's JSON, of one project if asked; an unknown project is empty."""
        status = httpx.get(f"{self.url}/status").json()
        return status if project is None else status["projects"].get(str(project), {})


def run_prelabel(settings: dict[str, str], *arguments: str, status: int = 0) -> Any:
    """Run a command of Prelabel in this process; gives what it printed, which is read if it is JSON."""
    with ThreadPoolExecutor(1) as thread:  # Playwright has an event loop of its own in this one
        done = thread.submit(invoke, arguments, settings).result()
    assert done.exit_code == status, done.output
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


StartPrelabel = Callable[..., Prelabel]
