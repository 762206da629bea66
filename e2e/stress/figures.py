"""What a stress saw, and whether a server's memory grew. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stress.clients import Outcome

LARGEST_SLOPE_MEBIBYTES = 1.0
SLOPE_REQUESTS = 100_000
# In runs of fewer requests the last half still has code and caches that come into use; so much is no growth.
LEAST_REQUESTS = 200_000
WARM_UP_MEBIBYTES = 8.0
# Memory goes up and down in steps that last for many rests: neighbours are told as one, or chance looks like growth.
BLOCKS = 5
# Student's t for 95 %, two-sided, by degrees of freedom.
STUDENT_T = {1: 12.71, 2: 4.30, 3: 3.18}


@dataclass
class Run:
    """What the stress did and saw."""

    asked: int = 0
    requests: int = 0
    seconds: float = 0.0
    shed: int = 0
    reloads: int = 0
    wrong: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    # By server: how many requests there had been, and the MiB that were resident when all were answered.
    rests: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    peak_mebibytes: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def note_rest(self, requests: int, mebibytes: dict[str, float]) -> None:
        """All answers have been given."""
        for name, resident in mebibytes.items():
            self.rests.setdefault(name, []).append((requests, resident))

    def collect(self, outcomes: list[Outcome]) -> None:
        """Add up what the clients saw."""
        for outcome in outcomes:
            self.requests += outcome.requests
            self.shed += outcome.shed
            self.wrong += outcome.wrong
            self.kinds += outcome.kinds

    def find_growth(self) -> list[str]:
        """A sentence for each server whose memory certainly grows over the last half by more than the target."""
        problems = []
        for name, rests in self.rests.items():
            slope, margin = measure_slope(rests)
            allowed_mebibytes = LARGEST_SLOPE_MEBIBYTES * self.requests / 2 / SLOPE_REQUESTS
            if self.requests < LEAST_REQUESTS:
                allowed_mebibytes += WARM_UP_MEBIBYTES
            if (slope - margin) * self.requests / 2 / SLOPE_REQUESTS > allowed_mebibytes:
                problems.append(
                    f"the {name} server's memory grows by {slope:.2f} ± {margin:.2f} MiB for {SLOPE_REQUESTS} requests"
                )
        return problems


def measure_slope(rests: list[tuple[int, float]]) -> tuple[float, float]:
    """MiB for each 100,000 requests over the last half, and half the width of its 95 % interval.

    Least squares through the means of five blocks of rests. Both are 0 with fewer than three rests there.
    """
    half = [rest for rest in rests if rest[0] >= rests[-1][0] / 2]
    if len(half) < 3:
        return 0.0, 0.0
    counts, memory = np.array([block.mean(axis=0) for block in np.array_split(half, min(BLOCKS, len(half)))]).T
    away, freedom = counts - counts.mean(), len(counts) - 2
    slope = away @ memory / (away @ away)
    residuals = memory - memory.mean() - slope * away
    error = np.sqrt(residuals @ residuals / freedom / (away @ away))
    return float(slope * SLOPE_REQUESTS), float(STUDENT_T[freedom] * error * SLOPE_REQUESTS)


def render_run(run: Run) -> dict[str, Any]:
    """The run as JSON, with the first wrong answers."""
    return {
        "requests": run.requests,
        "seconds": round(run.seconds, 1),
        "shed": run.shed,
        "reloads": run.reloads,
        "kinds": dict(run.kinds),
        "restingMebibytes": {
            name: [round(rests[position][1], 1) for position in (0, len(rests) // 2, -1)]
            for name, rests in run.rests.items()
        },
        "peakMebibytes": {name: round(peak, 1) for name, peak in run.peak_mebibytes.items()},
        "slopeMebibytesPer100000": {name: render_slope(rests) for name, rests in run.rests.items()},
        "wrong": len(run.wrong),
        "firstWrong": run.wrong[:5],
        "problems": run.problems,
    }


def render_slope(rests: list[tuple[int, float]]) -> dict[str, float]:
    """The slope of the last half and the margin of its 95 % interval."""
    slope, margin = measure_slope(rests)
    return {"slope": round(slope, 3), "margin": round(margin, 3)}
