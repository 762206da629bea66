"""A cluster that is there already: the one kubectl points at, used only when it is known or named."""

import re
import shutil
import subprocess

from cluster.processes import ClusterError

KNOWN_CONTEXTS = re.compile(r"modelpress|microk8s|minikube|kind-.+|k3d-.+|k3s-.+|docker-desktop|rancher-desktop")


def use_cluster(wanted: str) -> str:
    """Check that the cluster may be used and answers; the context's name.

    Args:
        wanted: `current`, which takes a context whose name is that of a cluster on one's own machine, or the exact
            name of a context, which is then meant.

    Raises:
        ClusterError: when there is no kubectl, the current context is not a known one, or it does not answer.
    """
    if shutil.which("kubectl") is None:
        raise ClusterError("CLUSTER is set, but there is no kubectl on PATH: install it, or leave CLUSTER out")
    context = wanted if wanted != "current" else _kubectl("config", "current-context")
    if wanted == "current" and KNOWN_CONTEXTS.fullmatch(context) is None:
        raise ClusterError(
            f"kubectl points at {context}, which may be someone's real cluster: say CLUSTER={context} if it is meant"
        )
    nodes = _kubectl("--context", context, "get", "nodes", "--output=name", "--request-timeout=10s").split()
    if not nodes:
        raise ClusterError(f"{context} has no node: wait until one has joined, or choose another cluster")
    return context


def _kubectl(*arguments: str) -> str:
    done = subprocess.run(["kubectl", *arguments], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ClusterError(f"kubectl {arguments[-1]}: {reason}; see that KUBECONFIG names the cluster you mean")
    return done.stdout.strip()
