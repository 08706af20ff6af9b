"""The image and the compose file, built and run by a real engine: skipped where there is none, or where its base images are missing."""

import json
from collections.abc import Iterable, Iterator
from itertools import count, takewhile
from pathlib import Path

import httpx
import pytest
from containers.stack import POSTGRES, Stack, copy_checkout, docker, has_image, inspect, missing
from waiting import wait_until

from ml_backend.demo.scenes import draw_scene, encode
from ml_backend.inference import demo_model

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="Kite"/><Label value="Balloon"/><Label value="Box"/></RectangleLabels></View>'
)
SEEDS = (4, 11)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the name of an image that is built from this checkout."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("image")
    copy_checkout(folder)
    docker("build", "--tag", "prelabel-test", ".", folder=folder)
    return "prelabel-test"


@pytest.fixture(scope="module")
def stack(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Give all services, with a detector of one's own, which the volume of models got before the start."""
    stack = Stack(tmp_path_factory.mktemp("stack"), PRELABEL_MODEL="/models/my-detector")
    module = demo_model.build(tmp_path_factory.mktemp("model"))
    try:
        stack.compose("create", "prelabel")
        stack.compose("cp", str(module), "prelabel:/models/my-detector")
        stack.up()
        yield stack
    finally:
        stack.close()


@pytest.fixture(scope="module")
def project(stack: Stack) -> int:
    """Give a project of two drawn scenes, which is connected at the address that the compose file names."""
    return connected_project(stack, SEEDS)


def connected_project(stack: Stack, seeds: Iterable[int]) -> int:
    """Create a project of drawn scenes, and connect it."""
    project = stack.studio.create_project(CONFIG)
    for seed in seeds:
        stack.studio.upload(project, f"scene-{seed}.jpg", encode(draw_scene(seed)[0]))
    assert stack.studio.connect(project, stack.address)["state"] == "CO"
    return project


def labels(stack: Stack, project: int) -> list[list[str]]:
    """Return the labels of the newest prediction of each task."""
    newest = [max(each, key=lambda prediction: prediction["id"]) for each in stack.studio.predictions(project).values()]
    return [sorted(region["value"]["rectanglelabels"][0] for region in each["result"]) for each in newest]


def drawn() -> list[list[str]]:
    """Return the labels of the things in the drawn scenes."""
    return [sorted(thing.class_name for thing in draw_scene(seed)[1]) for seed in SEEDS]


def recorded(stack: Stack, project: int) -> int:
    """Return the number of annotations that Prelabel has recorded of a project."""
    printed = stack.compose(
        "exec",
        "--no-TTY",
        "prelabel",
        "sh",
        "-c",
        f"prelabel report --project {project} --json 2>/dev/null",
        status=None,
    )
    return int(json.loads(printed)["annotations"]) if printed.startswith("{") else 0


def test_predictions_come_and_a_correction_arrives(stack: Stack, project: int) -> None:
    """The things in the scenes are predicted through Redis, and an annotation is recorded without being asked for."""
    stack.studio.retrieve(project)
    assert labels(stack, project) == drawn()
    assert "redis" in httpx.get(f"{stack.prelabel_url}/status").text
    task = stack.studio.tasks(project)[0]["id"]
    (prediction, *_) = stack.studio.predictions(project)[task]
    stack.studio.api("POST", f"/api/tasks/{task}/annotations", json={"result": prediction["result"][1:]})
    wait_until(lambda: recorded(stack, project) == 1, seen=lambda: stack.compose("logs", "prelabel"))


def test_redis_may_stop_and_come_back(stack: Stack, project: int) -> None:
    """Predictions go on without the cache, and fill it again, without a restart of Prelabel."""
    stack.compose("stop", "redis")
    stack.studio.retrieve(project)
    assert labels(stack, project) == drawn()
    stack.compose("start", "redis")
    seeds = count(20)

    def is_used() -> bool:
        stack.studio.retrieve(connected_project(stack, [next(seeds)]))
        return int(stack.compose("exec", "--no-TTY", "redis", "redis-cli", "dbsize")) > 0

    wait_until(is_used)


def test_nothing_is_lost_when_the_containers_are_made_anew(stack: Stack, project: int) -> None:
    """Project, predictions, correction and model are in volumes; nothing is in an anonymous one."""
    before = labels(stack, project), recorded(stack, project)
    stack.down()
    assert not [name for name in stack.volumes() if len(name) == 64], "anonymous volumes would pile up"
    stack.up()
    assert (labels(stack, project), recorded(stack, project)) == before
    stack.studio.retrieve(project)
    assert labels(stack, project) == drawn()


def test_services_have_no_more_rights_than_they_need(stack: Stack, project: int) -> None:
    """Other machines reach no port; nothing gains privileges; Prelabel and Redis can write to their volumes only."""
    for service in ("label-studio", "prelabel", "redis"):
        host = stack.container(service)["HostConfig"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Memory"] > 0 < host["PidsLimit"]
        assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
        assert all(each["HostIp"] == "127.0.0.1" for ports in host["PortBindings"].values() for each in ports)
        assert host["ReadonlyRootfs"] == (service != "label-studio")
    assert stack.compose("exec", "--no-TTY", "prelabel", "id", "-u").strip() == "10001"
    assert "Read-only" in stack.compose("exec", "--no-TTY", "prelabel", "touch", "/opt/package/x", status=1)


def test_token_stands_in_no_description_of_a_container(stack: Stack, project: int) -> None:
    """A person who may list containers does not learn it; Prelabel reads it from the file."""
    token = stack.studio.token
    assert token not in "".join(json.dumps(stack.container(service)) for service in ("label-studio", "prelabel"))
    assert stack.compose("exec", "--no-TTY", "prelabel", "cat", "/run/secrets/LABEL_STUDIO_API_KEY").strip() == token


def test_doctor_finds_nothing_wrong(stack: Stack, project: int) -> None:
    """Connection, webhook, cache, corrections and detector are checked from within the container."""
    printed = stack.prelabel("doctor")
    assert "WRONG" not in printed
    assert f"project {project}" in printed.lower()


def test_end_of_a_container_is_quick_and_clean(stack: Stack, project: int) -> None:
    """SIGTERM ends the process by itself, before the engine kills it after ten seconds."""
    stack.compose("stop", "prelabel")
    state = stack.container("prelabel")["State"]
    assert not state["OOMKilled"]
    assert state["ExitCode"] == 143
    stack.compose("start", "prelabel")


def test_demo_runs_as_it_stands(image: str) -> None:
    """The command that error messages recommend, also hardened, and with a user that the platform chose."""
    assert "22 boxes" in docker("run", "--rm", image, "demo")
    hardened = ["--read-only", "--tmpfs=/tmp", "--tmpfs=/work", "--tmpfs=/models", "--tmpfs=/cache", "--tmpfs=/data"]
    rights = ["--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=2g", "--pids-limit=256"]
    assert "22 boxes" in docker("run", "--rm", "--user=1000710000:0", *hardened, *rights, image, "demo")


def test_model_that_cannot_be_had_costs_no_start_of_tensorflow(image: str) -> None:
    """A container that is restarted for hours says why each time, and costs a second of a processor instead of nine."""
    script = "PYTHONPROFILEIMPORTTIME=1 prelabel serve 2>&1"
    printed = docker("run", "--rm", "--network=none", "--entrypoint=bash", image, "-c", script, status=2)
    assert "cannot be loaded" in printed
    assert "prelabel demo" in printed
    imported = {line.rpartition("|")[2].strip() for line in printed.splitlines() if line.startswith("import time:")}
    assert "ml_backend.cli" in imported
    assert "tensorflow" not in imported


def test_folder_of_corrections_that_is_not_writable_is_told(image: str, tmp_path: Path) -> None:
    """At the start and by doctor, and not by the first correction that is lost."""
    settings = [
        "--env=PRELABEL_MODEL=demo",
        "--env=LABEL_STUDIO_URL=http://label-studio:8080",
        "--env=LABEL_STUDIO_API_KEY=x",
    ]
    where = ["--network=none", "--tmpfs=/data:mode=0555", *settings, image]
    assert "this process may not write to /data" in docker("run", "--rm", *where, "doctor", status=1)
    container = docker("run", "--detach", *where).strip()
    try:
        wait_until(lambda: "corrections cannot be kept" in docker("logs", container))
    finally:
        docker("rm", "--force", container)


def test_change_of_the_code_makes_one_small_layer_anew(image: str, tmp_path: Path) -> None:
    """Dependencies of 1.6 GB stay; registries and machines transfer the package alone."""
    copy_checkout(tmp_path)
    with (tmp_path / "ml_backend" / "__init__.py").open("a") as file:
        file.write("# a change\n")
    docker("build", "--tag", "prelabel-test-changed", ".", folder=tmp_path)
    try:
        before, after = (inspect(name)["RootFS"]["Layers"] for name in (image, "prelabel-test-changed"))
    finally:
        docker("rmi", "prelabel-test-changed")
    dependencies = len(inspect("python:3.12-slim")["RootFS"]["Layers"])  # their place: above the layers of the base
    assert before[: dependencies + 1] == after[: dependencies + 1]
    assert before != after
    history = docker("history", "--no-trunc", "--human=false", "--format={{.Size}} {{.CreatedBy}}", image).splitlines()
    above = list(takewhile(lambda line: "/opt/prelabel /opt/prelabel" not in line, history))
    assert len(above) < len(history)
    assert sum(int(line.split()[0]) for line in above) < 10_000_000


@pytest.fixture
def with_postgres(image: str, tmp_path: Path) -> Iterator[Stack]:
    """Give the services with the profile that has Postgres."""
    if not has_image(POSTGRES):
        pytest.skip(f"{POSTGRES} is not here")
    stack = Stack(
        tmp_path,
        PRELABEL_MODEL="demo",
        COMPOSE_PROFILES="postgres",
        POSTGRES_PASSWORD_FILE="./secrets/postgres_password",
        DATABASE_URL_FILE="./secrets/database_url",
    )
    stack.secret("postgres_password", "s3cret")
    stack.secret("database_url", "postgresql://prelabel:s3cret@postgres/prelabel")
    try:
        stack.up()
        yield stack
    finally:
        stack.close()


def test_corrections_can_be_kept_in_postgres(with_postgres: Stack) -> None:
    """By a profile and two secrets; the address is not shown with its password."""
    printed = with_postgres.prelabel("doctor")
    assert "Corrections are kept in postgresql" in printed
    assert "s3cret" not in printed
