"""An S3 store on a host of its own beside the embedded node: a network namespace, and a link that the kernel shapes.

The store's namespace and the node's are joined by a pair of veth. `tc … tbf` at both ends lets no more through each way
than a link of that rate would; nothing else of the node's network goes this way.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from cluster.client import wait_until
from cluster.processes import ClusterError
from store.server import ACCESS_KEY, REGION, SECRET_KEY

BUCKET = "artifacts"
PORT = 9000
NODE_ADDRESS, STORE_ADDRESS = "198.51.100.1", "198.51.100.2"  # TEST-NET-2: nothing outside has them
NODE_DEVICE, STORE_DEVICE = "store0", "uplink0"
BURST = "64kb"
LATENCY = "50ms"
"""Of the queue before what does not fit is dropped, as a switch does."""
PROBE_BYTES = 25_000_000
_PROBE = "probe"
_READY_SECONDS = 30.0
_STOP_SECONDS = 10.0
_CONNECT = "import socket; socket.create_connection(('{}', {}), 2).close()"


class StoreLink:
    """The store and its link; both go with the block.

    Attributes:
        endpoint: of the store, as pods reach it.
    """

    def __init__(self, node_namespace: str, program: Path, folder: Path) -> None:
        """Plan it; nothing is made yet.

        Args:
            node_namespace: name of the node's network namespace.
            program: versitygw.
            folder: of the store's files.
        """
        self._node, self._store = _enter(node_namespace), _enter(f"{node_namespace}-store")
        self._namespace, self._program, self._folder = f"{node_namespace}-store", program, folder.resolve()
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = f"http://{STORE_ADDRESS}:{PORT}"

    @property
    def environment(self) -> dict[str, str]:
        """By which programs in the node reach the store."""
        return render_environment(self.endpoint)

    def __enter__(self) -> Self:
        self._clear()
        try:
            self._join()
            self._start()
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def _join(self) -> None:
        _run("ip", "netns", "add", self._namespace)
        add = f"ip link add {NODE_DEVICE} type veth peer name {STORE_DEVICE} netns {self._namespace}"
        for command in (
            add,
            f"ip addr add {NODE_ADDRESS}/30 dev {NODE_DEVICE}",
            f"ip link set {NODE_DEVICE} up",
        ):
            _run(*self._node, *command.split())
        for command in (
            "ip link set lo up",
            f"ip addr add {STORE_ADDRESS}/30 dev {STORE_DEVICE}",
            f"ip link set {STORE_DEVICE} up",
            f"ip route add default via {NODE_ADDRESS}",
        ):
            _run(*self._store, *command.split())

    def _start(self) -> None:
        places = {name: self._folder / name for name in ("data", "users", "metadata")}
        for place in (*places.values(), places["data"] / BUCKET):
            place.mkdir(parents=True, exist_ok=True)
        command = [*self._store, str(self._program), "--port", f"{STORE_ADDRESS}:{PORT}", "--region", REGION, "--quiet"]
        command += ["--iam-dir", str(places["users"])]
        command += ["posix", "--sidecar", str(places["metadata"]), str(places["data"])]
        keys = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
        with (self._folder / "server.log").open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **keys})
        probe = [*self._node, sys.executable, "-c", _CONNECT.format(STORE_ADDRESS, PORT)]
        self._wait_until_it_answers(self._process, probe)
        (self._folder / _PROBE).write_bytes(secrets.token_bytes(PROBE_BYTES))
        self.put(self._folder / _PROBE, _PROBE)

    def _wait_until_it_answers(self, process: "subprocess.Popen[bytes]", probe: list[str]) -> None:
        """Until a program in the node can connect.

        Raises:
            ClusterError: when none can in time, with the store's last words.
        """
        seen = wait_until(
            lambda: (_try(*probe), process.poll()),
            lambda seen: seen[0] == "" or seen[1] is not None,
            _READY_SECONDS,
            f"the store at {self.endpoint}",
        )
        if seen[1] is not None:
            words = (self._folder / "server.log").read_text(errors="replace").strip()[-1000:]
            raise ClusterError(f"the store ended with {seen[1]}: {words}")

    def _clear(self) -> None:
        """End the store, and that of a run that was killed; take the namespace away, and the link with it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if Path(f"/run/netns/{self._namespace}").exists():
            left = subprocess.run(
                ["ip", "netns", "pids", self._namespace], check=False, capture_output=True, text=True
            ).stdout.split()
            for pid in left:
                os.kill(int(pid), signal.SIGKILL)
            _run("ip", "netns", "delete", self._namespace)
            self._wait_until_unlinked()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_until_unlinked(self) -> None:
        """The kernel takes a namespace's devices away some time after it has gone."""
        wait_until(
            lambda: _try(*self._node, "ip", "link", "show", NODE_DEVICE),
            lambda seen: seen != "",
            _READY_SECONDS,
            f"the end of {NODE_DEVICE}",
        )

    def put(self, file: Path, key: str) -> str:
        """Have a copy of the file in the bucket; its URI.

        It is uploaded: a file that is laid into the store's folder has no ETag, by which ranges of it are read.

        Raises:
            ClusterError: when the store does not take it.
        """
        uri = f"s3://{BUCKET}/{key}"
        self._transfer(uri, str(file.resolve()))
        return uri

    def shape(self, megabits_per_second: float | None) -> None:
        """Let so much through each way from now on; None: all that there is.

        Raises:
            ClusterError: when the kernel has no token bucket.
        """
        for enter, device in ((self._node, NODE_DEVICE), (self._store, STORE_DEVICE)):
            if megabits_per_second is None:
                _try(*enter, "tc", "qdisc", "delete", "dev", device, "root")
            else:
                _run(*enter, *render_shaping(device, megabits_per_second))
            found = [each["kind"] for each in json.loads(_run(*enter, "tc", "-j", "qdisc", "show", "dev", device))]
            if ("tbf" in found) != (megabits_per_second is not None):
                raise ClusterError(f"{device} has the queues {found}: end what else shapes it")

    def measure(self) -> float:
        """Megabits a second that a program in the node gets of the store now.

        Raises:
            ClusterError: when it gets nothing.
        """
        return parse_speed(self._transfer(f"s3://{BUCKET}/{_PROBE}"))

    def _transfer(self, *arguments: str) -> Mapping[str, Any]:
        """What `load.link_speed` prints, run in the node."""
        path = os.pathsep.join(filter(None, sys.path))
        environment = {**os.environ, **self.environment, "PYTHONPATH": path}
        done = _run(*self._node, sys.executable, "-m", "load.link_speed", *arguments, environment=environment)
        found: Mapping[str, Any] = json.loads(done)
        return found


def render_environment(endpoint: str) -> dict[str, str]:
    """The variables of a pod that uses the store."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
    }


def render_shaping(device: str, megabits_per_second: float) -> list[str]:
    """The command that puts a token bucket before a device."""
    rate = f"{round(megabits_per_second * 1000)}kbit"
    return f"tc qdisc replace dev {device} root tbf rate {rate} burst {BURST} latency {LATENCY}".split()


def parse_speed(found: Mapping[str, Any]) -> float:
    """Megabits a second of what `load.link_speed` prints."""
    return round(8e-6 * float(found["bytes"]) / float(found["seconds"]), 1)


def _enter(namespace: str) -> list[str]:
    return ["nsenter", f"--net=/run/netns/{namespace}"]


def _run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """The command's standard output.

    Raises:
        ClusterError: with its words.
    """
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def _try(*command: str) -> str:
    """What went wrong; empty when nothing did."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"
