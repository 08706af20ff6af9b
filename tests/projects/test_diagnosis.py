"""Findings on a connected project, from values as Label Studio's SDK returns them."""

from typing import Any

import pytest
from label_studio_sdk.types import MlBackend, Webhook
from label_studio_sdk.types.all_roles_project_list import AllRolesProjectList as Project

from ml_backend.projects.diagnosis import UNCERTAINTY, Connection, diagnose

VERSION, OLD = "demo-shapes@0123abcd.0123ab", "demo-shapes@0123abcd.ffffff"
URL = "http://prelabel.internal:9090"
HOOK = {"url": f"{URL}/webhook", "project": 7, "is_active": True, "send_payload": True, "send_for_all_actions": True}
ALL_IS_WELL = "scores and queue use"
NO_WEBHOOK = f"no active webhook {URL}/webhook"


def connection(
    shown: str | None = VERSION,
    backends: tuple[tuple[str, str], ...] = ((VERSION, VERSION),),
    hooks: tuple[dict[str, Any], ...] = (HOOK,),
    url: str = URL,
    **project: Any,
) -> Connection:
    """Return a project with models, given as title and version, and webhooks."""
    values = {"id": 7, "sampling": UNCERTAINTY, "show_collab_predictions": True, "model_version": shown} | project
    return Connection(
        Project.model_construct(**values),
        [
            MlBackend.model_construct(id=number, url=f"{url}/", title=title, model_version=version)
            for number, (title, version) in enumerate(backends)
        ],
        [Webhook.model_construct(**each) for each in hooks],
    )


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        pytest.param(connection(), [], id="all is well"),
        pytest.param(connection("Prelabel", (("Prelabel", VERSION),)), ["neither"], id="the name that a person typed"),
        pytest.param(connection(None), ["neither"], id="Label Studio forgets it with deleted predictions"),
        pytest.param(connection(OLD), [f'"{OLD}" was chosen'], id="somebody chose older predictions"),
        pytest.param(connection("", show_collab_predictions=False), ["shows no predictions"], id="turned off"),
        pytest.param(
            connection(backends=((OLD, OLD),)),
            ["no model in Label Studio has version"],
            id="the model tells another version",
        ),
        pytest.param(connection(backends=()), ["no model in Label Studio has version"], id="no model at all"),
        pytest.param(
            connection(backends=(("SAM", "sam"), (VERSION, VERSION))),
            ["asks only its first model"],
            id="another model goes first",
        ),
        pytest.param(connection(hooks=()), [NO_WEBHOOK], id="no webhook"),
        pytest.param(
            connection(hooks=({**HOOK, "is_active": False},)), [NO_WEBHOOK], id="a webhook that is turned off"
        ),
        pytest.param(
            connection(hooks=({**HOOK, "send_payload": False},)), [NO_WEBHOOK], id="a webhook that says nothing"
        ),
        pytest.param(connection(hooks=({**HOOK, "url": f"{URL}1/webhook"},)), [NO_WEBHOOK], id="of another service"),
        pytest.param(connection(hooks=({**HOOK, "project": None},)), [], id="of the organization"),
    ],
)
def test_faults_are_named(given: Connection, faults: list[str]) -> None:
    """One sentence each, with the project; a sentence says so where there is none."""
    found = diagnose(given, VERSION, keeps=True)
    wrong = [each.sentence for each in found if not each.ok]
    assert len(wrong) == len(faults)
    assert all(part in sentence for part, sentence in zip(faults, wrong, strict=True))
    assert any(ALL_IS_WELL in each.sentence for each in found) == (not faults)
    assert all(each.sentence.startswith("Project 7") and each.sentence.endswith(".") for each in found)


@pytest.mark.parametrize(
    ("keeps", "remedy"), [(True, "a running Prelabel"), (False, "PRELABEL_KEEP_PROJECTS_CURRENT=true")]
)
def test_remedy_depends_on_the_setting(keeps: bool, remedy: str) -> None:
    """A service that may change the version does so by itself."""
    (finding,) = diagnose(connection("Prelabel", (("Prelabel", VERSION),)), VERSION, keeps=keeps)
    assert remedy in finding.sentence


def test_sampling_is_a_hint() -> None:
    """Another order of tasks is a decision, not a fault."""
    _, hint = diagnose(connection(sampling="Sequential sampling"), VERSION, keeps=True)
    assert hint.ok
    assert "sequential sampling" in hint.sentence
    assert "order the data manager by prediction score" in hint.sentence


def test_passwords_in_addresses_are_not_shown() -> None:
    """A person may have connected the backend as http://user:password@host."""
    given = connection(hooks=(), url="http://user:secret@prelabel.internal:9090")
    assert "secret" not in str(diagnose(given, VERSION, keeps=True))
