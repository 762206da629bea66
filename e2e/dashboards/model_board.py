"""The dashboard of one model. Pure."""

from dashboards.panels import Json, Panel, Query, Variable, render_dashboard
from dashboards.queries import (
    MODEL,
    OF_POD,
    STEP,
    answers_rate,
    errors_percent,
    latency_milliseconds,
    latency_rates,
    models,
    pods_cpu_cores,
    pods_memory_bytes,
    queue_milliseconds,
    statuses_rate,
)

_REPLICA_SET = '"replicaset", "$1", "pod", "(.+)-[a-z0-9]{5}"'


def render_model() -> Json:
    """How one model answers, what it uses, what serves it."""
    return render_dashboard(
        "modelpress-model",
        "Modelpress: one model",
        "One CompressedModel: latency, load, failures, what its pods use, and which revision serves.",
        [
            Variable("namespace", "Namespace", "label_values(modelpress_model_ready, namespace)"),
            Variable("model", "Model", 'label_values(modelpress_model_ready{namespace="$namespace"}, model)'),
        ],
        [_figures(), "Latency", _latency(), _heat(), "Load", _load(), "Use", _use(), "What serves", _revisions()],
    )


def _figures() -> list[Panel]:
    own = MODEL.own
    saved = f"max by (of) (modelpress_savings_ratio{{{own}}})"
    size = f"max(modelpress_artifact_bytes{{{own}}})"
    cpu = f"1000 * sum({pods_cpu_cores(MODEL)}) / sum({answers_rate(MODEL, '')})"
    info = f"max by (revision, baseline) (modelpress_model_info{{{own}}})"
    return [
        _stat("Ready", "Its Ready condition.", "bool_yes_no", models(MODEL)),
        _stat("p95", "95 % of the predictions took at most this long.", "ms", latency_milliseconds(MODEL, "", 0.95)),
        _stat("Failed", "Of all requests to it.", "percent", errors_percent(MODEL, "")),
        _stat("CPU a request", "CPU time of all its pods by answers.", "ms", cpu),
        _stat("Artifact", "Bytes in the store.", "decbytes", size),
        Panel(
            "table",
            "Serves",
            "Revision that answers: 12 digits of its artifact's digest; and its baseline.",
            "none",
            (Query(info),),
            width=5,
            height=5,
            columns=(("", "none"),),
        ),
        Panel(
            "timeseries",
            "Savings",
            "Baseline : model; 2 is half as much. None without a baseline.",
            "suffix:x",
            (Query(saved, "{{of}}"),),
            width=4,
            height=5,
        ),
    ]


def _stat(title: str, description: str, unit: str, expression: str) -> Panel:
    return Panel("stat", title, description, unit, (Query(expression),), 3, 5, decimals=2)


def _latency() -> list[Panel]:
    quantiles = [Query(latency_milliseconds(MODEL, "", each), f"p{100 * each:g}") for each in (0.5, 0.95, 0.99)]
    waits = [Query(queue_milliseconds(MODEL, "", each), f"p{100 * each:g}") for each in (0.5, 0.95)]
    return [
        _graph(
            "Percentiles", "Inside the server; from buckets 20 % apart where our server tells them.", "ms", *quantiles
        ),
        _graph(
            "Latency by pod, p95",
            "One pod that is slower than the others has a busy node, or starts.",
            "ms",
            Query(latency_milliseconds(MODEL, "pod", 0.95), "{{pod}}"),
        ),
        _graph("Queue", "Wait for a free interpreter. Told by modelpress-server alone.", "ms", *waits),
    ]


def _heat() -> list[Panel]:
    return [
        Panel(
            "heatmap",
            "Latency",
            "Predictions by latency. Told by modelpress-server alone.",
            "s",
            (Query(latency_rates(MODEL, "", fine=True), "{{le}}"),),
            width=12,
        ),
        Panel(
            "heatmap",
            "Latency in TensorFlow Serving's buckets",
            "Told by every server, in steps of 80 %.",
            "µs",
            (Query(latency_rates(MODEL, "", fine=False), "{{le}}"),),
            width=12,
        ),
    ]


def _load() -> list[Panel]:
    return [
        _graph(
            "Answers a second",
            "Predictions by protocol.",
            "reqps",
            Query(answers_rate(MODEL, "API, entrypoint"), "{{API}} {{entrypoint}}"),
        ),
        _graph(
            "Requests a second by status",
            "Also requests that are no predictions, such as for the model's status.",
            "reqps",
            Query(statuses_rate(MODEL, "status", 'status!=""'), "{{status}}"),
        ),
        _graph("Failed", "Refused or failed, of all.", "percent", Query(errors_percent(MODEL, ""), "failed")),
    ]


def _use() -> list[Panel]:
    answers = answers_rate(MODEL, "pod")
    return [
        _graph("CPU", "Millicores of each pod.", "suffix: m", Query(f"1000 * {pods_cpu_cores(MODEL)}", "{{pod}}")),
        _graph("Memory", "Working set of each pod.", "bytes", Query(pods_memory_bytes(MODEL), "{{pod}}")),
        _graph(
            "Answers a second by pod", "What an autoscaler on requests looks at.", "reqps", Query(answers, "{{pod}}")
        ),
    ]


def _revisions() -> list[Panel]:
    pods = f'max by (pod) (up{{namespace="$namespace",pod=~"${{model}}-{OF_POD}"}})'
    by_set = f"sum by (replicaset) (label_replace({answers_rate(MODEL, 'pod')}, {_REPLICA_SET}))"
    counted = f'{{__name__="modelpress_predict_duration_seconds_bucket",le="+Inf",{MODEL.serving}}}'
    by_version = f"sum by (version) (max by (namespace, pod, version, API, entrypoint) (rate({counted}{STEP})))"
    return [
        _graph(
            "Pods",
            "That Prometheus finds, and those of them that answer it.",
            "none",
            Query(f"count({pods})", "there"),
            Query(f"sum({pods})", "answering"),
        ),
        _graph("Answers a second by ReplicaSet", "A rollout moves them.", "reqps", Query(by_set, "{{replicaset}}")),
        _graph(
            "Answers a second by version",
            "TensorFlow Serving's number of what is served. Told by modelpress-server alone.",
            "reqps",
            Query(by_version, "{{version}}"),
        ),
    ]


def _graph(title: str, description: str, unit: str, *queries: Query) -> Panel:
    return Panel("timeseries", title, description, unit, queries)
