"""How good an artifact is, by the metric that the spec asks for, beside its baseline. Pure.

A build measures by every metric that its data give a value, so that another one is asked for without building again.
"""

from collections.abc import Mapping

from model_artifact.summary import QualitySummary
from model_operator.api.quality import is_error, name_metric
from model_operator.api.status import QualityStatus, round_figure
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import Baseline


def read_measures(summary: QualitySummary) -> dict[str, float]:
    """What the build measured, by the API's names of the metrics, the one that it reports first."""
    measured = {summary.metric: summary.value, **(summary.measures or {})}
    return {name_metric(metric): value for metric, value in measured.items()}


def render_quality(
    model: CompressedModel, measures: Mapping[str, float], baseline: Baseline | None
) -> QualityStatus | None:
    """The metric that the spec asks for; else, or where it was not measured, the first of the measures.

    Args:
        model: whose quality it is.
        measures: by the API's names of the metrics.
        baseline: of the model; None where the spec names none.
    """
    if not measures:
        return None
    asked = model.spec.objectives.quality
    first = next(iter(measures))
    metric = asked.metric if asked is not None and asked.metric in measures else first
    value, theirs = measures[metric], _find_baseline_value(metric, baseline)
    return QualityStatus(
        metric=metric,
        value=value,
        baseline_value=theirs,
        loss=None if theirs is None else _measure_loss(metric, value, theirs),
        measures=dict(measures) if len(measures) > 1 else None,
    )


def _measure_loss(metric: str, value: float, baseline_value: float) -> float:
    """How much worse the value is than the baseline's, in the metric's unit; below 0 it is better.

    The baseline's is known as its status has it: the value counts with as many digits, so that equals lose nothing.
    """
    own = round_figure(value)
    return round_figure(own - baseline_value if is_error(metric) else baseline_value - own)


def _find_baseline_value(metric: str, baseline: Baseline | None) -> float | None:
    """The baseline's value by the same metric; None where it was not measured, or means nothing."""
    if baseline is None or not baseline.artifact.get("trained"):
        return None
    quality = baseline.artifact.get("quality") or {}
    measured = {quality.get("metric"): quality.get("value"), **(quality.get("measures") or {})}
    value = measured.get(metric)
    return None if value is None else float(value)
