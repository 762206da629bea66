"""The chart, rendered by the node's Helm."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "modelpress"
LEAST_KUBERNETES = "1.26.0"
NAMESPACE = "modelpress-system"


class Helm:
    """Helm with folders of its own, so that the machine's repositories and plugins do not matter."""

    def __init__(self, program, home):
        self.program = program
        self.environment = os.environ | {f"HELM_{kind}_HOME": str(home / kind) for kind in ("CACHE", "CONFIG", "DATA")}

    def run(self, *arguments, values=None):
        """The finished process; values go in as a file would."""
        given = ["--values", "-"] if values is not None else []
        return subprocess.run(
            [self.program, *arguments, *given],
            input=json.dumps(values or {}),
            check=False,
            capture_output=True,
            text=True,
            env=self.environment,
        )

    def template(self, values, *files, release="modelpress", namespace=NAMESPACE):
        """The finished `helm template`."""
        options = [
            "--namespace",
            namespace,
            "--kube-version",
            LEAST_KUBERNETES,
            *(f"--values={each}" for each in files),
        ]
        return self.run("template", release, CHART, *options, values=values)

    def render(self, values, *files, **options):
        """The objects that these values give."""
        rendered = self.template(values, *files, **options)
        assert rendered.returncode == 0, rendered.stderr
        return [document for document in yaml.safe_load_all(rendered.stdout) if document]


@pytest.fixture(scope="session")
def helm(binaries, tmp_path_factory):
    """Helm as the node has it."""
    return Helm(binaries / "helm", tmp_path_factory.mktemp("helm"))


def select(objects, kind, name=None):
    """The objects of that kind, and of that name where one is given."""
    return [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]


@pytest.fixture(name="select")
def provide_select():
    """`select`, for tests."""
    return select


VARIANTS = {
    "default": {},
    "everything": {
        "images": {"pullSecrets": ["pull"]},
        "store": {"namespaces": ["models"], "storageClassName": "local", "accessModes": ["ReadWriteMany"]},
        "data": {"claimName": "datasets"},
        "prometheus": {"enabled": True},
        "dashboards": {"enabled": True, "namespace": "monitoring"},
        "podMonitor": {"enabled": True, "labels": {"release": "monitoring"}},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "quiet", "operator": "Exists"}],
        "extraLabels": {"team": "vision", "app.kubernetes.io/name": "other"},
    },
    "namespaced": {
        "watchNamespaces": ["team-a", "team-b"],
        "store": {"create": False},
        "prometheus": {"enabled": True, "kubelet": {"enabled": False}},
        "podMonitor": {"enabled": True},
        "userRoles": {"create": False},
    },
}
FILES = {"microk8s": [CHART / "values-microk8s.yaml"]}


@pytest.fixture(params=[*VARIANTS, *FILES])
def objects(request, helm):
    """What the chart gives, with each set of values in turn."""
    return helm.render(VARIANTS.get(request.param, {}), *FILES.get(request.param, []))


@pytest.fixture
def variants():
    """Values by the name of what they show."""
    return VARIANTS


@pytest.fixture
def chart():
    """The chart's folder."""
    return CHART
