"""Load on a server: as much as it takes (closed), or so many requests a second whatever it does (open)."""

import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


class Client(Protocol):
    """Whoever asks for one answer at a time."""

    @property
    def ask(self) -> Callable[[], object]:
        """One request; RuntimeError where it is refused."""

    def close(self) -> None:
        """No more requests."""


Connect = Callable[[], Client]


@dataclass
class Loaded:
    """What a load brought; a latency counts from the planned time of its request."""

    seconds: float
    milliseconds: list[float] = field(default_factory=list)
    refused: int = 0

    @property
    def requests_per_second(self) -> float:
        """Answered requests."""
        return len(self.milliseconds) / self.seconds

    def percentile(self, percent: float) -> float:
        """Of the latencies, in milliseconds."""
        return float(np.percentile(self.milliseconds, percent))


def saturate(connect: Connect, clients: int, seconds: float) -> Loaded:
    """So many clients, each of which asks again as soon as it is answered."""
    loaded = Loaded(seconds)
    deadline = time.perf_counter() + seconds

    def ask_on() -> None:
        client = connect()
        while time.perf_counter() < deadline:
            begun = time.perf_counter()
            _ask(client, loaded, begun)
        client.close()

    _run_threads(ask_on, clients)
    return loaded


def drive(connect: Connect, rate: float, seconds: float, seed: int, *, clients: int = 24) -> Loaded:
    """Poisson arrivals of so many a second."""
    loaded = Loaded(seconds)
    planned: queue.SimpleQueue[float] = queue.SimpleQueue()
    source, moment = random.Random(seed), 0.0  # noqa: S311
    while (moment := moment + source.expovariate(rate)) < seconds:
        planned.put(moment)
    connections = [connect() for _ in range(clients)]
    begun = time.perf_counter() + 0.05

    def ask_when_due() -> None:
        client = connections.pop()
        while True:
            try:
                due = begun + planned.get_nowait()
            except queue.Empty:
                break
            time.sleep(max(0.0, due - time.perf_counter()))
            _ask(client, loaded, due)
        client.close()

    _run_threads(ask_when_due, clients)
    return loaded


def _ask(client: Client, loaded: Loaded, begun: float) -> None:
    try:
        client.ask()
    except RuntimeError:
        loaded.refused += 1
    else:
        loaded.milliseconds.append(1e3 * (time.perf_counter() - begun))


def _run_threads(target: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=target) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
