"""`python -m stress [--requests 200000]`: a server under everything at once, and what it must still be afterwards.

Good requests over both wires with their answers checked, bad ones, slow and vanishing clients, bodies of 10 MB, idle
connections, and new versions all the time. Prints a line every few seconds and one of JSON at the end; the exit status
is 0 when nothing crashed, no answer was wrong, nothing was logged as a fault, and the memory did not grow.
"""

import argparse
import json
import math
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from loopback import free_ports

from model_server._protos.tensorflow_serving.apis import prediction_service_pb2_grpc
from stress.clients import HOST, Client

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "model_server" / "tests" / "data" / "half_plus_two"
START_SECONDS = 60.0
LARGEST_SLOPE_MEBIBYTES = 1.0
SLOPE_REQUESTS = 100_000


@dataclass
class Run:
    """What the stress did and saw."""

    requests: int = 0
    seconds: float = 0.0
    shed: int = 0
    reloads: int = 0
    wrong: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[int, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    idle_mebibytes: float = 0.0

    def slope_mebibytes(self) -> float:
        """Growth of the resident memory over the last half, for each 100,000 requests."""
        half = [sample for sample in self.samples if sample[0] >= self.requests / 2]
        if len(half) < 3:
            return 0.0
        counts, memory = np.array(half).T
        return float(np.polyfit(counts, memory, 1)[0] * SLOPE_REQUESTS)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="stress", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--idle-connections", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    run = stress(options.requests, options.clients, options.idle_connections, options.seed)
    slope = run.slope_mebibytes()
    if slope > LARGEST_SLOPE_MEBIBYTES:
        run.problems.append(f"the memory grows by {slope:.2f} MiB for each {SLOPE_REQUESTS} requests")
    print(json.dumps(render_run(run)))
    return 1 if run.wrong or run.problems else 0


def render_run(run: Run) -> dict[str, Any]:
    """The run as JSON, with the first wrong answers."""
    return {
        "requests": run.requests,
        "seconds": round(run.seconds, 1),
        "shed": run.shed,
        "reloads": run.reloads,
        "kinds": dict(run.kinds),
        "residentMebibytes": [round(memory, 1) for _, memory in (run.samples[:1] + run.samples[-1:])],
        "idleMebibytes": round(run.idle_mebibytes, 1),
        "slopeMebibytesPer100000": round(run.slope_mebibytes(), 3),
        "wrong": len(run.wrong),
        "firstWrong": run.wrong[:5],
        "problems": run.problems,
    }


def stress(requests: int, clients: int, idle_connections: int, seed: int, longest_seconds: float = math.inf) -> Run:
    """Send so many requests in all, or for so long; everything that was started is ended."""
    run = Run()
    with ExitStack() as ending:
        scratch = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        add_version(scratch, 1)
        server = _Server(scratch)
        ending.callback(server.stop)
        server.wait_ready()
        for _ in range(idle_connections):
            ending.enter_context(socket.create_connection((HOST, server.rest_port), timeout=START_SECONDS))
        stop = threading.Event()
        reloader = threading.Thread(target=_reload, args=(scratch, stop, run))
        reloader.start()
        try:
            _ask(server, run, requests, clients, seed, longest_seconds)
        finally:
            stop.set()
            reloader.join()
        _judge(server, run)
    return run


def add_version(scratch: Path, version: int) -> None:
    """A version that appears whole."""
    shutil.copytree(MODEL, scratch / "incoming")
    (scratch / "models").mkdir(exist_ok=True)
    (scratch / "incoming").rename(scratch / "models" / str(version))


class _Server:
    """The server process of the stress."""

    def __init__(self, scratch: Path) -> None:
        self.grpc_port, self.rest_port = free_ports(2)
        self.log = scratch / "server.log"
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "model_server", f"--bind_address={HOST}", "--model_name=m"),
                    *(f"--port={self.grpc_port}", f"--rest_api_port={self.rest_port}"),
                    f"--model_base_path={scratch / 'models'}",
                ],
                stdout=stream,
                stderr=stream,
            )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {self.log.read_text()}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.rest_port}/readyz", timeout=20) as response:
                return bool(response.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False

    def resident_mebibytes(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)


def _reload(scratch: Path, stop: threading.Event, run: Run) -> None:
    """A new version every two seconds; the one before the last is deleted."""
    version = 1
    while not stop.wait(2.0):
        version += 1
        add_version(scratch, version)
        shutil.rmtree(scratch / "models" / str(version - 2), ignore_errors=True)
        run.reloads += 1


def _ask(server: _Server, run: Run, requests: int, count: int, seed: int, longest_seconds: float) -> None:  # noqa: PLR0917
    """All clients at once, with a sample of the memory each second."""
    begun = time.monotonic()
    with grpc.insecure_channel(f"{HOST}:{server.grpc_port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        clients = [Client(server.rest_port, stub, seed * 1000 + number) for number in range(count)]

        def ask_on(client: Client) -> None:
            while client.outcome.requests < requests // count and server.process.poll() is None:
                if time.monotonic() - begun > longest_seconds:
                    break
                client.step()

        threads = [threading.Thread(target=ask_on, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        _watch(server, run, clients, threads)
        for thread in threads:
            thread.join()
    for client in clients:
        client.close()
        run.requests += client.outcome.requests
        run.shed += client.outcome.shed
        run.wrong += client.outcome.wrong
        run.kinds += client.outcome.kinds
    run.seconds = time.monotonic() - begun
    # What is left when the last answers have been sent.
    time.sleep(2.0)
    if server.process.poll() is None:
        run.idle_mebibytes = server.resident_mebibytes()


def _watch(server: _Server, run: Run, clients: list[Client], threads: list[threading.Thread]) -> None:
    """A sample of the memory each second and a line every five, until the clients are through."""
    reported = time.monotonic()
    while (alive := [thread for thread in threads if thread.is_alive()]) and server.process.poll() is None:
        done = sum(client.outcome.requests for client in clients)
        run.samples.append((done, server.resident_mebibytes()))
        if time.monotonic() - reported > 5:
            reported = time.monotonic()
            wrong = sum(len(client.outcome.wrong) for client in clients)
            print(f"{done} requests, {wrong} wrong, {run.samples[-1][1]:.0f} MiB", file=sys.stderr, flush=True)
        alive[0].join(1.0)


def _judge(server: _Server, run: Run) -> None:
    """What the server must still be: alive, ready, without a fault in its log, and willing to end."""
    if server.process.poll() is not None:
        run.problems.append(f"the server ended with {server.process.returncode}")
    elif not server.is_ready():
        run.problems.append("the server is not ready any more")
    elif (status := server.stop()) != 0:
        run.problems.append(f"the server ended with {status} on SIGTERM")
    faults = [line for line in server.log.read_text(errors="replace").splitlines() if "Traceback" in line]
    if faults:
        text = server.log.read_text(errors="replace")
        run.problems.append(f"{len(faults)} faults in its log, the first: {text[text.index('Traceback') :][:1500]}")


if __name__ == "__main__":
    sys.exit(main())
