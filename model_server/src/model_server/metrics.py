"""TensorFlow Serving's metrics under their own names, labels and bucket edges, and finer ones under ours.

Names begin with ":" because TensorFlow Serving writes "/" so; its histograms are in microseconds.
"""

import threading
from bisect import bisect_left

SERVING_EDGES_MICROSECONDS = tuple(10 * 1.8**k for k in range(33))
# 0.1 ms to 4.7 s in steps of 20 %: a quantile read from them is off by at most that.
FINE_EDGES_SECONDS = tuple(1e-4 * 1.2**k for k in range(60))

Labels = tuple[str, ...]


class Counter:
    """A number that only grows, for each set of label values."""

    kind = "counter"

    def __init__(self, name: str, labels: Labels) -> None:
        self.name = name
        self._labels = labels
        self._lock = threading.Lock()
        self._values: dict[Labels, int] = {}

    def increment(self, *values: str) -> None:
        """Count one more."""
        with self._lock:
            self._values[values] = self._values.get(values, 0) + 1

    def format_samples(self) -> list[str]:
        """One line for each set of label values."""
        with self._lock:
            samples = sorted(self._values.items())
        return [f"{self.name}{{{_format_labels(self._labels, values)}}} {count}" for values, count in samples]


class Histogram:
    """Counts of observations up to each edge, their sum and their number, for each set of label values."""

    kind = "histogram"

    def __init__(self, name: str, labels: Labels, edges: tuple[float, ...]) -> None:
        self.name = name
        self._labels = labels
        self._edges = edges
        self._printed_edges = (*(f"{edge:.6g}" for edge in edges), "+Inf")
        self._lock = threading.Lock()
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, value: float, *values: str) -> None:
        """Add one observation, in the unit of the edges."""
        with self._lock:
            counts = self._counts.setdefault(values, [0] * len(self._printed_edges))
            counts[bisect_left(self._edges, value)] += 1
            self._sums[values] = self._sums.get(values, 0.0) + value

    def format_samples(self) -> list[str]:
        """The bucket, sum and count lines for each set of label values."""
        with self._lock:
            samples = sorted((values, list(counts), self._sums[values]) for values, counts in self._counts.items())
        lines: list[str] = []
        for values, counts, total in samples:
            labels = _format_labels(self._labels, values)
            reached = 0
            for edge, count in zip(self._printed_edges, counts, strict=True):
                reached += count
                lines.append(f'{self.name}_bucket{{{labels},le="{edge}"}} {reached}')
            lines.append(f"{self.name}_sum{{{labels}}} {total!r}")
            lines.append(f"{self.name}_count{{{labels}}} {reached}")
        return lines


def _format_labels(names: Labels, values: Labels) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Metrics:
    """Everything this server counts. Models that are not configured count under an empty name, not under any name."""

    def __init__(self, models: frozenset[str]) -> None:
        self._models = models
        self._requests = Counter(":tensorflow:serving:request_count", ("model_name", "status"))
        self._latency = Histogram(
            ":tensorflow:serving:request_latency", ("model_name", "API", "entrypoint"), SERVING_EDGES_MICROSECONDS
        )
        self._runtime = Histogram(
            ":tensorflow:serving:runtime_latency", ("model_name", "API", "runtime"), SERVING_EDGES_MICROSECONDS
        )
        self._predict = Histogram(
            "modelpress_predict_duration_seconds", ("model_name", "version", "API", "entrypoint"), FINE_EDGES_SECONDS
        )

    def count_request(self, model: str, status: str) -> None:
        """One request ended with this status, such as OK or INVALID_ARGUMENT."""
        self._requests.increment(model if model in self._models else "", status)

    def observe_request(self, model: str, api: str, entrypoint: str, seconds: float) -> None:
        """A successful request took so long; GET requests have an empty API."""
        self._latency.observe(seconds * 1e6, model, api, entrypoint)

    def observe_predict(self, model: str, version: int, api: str, entrypoint: str, seconds: float) -> None:
        """A successful prediction by this version took so long."""
        self._predict.observe(seconds, model, str(version), api, entrypoint)

    def observe_run(self, model: str, seconds: float) -> None:
        """The graph ran for so long; TensorFlow Serving calls the runtime TF1, whatever it is."""
        self._runtime.observe(seconds * 1e6, model, "Predict", "TF1")

    def format_page(self) -> str:
        """The Prometheus text format, version 0.0.4."""
        lines: list[str] = []
        for metric in (self._requests, self._latency, self._runtime, self._predict):
            samples = metric.format_samples()
            if samples:
                lines += [f"# TYPE {metric.name} {metric.kind}", *samples]
        return "\n".join(lines) + "\n"
