"""KPIs of what is served: asked of Prometheus for whole namespaces, apart from the passes that use them, and shared.

A model and its baseline are read off one reading, so that both were measured over the same window, which is never
longer than either was served.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from model_operator import names, queries
from model_operator.errors import PrometheusError
from model_operator.observation import KpiProblem, Kpis
from model_operator.prometheus import Prometheus, Sample
from model_operator.queries import KpiQueries, render_queries
from model_operator.serving_pod import Served
from model_operator.telemetry import Telemetry

SHORTEST_WINDOW_SECONDS: Final = 60
LATE_SECONDS: Final = 20
"""So long before the question a window ends. The kubelet looks at a container every 10 to 20 s and tells with the time
of that look: of a window that ends now the last part is missing, and Prometheus makes up for half a scrape of it."""
MOST_READINGS: Final = 1000
READING_THREADS: Final = 4
_WINDOW_STEPS_MINUTES: Final = (1, 1.5, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1440)
"""Windows of models that are younger than the window they ask for: few, so that many models share a reading."""
_MOST_AGE: Final = 3
"""A reading is used until it is so many intervals old: one that fails, or that is late, changes no status."""
_LARGEST_FINE_MILLISECONDS: Final = 4600
"""The finer buckets end soon above it: a p95 there is the last edge, which says nothing."""
_MEBIBYTE: Final = 2**20
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Reading:
    """What Prometheus said of one namespace over one window."""

    window_seconds: int
    measured_at: datetime
    p95_milliseconds: Sequence[Sample]
    requests: Sequence[Sample]
    errors: Sequence[Sample]
    cpu_seconds: Sequence[Sample]
    memory_bytes: Sequence[Sample]

    @property
    def window_began_at(self) -> datetime:
        """When what it tells of began."""
        return self.measured_at - timedelta(seconds=self.window_seconds)


@dataclass
class _Group:
    """One namespace and window, as long as somebody asks for it."""

    asked_at: datetime
    reading: Reading | None = None
    tried_at: datetime | None = None
    begun_at: datetime | None = None
    """While it is being read."""
    problem: KpiProblem | None = None
    """Of the last try."""


@dataclass
class _Silence:
    """Since when Prometheus answers nobody."""

    told_at: datetime
    problem: KpiProblem


def start_at_once(work: Callable[[], None]) -> object:
    """Do the work in the caller's thread."""
    work()
    return None


class KpiReader:
    """Reads KPIs: a namespace and window at most once in an interval, for all models that ask for it.

    Asking never waits where `start` hands the work to another thread. Safe to use from several threads; keeps at most
    MOST_READINGS readings.
    """

    def __init__(
        self,
        prometheus: Prometheus | None,
        keep_seconds: float,
        telemetry: Telemetry | None = None,
        start: Callable[[Callable[[], None]], object] = start_at_once,
    ) -> None:
        """Ask this Prometheus, None where none is configured.

        Args:
            prometheus: who is asked.
            keep_seconds: the interval.
            telemetry: where questions are counted.
            start: does what it is given, then or later.
        """
        self._prometheus = prometheus
        self._keep = timedelta(seconds=keep_seconds)
        self._telemetry = telemetry or Telemetry()
        self._start = start
        self._lock = threading.Lock()
        self._groups: dict[str, dict[int, _Group]] = {}
        self._silence: _Silence | None = None

    def read(
        self, served: Sequence[Served | None], wanted_seconds: int, now: datetime
    ) -> tuple[Kpis | KpiProblem | None, ...]:
        """The KPIs of each of these models of one namespace over one window that ended a while ago.

        Where there is no reading yet there is no figure in them; None for a model that serves nothing.
        """
        there = [each for each in served if each is not None]
        if not there:
            return (None,) * len(served)
        found = self._find(there, wanted_seconds, now)
        return tuple(
            None if each is None else found if isinstance(found, KpiProblem) else found(each) for each in served
        )

    def _find(
        self, there: Sequence[Served], wanted_seconds: int, now: datetime
    ) -> KpiProblem | Callable[[Served], Kpis]:
        if self._prometheus is None:
            return KpiProblem("PrometheusNotConfigured", "the operator was given no Prometheus: set prometheusUrl")
        ends_at = _end_window(now)
        window_seconds = plan_window_seconds(wanted_seconds, there, ends_at)
        if window_seconds is None:
            return lambda _: Kpis(SHORTEST_WINDOW_SECONDS, ends_at, pods=0)
        namespace = there[0].namespace
        if self._begin(namespace, window_seconds, now):
            begun = time.monotonic()
            self._start(lambda: self._read(namespace, window_seconds, now, time.monotonic() - begun))
        with self._lock:
            reading = self._newest(namespace, window_seconds, max(each.since for each in there), now)
            problem = self._problem(namespace, window_seconds, now)
        if reading is not None:
            return lambda each: parse_kpis(reading, each)
        return problem or (lambda _: Kpis(window_seconds, ends_at, pods=0, unread=True))

    def _begin(self, namespace: str, window_seconds: int, now: datetime) -> bool:
        """Note who is asked for; True where it is to be read now, by the caller."""
        with self._lock:
            windows = self._groups.setdefault(namespace, {})
            if window_seconds not in windows:
                windows[window_seconds] = _Group(now)
                self._drop_unasked(now)
            group = windows[window_seconds]
            group.asked_at = max(now, group.asked_at)
            is_old = group.tried_at is None or now - group.tried_at >= self._keep
            if not is_old or group.begun_at is not None or self._is_silent(now):
                return False
            group.begun_at = now
            return True

    def _drop_unasked(self, now: datetime) -> None:
        """Forget what nobody asks for any more, and beyond MOST_READINGS what was not asked for the longest."""
        groups = [
            (group.asked_at, namespace, window)
            for namespace, windows in self._groups.items()
            for window, group in windows.items()
        ]
        groups.sort(reverse=True)
        for place, (asked_at, namespace, window) in enumerate(groups):
            if place >= MOST_READINGS or now - asked_at > 2 * _MOST_AGE * self._keep:
                del self._groups[namespace][window]
                if not self._groups[namespace]:
                    del self._groups[namespace]

    def _is_silent(self, now: datetime) -> bool:
        return self._silence is not None and now - self._silence.told_at < self._keep

    def _newest(self, namespace: str, window_seconds: int, since: datetime, now: datetime) -> Reading | None:
        """The reading of this window, or else of the longest below it.

        None that began before `since`, when these models were not all served yet: others of the namespace may have
        asked for it.
        """
        readings = [
            group.reading
            for window, group in self._groups.get(namespace, {}).items()
            if window <= window_seconds
            and group.reading is not None
            and group.reading.window_began_at >= since
            and _end_window(now) - group.reading.measured_at < _MOST_AGE * self._keep
        ]
        return max(readings, key=lambda reading: reading.window_seconds, default=None)

    def _problem(self, namespace: str, window_seconds: int, now: datetime) -> KpiProblem | None:
        if self._silence is not None:
            return self._silence.problem
        group = self._groups.get(namespace, {}).get(window_seconds)
        if group is None:
            return None
        is_late = group.begun_at is not None and now - group.begun_at > self._keep
        return group.problem or (self._late() if is_late else None)

    def _late(self) -> KpiProblem:
        seconds = f"{self._keep.total_seconds():g}"
        return KpiProblem("PrometheusUnavailable", f"Prometheus takes longer than {seconds} s for the KPIs")

    def _read(self, namespace: str, window_seconds: int, begun_at: datetime, waited_seconds: float) -> None:
        """Ask for every figure of the namespace, and keep the answers or what hindered them."""
        reading, problem, silence, tried_at = None, None, None, None
        try:
            with self._lock:
                given_up = self._silence is not None and self._silence.told_at >= begun_at
            if not given_up and self._prometheus is not None:
                tried_at = begun_at + timedelta(seconds=int(waited_seconds))
                begun = time.monotonic()
                reading = self._ask(self._prometheus, namespace, window_seconds, tried_at)
                if time.monotonic() - begun > self._keep.total_seconds():
                    problem = self._late()
        except PrometheusError as error:
            problem = KpiProblem("PrometheusUnavailable", str(error))
            silence = None if error.of_one_query else _Silence(tried_at or begun_at, problem)
        except Exception as error:
            # A fault of ours: nobody waits for this thread, so that it would pass in silence.
            logging.getLogger(__name__).exception("the KPIs of namespace %s could not be read", namespace)
            problem = KpiProblem("PrometheusUnavailable", f"the KPIs could not be read: {error!r}")
        finally:
            with self._lock:
                if reading is not None:
                    self._silence = None
                elif silence is not None:
                    self._silence = silence
                group = self._groups.get(namespace, {}).get(window_seconds)
                if group is not None:
                    group.begun_at, group.problem = None, problem
                    group.tried_at, group.reading = tried_at or group.tried_at, reading or group.reading

    def _ask(self, prometheus: Prometheus, namespace: str, window_seconds: int, now: datetime) -> Reading:
        asked = render_queries(namespace, names.SERVER_CONTAINER, window_seconds, LATE_SECONDS)

        def ask(figure: str) -> Sequence[Sample]:
            begun = time.monotonic()
            try:
                return prometheus.query(getattr(asked, figure))
            except PrometheusError:
                self._telemetry.kpi_failures.labels(figure).inc()
                raise
            finally:
                self._telemetry.kpi_query_seconds.labels(figure).observe(time.monotonic() - begun)

        figures = {figure: ask(figure) for figure in KpiQueries.__dataclass_fields__}
        self._telemetry.kpi_last_read.set_to_current_time()
        return Reading(window_seconds, _end_window(now), **figures)


def _end_window(now: datetime) -> datetime:
    """When the window ends that is asked for now."""
    return now - timedelta(seconds=LATE_SECONDS)


def parse_window_seconds(window: str) -> int:
    """The length of a window as `spec.objectives.window` states it, such as 5m."""
    return int(window[:-1]) * _UNIT_SECONDS[window[-1]]


def plan_window_seconds(wanted_seconds: int, served: Sequence[Served], ends_at: datetime) -> int | None:
    """The wanted window, or the longest usual one for which all of these were served; None where that is too short.

    Prometheus divides by the whole window, also by the part in which a pod was not there yet.
    """
    youngest = min(int((ends_at - each.since).total_seconds()) for each in served)
    if youngest < SHORTEST_WINDOW_SECONDS:
        return None
    if wanted_seconds <= youngest:
        return wanted_seconds
    return max(int(60 * minutes) for minutes in _WINDOW_STEPS_MINUTES if 60 * minutes <= youngest)


def parse_kpis(reading: Reading, served: Served) -> Kpis:
    """The figures of one ReplicaSet's pods; None where Prometheus has no data that reach over the whole window.

    Sums are of all pods; means of a pod and what one request costs are of the pods that were there in the whole window.
    """
    own = _OwnPods(served)
    whole = own.select(each for each in reading.requests if queries.WHOLE in each.labels)
    requests = own.select(each for each in reading.requests if queries.WHOLE not in each.labels)
    errors = own.select(reading.errors)
    cpu_seconds, memory_bytes = own.select(reading.cpu_seconds), own.select(reading.memory_bytes)
    if not whole:
        requests = errors = {}
    seconds = reading.window_seconds
    answered = sum(requests.values())
    both = whole.keys() & cpu_seconds.keys()
    of_both = sum(requests.get(pod, 0.0) for pod in both)
    tried = answered + sum(errors.values())
    fine, standard = own.find_p95(reading.p95_milliseconds) if whole else (None, None)
    return Kpis(
        window_seconds=seconds,
        measured_at=reading.measured_at,
        pods=len(whole),
        requests=answered if requests else None,
        tried_requests=tried if errors else None,
        requests_per_second=answered / seconds if requests else None,
        requests_per_second_per_pod=(
            sum(requests.get(pod, 0.0) for pod in whole) / seconds / len(whole) if requests else None
        ),
        p95_latency_milliseconds=standard if fine is None else fine,
        p95_standard_milliseconds=standard,
        p95_is_fine=fine is not None,
        cpu_millicores=1000 * sum(cpu_seconds.values()) / seconds / len(cpu_seconds) if cpu_seconds else None,
        memory_mebibytes=sum(memory_bytes.values()) / len(memory_bytes) / _MEBIBYTE if memory_bytes else None,
        cpu_milliseconds_per_request=1000 * sum(cpu_seconds[pod] for pod in both) / of_both if of_both else None,
        error_percent=100 * sum(errors.values()) / tried if errors and tried else None,
    )


@dataclass(frozen=True)
class _OwnPods:
    """Finds what is said of one ReplicaSet: of its pods by their names, also of those that are gone by now."""

    served: Served

    @property
    def _replica_set(self) -> str:
        return f"{self.served.model}-{self.served.template_hash}"

    def select(self, samples: Iterable[Sample]) -> dict[str, float]:
        """The values of its pods by name."""
        found = {each.labels.get("pod", ""): each.value for each in samples}
        return {pod: value for pod, value in found.items() if pod.rpartition("-")[0] == self._replica_set}

    def find_p95(self, samples: Iterable[Sample]) -> tuple[float | None, float | None]:
        """Its p95 from finer buckets, None where there are none or it lies above them, and from the standard ones."""
        found = {
            each.labels.get(queries.EDGES): each.value
            for each in samples
            if each.labels.get(queries.REPLICA_SET) == self._replica_set
        }
        fine = found.get(queries.FINE)
        above = fine is not None and fine > _LARGEST_FINE_MILLISECONDS and queries.STANDARD in found
        return None if above else fine, found.get(queries.STANDARD)
