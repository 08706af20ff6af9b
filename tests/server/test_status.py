from ml_backend.errors import TaskError
from ml_backend.server.status import FAILURES, PROJECTS, ProjectStatuses


def test_projects_are_named_by_their_id() -> None:
    """Label Studio adds the time of creation behind a dot."""
    statuses = ProjectStatuses()
    statuses.of("7.1795326029").record_prediction(empty=True)
    statuses.of(7).record_prediction(empty=False)
    statuses.of(None).record_prediction(empty=False)
    counts = {name: (each["predicted"], each["empty"]) for name, each in statuses.to_json().items()}
    assert counts == {"unnamed": (1, 0), "7": (2, 1)}


def test_memory_is_bounded() -> None:
    """The latest projects and failures are kept, newest first."""
    statuses = ProjectStatuses()
    for project in range(PROJECTS + 5):
        for task in range(FAILURES + 5):
            statuses.of(project).record_failure(task, TaskError("broken"))
    shown = statuses.to_json()
    assert len(shown) == PROJECTS
    latest = shown[str(PROJECTS + 4)]
    assert latest["failed"] == FAILURES + 5
    assert [each["task"] for each in latest["failures"]][:2] == [str(FAILURES + 4), str(FAILURES + 3)]
    assert len(latest["failures"]) == FAILURES
