"""Diagnoses the connection of a Label Studio project and Prelabel, for ``/status`` and ``prelabel doctor``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ml_backend.label_studio.client import StudioClient
from ml_backend.label_studio.health import Finding
from ml_backend.pipeline.model_version import is_ours
from ml_backend.redaction import printable, redact_address

UNCERTAINTY = "Uncertainty sampling"
NEWEST_PROJECTS = 50  # that a command searches for connected ones


@dataclass(frozen=True)
class Connection:
    """A project with its models and webhooks, as Label Studio's SDK gives them.

    Attributes:
        project: the project.
        backends: its models; Label Studio asks only the first one for predictions.
        webhooks: its own, and those of the whole organization.
    """

    project: Any
    backends: Sequence[Any]
    webhooks: Sequence[Any]

    @classmethod
    def read(cls, client: StudioClient, number: int) -> "Connection":
        """Read a project. Label Studio calls ``/health`` and ``/setup`` of its models before it answers.

        Raises:
            LabelStudioError: Label Studio does not answer, or refuses.
        """
        return cls(client.project(number), client.backends(number), client.webhooks(number))

    def ours(self, version: str) -> list[Any]:
        """Return the models that told Label Studio a version in answer to this reading."""
        return [backend for backend in self.backends if backend.model_version == version]

    def asks(self, version: str) -> bool:
        """Tell whether the project shows predictions of a version and Label Studio asks our model for them."""
        project = self.project
        return bool(
            project.show_collab_predictions
            and project.model_version == version
            and self.backends
            and self.backends[0].model_version == version
        )

    def chosen(self, version: str) -> str:
        """Return the other model version that a person or an import chose for the project; empty for none.

        An empty field, the version itself and the title of our model, which Label Studio sets by itself, are no choice.
        """
        shown = self.project.model_version or ""
        titles = {backend.title for backend in self.ours(version)}
        return "" if shown in {"", version} | titles else str(shown)


def diagnose(connection: Connection, version: str, *, keeps: bool) -> list[Finding]:
    """Return findings on a project: its faults, or one sentence that there are none, and hints.

    Args:
        connection: the project.
        version: the model version in force.
        keeps: whether the service corrects the model version by itself (``PRELABEL_KEEP_PROJECTS_CURRENT``).
    """
    name = f"Project {connection.project.id}"
    ours = connection.ours(version)
    if not ours:
        return [_wrong(f"{name}: no model in Label Studio has version {version}: see Settings, Model.")]
    wrong = [*_version_faults(connection, version, name, keeps=keeps), *_webhook_faults(connection, ours[0], name)]
    findings = [_wrong(sentence) for sentence in wrong]
    if not wrong:
        sentence = f"{name}: scores and queue use {version}, and corrections arrive by webhook."
        findings.append(Finding(ok=True, sentence=sentence))
    if connection.project.sampling != UNCERTAINTY:
        findings.append(
            Finding(
                ok=True,
                sentence=f'{name}: "Label All Tasks" uses {str(connection.project.sampling).lower()}. For doubtful tasks first, order the data '
                'manager by prediction score and press "Label Tasks As Displayed", or set its sampling by the API to '
                f'"{UNCERTAINTY}", which the settings page of the community edition does not offer.',
            )
        )
    return findings


def _version_faults(connection: Connection, version: str, name: str, *, keeps: bool) -> Iterator[str]:
    project, first = connection.project, connection.backends[0]
    shown = printable(project.model_version or "", 200)
    title = printable(connection.ours(version)[0].title or "", 200)
    if first not in connection.ours(version):
        yield (
            f"{name}: Label Studio asks only its first model for predictions, which is "
            f'"{printable(first.title or "", 200)}": remove that model to use Prelabel.'
        )
    if not project.show_collab_predictions:
        yield f'{name} shows no predictions: turn on "Use predictions to prelabel tasks" in Settings, Annotation.'
    elif connection.chosen(version):
        yield (
            f'{name}: its model version "{shown}" was chosen in Label Studio, or set by an import, and Prelabel does not change it. Predictions '
            f'have {version}, so neither the score column nor the queue uses them: choose "{title}" in Settings, Annotation, Prelabeling.'
        )
    elif project.model_version != version or title != version:
        remedy = (
            "a running Prelabel with LABEL_STUDIO_API_KEY corrects it within a minute"
            if keeps
            else f'set PRELABEL_KEEP_PROJECTS_CURRENT=true, or give the model the name "{version}" in Settings, Model'
        )
        yield (
            f'{name}: its model version is "{shown}" and predictions have {version}, so neither the score column nor the queue uses '
            f"them: {remedy}."
        )


def _webhook_faults(connection: Connection, backend: Any, name: str) -> Iterator[str]:
    address = f"{backend.url.rstrip('/')}/webhook"
    if not any(
        webhook.url == address and webhook.is_active and webhook.send_payload and webhook.send_for_all_actions
        for webhook in connection.webhooks
    ):
        number = connection.project.id
        yield (
            f"{name} has no active webhook {redact_address(address)} with payload for all actions, so corrections do not arrive: create it in "
            f"Settings, Webhooks. With SSRF_PROTECTION_ENABLED (its default), Label Studio refuses private addresses, and always host names "
            f"without a dot. `prelabel feedback sync --project {number}` reads corrections without it."
        )


def _wrong(sentence: str) -> Finding:
    return Finding(ok=False, sentence=sentence)


def survey(client: StudioClient, *, keeps: bool) -> list[Finding]:
    """Diagnose the newest projects that have Prelabel as a model, for a command without a service.

    Raises:
        LabelStudioError: Label Studio does not answer, or refuses.
    """
    found = []
    for project in client.newest_projects(NEWEST_PROJECTS):
        versions = [str(backend.model_version) for backend in client.backends(project.id)]
        if version := next(filter(is_ours, versions), None):
            found += diagnose(Connection.read(client, project.id), version, keeps=keeps)
    return found
