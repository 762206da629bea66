"""What the API server did not take, told in the status. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from model_operator.planning.decision import Plan, Refusal
from model_operator.planning.readiness import find_refusal_reason, plan_reconciling, plan_stalled
from model_operator.planning.reasons import Reason
from model_operator.planning.status import parse_status, render_condition
from model_operator.planning.verdict import Course, Verdict, format_sentence
from model_operator.settings import Settings


def add_refusals(
    status: Mapping[str, Any],
    refusals: Sequence[Refusal],
    now: datetime,
    previous: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """The status with the refusals in Ready, Reconciling and Stalled, the first one's reason first.

    Args:
        status: what was planned, or, where nothing was, what stands.
        refusals: what the API server did not take; without any the status stays as it is.
        now: the time of a condition that changes.
        previous: the status that stands; a condition that it has already keeps its time.
    """
    known, planned = parse_status(previous or status), parse_status(status)
    if not refusals or planned is None:
        return status
    ready, course = plan_refusals(refusals)
    verdicts: dict[str, Verdict] = {
        "Ready": ready,
        "Reconciling": plan_reconciling(ready, course),
        "Stalled": plan_stalled(ready, course),
    }
    stood = {condition.type: condition for condition in known.conditions} if known is not None else {}
    conditions = tuple(
        render_condition(one.type, verdicts[one.type], stood.get(one.type), planned.observed_generation, now)
        if one.type in verdicts
        else one
        for one in planned.conditions
    )
    return planned.model_copy(update={"conditions": conditions}).to_json()


def plan_refusals(refusals: Sequence[Refusal]) -> tuple[Verdict, Course]:
    """What is wrong, and whether the same objects could be taken later."""
    first = next((refusal for refusal in refusals if refusal.invalid), refusals[0])
    if first.kind == "HorizontalPodAutoscaler" and first.invalid:
        reason, remedy = Reason.INVALID_AUTOSCALING, " Correct spec.autoscaling."
    else:
        reason, remedy = find_refusal_reason(first.message), ""
    told = " ".join(
        f"The API server refuses {refusal.kind} {refusal.name}: {format_sentence(refusal.message)}"
        for refusal in refusals
    )
    stalled = first.invalid and reason is not Reason.QUOTA_EXCEEDED
    return Verdict("False", reason, f"{told}{remedy}"), "Stalled" if stalled else "Reconciling"


def drop_refused(plan: Plan, refusals: Sequence[Refusal], standing: Mapping[str, Any], settings: Settings) -> Plan:
    """The plan as it was carried out, and when to look again: when what was refused is tried again, at the latest.

    The plan's own time counts on what was refused. It holds for a build that is waited for, which may go on meanwhile.

    Args:
        plan: what was to be done.
        refusals: at least one.
        standing: the status that stands where the plan writes none.
        settings: how often numbers are measured.
    """
    refused = {(refusal.kind, refusal.name) for refusal in refusals}
    conditions = (plan.status or standing).get("conditions") or ()
    built = any(each["type"] == "ArtifactReady" and each["status"] == "True" for each in conditions)
    begins = any(body["kind"] == "Job" for body in plan.create)
    measured = settings.kpi_seconds if settings.prometheus_url else settings.resync_seconds
    again = min(refusal.again_in_seconds for refusal in refusals)
    return replace(
        plan,
        create=tuple(body for body in plan.create if _name(body) not in refused),
        adopt=tuple(each for each in plan.adopt if (each.kind, each.name) not in refused),
        apply=tuple(body for body in plan.apply if _name(body) not in refused),
        scale=None if any(kind == "Deployment" for kind, _ in refused) else plan.scale,
        delete=tuple(each for each in plan.delete if (each.kind, each.name) not in refused),
        leave=tuple(each for each in plan.leave if (each.kind, each.name) not in refused),
        requeue_after_seconds=max(1.0, min(again, measured if built or begins else plan.requeue_after_seconds)),
    )


def _name(body: Mapping[str, Any]) -> tuple[str, str]:
    return body["kind"], body["metadata"]["name"]
