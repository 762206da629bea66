"""kubectl and helm against one cluster, as an ordinary shell would run them."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cluster.processes import ClusterError

Seen = TypeVar("Seen")
_SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class Client:
    """The programs and the cluster that they speak to.

    Attributes:
        binaries: folder of kubectl and helm.
        kubeconfig: which cluster.
    """

    binaries: Path
    kubeconfig: Path

    def run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl; its status is the caller's to judge."""
        cache = self.kubeconfig.with_name("kubectl")
        command = [
            str(self.binaries / "kubectl"),
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={cache}",
            *arguments,
        ]
        return subprocess.run(command, input=text, check=False, capture_output=True, text=True)

    def kubectl(self, *arguments: str, text: str = "") -> str:
        """Run kubectl; its standard output.

        Raises:
            ClusterError: with kubectl's words.
        """
        done = self.run(*arguments, text=text)
        if done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def read(self, *arguments: str) -> Any:
        """What `kubectl get … -o json` gives."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *documents: Any) -> None:
        """Server-side apply of objects."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)

    def helm(self, *arguments: str) -> str:
        """Run helm; its standard output. It keeps nothing in the home folder.

        Raises:
            ClusterError: with helm's words.
        """
        home = self.kubeconfig.with_name("helm")
        command = [str(self.binaries / "helm"), f"--kubeconfig={self.kubeconfig}", *arguments]
        environment = {**os.environ, "HELM_CACHE_HOME": f"{home}", "HELM_CONFIG_HOME": f"{home}"}
        environment["HELM_DATA_HOME"] = str(home)
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise ClusterError(f"helm {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


def wait_until(observe: Callable[[], Seen], is_enough: Callable[[Seen], bool], seconds: float, what: str) -> Seen:
    """Poll until the observation is enough.

    Raises:
        ClusterError: with the last observation, when it was not enough in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        seen = observe()
        if is_enough(seen):
            return seen
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: after {seconds:.0f} s still {seen!r}")
        time.sleep(_SECONDS_BETWEEN_LOOKS)
