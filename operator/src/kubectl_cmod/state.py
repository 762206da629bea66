"""How a model stands, in short sentences for people; every command says it with these. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kubectl_cmod.facts import ModelFacts, find_compression, find_condition
from kubectl_cmod.words import format_figure, format_number, format_ratio, format_seconds
from model_operator import names
from model_operator.container_status import find_status, parse_trouble

Object = Mapping[str, Any]

_SHORT_DIGEST: Final = 12
_KPIS: Final = (
    ("p95", "p95LatencyMilliseconds", "ms"),
    ("", "cpuMillicores", "millicores"),
    ("", "memoryMebibytes", "MiB"),
    ("", "cpuMillisecondsPerRequest", "CPU ms a request"),
    ("", "requestsPerSecond", "requests/s"),
    ("", "errorPercent", "% errors"),
)
_SAVINGS: Final = (
    ("size", "size"),
    ("latency", "latency"),
    ("CPU", "cpu"),
    ("memory", "memory"),
)


def is_ready(facts: ModelFacts) -> bool:
    """Whether what the spec asks for is what is served, said of this very spec."""
    ready = facts.condition("Ready")
    return ready.get("status") == "True" and is_current(facts)


def is_current(facts: ModelFacts) -> bool:
    """Whether the status speaks of the spec as it is now."""
    observed = (facts.body.get("status") or {}).get("observedGeneration")
    return bool(observed == facts.body["metadata"].get("generation"))


def format_wanted(body: Object) -> str:
    """What the spec asks for; of an artifact that it names, what that one tells."""
    compression, source = find_compression(body), (body.get("spec") or {}).get("source") or {}
    parts = []
    if compression:
        bits = compression.get("bits")
        stored = "not quantised" if bits == 32 else f"{bits} bits"
        pruned = compression.get("channelSparsity")
        channels = f", {format_number(100 * pruned)} % of the channels pruned" if pruned else ""
        ends = ", first and last layer dense" if compression.get("firstAndLastLayers") == "Dense" else ""
        rule = compression.get("rule", "Floor")
        parts.append(f"alpha {format_number(compression.get('alpha'))}, {stored}, {rule}{channels}{ends}")
    training, model, artifact = (source.get(kind) or {} for kind in ("training", "model", "artifact"))
    if training:
        parts.append(
            f"{training.get('architecture')} on {training.get('dataset')}, {training.get('epochs', 50)} epochs"
        )
    if model:
        parts.append(f"of {model.get('uri')}")
    if artifact:
        parts.append(f"{artifact.get('uri')} ({_shorten(artifact.get('digest', ''))})")
    return "; ".join(parts)


def format_build(build: Object, artifact_ready: Object) -> str:
    """How far the build is: its progress while it runs, or how it ended."""
    attempt = f"attempt {build['attempt']}" if build.get("attempt") else ""
    job = f"Job {build['job']}" if build.get("job") else ""
    where = ", ".join(filter(None, (job, attempt)))
    told = f" ({where})" if where else ""
    if artifact_ready.get("status") == "True":
        return f"done{told}"
    progress = format_progress(build)
    return f"{progress}{told}" if progress else f"{artifact_ready.get('reason', 'not begun')}{told}"


def format_progress(build: Object) -> str:
    """What a running build does; empty where none runs."""
    if not build.get("phase"):
        return ""
    epoch = f"epoch {build['epoch']} of {build.get('epochs', '?')}" if build.get("epoch") else ""
    rate = f"{format_number(build['stepsPerSecond'])} steps/s" if build.get("stepsPerSecond") else ""
    eta = f"about {format_seconds(build['etaSeconds'])} left" if build.get("etaSeconds") else ""
    return ", ".join(filter(None, (build["phase"], epoch, rate, eta)))


def format_artifact(artifact: Object) -> str:
    """Size, ratio and quality of the artifact."""
    parts = [
        f"{artifact.get('size', '')}, {format_ratio(artifact.get('ratio'))} smaller",
        f"{format_number(artifact.get('bitsPerWeight'))} bits a weight",
        f"{format_number(artifact.get('sparsityPercent'))} % zeros",
    ]
    if artifact.get("quality"):
        parts.append(format_quality(artifact["quality"]))
    if artifact.get("trained") is False:
        parts.append("not trained in full")
    return f"{', '.join(parts)} ({_shorten(str(artifact.get('digest', '')))})"


def format_quality(quality: Object) -> str:
    """Metric, value and loss."""
    loss = f", {format_figure(quality['loss'])} lost" if quality.get("loss") is not None else ""
    return f"{quality.get('metric')} {format_figure(quality.get('value'))}{loss}"


def format_serving(serving: Object) -> str:
    """Which revision answers with how many pods, and which one comes."""
    counts = f"{serving.get('readyReplicas', 0)} of {serving.get('replicas', 0)} pods ready"
    candidate = f"; {serving['candidateRevision']} is coming" if serving.get("candidateRevision") else ""
    return f"revision {serving.get('revision') or 'none yet'}, {counts}{candidate}"


def format_kpis(kpis: Object) -> str:
    """What was measured, over which window and how many requests; what is not known is left out."""
    parts = [
        f"{label} {format_number(kpis[field], unit)}".strip()
        for label, field, unit in _KPIS
        if kpis.get(field) is not None
    ]
    requests = f", {kpis['requests']:,} requests" if kpis.get("requests") is not None else ""
    return f"{', '.join(parts) or 'no data'} (over {kpis.get('window', '?')}{requests})"


def format_savings(savings: Object, baseline: str) -> str:
    """What the baseline takes of everything, as so many times what the model takes."""
    parts = [f"{format_ratio(savings[key])} the {label}" for label, key in _SAVINGS if savings.get(key) is not None]
    percent = savings.get("costPercent")
    cheaper = f"; cheaper by {format_number(percent)} %" if percent is not None else ""
    return f"{baseline} takes {', '.join(parts)}{cheaper}"


def describe_pods(pods: tuple[Object, ...], container: str) -> Iterator[tuple[str, str, bool]]:
    """Name, state and whether all is well, of each pod."""
    for pod in pods:
        reason, message, whose = parse_trouble(pod)
        status = find_container(pod, whose or container)
        restarts = status.get("restartCount") or 0
        counted = f", {restarts} restart{'s' if restarts > 1 else ''}" if restarts else ""
        where = f" of {whose}" if whose not in {"", container} else ""
        told = f"{reason}{where}{counted}{f': {message}' if message else ''}"
        ended = (status.get("state") or {}).get("terminated")
        if "deletionTimestamp" in pod["metadata"]:
            yield str(pod["metadata"]["name"]), "ending", True
        elif reason:
            yield str(pod["metadata"]["name"]), told, False
        elif ended and not ended.get("exitCode"):
            yield str(pod["metadata"]["name"]), "done", True
        else:
            running = "running" in (status.get("state") or {})
            calm = "ready" if status.get("ready") else "running" if running else "starting"
            yield str(pod["metadata"]["name"]), f"{calm}{counted}", True


def find_container(pod: Object, name: str) -> Object:
    """The status of one container, of whichever sort; empty where the pod has none yet."""
    return find_status(pod, "containerStatuses", name) or find_status(pod, "initContainerStatuses", name)


def find_troubled_container(pod: Object) -> str:
    """The container of a serving pod that keeps it from answering, or else the server."""
    return parse_trouble(pod).container or names.SERVER_CONTAINER


def find_hindrance(facts: ModelFacts) -> Object:
    """The condition that says what keeps the model from being ready; empty where nothing does."""
    return {} if is_ready(facts) else find_condition(facts.body, "Ready")


def find_build_log(facts: ModelFacts) -> str:
    """The end of the newest failed build's log as it was kept; empty where none was."""
    if not facts.kept_logs:
        return ""
    return str(facts.kept_logs[-1]["data"][names.LOG_KEY])


def _shorten(digest: str) -> str:
    return names.short_digest(digest, _SHORT_DIGEST)
