"""The PromQL for the KPIs of one namespace: one query for each figure answers for all of its models. Pure text.

The form is the same for every Prometheus, though they differ in what they scrape and in how they label it:

- A series is found once for each job that scrapes it, so `max` over a series' own labels comes before any sum.
- The kubelet tells of a container in `/metrics/cadvisor`, once for each of its lives (`id`), and in
  `/metrics/resource`; the lives are added up within one source, and then the source that tells most counts.
- Where a job does not honour labels, the kubelet's own are named `exported_…` and the others are the job's.
- Where the runtime does not tell the kubelet of containers, there are series of whole pods only, with an empty
  `container`; those count where there is none of the container.

TensorFlow Serving's metric names begin with a colon, which only the `__name__` matcher takes wherever it is written.
Status requests, such as probes, have an empty `API` label: they are no predictions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

WHOLE: Final = "whole"
"""Label of the samples that name pods which were scraped near both ends of the window."""
EDGES: Final = "edges"
"""Label that says of a p95 whether it was read from `fine` buckets or from TensorFlow Serving's `standard` ones."""
REPLICA_SET: Final = "replicaset"
FINE: Final = "fine"
STANDARD: Final = "standard"

_TENSORFLOW = ":tensorflow:serving:"
_FINE_SECONDS = "modelpress_predict_duration_seconds_bucket"
_CPU = "container_cpu_usage_seconds_total"
_MEMORY = "container_memory_working_set_bytes"
_LATENCY_LABELS = "model_name, version, API, entrypoint"
_LEAST_END_SECONDS = 40
_MOST_LAST_SECONDS = 90


@dataclass(frozen=True)
class KpiQueries:
    """One instant query for each figure of a namespace."""

    p95_milliseconds: str
    """A value for each ReplicaSet and kind of EDGES."""
    requests: str
    """Predictions that were answered, a value a pod; with WHOLE, a value for each pod that was seen in whole."""
    errors: str
    """Requests that were refused or failed, a value a pod, which is 0 only where requests are counted."""
    cpu_seconds: str
    """CPU time in the window, a value for each pod that was seen in whole."""
    memory_bytes: str
    """Mean working set in the window, a value for each pod that was seen in whole."""


@dataclass(frozen=True)
class _Window:
    """So many seconds that ended so long ago, and the two ranges at its ends in which a scrape must lie."""

    seconds: int
    ago_seconds: int

    @property
    def whole(self) -> str:
        return self._range(self.seconds)

    @property
    def first(self) -> str:
        length = self._end_seconds()
        return self._range(length, self.seconds - length)

    @property
    def last(self) -> str:
        return self._range(min(self._end_seconds(), _MOST_LAST_SECONDS))

    def _range(self, length: int, before_end: int = 0) -> str:
        offset = self.ago_seconds + before_end
        return f"[{length}s] offset {offset}s" if offset else f"[{length}s]"

    def _end_seconds(self) -> int:
        """A quarter of the window: scrapes may be so far apart; never so short that usual ones fall beside it."""
        return min(self.seconds, max(_LEAST_END_SECONDS, self.seconds // 4))


def render_queries(namespace: str, server_container: str, window_seconds: int, ago_seconds: int = 0) -> KpiQueries:
    """The queries for all pods of a namespace over the window that ended so long before the time they are asked for."""
    window = _Window(window_seconds, ago_seconds)
    return KpiQueries(
        p95_milliseconds=_render_p95(namespace, window),
        requests=_render_requests(namespace, window),
        errors=_render_errors(namespace, window),
        cpu_seconds=_render_cpu(namespace, server_container, window),
        memory_bytes=_render_memory(namespace, server_container, window),
    )


def _serving(metric: str, namespace: str, matchers: str) -> str:
    return f'{{__name__="{_TENSORFLOW}{metric}",namespace="{namespace}",{matchers}}}'


def _render_p95(namespace: str, window: _Window) -> str:
    standard = _serving("request_latency_bucket", namespace, 'API!=""')
    fine = f'{_FINE_SECONDS}{{namespace="{namespace}"}}'
    return (
        f'label_replace({_quantile(fine, window)} * 1000, "{EDGES}", "{FINE}", "", "") or '
        f'label_replace({_quantile(standard, window)} / 1000, "{EDGES}", "{STANDARD}", "", "")'
    )


def _quantile(buckets: str, window: _Window) -> str:
    """The p95 of each ReplicaSet, whose name is that of its pods without their last five letters."""
    rates = f"max by (pod, {_LATENCY_LABELS}, le) (rate({buckets}{window.whole}))"
    by_set = f'label_replace({rates}, "{REPLICA_SET}", "$1", "pod", "(.+)-[a-z0-9]{{5}}")'
    return f"histogram_quantile(0.95, sum by ({REPLICA_SET}, le) ({by_set}))"


def _render_requests(namespace: str, window: _Window) -> str:
    counter = _serving("request_latency_count", namespace, 'API!=""')
    requests = f"sum by (pod) (max by (pod, {_LATENCY_LABELS}) (increase({counter}{window.whole})))"

    def seen(range_: str) -> str:
        # `up` tells of a server also while nobody has asked it anything; some drop it on its way.
        scraped = f'max by (pod) (max_over_time(up{{namespace="{namespace}",pod!=""}}{range_})) > 0'
        return f"({scraped} or count by (pod) (count_over_time({counter}{range_})))"

    whole = f"{seen(window.last)} and {seen(window.first)}"
    return f'label_replace({whole}, "{WHOLE}", "yes", "", "") or {requests}'


def _render_errors(namespace: str, window: _Window) -> str:
    def count(matcher: str) -> str:
        counter = _serving("request_count", namespace, matcher)
        return f"sum by (pod) (max by (pod, model_name, status) (increase({counter}{window.whole})))"

    failed, all_of_them = count('status!="OK"'), count('status!=""')
    return f"{failed} or 0 * {all_of_them}"


def _render_cpu(namespace: str, container: str, window: _Window) -> str:
    # Where the kubelet tells of every CPU, the sum of them is among the series as well.
    def used(selector: str) -> str:
        return f"sum without (id, name, image) (increase({selector}{window.whole}))"

    usage = _by_pod(_CPU, namespace, container, 'cpu=~"(total)?"', used)
    return f"({usage}) and on (pod) {_seen_in_whole(namespace, container, window)}"


def _render_memory(namespace: str, container: str, window: _Window) -> str:
    def mean(selector: str) -> str:
        return f"avg_over_time({selector}{window.whole})"

    used = _by_pod(_MEMORY, namespace, container, "", mean)
    return f"({used}) and on (pod) {_seen_in_whole(namespace, container, window)}"


def _seen_in_whole(namespace: str, container: str, window: _Window) -> str:
    """The pods that the kubelet told of near both ends of the window."""

    def seen(range_: str) -> str:
        samples = _by_pod(_CPU, namespace, container, "", lambda selector: f"count_over_time({selector}{range_})")
        return f"({samples})"

    return f"({seen(window.last)} and {seen(window.first)})"


def _by_pod(metric: str, namespace: str, container: str, matcher: str, function: Callable[[str], str]) -> str:
    """A value a pod: of its server's container, under either naming of labels, or else of the whole pod."""
    more = f",{matcher}" if matcher else ""
    own = f'{metric}{{namespace="{namespace}",container="{container}"{more}}}'
    exported = f'{metric}{{exported_namespace="{namespace}",exported_container="{container}"{more}}}'
    of_pod = f'{metric}{{namespace="{namespace}",container="",pod!="",exported_container=""{more}}}'
    # By that label alone: several jobs' series would be one series once its `pod` is the same, which is an error.
    renamed = f'label_replace(max by (exported_pod) ({function(exported)}), "pod", "$1", "exported_pod", "(.+)")'
    return f"max by (pod) ({function(own)} or {renamed}) or max by (pod) ({function(of_pod)})"
