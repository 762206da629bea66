"""The highest rate that a configuration bears: flat rates, doubled until one is too much, then halved in between.

Pure: which rate comes next, and what the steps say together.
"""

from collections.abc import Sequence

from load.results import Protocol, Saturation, SaturationStep

UNLOADED_RATE = 2.0
FIRST_RATE = 8.0
LARGEST_RATE = 4096.0
HALVINGS = 3
MOST_SLOWDOWN = 3.0
LEAST_ACHIEVED = 0.95
"""Of the rate: what was answered before its time was over."""
RULE = (
    f"highest flat rate with no failure, {LEAST_ACHIEVED:.0%} answered within its time, and p95 <="
    f" {MOST_SLOWDOWN:g}x the unloaded p95 (at {UNLOADED_RATE:g} requests/s); rates double, then {HALVINGS} halvings of"
    " the factor in between; 'at least' where the search ended before anything was too much for the server"
)


def is_borne(step: SaturationStep, unloaded_p95_milliseconds: float) -> bool:
    """Whether the configuration keeps up with the rate."""
    return (
        step.void is None
        and step.failures == 0
        and step.achieved >= LEAST_ACHIEVED * step.rate
        and step.p95_milliseconds is not None
        and step.p95_milliseconds <= MOST_SLOWDOWN * unloaded_p95_milliseconds
    )


def plan_next_rate(steps: Sequence[SaturationStep]) -> float | None:
    """The rate of the next step; None when the answer stands.

    Args:
        steps: so far; the first is the unloaded one.
    """
    if not steps:
        return UNLOADED_RATE
    unloaded = steps[0].p95_milliseconds
    if unloaded is None or steps[0].failures:
        return None
    loaded = [(step.rate, is_borne(step, unloaded)) for step in steps[1:]]
    refused = [rate for rate, borne in loaded if not borne]
    if not refused:
        rate = 2 * loaded[-1][0] if loaded else FIRST_RATE
        return rate if rate <= LARGEST_RATE else None
    below = [rate for rate, borne in loaded if borne and rate < min(refused)]
    halvings = len(loaded) - 1 - [borne for _, borne in loaded].index(False)
    return float((max(below) * min(refused)) ** 0.5) if below and halvings < HALVINGS else None


def is_known(found: Saturation) -> bool:
    """Whether a search says anything of the server: not where its unloaded step was void, as older files have it."""
    return not (found.steps and found.steps[0].void)


def format_rate(found: Saturation) -> str:
    """The highest rate that was borne, and whether it is the limit."""
    if not is_known(found):
        return "not known"
    if found.requests_per_second is None:
        return "none was borne"
    return ("at least " if found.at_least else "") + f"{found.requests_per_second:.4g}"


def conclude(
    configuration: str, protocol: Protocol, steps: Sequence[SaturationStep], seconds: float | None = None
) -> Saturation:
    """What the steps, of so many seconds each, say: the last rate that was borne, no limit while none was refused."""
    unloaded = steps[0].p95_milliseconds if steps else None
    borne = [] if unloaded is None else [step.rate for step in steps if is_borne(step, unloaded)]
    refused = [] if unloaded is None else [step for step in steps if step.void is None and not is_borne(step, unloaded)]
    return Saturation(
        configuration=configuration,
        protocol=protocol,
        requests_per_second=max(borne, default=None),
        at_least=bool(borne) and not refused,
        rule=RULE,
        seconds=seconds,
        steps=list(steps),
    )
