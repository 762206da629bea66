"""What the operator tells of itself: metrics for Prometheus, and the log."""

import logging
import sys
from typing import Final, Protocol

import prometheus_client

import model_operator
from model_operator.standing import Standing, StandingCollector

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Request(Protocol):
    """What is told of one request to the API server."""

    @property
    def verb(self) -> str:
        """As RBAC has it."""

    @property
    def resource(self) -> str:
        """Plural."""

    @property
    def code(self) -> str:
        """HTTP's status, or `none`."""

    @property
    def seconds(self) -> float:
        """From its begin to its end."""


class Telemetry:
    """The operator's own metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self.registry)
        self.reconciles = prometheus_client.Counter(
            "modelpress_reconciles", "Passes over a model.", ["result"], registry=self.registry
        )
        self.reconcile_seconds = prometheus_client.Histogram(
            "modelpress_reconcile_seconds", "How long a pass took.", buckets=_SECONDS, registry=self.registry
        )
        self.api_requests = prometheus_client.Counter(
            "modelpress_api_requests",
            "Requests to the API server that have ended, without the watches.",
            ["verb", "resource", "code"],
            registry=self.registry,
        )
        self.api_request_seconds = prometheus_client.Histogram(
            "modelpress_api_request_seconds",
            "How long the API server took for a request.",
            ["verb"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.last_audit = prometheus_client.Gauge(
            "modelpress_last_audit_timestamp_seconds",
            "When what the watch told was last compared with what is there.",
            registry=self.registry,
        )
        prometheus_client.Info("modelpress_build", "This operator.", registry=self.registry).info(
            {"version": model_operator.__version__}
        )
        self.kpi_query_seconds = prometheus_client.Histogram(
            "modelpress_kpi_query_seconds",
            "How long Prometheus took for a KPI of a namespace.",
            ["kpi"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.kpi_failures = prometheus_client.Counter(
            "modelpress_kpi_failures", "Questions for a KPI without a usable answer.", ["kpi"], registry=self.registry
        )
        self.kpi_last_read = prometheus_client.Gauge(
            "modelpress_kpi_last_read_timestamp_seconds",
            "When all KPIs of a namespace were last read.",
            registry=self.registry,
        )
        for result in ("done", "gone", "failed"):
            self.reconciles.labels(result)

    def note_request(self, request: Request) -> None:
        """A request to the API server has ended."""
        self.api_requests.labels(request.verb, request.resource, request.code).inc()
        self.api_request_seconds.labels(request.verb).observe(request.seconds)

    def follow(self, standing: Standing) -> None:
        """Tell also how things stand at each scrape; called once."""
        self.registry.register(StandingCollector(standing))

    def serve(self, address: str, port: int) -> None:
        """Answer scrapes in a thread of their own, as long as the process lives."""
        prometheus_client.start_http_server(port, address, self.registry)


def start_log(level: str) -> None:
    """Log one line an event to standard error; of the libraries only what needs attention, unless at DEBUG."""
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    if level != "DEBUG":
        logging.getLogger("kopf").setLevel(logging.WARNING)
        # Every retry of a connection would be a warning; what finally fails is told by whoever asked.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
