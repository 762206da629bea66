"""Loads that an autoscaler has to follow: one that doubles, and one with bursts of five times. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from load.profiles import USER_SECONDS, Profile

TARGET_PERCENT = 70
"""Of its CPU request, or of the requests that a pod is given: what the autoscaler keeps a pod to."""
BASE_PERCENT = 50
"""What one pod has of it before the load rises, so that one is enough then."""
MOST_PODS = 5
DOUBLED, BURSTS = 2.0, 5.0


@dataclass(frozen=True)
class Rise:
    """A time in which there is more load.

    Attributes:
        begin_seconds: when it rises, from the start.
        end_seconds: when it falls.
        calm_since_seconds: since when it was as before the rise.
        calm_until_seconds: until when it stays so after it.
        factor: how many times more it is.
    """

    begin_seconds: float
    end_seconds: float
    calm_since_seconds: float
    calm_until_seconds: float
    factor: float

    @property
    def pods(self) -> int:
        """How many are enough for the autoscaler's target, of those that there may be."""
        return min(MOST_PODS, math.ceil(self.factor * BASE_PERCENT / TARGET_PERCENT))


@dataclass(frozen=True)
class Scenario:
    """A load over time.

    Attributes:
        name: short, of lower-case letters.
        requests_per_second: before it rises.
        factor: how many times more it is then.
        calm_seconds: before the first rise.
        high_seconds: of each rise.
        rest_seconds: after each.
        rises: how many.
    """

    name: str
    requests_per_second: float
    factor: float
    calm_seconds: float
    high_seconds: float
    rest_seconds: float
    rises: int = 1

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.calm_seconds + self.rises * (self.high_seconds + self.rest_seconds)

    def list_rises(self) -> list[Rise]:
        """In their order."""
        found = []
        for number in range(self.rises):
            begin = self.calm_seconds + number * (self.high_seconds + self.rest_seconds)
            end = begin + self.high_seconds
            since = begin - (self.rest_seconds if number else self.calm_seconds)
            found.append(Rise(begin, end, since, end + self.rest_seconds, self.factor))
        return found

    def make_profile(self) -> Profile:
        """As the generators take it."""
        corners = [(0.0, 1 / self.factor)]
        for rise in self.list_rises():
            begin, end = rise.begin_seconds / self.seconds, rise.end_seconds / self.seconds
            corners += [(begin, 1 / self.factor), (begin, 1.0), (end, 1.0), (end, 1 / self.factor)]
        corners.append((1.0, 1 / self.factor))
        return Profile(self.name, self.factor * self.requests_per_second * USER_SECONDS, self.seconds, tuple(corners))

    def load(self) -> list[tuple[float, float]]:
        """(seconds from the start, requests a second), joined by straight lines."""
        return [(moment, users / USER_SECONDS) for moment, users in self.make_profile().points()]


def plan_scenarios(requests_per_second: float, *, short: bool = False) -> tuple[Scenario, ...]:
    """Twice the load for two minutes, and two bursts of five times the load; in short each is shorter.

    The time after a rise is enough for the autoscaler to see that the load fell, to wait for a minute, and to act.
    """
    calm, high, rest = (30.0, 90.0, 120.0) if short else (60.0, 120.0, 180.0)
    return (
        Scenario("doubled", requests_per_second, DOUBLED, calm, high, rest),
        Scenario("bursts", requests_per_second, BURSTS, calm, high, rest, rises=1 if short else 2),
    )


def plan_cpu_request(cpu_millicores: float) -> int:
    """The CPU request, in millicores, of which a pod uses `BASE_PERCENT` when it uses so much; at least 10."""
    return max(10, math.ceil(100 * cpu_millicores / BASE_PERCENT))


def plan_requests_a_pod(requests_per_second: float) -> float:
    """The autoscaler's target where it counts requests: what one pod is given before the rise is less."""
    return requests_per_second * TARGET_PERCENT / BASE_PERCENT


def list_steps(replicas: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Only the looks at which there were others than before, the first and the last."""
    if not replicas:
        return []
    changed = [after for before, after in pairwise(replicas) if after[1] != before[1]]
    return [replicas[0], *changed, *([replicas[-1]] if replicas[-1] not in {replicas[0], *changed} else [])]
