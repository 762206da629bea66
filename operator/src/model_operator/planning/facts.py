"""The parts of the status that repeat what was observed: build, artifact, serving, KPIs. Pure."""

from datetime import datetime

from model_artifact.summary import ArtifactSummary
from model_operator import names
from model_operator.api.status import (
    ArtifactStatus,
    BuildStatus,
    CompressedModelStatus,
    CompressionStatus,
    KpiStatus,
    QualityStatus,
    ServingStatus,
)
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import Baseline, BuildAttempt, KpiProblem, Kpis
from model_operator.planning.artifact import Artifact
from model_operator.planning.failure import format_cause
from model_operator.planning.history import find_since
from model_operator.planning.ownership import render_selector
from model_operator.planning.quality import read_measures, render_quality
from model_operator.planning.rollout import Rollout
from model_operator.planning.rounding import format_window, round_optional, round_significant


def render_build(
    model: CompressedModel, attempt: BuildAttempt | None, previous: CompressedModelStatus | None
) -> BuildStatus | None:
    """How the build of the spec's recipe stands; what was known stays when its Job is gone."""
    recipe = model.recipe()
    if recipe is None:
        return None
    if attempt is None:
        return _keep_build(recipe.digest, previous)
    progress = attempt.progress if attempt.state == "Running" else None
    failed = attempt.state == "Failed"
    return BuildStatus(
        recipe_digest=recipe.digest,
        job=attempt.job,
        attempt=attempt.attempt + 1,
        phase=progress.phase if progress is not None else None,
        epoch=progress.epoch if progress is not None else None,
        epochs=progress.epochs if progress is not None else None,
        steps_per_second=round_optional(progress.steps_per_second) if progress is not None else None,
        eta_seconds=progress.eta_seconds if progress is not None else None,
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
        message=format_cause(attempt, model.spec.build) if failed else (progress.message if progress else "") or None,
    )


def _keep_build(recipe_digest: str, previous: CompressedModelStatus | None) -> BuildStatus:
    """What was told of a build whose Job is gone, without the progress that it has no more."""
    known = previous.build if previous is not None else None
    if known is None or known.recipe_digest != recipe_digest:
        return BuildStatus(recipe_digest=recipe_digest)
    return BuildStatus(
        recipe_digest=recipe_digest,
        job=known.job,
        attempt=known.attempt,
        started_at=known.started_at,
        finished_at=known.finished_at,
    )


def render_compression(
    model: CompressedModel, artifact: Artifact | None, previous: CompressedModelStatus | None
) -> CompressionStatus | None:
    """What the spec asks for; of a given artifact, what it tells, which stays when the pod that told it is gone."""
    told = model.spec.compression or (artifact.summary if artifact is not None else None)
    if told is not None:
        found = CompressionStatus(
            alpha=told.alpha,
            bits=told.bits,
            rule=told.rule,
            channel_sparsity=told.channel_sparsity,
            first_and_last_layers=told.first_and_last_layers,
        )
        return found if found != CompressionStatus() else None
    known = previous.artifact if previous is not None else None
    if previous is None or known is None or artifact is None:
        return None
    return previous.compression if (known.uri, known.digest) == (artifact.uri, artifact.digest) else None


def render_artifact(
    model: CompressedModel,
    artifact: Artifact | None,
    baseline: Baseline | None,
    previous: CompressedModelStatus | None,
) -> ArtifactStatus | None:
    """The facts of the spec's artifact; those that were known stay when the pod that told them is gone."""
    if artifact is None:
        return None
    summary = artifact.summary
    if summary is None:
        known = previous.artifact if previous is not None else None
        return _keep_artifact(model, artifact, baseline, known) if known is not None else None
    baseline_bytes = _find_baseline_bytes(baseline, summary.float_bytes)
    return ArtifactStatus(
        uri=artifact.uri,
        digest=summary.digest,
        size_bytes=summary.size_bytes,
        baseline_size_bytes=baseline_bytes,
        float_size_bytes=summary.float_bytes,
        ratio=_measure_ratio(baseline_bytes, summary.size_bytes),
        bits_per_weight=round_significant(summary.bits_per_weight),
        entropy_bits_per_weight=round_significant(summary.entropy_bits_per_weight),
        sparsity_percent=round_significant(summary.sparsity_percent),
        trained=summary.trained,
        dataset=summary.dataset,
        quality=_render_quality(model, summary, baseline),
    )


def _keep_artifact(
    model: CompressedModel, artifact: Artifact, baseline: Baseline | None, known: ArtifactStatus
) -> ArtifactStatus | None:
    """What was told of the same artifact, beside the baseline that there is now, by the metric that is asked for."""
    if (known.uri, known.digest) != (artifact.uri, artifact.digest):
        return None
    # An older status does not have the size as float32.
    baseline_bytes = _find_baseline_bytes(baseline, known.float_size_bytes or known.baseline_size_bytes)
    quality = known.quality
    # The API server sorts the measures: the one that is told comes first, as in a summary.
    measures = {} if quality is None else {quality.metric: quality.value, **(quality.measures or {})}
    return known.model_copy(
        update={
            "baseline_size_bytes": baseline_bytes,
            "ratio": _measure_ratio(baseline_bytes, known.size_bytes),
            "quality": render_quality(model, measures, baseline),
        }
    )


def _find_baseline_bytes(baseline: Baseline | None, float_bytes: int) -> int:
    """Size of the baseline's artifact, or of the same weights as float32 where there is none."""
    theirs = baseline.artifact if baseline is not None else {}
    return int(theirs.get("sizeBytes") or float_bytes)


def _measure_ratio(baseline_bytes: int, size_bytes: int) -> float:
    """How many times smaller the artifact is."""
    return round_significant(baseline_bytes / max(1, size_bytes))


def _render_quality(
    model: CompressedModel, summary: ArtifactSummary, baseline: Baseline | None
) -> QualityStatus | None:
    """The quality of a model that was trained in full; of another it means nothing."""
    if summary.quality is None or not summary.trained:
        return None
    return render_quality(model, read_measures(summary.quality), baseline)


def render_serving(
    model: CompressedModel, rollout: Rollout, previous: CompressedModelStatus | None, now: datetime
) -> ServingStatus | None:
    """What is served, since when, and under which addresses; None before there is a Deployment."""
    if not rollout.exists:
        return None
    template = names.short_digest(rollout.artifact.digest) if rollout.artifact is not None else None
    host = f"{model.metadata.name}.{model.metadata.namespace}.svc"
    return ServingStatus(
        revision=rollout.served,
        digest=rollout.served_digest,
        since=find_since(previous, rollout.served, now),
        candidate_revision=template if template != rollout.served else None,
        replicas=len(rollout.pods),
        ready_replicas=rollout.ready_pods,
        selector=",".join(f"{key}={value}" for key, value in sorted(render_selector(model).items())),
        http=f"http://{host}:{names.HTTP_PORT}/v1/models/{model.metadata.name}",
        grpc=f"{host}:{names.GRPC_PORT}",
    )


def render_kpis(kpis: Kpis | KpiProblem | None) -> KpiStatus | None:
    """What was measured, rounded; None where nothing could be."""
    if not isinstance(kpis, Kpis) or kpis.unread:
        return None
    requests = round_optional(kpis.requests)
    return KpiStatus(
        p95_latency_milliseconds=round_optional(kpis.p95_latency_milliseconds),
        cpu_millicores=round_optional(kpis.cpu_millicores),
        memory_mebibytes=round_optional(kpis.memory_mebibytes),
        cpu_milliseconds_per_request=round_optional(kpis.cpu_milliseconds_per_request),
        requests_per_second=round_optional(kpis.requests_per_second),
        error_percent=round_optional(kpis.error_percent),
        requests=None if requests is None else round(requests),
        window=format_window(kpis.window_seconds),
        measured_at=kpis.measured_at,
    )
