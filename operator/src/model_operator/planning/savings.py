"""What compression saves against the baseline, where both were measured alike. Pure."""

from dataclasses import dataclass

from model_operator import names
from model_operator.api.status import ArtifactStatus, SavingsStatus
from model_operator.observation import Baseline, KpiProblem, Kpis
from model_operator.planning.reasons import Reason
from model_operator.planning.rounding import format_number, round_optional, round_significant
from model_operator.planning.verdict import Truth, Verdict

LEAST_REQUESTS = 1000
"""On each side, in the window: fewer say too little of a 95th percentile."""
LARGEST_RATE_RATIO = 2.0
"""Between the requests per second of a pod on both sides: latency and CPU depend on the load."""
_MEBIBYTES_IN_GIBIBYTE = 1024


@dataclass(frozen=True)
class Prices:
    """What a pod's use costs, in any currency; both 0 where nobody said."""

    cpu_core_hour: float = 0.0
    memory_gibibyte_hour: float = 0.0


NO_PRICES = Prices()


@dataclass(frozen=True)
class Comparison:
    """The condition Compared, and the savings where it is True."""

    verdict: Verdict
    savings: SavingsStatus | None = None


@dataclass(frozen=True)
class _Side:
    """One side's measurements, of which there are enough."""

    kpis: Kpis
    requests: float
    rate: float
    """Requests per second of a pod."""


def plan_savings(
    baseline: Baseline | None,
    artifact: ArtifactStatus | None,
    kpis: Kpis | KpiProblem | None,
    served: str | None,
    prices: Prices = NO_PRICES,
) -> Comparison | None:
    """The comparison with the baseline; None where the spec names none.

    Args:
        baseline: of the model.
        artifact: of the spec.
        kpis: of what is served.
        served: the revision (12 digits) that is; None where there is none.
        prices: of what pods use.
    """
    if baseline is None:
        return None
    hindrance = _find_missing_baseline(baseline) or _find_other_revision(artifact, kpis, served)
    if hindrance is not None:
        return hindrance
    # The model's own come first: of the baseline nothing is measured where the model serves nothing.
    own = _measure("This model", kpis if kpis is None or baseline.compared is None else baseline.compared)
    if isinstance(own, Comparison):
        return own
    other = _measure(f"The baseline {baseline.name}", baseline.kpis)
    if isinstance(other, Comparison):
        return other
    if artifact is None:
        return _refuse("Unknown", Reason.INSUFFICIENT_DATA, "The artifact of this model is not known yet.")
    return _compare(own, other, baseline, artifact, prices)


def _find_missing_baseline(baseline: Baseline) -> Comparison | None:
    """Why the baseline is nothing to compare with, whatever was measured."""
    if not baseline.exists:
        message = f"The baseline {baseline.name} does not exist in this namespace; create it."
        return _refuse("False", Reason.BASELINE_MISSING, message)
    if not baseline.ready or not baseline.artifact:
        return _refuse("False", Reason.BASELINE_NOT_READY, f"The baseline {baseline.name} is not Ready yet.")
    return None


def _find_other_revision(
    artifact: ArtifactStatus | None, kpis: Kpis | KpiProblem | None, served: str | None
) -> Comparison | None:
    """Why what is measured says nothing of the artifact: the revision before it is still the one that is served."""
    wanted = names.short_digest(artifact.digest) if artifact is not None else None
    if wanted in {None, served} or not isinstance(kpis, Kpis):
        return None
    message = (
        f"The previous revision {served} is the one that is measured; the spec asks for {wanted}, "
        "which is compared once it is served."
    )
    return _refuse("Unknown", Reason.PREVIOUS_REVISION, message)


def _compare(own: _Side, other: _Side, baseline: Baseline, artifact: ArtifactStatus, prices: Prices) -> Comparison:
    if own.kpis.window_seconds != other.kpis.window_seconds:
        return _refuse("Unknown", Reason.INSUFFICIENT_DATA, "Both models were not measured over the same window.")
    theirs = f"{format_number(other.rate)} of the baseline {baseline.name}"
    rates = f"{format_number(own.rate)} requests/s a pod against {theirs}"
    if max(own.rate, other.rate) > LARGEST_RATE_RATIO * min(own.rate, other.rate):
        message = f"The rates differ by more than a factor of 2: {rates}; load both alike."
        return _refuse("False", Reason.RATES_DIFFER, message)
    savings = SavingsStatus(
        size=round_significant(float(baseline.artifact["sizeBytes"]) / artifact.size_bytes),
        latency=_compare_latency(own.kpis, other.kpis),
        cpu=_divide(other.kpis.cpu_milliseconds_per_request, own.kpis.cpu_milliseconds_per_request),
        memory=_divide(other.kpis.memory_mebibytes, own.kpis.memory_mebibytes),
        cost_percent=_compare_cost(own, other, prices),
        requests=int(round_significant(own.requests)),
        baseline_requests=int(round_significant(other.requests)),
        requests_per_second_per_pod=round_significant(own.rate),
        baseline_requests_per_second_per_pod=round_significant(other.rate),
        measured_at=own.kpis.measured_at,
    )
    return Comparison(Verdict("True", Reason.COMPARED, f"Measured at {rates}."), savings)


def _measure(who: str, kpis: Kpis | KpiProblem | None) -> _Side | Comparison:
    """The side's measurements, or why they do not do."""
    if isinstance(kpis, KpiProblem):
        return _refuse("Unknown", Reason(kpis.reason), kpis.message)
    if kpis is None:
        return _refuse("Unknown", Reason.NOT_SERVING, f"{who} serves nothing that could be measured.")
    if kpis.unread:
        return _refuse("Unknown", Reason.INSUFFICIENT_DATA, f"{who} was not measured yet.")
    requests, rate = kpis.requests, kpis.requests_per_second_per_pod
    if requests is None or rate is None or rate <= 0 or requests < LEAST_REQUESTS:
        answered = format_number(requests) if requests is not None else "no"
        message = (
            f"{who} had {answered} requests in {kpis.window_seconds} s; {LEAST_REQUESTS} are needed on both sides."
        )
        return _refuse("Unknown", Reason.INSUFFICIENT_DATA, message)
    return _Side(kpis, requests, rate)


def _compare_latency(own: Kpis, other: Kpis) -> float | None:
    """The ratio of two p95 that were read from the same buckets: what other buckets say differs by itself."""
    if own.p95_is_fine and other.p95_is_fine:
        return _divide(other.p95_latency_milliseconds, own.p95_latency_milliseconds)
    return _divide(other.p95_standard_milliseconds, own.p95_standard_milliseconds)


def _compare_cost(own: _Side, other: _Side, prices: Prices) -> float | None:
    """By how many percent a pod costs less than one of the baseline that answers as many requests; below 0: more."""
    costs = [_plan_cost(each.kpis, own.rate, prices) for each in (own, other)]
    if costs[0] is None or not costs[1]:
        return None
    return round_significant(100 * (1 - costs[0] / costs[1]))


def _plan_cost(kpis: Kpis, rate: float, prices: Prices) -> float | None:
    """What a pod costs in an hour at so many requests per second; None where it was not measured or has no price."""
    cpu, memory = kpis.cpu_milliseconds_per_request, kpis.memory_mebibytes
    if cpu is None or memory is None or not (prices.cpu_core_hour or prices.memory_gibibyte_hour):
        return None
    return prices.cpu_core_hour * cpu / 1000 * rate + prices.memory_gibibyte_hour * memory / _MEBIBYTES_IN_GIBIBYTE


def _divide(baseline: float | None, own: float | None) -> float | None:
    return None if baseline is None or not own else round_optional(baseline / own)


def _refuse(status: Truth, reason: Reason, message: str) -> Comparison:
    return Comparison(Verdict(status, reason, message))
