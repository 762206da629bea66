"""Runs prometheus-adapter in the node's network namespace as the API of custom metrics, like its own chart does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from cluster.client import Client, wait_until
from cluster.node import Node
from cluster.places import NODE_ADDRESS

VALUES = Path(__file__).resolve().parents[2] / "charts" / "modelpress" / "prometheus-adapter" / "values.yaml"
VERSIONS = ("v1beta1", "v1beta2")
GROUP = "custom.metrics.k8s.io"
READY_SECONDS = 90
_NAME = "prometheus-adapter"
_PORT = 6444
_NAMESPACE = "kube-system"


@contextmanager
def running_adapter(node: Node, program: Path, prometheus_url: str) -> Iterator[None]:
    """Have it answer for custom metrics while the block runs, by the rules of its values in the chart.

    Raises:
        ClusterError: when it does not become available; its log is with the node's others.
    """
    places = node.places
    client = Client(places.binaries, places.kubeconfig)
    config = places.state / f"{_NAME}.yaml"
    values = yaml.safe_load(VALUES.read_text())
    config.write_text(yaml.safe_dump({"rules": values["rules"]["custom"]}))
    inner = places.inner_kubeconfig
    command = [
        *places.enter(),
        str(program),
        f"--prometheus-url={prometheus_url}",
        f"--config={config}",
        f"--metrics-relist-interval={values['metricsRelistInterval']}",
        f"--secure-port={_PORT}",
        f"--cert-dir={places.state / _NAME}",
        f"--lister-kubeconfig={inner}",
        f"--authentication-kubeconfig={inner}",
        f"--authorization-kubeconfig={inner}",
    ]
    objects = _render_objects()
    node.processes.start(_NAME, command)
    try:
        client.apply(*objects)
        wait_until(lambda: _problem(client, node), lambda problem: problem == "", READY_SECONDS, _NAME)
        yield
    finally:
        for each in objects:
            kind, metadata = each["kind"], each["metadata"]
            within = ("-n", metadata["namespace"]) if "namespace" in metadata else ()
            client.run("delete", kind, metadata["name"], *within, "--ignore-not-found")
        node.processes.stop(_NAME)


def _problem(client: Client, node: Node) -> str:
    """Why the API does not answer yet; empty when it does, in every version."""
    if node.processes.pid(_NAME) is None:
        return f"it ended: {node.processes.last_words(_NAME)}"
    for version in VERSIONS:
        asked = client.run("get", "--raw", f"/apis/{GROUP}/{version}")
        if asked.returncode != 0:
            return asked.stderr.strip()
    return ""


def _render_objects() -> list[dict[str, Any]]:
    """The Service that leads to the process, and the API's registrations."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _NAME, "namespace": _NAMESPACE},
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": _PORT}]},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{_NAME}-node",
            "namespace": _NAMESPACE,
            "labels": {"kubernetes.io/service-name": _NAME},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [NODE_ADDRESS], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": _PORT}],
    }
    registrations = [
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{version}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "version": version,
                "service": {"name": _NAME, "namespace": _NAMESPACE},
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100 * place,
            },
        }
        for place, version in enumerate(VERSIONS, start=1)
    ]
    return [service, endpoints, *registrations]
