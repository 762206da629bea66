"""Objects as kubectl gives them, for tests of the plugin."""

from kubectl_cmod.facts import ModelFacts

DIGEST = "sha256:" + "ab" * 32


def condition(kind, status, reason, message="", since="2026-03-02T09:55:00Z"):
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since}


def model(name="digits", *conditions, generation=1, spec=None, **status):
    """A CompressedModel of the namespace press, made at nine."""
    metadata = {
        "name": name,
        "namespace": "press",
        "generation": generation,
        "creationTimestamp": "2026-03-02T09:00:00Z",
    }
    training = {"architecture": "SmallCNN", "dataset": "Digits", "epochs": 20}
    default = {"compression": {"alpha": 1.25, "bits": 8, "rule": "Floor"}, "source": {"training": training}}
    return {
        "metadata": metadata,
        "spec": default | (spec or {}),
        "status": {"observedGeneration": 1, "conditions": list(conditions), **status},
    }


ARTIFACT = {
    "uri": "pvc://modelpress-store/artifacts/ab.zip",
    "digest": DIGEST,
    "sizeBytes": 11240,
    "size": "11.2kB",
    "ratio": 9.39,
    "bitsPerWeight": 3.41,
    "sparsityPercent": 71.2,
    "trained": True,
    "quality": {"metric": "Accuracy", "value": 97.2, "loss": 0.3},
}
KPIS = {
    "p95LatencyMilliseconds": 3.21,
    "cpuMillicores": 41.5,
    "memoryMebibytes": 92,
    "requestsPerSecond": 12.5,
    "errorPercent": 0,
    "requests": 3750,
    "window": "5m",
    "measuredAt": "2026-03-02T09:59:30Z",
}
SERVED = {"revision": "abababababab", "replicas": 2, "readyReplicas": 2}
BUILT = {"recipeDigest": f"sha256:{'cd' * 32}", "job": "build-cd-0", "attempt": 1}


def pod(name, container="server", *, ready=True, state=None, restarts=0, created="2026-03-02T09:50:00Z", **status):
    state = {"running": {"startedAt": created}} if state is None else state
    containers = [{"name": container, "ready": ready, "restartCount": restarts, "state": state, **status}]
    return {
        "kind": "Pod",
        "metadata": {"name": name, "creationTimestamp": created},
        "status": {"containerStatuses": containers},
    }


def unpacking(last, *, name="digits-1", recipe=True):
    """A model whose pod cannot unpack its artifact: it ended so, and is tried again."""
    reason, why = ("PodsFailing", "True") if last["exitCode"] == 137 else ("ArtifactMismatch", "False")
    body = model(
        "digits",
        condition("Ready", "False", reason, "Pod digits-1 does not run."),
        condition("ArtifactReady", why, "Built" if why == "True" else reason),
        **({"build": BUILT} if recipe else {}),
        serving={},
    )
    tried = pod(name, ready=False, state={"waiting": {"reason": "PodInitializing"}})
    unpack = {"name": "unpack", "ready": False, "restartCount": 4, "state": {"running": {}}}
    tried["status"]["initContainerStatuses"] = [unpack | {"lastState": {"terminated": last}}]
    return ModelFacts(body, (pod("digits-0"), tried), build_pods=(pod("build-cd-0-x", "build"),))


def served():
    """A model that is served by two pods, one of which was restarted."""
    body = model(
        "digits",
        condition("Ready", "True", "Serving", "Revision abababababab is served."),
        condition("ArtifactReady", "True", "Built"),
        condition("Available", "True", "Serving"),
        condition("Reconciling", "False", "Settled"),
        condition("WithinObjectives", "False", "ObjectivesMissed", "p95 is 3.21 ms, more than 3 ms."),
        condition("Compared", "True", "Compared"),
        spec={"baseline": {"name": "digits-plain"}},
        build=BUILT,
        artifact=ARTIFACT,
        serving=SERVED,
        kpis=KPIS,
        savings={"size": 9.39, "latency": 1.8, "cpu": 2.1, "memory": 1.05, "costPercent": 31.5},
    )
    pods = (pod("digits-1"), pod("digits-2", restarts=2))
    return ModelFacts(body, pods, build_pods=(pod("build-cd-0-x", "build", state={"terminated": {"exitCode": 0}}),))


def building():
    """A model whose build runs."""
    message = "Job build-cd-0 runs: Training, epoch 3 of 20."
    build = BUILT | {"phase": "Training", "epoch": 3, "epochs": 20, "stepsPerSecond": 61.2, "etaSeconds": 95}
    body = model(
        "digits",
        condition("Ready", "False", "Building", message),
        condition("ArtifactReady", "False", "Building", message),
        condition("Reconciling", "True", "Building", message),
        build=build,
    )
    return ModelFacts(body, build_pods=(pod("build-cd-0-x", "build", ready=True),))


def failed():
    """A model whose last build failed, and whose pod is gone."""
    message = "Attempt 3 of 3 failed: the data set is not there. No attempt is left: delete the Jobs."
    kept = {"metadata": {"name": "build-cd-2-log"}, "data": {"log.txt": "loading\nthe data set is not there\n"}}
    body = model(
        "digits",
        condition("Ready", "False", "BuildFailed", message),
        condition("ArtifactReady", "False", "BuildFailed", message),
        condition("Reconciling", "False", "BuildFailed"),
        build=BUILT | {"attempt": 3, "message": message},
    )
    job = {"kind": "Job", "metadata": {"name": "build-cd-2"}}
    return ModelFacts(body, jobs=(job,), kept_logs=(kept,))
