"""The dashboard of all models. Pure."""

from dashboards.panels import Json, Panel, Query, Variable, render_dashboard
from dashboards.queries import (
    EVERY,
    FLEET,
    answers_rate,
    as_model,
    errors_percent,
    errors_rate,
    latency_milliseconds,
    models,
    of_models,
    pods_cpu_cores,
    pods_memory_bytes,
)

_EACH = "{{namespace}}/{{model}}"
_P95 = as_model(latency_milliseconds(FLEET, EVERY, 0.95))
_CPU = f"1000 * ({of_models(FLEET, 'avg', pods_cpu_cores(FLEET))})"
_MEMORY = of_models(FLEET, "avg", pods_memory_bytes(FLEET))


def render_fleet() -> Json:
    """Which models are ready, how they answer, what they use and what compression saves."""
    return render_dashboard(
        "modelpress-fleet",
        "Modelpress: all models",
        "Every CompressedModel: whether it is ready, how fast it answers, what it uses, what compression saves.",
        [Variable("namespace", "Namespace", "label_values(modelpress_model_ready, namespace)", several=True)],
        [_figures(), [_table()], _load(), _use(), _savings()],
    )


def _figures() -> list[Panel]:
    ready = f"sum({models(FLEET)})"
    builds = 'max by (state) (modelpress_builds{state=~"pending|running|failed"})'
    return [
        _stat("Ready", "Models whose Ready condition is True.", "none", ready),
        _stat(
            "Not ready",
            "Models that are built, rolled out, or in trouble.",
            "none",
            f"count({models(FLEET)}) - {ready}",
        ),
        _stat("Answers a second", "Predictions of all models.", "reqps", answers_rate(FLEET, "")),
        _stat("Failed", "Of all requests, those that were refused or failed.", "percent", errors_percent(FLEET, "")),
        _stat("CPU", "Cores that all serving pods use.", "none", _total(pods_cpu_cores(FLEET)), decimals=2),
        _stat("Memory", "Working sets of all serving pods.", "bytes", _total(pods_memory_bytes(FLEET))),
        Panel(
            "timeseries",
            "Builds",
            "Build Jobs of all namespaces by how they stand; one that failed waits for you.",
            "none",
            (Query(builds, "{{state}}"),),
            width=6,
            height=5,
        ),
    ]


def _total(pods: str) -> str:
    return f"sum({of_models(FLEET, 'sum', pods)})"


def _stat(title: str, description: str, unit: str, expression: str, decimals: int | None = None) -> Panel:
    return Panel("stat", title, description, unit, (Query(expression),), 3, 5, decimals=decimals)


def _table() -> Panel:
    columns = {
        "ready": ("bool_yes_no", models(FLEET)),
        "p95": ("ms", _P95),
        "CPU of a pod": ("suffix: m", _CPU),
        "memory of a pod": ("bytes", _MEMORY),
        "answers/s": ("reqps", as_model(answers_rate(FLEET, EVERY))),
        "failed": ("percent", as_model(errors_percent(FLEET, EVERY))),
        "pods": ("none", of_models(FLEET, "count", pods_memory_bytes(FLEET))),
        "artifact": ("decbytes", f"max by (namespace, model) (modelpress_artifact_bytes{{{FLEET.own}}})"),
        **{f"{what} saved": ("suffix:x", _saved(what)) for what in ("size", "latency", "cpu", "memory")},
    }
    return Panel(
        "table",
        "Models",
        "One row a model; its name leads to its own dashboard. What is saved is baseline : model, as in the status: "
        "2 is half as much. A model without load has no p95, and one without a baseline has no savings.",
        "none",
        tuple(Query(expression) for _, expression in columns.values()),
        24,
        9,
        columns=tuple((name, unit) for name, (unit, _) in columns.items()),
        decimals=2,
        model_link=True,
    )


def _saved(what: str) -> str:
    return f'max by (namespace, model) (modelpress_savings_ratio{{of="{what}",{FLEET.own}}})'


def _load() -> list[Panel]:
    return [
        _graph("Latency, p95", "95 % of the predictions took at most this long inside the server.", "ms", _P95),
        _graph("Answers a second", "Predictions by model.", "reqps", as_model(answers_rate(FLEET, EVERY))),
        _graph(
            "Failed requests a second",
            "Refused or failed, by model; 0 is drawn only while requests are counted.",
            "reqps",
            as_model(errors_rate(FLEET, EVERY)),
        ),
    ]


def _use() -> list[Panel]:
    pods = of_models(FLEET, "count", pods_memory_bytes(FLEET))
    return [
        _graph("CPU of a pod", "Millicores, mean over the model's pods.", "suffix: m", _CPU),
        _graph("Memory of a pod", "Working set, mean over the model's pods.", "bytes", _MEMORY),
        _graph("Pods", "Serving pods that the kubelets tell of.", "none", pods),
    ]


def _savings() -> list[Panel]:
    ratios = f"max by (namespace, model, of) (modelpress_savings_ratio{{{FLEET.own}}})"
    sizes = f"max by (namespace, model) (modelpress_artifact_bytes{{{FLEET.own}}})"
    words = "Baseline : model, measured over the same window; 2 is half as much."
    savings = (Query(ratios, _EACH + " {{of}}"),)
    return [
        Panel("timeseries", "Savings", words, "suffix:x", savings, 16),
        _graph("Artifact", "Bytes in the store.", "decbytes", sizes),
    ]


def _graph(title: str, description: str, unit: str, expression: str) -> Panel:
    return Panel("timeseries", title, description, unit, (Query(expression, _EACH),))
