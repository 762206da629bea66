"""TensorFlow Serving's metrics under their own names, labels and bucket edges, and finer ones under ours.

Names begin with ":" because TensorFlow Serving writes "/" so; its histograms are in microseconds.
"""

from collections import deque
from collections.abc import Callable, Container, Sequence

from model_server.instruments import Counter, Histogram

SERVING_EDGES_MICROSECONDS = tuple(10 * 1.8**k for k in range(33))
# 0.1 ms to 4.7 s in steps of 20 %: a quantile read from them is off by at most that.
FINE_EDGES_SECONDS = tuple(1e-4 * 1.2**k for k in range(60))
# Most requests do not wait at all: 0, then 0.1 ms to 52 s, each twice the last.
QUEUE_EDGES_SECONDS = (0.0, *(1e-4 * 2**k for k in range(20)))
EXAMPLE_EDGES = tuple(float(2**k) for k in range(15))
BATCH_QUEUE_EDGES = tuple(100 * 1.2**k for k in range(52))
# As many notes wait at most; then the next one has them all told.
_MOST_NOTES = 512
BATCH_THREADS = "model_server_batch_threads"


class Metrics:
    """Everything this server counts. Models that are not configured count under an empty name, not under any name."""

    def __init__(self, models: Container[str]) -> None:
        """Count for the models that are in `models` at the time of a request."""
        self._models = models
        self._notes: deque[tuple[Callable[..., None], tuple[object, ...]]] = deque()
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
        self._queue = Histogram("modelpress_queue_duration_seconds", ("model_name", "version"), QUEUE_EDGES_SECONDS)
        self._run = Histogram("modelpress_run_duration_seconds", ("model_name", "version"), FINE_EDGES_SECONDS)
        self._threads = Histogram("modelpress_thread_wait_seconds", ("entrypoint",), QUEUE_EDGES_SECONDS)
        self._example_counts = Histogram(":tensorflow:serving:request_example_counts", ("model",), EXAMPLE_EDGES)
        self._examples = Counter(":tensorflow:serving:request_example_count_total", ("model",))
        self._warmup = Histogram(
            ":tensorflow:serving:model_warmup_latency", ("model_path", "status"), SERVING_EDGES_MICROSECONDS
        )
        self._warmup_records = Counter(":tensorflow:serving:model_warmup_records_read", ("model_path", "status"))

        batching = ":tensorflow:serving:batching_session"
        self._batch_queue = Histogram(f"{batching}:queuing_latency", ("thread_pool_name",), BATCH_QUEUE_EDGES)
        self._batch_runs = Counter(f"{batching}:wrapped_run_count", ())
        self._batch_inputs = Histogram(f"{batching}:input_batch_size", ("model_name",), EXAMPLE_EDGES)
        self._batch_sizes = Histogram(f"{batching}:processed_batch_size", ("model_name",), EXAMPLE_EDGES)
        self._batch_padding = Histogram(f"{batching}:padding_size", ("model_name",), EXAMPLE_EDGES)
        # In the order of the page.
        self._metrics: tuple[Counter | Histogram, ...] = (
            *(self._requests, self._latency, self._runtime, self._example_counts, self._examples),
            *(self._batch_queue, self._batch_runs, self._batch_inputs, self._batch_sizes, self._batch_padding),
            *(self._warmup, self._warmup_records, self._predict, self._queue, self._run, self._threads),
        )

    def count_request(self, model: str, status: str) -> None:
        """One request ended with this status, such as OK or INVALID_ARGUMENT."""
        self._requests.increment(model if model in self._models else "", status)

    def observe_answer(self, model: str, version: int, api: str, entrypoint: str, seconds: float) -> None:
        """A prediction by this version succeeded, and took so long."""
        self._note(self._add_answer, model, version, api, entrypoint, seconds)

    def _add_answer(self, model: str, version: int, api: str, entrypoint: str, seconds: float) -> None:
        self._requests.increment(model, "OK")
        self.observe_request(model, api, entrypoint, seconds)
        self._predict.observe(seconds, model, str(version), api, entrypoint)

    def observe_request(self, model: str, api: str, entrypoint: str, seconds: float) -> None:
        """A successful request took so long; GET requests have an empty API."""
        self._latency.observe(seconds * 1e6, model, api, entrypoint)

    def count_examples(self, model: str, count: int) -> None:
        """One request had so many examples."""
        self._example_counts.observe(count, model)
        self._examples.increment(model, by=count)

    def observe_warmup(self, model_path: str, status: str, records: int, seconds: float) -> None:
        """A version was warmed up with so many records in so long, or failed with this status."""
        self._warmup.observe(seconds * 1e6, model_path, status)
        self._warmup_records.increment(model_path, status, by=records)

    def observe_thread_wait(self, entrypoint: str, seconds: float) -> None:
        """A prediction by this wire was not run at once, and waited so long for a thread."""
        self._threads.observe(seconds, entrypoint)

    def observe_batch(self, model: str, items: int, padding: int, waited_seconds: Sequence[float]) -> None:
        """A batch was run with so many items and so many more to fill it up; its requests had waited for so long."""
        for seconds in waited_seconds:
            self._batch_queue.observe(seconds * 1e6, BATCH_THREADS)
        self._batch_runs.increment()
        self._batch_inputs.observe(items, model)
        self._batch_sizes.observe(items + padding, model)
        self._batch_padding.observe(padding, model)

    def observe_times(self, model: str, version: int, api: str, waited_seconds: float, ran_seconds: float) -> None:
        """A request of this version waited so long for an interpreter, and then the graph ran for so long."""
        self._note(self._add_times, model, version, api, waited_seconds, ran_seconds)

    def _add_times(self, model: str, version: int, api: str, waited_seconds: float, ran_seconds: float) -> None:
        # TensorFlow Serving calls the runtime TF1, whatever it is.
        self._runtime.observe(ran_seconds * 1e6, model, api, "TF1")
        self._queue.observe(waited_seconds, model, str(version))
        self._run.observe(ran_seconds, model, str(version))

    def _note(self, add: Callable[..., None], *values: object) -> None:
        """One note for what several metrics are told, since a request ends with cold caches."""
        self._notes.append((add, values))
        if len(self._notes) > _MOST_NOTES:
            self._settle()

    def _settle(self) -> None:
        while True:
            try:
                add, values = self._notes.popleft()
            except IndexError:
                return
            add(*values)

    def settle(self) -> None:
        """Add everything up: a note keeps the memory that was allocated around it, which is much in a large request."""
        self._settle()
        for metric in self._metrics:
            metric.settle()

    def format_page(self) -> str:
        """The Prometheus text format, version 0.0.4."""
        self._settle()
        lines: list[str] = []
        for metric in self._metrics:
            samples = metric.format_samples()
            if samples:
                lines += [f"# TYPE {metric.name} {metric.kind}", *samples]
        return "\n".join(lines) + "\n"
