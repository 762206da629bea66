"""An API server with its store and nothing else, for tests: no rights needed, on loopback ports that are free."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from loopback import free_ports

from cluster.components import ADMISSION, render_apiserver, render_etcd
from cluster.pki import format_kubeconfig, write_certificates
from cluster.places import Places
from cluster.processes import ClusterError, Processes

READY_SECONDS = 60
CRD_SECONDS = 30


class ApiServer:
    """`with ApiServer(binaries) as server:` runs etcd and kube-apiserver until the block ends.

    Attributes:
        kubeconfig: of an administrator.
        seconds_to_ready: from start to a server that answers.
    """

    def __init__(self, binaries: Path, options: Sequence[str] = ()) -> None:
        """Start nothing yet.

        Args:
            binaries: the folder of the cluster's programs.
            options: further ones of kube-apiserver.
        """
        self._binaries = binaries
        self._options = options
        self._open = ExitStack()
        self.seconds_to_ready = 0.0

    def __enter__(self) -> Self:
        """Start both and wait until the server is ready."""
        state = Path(tempfile.mkdtemp(prefix="modelpress-api-"))
        self._open.callback(shutil.rmtree, state, ignore_errors=True)
        places = Places(state, self._binaries)
        self.kubeconfig = places.kubeconfig
        self._kubectl = places.program("kubectl")
        api_port, client_port, peer_port = free_ports(3)
        write_certificates(places.pki)
        (state / "admission.yaml").write_text(ADMISSION)
        places.kubeconfig.write_text(format_kubeconfig(places.pki, f"https://127.0.0.1:{api_port}", "admin"))
        loopback = ["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"]
        self.processes = Processes(state / "pids", state / "logs")
        begun = time.monotonic()
        try:
            self._start("etcd", render_etcd(places, client_port, peer_port))
            own = [*loopback, *self._options]
            self._start("kube-apiserver", render_apiserver(places, api_port, client_port) + own)
            self._wait_until_ready(begun + READY_SECONDS)
        except BaseException:
            self._open.close()
            raise
        self.seconds_to_ready = time.monotonic() - begun
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End both and remove their folder."""
        self._open.close()

    def _start(self, name: str, command: list[str]) -> None:
        self.processes.start(name, command)
        self._open.callback(self.processes.stop, name)

    def _wait_until_ready(self, deadline: float) -> None:
        while self.kubectl("get", "--raw", "/readyz").returncode != 0:
            for name in ("etcd", "kube-apiserver"):
                if self.processes.pid(name) is None:
                    raise ClusterError(f"{name} ended: {self.processes.last_words(name)}")
            if time.monotonic() > deadline:
                raise ClusterError(f"not ready after {READY_SECONDS} s: {self.processes.last_words('kube-apiserver')}")
            time.sleep(0.05)

    def kubectl(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator; its output is captured and its status is the caller's to judge."""
        cache = self.kubeconfig.with_name("kubectl")
        command = [self._kubectl, f"--kubeconfig={self.kubeconfig}", f"--cache-dir={cache}", *arguments]
        return subprocess.run(command, input=text, check=False, capture_output=True, text=True)

    def apply_crd(self, crd: str) -> None:
        """Bring a CRD in, given as YAML, and wait until the server serves it.

        `kubectl wait` alone ends with an error when it looks before the CRD has any conditions.

        Raises:
            ClusterError: when it is refused, or not served in time.
        """
        applied = self.kubectl("apply", "--server-side", "--force-conflicts", "-o", "name", "-f", "-", text=crd)
        if applied.returncode != 0:
            raise ClusterError(f"the CRD was refused: {applied.stderr.strip()}")
        deadline = time.monotonic() + CRD_SECONDS
        established = ("wait", "--for=condition=Established", applied.stdout.strip(), "--timeout=5s")
        while (waited := self.kubectl(*established)).returncode != 0:
            if time.monotonic() > deadline:
                raise ClusterError(f"the CRD is not served after {CRD_SECONDS} s: {waited.stderr.strip()}")
            time.sleep(0.05)
