"""`python -m cluster preflight|build|up|load|down|status`: one real Kubernetes node on this machine.

Exit codes: 0 done (status: all is well), 1 something is wrong, said in a sentence on stderr.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cluster.current import use_cluster
from cluster.images import import_image
from cluster.node import Node
from cluster.places import Places
from cluster.preflight import read_problems
from cluster.processes import ClusterError, read_resident_mebibytes
from cluster.toolchain import binaries_folder, build_cel_check, build_health_check, build_programs

_begun = time.monotonic()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(
        prog="cluster", description="A real Kubernetes node in a network namespace of its own."
    )
    parser.add_argument("command", choices=("preflight", "build", "up", "load", "down", "status"))
    parser.add_argument("--archive", type=Path, action="append", default=[], help="load: an image archive; repeat it")
    parser.add_argument("--use", default="", help="no node: `current` or the name of a kubectl context")
    parser.add_argument(
        "--state", type=Path, default=Path("build/cluster"), help="the node's folder: another, another node"
    )
    options = parser.parse_args(arguments)
    node = Node(Places(options.state.resolve(), binaries_folder()))
    try:
        if options.use:
            print(f"using the cluster of kubectl's context {use_cluster(options.use)}; nothing is built or started")
            return 0
        if options.command == "load":
            return _load(node, options.archive)
        return {"preflight": _preflight, "build": _build, "up": _up, "down": _down, "status": _status}[options.command](
            node
        )
    except ClusterError as error:
        return _complain([str(error)])


def _say(message: str) -> None:
    print(f"[{time.monotonic() - _begun:5.1f} s] {message}", file=sys.stderr, flush=True)


def _complain(problems: list[str]) -> int:
    for problem in problems:
        print(f"cluster: {problem}", file=sys.stderr)
    return 1


def _preflight(node: Node) -> int:
    return _complain(problems) if (problems := read_problems(node.places.state)) else 0


def _build(_: Node) -> int:
    print(build_programs(_say))
    print(build_cel_check(_say))
    print(build_health_check(_say))
    return 0


def _up(node: Node) -> int:
    problems = read_problems(node.places.state)
    if problems:
        return _complain(problems)
    build_programs(_say)
    seconds = node.up(_say)
    print(f"the node is Ready after {seconds:.1f} s; make cluster-down ends it and removes all of it. To use it:")
    print(f"  export KUBECONFIG={node.places.kubeconfig} PATH={node.places.binaries}:$PATH")
    print("  kubectl get nodes")
    return 0


def _load(node: Node, archives: list[Path]) -> int:
    for archive in archives:
        import_image(node.places, archive)
        _say(f"{archive.name} is known to the node")
    return 0


def _down(node: Node) -> int:
    node.down(_say)
    _say("the node is gone")
    return 0


def _status(node: Node) -> int:
    problems = node.problems()
    total = 0.0
    for name, pid in node.component_pids().items():
        memory = read_resident_mebibytes(pid) if pid else 0.0
        total += memory
        print(f"{name:24} " + (f"pid {pid:<8} {memory:6.0f} MiB" if pid else "not running"))
    print(f"{'in all':24} {'':12} {total:6.0f} MiB")
    if problems:
        return _complain(problems)
    print(f"the node is Ready; KUBECONFIG={node.places.kubeconfig}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
