"""Whether replicas followed a load, came back, and p95 recovered. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from load.samples import Samples, percentile
from load.scenarios import Rise

FOLLOWED_WITHIN_SECONDS = 60.0
RECOVERED_WITHIN_RATIO = 1.5
WINDOW_SECONDS = 5.0
"""Of a point of p95 over time."""
FEWEST_SAMPLES = 20
"""Of a percentile that is compared."""

Replicas = Sequence[tuple[float, int]]
"""(seconds from the start, pods that are ready), ascending."""


@dataclass(frozen=True)
class Followed:
    """What became of one rise; None is never 0: it did not happen, or cannot be told.

    Attributes:
        pods: that were ready at most while there was more load.
        followed_seconds: from the rise to enough pods.
        came_back_seconds: from the fall to as many pods as before, until the load rises again or ends.
        recovered_ratio: p95 once replicas had followed, over that before the rise.
    """

    pods: int
    followed_seconds: float | None
    came_back_seconds: float | None
    recovered_ratio: float | None


def judge_rise(rise: Rise, replicas: Replicas, samples: Samples) -> Followed:
    """What became of it."""
    before = _count_before(replicas, rise.begin_seconds)
    followed = find_followed(replicas, rise)
    back = find_back(replicas, rise, before)
    most = max((ready for at, ready in replicas if rise.begin_seconds <= at < rise.end_seconds), default=before)
    return Followed(most, followed, back, compare_p95(samples, rise, followed))


def _count_before(replicas: Replicas, moment_seconds: float) -> int:
    """At the last look before; 1 where there was none."""
    return next((ready for at, ready in reversed(replicas) if at < moment_seconds), 1)


def find_followed(replicas: Replicas, rise: Rise) -> float | None:
    """From the rise to the first look at enough pods; None where the load fell before."""
    for at, ready in replicas:
        if rise.begin_seconds <= at < rise.end_seconds and ready >= rise.pods:
            return at - rise.begin_seconds
    return None


def find_back(replicas: Replicas, rise: Rise, least: int) -> float | None:
    """From the fall to the look since which there were no more than before; None where there were more to the end."""
    after = [(at, ready) for at, ready in replicas if rise.end_seconds <= at < rise.calm_until_seconds]
    since = None
    for at, ready in after:
        if ready > least:
            since = None
        elif since is None:
            since = at
    return None if since is None else since - rise.end_seconds


def compare_p95(samples: Samples, rise: Rise, followed_seconds: float | None) -> float | None:
    """p95 from a window after replicas had followed to the fall, over p95 of the calm before."""
    if followed_seconds is None:
        return None
    settled = rise.begin_seconds + followed_seconds + WINDOW_SECONDS
    # the first half of the calm may still have the pods, and the queue, of the rise before
    calm = samples.during((rise.calm_since_seconds + rise.begin_seconds) / 2, rise.begin_seconds)
    high = samples.during(settled, rise.end_seconds)
    before, after = (percentile(each.latency_milliseconds[each.ok], 95) for each in (calm, high))
    if min(len(calm.ok), len(high.ok)) < FEWEST_SAMPLES or not before or after is None:
        return None
    return after / before


def list_p95(samples: Samples, seconds: float) -> list[tuple[float, float]]:
    """(middle of a window, p95 of what was due in it), where anything was answered."""
    found = []
    for number in range(int(seconds // WINDOW_SECONDS)):
        begin = number * WINDOW_SECONDS
        part = samples.during(begin, begin + WINDOW_SECONDS)
        p95 = percentile(part.latency_milliseconds[part.ok], 95)
        if p95 is not None:
            found.append((begin + WINDOW_SECONDS / 2, round(p95, 3)))
    return found


def find_worst(values: Sequence[float | None]) -> float | None:
    """The largest; None where one of them is."""
    known = [value for value in values if value is not None]
    return max(known) if known and len(known) == len(values) else None


def list_missed(rises: Sequence[Followed], failures: int) -> list[str]:
    """What was to be reached and was not, in words; nothing where all of it was."""
    missed = [f"{failures} requests failed"] if failures else []
    for number, each in enumerate(rises, start=1):
        if each.followed_seconds is None:
            missed.append(f"rise {number}: replicas did not follow, {each.pods} at most")
        elif each.followed_seconds > FOLLOWED_WITHIN_SECONDS:
            missed.append(f"rise {number}: replicas followed after {each.followed_seconds:.0f} s")
        if each.came_back_seconds is None:
            missed.append(f"rise {number}: replicas did not come back")
        if each.recovered_ratio is None:
            missed.append(f"rise {number}: p95 after it cannot be told")
        elif each.recovered_ratio > RECOVERED_WITHIN_RATIO:
            missed.append(f"rise {number}: p95 is {each.recovered_ratio:.2f} times that before")
    return missed
