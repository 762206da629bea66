"""What a load generator is asked for and what it gives, whichever it is; and when a run of it does not count."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Protocol = Literal["rest", "grpc"]
Generator = Literal["jmeter", "python"]

LARGEST_SHARE_PERCENT = 30.0
"""Of the node's CPU time: a generator that took more has measured itself."""

LARGEST_LATENESS_MILLISECONDS = 100.0
"""At the 99th percentile: a generator that sends later than this does not send what the profile says."""

NOT_SENT = "not sent"
"""The status of a planned request that the generator left out."""


@dataclass(frozen=True)
class Target:
    """A served model under load.

    Attributes:
        name: of the model.
        host: name or address, as seen from where the generator runs.
        rest_port: of the REST API.
        grpc_port: of the gRPC API.
        bodies: folder of the requests, see `load.bodies`.
        path: of REST requests; the model's :predict when empty.
    """

    name: str
    host: str
    rest_port: int
    grpc_port: int
    bodies: Path
    path: str = ""

    @property
    def rest_path(self) -> str:
        """Where REST requests go."""
        return self.path or f"/v1/models/{self.name}:predict"


@dataclass(frozen=True)
class GeneratorRun:
    """One run of a generator.

    Attributes:
        samples: the file that it wrote, see `load.samples`.
        cpu_seconds: that its process took, from its start to its end.
        wall_seconds: from its start to its end.
        load_cpu_seconds: that it took while the profile lasted: neither its start nor the wait for the last answers.
        load_seconds: how long the profile lasted.
        started_unix: when the profile's time 0 was.
        generator: which.
        version: of the generator and what it runs on.
        cores: of the machine that it ran on.
        node_cpu_seconds: that all processes of that machine took from its start to its end.
    """

    samples: Path
    cpu_seconds: float
    wall_seconds: float
    load_cpu_seconds: float
    load_seconds: float
    started_unix: float
    generator: Generator
    version: str
    cores: int
    node_cpu_seconds: float


class GeneratorError(Exception):
    """A generator could not be run; the message is one sentence with what to do."""


def share_percent(run: GeneratorRun) -> float:
    """The part of its node's CPU time that the generator took while the load lasted."""
    return 100 * run.load_cpu_seconds / (run.load_seconds * run.cores)


def judge_generator(run: GeneratorRun) -> str | None:
    """Why a run is void because its generator took too much of its node; None when it counts."""
    share = share_percent(run)
    if share <= LARGEST_SHARE_PERCENT:
        return None
    return (
        f"the generator took {run.load_cpu_seconds:.1f} CPU seconds in {run.load_seconds:.1f} s of load on {run.cores}"
        f" cores, {share:.0f} % of the node, where {LARGEST_SHARE_PERCENT:.0f} % is the most: lower the rate or give"
        " the node more cores"
    )


def judge_lateness(late_p99_milliseconds: float | None) -> str | None:
    """Why a run is void because its requests left late; None when it counts."""
    if late_p99_milliseconds is None or late_p99_milliseconds <= LARGEST_LATENESS_MILLISECONDS:
        return None
    return (
        f"one request in a hundred left over {late_p99_milliseconds:.0f} ms after its planned time, where"
        f" {LARGEST_LATENESS_MILLISECONDS:.0f} ms is the most: give the generator a quieter machine"
    )


def judge_sent(requests: int, unsent: int) -> str | None:
    """Why a run is void because its generator left requests out, which no server can answer; None when it counts."""
    if not requests:
        return "the generator sent no request"
    if not unsent:
        return None
    return (
        f"{unsent} of {requests} planned requests were not sent, where each has to be: give the generator a quieter"
        " machine, or lower the rate"
    )
