"""What the tests of whole programs share: the built cluster programs, an API server, a node."""

import os
import secrets
import subprocess
import sys
import time

import pytest
from cluster.apiserver import ApiServer
from cluster.node import Node
from cluster.places import Places
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

    def kubectl(self, *arguments, text="", check=True):
        """Run kubectl; its standard output. A failure shows what kubectl said."""
        places = self.node.places
        command = [
            places.program("kubectl"),
            f"--kubeconfig={places.kubeconfig}",
            f"--cache-dir={places.state}/kubectl",
            *arguments,
        ]
        done = subprocess.run(command, input=text, check=False, capture_output=True, text=True)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout if check else done

    def wait_until(self, observe, is_enough, seconds, what):
        """Poll until the observation is enough; the last one is in the failure."""
        deadline = time.monotonic() + seconds
        while True:
            seen = observe()
            if is_enough(seen):
                return seen
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: after {seconds} s still {seen!r}\n{self.describe()}")
            time.sleep(0.5)

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
