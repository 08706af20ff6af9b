import pytest

from ml_backend.errors import TaskError
from ml_backend.server.status import FAILURES, PROJECTS, ProjectStatuses, status_key


@pytest.mark.parametrize(
    ("sent", "name"), [("7.1795326029", "7"), ("7", "7"), ("a.7", "a.7"), ("\ud800", "\\ud800"), (None, "unnamed")]
)
def test_projects_are_named_by_their_id(sent: str | None, name: str) -> None:
    """Label Studio adds the time of creation behind a dot; a name in another form stays."""
    assert status_key(sent) == name


def test_tasks_are_counted_by_project() -> None:
    """The empty ones are among the predicted."""
    statuses = ProjectStatuses()
    statuses.of("7").record_predictions(2, empty=1)
    statuses.of("8").record_predictions(1, empty=0)
    counts = {name: (each["predicted"], each["empty"]) for name, each in statuses.to_json().items()}
    assert counts == {"8": (1, 0), "7": (2, 1)}


def test_versions_are_listed_once() -> None:
    """The latest first."""
    statuses = ProjectStatuses()
    for project, version in (("1", "a"), ("2", "b"), ("3", "a"), ("4", "")):
        statuses.of(project).model_version = version
    assert statuses.model_versions() == ["a", "b"]


def test_memory_is_bounded() -> None:
    """The latest projects and failures are kept, newest first."""
    statuses = ProjectStatuses()
    for project in map(str, range(PROJECTS + 5)):
        for task in range(FAILURES + 5):
            statuses.of(project).record_failures([task], 1, TaskError("broken"))
    shown = statuses.to_json()
    assert len(shown) == PROJECTS
    latest = shown[str(PROJECTS + 4)]
    assert latest["failed"] == FAILURES + 5
    assert [each["task"] for each in latest["failures"]][:2] == [str(FAILURES + 4), str(FAILURES + 3)]
    assert len(latest["failures"]) == FAILURES
