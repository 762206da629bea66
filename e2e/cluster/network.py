"""The node's network: a namespace with no uplink, in which a veth pair carries the node's address."""

import shlex
import subprocess
from pathlib import Path

from cluster.places import NODE_ADDRESS, Places
from cluster.processes import ClusterError


def make_namespace(places: Places) -> None:
    """The namespace with its address and a default route; nothing when it is there already.

    The route leads nowhere: it is there so that an address of a service finds a route before kube-proxy rewrites it.

    Raises:
        ClusterError: naming the command that failed; what was made until then is gone, so that what is there is whole.
    """
    if Path(f"/run/netns/{places.namespace}").exists():
        return
    try:
        _make(places)
    except BaseException:
        _run("ip", "netns", "delete", places.namespace, must=False)
        raise


def _make(places: Places) -> None:
    _run("ip", "netns", "add", places.namespace)
    for command in (
        "ip link set lo up",
        "ip link add node0 type veth peer name node0-peer",
        "ip link set node0-peer up",
        f"ip addr add {NODE_ADDRESS}/24 dev node0",
        "ip link set node0 up",
        "ip route add default dev node0",
    ):
        _run(*places.enter(), *command.split())
    _run(*_setting(places, "ipv4/ip_forward"))
    # absent where the kernel has no br_netfilter: pods on one bridge then reach services through routing alone
    _run("modprobe", "br_netfilter", must=False)
    _run(*_setting(places, "bridge/bridge-nf-call-iptables"), must=False)


def _setting(places: Places, setting: str) -> list[str]:
    """The command that writes 1 to a network setting of the namespace."""
    return [*places.enter(), "sh", "-c", f"echo 1 > /proc/sys/net/{setting}"]


def remove_namespace(places: Places) -> None:
    """Take the namespace away, and its interfaces with it.

    Raises:
        ClusterError: when that fails.
    """
    if Path(f"/run/netns/{places.namespace}").exists():
        _run("ip", "netns", "delete", places.namespace)


def _run(*command: str, must: bool = True) -> None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        said = "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"
    except OSError as error:
        said = str(error)
    if said and must:
        raise ClusterError(
            f"the node's network: `{shlex.join(command)}` failed ({said}): see that this runs as root, and that the"
            " kernel has network namespaces and veth"
        )
