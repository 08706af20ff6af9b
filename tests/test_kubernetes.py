"""The chart for Kubernetes, rendered by Helm and validated by the schemas of Kubernetes. No cluster is needed, and none was at hand."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from fastapi.routing import APIRoute
from helm_chart import CHART, RefusedError, lint, manifests, render

from ml_backend.server.routes import router
from ml_backend.settings import VARIABLES, Settings

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SCHEMAS = ("1.29", "1.32", "1.37")

SHARED = {
    "LABEL_STUDIO_API_KEY": "0123456789abcdef",
    "REDIS_URL": "redis://:password@redis.data.svc:6379/0",
    "PRELABEL_DATABASE_URL": "postgresql://prelabel:password@postgres.data.svc/prelabel",
    "BASIC_AUTH_USER": "label-studio",
    "BASIC_AUTH_PASS": "password",
}
SEVERAL: dict[str, Any] = {
    "replicas": 3,
    "settings": {"LABEL_STUDIO_URL": "http://label-studio.label-studio.svc:8080"},
    "secrets": {"values": SHARED},
    "models": {"accessMode": "ReadWriteMany"},
}
EVERYTHING: dict[str, Any] = {
    "image": {"repository": "registry.example.org/prelabel", "digest": "sha256:" + "0" * 64, "pullSecrets": [{"name": "registry"}]},
    "settings": {"LABEL_STUDIO_URL": "http://label-studio.label-studio.svc:8080", "MODEL_SCORE_THRESHOLD": "0.4"},
    "secrets": {"existing": "mine", "keys": list(SHARED)},
    "extraEnv": [{"name": "AWS_REGION", "value": "eu-central-1"}],
    "models": {"existingClaim": "models", "accessMode": "ReadWriteMany"},
    "service": {"type": "LoadBalancer", "port": 80},
    "autoscaling": {"enabled": True, "imagesInFlight": 16},
    "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "label-studio"}}}]},
    "metrics": {"serviceMonitor": True},
    "podAnnotations": {"example.org/team": "vision"},
    "podLabels": {"team": "vision"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname"}]}},
    "priorityClassName": "high",
}  # fmt: skip
VALUES = {
    "defaults": {},
    "several replicas": SEVERAL,
    "everything": EVERYTHING,
    "one replica, no volume of models": {"models": {"persistent": False}, "metrics": {"annotations": True}},
}


def kinds(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the objects by their kind; of several of a kind, the last."""
    return {each["kind"]: each for each in manifests(values)}


def container(values: dict[str, Any]) -> dict[str, Any]:
    """Return the container of the Deployment."""
    (only,) = kinds(values)["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


@pytest.mark.parametrize("values", VALUES.values(), ids=list(VALUES))
def test_manifests_keep_the_schemas_of_kubernetes(values: dict[str, Any]) -> None:
    """Strictly: a field that Kubernetes does not know is an error. Definitions of the Prometheus operator are not among its schemas."""
    found = manifests(values)
    assert len(found) >= 5
    for manifest in found:
        if manifest["kind"] == "ServiceMonitor":
            continue
        for version in SCHEMAS:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_lint_of_helm_finds_nothing() -> None:
    """But for an icon, which is advice."""
    assert [each["error"] for each in lint()] == ["icon is recommended"]


@pytest.mark.parametrize("values", VALUES.values(), ids=list(VALUES))
def test_environment_is_of_settings_that_exist(values: dict[str, Any]) -> None:
    """Each variable of the ConfigMap and of the Secret is a setting, and secrets are in the Secret only."""
    found = kinds(values)
    given = {each["name"] for each in container(values)["env"]} - {"AWS_REGION"}
    plain = set(found["ConfigMap"]["data"])
    assert given | plain <= set(VARIABLES.values())
    hidden = {VARIABLES[name] for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert plain.isdisjoint(hidden)
    if "Secret" in found:
        assert set(found["Secret"]["stringData"]) <= hidden | {"BASIC_AUTH_USER"}


def test_every_secret_setting_may_be_given() -> None:
    """The schema of the values names all of them, so that a new one is not forgotten."""
    hidden = {VARIABLES[name] for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    named = re.search(r'"secret": \{"enum": \[(.*)\]', (CHART / "values.schema.json").read_text())
    assert named
    assert set(re.findall(r"\w+", named[1])) == hidden | {"BASIC_AUTH_USER"}


def test_port_and_paths_are_those_of_the_image() -> None:
    """The port that the Dockerfile exposes is probed, and the folders that it writes to are mounted; the file system itself is read-only."""
    served = container({})
    (port,) = served["ports"]
    assert f"EXPOSE {port['containerPort']}" in DOCKERFILE
    mounted = {each["mountPath"] for each in served["volumeMounts"]}
    assert mounted == {"/models", "/cache", "/data", "/tmp"}  # noqa: S108 - the path in the container
    for path in mounted - {"/tmp"}:  # noqa: S108
        assert re.search(rf"=(sqlite:///)?{path}\b", DOCKERFILE), "the image keeps something there"
    assert served["securityContext"]["readOnlyRootFilesystem"]


def test_pod_keeps_the_restricted_standard() -> None:
    """The profile "restricted" of the Pod Security Standards: a user other than root, no capabilities, the runtime's seccomp profile."""
    pod = kinds({})["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert str(pod["securityContext"]["runAsUser"]) in DOCKERFILE
    assert container({})["securityContext"] | {"readOnlyRootFilesystem": True} == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False


def test_pod_lives_longer_than_its_shutdown_takes() -> None:
    """The kubelet kills after the grace period; running requests need the whole deadline of /predict."""
    found = kinds({})
    settings = found["ConfigMap"]["data"]
    takes = int(settings["PRELABEL_SHUTDOWN_DELAY"]) + int(settings["PRELABEL_SHUTDOWN_TIMEOUT"])
    assert found["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > takes
    assert int(settings["PRELABEL_SHUTDOWN_TIMEOUT"]) > Settings().predict_deadline


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        pytest.param({"replicas": 2}, "SQLite", id="several replicas on a SQLite file"),
        pytest.param(
            SEVERAL | {"secrets": {"values": {"PRELABEL_DATABASE_URL": "sqlite:////data/x.sqlite3"}}},
            "SQLite",
            id="said in another way",
        ),
        pytest.param({"autoscaling": {"enabled": True}}, "SQLite", id="several by autoscaling"),
        pytest.param(SEVERAL | {"settings": {}}, "LABEL_STUDIO_URL", id="an address that only one of several would be told"),
        pytest.param(SEVERAL | {"models": {}}, "ReadWriteOnce", id="a volume that one node has"),
        pytest.param({"settings": {"REDIS_URL": "redis://x"}}, "REDIS_URL", id="a secret among the settings"),
        pytest.param({"settings": {"MODEL_TRESHOLD": "0.4"}}, "MODEL_TRESHOLD", id="a misspelt setting"),
        pytest.param({"replica": 2}, "replica", id="a misspelt value"),
        pytest.param({"secrets": {"values": {"BASIC_AUTH_USER": "me"}}}, "BASIC_AUTH_PASS", id="a user without a password"),
        pytest.param({"secrets": {"existing": "mine", "values": SHARED}}, "exclude each other", id="two places of secrets"),
        pytest.param(SEVERAL | {"metrics": {"annotations": True}}, "password", id="annotations for metrics behind a password"),
        pytest.param({"resources": {"limits": None}}, "limits", id="no limits, by which workers are counted"),
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_refused(values: dict[str, Any], reason: str) -> None:
    """With the reason, before anything reaches the cluster."""
    with pytest.raises(RefusedError, match=reason):
        manifests(values)


@pytest.mark.parametrize(
    ("values", "strategy"),
    [
        pytest.param({}, "Recreate", id="one file of corrections, one volume"),
        pytest.param({"secrets": {"values": SHARED}}, "Recreate", id="one volume of models"),
        pytest.param(SEVERAL, "RollingUpdate", id="nothing that only one pod may have"),
    ],
)
def test_pods_overlap_only_where_they_may(values: dict[str, Any], strategy: str) -> None:
    """A new pod starts before the old one ends, unless both would have the same volume or SQLite file."""
    assert kinds(values)["Deployment"]["spec"]["strategy"]["type"] == strategy


def test_several_replicas_survive_a_drained_node() -> None:
    """One at a time: a budget for disruptions, and a place on different nodes where there are some."""
    several = kinds(SEVERAL)
    assert several["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert "PodDisruptionBudget" not in kinds({})
    spread = several["Deployment"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]


def test_autoscaler_follows_a_metric_that_exists() -> None:
    """Images in flight, and processors; its Deployment then has no number of its own, which each upgrade would set back."""
    found = kinds(EVERYTHING)
    named = [each.get("pods", each.get("resource")) for each in found["HorizontalPodAutoscaler"]["spec"]["metrics"]]
    assert [each.get("name") or each["metric"]["name"] for each in named] == ["prelabel_images_in_flight", "cpu"]
    assert "replicas" not in found["Deployment"]["spec"]


def test_notes_tell_an_address_that_webhooks_reach() -> None:
    """Label Studio drops webhooks to hosts without a dot, so a short name would never bring a correction."""
    notes = render({}, release="boxes")["NOTES.txt"]
    (address,) = re.findall(r"^  (http://\S+)$", notes, re.MULTILINE)
    assert address == "http://boxes-prelabel.labelling.svc:9090"


def test_probes_ask_what_the_service_answers() -> None:
    """Without a password; and only readiness ends with the signal, since Label Studio asks for health, too."""
    served = container({})
    paths = {probe: served[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/health", "readiness": "/ready", "liveness": "/health"}
    assert set(paths.values()) <= {route.path for route in router.routes if isinstance(route, APIRoute)}
