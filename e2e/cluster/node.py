"""Brings the node up, heals it, says how it is, and takes it away without a trace."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cluster.components import render_files, render_node_commands
from cluster.images import forget_half_imports, import_image, pause_archive
from cluster.network import make_namespace, remove_namespace
from cluster.pki import format_kubeconfig, write_certificates
from cluster.places import NODE_NAME, VOLUMES, Places
from cluster.processes import ClusterError, Processes

READY_SECONDS = 120
OBJECTS = Path(__file__).resolve().parent / "objects"
KUBECONFIGS = {
    "inner": "admin",
    "controllers": "controllers",
    "scheduler": "scheduler",
    "proxy": "proxy",
    "node": "node",
}

Progress = Callable[[str], None]


class Node:
    """One node and its processes."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.processes = Processes(places.state / "pids", places.logs)

    def up(self, progress: Progress) -> float:
        """Start what does not run and wait until the node is Ready; seconds from the first start to Ready.

        Raises:
            ClusterError: naming the component that failed, with its last words.
        """
        self._write_files()
        make_namespace(self.places)
        begun = time.monotonic()
        for name, command in render_node_commands(self.places).items():
            if name == "containerd" and self.processes.pid(name) is None:
                forget_half_imports(self.places)
            if self.processes.start(name, command):
                progress(f"started {name}")
            self._after_start(name)
        self._apply_objects()
        self._wait_for(f"node {NODE_NAME}", "--for=condition=Ready", progress)
        self._wait_for("apiservice v1beta1.metrics.k8s.io", "--for=condition=Available", progress)
        return time.monotonic() - begun

    def _write_files(self) -> None:
        for folder in (self.places.state, self.places.sockets, self.places.state / "net.d"):
            folder.mkdir(parents=True, exist_ok=True)
        write_certificates(self.places.pki)
        for name, text in render_files(self.places).items():
            _write_if_other(self.places.state / name, text)
        for name, identity in KUBECONFIGS.items():
            inside = format_kubeconfig(self.places.pki, "https://127.0.0.1:6443", identity)
            (self.places.state / f"{name}.kubeconfig").write_text(inside)
        outside = format_kubeconfig(self.places.pki, f"https://127.0.0.1:{self.places.port}", "admin")
        self.places.kubeconfig.write_text(outside)
        self.places.kubeconfig.chmod(0o600)
        for index in range(VOLUMES):
            (self.places.state / "volumes" / str(index)).mkdir(parents=True, exist_ok=True)
        for cgroup in cgroup_folders(self.places):
            cgroup.mkdir(exist_ok=True)

    def _after_start(self, name: str) -> None:
        """What the next component needs of this one."""
        if name == "kube-apiserver":
            self._wait_until(name, lambda: self._kubectl("get", "--raw", "/readyz", inner=True).returncode == 0)
        elif name == "containerd":
            self._wait_until(name, lambda: _accepts(self.places.containerd_socket))
            import_image(self.places, pause_archive(self.places))
        elif name == "loopback-outer":  # the last link of the way by which everything below reaches the API server
            self._wait_until(name, lambda: self._kubectl("get", "--raw", "/readyz").returncode == 0)

    def _wait_until(self, name: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not is_so():
            if self.processes.pid(name) is None:
                raise ClusterError(
                    f"{name} ended: {self.processes.last_words(name)} (log: {self.places.logs}/{name}.log)"
                )
            if time.monotonic() > deadline:
                raise ClusterError(f"{name} is not ready after {READY_SECONDS} s: {self.processes.last_words(name)}")
            time.sleep(0.1)

    def _wait_for(self, what: str, condition: str, progress: Progress) -> None:
        progress(f"waiting for {what}")
        deadline = time.monotonic() + READY_SECONDS
        while True:
            waited = self._kubectl("wait", condition, *what.split(), "--timeout=10s")
            if waited.returncode == 0:
                return
            dead = [name for name, pid in self.component_pids().items() if pid is None]
            if dead:
                raise ClusterError(f"{dead[0]} ended: {self.processes.last_words(dead[0])}")
            if time.monotonic() > deadline:
                raise ClusterError(f"{what} is not ready after {READY_SECONDS} s: {waited.stderr.strip()}")

    def _apply_objects(self) -> None:
        text = (OBJECTS / "system.yaml").read_text() + "".join(render_volume(self.places, i) for i in range(VOLUMES))
        applied = self._kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)
        if applied.returncode != 0:
            raise ClusterError(f"the node's own objects were refused: {applied.stderr.strip()}")

    def _kubectl(self, *arguments: str, inner: bool = False, text: str = "") -> subprocess.CompletedProcess[str]:
        config = self.places.inner_kubeconfig if inner else self.places.kubeconfig
        prefix = self.places.enter() if inner else []
        command = [
            *prefix,
            self.places.program("kubectl"),
            f"--kubeconfig={config}",
            f"--cache-dir={self.places.state}/kubectl",
            *arguments,
        ]
        return subprocess.run(command, input=text, check=False, capture_output=True, text=True)

    def component_pids(self) -> dict[str, int | None]:
        """Each component's process id; None for one that does not run."""
        return {name: self.processes.pid(name) for name in render_node_commands(self.places)}

    def problems(self) -> list[str]:
        """What is wrong with the node, a sentence each; empty when all is well."""
        if not self.places.kubeconfig.exists():
            return [f"there is no node in {self.places.state}: run make cluster"]
        found = [
            f"{name} does not run ({self.processes.last_words(name)}): run make cluster"
            for name, pid in self.component_pids().items()
            if pid is None
        ]
        ready = self._kubectl("wait", "--for=condition=Ready", f"node/{NODE_NAME}", "--timeout=2s")
        if ready.returncode != 0 and not found:
            found.append(f"the node is not Ready: {ready.stderr.strip()}")
        return found

    def down(self, progress: Progress) -> None:
        """End every process, take away every mount, namespace, cgroup and file of the node."""
        for name in ("kubelet", "containerd", *reversed(render_node_commands(self.places))):
            self.processes.stop(name)
        progress("ending pods")
        _kill_shims(self.places)
        _kill_pods(self.places)
        _remove_runtime_state(self.places)
        _unmount(self.places)
        remove_namespace(self.places)
        for cgroup in cgroup_folders(self.places):
            _remove_cgroup(cgroup)
        for folder in (self.places.sockets, self.places.state):
            shutil.rmtree(folder, ignore_errors=True)
        left = [str(folder) for folder in (self.places.sockets, self.places.state) if folder.exists()]
        if left:
            raise ClusterError(f"{left[0]} could not be removed; see what is mounted below it and remove it by hand")


def _write_if_other(path: Path, text: str) -> None:
    """Leave a file alone that says this already: kube-proxy ends when its configuration is written."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _accepts(path: Path) -> bool:
    """Whether someone listens on the UNIX socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def render_volume(places: Places, index: int) -> str:
    """A local volume of the default class; `local` honours fsGroup where hostPath does not."""
    return f"""---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: local-{index}}}
spec:
  capacity: {{storage: 20Gi}}
  accessModes: [ReadWriteOnce, ReadOnlyMany, ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: local
  local: {{path: "{places.state.resolve()}/volumes/{index}"}}
  nodeAffinity:
    required:
      nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{NODE_NAME}]}}]}}]
"""


def cgroup_folders(places: Places) -> list[Path]:
    """The cgroup that holds the node's pods: one folder under cgroups v2, one for each controller under v1."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root / places.namespace]
    return [path / places.namespace for path in sorted(root.iterdir()) if path.is_dir() and not path.is_symlink()]


def _pods_processes(places: Places) -> Iterator[int]:
    for folder in cgroup_folders(places):
        for listing in folder.rglob("cgroup.procs"):
            yield from (int(line) for line in listing.read_text().split())


def _kill_pods(places: Places) -> None:
    """End every process in the pods' cgroup: the kubelet that we started put them there."""
    deadline = time.monotonic() + 10
    while pids := set(_pods_processes(places)):
        for pid in pids:
            _kill(pid)
        if time.monotonic() > deadline:
            raise ClusterError(f"the pods' processes {sorted(pids)} do not end; end them by hand and run this again")
        time.sleep(0.05)


def _kill_shims(places: Places) -> None:
    """End the shims of our containerd, which outlive it; they name its socket."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words[0].endswith(b"containerd-shim-runc-v2") and str(places.containerd_socket).encode() in words:
            _kill(int(entry.parent.name))


def _remove_runtime_state(places: Places) -> None:
    """What runc, shims, CNI and kubelet keep of our pods in folders that all nodes of a machine share."""
    tasks = places.sockets / "containerd" / "io.containerd.runtime.v2.task" / "k8s.io"
    sandboxes = places.state / "containerd" / "root" / "io.containerd.grpc.v1.cri" / "sandboxes"
    for identity in {folder.name for known in (tasks, sandboxes) for folder in known.glob("*")}:
        shutil.rmtree(Path("/run/containerd/runc/k8s.io") / identity, ignore_errors=True)
        address = tasks / identity / "address"
        if address.exists():
            Path(address.read_text().removeprefix("unix://")).unlink(missing_ok=True)
        for result in Path("/var/lib/cni/results").glob(f"*-{identity}-*"):
            result.unlink()
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(places.state.resolve()):
            link.unlink()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _unmount(places: Places) -> None:
    """Everything that is mounted below the node's folders, deepest first."""
    below = tuple(f"{folder}/" for folder in (places.state.resolve(), places.sockets))
    mounts = [line.split()[1].replace("\\040", " ") for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if f"{mount}/".startswith(below)]):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)


def _remove_cgroup(folder: Path) -> None:
    if not folder.exists():
        return
    for inner in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        inner.rmdir()
    folder.rmdir()
