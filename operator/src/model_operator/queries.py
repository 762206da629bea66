"""The PromQL for the KPIs of one ReplicaSet's pods. Pure text.

TensorFlow Serving's metric names begin with a colon, which only the `__name__` matcher takes wherever it is written.
Status requests, such as probes, have an empty `API` label: they are no predictions. The kubelet's series are found once
for each scraper that reads it, so `max` by container comes before any sum; `id` keeps a restarted container's two
lives apart.
"""

from dataclasses import dataclass

_TENSORFLOW = ":tensorflow:serving:"
_CONTAINER = "namespace, pod, container, id"


@dataclass(frozen=True)
class KpiQueries:
    """One instant query for each figure; those over containers answer with one value a pod."""

    p95_milliseconds: str
    requests: str
    """Predictions that were answered."""
    errors: str
    """Requests that were refused or failed."""
    cpu_seconds: str
    """CPU time in the window, a value a pod."""
    memory_bytes: str
    """Mean working set in the window, a value a pod."""


def render_queries(
    namespace: str, model: str, template_hash: str, server_container: str, window_seconds: int
) -> KpiQueries:
    """The queries for the pods that a Deployment's ReplicaSet names, over the window that ends now."""
    pods = f'namespace="{namespace}",pod=~"{model}-{template_hash}-[a-z0-9]{{5}}"'
    container = f'{pods},container="{server_container}"'
    window = f"[{window_seconds}s]"

    def serving(metric: str, matchers: str) -> str:
        return f'{{__name__="{_TENSORFLOW}{metric}",{pods},{matchers}}}{window}'

    predictions, not_ok = 'API!=""', 'status!="OK"'
    return KpiQueries(
        p95_milliseconds=(
            f"histogram_quantile(0.95, sum by (le) (rate({serving('request_latency_bucket', predictions)}))) / 1000"
        ),
        requests=f"sum(increase({serving('request_latency_count', predictions)}))",
        errors=f"sum(increase({serving('request_count', not_ok)}))",
        cpu_seconds=(
            f"sum by (pod) (max by ({_CONTAINER}) (increase(container_cpu_usage_seconds_total{{{container}}}{window})))"
        ),
        memory_bytes=(
            f"max by (pod) (max by ({_CONTAINER}) "
            f"(avg_over_time(container_memory_working_set_bytes{{{container}}}{window})))"
        ),
    )
