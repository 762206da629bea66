"""What stands at the moment of a scrape: queue, models, builds, artifacts, watches, memory. Told to Prometheus."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override


class ModelStanding(NamedTuple):
    """How one model stands."""

    namespace: str
    name: str
    ready: bool
    """Whether its Ready condition is True."""
    revision: str
    """What it serves, as `status.serving.revision`; empty while that is nothing."""
    baseline: str
    """Name of the model that its savings are measured against; empty where there is none."""
    artifact_bytes: int | None
    """Size of its artifact; None while it has none."""
    savings: Mapping[str, float]
    """Ratios baseline : model by what is saved, those that were measured."""


class Standing(Protocol):
    """Who knows; asked from a thread of the metrics' server."""

    def queue_depth(self) -> int:
        """Models that are due and wait for a worker."""

    def queue_age_seconds(self) -> float:
        """How long the one of them that waits longest has been due."""

    def models_by_ready(self) -> Mapping[str, int]:
        """Models by the status of their Ready condition."""

    def builds_by_state(self) -> Mapping[str, int]:
        """Build Jobs that exist, by how they stand."""

    def models(self) -> Iterable[ModelStanding]:
        """Each model."""

    def cached_by_kind(self) -> Mapping[str, int]:
        """Objects in memory, by kind."""

    def watch_events_by_kind(self) -> Mapping[str, int]:
        """What the watches told so far."""

    def watch_silent_seconds_by_kind(self) -> Mapping[str, float]:
        """How long ago the watch last told of anything; nothing of a kind that it has never told of."""

    def watch_lag_seconds_by_kind(self) -> Mapping[str, float]:
        """How long the oldest change is known that the watch has not told of."""


class StandingCollector(Collector):
    """Asks when it is scraped."""

    def __init__(self, standing: Standing) -> None:
        """Ask `standing`."""
        self._standing = standing

    @override
    def collect(self) -> Iterator[Metric]:
        """Every family, also those without samples."""
        standing = self._standing
        yield _gauge("modelpress_queue_depth", "Models that are due and wait for a worker.", standing.queue_depth())
        yield _gauge(
            "modelpress_queue_age_seconds",
            "How long the model that waits longest for a worker has been due.",
            standing.queue_age_seconds(),
        )
        yield _gauges(
            "modelpress_models", "CompressedModels by their Ready condition.", "ready", standing.models_by_ready()
        )
        yield _gauges(
            "modelpress_builds", "Build Jobs that exist, by how they stand.", "state", standing.builds_by_state()
        )
        yield from _model_families(standing.models())
        yield _gauges("modelpress_cached_objects", "Objects in memory.", "kind", standing.cached_by_kind())
        events = CounterMetricFamily("modelpress_watch_events", "What the watches told.", labels=["kind"])
        for kind, count in sorted(standing.watch_events_by_kind().items()):
            events.add_metric([kind], count)
        yield events
        yield _gauges(
            "modelpress_watch_silent_seconds",
            "How long ago the watch last told of anything.",
            "kind",
            standing.watch_silent_seconds_by_kind(),
        )
        yield _gauges(
            "modelpress_watch_lag_seconds",
            "How long the oldest change is known that the watch has not told of.",
            "kind",
            standing.watch_lag_seconds_by_kind(),
        )


def _model_families(models: Iterable[ModelStanding]) -> tuple[Metric, ...]:
    """What is told of each model by its name."""
    own = ["namespace", "model"]
    info = GaugeMetricFamily(
        "modelpress_model_info", "A model, what it serves and its baseline; 1.", labels=[*own, "revision", "baseline"]
    )
    ready = GaugeMetricFamily("modelpress_model_ready", "1 while a model's Ready condition is True.", labels=own)
    artifacts = GaugeMetricFamily("modelpress_artifact_bytes", "Size of the artifact of a model.", labels=own)
    savings = GaugeMetricFamily("modelpress_savings_ratio", "Baseline : model, as measured.", labels=[*own, "of"])
    for model in models:
        labels = [model.namespace, model.name]
        info.add_metric([*labels, model.revision, model.baseline], 1)
        ready.add_metric(labels, model.ready)
        if model.artifact_bytes is not None:
            artifacts.add_metric(labels, model.artifact_bytes)
        for what, ratio in model.savings.items():
            savings.add_metric([*labels, what], ratio)
    return info, ready, artifacts, savings


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _gauges(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for value, number in sorted(values.items()):
        family.add_metric([value], number)
    return family
