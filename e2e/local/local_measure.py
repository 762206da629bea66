"""Asks servers over REST and gRPC, and measures several interleaved, so that a drifting machine is fair to all."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from load.asking import Ask, Image, grpc_asker, rest_asker
from local_servers import Server

BLOCK = 10
WARM_UP = 20


@dataclass(frozen=True)
class Measured:
    """One server under one client that waits for each answer before it asks again.

    Attributes:
        requests: how many were measured by each protocol.
        rest_p50_milliseconds: from sending the request to having read the answer; likewise the others.
        cpu_milliseconds_per_request: of the server process, by REST.
        resident_mebibytes: after the run.
        seconds_to_ready: from process start to readiness.
    """

    requests: int
    rest_p50_milliseconds: float
    rest_p95_milliseconds: float
    grpc_p50_milliseconds: float
    grpc_p95_milliseconds: float
    cpu_milliseconds_per_request: float
    resident_mebibytes: float
    seconds_to_ready: float


def measure(servers: Sequence[Server], image: Image, requests: int, progress: Callable[[str], None]) -> list[Measured]:
    """Measure all servers in alternating blocks of ten requests, first by REST, then by gRPC."""
    with ExitStack() as open_now:
        open_now.enter_context(_client_on_another_core(servers))
        askers = [open_now.enter_context(rest_asker(server, image)) for server in servers]
        rest, cpu = _interleave(servers, askers, requests, progress)
        askers = [open_now.enter_context(grpc_asker(server, image)) for server in servers]
        grpc_times, _ = _interleave(servers, askers, requests, progress)
    return [
        Measured(
            requests=requests,
            rest_p50_milliseconds=_percentile(rest[index], 50),
            rest_p95_milliseconds=_percentile(rest[index], 95),
            grpc_p50_milliseconds=_percentile(grpc_times[index], 50),
            grpc_p95_milliseconds=_percentile(grpc_times[index], 95),
            cpu_milliseconds_per_request=1000 * cpu[index] / requests,
            resident_mebibytes=server.resident_mebibytes(),
            seconds_to_ready=server.seconds_to_ready,
        )
        for index, server in enumerate(servers)
    ]


def _interleave(
    servers: Sequence[Server], askers: Sequence[Ask], requests: int, progress: Callable[[str], None]
) -> tuple[list[list[float]], list[float]]:
    """Seconds of each request and CPU seconds in all, by server."""
    times: list[list[float]] = [[] for _ in servers]
    for ask in askers:
        for _ in range(WARM_UP):
            ask()
    cpu = [-server.cpu_seconds() for server in servers]
    reported = time.monotonic()
    for start in range(0, requests, BLOCK):
        for index, ask in enumerate(askers):
            for _ in range(min(BLOCK, requests - start)):
                begun = time.perf_counter()
                ask()
                times[index].append(time.perf_counter() - begun)
        if time.monotonic() - reported > 5:
            reported = time.monotonic()
            progress(f"measuring: {start + BLOCK} of {requests} requests to each server")
    return times, [used + server.cpu_seconds() for used, server in zip(cpu, servers, strict=True)]


def _percentile(seconds: list[float], percent: float) -> float:
    return 1000 * float(np.percentile(seconds, percent))


@contextmanager
def _client_on_another_core(servers: Sequence[Server]) -> Iterator[None]:
    """Keep this process off the servers' core while it measures, where there is another."""
    allowed = os.sched_getaffinity(0)
    others = allowed - {server.core for server in servers}
    os.sched_setaffinity(0, others or allowed)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
