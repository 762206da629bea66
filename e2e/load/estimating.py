"""How long an experiment will take, from what it is to do. Pure.

Building images, the cluster's start and the deploying come before it and are not counted: they depend on what is kept
from the last time.
"""

from dataclasses import dataclass

from load import jmeter
from load.conducting import Plan
from load.measuring import Key
from load.order import format_left
from load.results import Protocol

JMETER_START_SECONDS = 5.0
PYTHON_START_SECONDS = 1.0
"""Of a generator, up to its first request: what docs/load.md tells of their CPU, on one core."""
ASKING_SECONDS = 5.0
"""After a run: the queries to Prometheus, and writing down."""
USUAL_STEPS = 9
"""Of a search for a rate of saturation: the unloaded one, five that double, three halvings."""


@dataclass(frozen=True)
class Expected:
    """What lies ahead.

    Attributes:
        runs: how many.
        runs_seconds: all of them.
        steps: flat rates, about.
        steps_seconds: all of them.
    """

    runs: int
    runs_seconds: float
    steps: int
    steps_seconds: float

    @property
    def seconds(self) -> float:
        """Of all."""
        return self.runs_seconds + self.steps_seconds


def expect(plan: Plan, rest_generator: str) -> Expected:
    """What a plan takes, if nothing is known yet and no run is void.

    Args:
        plan: of the experiment.
        rest_generator: `jmeter` or `python`.
    """
    runs = [expect_run_seconds(plan, key, rest_generator) for key in plan.order()]
    searches = [
        protocol
        for each in plan.configurations()
        for protocol in plan.protocols
        if protocol in each.protocols and plan.saturation_seconds
    ]
    around = [plan.saturation_seconds + expect_start_seconds(protocol, rest_generator) for protocol in searches]
    return Expected(len(runs), sum(runs), USUAL_STEPS * len(searches), USUAL_STEPS * sum(around))


def expect_run_seconds(plan: Plan, key: Key, rest_generator: str) -> float:
    """One run, from its warm-up to its line in the results."""
    (profile,) = (each for each in plan.profiles if each.name == key.profile)
    warm_up = plan.warm_up_seconds + PYTHON_START_SECONDS
    tail = jmeter.TAIL_SECONDS if _is_jmeter(key.protocol, rest_generator) else 0.0
    # the generator's own end lies within the time in which the last scrapes come in
    after = max(plan.patience.settle_seconds, tail) + ASKING_SECONDS
    start = expect_start_seconds(key.protocol, rest_generator) - tail
    return warm_up + start + profile.seconds + after


def expect_start_seconds(protocol: Protocol, rest_generator: str) -> float:
    """What a generator takes beside the load itself."""
    if _is_jmeter(protocol, rest_generator):
        return JMETER_START_SECONDS + jmeter.LEAD_SECONDS + jmeter.TAIL_SECONDS
    return PYTHON_START_SECONDS


def _is_jmeter(protocol: Protocol, rest_generator: str) -> bool:
    return protocol == "rest" and rest_generator == "jmeter"


def format_expected(expected: Expected) -> str:
    """In one line."""
    each = expected.runs_seconds / max(1, expected.runs)
    told = f"about {format_minutes(expected.seconds)}: {expected.runs} runs of {each:.0f} s"
    if expected.steps:
        told += f" and {expected.steps} flat rates of {expected.steps_seconds / expected.steps:.0f} s"
    return f"{told}, once all is deployed"


def format_minutes(seconds: float) -> str:
    """At least a minute: 5 minutes (or, beyond an hour and a half, 130 minutes, 2 h 10 min)."""
    minutes = max(1, round(seconds / 60))
    plain = f"{minutes} minute{'' if minutes == 1 else 's'}"
    return plain if minutes < 90 else f"{plain} ({format_left(seconds)})"
