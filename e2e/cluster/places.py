"""Where a node keeps its things: every name, socket and port derives from its state folder."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

NODE_NAME = "node0"
NODE_ADDRESS = "192.0.2.10"  # TEST-NET-1: nothing outside has it, and the namespace has no uplink anyway
POD_RANGE = "10.244.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_SERVICE_ADDRESS = "10.96.0.10"
VOLUMES = 8


@dataclass(frozen=True)
class Places:
    """The paths and names of one node.

    Attributes:
        state: the node's folder; everything of it that is a file is below, but for sockets.
        binaries: folder of the built programs.
    """

    state: Path
    binaries: Path

    @property
    def identity(self) -> str:
        """Eight hex digits of the state folder's absolute path."""
        return hashlib.sha256(str(self.state.resolve()).encode()).hexdigest()[:8]

    @property
    def namespace(self) -> str:
        """Name of the network namespace, and of the cgroup that holds the pods."""
        return f"modelpress-{self.identity}"

    @property
    def sockets(self) -> Path:
        """Folder of the sockets: short, since a socket's path may have 107 bytes only."""
        return Path("/run") / self.namespace

    @property
    def port(self) -> int:
        """Port of the API server on the host's loopback."""
        return 20_000 + int(self.identity, 16) % 10_000

    @property
    def kubeconfig(self) -> Path:
        """For kubectl and helm in an ordinary shell."""
        return self.state / "kubeconfig"

    @property
    def inner_kubeconfig(self) -> Path:
        """For the components inside the namespace."""
        return self.state / "inner.kubeconfig"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        """One file a component."""
        return self.state / "logs"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd and its CRI listen."""
        return self.sockets / "containerd.sock"

    def enter(self) -> list[str]:
        """The command prefix that runs a program in the namespace; `ip netns exec` would hide the cgroup mounts."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}"]

    def program(self, name: str) -> str:
        """Path of a built program."""
        return str(self.binaries / name)


def cache_folder() -> Path:
    """Where built programs and images are kept between runs, outside the checkout."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "modelpress"
