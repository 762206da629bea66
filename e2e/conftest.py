"""What the tests of whole programs share: the built cluster programs, an API server, a node."""

import os
import secrets
import sys

import pytest
from cluster.apiserver import ApiServer
from cluster.client import Client, wait_until
from cluster.node import Node
from cluster.places import Places
from cluster.processes import ClusterError
from cluster.toolchain import build_programs


@pytest.fixture(scope="session")
def binaries():
    """The folder of the cluster's programs, built when they are not there."""
    return build_programs(lambda message: print(message, file=sys.stderr, flush=True))


@pytest.fixture(scope="session")
def api_server(binaries):
    """One API server for all tests of a session."""
    with ApiServer(binaries) as server:
        yield server


@pytest.fixture
def api_namespace(api_server):
    """A namespace of the test's own."""
    name = f"test-{secrets.token_hex(4)}"
    assert api_server.kubectl("create", "namespace", name).returncode == 0
    yield name
    api_server.kubectl("delete", "namespace", name, "--wait=false")


class NodeClient:
    """kubectl against a node, and waiting with the last observation in the failure."""

    def __init__(self, node):
        self.node = node
        self.client = Client(node.places.binaries, node.places.kubeconfig)

    def kubectl(self, *arguments, text="", check=True):
        """Run kubectl; its standard output. A failure shows what kubectl said."""
        return self.client.kubectl(*arguments, text=text) if check else self.client.run(*arguments, text=text)

    def wait_until(self, observe, is_enough, seconds, what):
        """Poll until the observation is enough; the last one and the node's state are in the failure."""
        try:
            return wait_until(observe, is_enough, seconds, what)
        except ClusterError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from error

    def describe(self):
        """Pods, events and the tails of the components' logs."""
        parts = [
            self.kubectl("get", "pods", "-A", "-o", "wide", check=False).stdout,
            self.kubectl("get", "events", "-A", "--sort-by=.lastTimestamp", check=False).stdout[-4000:],
        ]
        parts += [
            f"{log.name}: {log.read_text(errors='replace')[-600:]}" for log in self.node.places.logs.glob("*.log")
        ]
        return "\n".join(parts)


@pytest.fixture(scope="session")
def node(binaries, tmp_path_factory):
    """One node for all tests of a session; it leaves nothing behind."""
    state = tmp_path_factory.mktemp("node") / "state"
    node = Node(Places(state, binaries))
    try:
        node.up(lambda message: print(message, file=sys.stderr, flush=True))
        yield NodeClient(node)
    finally:
        node.down(lambda _: None)


@pytest.fixture
def namespace(node):
    """A namespace of the test's own on the node."""
    name = f"test-{secrets.token_hex(4)}"
    node.kubectl("create", "namespace", name)
    node.kubectl("wait", "-n", name, "--for=create", "serviceaccount/default", "--timeout=30s")
    yield name
    node.kubectl("delete", "namespace", name, "--wait=false", "--grace-period=1")


def pytest_configure(config):
    """Kubernetes' own environment must never reach a test by accident."""
    del config
    os.environ.pop("KUBECONFIG", None)
