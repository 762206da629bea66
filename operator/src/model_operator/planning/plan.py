"""The whole decision in order: artifact, serving, status. Pure: no clock, no client, no environment."""

from datetime import datetime
from typing import Final

from model_operator.api.status import CompressedModelStatus, Condition, ConditionType, ServingStatus
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import Observation
from model_operator.planning.artifact import WAITING_SECONDS, ArtifactDecision
from model_operator.planning.build_log import render_build_logs
from model_operator.planning.decision import Plan
from model_operator.planning.facts import (
    render_artifact,
    render_build,
    render_compression,
    render_kpis,
    render_serving,
)
from model_operator.planning.hindered import plan_invalid, plan_unseen
from model_operator.planning.history import render_history
from model_operator.planning.leaving import plan_leaving
from model_operator.planning.objectives import hold_objectives, plan_objectives
from model_operator.planning.readiness import plan_available, plan_ready, plan_reconciling, plan_stalled
from model_operator.planning.reasons import Reason
from model_operator.planning.refusal import add_refusals
from model_operator.planning.rollout import Rollout, parse_rollout
from model_operator.planning.savings import Prices, plan_savings
from model_operator.planning.serving import plan_serving
from model_operator.planning.source import plan_artifact
from model_operator.planning.status import parse_status, plan_status_write, render_conditions
from model_operator.planning.unread import keep_measures
from model_operator.planning.verdict import Course, Verdict
from model_operator.settings import Settings

__all__ = ["add_refusals", "plan", "plan_invalid", "plan_unseen"]

WATCHED_SECONDS: Final = 30.0
"""What watches tell of is looked at when they do. It comes round this often all the same, and no more often: 1,000
models that roll out at once are 33 passes a second, whatever their pods do."""
_WATCHED: Final = frozenset({Reason.ROLLING_OUT, Reason.PODS_FAILING, Reason.PODS_PENDING})
"""Reasons that go when Deployments and pods change, and both are watched."""


def plan(model: CompressedModel, observation: Observation, settings: Settings, now: datetime) -> Plan:
    """The next step of the model towards its spec, and what its status says of it."""
    now = now.replace(microsecond=0)
    artifact = plan_artifact(model, observation, settings, now)
    serving = plan_serving(model, observation, artifact.artifact if artifact.deployable else None, settings)
    rollout = parse_rollout(model, observation)
    ready, course = plan_ready(model, artifact, serving, rollout)
    status = _render_status(model, observation, artifact, rollout, (ready, course), settings=settings, now=now)
    written = plan_status_write(observation.status, status)
    requeue = _plan_requeue(artifact, rollout, (ready, course), settings)
    leave = plan_leaving(model, observation, artifact, settings, now)
    left = tuple(f"leave {each.kind} {each.name}: the model does not ask for it any more" for each in leave)
    logs = render_build_logs(model, observation.attempts)
    if model.spec.suspend:
        return Plan(create=logs, leave=leave, status=written, reasons=left, requeue_after_seconds=requeue)
    return Plan(
        create=(*artifact.create, *logs),
        adopt=artifact.adopt,
        apply=serving.apply,
        scale=serving.scale,
        delete=serving.delete,
        leave=leave,
        status=written,
        reasons=(*artifact.reasons, *serving.reasons, *left),
        requeue_after_seconds=requeue,
    )


def _render_status(
    model: CompressedModel,
    observation: Observation,
    artifact: ArtifactDecision,
    rollout: Rollout,
    readiness: tuple[Verdict, Course],
    *,
    settings: Settings,
    now: datetime,
) -> CompressedModelStatus:
    previous = parse_status(observation.status)
    facts = render_artifact(model, artifact.artifact, observation.baseline, previous)
    kpis = observation.kpis if rollout.exists else None
    serving = render_serving(model, rollout, previous, now)
    prices = Prices(settings.price_cpu_core_hour, settings.price_memory_gibibyte_hour)
    comparison = plan_savings(observation.baseline, facts, kpis, rollout.served, prices)
    objectives = plan_objectives(model, observation, facts, rollout.ready_pods > 0)
    verdicts: dict[ConditionType, Verdict | None] = {
        "Ready": readiness[0],
        "ArtifactReady": artifact.verdict,
        "Available": plan_available(model, artifact, rollout),
        "Reconciling": plan_reconciling(*readiness),
        "Stalled": plan_stalled(*readiness),
        "WithinObjectives": hold_objectives(objectives, _find_verdict(previous, serving, observation.generation), now),
        "Compared": comparison.verdict if comparison is not None else None,
    }
    status = CompressedModelStatus(
        observed_generation=observation.generation,
        conditions=render_conditions(verdicts, previous, observation.generation, now),
        compression=render_compression(model, artifact.artifact, previous),
        build=render_build(model, artifact.attempt, previous),
        artifact=facts,
        serving=serving,
        kpis=render_kpis(kpis),
        savings=comparison.savings if comparison is not None else None,
        history=render_history(previous, serving, observation.generation, now),
    )
    return keep_measures(status, previous, kpis, observation.baseline)


def _find_verdict(
    previous: CompressedModelStatus | None, serving: ServingStatus | None, generation: int
) -> Condition | None:
    """The condition WithinObjectives as it stands; None where it is of another spec or revision."""
    if previous is None or previous.serving is None or serving is None:
        return None
    if previous.serving.revision != serving.revision:
        return None
    standing = (each for each in previous.conditions if each.type == "WithinObjectives")
    return next((each for each in standing if each.observed_generation == generation), None)


def _plan_requeue(
    artifact: ArtifactDecision, rollout: Rollout, readiness: tuple[Verdict, Course], settings: Settings
) -> float:
    """When to look again: at the earliest of what is waited for, and of the next measurement."""
    measures = bool(settings.prometheus_url) and rollout.exists
    times: list[float] = [settings.kpi_seconds if measures else settings.resync_seconds]
    if artifact.requeue_after_seconds is not None:
        times.append(artifact.requeue_after_seconds)
    ready, course = readiness
    if ready.reason in _WATCHED:
        times.append(WATCHED_SECONDS)
    elif ready.reason is Reason.NAME_CONFLICT or course == "Reconciling":
        times.append(artifact.requeue_after_seconds or WAITING_SECONDS)
    return float(min(times))
