"""What was measured stays in the status until it is measured anew, such as after a restart of the operator. Pure."""

from model_operator.api.status import CompressedModelStatus
from model_operator.observation import KpiProblem, Kpis

_MEASURED = ("WithinObjectives", "Compared")


def keep_measures(
    status: CompressedModelStatus, previous: CompressedModelStatus | None, kpis: Kpis | KpiProblem | None
) -> CompressedModelStatus:
    """The status; where Prometheus was not read yet, with the previous measurements of the same revision and spec."""
    if not isinstance(kpis, Kpis) or not kpis.unread or previous is None or not _is_same_revision(status, previous):
        return status
    known = {
        each.type: each
        for each in previous.conditions
        if each.type in _MEASURED and each.observed_generation == status.observed_generation
    }
    conditions = tuple(known.get(each.type, each) for each in status.conditions)
    compared = any(each is known.get("Compared") for each in conditions)
    savings = previous.savings if compared else None
    return status.model_copy(update={"conditions": conditions, "kpis": previous.kpis, "savings": savings})


def _is_same_revision(status: CompressedModelStatus, previous: CompressedModelStatus) -> bool:
    now, before = status.serving, previous.serving
    return now is not None and before is not None and now.revision == before.revision
