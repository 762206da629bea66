"""What was measured stays in the status until it is measured anew, such as after a restart of the operator. Pure."""

from typing import Final

from model_operator.api.status import CompressedModelStatus
from model_operator.observation import Baseline, KpiProblem, Kpis
from model_operator.planning.reasons import Reason

_COMPARED: Final = "Compared"
_COMPARISON: Final = frozenset({_COMPARED})
# What a comparison that was read says; that a baseline is not Ready is untrue as soon as it is.
_COMPARED_REASONS: Final = frozenset({Reason.COMPARED, Reason.RATES_DIFFER, Reason.INSUFFICIENT_DATA})
_MEASURED: Final = frozenset({"WithinObjectives", _COMPARED})


def keep_measures(
    status: CompressedModelStatus,
    previous: CompressedModelStatus | None,
    kpis: Kpis | KpiProblem | None,
    baseline: Baseline | None,
) -> CompressedModelStatus:
    """The status; where Prometheus was not read yet, with the previous measurements of the same revision and spec.

    The comparison may have a window of its own, which is read after that of the model's own figures.

    Args:
        status: what is now.
        previous: what stands.
        kpis: of the model.
        baseline: of the model.
    """
    if previous is None or not _is_same_revision(status, previous):
        return status
    if _is_unread(kpis):
        return _keep(status, previous, _MEASURED).model_copy(update={"kpis": previous.kpis})
    if baseline is not None and baseline.ready and _is_unread(baseline.kpis):
        return _keep(status, previous, _COMPARISON, _COMPARED_REASONS)
    return status


def _keep(
    status: CompressedModelStatus,
    previous: CompressedModelStatus,
    kinds: frozenset[str],
    reasons: frozenset[Reason] | None = None,
) -> CompressedModelStatus:
    """The status with the previous conditions of these kinds, and with the savings where Compared is among them.

    Of those with one of these reasons, where reasons are given.
    """
    known = {
        each.type: each
        for each in previous.conditions
        if each.type in kinds
        and each.observed_generation == status.observed_generation
        and (reasons is None or each.reason in reasons)
    }
    conditions = tuple(known.get(each.type, each) for each in status.conditions)
    compared = any(each is known.get(_COMPARED) for each in conditions)
    savings = previous.savings if compared else None
    return status.model_copy(update={"conditions": conditions, "savings": savings})


def _is_unread(kpis: Kpis | KpiProblem | None) -> bool:
    return isinstance(kpis, Kpis) and kpis.unread


def _is_same_revision(status: CompressedModelStatus, previous: CompressedModelStatus) -> bool:
    now, before = status.serving, previous.serving
    return now is not None and before is not None and now.revision == before.revision
