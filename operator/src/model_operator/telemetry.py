"""What the operator tells of itself: metrics for Prometheus, and the log."""

import logging
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import prometheus_client

import model_operator

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Telemetry:
    """The operator's own metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        self.reconciles = prometheus_client.Counter(
            "modelpress_reconciles", "Passes over a model.", ["result"], registry=self.registry
        )
        self.reconcile_seconds = prometheus_client.Histogram(
            "modelpress_reconcile_seconds", "How long a pass took.", buckets=_SECONDS, registry=self.registry
        )
        self.queue_depth = prometheus_client.Gauge(
            "modelpress_queue_depth", "Models that are due and wait for a worker.", registry=self.registry
        )
        self.models = prometheus_client.Gauge(
            "modelpress_models", "CompressedModels by their Ready condition.", ["ready"], registry=self.registry
        )
        self.last_resync = prometheus_client.Gauge(
            "modelpress_last_resync_timestamp_seconds", "When all models were last listed.", registry=self.registry
        )
        prometheus_client.Info("modelpress_build", "This operator.", registry=self.registry).info(
            {"version": model_operator.__version__}
        )
        for result in ("done", "gone", "failed"):
            self.reconciles.labels(result)

    def note_models(self, bodies: Iterable[Mapping[str, Any]]) -> None:
        """Count the models by whether they are ready."""
        counts = dict.fromkeys(("true", "false", "unknown"), 0)
        for body in bodies:
            counts[_ready(body)] += 1
        for ready, count in counts.items():
            self.models.labels(ready).set(count)

    def serve(self, address: str, port: int) -> None:
        """Answer scrapes in a thread of their own, as long as the process lives."""
        prometheus_client.start_http_server(port, address, self.registry)


def _ready(body: Mapping[str, Any]) -> str:
    conditions = (body.get("status") or {}).get("conditions") or ()
    stated = next((str(each.get("status")).lower() for each in conditions if each.get("type") == "Ready"), "unknown")
    return stated if stated in {"true", "false"} else "unknown"


def start_log(level: str) -> None:
    """Log one line an event to standard error; of the libraries only what needs attention, unless at DEBUG."""
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    if level != "DEBUG":
        logging.getLogger("kopf").setLevel(logging.WARNING)
        # Every retry of a connection would be a warning; what finally fails is told by whoever asked.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
