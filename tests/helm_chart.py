"""The chart, rendered by Helm: a library in a folder of its own (``make helm``), run in a process of its own, as its Go runtime stays."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
CHART = ROOT / "deploy" / "helm" / "prelabel"
HELM = ROOT / ".tools" / "helm"
NAMESPACE = "labelling"

_RENDER = """
import json, sys
import helm_python
path, values, name, namespace = json.load(sys.stdin)
with helm_python.Chart.load(path) as chart:
    try:
        chart.validate_schema(values)
        print(json.dumps(chart.render(values, name=name, namespace=namespace)))
    except helm_python.HelmError as error:
        sys.exit(str(error))
"""

_LINT = """
import json, sys
import helm_python
print(json.dumps(helm_python.lint(sys.argv[1], strict=True)))
"""


class RefusedError(Exception):
    """Helm refuses the values."""


def render(values: Mapping[str, Any], release: str = "demo") -> dict[str, str]:
    """Return the text of each template by its file name.

    Raises:
        RefusedError: the values are against the schema, or the chart refuses them.
    """
    done = _run(_RENDER, json.dumps([str(CHART), values, release, NAMESPACE]))
    if done.returncode == 1:
        raise RefusedError(done.stderr)
    assert done.returncode == 0, done.stderr
    rendered: dict[str, str] = json.loads(done.stdout)
    return {Path(name).name: text for name, text in rendered.items()}


def manifests(values: Mapping[str, Any], release: str = "demo") -> list[dict[str, Any]]:
    """Return all objects that the chart makes of some values.

    Raises:
        RefusedError: as :func:`render`.
    """
    texts = [text for name, text in render(values, release).items() if name.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each is not None]


def lint() -> list[dict[str, Any]]:
    """Return the findings of Helm's own lint; severity 1 is advice."""
    done = _run(_LINT, "", str(CHART))
    assert done.returncode == 0, done.stderr
    messages: list[dict[str, Any]] = json.loads(done.stdout)["messages"]
    return messages


def _run(script: str, given: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    if not (HELM / "helm_python").is_dir():
        # The package has wheels for this platform, and `make` fetches it.
        there = (platform.system(), platform.machine()) == ("Linux", "x86_64")
        if there and os.environ.get("CI", "").lower() == "true":
            pytest.fail("no Helm in .tools/helm (make helm), and these tests must not be skipped here")
        pytest.skip("no Helm in .tools/helm: run `make helm`")
    environment = os.environ | {"PYTHONPATH": str(HELM)}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        input=given,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
