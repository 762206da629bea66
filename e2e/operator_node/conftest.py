"""The operator on a real node, installed by its chart, with images of this checkout."""

import json
import secrets
import sys

import pytest
from demo_cluster.installation import Installation
from demo_cluster.loading import Pictures
from images.building import write_archives
from monitoring.image import write_image as write_prometheus_image

ABSENT_SECONDS = 60


def pytest_addoption(parser):
    """How long the operator is away in the test that goes by it."""
    parser.addoption("--absent-seconds", type=int, default=ABSENT_SECONDS, help="how long models serve alone")


@pytest.fixture
def absent_seconds(request):
    """How long the operator is away; the option is there only where this folder is named on the command line."""
    return request.config.getoption("--absent-seconds", default=ABSENT_SECONDS)


def _tell(message):
    print(message, file=sys.stderr, flush=True)


@pytest.fixture(scope="session")
def image_names():
    """The images' names by target, each in its archive."""
    names = {
        name.removeprefix("localhost/modelpress-").split(":")[0]: name
        for name in write_archives(("operator", "server", "builder"), _tell)
    }
    return {**names, "prometheus": write_prometheus_image(_tell).name}


@pytest.fixture(scope="session")
def installation(node, image_names, tmp_path_factory):
    """The chart on the node; the models' namespace has a store."""
    installed = Installation(node.node, f"models-{secrets.token_hex(3)}", tmp_path_factory.mktemp("volumes"))
    installed.load_images(image_names)
    installed.make_namespaces()
    installed.make_store_volume()
    installed.install_chart(image_names)
    return installed


@pytest.fixture(scope="session")
def digit_pictures(tmp_path_factory):
    """One digit, 8x8, from scikit-learn."""
    import numpy as np
    from sklearn import datasets

    image = np.round(datasets.load_digits().images[:1] * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    target = tmp_path_factory.mktemp("pictures") / "digit.npy"
    np.save(target, image)
    return Pictures(target)


class Models:
    """The models of one namespace, as their users see them."""

    def __init__(self, node, installation):
        self.node, self.installation, self.namespace = node, installation, installation.namespace

    def apply(self, manifest):
        """`kubectl apply`."""
        self.node.kubectl("apply", "-n", self.namespace, "-f", "-", text=json.dumps(manifest))

    def read(self, name):
        """The object."""
        return self.installation.client.read("cmod", name, "-n", self.namespace)

    def condition(self, name, kind):
        """(status, reason, message) of a condition; three empty texts when it is not there, or stale."""
        model = self.read(name)
        status = model.get("status", {})
        if status.get("observedGeneration") != model["metadata"]["generation"]:
            return "", "", ""
        for found in status.get("conditions", ()):
            if found["type"] == kind:
                return found["status"], found["reason"], found["message"]
        return "", "", ""

    def wait_for(self, name, kind, status, reason=None, seconds=120):
        """Wait for a condition; its message."""
        return self.node.wait_until(
            lambda: self.condition(name, kind),
            lambda seen: seen[0] == status and reason in (None, seen[1]),
            seconds,
            f"{name}: {kind}={status} {reason or ''}",
        )[2]

    def names(self, kind, selector):
        """Names of objects by label."""
        listed = self.installation.client.read(kind, "-n", self.namespace, "-l", selector)
        return [each["metadata"]["name"] for each in listed["items"]]

    def delete(self, name):
        """`kubectl delete cmod`, in the background."""
        self.node.kubectl("delete", "cmod", name, "-n", self.namespace, "--ignore-not-found")


@pytest.fixture(scope="session")
def models(node, installation):
    """The models on the node."""
    return Models(node, installation)
