"""KPIs of what is served, asked of Prometheus and kept for a while."""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

from model_operator import names
from model_operator.errors import PrometheusError
from model_operator.observation import KpiProblem, Kpis
from model_operator.prometheus import Prometheus
from model_operator.queries import render_queries
from model_operator.serving_pod import Served

SHORTEST_WINDOW_SECONDS = 60
_WINDOW_STEP_SECONDS = 15
_MEBIBYTE = 2**20
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}


class KpiReader:
    """Reads KPIs; one answer for the same pods and window serves for a while, and so does Prometheus' silence.

    Safe to use from several threads.
    """

    def __init__(self, prometheus: Prometheus | None, keep_seconds: float) -> None:
        """Ask this Prometheus, None where none is configured, at most once in `keep_seconds` for the same figures."""
        self._prometheus = prometheus
        self._keep = timedelta(seconds=keep_seconds)
        self._lock = threading.Lock()
        self._kept: dict[tuple[Served, int], Kpis] = {}
        self._silence: tuple[datetime, KpiProblem] | None = None

    def read(self, served: Served, window_seconds: int | None, now: datetime) -> Kpis | KpiProblem:
        """The KPIs of the served pods over the window that ends about now; no figure where there is no window yet."""
        if self._prometheus is None:
            return KpiProblem("PrometheusNotConfigured", "the operator was given no Prometheus: set prometheusUrl")
        if window_seconds is None:
            return Kpis(SHORTEST_WINDOW_SECONDS, now, pods=0)
        with self._lock:
            kept = self._kept.get((served, window_seconds))
            silence = self._silence
        if kept is not None and now - kept.measured_at < self._keep:
            return kept
        if silence is not None and now - silence[0] < self._keep:
            return silence[1]
        return self._ask(self._prometheus, served, window_seconds, now)

    def _ask(self, prometheus: Prometheus, served: Served, window_seconds: int, now: datetime) -> Kpis | KpiProblem:
        try:
            measured = measure(prometheus, served, window_seconds, now)
        except PrometheusError as error:
            problem = KpiProblem("PrometheusUnavailable", str(error))
            with self._lock:
                self._silence = (now, problem)
            return problem
        with self._lock:
            self._silence = None
            # What is old is dropped here, so that windows that grow and pods that go do not pile up.
            self._kept = {key: kpis for key, kpis in self._kept.items() if now - kpis.measured_at < self._keep}
            self._kept[served, window_seconds] = measured
        return measured


def parse_window_seconds(window: str) -> int:
    """The length of a window as `spec.objectives.window` states it, such as 5m."""
    return int(window[:-1]) * _UNIT_SECONDS[window[-1]]


def plan_window_seconds(wanted_seconds: int, served: Sequence[Served], now: datetime) -> int | None:
    """The wanted window, or as much of it as all of these have been served; None where that is too little.

    Prometheus divides by the whole window, also by the part in which a pod was not there yet.
    """
    youngest = min(int((now - each.since).total_seconds()) for each in served)
    if youngest < SHORTEST_WINDOW_SECONDS:
        return None
    return min(wanted_seconds, youngest // _WINDOW_STEP_SECONDS * _WINDOW_STEP_SECONDS)


def measure(prometheus: Prometheus, served: Served, window_seconds: int, now: datetime) -> Kpis:
    """Ask for every figure; None where Prometheus has no data.

    Raises:
        PrometheusError: when it does not answer.
    """
    queries = render_queries(
        served.namespace, served.model, served.template_hash, names.SERVER_CONTAINER, window_seconds
    )
    requests = prometheus.query(queries.requests).get("")
    errors = prometheus.query(queries.errors).get("")
    cpu_seconds = list(prometheus.query(queries.cpu_seconds).values())
    memory_bytes = list(prometheus.query(queries.memory_bytes).values())
    answered = (requests or 0) + (errors or 0)
    return Kpis(
        window_seconds=window_seconds,
        measured_at=now,
        pods=len(cpu_seconds),
        requests=requests,
        requests_per_second=None if requests is None else requests / window_seconds,
        p95_latency_milliseconds=prometheus.query(queries.p95_milliseconds).get(""),
        cpu_millicores=1000 * sum(cpu_seconds) / window_seconds / len(cpu_seconds) if cpu_seconds else None,
        memory_mebibytes=sum(memory_bytes) / len(memory_bytes) / _MEBIBYTE if memory_bytes else None,
        cpu_milliseconds_per_request=1000 * sum(cpu_seconds) / requests if cpu_seconds and requests else None,
        error_percent=100 * (errors or 0) / answered if answered else None,
    )
