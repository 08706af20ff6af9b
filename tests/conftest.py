"""Fixtures that several test modules share: detectors, classifiers, real servers, databases.

TensorFlow is imported inside the fixtures that need it, so that tests without it take no seconds to start.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from colour_classifier import build as build_colour_classifier
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from picture_server import PictureServer, picture_server
from postgres_server import PostgresServer, postgres_server
from redis_server import RedisServer, redis_server
from sqlalchemy import event
from sqlalchemy.pool import Pool
from subjects import build as build_subject_classifier
from tiny_classifier import build as build_tiny_classifier
from trained.detector import trained_detector_folder

from ml_backend.logs import configure_logging
from ml_backend.settings import CHECKOUT, VARIABLES, Settings

if TYPE_CHECKING:
    from ml_backend.inference.classifier import Classifier
    from ml_backend.inference.detector import Detector

# Examples take as long as the machine is busy; each whole test has a time limit (pyproject.toml).
hypothesis_settings.register_profile("prelabel", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("prelabel")

# So do answers: the tests' own requests would be given up after five seconds.
for _phase in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, _phase, 60)

_connections: list[tuple[Any, traceback.StackSummary]] = []  # to databases, which the current test opened, and where


@event.listens_for(Pool, "connect")
def _remember(connection: Any, _: object) -> None:
    _connections.append((connection, traceback.extract_stack()))


@pytest.fixture(autouse=True)
def _connections_are_closed() -> Iterator[None]:
    """Fail the test that leaves a connection open; the collector would tell of it in whichever test it comes by."""
    yield
    left = [(connection, stack) for connection, stack in _connections if _is_open(connection)]
    _connections.clear()
    for connection, _ in left:
        connection.close()
    assert not left, "\n".join(f"left open: {each!r}, opened by\n{''.join(stack.format())}" for each, stack in left)


def _is_open(connection: Any) -> bool:
    try:
        connection.cursor().close()
    except connection.Error:
        return False
    return True


@pytest.fixture(scope="session", autouse=True)
def _environment_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the settings of the machine from servers of the whole session; fail if a test wrote into the checkout's own data."""
    assert CHECKOUT is not None
    files = set((CHECKOUT / "data").rglob("*"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        _clean(monkeypatch, tmp_path_factory)
        yield
    assert set((CHECKOUT / "data").rglob("*")) <= files


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let no setting of the machine change what a test sees, and give each test a folder of its own for cache and corrections.

    ``Settings()``, which ignores the environment, and processes that the test starts use the same one.
    """
    _clean(monkeypatch, tmp_path_factory)


def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    checkout = tmp_path_factory.mktemp("checkout")
    monkeypatch.setattr("ml_backend.settings.CHECKOUT", checkout)
    monkeypatch.setenv("PRELABEL_HOME", str(checkout / "data"))


@pytest.fixture(autouse=True)
def _logging() -> None:
    """Log as a service does, whatever the test before has set."""
    configure_logging("info")


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for detectors that lasts for the session."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def demo_detector(models_dir: Path) -> Detector:
    """Give the demo detector, loaded."""
    from ml_backend.inference.detector import Detector

    return Detector.load("demo", models_dir, workers=2)


@pytest.fixture(scope="session")
def colour_classifier_dir(models_dir: Path) -> Path:
    """Give the folder of a classifier that tells red, green and blue images apart."""
    return build_colour_classifier(models_dir / "colour-classifier")


@pytest.fixture(scope="session")
def colour_classifier(colour_classifier_dir: Path, models_dir: Path) -> Classifier:
    """Give the same classifier, loaded."""
    from ml_backend.inference.classifier import Classifier

    return Classifier.load(str(colour_classifier_dir), models_dir, workers=2)


@pytest.fixture(scope="session")
def trained_detectors() -> Path:
    """Give the folder of the tests' own detector, with a folder for each format: ``hub`` and ``savedmodel``."""
    return trained_detector_folder()


@pytest.fixture(scope="session", params=["hub", "savedmodel"])
def trained_detector(request: pytest.FixtureRequest, trained_detectors: Path, models_dir: Path) -> Detector:
    """Give the tests' own detector, loaded, in the TF1 Hub format and as a TF2 SavedModel."""
    from ml_backend.inference.detector import Detector

    return Detector.load(str(trained_detectors / request.param), models_dir, workers=2)


@pytest.fixture(scope="session")
def subject_classifier_dir(models_dir: Path) -> Path:
    """Give the folder of a classifier of the subjects in :mod:`subjects`."""
    return build_subject_classifier(models_dir / "subject-classifier")


@pytest.fixture(scope="session")
def subject_classifier(subject_classifier_dir: Path, models_dir: Path) -> Classifier:
    """Give the same classifier, loaded."""
    from ml_backend.inference.classifier import Classifier

    return Classifier.load(str(subject_classifier_dir), models_dir, workers=2)


@pytest.fixture(scope="session")
def tiny_classifier(models_dir: Path) -> Path:
    """Give the folder of a classifier that tells balloons from grey, which needs no shared models."""
    return build_tiny_classifier(models_dir / "tiny-classifier")


@pytest.fixture
def pictures() -> Iterator[PictureServer]:
    """Give a real HTTP server that answers as the test tells it."""
    with picture_server() as server:
        yield server


@pytest.fixture(scope="session")
def _redis_of_the_session() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(_redis_of_the_session: RedisServer) -> RedisServer:
    """Give a real Redis server, empty; for tests that leave it running."""
    _redis_of_the_session.client.flushall()
    return _redis_of_the_session


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Give a real Postgres server."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of an empty database for corrections, of both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'feedback.sqlite3'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def serve(demo_detector: Detector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Give a function that starts the real service with some settings, and returns its address."""
    # The client of Label Studio tries again after a second, then after two: a Label Studio that is away takes seconds to be found so.
    monkeypatch.setattr("label_studio_sdk.core.http_client.INITIAL_RETRY_DELAY_SECONDS", 0.01)
    from ml_backend.inference.models import Models
    from ml_backend.server.app import create_app
    from ml_backend.server.running import background_server

    with ExitStack() as running:

        def start(
            detector: Detector | None = demo_detector, classifier: Classifier | None = None, **settings: Any
        ) -> str:
            chosen = Settings(**settings)
            app = create_app(chosen, Models(detector, classifier))
            return running.enter_context(background_server(app, chosen.max_connections))

        yield start
