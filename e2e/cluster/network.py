"""The node's network: a namespace with no uplink, in which a veth pair carries the node's address."""

import subprocess
from pathlib import Path

from cluster.places import NODE_ADDRESS, Places


def make_namespace(places: Places) -> None:
    """The namespace with its address and a default route; nothing when it is there already.

    The route leads nowhere: it is there so that an address of a service finds a route before kube-proxy rewrites it.
    """
    if Path(f"/run/netns/{places.namespace}").exists():
        return
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
    _set(places, "ipv4/ip_forward")
    # absent where the kernel has no br_netfilter: pods on one bridge then reach services through routing alone
    subprocess.run(["modprobe", "br_netfilter"], check=False, capture_output=True)
    _set(places, "bridge/bridge-nf-call-iptables", must=False)


def _set(places: Places, setting: str, *, must: bool = True) -> None:
    """Write 1 to a network setting of the namespace."""
    command = [*places.enter(), "sh", "-c", f"echo 1 > /proc/sys/net/{setting}"]
    subprocess.run(command, check=must, capture_output=True)


def remove_namespace(places: Places) -> None:
    """Take the namespace away, and its interfaces with it."""
    if Path(f"/run/netns/{places.namespace}").exists():
        _run("ip", "netns", "delete", places.namespace)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
