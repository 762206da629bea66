"""`python -m stress [--requests 200000]`: servers under everything at once, and what they must still be afterwards.

Good requests over both wires with their answers checked, bad ones, slow and vanishing clients and some that never read
their answer, bodies of 10 MB, idle connections, and new versions all the time; a quarter of the clients asks a second
server, with TLS and certificates of their own. Prints a line at every rest and one of JSON at the end; the exit status
is 0 when nothing crashed, no answer was wrong, nothing was logged as a fault, and the memory did not grow.

What a server holds while it works depends on what it is just asked: 10 MB of JSON take many times that. So its memory
is read at rests, when every client has its answers.
"""

import argparse
import json
import math
import random
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from stress.calls import Calls, connect_idly
from stress.clients import Client
from stress.figures import Run, render_run
from stress.servers import HOST, START_SECONDS, Server, Tls, add_version

REST_SECONDS = 0.5
RESTS = 40
LEAST_BETWEEN_RESTS = 1000
RELOAD_SECONDS = 2.0
# By gRPC; by REST it is as many as asked for.
IDLE_CHANNELS = 100
# Every so manieth client asks the server with TLS.
TLS_EVERY = 4


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="stress", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--idle-connections", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest-seconds", type=float, default=math.inf, help="end earlier, with fewer requests")
    options = parser.parse_args()
    run = stress(options.requests, options.clients, options.idle_connections, options.seed, options.longest_seconds)
    run.problems += run.find_growth()
    print(json.dumps(render_run(run)))
    return 1 if run.wrong or run.problems else 0


def stress(requests: int, clients: int, idle_connections: int, seed: int, longest_seconds: float = math.inf) -> Run:
    """Send so many requests in all, or for so long; everything that was started is ended."""
    run = Run(asked=requests)
    with ExitStack() as ending:
        scratch = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        add_version(scratch, 1)
        servers = []
        for name, tls in (("plain", None), ("TLS", Tls(scratch))):
            servers.append(Server(scratch, name, tls))
            ending.callback(servers[-1].stop)
        for server in servers:
            server.wait_ready()
        for _ in range(idle_connections):
            ending.enter_context(socket.create_connection((HOST, servers[0].rest_port), timeout=START_SECONDS))
        for channel in connect_idly(servers[0], IDLE_CHANNELS):
            ending.enter_context(channel)
        with _Reloads(scratch) as reloads:
            askers = [ending.enter_context(_connected(servers, seed, number)) for number in range(clients)]
            _ask_in_rounds(servers, askers, run, reloads, longest_seconds)
            run.reloads = reloads.version - 1
        run.collect([client.outcome for client in askers])
        run.peak_mebibytes = {server.name: server.read_memory("VmHWM") for server in servers if server.alive}
        for server in servers:
            run.problems += server.judge()
    return run


@contextmanager
def _connected(servers: list[Server], seed: int, number: int) -> Iterator[Client]:
    server = servers[1 if number % TLS_EVERY == TLS_EVERY - 1 else 0]
    # Nothing secret is drawn.
    draw = random.Random(seed * 1000 + number)  # noqa: S311
    with server.channel(number) as channel:
        client = Client(server.rest_port, Calls(server, channel, draw), draw, tls=server.tls is not None)
        try:
            yield client
        finally:
            client.close()


class _Reloads:
    """A new version every two seconds and whenever one is asked for; the one before the last is deleted."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._changing = threading.Lock()
        self._stop = threading.Event()
        self._resting = threading.Lock()
        self._thread = threading.Thread(target=self._repeat)
        self.version = 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def add(self) -> None:
        with self._changing:
            self.version += 1
            add_version(self._scratch, self.version)
            shutil.rmtree(self._scratch / "models" / str(self.version - 2), ignore_errors=True)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """No version comes of itself."""
        with self._resting:
            yield

    def _repeat(self) -> None:
        while not self._stop.wait(RELOAD_SECONDS):
            with self._resting:
                self.add()


def _ask_in_rounds(
    servers: list[Server], clients: list[Client], run: Run, reloads: _Reloads, longest_seconds: float
) -> None:
    """All clients at once, with rests between, at which the memory is read."""
    begun = time.monotonic()
    round_requests = max(run.asked // RESTS, LEAST_BETWEEN_RESTS)
    goal = 0
    while goal < run.asked and time.monotonic() - begun < longest_seconds and all(each.alive for each in servers):
        goal = min(goal + round_requests, run.asked)
        _ask(servers, clients, goal // len(clients), begun + longest_seconds)
        done = sum(client.outcome.requests for client in clients)
        with reloads.pause():
            # What is served then was never asked anything: all rests are alike.
            marks = [(server, server.log.stat().st_size) for server in servers]
            reloads.add()
            run.note_rest(
                done, {one.name: _read_at_rest(one, reloads.version, mark) for one, mark in marks if one.alive}
            )
        run.seconds = time.monotonic() - begun
        wrong = sum(len(client.outcome.wrong) for client in clients)
        memory = ", ".join(f"{name} {rests[-1][1]:.1f} MiB" for name, rests in run.rests.items())
        print(f"{done} requests in {run.seconds:.0f} s, {wrong} wrong, {memory}", file=sys.stderr, flush=True)


def _ask(servers: list[Server], clients: list[Client], each: int, deadline: float) -> None:
    def ask_on(client: Client) -> None:
        while client.outcome.requests < each and time.monotonic() < deadline and all(one.alive for one in servers):
            client.step()
        client.rest()

    threads = [threading.Thread(target=ask_on, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _read_at_rest(server: Server, version: int, log_bytes: int) -> float:
    """The least of some time after nothing but this version is served; what was under way has ended then."""
    deadline = time.monotonic() + START_SECONDS
    while not server.serves_only(version, log_bytes) and server.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    end = time.monotonic() + REST_SECONDS
    least = server.read_memory()
    while time.monotonic() < end and server.alive:
        time.sleep(0.1)
        least = min(least, server.read_memory())
    return least


if __name__ == "__main__":
    sys.exit(main())
