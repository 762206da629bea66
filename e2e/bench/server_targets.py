"""What the server should reach, as ratios within one run, and whether it did. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

OVERHEAD_MILLISECONDS = {"gRPC": 0.5, "REST": 0.8}


@dataclass(frozen=True)
class Target:
    """One target: what was measured, and the bound that it should keep."""

    network: str
    what: str
    measured: float
    bound: float
    at_least: bool

    @property
    def reached(self) -> bool:
        """Whether the bound is kept."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def plan_targets(network: str, measured: Mapping[str, Any], loads: Sequence[Any]) -> list[Target]:
    """The targets of one network; the first answer's time is asked of VGG-16, where the weights are."""
    targets = []
    tensorflow, engine = measured["TensorFlow float32"], measured["LiteRT int8"]
    for wire in ("gRPC", "REST"):
        server = measured[f"server by {wire}"]
        ratios = {
            "p95": tensorflow.percentile(95) / server.percentile(95),
            "CPU": tensorflow.cpu_per_request_milliseconds / server.cpu_per_request_milliseconds,
            "memory": tensorflow.resident_mebibytes / server.resident_mebibytes,
        }
        targets += [
            Target(network, f"{wire}: TensorFlow's {what} over ours", ratio, 6.0, at_least=True)
            for what, ratio in ratios.items()
        ]
        overhead = server.percentile(50) - engine.percentile(50)
        targets.append(
            Target(network, f"{wire}: p50 over the engine's, ms", overhead, OVERHEAD_MILLISECONDS[wire], at_least=False)
        )
    if network == "vgg16":
        cold = measured["server by REST"].cold_start_seconds
        targets.append(Target(network, "first answer after the start, s", cold, 1.5, at_least=False))
    for load in loads:
        unloaded = measured[f"server by {load.wire.split(',')[0]}"].percentile(95)
        for what, below in {"unloaded": unloaded, "at 10 %": load.p95_at_10_percent}.items():
            ratio = load.p95_at_70_percent / below
            targets.append(Target(network, f"{load.wire}: p95 at 70 % over {what}", ratio, 3.0, at_least=False))
    return targets


def simulate_queue(utilisation: float, requests: int = 1_000_000, seed: int = 1) -> float:
    """The p95 of a server that takes exactly as long for each request and nothing besides, in its times.

    One place, first come first served, Poisson arrivals: what waiting alone costs, whoever serves.
    """
    arrivals = np.random.default_rng(seed).exponential(1 / utilisation, requests)
    balance = np.cumsum(1 - arrivals)
    waited = balance - np.minimum(np.minimum.accumulate(balance), 0)
    return float(np.percentile(waited + 1, 95))


def format_targets(targets: Sequence[Target]) -> str:
    """One line for each, with what was reached."""
    return "\n".join(
        f"{target.network:<6}{target.what:<42}{target.measured:>8.2f}  {'>=' if target.at_least else '<='}"
        f" {target.bound:<5}{'reached' if target.reached else 'NOT reached'}"
        for target in targets
    )
