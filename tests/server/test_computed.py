"""Values of projects that take long to compute."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from waiting import until

from ml_backend.errors import FeedbackError
from ml_backend.feedback.learning.project_report import ProjectState
from ml_backend.feedback.store.projects import Project
from ml_backend.server.pages.computed import PROJECTS, Computed


def state_of(annotations: int = 0, *, revision: int = 0, project: int = 3) -> ProjectState:
    """Return the state of a project with so many annotations."""
    basis = (revision,)
    return ProjectState(Project(project, "", ""), (), "", 0, "", None, annotations, basis, (basis, annotations))


class Work:
    """A computation that counts its runs, sees the current state, and lasts until it may end."""

    def __init__(self) -> None:
        self.now = state_of()
        self.runs = 0
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self, project: int) -> tuple[ProjectState, int]:
        """Return the state, and the number of the run."""
        state = self.now if self.now.project.id == project else state_of(project=project)
        self.runs += 1
        number = self.runs
        assert self.may_end.wait(30)
        return state, number


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Give a thread."""
    with ThreadPoolExecutor(1) as threads:
        yield threads


async def value(computed: Computed[int], state: ProjectState, wait: float = 30) -> int | None:
    """Return the value that a request gets."""
    made = await computed.get(state, wait)
    return made.value if made else None


async def test_simultaneous_requests_share_one_run(threads: ThreadPoolExecutor) -> None:
    """Eight at once, and a ninth afterwards."""
    work = Work()
    computed = Computed(work, threads)
    assert await asyncio.gather(*(value(computed, work.now) for _ in range(8))) == [1] * 8
    assert await value(computed, work.now) == 1
    assert (await computed.exact(work.now)).value == 1


@pytest.mark.parametrize(
    ("then", "expected"),
    [(state_of(1), 1), (state_of(1, revision=1), 2), (state_of(revision=1), 2), (state_of(0), 1)],
    ids=["an annotation, so soon", "with a revision", "a revision alone", "nothing"],
)
async def test_new_annotations_alone_wait_for_the_rest(
    threads: ThreadPoolExecutor, then: ProjectState, expected: int
) -> None:
    """After a long run, an earlier value stands in for a new one; not under another revision."""
    work = Work()
    computed = Computed(work, threads)
    work.may_end.clear()
    threading.Timer(0.5, work.may_end.set).start()
    assert await value(computed, work.now) == 1
    work.now = then
    assert await value(computed, then) == expected


async def test_exact_value_is_that_of_the_state(threads: ThreadPoolExecutor) -> None:
    """Also where a run has begun before the state, which it has not seen."""
    work = Work()
    computed = Computed(work, threads)
    work.may_end.clear()
    first = asyncio.create_task(value(computed, work.now))
    await until(lambda: work.runs == 1)
    work.now = state_of(1)
    exact = asyncio.create_task(computed.exact(work.now))
    await asyncio.sleep(0.05)
    work.may_end.set()
    assert await first == 1
    assert (await exact).value == 2


async def test_request_does_not_wait_longer_than_it_may(threads: ThreadPoolExecutor) -> None:
    """It gets nothing, and the run goes on for the next one."""
    work = Work()
    computed = Computed(work, threads)
    work.may_end.clear()
    assert await value(computed, work.now, wait=0.05) is None
    work.may_end.set()
    assert await value(computed, work.now) == 1


async def test_failure_is_not_kept(threads: ThreadPoolExecutor) -> None:
    """Each request tries again."""
    outcomes: list[Callable[[], int]] = [lambda: 1 // 0, lambda: 7]

    def compute(_: int) -> tuple[ProjectState, int]:
        if len(outcomes) == 2:
            outcomes.pop(0)
            raise FeedbackError("away")
        return state_of(), outcomes[0]()

    computed = Computed(compute, threads)
    with pytest.raises(FeedbackError, match="away"):
        await computed.get(state_of(), 30)
    assert await value(computed, state_of()) == 7


async def test_memory_is_bounded(threads: ThreadPoolExecutor) -> None:
    """The project that was asked for longest ago is forgotten first."""
    computed = Computed(Work(), threads)
    for project in range(PROJECTS + 1):
        await computed.get(state_of(project=project), 30)
        await computed.get(state_of(project=0), 30)
    assert computed.kept(0) is not None
    assert computed.kept(1) is None
