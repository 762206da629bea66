"""Whether what was measured keeps to what the spec states. Pure.

No data is not zero: an objective that nothing was measured for, or too little, is neither met nor missed. And a number
near its bound does not have the verdict change with every reading.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from model_operator.api.status import ArtifactStatus, Condition
from model_operator.api.v1alpha1 import CompressedModel, Objectives, QualityObjective
from model_operator.observation import KpiProblem, Kpis, Object, Observation
from model_operator.planning.reasons import Reason
from model_operator.planning.rounding import format_apart, format_number, format_window
from model_operator.planning.verdict import Truth, Verdict

LEAST_REQUESTS: Final = 100
"""In the window, for a p95 or a share of errors. The 95th of 100 is, in 95 of 100 cases, one between the 88th and the
98th percentile of what is measured; with 20, it is the last but one. And one error is 1 %."""
LEAST_BETWEEN_CHANGES: Final = timedelta(seconds=60)
"""Before a verdict that was reached is taken back."""
_VERDICTS: Final = frozenset({Reason.OBJECTIVES_MET, Reason.OBJECTIVES_MISSED})
_MEASURED: Final = _VERDICTS | {Reason.INSUFFICIENT_DATA}


@dataclass(frozen=True)
class _Finding:
    """One objective: met, missed or unknown, in words."""

    status: Truth
    reason: Reason
    text: str


def plan_objectives(
    model: CompressedModel, observation: Observation, artifact: ArtifactStatus | None, served: bool
) -> Verdict | None:
    """The condition WithinObjectives; None where the spec states no objective."""
    objectives = model.spec.objectives
    findings = [
        *_judge_kpis(objectives, observation.kpis, served),
        *(_judge_quality(objectives.quality, artifact, observation) if objectives.quality is not None else ()),
    ]
    if not findings:
        return None
    missed = [finding for finding in findings if finding.status == "False"]
    unknown = [finding for finding in findings if finding.status == "Unknown"]
    told = missed or unknown or findings
    message = f"{'; '.join(dict.fromkeys(finding.text for finding in told))}."
    return Verdict(told[0].status, told[0].reason, message)


def hold_objectives(verdict: Verdict | None, previous: Condition | None, now: datetime) -> Verdict | None:
    """The verdict, or the one that stands where that was reached less than LEAST_BETWEEN_CHANGES ago.

    A first verdict is told at once, and so is that nothing is served or that Prometheus does not answer.

    Args:
        verdict: on what was measured now; None where the spec states no objective.
        previous: the condition that stands, on the same spec and revision; None where there is none.
        now: the time of a condition that changes.
    """
    if verdict is None or previous is None or verdict.reason not in _MEASURED or previous.reason not in _VERDICTS:
        return verdict
    if verdict.status == previous.status or now - previous.last_transition_time >= LEAST_BETWEEN_CHANGES:
        return verdict
    return Verdict(previous.status, Reason(previous.reason), previous.message)


def _judge_kpis(objectives: Objectives, kpis: Kpis | KpiProblem | None, served: bool) -> Iterator[_Finding]:
    """The objectives that are measured while the model serves; names and units are those of the spec."""
    for name, attribute in (
        ("p95LatencyMilliseconds", "p95_latency_milliseconds"),
        ("cpuMillicores", "cpu_millicores"),
        ("memoryMebibytes", "memory_mebibytes"),
        ("errorPercent", "error_percent"),
    ):
        bound = getattr(objectives, attribute)
        if bound is None:
            continue
        if isinstance(kpis, KpiProblem):
            yield _unknown(Reason(kpis.reason), kpis.message.rstrip("."))
        elif kpis is None or not served:
            yield _unknown(Reason.NOT_SERVING, "Nothing is served that could be measured")
        else:
            yield _judge_kpi(name, attribute, bound, kpis)


def _judge_kpi(name: str, attribute: str, bound: float, kpis: Kpis) -> _Finding:
    """One number, of which there must be enough requests where it is of requests."""
    value, window = getattr(kpis, attribute), format_window(kpis.window_seconds)
    if kpis.unread:
        return _unknown(Reason.INSUFFICIENT_DATA, f"{name} was not measured yet")
    if value is None:
        text = f"{name} has no data in the last {window}; it needs requests to the model"
        return _unknown(Reason.INSUFFICIENT_DATA, text)
    counted = {"p95_latency_milliseconds": kpis.requests, "error_percent": kpis.tried_requests}
    requests = counted.get(attribute, LEAST_REQUESTS) or 0
    if requests < LEAST_REQUESTS:
        text = f"{name} is of {round(requests)} requests in the last {window}; it is judged from {LEAST_REQUESTS} on"
        return _unknown(Reason.INSUFFICIENT_DATA, text)
    return _judge(name, value, bound, at_most=True)


def _judge_quality(
    objective: QualityObjective, artifact: ArtifactStatus | None, observation: Observation
) -> Iterator[_Finding]:
    if artifact is None:
        yield _unknown(Reason.NOT_SERVING, "There is no artifact yet whose quality could be told")
        return
    if artifact.quality is None:
        reason = Reason.INSUFFICIENT_DATA if artifact.trained else Reason.UNTRAINED
        why = "was not measured" if artifact.trained else "means nothing: the model was not trained in full"
        yield _unknown(reason, f"The quality of the artifact {why}")
        return
    if artifact.quality.metric != objective.metric:
        known = ", ".join(artifact.quality.measures or [artifact.quality.metric])
        text = f"The artifact was not measured by {objective.metric}; it has {known}"
        yield _unknown(Reason.INSUFFICIENT_DATA, text)
        return
    for bound, at_most in ((objective.minimum, False), (objective.maximum, True)):
        if bound is not None:
            yield _judge(f"quality ({objective.metric})", artifact.quality.value, bound, at_most=at_most)
    if objective.maximum_loss is not None:
        yield _judge_loss(objective.maximum_loss, artifact.quality.loss, observation)


def _judge_loss(bound: float, loss: float | None, observation: Observation) -> _Finding:
    if loss is not None:
        return _judge("quality loss", loss, bound, at_most=True)
    baseline = observation.baseline
    if baseline is None or not baseline.exists:
        name = baseline.name if baseline is not None else "of the spec"
        return _unknown(Reason.BASELINE_MISSING, f"The baseline {name} does not exist in this namespace; create it")
    if not baseline.artifact:
        return _unknown(Reason.BASELINE_NOT_READY, f"The baseline {baseline.name} has no artifact yet")
    reason = Reason.INSUFFICIENT_DATA if _is_trained(baseline.artifact) else Reason.UNTRAINED
    return _unknown(reason, f"The quality of the baseline {baseline.name} is not known")


def _is_trained(artifact: Object) -> bool:
    return bool(artifact.get("trained"))


def _judge(name: str, value: float, bound: float, *, at_most: bool) -> _Finding:
    """The value against its bound; how far off it is, is told in percent of the bound."""
    found, stated = format_apart(value, bound)
    if value <= bound if at_most else value >= bound:
        return _Finding("True", Reason.OBJECTIVES_MET, f"{name} is {found}, {_side(at_most)} {stated}")
    off = f"{format_number(abs(value - bound) / abs(bound) * 100)} % " if bound else ""
    wrong = "above" if at_most else "below"
    return _Finding("False", Reason.OBJECTIVES_MISSED, f"{name} is {found}, {off}{wrong} {stated}")


def _side(at_most: bool) -> str:
    return "at most" if at_most else "at least"


def _unknown(reason: Reason, text: str) -> _Finding:
    return _Finding("Unknown", reason, text)
