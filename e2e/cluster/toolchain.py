"""Programs that are built from Go modules, into a cache that is keyed by what they are built from."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from cluster.made_once import make_once
from cluster.places import cache_folder
from cluster.processes import ClusterError

HERE = Path(__file__).resolve().parent
MODULES = ("go", "metrics")
CEL_MODULE = "cel"
HEALTH_MODULE = "health"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl")
PROGRAMS = (*COMPONENTS, "helm", "coredns", "metrics-server", "pause")
LEAST_GO = (1, 24, 4)
TOOLCHAIN = "golang.org/toolchain@v0.0.1-go1.24.9.linux-"
_SECONDS_BETWEEN_REPORTS = 20

GO_ENVIRONMENT = {
    "CGO_ENABLED": "0",
    # Without debugging symbols and with rarer garbage collection the compiler takes a sixth less CPU time.
    "GOFLAGS": "-mod=readonly -trimpath -gcflags=all=-dwarf=false",
    "GOGC": "300",
    "GOTOOLCHAIN": "local",
}
"""For every `go build` here."""

Progress = Callable[[str], None]


def binaries_folder() -> Path:
    """Where the programs of exactly these sources are, or will be."""
    return _folder_of(MODULES)


def build_programs(progress: Progress) -> Path:
    """Build what is not there yet, and return the folder.

    Raises:
        ClusterError: when there is no Go, or a build fails.
    """

    def build(half: Path) -> None:
        go = find_go(progress)
        progress("building Kubernetes, kubectl, Helm and CoreDNS from Go modules (about 12 minutes on 2 cores, once)")
        _build(go, "go", ["-o", f"{half}/", "-ldflags", _version_flags(), "./kube", "./pause", "tool"], progress)
        progress("building metrics-server")
        _build(go, "metrics", ["-o", f"{half}/", "-ldflags", "-s -w", "tool"], progress)
        for name in COMPONENTS:
            (half / name).symlink_to("kube")

    return make_once(binaries_folder(), PROGRAMS, build, progress)


def build_cel_check(progress: Progress) -> Path:
    """Build the check of CRDs for Kubernetes 1.26 when it is not there yet, and return the program's path.

    It stands apart from the node's programs, which no change of it shall have built again.

    Raises:
        ClusterError: when there is no Go, or the build fails.
    """
    return _build_check(CEL_MODULE, "cel-check", "the check of CRDs for Kubernetes 1.26", progress)


def build_health_check(progress: Progress) -> Path:
    """Build kstatus and the CEL of Flux' health checks when they are not there yet, and return the program's path.

    Its modules have the versions of the node's, which are compiled already where both are built.

    Raises:
        ClusterError: when there is no Go, or the build fails.
    """
    return _build_check(HEALTH_MODULE, "health-check", "the check of health by kstatus", progress)


def _build_check(module: str, name: str, what: str, progress: Progress) -> Path:
    def build(half: Path) -> None:
        progress(f"building {what}")
        _build(find_go(progress), module, ["-o", f"{half}/{name}", "-ldflags", "-s -w", "."], progress)

    return make_once(_folder_of((module,)), (name,), build, progress) / name


def _folder_of(modules: tuple[str, ...]) -> Path:
    digest = hashlib.sha256()
    for module in modules:
        for file in sorted((HERE / module).glob("**/*")):
            if file.is_file():
                digest.update(f"{file.relative_to(HERE)}\0".encode() + file.read_bytes())
    return cache_folder() / "cluster" / digest.hexdigest()[:16]


def _version_flags() -> str:
    """What `kubectl version` and Helm's kubeVersion check read, taken from go.mod."""
    found = re.search(r"k8s\.io/kubernetes v(\d+)\.(\d+)\.\d+", (HERE / "go" / "go.mod").read_text())
    if found is None:
        raise ClusterError(f"{HERE}/go/go.mod does not name k8s.io/kubernetes; restore the file")
    version = {"gitVersion": found[0].split()[1], "gitMajor": found[1], "gitMinor": found[2], "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(
        ["-s -w", *(f"-X {package}.{key}={value}" for package in packages for key, value in version.items())]
    )


def _build(go: str, module: str, arguments: list[str], progress: Progress) -> None:
    """One `go build`, with a sign of life while it runs."""
    environment = {**os.environ, **GO_ENVIRONMENT}
    command = [go, "build", *arguments]
    process = subprocess.Popen(
        command, cwd=HERE / module, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    seconds = 0
    while True:
        try:
            _, errors = process.communicate(timeout=_SECONDS_BETWEEN_REPORTS)
            break
        except subprocess.TimeoutExpired:
            seconds += _SECONDS_BETWEEN_REPORTS
            progress(f"  … building ({seconds} s)")
    if process.returncode != 0:
        raise ClusterError(f"go build of e2e/cluster/{module} failed: {errors.strip()[-2000:]}")


def find_go(progress: Progress) -> str:
    """A Go that is new enough: the machine's, or the toolchain that is published as a module.

    Raises:
        ClusterError: when there is no Go at all to fetch it with.
    """
    found = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if found is None:
        raise ClusterError(
            "no Go on this machine: install Debian's golang-go, which fetches the version that is needed"
        )
    version = subprocess.run([found, "env", "GOVERSION"], check=True, capture_output=True, text=True).stdout
    if tuple(int(part) for part in re.findall(r"\d+", version)[:3]) >= LEAST_GO:
        return found
    progress(f"fetching a newer Go than {version.strip()} from the module proxy")
    return _fetch_toolchain(found)


def _fetch_toolchain(go: str) -> str:
    """Go as a module: checksummed like any other, and its programs have to be marked as such."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    module = f"{TOOLCHAIN}{machine}"
    environment = {**os.environ, "GOFLAGS": "-modcacherw"}
    subprocess.run([go, "mod", "download", module], check=True, cwd="/", env=environment)
    listed = subprocess.run([go, "env", "GOMODCACHE"], check=True, capture_output=True, text=True).stdout.strip()
    root = Path(listed) / module
    for folder in ("bin", "pkg/tool"):
        for program in (root / folder).rglob("*"):
            if program.is_file():
                program.chmod(0o755)
    return str(root / "bin" / "go")
