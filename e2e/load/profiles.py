"""Load profiles: how many users there are at which time, and when their requests are due. Pure: no clock.

Users come in an open model: they arrive by a Poisson process whether others were answered or not, each sends one
request at once and stays for 7.5 s. By Little's law, N users at a time are N / 7.5 arrivals a second.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from load.java_random import JavaRandom

USER_SECONDS = 7.5
"""How long a user stays after its request."""

RISE_HOLD_FALL = ((0.0, 0.0), (0.25, 1.0), (0.75, 1.0), (1.0, 0.0))
FLAT = ((0.0, 1.0), (1.0, 1.0))


@dataclass(frozen=True)
class Profile:
    """Users over time, in straight lines from corner to corner.

    Attributes:
        name: short, of lower-case letters and digits.
        users: the most at a time.
        seconds: how long users arrive.
        corners: (part of the time, part of the users), both 0..1, from time 0 to time 1; a time that stands twice is a
            step.
    """

    name: str
    users: float
    seconds: float
    corners: tuple[tuple[float, float], ...] = RISE_HOLD_FALL

    @property
    def peak_requests_per_second(self) -> float:
        """Arrivals a second with all users there."""
        return self.users / USER_SECONDS

    @property
    def stay_seconds(self) -> float:
        """How long a user stays after its answer; a flat rate has requests, and nobody who stays.

        A user who stays asks for nothing, but is a thread of JMeter's: two thousand of them made its collections of
        garbage take up to 190 ms, in which it sent nothing.
        """
        return 0.0 if self.corners == FLAT else USER_SECONDS

    def points(self) -> list[tuple[float, float]]:
        """The corners as (seconds, users)."""
        return [(moment * self.seconds, part * self.users) for moment, part in self.corners]

    def rate_at(self, moment_seconds: float) -> float:
        """Arrivals a second at that time; 0 before the start and after the end, the later rate at a step."""
        for (begin, first), (end, last) in pairwise(self.points()):
            if begin <= moment_seconds < end:
                return (first + (last - first) * (moment_seconds - begin) / (end - begin)) / USER_SECONDS
        return self.points()[-1][1] / USER_SECONDS if moment_seconds == self.seconds else 0.0

    def expected_requests(self) -> float:
        """The integral of the rate over the whole time."""
        return sum((end - begin) * (first + last) / 2 for (begin, first), (end, last) in pairwise(self.points())) / (
            USER_SECONDS
        )

    def hold(self) -> tuple[float, float]:
        """From when to when all users are there, in seconds."""
        full = [moment * self.seconds for moment, part in self.corners if part == 1.0]
        return full[0], full[-1]

    def lasting(self, seconds: float) -> "Profile":
        """The same shape over another time."""
        return Profile(self.name, self.users, seconds, self.corners)


PROFILES = {profile.name: profile for profile in (Profile("n75", 75, 120.0), Profile("n250", 250, 120.0))}
"""The two of the experiment: none to N users in a quarter of the time, N for half of it, back to none in the last."""


def parse_profile(told: Mapping[str, Any]) -> Profile:
    """The profile that `dataclasses.asdict` told, as JSON gives it back."""
    return Profile(**{**told, "corners": tuple((moment, part) for moment, part in told["corners"])})


def flat(requests_per_second: float, seconds: float) -> Profile:
    """The same rate all the time, for runs at equal rates and for the search of the rate of saturation."""
    return Profile(f"flat{requests_per_second:g}", requests_per_second * USER_SECONDS, seconds, FLAT)


def plan_arrivals(profile: Profile, seed: int) -> NDArray[np.float64]:
    """When requests are due, in seconds from the profile's start, ascending; the same for the same seed.

    These are the very times that JMeter's Open Model Thread Group draws from the same schedule, so that all generators
    send the same plan. In each line from corner to corner the number of arrivals is the integral of the rate, rounded
    down, and the times are independent with the rate as their density: a Poisson process with its numbers given.
    """
    source = JavaRandom(plan_jmeter_seed(seed))
    found: list[float] = []
    for begin, end, first, last in _lines(profile):
        seconds = end - begin
        level = int(min(first, last) * seconds)
        sloped = int((first + last) / 2 * seconds) - level
        flat_part = [source.next_double() for _ in range(level)]
        slope = [math.sqrt(source.next_double()) for _ in range(sloped if first != last else 0)]
        parts = flat_part + ([1 - part for part in slope] if first > last else slope)
        found += sorted(begin + part * seconds for part in parts)
    return np.array(found, np.float64)


def plan_jmeter_seed(seed: int) -> int:
    """The seed as the plans take it: mixed, since Java's neighbouring seeds begin alike, and never 0, which is none."""
    return int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:6]) | 1


def _lines(profile: Profile) -> Iterator[tuple[float, float, float, float]]:
    """(begin, end, first rate, last rate) of each line, as JMeter reads them from the schedule."""
    begin = 0.0
    for (moment, users), (later, later_users) in pairwise(profile.points()):
        seconds = float(_render_number(later - moment))
        if seconds > 0:
            yield begin, begin + seconds, _read_rate(users), _read_rate(later_users)
        begin += seconds


def _read_rate(users: float) -> float:
    return float(_render_number(60 * users / USER_SECONDS)) / 60


def render_schedule(profile: Profile) -> str:
    """The schedule for JMeter's Open Model Thread Group: rates a minute, straight lines between them."""
    points = profile.points()
    parts = [_render_rate(points[0][1])]
    for (begin, first), (end, last) in pairwise(points):
        if end > begin:
            parts.append(f"random_arrivals({_render_number(end - begin)} s)")
            parts.append(_render_rate(last))
        elif first != last:
            parts.append(_render_rate(last))
    return " ".join(parts)


def _render_rate(users: float) -> str:
    return f"rate({_render_number(60 * users / USER_SECONDS)}/min)"


def _render_number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
