"""PromQL of the dashboards: what is asked of serving pods, whichever Prometheus scrapes them. Pure text.

As in the operator's own queries a series counts once, however many jobs scrape it, so `max` over a series' own labels
comes before any sum; and a nought is only said where that which would count otherwise is there.
"""

from dataclasses import dataclass

EVERY = "namespace, model_name"
"""What a figure of each model is told by; `as_model` makes it `namespace, model`."""
OF_POD = "[a-z0-9]+-[a-z0-9]{5}"
"""How a pod's name goes on after the model's: its ReplicaSet and five letters."""
STEP = "[$__rate_interval]"

_LATENCY_LABELS = "namespace, pod, model_name, version, API, entrypoint"


@dataclass(frozen=True)
class Scope:
    """Whose series are asked for.

    Attributes:
        serving: matchers of what servers tell.
        kubelet: matchers of what kubelets tell.
        own: matchers of what the operator tells of models.
    """

    serving: str
    kubelet: str
    own: str


FLEET = Scope('namespace=~"$namespace"', 'namespace=~"$namespace"', 'namespace=~"$namespace"')
MODEL = Scope(
    'namespace="$namespace",model_name="$model"',
    f'namespace="$namespace",pod=~"${{model}}-{OF_POD}"',
    'namespace="$namespace",model="$model"',
)


def as_model(expression: str) -> str:
    """The same with the label `model` in place of `model_name`."""
    return f'max by (namespace, model) (label_replace({expression}, "model", "$1", "model_name", "(.+)"))'


def models(scope: Scope) -> str:
    """1 or 0 for each model that the operator knows."""
    return f"max by (namespace, model) (modelpress_model_ready{{{scope.own}}})"


def latency_rates(scope: Scope, by: str, *, fine: bool) -> str:
    """Predictions a second by bucket; `fine` ones are our server's in seconds, others TensorFlow Serving's in us."""
    name = "modelpress_predict_duration_seconds_bucket" if fine else ":tensorflow:serving:request_latency_bucket"
    selector = f'{{__name__="{name}",API!="",{scope.serving}}}'
    kept = f"{by}, le" if by else "le"
    return f"sum by ({kept}) (max by ({_LATENCY_LABELS}, le) (rate({selector}{STEP})))"


def latency_milliseconds(scope: Scope, by: str, quantile: float) -> str:
    """A quantile of the latency inside the server, from the finest buckets that it tells."""
    fine, standard = (latency_rates(scope, by, fine=each) for each in (True, False))
    return f"1000 * histogram_quantile({quantile}, {fine}) or histogram_quantile({quantile}, {standard}) / 1000"


def queue_milliseconds(scope: Scope, by: str, quantile: float) -> str:
    """A quantile of the time that a request waits for an interpreter; told by our server alone."""
    selector = f"modelpress_queue_duration_seconds_bucket{{{scope.serving}}}"
    kept = f"{by}, le" if by else "le"
    rates = f"sum by ({kept}) (max by (namespace, pod, model_name, version, le) (rate({selector}{STEP})))"
    return f"1000 * histogram_quantile({quantile}, {rates})"


def answers_rate(scope: Scope, by: str) -> str:
    """Predictions a second that were answered; probes have no API and do not count."""
    selector = f'{{__name__=":tensorflow:serving:request_latency_count",API!="",{scope.serving}}}'
    return _sum(by, f"max by ({_LATENCY_LABELS}) (rate({selector}{STEP}))")


def statuses_rate(scope: Scope, by: str, matcher: str) -> str:
    """Requests a second by the status that they ended with, among them those that failed."""
    selector = f'{{__name__=":tensorflow:serving:request_count",{matcher},{scope.serving}}}'
    return _sum(by, f"max by (namespace, pod, model_name, status) (rate({selector}{STEP}))")


def errors_rate(scope: Scope, by: str) -> str:
    """Requests a second that failed; 0 only where requests are counted."""
    failed, counted = statuses_rate(scope, by, 'status!="OK"'), statuses_rate(scope, by, 'status!=""')
    return f"({failed} or 0 * {counted})"


def errors_percent(scope: Scope, by: str) -> str:
    """Requests that failed, of those that were answered or failed."""
    errors, answers = errors_rate(scope, by), answers_rate(scope, by)
    return f"100 * {errors} / (({answers} or 0 * {errors}) + {errors})"


def pods_cpu_cores(scope: Scope) -> str:
    """CPU of each server, by namespace and pod."""
    selector = f'container_cpu_usage_seconds_total{{container="server",cpu=~"(total)?",{scope.kubelet}}}'
    return f"max by (namespace, pod) (sum without (id, name, image) (rate({selector}{STEP})))"


def pods_memory_bytes(scope: Scope) -> str:
    """Working set of each server, by namespace and pod."""
    selector = f'container_memory_working_set_bytes{{container="server",{scope.kubelet}}}'
    return f"max by (namespace, pod) (sum without (id, name, image) ({selector}))"


def of_models(scope: Scope, over_pods: str, pods: str) -> str:
    """A figure of pods for each model that the operator knows, so that strangers' containers do not count."""
    named = f'label_replace({pods}, "model", "$1", "pod", "(.+)-{OF_POD}")'
    return f"{over_pods} by (namespace, model) ({named}) and on (namespace, model) {models(scope)}"


def _sum(by: str, inner: str) -> str:
    return f"sum by ({by}) ({inner})" if by else f"sum({inner})"
